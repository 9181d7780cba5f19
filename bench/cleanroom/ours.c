/* SPDX-License-Identifier: MIT */
/* Ours: the tool where a command is run, the library where what is measured is in the middle. */
#include "common/bench.h"
#include "common/clock.h"
#include "peer.h"

#include <cleanroom/cleanroom.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const nothing[] = {NULL};
static const char *const words[] = {RUN_TOOL, "run", "--quiet", "--", NULL};
static const char *const words_1[] = {RUN_TOOL, "run", "--quiet", "--tier", "1", "--", NULL};

static void check(pnx_status status, const pnx_error *err)
{
    if (status)
        bench_give_up("%s", err->message);
}

static void reap(void)
{
    static const char *const all[] = {RUN_TOOL, "reap", "--all", "--quiet", NULL};
    run_wait(run_start(all, nothing, -1));
}

/* ---- processes that escaped ------------------------------------------------------------------ */

/* The session tells of each when it was seen to be gone. */
static uint64_t last_gone(const pnx_session_report *report, unsigned count)
{
    pnx_time last = 0;
    unsigned found = 0;
    for (size_t i = 0; i < report->resource_count; i++) {
        const pnx_session_resource *resource = &report->resources[i];
        if (strcmp(resource->kind, "process") != 0 || resource->origin == PNX_ORIGIN_MADE)
            continue;
        if (!resource->outcome.verified)
            bench_give_up("a process is not known to be gone");
        found++;
        if (resource->outcome.ended > last)
            last = resource->outcome.ended;
    }
    if (found != count)
        bench_give_up("%u of %u processes were found", found, count);
    return (uint64_t)last;
}

static uint64_t escape(unsigned count, unsigned tier, bool whole)
{
    char number[16];
    pnx_error err = {0};
    pnx_session *session;
    pnx_session_report report;
    const pnx_session_config config = {.tool = run_tool(),
                                       .grace = PNX_NO_GRACE,
                                       .listed_max = 8192,
                                       .tier = tier,
                                       .owns_children = true};
    snprintf(number, sizeof number, "%u", count);
    const char *const argv[] = {run_self(), "--leave", number, NULL};
    check(pnx_session_open(&config, &session, &err), &err);
    check(pnx_session_run(session, argv, &err), &err);
    const uint64_t began = now_ns();
    check(pnx_session_close(session, &report, &err), &err);
    const uint64_t closed = now_ns();
    const uint64_t gone = last_gone(&report, count);
    pnx_session_report_done(&report);
    pnx_session_free(session);
    return (whole ? closed : gone) - began;
}

static uint64_t escape_best(unsigned count)
{
    return escape(count, 0, false);
}

static uint64_t escape_1(unsigned count)
{
    return escape(count, PNX_TIER(1), false);
}

static uint64_t escape_whole(unsigned count)
{
    return escape(count, 0, true);
}

/* ---- files ----------------------------------------------------------------------------------- */

static uint64_t remove_files(int files)
{
    pnx_error err = {0};
    pnx_tempdir *dir;
    check(pnx_tempdir_create(run_files_place(), "files", &dir, &err), &err);
    run_fill(pnx_tempdir_path(dir), files);
    const uint64_t began = now_ns();
    check(pnx_tempdir_remove(dir, pnx_time_after(pnx_monotonic_now(), PNX_S(300)), &err), &err);
    const uint64_t took = now_ns() - began;
    pnx_tempdir_free(dir);
    return took;
}

/* ---- everything killed ----------------------------------------------------------------------- */

/* Without a reaper, which leaves the same as one that is killed at the same time. */
static _Noreturn void hold_things(int ready)
{
    pnx_error err = {0};
    pnx_session *session;
    pnx_thing *thing;
    char name[64];
    check(pnx_session_open(&(pnx_session_config){.no_reaper = true}, &session, &err), &err);
    const pnx_keeper keeper = pnx_session_keeper(session);
    for (int i = 0; i < THINGS; i++) {
        snprintf(name, sizeof name, "/bench-cleanroom-%d-%d", (int)getpid(), i);
        check(pnx_shm_create(name, 4096, &keeper, &thing, NULL, &err), &err);
    }
    if (write(ready, "", 1) != 1)
        bench_give_up("cannot tell that all is made: %m");
    for (;;)
        pause();
}

static uint64_t adopt(void)
{
    int ends[2];
    char byte, name[64];
    if (pipe(ends) != 0)
        bench_give_up("cannot make a pipe: %m");
    pid_t holder = fork();
    if (holder == 0) {
        close(ends[0]);
        hold_things(ends[1]);
    }
    close(ends[1]);
    if (read(ends[0], &byte, 1) != 1)
        bench_give_up("the things could not be made");
    close(ends[0]);
    kill(holder, SIGKILL);
    (void)waitpid(holder, NULL, 0);
    const uint64_t began = now_ns();
    reap();
    const uint64_t took = now_ns() - began;
    for (int i = 0; i < THINGS; i++) {
        snprintf(name, sizeof name, "/dev/shm/bench-cleanroom-%d-%d", (int)holder, i);
        if (access(name, F_OK) == 0)
            bench_give_up("%s is left", name);
    }
    return took;
}

static const struct run_operations ours = {.words = words,
                                           .words_by_cgroup = words_1,
                                           .words_with_end = words,
                                           .clean_up = reap,
                                           .escape = escape_best,
                                           .remove_files = remove_files,
                                           .adopt = adopt};
static const struct run_operations ours_1 = {
    .words_with_end = words_1, .clean_up = reap, .escape = escape_1};
static const struct run_operations ours_whole = {.escape = escape_whole};

static const struct bench_contender contenders[] = {
    {"patinox", PEER_VERSION, &ours},
    {"patinox, tier 1", PEER_VERSION, &ours_1},
    {"patinox, whole close", PEER_VERSION, &ours_whole},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return run_main(argc, argv, contenders);
}
