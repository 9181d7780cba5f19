/* SPDX-License-Identifier: MIT */
#include "each.h"

#include "cli.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Opened before anything is run: a report that cannot be written is told in time. */
static bool open_reports(const struct run_options *options, FILE **ret)
{
    for (size_t i = 0; i < options->report_count; i++) {
        ret[i] = fopen(options->reports[i].path, "we");
        if (!ret[i]) {
            complain("cannot write the report %s: %m", options->reports[i].path);
            return false;
        }
    }
    return true;
}

static bool write_to(FILE *out, const char *name, pnx_report_format format, const struct each *each)
{
    pnx_error err = {0};
    pnx_report_options how = {.fail_on_leftovers = each->options->fail_on_leftovers};
    pnx_status status = out ? pnx_session_reports_write(each->reports.reports, each->reports.count,
                                                        format, &how, out, &err)
                            : pnx_fail(&err, PNX_EFAILED, "it cannot be written: %m");
    if (out && fclose(out) != 0 && status == PNX_OK)
        status = pnx_fail(&err, PNX_EFAILED, "it cannot be written: %m");
    if (status != PNX_OK)
        complain("%s: %s", name, err.message);
    return status == PNX_OK;
}

static bool write_reports(const struct each *each, FILE **files)
{
    const struct run_options *options = each->options;
    bool written = true;
    for (size_t i = 0; i < options->report_count; i++)
        written = write_to(files[i], options->reports[i].path, options->reports[i].format, each) &&
                  written;
    if (options->report_fd >= 0)
        written = write_to(fdopen(options->report_fd, "w"), "--report-fd", PNX_REPORT_JSON, each) &&
                  written;
    return written;
}

/* Of the first line that failed for good. */
static int status_of(const struct each *each)
{
    if (each->stop_signal)
        return EXIT_SIGNAL + each->stop_signal;
    for (size_t i = 0; i < each->lines.count; i++)
        if (each->lines.lines[i].status != 0)
            return each->lines.lines[i].status;
    return 0;
}

static bool left_something(const struct each *each)
{
    for (size_t i = 0; i < each->reports.count; i++)
        if (each->reports.reports[i].leftovers > 0 || each->reports.reports[i].unremoved > 0)
            return true;
    return false;
}

static int run(struct each *each)
{
    FILE *files[REPORTS_MAX] = {NULL};
    pnx_error err = {0};
    if (!open_reports(each->options, files))
        return EXIT_CLEANROOM;
    if (each_run(each, &err) != PNX_OK) {
        complain_of(&err);
        return EXIT_CLEANROOM;
    }
    each_sort_reports(&each->reports);
    int status = status_of(each);
    if (!each->options->quiet || status != 0 || left_something(each))
        (void)!pnx_session_reports_write(each->reports.reports, each->reports.count,
                                         PNX_REPORT_TEXT, NULL, stderr, NULL);
    bool written = write_reports(each, files);
    return status == 0 && !written ? EXIT_CLEANROOM : status;
}

/* As the tool does: what the caller closed must not become one of ours. */
static void fill_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)open("/dev/null", O_RDWR | O_CLOEXEC);
}

int main(int argc, char **argv)
{
    struct run_options options = {0};
    struct each each = {.options = &options};
    int status;
    fill_standard_descriptors();
    const char *tool = getenv("CLEANROOM_SELF");
    char *self = strdup(tool && *tool ? tool : "cleanroom");
    (void)unsetenv("CLEANROOM_SELF");
    if (!parse_run_options(argc, argv, &options, &status)) {
        forget_run_options(&options);
        free(self);
        return status;
    }
    if (!self || !options.each) {
        complain("'cleanroom each' is used by 'cleanroom run --each'");
        free(self);
        return EXIT_CLEANROOM;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    each.tool = self;
    options.jobs = options.jobs ? options.jobs : 1;
    status = each_read_lines(options.each, &each.lines) ? run(&each) : EXIT_CLEANROOM;
    each_free_reports(&each.reports);
    each_free_lines(&each.lines);
    forget_run_options(&options);
    free(self);
    return status;
}
