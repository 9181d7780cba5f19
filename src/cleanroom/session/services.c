/* SPDX-License-Identifier: MIT */
#include "session/services.h"

#include "session/session.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Stopping, saving and removing takes the engine seconds for each. */
#define PATIENCE PNX_S(120)
/* How the program exits that had to leave something behind; in all other cases nothing is. */
#define NOT_REMOVED 1

pnx_status pnx__services_take(pnx_session *session, pnx_error *err)
{
    const char *file = session->config.services;
    session->config.services = NULL; /* the caller's */
    if (!file)
        return PNX_OK;
    struct pnx__services *services = session->services = calloc(1, sizeof *services);
    if (!services)
        return pnx_fail(err, PNX_ENOMEM, "no memory for services");
    services->of = session;
    pnx_id_format(session->id, services->session);
    services->file = realpath(file, NULL);
    if (!services->file)
        return pnx_fail(err, PNX_EFAILED, "cannot read the services in '%s': %m", file);
    if (session->artifacts &&
        asprintf(&services->artifacts, "%s/services-%s", session->artifacts, services->session) < 0)
        services->artifacts = NULL;
    return PNX_OK;
}

/* ---- what it says ---------------------------------------------------------------------------- */

/* At the end: one thing that was removed. */
static void take_line(void *context, const char *line)
{
    struct pnx__flat flat;
    char *copy = strdup(line);
    if (copy && pnx__flat_read(copy, &flat))
        pnx__engine_take_row(((struct pnx__services *)context)->of, &flat, PNX_ORIGIN_MADE);
    free(copy);
}

/* Variables until the empty one, which says that all are ready; then lines. */
static void took(void *context, const char *data, size_t size)
{
    struct pnx__services *services = context;
    size_t taken = 0;
    if (services->ready)
        pnx__lines_take(&services->heard, data, size, take_line, services);
    if (services->ready || services->too_much)
        return;
    services->too_much = services->said_size + size > PNX__SERVICES_SAID_MAX;
    char *grown = services->too_much ? NULL : realloc(services->said, services->said_size + size);
    if (!grown) {
        services->too_much = true;
        return;
    }
    services->said = grown;
    while (taken < size && !services->ready) {
        bool first = services->said_size == 0 || services->said[services->said_size - 1] == '\0';
        if (first && data[taken] == '\0')
            services->ready = true;
        else
            services->said[services->said_size++] = data[taken];
        taken++;
    }
    pnx__lines_take(&services->heard, data + taken, size - taken, take_line, services);
}

static bool is_ready(void *context)
{
    return ((struct pnx__services *)context)->ready;
}

/* Until they are ready, who waits for that tells why they are not. */
static void ended(void *context, int status)
{
    struct pnx__services *services = context;
    const char *words = pnx__companion_last_words(&services->companion);
    if (services->ready)
        pnx__session_warn(services->of, "the services ended (%d) before the command did%s%s",
                          status, *words ? ": " : "", words);
}

/* ---- the life of it -------------------------------------------------------------------------- */

static const char *const keeps[] = {"never", "on-failure", "always"};

pnx_status pnx__services_start(pnx_session *session, pnx_error *err)
{
    struct pnx__services *services = session->services;
    size_t count = 0;
    if (!services)
        return PNX_OK;
    const char *const words[] = {
        "cleanroom-services", "--session", services->session,          "--file",
        services->file,       "--keep",    keeps[session->config.keep]};
    for (; count < sizeof words / sizeof *words; count++)
        services->argv[count] = words[count];
    if (services->artifacts) {
        services->argv[count++] = "--artifacts";
        services->argv[count] = services->artifacts;
    }
    /* Whatever becomes of them, and of us, the engine is swept then. */
    pnx_status status = pnx__engine_intend(session, err);
    if (status != PNX_OK)
        return pnx_wrap(err, PNX_EFAILED, "there is no engine for the services");
    char **environment = pnx__engine_environment(&session->engine.place);
    if (!environment)
        return pnx_fail(err, PNX_ENOMEM, "no memory for services");
    const struct pnx__companion_config config = {
        .name = "the services",
        .program = "cleanroom-services",
        .argv = services->argv,
        .environment = (const char *const *)environment,
        .patience = PATIENCE,
        .took = took,
        .ended = ended,
        .context = services,
    };
    status = pnx__companion_start(session, &services->companion, &config, err);
    free(environment);
    if (status == PNX_ENOTFOUND) /* it is not the command that is not there */
        return pnx_wrap(err, PNX_EFAILED, "cannot start the services");
    /* Each has a deadline of its own, and says so when it is over. */
    return status == PNX_OK
               ? pnx__companion_await(session, &services->companion, is_ready, PNX_FOREVER, err)
               : status;
}

char **pnx__services_add_variables(const pnx_session *session, char *const *set)
{
    const struct pnx__services *services = session->services;
    size_t count = 0, more = 0;
    while (set[count])
        count++;
    for (size_t i = 0; services && i < services->said_size; i++)
        more += services->said[i] == '\0';
    char **all = calloc(count + more + 1, sizeof *all);
    if (!all)
        return NULL;
    memcpy(all, set, count * sizeof *all);
    for (size_t at = 0; more > 0 && at < services->said_size; count++) {
        all[count] = services->said + at;
        at += strlen(services->said + at) + 1;
    }
    return all;
}

/* It may be gone, and its pipe with it; SIGPIPE is nothing that the program should see of that. */
void pnx__services_tell_failure(pnx_session *session)
{
    static const char word[] = "failed\n";
    static const struct timespec now;
    const struct pnx__services *services = session->services;
    sigset_t broken, before;
    if (!services || !services->companion.running || services->companion.control < 0)
        return;
    sigemptyset(&broken);
    sigaddset(&broken, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &broken, &before);
    if (write(services->companion.control, word, sizeof word - 1) < 0 && errno == EPIPE)
        (void)sigtimedwait(&broken, NULL, &now);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void pnx__services_settle(pnx_session *session)
{
    const struct pnx__services *services = session->services;
    struct pnx__engine *engine = &session->engine;
    const pnx_outcome gone = {.fate = PNX_FATE_REMOVED, .verified = true};
    /* If the command made things in the engine, too, there is more to be looked for. */
    if (!services || !services->companion.started_once || services->companion.running ||
        engine->starts > 0 || engine->resource == 0)
        return;
    int status = services->companion.status;
    if (status < 0 || !WIFEXITED(status) || WEXITSTATUS(status) == NOT_REMOVED)
        return;
    pnx__session_gone(session, engine->resource, &gone);
    engine->resource = 0;
}

void pnx__services_forget(pnx_session *session)
{
    struct pnx__services *services = session->services;
    if (!services)
        return;
    free(services->file);
    free(services->artifacts);
    free(services->said);
    free(services);
    session->services = NULL;
}
