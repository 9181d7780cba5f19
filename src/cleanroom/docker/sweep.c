/* SPDX-License-Identifier: MIT */
/* All that carries a session's label, whoever made it. */
#include "docker/calls.h"
#include "docker/labels.h"
#include "docker/object.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define PARALLEL_MAX 64u
#define SETTLE_PAUSE PNX_MS(50)

struct sweeping {
    pnx_engine *engine;
    const pnx_sweep *sweep;
    const char *session;
    pnx_time deadline;
    struct pnx__limit limit; /* with the deadline of the class */
    json_t *told;            /* the ids of what stays, with their types: it is told once */
    pthread_mutex_t mutex;   /* of what is below, and of the visitor */
    pnx_object_type type;
    json_t *list;
    size_t next;
    size_t stays;
    pnx_status worst;
};

/* ---- one thing ------------------------------------------------------------------------------- */

static void visit(struct sweeping *sweeping, const pnx_object *object, const json_t *about)
{
    if (!sweeping->sweep->visit)
        return;
    const char *detail = object->type == PNX_CONTAINER ? pnx__docker_json_text(about, "Image") : "";
    const pnx_sweep_row row = {
        .type = object->type,
        .id = object->id,
        .name = object->name,
        .detail = detail,
        .volumes = (unsigned)json_array_size(object->volumes),
        .outcome = *object->outcome,
    };
    sweeping->sweep->visit(&row, sweeping->sweep->context);
}

static void make_key(const struct sweeping *sweeping, const json_t *about, char key[320])
{
    snprintf(key, 320, "%d %s", (int)sweeping->type,
             pnx__docker_json_text(about, sweeping->type == PNX_VOLUME ? "Name" : "Id"));
}

/* It is still there, on purpose (PNX_OK) or not: it is not to be looked at again. */
static void note_stays(struct sweeping *sweeping, const json_t *about, pnx_status status)
{
    char key[320];
    make_key(sweeping, about, key);
    json_object_set_new(sweeping->told, key, json_true());
    if (status == PNX_OK)
        return;
    sweeping->stays++;
    /* What is late or canceled says more of the sweep than what is busy. */
    if (sweeping->worst != PNX_ECANCELED)
        sweeping->worst = status == PNX_ETIMEOUT || status == PNX_ECANCELED ? status : PNX_EBUSY;
}

static bool was_told(const struct sweeping *sweeping, const json_t *about)
{
    char key[320];
    make_key(sweeping, about, key);
    return json_object_get(sweeping->told, key) != NULL;
}

static pnx_time busy_until(const struct sweeping *sweeping)
{
    pnx_duration busy = sweeping->sweep->busy;
    return busy > 0 ? pnx_time_after(pnx_monotonic_now(), busy) : sweeping->limit.deadline;
}

static void sweep_one(struct sweeping *sweeping, const json_t *about)
{
    pnx_object *object = NULL;
    pnx_status status = pnx__docker_object_of(sweeping->engine, sweeping->type, sweeping->session,
                                              about, &object, NULL);
    if (status == PNX_OK && !sweeping->sweep->look)
        status = pnx__docker_object_remove(object, &sweeping->limit, busy_until(sweeping), NULL);
    pthread_mutex_lock(&sweeping->mutex);
    bool stays =
        status != PNX_OK || sweeping->sweep->look || object->outcome->fate == PNX_FATE_KEPT;
    if (stays)
        note_stays(sweeping, about, status);
    if (object)
        visit(sweeping, object, about);
    pthread_mutex_unlock(&sweeping->mutex);
    pnx_object_free(object);
}

/* ---- one class ------------------------------------------------------------------------------- */

static void *work(void *context)
{
    struct sweeping *sweeping = context;
    for (;;) {
        pthread_mutex_lock(&sweeping->mutex);
        const json_t *about = json_array_get(sweeping->list, sweeping->next++);
        pthread_mutex_unlock(&sweeping->mutex);
        if (!about)
            return NULL;
        sweep_one(sweeping, about);
    }
}

/* The calling thread works too: with no thread to be had, it works alone. */
static void work_together(struct sweeping *sweeping)
{
    pthread_t threads[PARALLEL_MAX];
    size_t count = 0, most = json_array_size(sweeping->list);
    unsigned wanted = sweeping->sweep->parallel ? sweeping->sweep->parallel : 8;
    if (wanted > PARALLEL_MAX)
        wanted = PARALLEL_MAX;
    if (most > wanted)
        most = wanted;
    sweeping->next = 0;
    while (count + 1 < most && pthread_create(&threads[count], NULL, work, sweeping) == 0)
        count++;
    work(sweeping);
    while (count)
        pthread_join(threads[--count], NULL);
}

