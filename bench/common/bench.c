/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include "clock.h"
#include "machine.h"
#include "noise.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPETITIONS_DEFAULT 5
#define REPETITIONS_MAX 1000

/** Short repetitions are repeated more often, lest the noise check sees too little. */
#define TURN_NS ((uint64_t)300 * NS_PER_MS)

/** A noisy turn gets one more chance, as in the research that the targets come from. */
#define ATTEMPTS_MAX 2

/** What the repetitions of one workload gave. */
struct turn {
    double values[BENCH_ROWS_MAX][REPETITIONS_MAX];
    int repetitions;
    bool noisy;
};

void bench_give_up(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(EXIT_FAILURE);
}

static void repeat_once(const struct bench_workload *workload, const void *operations,
                        struct turn *turn)
{
    double values[BENCH_ROWS_MAX] = {0};

    workload->run(operations, values);
    for (int row = 0; row < BENCH_ROWS_MAX; row++)
        turn->values[row][turn->repetitions] = values[row];
    turn->repetitions++;
}

static void repeat(const struct bench_workload *workload, const void *operations, int least,
                   struct turn *ret)
{
    const struct noise before = noise_now();

    ret->repetitions = 0;
    do
        repeat_once(workload, operations, ret);
    while (!workload->once && ret->repetitions < REPETITIONS_MAX &&
           (ret->repetitions < least || now_ns() - before.time_ns < TURN_NS));
    ret->noisy = noise_since(&before, workload->latency);
}

static void measure(const struct bench_workload *workload, const void *operations, int least,
                    struct turn *ret)
{
    if (workload->once) {
        repeat(workload, operations, 1, ret);
        return;
    }
    ret->repetitions = 0;
    repeat_once(workload, operations, ret); /* warm-up: caches, page faults, branch predictors */
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        repeat(workload, operations, least, ret);
        if (!ret->noisy)
            return;
    }
}

static int by_value(const void *left, const void *right)
{
    const double a = *(const double *)left;
    const double b = *(const double *)right;
    return (a > b) - (a < b);
}

static void print_row(const char *subject, const struct bench_row *row, const char *who,
                      double *values, int count, bool noisy)
{
    qsort(values, (size_t)count, sizeof *values, by_value);
    printf("{\"subject\": \"%s\", \"metric\": \"%s\", \"unit\": \"%s\", \"who\": \"%s\", "
           "\"min\": %.6g, \"median\": %.6g, \"max\": %.6g, \"noisy\": %s}\n",
           subject, row->metric, row->unit, who, values[0], values[count / 2], values[count - 1],
           noisy ? "true" : "false");
}

static void run_workload(const char *subject, const struct bench_workload *workload,
                         const struct bench_contender *who, int least)
{
    static struct turn turn;

    measure(workload, who->operations, least, &turn);
    for (int row = 0; workload->rows[row].metric; row++)
        print_row(subject, &workload->rows[row], who->name, turn.values[row], turn.repetitions,
                  turn.noisy);
    fflush(stdout);
}

static void list_workload(const struct bench_workload *workload)
{
    printf("\"%s\": [", workload->name);
    for (int row = 0; workload->rows[row].metric; row++)
        printf("%s\"%s\"", row ? ", " : "", workload->rows[row].metric);
    printf("]");
}

static void list(const struct bench_program *program)
{
    for (const struct bench_contender *who = program->contenders; who->name; who++) {
        const char *separator = "";
        printf("{\"who\": \"%s\", \"version\": \"%s\", \"workloads\": {", who->name, who->version);
        for (const struct bench_workload *const *workload = program->workloads; *workload;
             workload++) {
            if (!(*workload)->can(who->operations))
                continue;
            printf("%s", separator);
            list_workload(*workload);
            separator = ", ";
        }
        puts("}}");
    }
}

/* ---- arguments ------------------------------------------------------------------------------- */

struct arguments {
    int repetitions;
    const char *who; /**< NULL: all */
    int workload_count;
    char *const *workloads;
};

static struct arguments read_arguments(int argc, char **argv)
{
    struct arguments arguments = {.repetitions = REPETITIONS_DEFAULT};
    int next = 1;

    for (; next + 1 < argc && argv[next][0] == '-'; next += 2) {
        if (strcmp(argv[next], "--repetitions") == 0)
            arguments.repetitions = (int)strtol(argv[next + 1], NULL, 10);
        else if (strcmp(argv[next], "--who") == 0)
            arguments.who = argv[next + 1];
        else
            bench_give_up("there is no option %s", argv[next]);
    }
    if (arguments.repetitions < 1 || arguments.repetitions > REPETITIONS_MAX)
        bench_give_up("--repetitions is from 1 to %d", REPETITIONS_MAX);
    arguments.workload_count = argc - next;
    arguments.workloads = argv + next;
    return arguments;
}

static bool is_wanted(const struct arguments *arguments, const struct bench_workload *workload,
                      const struct bench_contender *who)
{
    if (!workload->can(who->operations))
        return false;
    if (arguments->who && strcmp(arguments->who, who->name) != 0)
        return false;
    for (int i = 0; i < arguments->workload_count; i++) {
        if (strcmp(arguments->workloads[i], workload->name) == 0)
            return true;
    }
    return arguments->workload_count == 0;
}

int bench_main(int argc, char **argv, const struct bench_program *program)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        list(program);
        return EXIT_SUCCESS;
    }

    const struct arguments arguments = read_arguments(argc, argv);
    machine_prepare();
    for (const struct bench_workload *const *workload = program->workloads; *workload; workload++) {
        for (const struct bench_contender *who = program->contenders; who->name; who++) {
            if (is_wanted(&arguments, *workload, who))
                run_workload(program->subject, *workload, who, arguments.repetitions);
        }
    }
    return EXIT_SUCCESS;
}
