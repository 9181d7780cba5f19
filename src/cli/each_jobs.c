/* SPDX-License-Identifier: MIT */
/*
 * Each attempt is a `cleanroom run` of its own, with its output and its report in files that have
 * no name: nothing of them is left, whoever is killed. The output is shown when the attempt has
 * ended.
 */
#include "cli.h"
#include "each.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME_BYTES 60
/* Where the child has its report. */
#define REPORT_FD 3
#define REPORT_OPTION "--report-fd=3"
/* Above all that is given away. */
#define FIRST_OWN 10

/* One of the attempts that run at a time. */
struct slot {
    pid_t pid; /* 0: it is free */
    struct each_line *line;
    int output, report;
    pnx_time began;
};

struct runner {
    struct each *each;
    struct slot *slots;
    unsigned slot_count, running;
    size_t next; /* of the lines */
    sigset_t waited, mask;
};

/* ---- starting -------------------------------------------------------------------------------- */

static int nameless_file(void)
{
    const char *dir = getenv("TMPDIR");
    int fd = open(dir && *dir == '/' ? dir : "/tmp", O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        fd = memfd_create("cleanroom", MFD_CLOEXEC);
    if (fd < 0)
        return -1;
    int own = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_OWN);
    close(fd);
    return own;
}

static char *name_of(const struct each *each, const struct each_line *line)
{
    char *option = NULL;
    const char *given = each->options->session.name;
    int length = given ? asprintf(&option, "--name=%s", given)
                       : asprintf(&option, "--name=%.*s", NAME_BYTES, line->text);
    return length > 0 ? option : NULL;
}

/* The texts of options are made for this call alone: the caller frees them, by `ret_made`. */
static char **arguments_of(const struct each *each, const struct each_line *line)
{
    const struct run_options *options = each->options;
    char **argv = calloc(options->passed_count + 12, sizeof *argv);
    size_t count = 0;
    if (!argv)
        return NULL;
    argv[count++] = strdup("cleanroom");
    argv[count++] = strdup("run");
    argv[count++] = strdup("--no-config");
    argv[count++] = strdup("--quiet");
    argv[count++] = strdup(REPORT_OPTION);
    argv[count++] = name_of(each, line);
    for (size_t i = 0; i < options->passed_count; i++) {
        const struct passed_option *passed = &options->passed[i];
        int length = passed->value ? asprintf(&argv[count], "--%s=%s", passed->name, passed->value)
                                   : asprintf(&argv[count], "--%s", passed->name);
        if (length < 0)
            argv[count] = NULL;
        count++;
    }
    argv[count++] = strdup("--");
    argv[count++] = strdup("sh");
    argv[count++] = strdup("-c");
    argv[count++] = strdup(line->text);
    for (size_t i = 0; i < count; i++)
        if (!argv[i]) {
            for (size_t j = 0; j < count; j++)
                free(argv[j]);
            free(argv);
            return NULL;
        }
    return argv;
}

static void free_arguments(char **argv)
{
    for (size_t i = 0; argv && argv[i]; i++)
        free(argv[i]);
    free(argv);
}

static _Noreturn void become(const struct runner *runner, const struct slot *slot, char **argv)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null >= 0 && dup2(null, 0) == 0 && dup2(slot->output, 1) == 1 &&
        dup2(slot->output, 2) == 2 && dup2(slot->report, REPORT_FD) == REPORT_FD) {
        (void)fcntl(0, F_SETFD, 0); /* when it was 0 already */
        sigprocmask(SIG_SETMASK, &runner->mask, NULL);
        execvp(runner->each->tool, argv);
    }
    complain("cannot execute '%s': %m", runner->each->tool);
    _exit(EXIT_CLEANROOM);
}

static bool start(struct runner *runner, struct slot *slot, struct each_line *line)
{
    char **argv = arguments_of(runner->each, line);
    *slot = (struct slot){.line = line, .output = nameless_file(), .report = nameless_file()};
    slot->began = pnx_monotonic_now();
    if (argv && slot->output >= 0 && slot->report >= 0) {
        slot->pid = fork();
        if (slot->pid == 0)
            become(runner, slot, argv);
    }
    int number = argv ? errno : ENOMEM;
    free_arguments(argv);
    if (slot->pid > 0) {
        line->attempts++;
        runner->running++;
        return true;
    }
    errno = number;
    complain("cannot run line %u: %m", line->number);
    line->status = EXIT_CLEANROOM;
    if (slot->output >= 0)
        close(slot->output);
    if (slot->report >= 0)
        close(slot->report);
    *slot = (struct slot){0};
    return false;
}

