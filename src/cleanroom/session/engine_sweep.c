/* SPDX-License-Identifier: MIT */
/*
 * What the session has in an engine, removed by `cleanroom-docker sweep`: by the supervisor, by its
 * reaper, by an adopter. Only if the ledger says that there may be something.
 */
#include "session/engine.h"

#include "session/session.h"

#include "kind/outcome.h"
#include "kind/sys.h"
#include "kind/thing.h"
#include "ledger/ledger.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define PROGRAM "cleanroom-docker"
/* For what an engine was just making when everybody died. */
#define SETTLE_MS "2000"
/* An engine that is just being started anew; an adopter looks another time. */
#define RETRY_MS "30000"
#define RETRY_OF_ADOPTER_MS "1000"
/* The sweep ends before the deadline of all, so that it can say what is left. */
#define MARGIN PNX_S(3)

/* ---- what it tells --------------------------------------------------------------------------- */

static const char *kind_of(const char *name)
{
    static const char *const kinds[] = {"container", "network", "volume", "image"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i], name) == 0)
            return kinds[i];
    return NULL;
}

static pnx_fate fate_of(const char *name)
{
    for (int fate = 0; fate < PNX_FATE_COUNT; fate++)
        if (strcmp(pnx_fate_name((pnx_fate)fate), name) == 0)
            return (pnx_fate)fate;
    return PNX_FATE_STUCK;
}

static uint64_t number_of(const struct pnx__flat *flat, const char *key)
{
    return strtoull(pnx__flat_get(flat, key), NULL, 10);
}

static void take_outcome(const struct pnx__flat *flat, pnx_outcome *ret)
{
    *ret = (pnx_outcome){
        .fate = fate_of(pnx__flat_get(flat, "status")),
        .verified = strcmp(pnx__flat_get(flat, "verified"), "true") == 0,
        .attempts = (unsigned)number_of(flat, "attempts"),
        .took =
            (pnx_duration)(strtod(pnx__flat_get(flat, "duration_ms"), NULL) * (double)PNX_MS(1)),
        .ended = pnx_monotonic_now(),
        .bytes = number_of(flat, "bytes"),
    };
    snprintf(ret->reason, sizeof ret->reason, "%s", pnx__flat_get(flat, "reason"));
}

static bool has_room(struct pnx__engine *engine)
{
    if (engine->row_count < engine->row_max)
        return true;
    size_t wanted = engine->row_max ? 2 * engine->row_max : 16;
    pnx_session_resource *grown = realloc(engine->rows, wanted * sizeof *grown);
    if (!grown)
        return false;
    engine->rows = grown;
    engine->row_max = wanted;
    return true;
}

/* One that was there still is told again when it went after all. */
static pnx_session_resource *row_of(struct pnx__engine *engine, const char *kind, const char *id,
                                    pnx_origin origin)
{
    for (size_t i = 0; i < engine->row_count; i++)
        if (engine->rows[i].kind == kind && engine->rows[i].id &&
            strcmp(engine->rows[i].id, id) == 0)
            return &engine->rows[i];
    if (!has_room(engine))
        return NULL;
    pnx_session_resource *row = &engine->rows[engine->row_count++];
    *row = (pnx_session_resource){.kind = kind, .id = strdup(id), .origin = origin, .owner = -1};
    return row;
}

void pnx__engine_take_row(pnx_session *session, const struct pnx__flat *flat, pnx_origin origin)
{
    const char *kind = kind_of(pnx__flat_get(flat, "kind"));
    pnx_session_resource *row =
        kind ? row_of(&session->engine, kind, pnx__flat_get(flat, "id"), origin) : NULL;
    if (!row) {
        session->things_unlisted += kind != NULL;
        return;
    }
    free(row->name);
    free(row->detail);
    row->name = strdup(pnx__flat_get(flat, "name"));
    row->detail = strdup(pnx__flat_get(flat, "detail"));
    row->priority = PNX_NORMAL;
    take_outcome(flat, &row->outcome);
}

static void take_line(void *context, const char *line)
{
    pnx_session *session = context;
    struct pnx__flat flat;
    char *copy = strdup(line);
    if (copy && pnx__flat_read(copy, &flat)) {
        if (strcmp(pnx__flat_get(&flat, "kind"), "artifact") == 0)
            pnx__session_add_artifact(session, pnx__flat_get(&flat, "name"),
                                      number_of(&flat, "bytes"), pnx__flat_get(&flat, "reason"));
        else
            pnx__engine_take_row(session, &flat, PNX_ORIGIN_FOUND);
    }
    free(copy);
}

static void take(void *context, const char *data, size_t size)
{
    pnx_session *session = context;
    pnx__lines_take(&session->engine.heard, data, size, take_line, session);
}

/* ---- the sweep ------------------------------------------------------------------------------- */

static void milliseconds_until(pnx_time deadline, char ret[24])
{
    pnx_time now = pnx_monotonic_now();
    pnx_duration left = deadline - MARGIN > now ? deadline - MARGIN - now : PNX_MS(1);
    pnx_duration most = PNX_S(3600);
    snprintf(ret, 24, "%" PRId64, (int64_t)((left < most ? left : most) / PNX_MS(1)));
}

