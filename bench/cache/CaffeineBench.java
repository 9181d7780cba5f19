/* SPDX-License-Identifier: MIT */
/*
 * The same workloads for Caffeine, in its default configuration, and the same lines as bench_main
 * prints. What a virtual machine needs besides: warm-up until the compiler is done, and objects for
 * values, made before the clock runs.
 */
import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CyclicBarrier;

public final class CaffeineBench extends Bench {
    static final int CAPACITY = 100_000;
    static final int DRAWN = 1 << 20;
    static final double SKEW = 0.99;
    static final int BULK = 1024;
    static final long WORK_NS = 250_000_000L;
    static final long WARM_NS = 1_500_000_000L;
    static final int MEMORY_ENTRIES = 1_000_000;

    static long mix64(long value) {
        value = (value ^ (value >>> 30)) * 0xbf58476d1ce4e5b9L;
        value = (value ^ (value >>> 27)) * 0x94d049bb133111ebL;
        return value ^ (value >>> 31);
    }

    /** As draw in workloads.c; keys are objects already, one for each number. */
    static Long[] draw(int keys) {
        Long[] boxed = new Long[keys];
        for (int i = 0; i < keys; i++) {
            boxed[i] = (long) i;
        }
        double zeta = 0;
        for (int i = 1; i <= keys; i++) {
            zeta += 1 / Math.pow(i, SKEW);
        }
        double alpha = 1 / (1 - SKEW);
        double zeta2 = 1 + Math.pow(0.5, SKEW);
        double eta = (1 - Math.pow(2.0 / keys, 1 - SKEW)) / (1 - zeta2 / zeta);
        Long[] drawn = new Long[DRAWN];
        long state = 1;
        for (int i = 0; i < DRAWN; i++) {
            state += 0x9e3779b97f4a7c15L;
            double u = (mix64(state) >>> 11) * 0x1p-53;
            double uz = u * zeta;
            int rank = uz < 1 ? 0 : uz < zeta2 ? 1
                    : (int) (keys * Math.pow(eta * u - eta + 1, alpha));
            drawn[i] = boxed[Math.min(rank, keys - 1)];
        }
        return drawn;
    }

    static Cache<Long, Long> open(int capacity) {
        return Caffeine.newBuilder().maximumSize(capacity).build();
    }

    static volatile long sink;

    /** Until `until`; answers the operations done. */
    static long work(Cache<Long, Long> cache, Long[] drawn, int at, boolean mixes, long until) {
        long done = 0;
        long sum = 0;
        while (System.nanoTime() < until) {
            for (int i = 0; i < BULK; i++) {
                Long key = drawn[at + i];
                if (mixes && (i & 3) == 3) {
                    cache.put(key, key);
                } else {
                    Long value = cache.getIfPresent(key);
                    if (value != null) {
                        sum += value;
                    }
                }
            }
            at = (at + BULK) % DRAWN;
            done += BULK;
        }
        sink = sum;
        return done;
    }

    static double timeOf(Cache<Long, Long> cache, Long[] drawn, int threads, boolean mixes,
            long span) throws Exception {
        CyclicBarrier barrier = new CyclicBarrier(threads);
        double[] each = new double[threads];
        Thread[] all = new Thread[threads];
        for (int t = 0; t < threads; t++) {
            int index = t;
            all[t] = new Thread(() -> {
                try {
                    barrier.await();
                } catch (Exception e) {
                    throw new IllegalStateException(e);
                }
                long begin = System.nanoTime();
                long done = work(cache, drawn, index * (DRAWN / 2), mixes, begin + span);
                each[index] = (double) (System.nanoTime() - begin) / done;
            });
            all[t].start();
        }
        for (Thread thread : all) {
            thread.join();
        }
        return Arrays.stream(each).average().getAsDouble();
    }

    static Cache<Long, Long> filled(int keys, Long[] drawn) {
        Cache<Long, Long> cache = open(CAPACITY);
        if (keys <= CAPACITY) {
            for (long key = 0; key < keys; key++) {
                cache.put(key, key);
            }
        } else {
            for (Long key : drawn) {
                if (cache.getIfPresent(key) == null) {
                    cache.put(key, key);
                }
            }
        }
        cache.cleanUp();
        return cache;
    }

    static double[] timed(String workload, int repetitions) throws Exception {
        boolean hits = workload.startsWith("cache-hit");
        boolean mixes = workload.startsWith("cache-mix");
        int threads = workload.endsWith("2") ? 2 : 1;
        int keys = hits ? CAPACITY : 1_000_000;
        Long[] drawn = draw(keys);
        Cache<Long, Long> cache = filled(keys, drawn);
        timeOf(cache, drawn, threads, mixes, WARM_NS);
        double[] values = new double[repetitions];
        for (int i = 0; i < repetitions; i++) {
            values[i] = timeOf(cache, drawn, threads, mixes, WORK_NS);
        }
        return values;
    }

    static long used() throws Exception {
        Runtime runtime = Runtime.getRuntime();
        long least = Long.MAX_VALUE;
        for (int i = 0; i < 3; i++) {
            System.gc();
            least = Math.min(least, runtime.totalMemory() - runtime.freeMemory());
        }
        return least;
    }

    static double[] memory() throws Exception {
        long before = used();
        Cache<Long, Long> cache = open(MEMORY_ENTRIES);
        for (long key = 0; key < MEMORY_ENTRIES; key++) {
            cache.put(key, key);
        }
        cache.cleanUp();
        double bytes = (double) (used() - before) / MEMORY_ENTRIES;
        sink = cache.estimatedSize();
        return new double[] {bytes};
    }

    private CaffeineBench() {
        super("cache", "Caffeine", rows());
    }

    /** One row each, named like its workload. */
    private static Map<String, String[][]> rows() {
        Map<String, String[][]> rows = new LinkedHashMap<>();
        for (String workload : new String[] {"cache-hit-1", "cache-hit-2", "cache-read-1",
            "cache-read-2", "cache-mix-1", "cache-mix-2"}) {
            rows.put(workload, new String[][] {{workload, "ns"}});
        }
        rows.put("cache-memory", new String[][] {{"cache-memory", "B"}});
        return rows;
    }

    @Override
    double[][] measure(String workload, int repetitions) throws Exception {
        return new double[][] {
            workload.equals("cache-memory") ? memory() : timed(workload, repetitions)};
    }

    public static void main(String[] arguments) throws Exception {
        new CaffeineBench().begin(arguments);
    }
}
