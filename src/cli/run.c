/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "progress.h"
#include "run_options.h"

#include <cleanroom/session.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- signals --------------------------------------------------------------------------------- */

/* What a handler can reach; set before the first one is installed, and for good. */
static pnx_session *session_of_handler;

static void on_signal(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    bool from_process = info->si_code <= 0; /* kill(2), sigqueue(3), …: it says from whom */
    pnx_session_signal(session_of_handler, signal_number, from_process ? info->si_pid : 0);
}

/* Takes the signals that are to reach the command. What we were told to ignore, as by nohup(1) or
 * by a shell that starts us in the background, the command ignores too, and we do. */
static void take_signals(pnx_session *session)
{
    static const int taken[] = {SIGTERM, SIGINT,   SIGHUP,  SIGQUIT, SIGUSR1,
                                SIGUSR2, SIGWINCH, SIGTSTP, SIGCONT, SIGCHLD};
    session_of_handler = session;
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        struct sigaction before, action = {.sa_flags = SA_SIGINFO | SA_RESTART};
        if (taken[i] != SIGCHLD && sigaction(taken[i], NULL, &before) == 0 &&
            before.sa_handler == SIG_IGN)
            continue;
        action.sa_sigaction = on_signal;
        sigfillset(&action.sa_mask);
        (void)sigaction(taken[i], &action, NULL);
    }
}

/* ---- the report ------------------------------------------------------------------------------ */

/* Opened before the command runs: a report that cannot be written is told in time. */
static bool open_reports(const struct run_options *options, FILE **ret)
{
    for (size_t i = 0; i < options->report_count; i++) {
        int fd = open(options->reports[i].path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        ret[i] = fd >= 0 ? fdopen(fd, "w") : NULL;
        if (!ret[i]) {
            complain("cannot write the report %s: %m", options->reports[i].path);
            return false;
        }
    }
    return true;
}

/* In one piece: other programs may write to the same terminal or log. */
static void print_report(const pnx_session_report *report)
{
    char *text = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&text, &length);
    FILE *out = memory ? memory : stderr;
    (void)!pnx_session_report_write_text(report, out, NULL); /* where would we complain? */
    if (!memory)
        return;
    (void)fclose(memory);
    (void)fwrite(text, 1, length, stderr);
    free(text);
}

/* Is it a file for the report alone, with this many bytes in it? */
static bool is_own_file(int fd, off_t size)
{
    struct stat about;
    return fd > 2 && fstat(fd, &about) == 0 && S_ISREG(about.st_mode) && about.st_size == size &&
           lseek(fd, 0, SEEK_CUR) == size;
}

/* If we are killed, whoever gave us a file for the report learns from it whose report to look for;
 * `cleanroom run --each` does. */
static void announce(const struct run_options *options, const pnx_session *session)
{
    char id[PNX_ID_TEXT_SIZE];
    if (is_own_file(options->report_fd, 0))
        (void)!write(options->report_fd, pnx_id_format(pnx_session_id(session), id), sizeof id - 1);
}

static bool write_to_descriptor(const struct run_options *options, const pnx_session_report *report)
{
    pnx_error err = {0};
    if (options->report_fd < 0)
        return true;
    if (is_own_file(options->report_fd, PNX_ID_TEXT_SIZE - 1) &&
        ftruncate(options->report_fd, 0) == 0) /* it was announced */
        (void)lseek(options->report_fd, 0, SEEK_SET);
    FILE *out = fdopen(options->report_fd, "w");
    pnx_status status = out ? pnx_session_report_write_json(report, out, &err)
                            : pnx_fail(&err, PNX_EFAILED, "cannot write the report: %m");
    if (out && fclose(out) != 0 && status == PNX_OK)
        status = pnx_fail(&err, PNX_EFAILED, "cannot write the report: %m");
    if (status != PNX_OK)
        complain_of(&err);
    return status == PNX_OK;
}

/* False: one could not be written; that was told. */
static bool write_reports(const struct run_options *options, const pnx_session_report *report,
                          FILE **files)
{
    pnx_report_options how = {.fail_on_leftovers = options->fail_on_leftovers};
    bool written = true;
    for (size_t i = 0; i < options->report_count; i++) {
        pnx_error err = {0};
        pnx_status status =
            pnx_session_report_write(report, options->reports[i].format, &how, files[i], &err);
        if (fclose(files[i]) != 0 && status == PNX_OK)
            status = pnx_fail(&err, PNX_EFAILED, "cannot write the report: %m");
        if (status == PNX_OK)
            continue;
        complain("%s: %s", options->reports[i].path, err.message);
        written = false;
    }
    return write_to_descriptor(options, report) && written;
}

