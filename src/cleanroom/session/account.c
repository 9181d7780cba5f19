/* SPDX-License-Identifier: MIT */
#include "session/session.h"

#include "kind/sys.h"
#include "ledger/state.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* ---- rows ------------------------------------------------------------------------------------ */

static pnx_outcome outcome_of(const pnx_outcome *outcome, bool hangs)
{
    if (!hangs)
        return *outcome;
    return (pnx_outcome){.fate = PNX_FATE_STUCK, .reason = "its removal does not come to an end"};
}

static int64_t date_of(pnx_time time)
{
    return pnx__now_since_1970() - (pnx_monotonic_now() - time);
}

/* Takes the row over; its texts may be NULL for want of memory. */
void pnx__session_report_row(pnx_session_report *report, pnx_session_resource row)
{
    if (!row.removed && row.outcome.verified)
        row.removed = date_of(row.outcome.ended);
    (void)pnx_session_report_add(report, &row); /* what cannot be listed is counted */
}

static char *join(char *const *words)
{
    size_t size = 1;
    for (size_t i = 0; words[i]; i++)
        size += strlen(words[i]) + 1;
    char *joined = malloc(size), *end = joined;
    for (size_t i = 0; joined && words[i]; i++)
        end = stpcpy(stpcpy(end, i ? " " : ""), words[i]);
    return joined;
}

static char *identity_of(pid_t pid, uint64_t start_time)
{
    char *id;
    return asprintf(&id, "%d:%" PRIu64, (int)pid, start_time) > 0 ? id : NULL;
}

static void add_command(const pnx_session *session, pnx_session_report *report)
{
    const struct pnx__process_set *set = &session->set;
    if (!session->ran || session->adopted) /* an adopter ended it with all the others */
        return;
    pnx_outcome outcome = {
        .fate = session->timed_out ? PNX_FATE_REMOVED : PNX_FATE_ALREADY_GONE,
        .verified = true,
        .attempts = session->timed_out,
        .ended = pnx_time_after(set->started, session->duration),
    };
    if (!session->collected)
        outcome = (pnx_outcome){.fate = PNX_FATE_STUCK, .reason = "still there after SIGKILL"};
    else if (session->timed_out)
        snprintf(outcome.reason, sizeof outcome.reason, "timed out");
    pnx__session_report_row(report,
                            (pnx_session_resource){
                                .kind = "process",
                                .origin = PNX_ORIGIN_MADE,
                                .id = identity_of(set->command.pid, set->command.start_time),
                                .name = report->command ? join(report->command) : NULL,
                                .detail = strdup(""),
                                .owner = geteuid(),
                                .priority = pnx_kind_processes.priority,
                                .created = session->started,
                                .outcome = outcome,
                            });
}

static void add_made(const pnx_session *session, pnx_session_report *report)
{
    if (session->dir || session->dir_outcome.fate == PNX_FATE_STUCK)
        pnx__session_report_row(
            report, (pnx_session_resource){
                        .kind = "tempdir",
                        .origin = PNX_ORIGIN_MADE,
                        .id = strdup(session->dir_identity),
                        .name = strdup(session->dir_path),
                        .detail = strdup(""),
                        .owner = geteuid(),
                        .priority = pnx_kind_tempdir.priority,
                        .created = session->started,
                        .outcome = outcome_of(&session->dir_outcome, session->dir_hangs),
                    });
    if (session->cgroup)
        pnx__session_report_row(
            report, (pnx_session_resource){
                        .kind = "cgroup",
                        .origin = PNX_ORIGIN_MADE,
                        .id = session->cgroup_path ? strdup(session->cgroup_path) : NULL,
                        .name = session->cgroup_path ? strdup(session->cgroup_path) : NULL,
                        .detail = strdup(""),
                        .owner = geteuid(),
                        .priority = pnx_kind_cgroup.priority,
                        .created = session->started,
                        .outcome = outcome_of(&session->cgroup_outcome, session->cgroup_hangs),
                    });
}

