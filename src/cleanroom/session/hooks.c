/* SPDX-License-Identifier: MIT */
/*
 * Undo hooks: written down when the session is opened, run before anything else is undone.
 *
 * At least once: GONE is written after the hook has ended. Who dies in between leaves a hook that
 * the next cleaner runs again. The other way round, one that died between the entry and the
 * execution would leave something undone that nobody knows of: worse than undoing it twice.
 */
#include "session/session.h"

#include "kind/thing.h"

#include <cleanroom/hook.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- opening --------------------------------------------------------------------------------- */

static pnx_duration time_of_one(const pnx_session *session)
{
    pnx_duration patience = session->config.patience;
    return patience < PNX_SESSION_HOOK_TIME ? patience : PNX_SESSION_HOOK_TIME;
}

static pnx_status note(pnx_session *session, const pnx_on_exit *asked, uint32_t number,
                       pnx_error *err)
{
    char name[PNX_THING_NAME_MAX];
    uint32_t token;
    pnx_keeper keeper = pnx_session_keeper(session);
    pnx_hook hook = {
        .line = asked->command,
        .environment = (const char *const *)session->variables,
        .priority = asked->priority,
        .timeout = time_of_one(session),
    };
    pnx_status status = pnx_hook_format(&hook, session->id, number, name, sizeof name, err);
    if (status == PNX_OK)
        status = keeper.intend(keeper.context, &pnx__thing_command, name, &token, err);
    return status;
}

pnx_status pnx__session_note_hooks(pnx_session *session, pnx_error *err)
{
    const pnx_on_exit *asked = session->config.on_exit;
    for (uint32_t i = 0; asked && asked[i].command; i++) {
        pnx_status status = note(session, &asked[i], i + 1, err);
        if (status != PNX_OK)
            return pnx_wrap(err, status, "cannot register the hook '%s'", asked[i].command);
    }
    session->config.on_exit = NULL; /* the caller's */
    return PNX_OK;
}

/* ---- running --------------------------------------------------------------------------------- */

/* How the command ended, as `cleanroom run` will exit; "unknown" when nobody saw it. */
static void format_status(const pnx_session *session, char *ret, size_t size)
{
    if (session->timed_out)
        snprintf(ret, size, "124");
    else if (!session->ran || !session->collected)
        snprintf(ret, size, "unknown");
    else if (WIFSIGNALED(session->status))
        snprintf(ret, size, "%d", 128 + WTERMSIG(session->status));
    else
        snprintf(ret, size, "%d", WEXITSTATUS(session->status));
}

/* In a hook's name, "--" alone is a word of its own only before the command. */
static char *with_status(const pnx_session *session, const char *name)
{
    char status[16], *more = NULL;
    const char *command = strstr(name, " -- ");
    format_status(session, status, sizeof status);
    if (!command || asprintf(&more, "%.*s env=CLEANROOM_STATUS=%s%s", (int)(command - name), name,
                             status, command) < 0)
        return NULL;
    return more;
}

static char *command_of(const char *name)
{
    char text[PNX_THING_NAME_MAX];
    return pnx_hook_command(name, text, sizeof text, NULL) == PNX_OK ? strdup(text) : NULL;
}

/*
 * A ledger is only read if it is our user's, and so are the hooks in it: one of somebody else, whom
 * root could become, was put there by other means.
 */
static pnx_status check_user(const pnx_session *session, const char *hook, pnx_error *err)
{
    uid_t user;
    pnx_status status = session->adopted ? pnx_hook_user(hook, &user, err) : PNX_OK;
    if (status == PNX_OK && session->adopted && user != geteuid())
        status = pnx_fail(err, PNX_EINVAL,
                          "not run: it is one of uid %u, but the session is one of uid %u",
                          (unsigned)user, (unsigned)geteuid());
    return status;
}

