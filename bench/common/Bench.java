/* SPDX-License-Identifier: MIT */
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;

/**
 * The main of a peer that is written in Java: the same arguments and the same lines as those of
 * bench_main (bench.h). A subclass measures; this watches the machine meanwhile, and prints.
 */
abstract class Bench {
    static final double FOREIGN_MAX = 0.05;

    final String subject;
    final String who;
    /** By name: the rows of each workload, a metric and its unit. */
    final Map<String, String[][]> workloads;

    Bench(String subject, String who, Map<String, String[][]> workloads) {
        this.subject = subject;
        this.who = who;
        this.workloads = workloads;
    }

    /** Answers, for each row, the values of the repetitions. */
    abstract double[][] measure(String workload, int repetitions) throws Exception;

    /** Busy time of the machine and of this process, in clock ticks of 10 ms. */
    private static long[] ticks() throws Exception {
        String[] all = Files.readAllLines(Path.of("/proc/stat")).get(0).trim().split("\\s+");
        long busy = 0;
        for (int field : new int[] {1, 2, 3, 6, 7, 8}) {
            busy += Long.parseLong(all[field]);
        }
        String self = Files.readString(Path.of("/proc/self/stat"));
        String[] own = self.substring(self.lastIndexOf(')') + 2).split(" ");
        return new long[] {busy, Long.parseLong(own[11]) + Long.parseLong(own[12])};
    }

    private void run(String workload, int repetitions) throws Exception {
        long[] before = ticks();
        long began = System.nanoTime();
        double[][] rows = measure(workload, repetitions);
        double seconds = (System.nanoTime() - began) / 1e9;
        long[] after = ticks();
        double foreign = ((after[0] - before[0]) - (after[1] - before[1])) / 100.0 / seconds;
        for (int row = 0; row < rows.length; row++) {
            double[] values = rows[row];
            Arrays.sort(values);
            String[] what = workloads.get(workload)[row];
            System.out.printf("{\"subject\": \"%s\", \"metric\": \"%s\", \"unit\": \"%s\", "
                    + "\"who\": \"%s\", \"min\": %.6g, \"median\": %.6g, \"max\": %.6g, "
                    + "\"noisy\": %b}%n", subject, what[0], what[1], who, values[0],
                    values[values.length / 2], values[values.length - 1], foreign > FOREIGN_MAX);
        }
    }

    private void list() {
        StringBuilder list = new StringBuilder();
        for (Map.Entry<String, String[][]> workload : workloads.entrySet()) {
            StringBuilder metrics = new StringBuilder();
            for (String[] row : workload.getValue()) {
                metrics.append(metrics.length() > 0 ? ", " : "").append('"').append(row[0]);
                metrics.append('"');
            }
            list.append(list.length() > 0 ? ", " : "")
                    .append(String.format("\"%s\": [%s]", workload.getKey(), metrics));
        }
        System.out.printf("{\"who\": \"%s\", \"version\": \"%s\", \"workloads\": {%s}}%n", who,
                System.getProperty("version"), list);
    }

    void begin(String[] arguments) throws Exception {
        if (arguments.length == 1 && arguments[0].equals("--list")) {
            list();
            return;
        }
        int repetitions = 5;
        int next = 0;
        for (; next + 1 < arguments.length && arguments[next].startsWith("--"); next += 2) {
            if (arguments[next].equals("--repetitions")) {
                repetitions = Integer.parseInt(arguments[next + 1]);
            }
        }
        String[] wanted = next < arguments.length
                ? Arrays.copyOfRange(arguments, next, arguments.length)
                : workloads.keySet().toArray(new String[0]);
        for (String workload : wanted) {
            run(workload, repetitions);
        }
    }
}
