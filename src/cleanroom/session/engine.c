/* SPDX-License-Identifier: MIT */
/* The socket that the command has in DOCKER_HOST, and the proxy behind it. */
#include "session/engine.h"

#include "session/helper.h"
#include "session/session.h"

#include "kind/isolate.h"
#include "kind/sys.h"
#include "kind/thing.h"
#include "ledger/ledger.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PROGRAM "cleanroom-docker"
/* Two seconds for creations that are under way, and some for a busy machine. */
#define PATIENCE PNX_S(8)
/* Somebody who kills one proxy after the other wants none. */
#define STARTS_MAX 64
/* How a proxy exits that found no engine. */
#define NO_ENGINE 69

/* What the socket is called in the TMPDIR: the second where the first makes it too long. */
static const char *const in_tmpdir[] = {PNX__ENGINE_SOCKET, "d"};

/* ---- the socket ------------------------------------------------------------------------------ */

/* In the directory of the ledger, where no `rm -rf "$TMPDIR"/…` of the command meets it. */
static bool choose_beside_ledger(pnx_session *session)
{
    struct pnx__engine *engine = &session->engine;
    char id[PNX_ID_TEXT_SIZE];
    int length =
        snprintf(engine->socket, sizeof engine->socket, "%s/sessions/%s/" PNX__ENGINE_SOCKET,
                 session->state_path, pnx_id_format(session->id, id));
    memcpy(engine->address, engine->socket, sizeof engine->address);
    return length < (int)sizeof engine->socket &&
           !((session->config.isolate & PNX_ISOLATE_TMP) && pnx__isolate_hides(engine->socket));
}

/*
 * Where that is too deep for a socket, or hidden from the command, in its TMPDIR. With a /tmp of
 * its own, that is the `tmp` in ours; with a limit of the disk, it is another file system.
 */
static bool choose_in_tmpdir(pnx_session *session)
{
    struct pnx__engine *engine = &session->engine;
    bool apart = session->config.isolate & PNX_ISOLATE_TMP;
    size_t size = sizeof engine->socket;
    if (session->config.limits.disk > 0)
        return false;
    if (apart && mkdirat(pnx_tempdir_fd(session->dir), "tmp", 01777) != 0 && errno != EEXIST)
        return false;
    for (size_t i = 0; i < sizeof in_tmpdir / sizeof *in_tmpdir; i++)
        if (snprintf(engine->socket, size, "%s/%s%s", session->dir_path, apart ? "tmp/" : "",
                     in_tmpdir[i]) < (int)size &&
            snprintf(engine->address, size, "%s/%s", session->dir_path, in_tmpdir[i]) < (int)size)
            return true;
    return false;
}

static pnx_status listen_at(struct pnx__engine *engine, pnx_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, engine->socket, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        listen(fd, SOMAXCONN) == 0) {
        engine->listener = fd;
        return PNX_OK;
    }
    pnx_fail(err, PNX_EFAILED, "cannot make the socket %s: %m", engine->socket);
    pnx__close(fd);
    return PNX_EFAILED;
}

static pnx_status set_variables(pnx_session *session, pnx_error *err)
{
    const struct pnx__engine *engine = &session->engine;
    const char *remote = getenv("CONTAINER_HOST");
    /* It makes podman(1) a client of its API, which a Docker Engine does not speak. */
    bool podman =
        strstr(engine->place.host, "podman") || (remote && strcmp(remote, engine->place.host) == 0);
    char **to = session->variables + PNX__VARIABLES_OF_ENGINE;
    bool made = asprintf(&to[0], "DOCKER_HOST=unix://%s", engine->address) > 0 &&
                (to[1] = strdup("TESTCONTAINERS_RYUK_DISABLED=true")) != NULL;
    if (made && podman)
        made = asprintf(&to[2], "CONTAINER_HOST=unix://%s", engine->address) > 0;
    return made ? PNX_OK : pnx_fail(err, PNX_ENOMEM, "no memory for the command's environment");
}

static pnx_status offer(pnx_session *session, pnx_error *err)
{
    char program[PATH_MAX];
    struct pnx__engine *engine = &session->engine;
    pnx_status status =
        pnx__helper_find(pnx__session_tool(session), PROGRAM, program, sizeof program, err);
    if (status == PNX_OK)
        status = pnx__engine_look(&engine->place, err);
    if (status != PNX_OK)
        return status;
    if (!choose_beside_ledger(session) && !choose_in_tmpdir(session))
        return pnx_fail(err, PNX_EFAILED,
                        "there is no path for a socket that is short enough and reachable by the "
                        "command: set CLEANROOM_STATE_DIR or TMPDIR to a shorter one");
    status = listen_at(engine, err);
    if (status == PNX_OK)
        status = set_variables(session, err);
    return status;
}

