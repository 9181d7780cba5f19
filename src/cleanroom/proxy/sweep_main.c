/* SPDX-License-Identifier: MIT */
/*
 * cleanroom-docker sweep: removes all that a session has in an engine, and tells of each thing. It
 * is what the supervisor, the reaper and every adopter execute, so that none of them loads libcurl.
 */
#include "proxy/sweep.h"

#include "ledger/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Long enough for many things on a slow machine. */
#define TIMEOUT PNX_S(60)
/* One look whether an engine answers. */
#define ONE_TRY PNX_S(10)
#define PAUSE PNX_MS(50)
/* What is in use by somebody else stays so: what is ours goes before it. */
#define BUSY PNX_S(10)

static const char usage[] =
    "usage: cleanroom-docker sweep --session UUID [--host HOST] [--ledger FILE] [--settle MS]\n"
    "                              [--timeout MS] [--retry MS] [--artifacts DIR] [--failed]\n"
    "                              [--look] [--images]\n"
    "\n"
    "Removes all that carries the session's label, and tells of it on stdout.\n";

enum { SESSION = 1, HOST, LEDGER, SETTLE, TIMEOUT_OF, RETRY, ARTIFACTS, FAILED, LOOK, IMAGES };

static const struct option options[] = {
    {"session", required_argument, NULL, SESSION},
    {"host", required_argument, NULL, HOST},
    {"ledger", required_argument, NULL, LEDGER},
    {"settle", required_argument, NULL, SETTLE},
    {"timeout", required_argument, NULL, TIMEOUT_OF},
    {"retry", required_argument, NULL, RETRY},
    {"artifacts", required_argument, NULL, ARTIFACTS},
    {"failed", no_argument, NULL, FAILED},
    {"look", no_argument, NULL, LOOK},
    {"images", no_argument, NULL, IMAGES},
    {"help", no_argument, NULL, 'h'},
    {0},
};

struct asked {
    const char *session, *host, *ledger, *artifacts;
    pnx_duration settle, timeout, retry; /* retry: for so long an engine may be away */
    bool failed, look, images;
};

/* What came of it. */
struct result {
    size_t stays; /* besides what is kept */
};

/* ---- telling --------------------------------------------------------------------------------- */

void pnx__sweep_tell(json_t *line)
{
    char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
    json_decref(line);
    if (text)
        puts(text);
    free(text);
    (void)fflush(stdout); /* who reads may have to know before the next thing is removed */
}

json_t *pnx__sweep_text(const char *text)
{
    json_t *json = json_string(text);
    if (json)
        return json;
    char *copy = strdup(text);
    for (char *at = copy; at && *at; at++)
        if ((unsigned char)*at >= 0x80)
            *at = '?';
    json = json_string(copy ? copy : "");
    free(copy);
    return json;
}

static int complain(const char *what, const pnx_error *err)
{
    char text[PNX_ERROR_MESSAGE_MAX + PNX_ERROR_CAUSE_MAX + 4];
    pnx_error_format(err, text, sizeof text);
    fprintf(stderr, "cleanroom-docker: %s%s\n", what, text);
    return PNX__SWEEP_NO_ENGINE;
}

static void detail_of(const pnx_sweep_row *row, char *ret, size_t size)
{
    const char *comma = *row->detail ? ", " : "";
    if (row->volumes == 0)
        snprintf(ret, size, "%s", row->detail);
    else if (row->volumes == 1)
        snprintf(ret, size, "%s%swith 1 anonymous volume", row->detail, comma);
    else
        snprintf(ret, size, "%s%swith %u anonymous volumes", row->detail, comma, row->volumes);
}

static void visit(const pnx_sweep_row *row, void *context)
{
    struct result *result = context;
    const pnx_outcome *outcome = &row->outcome;
    char detail[512];
    detail_of(row, detail, sizeof detail);
    result->stays += !outcome->verified && outcome->fate != PNX_FATE_KEPT;
    pnx__sweep_tell(
        json_pack("{s:s, s:o, s:o, s:o, s:s, s:b, s:i, s:f, s:I, s:o}", "kind",
                  pnx_object_type_name(row->type), "id", pnx__sweep_text(row->id), "name",
                  pnx__sweep_text(row->name), "detail", pnx__sweep_text(detail), "status",
                  pnx_fate_name(outcome->fate), "verified", (int)outcome->verified, "attempts",
                  (int)outcome->attempts, "duration_ms", (double)outcome->took / (double)PNX_MS(1),
                  "bytes", (json_int_t)outcome->bytes, "reason", pnx__sweep_text(outcome->reason)));
}

/* ---- the ledger of the proxy ----------------------------------------------------------------- */

/*
 * Was something being made when the proxy died? Then its intent has no end, and the engine may be
 * at it still. Without a ledger nobody knows.
 */
