/* SPDX-License-Identifier: MIT */
#include "session/companion.h"

#include "session/helper.h"
#include "session/session.h"

#include "kind/poll.h"
#include "kind/procfs.h"
#include "kind/sys.h"
#include "kind/thing.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define PATIENCE PNX_S(5)
#define TERM_GRACE PNX_S(1)
/* So much is set aside for the use of force before the deadline of all comes. */
#define FORCE PNX_S(3)

/* ---- starting -------------------------------------------------------------------------------- */

struct pipes {
    int control[2], output[2], complaint[2];
};

static void close_both(int ends[2])
{
    pnx__close(ends[0]);
    pnx__close(ends[1]);
}

static bool open_pipes(struct pipes *pipes)
{
    *pipes = (struct pipes){{-1, -1}, {-1, -1}, {-1, -1}};
    if (pipe2(pipes->control, O_CLOEXEC) == 0 && pipe2(pipes->output, O_CLOEXEC) == 0 &&
        pipe2(pipes->complaint, O_CLOEXEC) == 0 &&
        fcntl(pipes->output[0], F_SETFL, O_NONBLOCK) == 0 &&
        fcntl(pipes->complaint[0], F_SETFL, O_NONBLOCK) == 0)
        return true;
    int number = errno;
    close_both(pipes->control);
    close_both(pipes->output);
    close_both(pipes->complaint);
    errno = number;
    return false;
}

static pnx_status spawn(struct pnx__companion *companion, const char *path, pid_t *ret,
                        pnx_error *err)
{
    const struct pnx__companion_config *config = &companion->config;
    struct pipes pipes;
    if (!open_pipes(&pipes))
        return pnx_fail(err, PNX_EFAILED, "cannot start %s: no pipes: %m", config->name);
    const int fds[] = {pipes.control[0], pipes.output[1], pipes.complaint[1], config->given};
    char *const *environment =
        config->environment ? (char *const *)config->environment : (char *const *)environ;
    int failed = pnx__helper_spawn(path, (char *const *)config->argv, environment, fds,
                                   config->given > 0 ? 4 : 3, "/", ret);
    pnx__close(pipes.control[0]);
    pnx__close(pipes.output[1]);
    pnx__close(pipes.complaint[1]);
    companion->control = pipes.control[1];
    companion->output = pipes.output[0];
    companion->complaint = pipes.complaint[0];
    if (failed == 0)
        return PNX_OK;
    errno = failed;
    return pnx_fail(err, PNX_EFAILED, "cannot start %s (%s): %m", config->name, path);
}

static void close_pipes(struct pnx__companion *companion)
{
    pnx__close(companion->control);
    pnx__close(companion->output);
    pnx__close(companion->complaint);
    companion->control = companion->output = companion->complaint = -1;
}

/* It is a child of ours that the command has no part in, however like its orphans it looks. */
static pnx_status set_apart(pnx_session *session, const pnx_process *process, pnx_error *err)
{
    struct pnx__process_set *set = &session->set;
    size_t size = (set->stranger_count + 1) * sizeof *set->strangers;
    struct pnx__child *grown = realloc(set->strangers, size);
    if (!grown)
        return pnx_fail(err, PNX_ENOMEM, "no memory to follow the command's processes");
    grown[set->stranger_count++] = (struct pnx__child){process->pid, process->start_time};
    set->strangers = grown;
    return PNX_OK;
}

static void format_identity(const pnx_process *process, char ret[48])
{
    snprintf(ret, 48, "%d:%" PRIu64, (int)process->pid, process->start_time);
}

/* Until its control pipe is closed it cannot be somebody else: it is a child, not waited for. */
static pnx_status introduce(pnx_session *session, struct pnx__companion *companion, pid_t pid,
                            pnx_error *err)
{
    char identity[48];
    struct pnx__proc_stat about;
    companion->process = (pnx_process){.pid = pid, .pidfd = pnx__pidfd_open(pid)};
    if (companion->process.pidfd < 0 || !pnx__proc_stat(pid, &about)) /* a zombie has these, too */
        return pnx_fail(err, PNX_EFAILED, "cannot take hold of %s: %m", companion->config.name);
    companion->process.start_time = about.start_time;
    pnx_status status = set_apart(session, &companion->process, err);
    if (status != PNX_OK)
        return status;
    pnx__reaper_exclude(&session->reaper, pid);
    format_identity(&companion->process, identity);
    return pnx__session_bind(session, companion->resource, identity, err);
}