static void run(pnx_session *session, const char *hook, pnx_time deadline,
                pnx_session_hook *ret_row)
{
    pnx_hook_result result = {.exit_code = -1};
    pnx_error why = {0};
    char reason[PNX_ERROR_MESSAGE_MAX + PNX_ERROR_CAUSE_MAX + 4] = "";
    char *name = with_status(session, hook);
    pnx_time began = pnx_monotonic_now();
    pnx_status status = check_user(session, hook, &why);
    if (status == PNX_OK)
        status = pnx_hook_run(name ? name : hook, deadline, NULL, &result, &why);
    if (status != PNX_OK && result.attempts == 0)
        pnx_error_format(&why, reason, sizeof reason);
    free(name);
    ret_row->command = command_of(hook);
    (void)!pnx_hook_priority(hook, &ret_row->priority, NULL);
    ret_row->exit_code = result.exit_code;
    ret_row->exit_signal = result.timed_out ? 0 : result.signal;
    ret_row->timed_out = result.timed_out;
    ret_row->duration = pnx_monotonic_now() - began;
    ret_row->output = strndup(result.output, result.output_size);
    ret_row->reason = strdup(reason);
}

static bool is_due(const struct pnx__session_thing *thing)
{
    return thing->kind == &pnx__thing_command && thing->ours && !thing->outcome.verified;
}

/* Not one that a user of the library made in the session. */
static bool is_of_the_command(const char *hook)
{
    return strstr(hook, " env=CLEANROOM_SESSION=") != NULL;
}

static unsigned rank(pnx_priority priority)
{
    static const unsigned ranks[] = {
        [PNX_LOW] = 0, [PNX_NORMAL] = 1, [PNX_HIGH] = 2, [PNX_CRITICAL] = 3};
    return ranks[priority];
}

/* The most important one, and of those the last that was registered; `count`: there is none. */
static size_t next_hook(const pnx_session *session)
{
    size_t next = session->thing_count;
    unsigned best = 0;
    pnx_priority priority;
    for (size_t i = 0; i < session->thing_count; i++) {
        if (!is_due(&session->things[i]) ||
            pnx_hook_priority(session->things[i].name, &priority, NULL) != PNX_OK)
            continue;
        if (next == session->thing_count || rank(priority) >= best) {
            best = rank(priority);
            next = i;
        }
    }
    return next;
}

/* It is accounted for as a hook: no longer a thing. */
static void take_out(pnx_session *session, size_t index)
{
    struct pnx__session_thing thing = session->things[index];
    size_t last = session->thing_count - 1;
    memmove(&session->things[index], &session->things[index + 1],
            (last - index) * sizeof *session->things);
    session->things[last] = thing;
    pnx__session_drop_thing(session, &session->things[last]);
}

static void keep_row(pnx_session *session, pnx_session_hook *row)
{
    pnx_session_hook *grown =
        realloc(session->hooks, (session->hook_count + 1) * sizeof *session->hooks);
    if (grown) {
        session->hooks = grown;
        session->hooks[session->hook_count++] = *row;
        return;
    }
    free(row->command);
    free(row->output);
    free(row->reason);
}

void pnx__session_run_hooks(pnx_session *session, pnx_time deadline)
{
    size_t index;
    pnx_outcome over = {.fate = PNX_FATE_REMOVED, .verified = true};
    while ((index = next_hook(session)) < session->thing_count) {
        const struct pnx__session_thing *thing = &session->things[index];
        /* Where no command was begun there is nothing of it to undo. */
        bool idle = !session->ran && is_of_the_command(thing->name);
        pnx_session_hook row = {0};
        if (!idle) {
            run(session, thing->name, deadline, &row);
            keep_row(session, &row);
        }
        pnx__session_gone(session, thing->resource, &over);
        take_out(session, index);
    }
}

void pnx__session_tell_hooks(pnx_session *session, pnx_session_report *report)
{
    report->hooks = session->hooks;
    report->hook_count = session->hook_count;
    session->hooks = NULL;
    session->hook_count = 0;
}
