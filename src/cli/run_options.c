/* SPDX-License-Identifier: MIT */
#include "run_options.h"

#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TIMEOUT = 256,
    GRACE,
    NAME,
    TIER,
    REQUIRE_TIER,
    WATCH,
    KEEP,
    DOCKER,
    DOCKER_SCOPE,
    REPORT,
    ISOLATE,
    LIMIT,
    ON_EXIT,
    ARTIFACTS,
    SAVE,
    SERVICES,
    REPORT_FD,
    EACH,
    RETRIES,
    CONFIG,
    NO_CONFIG,
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
    {"docker", required_argument, NULL, DOCKER},
    {"docker-scope", required_argument, NULL, DOCKER_SCOPE},
    {"report", required_argument, NULL, REPORT},
    {"isolate", required_argument, NULL, ISOLATE},
    {"limit", required_argument, NULL, LIMIT},
    {"on-exit", required_argument, NULL, ON_EXIT},
    {"artifacts", required_argument, NULL, ARTIFACTS},
    {"save", required_argument, NULL, SAVE},
    {"services", required_argument, NULL, SERVICES},
    {"report-fd", required_argument, NULL, REPORT_FD},
    {"each", required_argument, NULL, EACH},
    {"jobs", required_argument, NULL, 'j'},
    {"retries", required_argument, NULL, RETRIES},
    {"config", required_argument, NULL, CONFIG},
    {"no-config", no_argument, NULL, NO_CONFIG},
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

static bool parse_docker(const char *text, pnx_docker *ret)
{
    static const char *const names[] = {"off", "auto", "on"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(text, names[i]) == 0) {
            *ret = (pnx_docker)i;
            return true;
        }
    complain("--docker '%s': it is auto, on or off", text);
    return false;
}

static bool parse_docker_scope(const char *text, bool *ret_strict)
{
    *ret_strict = strcmp(text, "strict") == 0;
    if (*ret_strict || strcmp(text, "warn") == 0)
        return true;
    complain("--docker-scope '%s': it is warn or strict", text);
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

static bool add_hook(const char *text, struct run_options *ret)
{
    const char *colon = strchr(text, ':');
    pnx_on_exit *hook = &ret->on_exit[ret->hook_count];
    if (ret->hook_count == HOOKS_MAX) {
        complain("--on-exit '%s': at most %d hooks are run", text, HOOKS_MAX);
        return false;
    }
    *hook = (pnx_on_exit){.command = text, .priority = PNX_NORMAL};
    for (int i = 0; colon && i < PNX_PRIORITY_COUNT; i++) {
        const char *name = pnx_priority_name((pnx_priority)i);
        size_t length = (size_t)(colon - text);
        if (strlen(name) == length && strncmp(text, name, length) == 0)
            *hook = (pnx_on_exit){.command = colon + 1, .priority = (pnx_priority)i};
    }
    if (!*hook->command) {
        complain("--on-exit '%s': there is no command in it", text);
        return false;
    }
    ret->hook_count++;
    ret->session.on_exit = ret->on_exit;
    return true;
}

static bool add_saved(const char *glob, struct run_options *ret)
{
    if (ret->save_count == SAVED_MAX) {
        complain("--save '%s': at most %d patterns are taken", glob, SAVED_MAX);
        return false;
    }
    ret->save[ret->save_count++] = glob;
    ret->session.save = ret->save;
    return true;
}

static bool parse_number(const char *option, const char *text, unsigned least, unsigned most,
                         unsigned *ret)
{
    char *end;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (*text >= '0' && *text <= '9' && *end == '\0' && errno == 0 && number >= least &&
        number <= most) {
        *ret = (unsigned)number;
        return true;
    }
    complain("%s '%s': it is a number from %u to %u", option, text, least, most);
    return false;
}

/* The command does not inherit it. */
static bool parse_report_fd(const char *text, int *ret)
{
    unsigned number;
    if (!parse_number("--report-fd", text, 3, 65535, &number))
        return false;
    if (fcntl((int)number, F_SETFD, FD_CLOEXEC) != 0) {
        complain("--report-fd %u: %m", number);
        return false;
    }
    *ret = (int)number;
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
    case DOCKER:
        return parse_docker(optarg, &ret->session.docker);
    case DOCKER_SCOPE:
        return parse_docker_scope(optarg, &ret->session.docker_strict);
    case REPORT:
        return parse_report(optarg, ret);
    case ISOLATE:
        return parse_isolate(optarg, &ret->session.isolate);
    case LIMIT:
        return parse_limit(optarg, &ret->session.limits);
    case ON_EXIT:
        return add_hook(optarg, ret);
    case ARTIFACTS:
        ret->session.artifacts = optarg;
        return true;
    case SAVE:
        return add_saved(optarg, ret);
    case SERVICES:
        ret->session.services = optarg;
        return true;
    case REPORT_FD:
        return parse_report_fd(optarg, &ret->report_fd);
    case EACH:
        ret->each = optarg;
        return true;
    case 'j':
        return parse_number("--jobs", optarg, 1, JOBS_MAX, &ret->jobs);
    case RETRIES:
        return parse_number("--retries", optarg, 0, RETRIES_MAX, &ret->retries);
    case CONFIG:
    case NO_CONFIG:
        return true; /* seen to before */
    case FAIL:
        return ret->fail_on_leftovers = true;
    case QUIET:
        return ret->quiet = true;
    default:
        return false;
    }
}