static pnx_status start(pnx_session *session, bool failed, pnx_time deadline, pnx_error *err)
{
    struct pnx__engine *engine = &session->engine;
    char id[PNX_ID_TEXT_SIZE], ledger[PATH_MAX + 128], timeout[24];
    const char *artifacts = pnx__session_artifacts_place(session);
    bool late = session->adopted && strcmp(session->adopter, "reaper") != 0;
    pnx_id_format(session->id, id);
    milliseconds_until(deadline, timeout);
    snprintf(ledger, sizeof ledger, "%s/sessions/%s/" PNX__ENGINE_LEDGER, session->state_path, id);
    const char *argv[24] = {
        PROGRAM,
        "sweep",
        "--session",
        id,
        "--ledger",
        ledger,
        "--timeout",
        timeout,
        "--settle",
        SETTLE_MS,
        "--images",
        "--retry",
        late ? RETRY_OF_ADOPTER_MS : RETRY_MS,
    };
    size_t count = 13;
    if (failed)
        argv[count++] = "--failed";
    if (artifacts) {
        argv[count++] = "--artifacts";
        argv[count++] = artifacts;
    }
    char **environment = pnx__engine_environment(&engine->place);
    if (!environment)
        return pnx_fail(err, PNX_ENOMEM, "no memory to look into the engine");
    const struct pnx__companion_config config = {
        .name = PNX__ENGINE_SWEEP,
        .program = PROGRAM,
        .argv = argv,
        .environment = (const char *const *)environment,
        .took = take,
        .context = session,
    };
    engine->heard.size = 0;
    pnx_status status = pnx__companion_start(session, &engine->sweeper, &config, err);
    free(environment);
    return status;
}

static void nobody_knows(struct pnx__engine *engine, const char *why)
{
    engine->unknown = true;
    snprintf(engine->reason, sizeof engine->reason, "%.*s", (int)sizeof engine->reason - 1, why);
}

static void judge(struct pnx__engine *engine)
{
    const struct pnx__companion *sweeper = &engine->sweeper;
    int status = sweeper->running || sweeper->status < 0 || !WIFEXITED(sweeper->status)
                     ? -1
                     : WEXITSTATUS(sweeper->status);
    const char *words = pnx__companion_last_words(&engine->sweeper);
    if (strncmp(words, PROGRAM ": ", strlen(PROGRAM ": ")) == 0)
        words += strlen(PROGRAM ": ");
    engine->left = status != 0;
    if (status != 0 && status != 1)
        nobody_knows(engine, *words ? words : "the sweep of the engine did not come to an end");
}

bool pnx__engine_sweep(pnx_session *session, bool failed, pnx_time deadline)
{
    struct pnx__engine *engine = &session->engine;
    const pnx_outcome gone = {.fate = PNX_FATE_REMOVED, .verified = true};
    pnx_error why = {0};
    char text[PNX_ERROR_MESSAGE_MAX + PNX_ERROR_CAUSE_MAX + 4];
    if (engine->resource == 0)
        return true;
    if (start(session, failed, deadline, &why) != PNX_OK) {
        pnx_error_format(&why, text, sizeof text);
        engine->left = true;
        nobody_knows(engine, text);
        return false;
    }
    pnx__companion_finish(session, &engine->sweeper, deadline);
    judge(engine);
    if (!engine->left)
        pnx__session_gone(session, engine->resource, &gone);
    return !engine->left;
}

/* ---- of a dead supervisor -------------------------------------------------------------------- */

void pnx__engine_adopt(pnx_session *session, uint32_t resource, const char *host,
                       const struct pnx__ledger_view *view)
{
    struct pnx__engine *engine = &session->engine;
    const char *text = pnx__ledger_view_note(view, PNX__NOTE_ENGINE);
    if (engine->resource != 0)
        return;
    engine->resource = resource;
    snprintf(engine->place.host, sizeof engine->place.host, "%s", host);
    engine->place.environment = text ? pnx__words_decode(text) : NULL;
}

/* ---- the report ------------------------------------------------------------------------------ */

static void tell_unknown(const struct pnx__engine *engine, pnx_session_report *report)
{
    pnx_outcome stuck = {.fate = PNX_FATE_STUCK, .attempts = 1};
    snprintf(stuck.reason, sizeof stuck.reason, "%s", engine->reason);
    (void)pnx_session_report_add(report, &(pnx_session_resource){
                                             .kind = "engine",
                                             .id = strdup(engine->place.host),
                                             .name = strdup(engine->place.host),
                                             .detail = strdup("what is left in it is not known"),
                                             .owner = -1,
                                             .origin = PNX_ORIGIN_MADE,
                                             .priority = PNX_NORMAL,
                                             .outcome = stuck,
                                         });
}

void pnx__engine_tell(pnx_session *session, pnx_session_report *report)
{
    struct pnx__engine *engine = &session->engine;
    for (size_t i = 0; i < engine->row_count; i++)
        pnx__session_report_row(report, engine->rows[i]);
    engine->row_count = 0; /* the report has the texts now */
    if (engine->unknown)
        tell_unknown(engine, report);
}
