/* SPDX-License-Identifier: MIT */
#include "run_options.h"

#include "cli.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: cleanroom run [OPTION...] [--] CMD [ARG...]\n"
    "\n"
    "Runs CMD with a private TMPDIR and, where that can be, in a cgroup of its own. Afterwards "
    "ends\n"
    "the processes and removes the files that it left behind, makes sure that they are gone, and\n"
    "says on stderr what they were.\n"
    "\n"
    "  --timeout DUR        end CMD, and all that it started, after DUR; then exit with 124\n"
    "  --grace DUR          time between SIGTERM and SIGKILL; 0 kills at once [1s]\n"
    "  --name NAME          what to call this run in reports [the name of CMD]\n"
    "  --isolate LIST       what CMD has of its own: tmp,ipc,pid,mount,net, or all\n"
    "  --limit LIST         what CMD may use: mem=SIZE,pids=N,cpu=N,fsize=SIZE,disk=SIZE\n"
    "  --tier N             use tier N at most, of 0 to 3; auto: the best that can be had [auto]\n"
    "  --require-tier N     fail if less than tier N can be had\n"
    "  --watch DIR          tell of new files in DIR, at any depth; may be given several times\n"
    "  --keep WHEN          never, on-failure, always: what CMD left, but for processes, stays\n"
    "                       [never]\n"
    "  --report FILE        write the report to FILE.txt, .json, .xml (JUnit) or .html, too; may "
    "be\n"
    "                       given several times\n"
    "  --fail-on-leftovers  exit with 120 if CMD succeeded but left something behind,\n"
    "                       with 121 if some of that could not be removed\n"
    "  --quiet              say nothing when nothing was left behind\n"
    "  --help               this text\n"
    "  --version            the version\n"
    "\n"
    "DUR is a number of seconds, or has units: 500ms, 1.5s, 2m30s, 1h.\n"
    "\n"
    "Exit status: that of CMD; 128+N if signal N ended it; 124 timed out; 125 cleanroom failed;\n"
    "126 CMD cannot be executed; 127 there is no such command.\n";

enum {
    TIMEOUT = 256,
    GRACE,
    NAME,
    TIER,
    REQUIRE_TIER,
    WATCH,
    KEEP,
    REPORT,
    ISOLATE,
    LIMIT,
    FAIL,
    QUIET,
    HELP,
    VERSION,
};

static const struct option options[] = {
    {"timeout", required_argument, NULL, TIMEOUT},
    {"grace", required_argument, NULL, GRACE},
    {"name", required_argument, NULL, NAME},
    {"tier", required_argument, NULL, TIER},
    {"require-tier", required_argument, NULL, REQUIRE_TIER},
    {"watch", required_argument, NULL, WATCH},
    {"keep", required_argument, NULL, KEEP},
    {"report", required_argument, NULL, REPORT},
    {"isolate", required_argument, NULL, ISOLATE},
    {"limit", required_argument, NULL, LIMIT},
    {"fail-on-leftovers", no_argument, NULL, FAIL},
    {"quiet", no_argument, NULL, QUIET},
    {"help", no_argument, NULL, HELP},
    {"version", no_argument, NULL, VERSION},
    {NULL, 0, NULL, 0},
};

static bool parse_span(const char *option, const char *text, pnx_duration *ret)
{
    pnx_error err = {0};
    if (pnx_span_parse(text, ret, &err) == PNX_OK)
        return true;
    (void)pnx_wrap(&err, PNX_EINVAL, "--%s '%s' is not a span of time", option, text);
    complain_of(&err);
    return false;
}

/* The reaper, which has another working directory, may have to write it in our place. */
static char *absolute(const char *file)
{
    char *path = NULL, *cwd = *file == '/' ? NULL : getcwd(NULL, 0);
    if (*file == '/')
        return strdup(file);
    if (cwd && asprintf(&path, "%s/%s", cwd, file) < 0)
        path = NULL;
    free(cwd);
    return path;
}

static bool parse_report(const char *file, struct run_options *ret)
{
    pnx_error err = {0};
    if (ret->report_count == REPORTS_MAX) {
        complain("--report '%s': at most %d reports are written", file, REPORTS_MAX);
        return false;
    }
    struct report_file *report = &ret->reports[ret->report_count];
    if (pnx_report_format_of(file, &report->format, &err) != PNX_OK) {
        (void)pnx_wrap(&err, PNX_EINVAL, "--report");
        complain_of(&err);
        return false;
    }
    report->path = file;
    ret->report_paths[ret->report_count] = absolute(file);
    ret->report_count += ret->report_paths[ret->report_count] != NULL;
    ret->session.reports = ret->report_paths;
    return true;
}

