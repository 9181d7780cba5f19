/* SPDX-License-Identifier: MIT */
/*
 * The same workloads as workloads.c for HikariCP, in its default configuration. Its connections are
 * proxies that do nothing; a virtual machine is warmed up besides.
 */
import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.locks.LockSupport;
import javax.sql.DataSource;

public final class HikariBench extends Bench {
    static final int SIZE = 2;
    static final int BULK = 1000;
    static final int WAITS_MAX = 65536;
    static final long RUN_NS = 200_000_000L;
    static final long WARM_NS = 1_500_000_000L;
    static final long HOLD_NS = 100_000L;
    static final long HOLD_RUN_NS = 2_000_000_000L;

    private HikariBench() {
        super("pool", "HikariCP", rows());
    }

    private static Map<String, String[][]> rows() {
        Map<String, String[][]> rows = new LinkedHashMap<>();
        for (String workload : new String[] {"borrow-1", "borrow-2", "borrow-8"}) {
            rows.put(workload, new String[][] {{workload, "ns"}});
        }
        rows.put("hold-8", new String[][] {{"hold-p999", "ms"}, {"hold-jain", "share"},
            {"hold-cycle", "us"}, {"hold-overtaken", "times"}});
        return rows;
    }

    /** Answers nothing, false or 0 to whatever it is asked; is valid, and commits by itself. */
    private static Object idle(Class<?> type) {
        InvocationHandler handler = (proxy, method, arguments) -> {
            switch (method.getName()) {
                case "isValid":
                case "getAutoCommit":
                    return true;
                case "hashCode":
                    return System.identityHashCode(proxy);
                case "equals":
                    return proxy == arguments[0];
                case "toString":
                    return type.getSimpleName();
                case "getConnection":
                    return idle(Connection.class);
                default:
                    Class<?> result = method.getReturnType();
                    return result == boolean.class ? (Object) false
                            : result == int.class ? (Object) 0
                            : result == long.class ? (Object) 0L : null;
            }
        };
        return Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, handler);
    }

    private static HikariDataSource open() {
        HikariConfig config = new HikariConfig();
        config.setDataSource((DataSource) idle(DataSource.class));
        config.setMaximumPoolSize(SIZE);
        return new HikariDataSource(config);
    }

    /** What a thread does until `until`; `index` is its number. */
    private interface Body {
        void run(int index, long until) throws Exception;
    }

    /** Runs the threads for a while; how long they took together. */
    private static long run(int threads, long span, Body body) throws Exception {
        CyclicBarrier start = new CyclicBarrier(threads + 1);
        Thread[] all = new Thread[threads];
        for (int i = 0; i < threads; i++) {
            int index = i;
            all[i] = new Thread(() -> {
                try {
                    start.await();
                    body.run(index, System.nanoTime() + span);
                } catch (Exception e) {
                    throw new IllegalStateException(e);
                }
            });
            all[i].start();
        }
        start.await();
        long began = System.nanoTime();
        for (Thread thread : all) {
            thread.join();
        }
        return System.nanoTime() - began;
    }

    private static double cycles(HikariDataSource pool, int threads, long span) throws Exception {
        long[] done = new long[threads];
        long took = run(threads, span, (index, until) -> {
            long count = 0;
            for (; System.nanoTime() < until; count += BULK) {
                for (int i = 0; i < BULK; i++) {
                    pool.getConnection().close();
                }
            }
            done[index] = count;
        });
        return (double) took / Arrays.stream(done).sum();
    }

    private static double[] holds(HikariDataSource pool, int threads, long span) throws Exception {
        long[][][] waits = new long[threads][][];
        long took = run(threads, span, (index, until) -> {
            long[][] mine = new long[WAITS_MAX][];
            int count = 0;
            while (System.nanoTime() < until && count < WAITS_MAX) {
                long asked = System.nanoTime();
                Connection connection = pool.getConnection();
                mine[count++] = new long[] {asked, System.nanoTime()};
                LockSupport.parkNanos(HOLD_NS);
                connection.close();
            }
            waits[index] = Arrays.copyOf(mine, count);
        });
        double sum = 0;
        double squares = 0;
        for (long[][] mine : waits) {
            sum += mine.length;
            squares += (double) mine.length * mine.length;
        }
        long[][] all = Arrays.stream(waits).flatMap(Arrays::stream).toArray(long[][]::new);
        long[] spans = Arrays.stream(all).mapToLong(wait -> wait[1] - wait[0]).sorted().toArray();
        return new double[] {spans[spans.length - 1 - spans.length / 1000] / 1e6,
            sum * sum / (threads * squares), took / sum / 1e3, overtaken(all)};
    }

    /** As overtaken in workloads.c. */
    private static long overtaken(long[][] waits) {
        Arrays.sort(waits, (a, b) -> Long.compare(a[0], b[0]));
        long most = 0;
        for (int i = 0; i < waits.length; i++) {
            long count = 0;
            for (int j = i + 1; j < waits.length && waits[j][0] < waits[i][1]; j++) {
                count += waits[j][1] < waits[i][1] ? 1 : 0;
            }
            most = Math.max(most, count);
        }
        return most;
    }

    @Override
    double[][] measure(String workload, int repetitions) throws Exception {
        int threads = Integer.parseInt(workload.substring(workload.lastIndexOf('-') + 1));
        try (HikariDataSource pool = open()) {
            cycles(pool, threads, WARM_NS);
            if (workload.startsWith("hold")) {
                double[] values = holds(pool, threads, HOLD_RUN_NS);
                return Arrays.stream(values).mapToObj(value -> new double[] {value})
                        .toArray(double[][]::new);
            }
            double[] values = new double[repetitions];
            for (int i = 0; i < repetitions; i++) {
                values[i] = cycles(pool, threads, RUN_NS);
            }
            return new double[][] {values};
        }
    }

    public static void main(String[] arguments) throws Exception {
        new HikariBench().begin(arguments);
    }
}