static pnx_status list_new(struct sweeping *sweeping, pnx_error *err)
{
    char label[sizeof PNX_LABEL_SESSION + PNX_ID_TEXT_SIZE];
    snprintf(label, sizeof label, "%s=%s", PNX_LABEL_SESSION, sweeping->session);
    const char *const labels[] = {label, PNX_LABEL_MANAGED "=true", sweeping->sweep->label, NULL};
    /* By the deadline of all: a class may have used up its own by what does not go. */
    const struct pnx__limit limit = {sweeping->deadline, sweeping->limit.cancel_fd};
    json_t *list;
    pnx_status status =
        pnx__docker_list(sweeping->engine, sweeping->type, labels, &limit, &list, err);
    if (status != PNX_OK)
        return status;
    for (size_t i = json_array_size(list); i-- > 0;)
        if (was_told(sweeping, json_array_get(list, i)))
            json_array_remove(list, i);
    sweeping->list = list;
    return PNX_OK;
}

/* Half of the time that is left, so that what does not go leaves some for the next class. */
static pnx_time share_of(pnx_time deadline, bool last)
{
    pnx_time now = pnx_monotonic_now();
    return last || deadline == PNX_FOREVER ? deadline : now + (deadline - now) / 2;
}

/* Until nothing is found that was not told already. */
static pnx_status sweep_class(struct sweeping *sweeping, pnx_object_type type, size_t *found,
                              pnx_error *err)
{
    sweeping->type = type;
    sweeping->limit.deadline = share_of(sweeping->deadline, type == PNX_IMAGE);
    for (;;) {
        pnx_status status = list_new(sweeping, err);
        if (status != PNX_OK)
            return status;
        size_t count = json_array_size(sweeping->list);
        work_together(sweeping);
        json_decref(sweeping->list);
        *found += count;
        if (count == 0)
            return PNX_OK;
    }
}

/* ---- all ------------------------------------------------------------------------------------- */

static pnx_status sweep_once(struct sweeping *sweeping, size_t *found, pnx_error *err)
{
    for (int type = PNX_CONTAINER; type < PNX_OBJECT_TYPE_COUNT; type++) {
        if (type == PNX_IMAGE && !sweeping->sweep->images)
            continue;
        pnx_status status = sweep_class(sweeping, (pnx_object_type)type, found, err);
        if (status != PNX_OK)
            return status;
    }
    return PNX_OK;
}

static pnx_status sweep_all(struct sweeping *sweeping, pnx_error *err)
{
    pnx_time until = pnx_time_after(pnx_monotonic_now(), sweeping->sweep->settle);
    for (;;) {
        size_t found = 0;
        bool last = pnx_monotonic_now() >= until;
        pnx_status status = sweep_once(sweeping, &found, err);
        if (status != PNX_OK)
            return status;
        /* What was found took time in which more may have come: the next look is free of that. */
        if (last && found == 0)
            break;
        if (found == 0) {
            status = pnx__docker_pause(SETTLE_PAUSE, &sweeping->limit, err);
            if (status != PNX_OK)
                return status;
        }
    }
    if (sweeping->stays == 0)
        return PNX_OK;
    return pnx_fail(err, sweeping->worst, "%zu things of session %s are still in the engine",
                    sweeping->stays, sweeping->session);
}

pnx_status pnx_engine_sweep(pnx_engine *engine, const pnx_sweep *sweep, const pnx_call *call,
                            pnx_error *err)
{
    static const pnx_sweep defaults;
    pnx_id id;
    struct sweeping sweeping = {
        .engine = engine,
        .sweep = sweep ? sweep : &defaults,
        .session = sweep && sweep->session ? sweep->session : engine->session,
        .limit = pnx__docker_limit_of(engine, call),
    };
    sweeping.deadline = sweeping.limit.deadline;
    pnx_status status = pnx__docker_engine_here(engine, err);
    if (status == PNX_OK)
        status = pnx_id_parse(sweeping.session, &id, err);
    if (status != PNX_OK)
        return status;
    sweeping.told = json_object();
    if (!sweeping.told)
        return pnx__docker_no_memory(err);
    pthread_mutex_init(&sweeping.mutex, NULL);
    status = sweep_all(&sweeping, err);
    pthread_mutex_destroy(&sweeping.mutex);
    json_decref(sweeping.told);
    return status;
}