/* ---- the run --------------------------------------------------------------------------------- */

static int status_of(const struct run_options *options, const pnx_session_report *report,
                     bool reported)
{
    if (report->timed_out)
        return EXIT_TIMED_OUT;
    if (report->exit_signal)
        return EXIT_SIGNAL + report->exit_signal;
    if (report->exit_code != 0)
        return report->exit_code;
    if (!reported)
        return EXIT_CLEANROOM;
    if (options->fail_on_leftovers && report->unremoved > 0)
        return EXIT_UNREMOVED;
    if (options->fail_on_leftovers && report->leftovers > 0)
        return EXIT_LEFTOVERS;
    return 0;
}

static int status_of_failure(pnx_status status)
{
    if (status == PNX_ENOTFOUND)
        return EXIT_NOT_FOUND;
    return status == PNX_EUNSUPPORTED ? EXIT_CANNOT_RUN : EXIT_CLEANROOM;
}

static bool has_failed_hook(const pnx_session_report *report)
{
    for (size_t i = 0; i < report->hook_count; i++)
        if (report->hooks[i].exit_code != 0 || report->hooks[i].timed_out)
            return true;
    return false;
}

static int run_in(pnx_session *session, const struct run_options *options, FILE **files)
{
    pnx_error err = {0};
    pnx_session_report report;
    pnx_status status = pnx_session_run(session, options->command, &err);
    (void)signal(SIGPIPE, SIG_IGN); /* nobody may be reading stderr any more */
    (void)signal(SIGTTOU, SIG_IGN); /* the terminal may still belong to the command's group */
    bool ran = status == PNX_OK || status == PNX_ETIMEOUT;
    if (!ran)
        complain_of(&err);

    struct progress progress = {0};
    if (!options->quiet)
        progress_begin(&progress, session);
    (void)pnx_session_close(session, &report, NULL); /* the report tells what it could not do */
    progress_end(&progress);
    bool worth_telling = report.leftovers > 0 || report.unremoved > 0 || report.kept > 0 ||
                         report.warnings || report.artifacts_failed > 0 ||
                         has_failed_hook(&report); /* what is foreign may be anybody's */
    if (worth_telling || (ran && !options->quiet))
        print_report(&report);
    bool reported = write_reports(options, &report, files);
    int exit_status = ran ? status_of(options, &report, reported) : status_of_failure(status);
    pnx_session_report_done(&report);
    return exit_status;
}

static int run_with(const struct run_options *options)
{
    FILE *files[REPORTS_MAX];
    if (!open_reports(options, files))
        return EXIT_CLEANROOM;

    pnx_error err = {0};
    pnx_session *session;
    pnx_process adopter;
    if (pnx_session_catch_sigbus(&err) != PNX_OK)
        complain_of(&err); /* it can do without */
    bool adopting = begin_to_adopt(&adopter);
    if (pnx_session_open(&options->session, &session, &err) != PNX_OK) {
        complain_of(&err);
        return EXIT_CLEANROOM;
    }
    take_signals(session);
    announce(options, session);
    int status = run_in(session, options, files);
    if (adopting)
        end_adopting(&adopter);
    /* Closed, but not freed: a handler may be about to use it, and the process ends here. */
    return status;
}

/* The program for that takes the options as they are: the configuration is among them already. */
static int run_each(int argc, char **argv)
{
    char **all = calloc((size_t)argc + 2, sizeof *all);
    if (!all) {
        complain("no memory for the options");
        return EXIT_CLEANROOM;
    }
    all[0] = (char *)"each";
    for (int i = 1; i < argc; i++)
        all[i] = argv[i];
    (void)cli_helper(argc, all);
    free(all);
    return EXIT_CLEANROOM;
}

int cli_run(int argc, char **argv)
{
    struct run_options options = {
        .session =
            {
                .owns_children = true, /* this process does nothing else, … */
                .job_control = true,   /* … and a shell may be watching it */
                .tool = "/proc/self/exe",
                .at_exit = PNX_EXIT_NOTHING,
                .docker = PNX_DOCKER_AUTO,
            },
    };
    int status;
    if (add_configuration(&argc, &argv, &options, &status) &&
        parse_run_options(argc, argv, &options, &status))
        status = options.each ? run_each(argc, argv) : run_with(&options);
    forget_run_options(&options);
    return status;
}