/* "pid 4711, daemon, stopped" */
static char *detail_of(const struct pnx__found_process *found)
{
    const char *how = found->own_session && found->orphan ? ", daemon"
                      : found->own_session                ? ", session of its own"
                      : found->orphan                     ? ", orphan"
                                                          : "";
    char *detail;
    int length =
        asprintf(&detail, "pid %d%s%s%s", (int)found->pid, how, found->stopped ? ", stopped" : "",
                 found->outside ? ", outside of the cgroup" : "");
    return length > 0 ? detail : NULL;
}

static void add_processes(const pnx_session *session, pnx_session_report *report)
{
    const struct pnx__process_set *set = &session->set;
    if (session->set_hangs)
        return;
    for (size_t i = 0; i < set->found_count; i++) {
        const struct pnx__found_process *found = &set->found[i];
        pnx__session_report_row(report, (pnx_session_resource){
                                            .kind = "process",
                                            .origin = PNX_ORIGIN_FOUND,
                                            .id = identity_of(found->pid, found->start_time),
                                            .name = strdup(found->command),
                                            .detail = detail_of(found),
                                            .owner = found->user,
                                            .priority = pnx_kind_processes.priority,
                                            .created = found->created,
                                            .outcome = found->outcome,
                                        });
    }
    /* Who of the others is still there was not looked up: without proof, they all may be. */
    bool gone = set->outcome.verified;
    pnx_outcome rest = {.fate = gone ? PNX_FATE_REMOVED : PNX_FATE_STUCK, .verified = gone};
    (void)pnx_session_report_count(report, "process", PNX_ORIGIN_FOUND, &rest, set->unlisted);
}

static void add_files(pnx_session *session, pnx_session_report *report)
{
    uint64_t listed_stuck = 0;
    if (session->dir_hangs)
        return;
    for (size_t i = 0; i < session->row_count; i++) {
        pnx_session_resource row = session->rows[i];
        row.outcome.verified =
            row.outcome.fate == PNX_FATE_REMOVED && session->dir_outcome.verified;
        if (row.outcome.fate == PNX_FATE_STUCK)
            listed_stuck++;
        pnx__session_report_row(report, row);
    }
    session->files.directories -= session->isolation.directories;
    session->files.symlinks -= session->isolation.symlinks;
    session->files.bytes -= session->isolation.bytes;
    report->files = session->files;
    uint64_t stuck = session->files.stuck - listed_stuck;
    uint64_t removed = pnx_tree_entries(&session->files) - session->row_count - stuck;
    pnx_outcome rest = {.fate = PNX_FATE_REMOVED, .verified = session->dir_outcome.verified};
    (void)pnx_session_report_count(report, "file", PNX_ORIGIN_FOUND, &rest, removed);
    rest = (pnx_outcome){.fate = PNX_FATE_STUCK};
    (void)pnx_session_report_count(report, "file", PNX_ORIGIN_FOUND, &rest, stuck);
    session->row_count = 0; /* the report has the texts now */
}

static void add_things(pnx_session *session, pnx_session_report *report)
{
    for (size_t i = 0; i < session->thing_count; i++) {
        const struct pnx__session_thing *thing = &session->things[i];
        bool made = thing->origin == PNX_ORIGIN_MADE;
        if (made && thing->outcome.verified && thing->intended) /* it never came to be */
            continue;
        pnx_outcome outcome = thing->outcome;
        if (outcome.fate == PNX_FATE_HELD)
            outcome = (pnx_outcome){.fate = PNX_FATE_STUCK, .reason = "there was no time left"};
        pnx__session_report_row(
            report, (pnx_session_resource){
                        .kind = thing->kind->name,
                        .type = thing->type ? pnx_session_report_text(report, thing->type) : NULL,
                        .origin = thing->origin,
                        .id = strdup(thing->identity),
                        .name = strdup(thing->name),
                        .detail = strdup(thing->detail ? thing->detail : ""),
                        .owner = thing->owner,
                        .priority = thing->kind->kind ? thing->kind->kind->priority : PNX_NORMAL,
                        .created = thing->created,
                        .removed = thing->removed,
                        .outcome = outcome,
                    });
    }
    pnx_outcome foreign = {.fate = PNX_FATE_FOREIGN};
    (void)pnx_session_report_count(report, "file", PNX_ORIGIN_FOUND, &foreign,
                                   session->outside_unlisted);
    if (session->things_unlisted > 0)
        (void)pnx_session_report_warn(report, "%llu things could not be listed: no memory",
                                      (unsigned long long)session->things_unlisted);
}