static bool may_be_under_way(const char *path)
{
    struct pnx__ledger_view *view = NULL;
    char *parent = strdup(path), *file = strdup(path);
    int dir = parent ? open(dirname(parent), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    bool pending = true;
    if (dir >= 0 && file && pnx__ledger_load(dir, basename(file), &view, NULL) == PNX_OK) {
        pending = view->damaged > 0;
        for (size_t i = 0; i < view->resource_count; i++)
            pending = pending || view->resources[i].state == PNX__LEDGER_INTENDED;
    }
    pnx__ledger_view_free(view);
    if (dir >= 0)
        close(dir);
    free(parent);
    free(file);
    return pending;
}

/* ---- sweeping -------------------------------------------------------------------------------- */

static pnx_time earlier(pnx_time a, pnx_time b)
{
    return a < b ? a : b;
}

/* An engine that is just being started anew is worth waiting for. */
static pnx_status open_engine(const struct asked *asked, pnx_time deadline, pnx_engine **ret,
                              pnx_error *err)
{
    pnx_time until = earlier(deadline, pnx_time_after(pnx_monotonic_now(), asked->retry));
    const pnx_engine_config config = {.host = asked->host, .session = asked->session};
    for (;;) {
        pnx_time soon = pnx_time_after(pnx_monotonic_now(), ONE_TRY);
        const pnx_call call = {.deadline = earlier(soon, deadline)};
        pnx_error_clear(err);
        pnx_status status = pnx_engine_open(&config, &call, ret, err);
        if (status == PNX_OK || status == PNX_EINVAL || status == PNX_EUNSUPPORTED ||
            pnx_monotonic_now() >= until)
            return status;
        struct timespec pause = {.tv_nsec = PAUSE};
        (void)nanosleep(&pause, NULL);
    }
}

static void save(pnx_engine *engine, const struct asked *asked, pnx_time deadline)
{
    int to = open(asked->artifacts, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (to < 0) {
        pnx__sweep_tell(json_pack("{s:s, s:s, s:o}", "kind", "artifact", "name", "", "reason",
                                  pnx__sweep_text(strerror(errno))));
        return;
    }
    pnx_time now = pnx_monotonic_now();
    pnx__sweep_save(engine, asked->session, to, now + (deadline - now) / 4);
    close(to);
}

static int sweep(pnx_engine *engine, const struct asked *asked, pnx_time deadline)
{
    pnx_error err = {0};
    struct result result = {0};
    bool settle = !asked->ledger || may_be_under_way(asked->ledger);
    const pnx_call call = {.deadline = deadline};
    const pnx_sweep how = {
        .session = asked->session,
        .images = asked->images,
        .look = asked->look,
        .settle = settle ? asked->settle : 0,
        .busy = BUSY,
        .visit = visit,
        .context = &result,
    };
    if (asked->artifacts)
        save(engine, asked, deadline);
    pnx_engine_set_failed(engine, asked->failed);
    pnx_status status = pnx_engine_sweep(engine, &how, &call, &err);
    if (status == PNX_OK && asked->ledger) {
        status = pnx__sweep_ledger(engine, asked->ledger, &how, &call);
        if (status != PNX_OK && result.stays == 0)
            (void)pnx_fail(&err, status, "cannot look at all that is written down");
        else if (status != PNX_OK)
            return PNX__SWEEP_LEFT;
    }
    if (status == PNX_OK)
        return asked->look && result.stays > 0 ? PNX__SWEEP_LEFT : PNX__SWEEP_CLEAN;
    (void)complain("", &err);
    /* What stays was told, each with its reason; else nobody knows what there is. */
    return result.stays > 0 ? PNX__SWEEP_LEFT : PNX__SWEEP_NO_ENGINE;
}

/* ---- the command line ------------------------------------------------------------------------ */

static bool read_milliseconds(const char *text, pnx_duration *ret)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || value > 86400000ul) {
        fprintf(stderr, "cleanroom-docker: '%s' is not a number of milliseconds\n", text);
        return false;
    }
    *ret = PNX_MS((pnx_duration)value);
    return true;
}

static bool read_session(const char *text, const char **ret)
{
    pnx_error err = {0};
    pnx_id id;
    *ret = text;
    if (pnx_id_parse(text, &id, &err) == PNX_OK)
        return true;
    (void)complain("--session is a UUID: ", &err);
    return false;
}

static bool read_option(int option, struct asked *ret)
{
    switch (option) {
    case SESSION:
        return read_session(optarg, &ret->session);
    case HOST:
        ret->host = optarg;
        return true;
    case LEDGER:
        ret->ledger = optarg;
        return true;
    case SETTLE:
        return read_milliseconds(optarg, &ret->settle);
    case TIMEOUT_OF:
        return read_milliseconds(optarg, &ret->timeout);
    case RETRY:
        return read_milliseconds(optarg, &ret->retry);
    case ARTIFACTS:
        ret->artifacts = optarg;
        return true;
    case FAILED:
        return ret->failed = true;
    case LOOK:
        return ret->look = true;
    case IMAGES:
        return ret->images = true;
    default:
        fputs(usage, stderr);
        return false;
    }
}

int pnx__docker_sweep_main(int argc, char **argv)
{
    struct asked asked = {.timeout = TIMEOUT};
    pnx_error err = {0};
    pnx_engine *engine;
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (option == 'h') {
            fputs(usage, stdout);
            return 0;
        }
        if (!read_option(option, &asked))
            return PNX__SWEEP_USAGE;
    }
    if (!asked.session || optind < argc) {
        fputs(usage, stderr);
        return PNX__SWEEP_USAGE;
    }
    pnx_time deadline = pnx_time_after(pnx_monotonic_now(), asked.timeout);
    if (open_engine(&asked, deadline, &engine, &err) != PNX_OK)
        return complain("", &err);
    int status = sweep(engine, &asked, deadline);
    pnx_engine_close(engine);
    return status;
}