pnx_status pnx__engine_offer(pnx_session *session, pnx_error *err)
{
    pnx_error why = {0};
    pnx_docker wanted = session->config.docker;
    if (wanted == PNX_DOCKER_OFF || !session->ledger)
        return PNX_OK;
    pnx_status status = offer(session, &why);
    if (status == PNX_OK)
        return PNX_OK;
    pnx__engine_withdraw(session);
    pnx__engine_place_done(&session->engine.place);
    if (wanted == PNX_DOCKER_AUTO && status != PNX_ENOMEM) {
        if (status != PNX_ENOTFOUND) /* there is an engine, and what is made there is not ours */
            pnx__session_warn(session, "containers are not looked after: %s", why.message);
        return PNX_OK;
    }
    if (err)
        *err = why;
    return status == PNX_ENOTFOUND
               ? pnx_wrap(err, PNX_EFAILED,
                          "no containers can be had: start an engine, or set DOCKER_HOST; "
                          "'cleanroom doctor' shows the places")
               : status;
}

int pnx__engine_poll_fd(const pnx_session *session)
{
    const struct pnx__engine *engine = &session->engine;
    return engine->proxy.running ? -1 : engine->listener;
}

void pnx__engine_withdraw(pnx_session *session)
{
    struct pnx__engine *engine = &session->engine;
    struct stat about;
    pnx__close(engine->listener);
    engine->listener = -1;
    if (session->record_fd >= 0)
        (void)unlinkat(session->record_fd, PNX__ENGINE_SOCKET, 0);
    if (engine->socket[0])
        (void)unlink(engine->socket);
    if (!session->adopted || !session->dir)
        return;
    /* Where the dead supervisor had it; else it would be told as one of the command's files. */
    static const char *const places[] = {PNX__ENGINE_SOCKET, "d", ("tmp/" PNX__ENGINE_SOCKET),
                                         "tmp/d"};
    int dir = pnx_tempdir_fd(session->dir);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (fstatat(dir, places[i], &about, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(about.st_mode))
            (void)unlinkat(dir, places[i], 0);
}

/* ---- the proxy ------------------------------------------------------------------------------- */

static void hear_line(void *context, const char *line)
{
    pnx_session *session = context;
    struct pnx__flat flat;
    char *copy = strdup(line);
    if (copy && pnx__flat_read(copy, &flat)) {
        const char *event = pnx__flat_get(&flat, "event");
        if (strcmp(event, "ready") == 0)
            session->engine.ready = true;
        else if (strcmp(event, "told") == 0)
            pnx__session_warn(session, "docker: %s", pnx__flat_get(&flat, "message"));
    }
    free(copy);
}

static void hear(void *context, const char *data, size_t size)
{
    pnx_session *session = context;
    pnx__lines_take(&session->engine.heard, data, size, hear_line, session);
}

/* Who waits there would wait for ever: each gets to know that there is nobody. */
static void refuse_clients(struct pnx__engine *engine)
{
    int client;
    while ((client = accept4(engine->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        engine->refused++;
        close(client);
    }
}

static void tell_refusal(pnx_session *session, const char *why)
{
    struct pnx__engine *engine = &session->engine;
    if (engine->refused == 0)
        pnx__session_warn(session, "docker: %s", why);
    refuse_clients(engine);
}

/* Nothing was ever forwarded by one that was not ready. */
static void never_was(pnx_session *session)
{
    const pnx_outcome none = {.fate = PNX_FATE_ALREADY_GONE, .verified = true};
    pnx__session_gone(session, session->engine.resource, &none);
    session->engine.resource = 0;
}

static void proxy_ended(void *context, int status)
{
    pnx_session *session = context;
    struct pnx__engine *engine = &session->engine;
    bool orderly = status >= 0 && WIFEXITED(status);
    if (!engine->ready && orderly) {
        const char *words = pnx__companion_last_words(&engine->proxy);
        tell_refusal(session, *words ? words : "the proxy could not be started");
        if (engine->starts == 1 && !engine->for_others)
            never_was(session);
        engine->starts -= WEXITSTATUS(status) == NO_ENGINE;
        return;
    }
    engine->died = true;
    pnx__session_warn(session,
                      "the docker proxy ended with %s %d; the next connection starts it "
                      "again",
                      orderly ? "status" : "signal",
                      orderly ? WEXITSTATUS(status) : WTERMSIG(status));
}

pnx_status pnx__engine_intend(pnx_session *session, pnx_error *err)
{
    struct pnx__engine *engine = &session->engine;
    char tool[PATH_MAX];
    engine->for_others = true;
    if (engine->resource != 0 || !session->ledger)
        return PNX_OK;
    if (!engine->place.environment) {
        pnx_status status = pnx__engine_look(&engine->place, err);
        if (status != PNX_OK)
            return status;
    }
    char *text = pnx__words_encode((const char *const *)engine->place.environment);
    pnx_status status = text ? pnx__ledger_note(session->ledger, PNX__NOTE_ENGINE, text, err)
                             : pnx_fail(err, PNX_ENOMEM, "no memory for the ledger");
    free(text);
    if (status == PNX_OK && realpath(pnx__session_tool(session), tool))
        status = pnx__ledger_note(session->ledger, PNX__NOTE_TOOL, tool, err);
    /* Containers survive a reboot. */
    return status == PNX_OK ? pnx__ledger_intend(session->ledger, PNX__CODE_ENGINE,
                                                 engine->place.host, true, &engine->resource, err)
                            : status;
}

static pnx_status start_proxy(pnx_session *session, pnx_error *err)
{
    static const char *const keeps[] = {"never", "on-failure", "always"};
    struct pnx__engine *engine = &session->engine;
    char id[PNX_ID_TEXT_SIZE], ledger[PATH_MAX];
    pnx_id_format(session->id, id);
    if (snprintf(ledger, sizeof ledger, "%s/sessions/%s/" PNX__ENGINE_LEDGER, session->state_path,
                 id) >= (int)sizeof ledger)
        return pnx_fail(err, PNX_EFAILED, "the path of the session's directory is too long");
    const char *argv[] = {
        PROGRAM,     "serve",
        "--session", id,
        "--ledger",  ledger,
        "--scope",   session->config.docker_strict ? "strict" : "warn",
        "--keep",    keeps[session->config.keep],
        NULL,
    };
    char **environment = pnx__engine_environment(&engine->place);
    if (!environment)
        return pnx_fail(err, PNX_ENOMEM, "no memory for the environment of the docker proxy");
    const struct pnx__companion_config config = {
        .name = "the docker proxy",
        .program = PROGRAM,
        .argv = argv,
        .environment = (const char *const *)environment,
        .given = engine->listener,
        .patience = PATIENCE,
        .took = hear,
        .ended = proxy_ended,
        .context = session,
    };
    engine->ready = false;
    engine->heard.size = 0;
    bool others = engine->for_others;
    pnx_status status = pnx__engine_intend(session, err);
    engine->for_others = others;
    if (status == PNX_OK)
        status = pnx__companion_start(session, &engine->proxy, &config, err);
    free(environment);
    return status;
}

void pnx__engine_connected(pnx_session *session)
{
    struct pnx__engine *engine = &session->engine;
    pnx_error why = {0};
    char text[PNX_ERROR_MESSAGE_MAX + PNX_ERROR_CAUSE_MAX + 4];
    if (engine->proxy.running || engine->listener < 0)
        return;
    if (engine->starts >= STARTS_MAX) {
        pnx__session_warn(session, "the docker proxy ended %u times, and is not started again",
                          engine->starts);
        pnx__engine_withdraw(session);
        return;
    }
    if (start_proxy(session, &why) == PNX_OK) {
        engine->starts++;
        return;
    }
    pnx_error_format(&why, text, sizeof text);
    tell_refusal(session, text);
}

void pnx__engine_forget(pnx_session *session)
{
    struct pnx__engine *engine = &session->engine;
    pnx__close(engine->listener);
    engine->listener = -1;
    pnx__engine_place_done(&engine->place);
    for (size_t i = 0; i < engine->row_count; i++) {
        free(engine->rows[i].id);
        free(engine->rows[i].name);
        free(engine->rows[i].detail);
    }
    free(engine->rows);
    engine->rows = NULL;
    engine->row_count = 0;
}