/* What concerns all lines of --each is not told each of them. */
static bool pass_on(int option, struct run_options *ret)
{
    static const int own[] = {NAME,    REPORT, REPORT_FD, EACH, 'j',
                              RETRIES, CONFIG, NO_CONFIG, QUIET};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (own[i] == option)
            return true;
    if (ret->passed_count == PASSED_MAX) {
        complain("more than %d options", PASSED_MAX);
        return false;
    }
    for (const struct option *at = options; at->name; at++)
        if (at->val == option)
            ret->passed[ret->passed_count++] = (struct passed_option){at->name, optarg};
    return true;
}

void outline_run_options(int argc, char **argv, struct run_outline *ret)
{
    int option;
    *ret = (struct run_outline){0};
    opterr = 0;
    optind = 0; /* the scan begins anew */
    while ((option = getopt_long(argc, argv, "+:j:", options, NULL)) != -1) {
        if (option == CONFIG)
            ret->config = optarg;
        ret->no_config = ret->no_config || option == NO_CONFIG;
        ret->each = ret->each || option == EACH;
        ret->limit = ret->limit || option == LIMIT;
        ret->help = ret->help || option == HELP || option == VERSION;
    }
    ret->command = optind;
    optind = 0;
}

/* What goes together only. */
static bool agrees(const struct run_options *given, bool command)
{
    if (given->each && command)
        complain("--each runs the lines of a file, and no command besides");
    else if (!given->each && !command)
        complain("no command to run; see 'cleanroom run --help'");
    else if (!given->each && (given->jobs > 0 || given->retries > 0))
        complain("--jobs and --retries go with --each");
    else if (given->save_count > 0 && !given->session.artifacts)
        complain("--save goes with --artifacts");
    else
        return true;
    return false;
}

bool parse_run_options(int argc, char **argv, struct run_options *ret, int *ret_status)
{
    *ret_status = EXIT_CLEANROOM;
    ret->report_fd = -1;
    opterr = 0;
    optind = 0;
    for (;;) {
        int option = getopt_long(argc, argv, "+:j:", options, NULL);
        if (option == -1)
            break;
        if (option == HELP || option == VERSION) {
            if (option == HELP)
                fputs(run_usage, stdout);
            else
                printf("cleanroom %s\n", pnx_version());
            *ret_status = 0;
            return false;
        }
        if (option == ':' || option == '?')
            complain_of_option("run", option, argv);
        if (!take(option, ret) || !pass_on(option, ret))
            return false;
    }
    if (!agrees(ret, optind < argc))
        return false;
    ret->command = (const char *const *)(argv + optind);
    return true;
}

void forget_run_options(struct run_options *of)
{
    for (size_t i = 0; i < of->report_count; i++)
        free((char *)of->report_paths[i]);
    of->report_count = 0;
    free(of->merged);
    free(of->said);
}