static void start_more(struct runner *runner)
{
    struct each *each = runner->each;
    for (unsigned i = 0; i < runner->slot_count && !each->stop_signal; i++)
        while (!runner->slots[i].pid && runner->next < each->lines.count)
            if (start(runner, &runner->slots[i], &each->lines.lines[runner->next++]))
                break;
}

/* ---- ending ---------------------------------------------------------------------------------- */

static void print_head(const struct slot *slot, unsigned retries)
{
    char end[32] = "", span[48];
    const struct each_line *line = slot->line;
    if (line->status > EXIT_SIGNAL)
        snprintf(end, sizeof end, "signal %d", line->status - EXIT_SIGNAL);
    else
        snprintf(end, sizeof end, "exit %d", line->status);
    pnx_span_format((pnx_monotonic_now() - slot->began) / PNX_MS(1) * PNX_MS(1), span, sizeof span);
    printf("==> line %u: ", line->number);
    print_name(stdout, line->text);
    printf(" (%s", end);
    if (retries > 0)
        printf(", attempt %u", line->attempts);
    printf(", %s)\n", span);
}

/* A pipe that nobody reads any more loses it, and nothing else. */
static void show(const struct slot *slot)
{
    char buffer[65536], last = '\n';
    off_t at = 0;
    ssize_t got;
    while ((got = pread(slot->output, buffer, sizeof buffer, at)) > 0) {
        (void)fwrite(buffer, 1, (size_t)got, stdout);
        last = buffer[got - 1];
        at += got;
    }
    if (last != '\n') /* the next head begins a line */
        putchar('\n');
    (void)fflush(stdout);
}

static int status_of(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_SIGNAL + WTERMSIG(status);
}

static void end(struct runner *runner, struct slot *slot, int status)
{
    struct each *each = runner->each;
    struct each_line *line = slot->line;
    line->status = status_of(status);
    print_head(slot, each->options->retries);
    show(slot);
    each_add_report(&each->reports, slot->report, line);
    close(slot->output);
    close(slot->report);
    *slot = (struct slot){0};
    runner->running--;
    bool again = line->status != 0 && line->attempts <= each->options->retries;
    if (again && !each->stop_signal)
        (void)start(runner, slot, line);
}

static void reap(struct runner *runner)
{
    for (unsigned i = 0; i < runner->slot_count; i++) {
        struct slot *slot = &runner->slots[i];
        int status;
        if (slot->pid && waitpid(slot->pid, &status, WNOHANG) == slot->pid)
            end(runner, slot, status);
    }
}

/* ---- signals --------------------------------------------------------------------------------- */

/* No further line is begun. From the terminal, all that runs has had the signal as well. */
static void take(struct runner *runner, const siginfo_t *info)
{
    runner->each->stop_signal = info->si_signo;
    for (unsigned i = 0; info->si_code <= 0 && i < runner->slot_count; i++)
        if (runner->slots[i].pid)
            (void)kill(runner->slots[i].pid, info->si_signo); /* not waited for: it is ours */
}

static void wait_for_signals(struct runner *runner)
{
    static const int taken[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    sigemptyset(&runner->waited);
    sigaddset(&runner->waited, SIGCHLD);
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        struct sigaction before; /* what we were started to ignore stays ignored */
        if (sigaction(taken[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaddset(&runner->waited, taken[i]);
    }
    (void)signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_BLOCK, &runner->waited, &runner->mask);
}

pnx_status each_run(struct each *each, pnx_error *err)
{
    struct runner runner = {.each = each, .slot_count = each->options->jobs};
    runner.slots = calloc(runner.slot_count, sizeof *runner.slots);
    if (!runner.slots)
        return pnx_fail(err, PNX_ENOMEM, "no memory for %u jobs", runner.slot_count);
    wait_for_signals(&runner);
    for (start_more(&runner); runner.running > 0; start_more(&runner)) {
        siginfo_t info;
        int number = sigwaitinfo(&runner.waited, &info);
        if (number == SIGCHLD)
            reap(&runner);
        else if (number > 0)
            take(&runner, &info);
    }
    free(runner.slots);
    return PNX_OK;
}