static void give_up(struct pnx__companion *companion, pid_t pid)
{
    close_pipes(companion);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    pnx_process_close(&companion->process);
}

static bool is_listed(const pnx_session *session, const struct pnx__companion *companion)
{
    const struct pnx__companion *at = session->companions;
    while (at && at != companion)
        at = at->next;
    return at != NULL;
}

static size_t count(const pnx_session *session)
{
    size_t count = 0;
    for (const struct pnx__companion *at = session->companions; at; at = at->next)
        count++;
    return count;
}

static void add(pnx_session *session, struct pnx__companion *companion)
{
    if (is_listed(session, companion))
        return;
    companion->next = session->companions;
    session->companions = companion;
}

static void never_was(pnx_session *session, struct pnx__companion *companion)
{
    const pnx_outcome gone = {.fate = PNX_FATE_ALREADY_GONE, .verified = true};
    pnx__session_gone(session, companion->resource, &gone);
    companion->resource = 0;
}

pnx_status pnx__companion_start(pnx_session *session, struct pnx__companion *companion,
                                const struct pnx__companion_config *config, pnx_error *err)
{
    char path[PATH_MAX];
    pid_t pid = -1;
    if (companion->running)
        return pnx_fail(err, PNX_EALREADY, "%s runs", config->name);
    if (!is_listed(session, companion) && count(session) == PNX__COMPANIONS_MAX)
        return pnx_fail(err, PNX_ELIMIT, "cannot start %s: the session has %d helpers already",
                        config->name, PNX__COMPANIONS_MAX);
    pnx_status status =
        pnx__helper_find(pnx__session_tool(session), config->program, path, sizeof path, err);
    if (status != PNX_OK)
        return pnx_wrap(err, status, "cannot start %s", config->name);
    companion->config = *config;
    companion->process = (pnx_process){.pidfd = -1};
    companion->status = -1;
    companion->forced = false;
    companion->said_size = 0;
    companion->control = companion->output = companion->complaint = -1;
    status = pnx__session_intend_path(session, PNX__CODE_COMPANION, "", config->name,
                                      &companion->resource, err);
    if (status != PNX_OK)
        return status;
    status = spawn(companion, path, &pid, err);
    if (status == PNX_OK && (status = introduce(session, companion, pid, err)) != PNX_OK)
        give_up(companion, pid);
    if (status != PNX_OK) {
        close_pipes(companion);
        never_was(session, companion);
        return status;
    }
    companion->running = companion->started_once = true;
    add(session, companion);
    return PNX_OK;
}

/* ---- what it says ---------------------------------------------------------------------------- */

/* Keeps the end of what is said. */
static void hear(struct pnx__companion *companion, const char *data, size_t size)
{
    size_t room = sizeof companion->said - 1;
    if (size > room) {
        data += size - room;
        size = room;
    }
    size_t kept = companion->said_size < room - size ? companion->said_size : room - size;
    memmove(companion->said, companion->said + companion->said_size - kept, kept);
    memcpy(companion->said + kept, data, size);
    companion->said_size = kept + size;
}

/* Reads all there is for now; at its end, or an error, nobody has to look there again. */
static void drain(struct pnx__companion *companion, int *fd)
{
    char buffer[4096];
    ssize_t got;
    while (*fd >= 0) {
        got = read(*fd, buffer, sizeof buffer);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            pnx__close(*fd);
            *fd = -1;
            return;
        }
        if (fd == &companion->complaint)
            hear(companion, buffer, (size_t)got);
        else if (companion->config.took)
            companion->config.took(companion->config.context, buffer, (size_t)got);
    }
}

const char *pnx__companion_last_words(struct pnx__companion *companion)
{
    size_t size = companion->said_size;
    while (size > 0 && companion->said[size - 1] == '\n')
        size--;
    companion->said[size] = '\0';
    const char *line = strrchr(companion->said, '\n');
    return line ? line + 1 : companion->said;
}

/* ---- serving --------------------------------------------------------------------------------- */

