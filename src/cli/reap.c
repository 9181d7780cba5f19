/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include <cleanroom/reaper.h>
#include <cleanroom/session.h>

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: cleanroom reap [OPTION...] [ID...|--all]\n"
    "\n"
    "Cleans up after sessions whose supervisor is dead, and whose reaper is, too: of these IDs, "
    "or\n"
    "all there are. A beginning of an ID will do. Sessions that live are never touched.\n"
    "\n"
    "  --all               all dead sessions; so it is without IDs\n"
    "  --dry-run           only say what they have\n"
    "  --older-than DUR    only those that were started at least DUR ago\n"
    "  --quiet             say nothing about what was cleaned up well\n"
    "  --help              this text\n"
    "\n"
    "Exit status: 0; 121 something could not be removed; 125 cleanroom failed, or wrong usage.\n";

enum { ALL = 256, DRY_RUN, OLDER, QUIET, HELP };

static const struct option options[] = {
    {"all", no_argument, NULL, ALL},
    {"dry-run", no_argument, NULL, DRY_RUN},
    {"older-than", required_argument, NULL, OLDER},
    {"quiet", no_argument, NULL, QUIET},
    {"help", no_argument, NULL, HELP},
    {NULL, 0, NULL, 0},
};

/* Who else cleans up right now is waited for that long. */
#define PATIENCE PNX_S(310)

struct reap {
    bool dry_run, quiet;
    pnx_duration older_than;
    char **wanted; /* beginnings of ids, NULL-terminated; none: all */
    bool *met;
    pnx_id *ids;
    size_t count;
    bool no_memory;
    int status;
};

/* ---- which ----------------------------------------------------------------------------------- */

static bool is_wanted(struct reap *reap, const pnx_session_info *info)
{
    char id[PNX_ID_TEXT_SIZE];
    bool wanted = !reap->wanted[0];
    pnx_id_format(info->id, id);
    for (size_t i = 0; reap->wanted[i]; i++)
        if (strncmp(id, reap->wanted[i], strlen(reap->wanted[i])) == 0)
            wanted = reap->met[i] = true;
    return wanted;
}

static bool note(const pnx_session_info *info, void *context)
{
    struct reap *reap = context;
    if (!is_wanted(reap, info))
        return true;
    if (info->life == PNX_SESSION_LIVE && reap->wanted[0])
        complain("session %s lives: its supervisor is process %d", reap->wanted[0],
                 (int)info->supervisor);
    if (info->life == PNX_SESSION_UNKNOWN) {
        char id[PNX_ID_TEXT_SIZE];
        complain("session %s: %s", pnx_id_format(info->id, id), info->problem);
        reap->status = EXIT_UNREMOVED;
    }
    /* A clock that was set back makes ages negative: they count only where they are asked for. */
    int64_t age = nanoseconds_since_1970() - info->created;
    if ((info->life != PNX_SESSION_DEAD && info->life != PNX_SESSION_ADOPTED) ||
        (reap->older_than > 0 && age < reap->older_than))
        return true;
    pnx_id *grown = realloc(reap->ids, (reap->count + 1) * sizeof *grown);
    if (!grown) {
        reap->no_memory = true;
        return false;
    }
    reap->ids = grown;
    reap->ids[reap->count++] = info->id;
    return true;
}

static bool tell_only(const pnx_session_info *info, void *context)
{
    struct reap *reap = context;
    for (size_t i = 0; i < reap->count; i++)
        if (pnx_id_equal(reap->ids[i], info->id))
            print_session(info);
    return true;
}

/* ---- reaping --------------------------------------------------------------------------------- */

static void reap_one(struct reap *reap, pnx_id id)
{
    char text[PNX_ID_TEXT_SIZE];
    pnx_error err = {0};
    pnx_session_report report = {0};
    pnx_time deadline = pnx_time_after(pnx_monotonic_now(), PATIENCE);
    pnx_status status = pnx_session_reap(id, "adopter", deadline, &report, &err);
    if (status != PNX_OK && status != PNX_EALREADY && status != PNX_ENOTFOUND) {
        (void)pnx_wrap(&err, status, "session %s", pnx_id_format(id, text));
        complain_of(&err);
        reap->status = EXIT_UNREMOVED;
    }
    bool done = report.started != 0;
    if (done && (!reap->quiet || report.unremoved > 0))
        (void)!pnx_session_report_write_text(&report, stderr, NULL);
    pnx_session_report_done(&report);
}

static int reap_all(struct reap *reap)
{
    pnx_error err = {0};
    if (pnx_sessions_each(note, reap, &err) != PNX_OK) {
        complain_of(&err);
        return EXIT_CLEANROOM;
    }
    if (reap->no_memory) {
        complain("no memory to list the sessions");
        return EXIT_CLEANROOM;
    }
    for (size_t i = 0; reap->wanted[i]; i++)
        if (!reap->met[i]) {
            complain("there is no session '%s'; 'cleanroom ps' lists them", reap->wanted[i]);
            reap->status = EXIT_CLEANROOM;
        }
    if (reap->dry_run) {
        (void)!pnx_sessions_each(tell_only, reap, NULL);
        return reap->status;
    }
    if (pnx_session_catch_sigbus(&err) != PNX_OK)
        complain_of(&err); /* it can do without */
    for (size_t i = 0; i < reap->count; i++)
        reap_one(reap, reap->ids[i]);
    return reap->status;
}

static bool take(int option, struct reap *reap)
{
    switch (option) {
    case ALL:
        return true;
    case DRY_RUN:
        return reap->dry_run = true;
    case QUIET:
        return reap->quiet = true;
    case OLDER: {
        pnx_error err = {0};
        if (pnx_span_parse(optarg, &reap->older_than, &err) == PNX_OK)
            return true;
        (void)pnx_wrap(&err, PNX_EINVAL, "--older-than '%s' is not a span of time", optarg);
        complain_of(&err);
        return false;
    }
    default:
        return false;
    }
}

int cli_reap(int argc, char **argv)
{
    struct reap reap = {0};
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
        if (option == HELP) {
            fputs(usage, stdout);
            return 0;
        }
        if (option == '?' || option == ':')
            complain_of_option("reap", option, argv);
        if (!take(option, &reap))
            return EXIT_CLEANROOM;
    }
    reap.wanted = argv + optind;
    reap.met = calloc((size_t)(argc - optind) + 1, sizeof *reap.met);
    int status = reap.met ? reap_all(&reap) : EXIT_CLEANROOM;
    free(reap.met);
    free(reap.ids);
    return status;
}