static bool parse_tier(const char *option, const char *text, unsigned *ret)
{
    if (text[0] >= '0' && text[0] <= '3' && text[1] == '\0') {
        *ret = (unsigned)(text[0] - '0');
        return true;
    }
    complain("--%s '%s': there are the tiers 0, 1, 2 and 3", option, text);
    return false;
}

static bool parse_keep(const char *text, pnx_keep *ret)
{
    static const char *const names[] = {"never", "on-failure", "always"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(text, names[i]) == 0) {
            *ret = (pnx_keep)i;
            return true;
        }
    complain("--keep '%s': it is never, on-failure or always", text);
    return false;
}

static bool add_watched(const char *dir, struct run_options *ret)
{
    if (ret->watch_count == WATCHED_MAX) {
        complain("--watch '%s': at most %d directories are watched", dir, WATCHED_MAX);
        return false;
    }
    ret->watch[ret->watch_count++] = dir;
    ret->session.watch = ret->watch;
    return true;
}

/* Given more than once, it adds up. */
static bool parse_isolate(const char *text, unsigned *isolate)
{
    pnx_error err = {0};
    unsigned more;
    if (pnx_isolate_parse(text, &more, &err) != PNX_OK) {
        complain("--isolate: %s", err.message);
        return false;
    }
    *isolate |= more;
    return true;
}

static bool parse_limit(const char *text, pnx_limits *limits)
{
    pnx_error err = {0};
    pnx_limits more;
    if (pnx_limits_any(limits)) {
        complain("--limit '%s': give all limits in one list", text);
        return false;
    }
    if (pnx_limits_parse(text, &more, &err) != PNX_OK) {
        complain("--limit: %s", err.message);
        return false;
    }
    *limits = more;
    return true;
}

static bool take(int option, struct run_options *ret)
{
    switch (option) {
    case TIMEOUT:
        /* 0 disables it, as with timeout(1): zero is the default of the config too. */
        return parse_span("timeout", optarg, &ret->session.timeout);
    case GRACE:
        if (!parse_span("grace", optarg, &ret->session.grace))
            return false;
        if (ret->session.grace == 0)
            ret->session.grace = PNX_NO_GRACE;
        return true;
    case NAME:
        ret->session.name = optarg;
        return true;
    case TIER: {
        unsigned tier;
        if (strcmp(optarg, "auto") == 0)
            return true;
        if (!parse_tier("tier", optarg, &tier))
            return false;
        ret->session.tier = PNX_TIER(tier);
        return true;
    }
    case REQUIRE_TIER:
        return parse_tier("require-tier", optarg, &ret->session.tier_required);
    case WATCH:
        return add_watched(optarg, ret);
    case KEEP:
        return parse_keep(optarg, &ret->session.keep);
    case REPORT:
        return parse_report(optarg, ret);
    case ISOLATE:
        return parse_isolate(optarg, &ret->session.isolate);
    case LIMIT:
        return parse_limit(optarg, &ret->session.limits);
    case FAIL:
        return ret->fail_on_leftovers = true;
    case QUIET:
        return ret->quiet = true;
    default:
        return false;
    }
}

bool parse_run_options(int argc, char **argv, struct run_options *ret, int *ret_status)
{
    *ret_status = EXIT_CLEANROOM;
    opterr = 0;
    for (;;) {
        int option = getopt_long(argc, argv, "+:", options, NULL);
        if (option == -1)
            break;
        if (option == HELP || option == VERSION) {
            if (option == HELP)
                fputs(usage, stdout);
            else
                printf("cleanroom %s\n", pnx_version());
            *ret_status = 0;
            return false;
        }
        if (option == ':' || option == '?')
            complain_of_option("run", option, argv);
        if (!take(option, ret))
            return false;
    }
    if (optind >= argc) {
        complain("no command to run; see 'cleanroom run --help'");
        return false;
    }
    ret->command = (const char *const *)(argv + optind);
    return true;
}

void forget_run_options(struct run_options *of)
{
    for (size_t i = 0; i < of->report_count; i++)
        free((char *)of->report_paths[i]);
    of->report_count = 0;
}