static void poll_set(const struct pnx__companion *companion, struct pollfd fds[PNX__COMPANION_FDS])
{
    fds[0] = (struct pollfd){companion->running ? companion->process.pidfd : -1, POLLIN, 0};
    fds[1] = (struct pollfd){companion->running ? companion->output : -1, POLLIN, 0};
    fds[2] = (struct pollfd){companion->running ? companion->complaint : -1, POLLIN, 0};
}

size_t pnx__companions_poll_set(const pnx_session *session,
                                struct pollfd fds[PNX__COMPANIONS_MAX * PNX__COMPANION_FDS])
{
    size_t count = 0;
    for (const struct pnx__companion *at = session->companions; at; at = at->next) {
        poll_set(at, fds + count);
        count += PNX__COMPANION_FDS;
    }
    return count;
}

/* True: it is gone; it was reaped. */
static bool collect(pnx_session *session, struct pnx__companion *companion)
{
    if (pnx_process_wait(&companion->process, pnx_monotonic_now(), &companion->status) != PNX_OK)
        return false;
    drain(companion, &companion->output);
    drain(companion, &companion->complaint);
    close_pipes(companion);
    pnx_process_close(&companion->process);
    companion->running = false;
    const pnx_outcome gone = {.fate = PNX_FATE_REMOVED, .verified = true};
    pnx__session_gone(session, companion->resource, &gone);
    companion->resource = 0;
    return true;
}

static void format_end(int status, char *ret, size_t size)
{
    if (status >= 0 && WIFSIGNALED(status))
        snprintf(ret, size, "was ended by signal %d", WTERMSIG(status));
    else
        snprintf(ret, size, "ended with status %d", status >= 0 ? WEXITSTATUS(status) : -1);
}

static void tell_end(pnx_session *session, struct pnx__companion *companion)
{
    char how[40];
    const char *words = pnx__companion_last_words(companion);
    if (companion->config.ended) {
        companion->config.ended(companion->config.context, companion->status);
        return;
    }
    format_end(companion->status, how, sizeof how);
    pnx__session_warn(session, "%s %s before the command did%s%s", companion->config.name, how,
                      *words ? ": " : "", words);
}

void pnx__companions_serve(pnx_session *session)
{
    for (struct pnx__companion *at = session->companions; at; at = at->next) {
        if (!at->running)
            continue;
        drain(at, &at->output);
        drain(at, &at->complaint);
        if (collect(session, at))
            tell_end(session, at);
    }
}

void pnx__companions_exclude(pnx_session *session)
{
    for (const struct pnx__companion *at = session->companions; at; at = at->next)
        if (at->running && !at->of_another)
            pnx__reaper_exclude(&session->reaper, at->process.pid);
}

pnx_status pnx__companion_await(pnx_session *session, struct pnx__companion *companion,
                                bool (*ready)(void *context), pnx_time deadline, pnx_error *err)
{
    char how[40];
    bool ignored;
    while (!ready(companion->config.context)) {
        if (!companion->running) {
            const char *words = pnx__companion_last_words(companion);
            format_end(companion->status, how, sizeof how);
            return pnx_fail(err, PNX_EFAILED, "%s %s%s%.180s", companion->config.name, how,
                            *words ? ": " : "", words);
        }
        if (session->interrupts > 0)
            return pnx_fail(err, PNX_ECANCELED, "interrupted before %s was ready",
                            companion->config.name);
        if (!pnx__session_serve(session, -1, deadline, &ignored))
            return pnx_fail(err, PNX_ETIMEOUT, "%s is not ready in time", companion->config.name);
    }
    return PNX_OK;
}

/* ---- ending ---------------------------------------------------------------------------------- */

static pnx_time earlier(pnx_time a, pnx_time b)
{
    return a < b ? a : b;
}

static pnx_time patience_ends(const struct pnx__companion *companion, pnx_time now,
                              pnx_time deadline)
{
    pnx_duration patience = companion->config.patience ? companion->config.patience : PATIENCE;
    pnx_time latest = deadline == PNX_FOREVER ? deadline : deadline - FORCE;
    return earlier(pnx_time_after(now, patience), latest);
}