/* ---- what the user should know --------------------------------------------------------------- */

void pnx__session_warn(pnx_session *session, const char *format, ...)
{
    char *text;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length >= 0 && session->warning_count < PNX__WARNINGS_MAX)
        session->warnings[session->warning_count++] = text;
    else {
        session->warnings_untold++;
        if (length >= 0)
            free(text);
    }
}

static void tell_warnings(pnx_session *session, pnx_session_report *report)
{
    if (session->warning[0])
        (void)pnx_session_report_warn(report, "%s", session->warning);
    for (size_t i = 0; i < session->warning_count; i++)
        (void)pnx_session_report_warn(report, "%s", session->warnings[i]);
    if (session->warnings_untold > 0)
        (void)pnx_session_report_warn(report, "and %zu more", session->warnings_untold);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void tell_exit(const pnx_session *session, pnx_session_report *report)
{
    report->exit_code = -1;
    report->timed_out = session->timed_out;
    if (!session->collected)
        return;
    if (WIFEXITED(session->status))
        report->exit_code = WEXITSTATUS(session->status);
    else
        report->exit_signal = WTERMSIG(session->status);
}

static void tell_isolation(const pnx_session *session, pnx_session_report *report)
{
    char text[64], *rest = NULL;
    size_t count = 0;
    pnx_isolate_format(session->config.isolate, text, sizeof text);
    report->isolate = *text ? calloc(8, sizeof *report->isolate) : NULL;
    char *word = report->isolate ? strtok_r(text, ",", &rest) : NULL;
    for (; word && (report->isolate[count] = strdup(word)); word = strtok_r(NULL, ",", &rest))
        count++;
}

static void tell_limits(const pnx_session *session, pnx_session_report *report)
{
    report->limit_count = session->limits_told_count;
    memcpy(report->limits, session->limits_told, sizeof report->limits);
}

/* pnx_tier_name says more; this stands in every first line. */
static const char *short_name_of_tier(unsigned tier)
{
    static const char *const names[] = {
        "T0 (subreaper)",
        "T1 (cgroup)",
        "T2 (pid namespace)",
        "T3 (cgroup, tracking)",
    };
    return tier < sizeof names / sizeof *names ? names[tier] : NULL;
}

void pnx__session_account(pnx_session *session, pnx_session_report *ret)
{
    ret->session = session->id;
    ret->name = session->config.name ? strdup(session->config.name) : strdup("");
    ret->tier = session->tier;
    ret->tier_name = short_name_of_tier(session->tier);
    ret->supervisor_died = session->adopted;
    ret->cleaned_by = session->adopted ? session->adopter : "supervisor";
    snprintf(ret->tier_reason, sizeof ret->tier_reason, "%s", session->tier_reason);
    ret->command = session->command;
    session->command = NULL;
    ret->started = session->started;
    ret->duration = session->duration;
    tell_exit(session, ret);
    tell_isolation(session, ret);
    tell_limits(session, ret);
    pnx__session_tell_hooks(session, ret);
    pnx__session_tell_artifacts(session, ret);

    add_command(session, ret);
    add_made(session, ret);
    add_processes(session, ret);
    add_files(session, ret);
    add_things(session, ret);
    pnx__engine_tell(session, ret);
    pnx__companions_tell(session, ret);
    tell_warnings(session, ret);
}

/* A convenience, for `cleanroom report`: it may fail. */
void pnx__session_keep_report(pnx_session *session, const pnx_session_report *report)
{
    char name[PNX__STATE_REPORT_NAME_SIZE];
    int dir_fd;
    if (session->state_fd < 0 || (!session->ran && !session->adopted) ||
        pnx__state_reports_open(session->state_fd, &dir_fd, NULL) != PNX_OK)
        return;
    int fd = openat(dir_fd, pnx__state_report_name(session->id, name),
                    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (out) {
        (void)!pnx_session_report_write_json(report, out, NULL);
        (void)fclose(out);
    } else {
        pnx__close(fd);
    }
    pnx__close(dir_fd);
}