static void wait_politely(pnx_session *session, struct pnx__companion *companion, pnx_time until)
{
    struct pollfd fds[PNX__COMPANION_FDS];
    do {
        drain(companion, &companion->output);
        drain(companion, &companion->complaint);
        if (collect(session, companion))
            return;
        poll_set(companion, fds);
    } while (pnx__poll(fds, PNX__COMPANION_FDS, until) > 0);
}

static void use_force(pnx_session *session, struct pnx__companion *companion)
{
    companion->forced = true;
    (void)pnx_process_end(&companion->process, TERM_GRACE, NULL, NULL);
    if (collect(session, companion))
        pnx__session_warn(session, "%s did not end when it should, and was ended by force",
                          companion->config.name);
}

bool pnx__companions_stop(pnx_session *session, pnx_time deadline)
{
    pnx_time now = pnx_monotonic_now();
    bool clean = true;
    for (struct pnx__companion *at = session->companions; at; at = at->next) {
        if (at->running && !at->of_another && collect(session, at) && !at->config.ended)
            tell_end(session, at);
        pnx__close(at->running ? at->control : -1);
        at->control = -1;
    }
    for (struct pnx__companion *at = session->companions; at; at = at->next) {
        if (at->running)
            wait_politely(session, at, patience_ends(at, now, deadline));
        if (at->running)
            use_force(session, at);
        clean = clean && !at->running;
    }
    return clean;
}

void pnx__companion_finish(pnx_session *session, struct pnx__companion *companion,
                           pnx_time deadline)
{
    if (companion->running)
        wait_politely(session, companion,
                      deadline == PNX_FOREVER ? deadline : deadline - FORCE / 2);
    if (companion->running)
        use_force(session, companion);
}

/* ---- of a dead supervisor -------------------------------------------------------------------- */

/* Its control pipe had its end when the supervisor died; so it may be on its way. */
void pnx__companion_adopt(pnx_session *session, uint32_t resource, const char *name,
                          const char *identity)
{
    const pnx_outcome gone = {.fate = PNX_FATE_ALREADY_GONE, .verified = true};
    struct pnx__companion *companion = calloc(1, sizeof *companion);
    char found[48] = "";
    pid_t pid = identity ? (pid_t)strtol(identity, NULL, 10) : 0;
    pnx_process process = {.pidfd = -1};
    if (companion && pid > 1 && pnx_process_open(pid, &process, NULL) == PNX_OK)
        format_identity(&process, found);
    if (!companion || !identity || strcmp(found, identity) != 0) {
        pnx_process_close(&process);
        free(companion);
        pnx__session_gone(session, resource, &gone); /* or it has no identity: it ends by itself */
        return;
    }
    *companion = (struct pnx__companion){
        .config = {.name = name, .patience = strcmp(name, PNX__ENGINE_SWEEP) == 0 ? 1 : 0},
        .running = true,
        .of_another = true,
        .control = -1,
        .output = -1,
        .complaint = -1,
        .process = process,
        .resource = resource,
        .status = -1,
    };
    (void)set_apart(session, &companion->process, NULL);
    companion->next = session->companions;
    session->companions = companion;
}

/* ---- the report ------------------------------------------------------------------------------ */

void pnx__companions_tell(pnx_session *session, pnx_session_report *report)
{
    for (const struct pnx__companion *at = session->companions; at; at = at->next) {
        char identity[48];
        if (!at->running)
            continue;
        format_identity(&at->process, identity);
        pnx_outcome stuck = {.fate = PNX_FATE_STUCK, .reason = "still there after SIGKILL"};
        (void)pnx_session_report_add(report, &(pnx_session_resource){
                                                 .kind = "process",
                                                 .origin = PNX_ORIGIN_MADE,
                                                 .id = strdup(identity),
                                                 .name = strdup(at->config.name),
                                                 .detail = strdup(""),
                                                 .owner = geteuid(),
                                                 .priority = pnx_kind_processes.priority,
                                                 .outcome = stuck,
                                             });
    }
}

void pnx__companions_forget(pnx_session *session)
{
    while (session->companions) {
        struct pnx__companion *first = session->companions;
        session->companions = first->next;
        close_pipes(first);
        if (first->running)
            pnx_process_close(&first->process);
        first->running = false;
        first->next = NULL;
        if (first->of_another)
            free(first);
    }
}
