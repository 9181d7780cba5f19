/* SPDX-License-Identifier: MIT */
/** @file object.h  A thing in the engine that is ours. */
#ifndef CLEANROOM_DOCKER_OBJECT_H
#define CLEANROOM_DOCKER_OBJECT_H

#include "docker/engine.h"
#include "docker/image.h"

enum pnx__object_state {
    PNX__OBJECT_NEW,     /* nothing was asked for yet */
    PNX__OBJECT_NEVER,   /* the engine refused to make it */
    PNX__OBJECT_UNKNOWN, /* the answer to its creation got lost: it may exist, known by its mark */
    PNX__OBJECT_MADE,    /* it exists, or did: known by its id */
    PNX__OBJECT_OVER,    /* gone, or kept: not to be touched again */
};

struct pnx_object {
    pnx_engine *engine;
    pnx_object_type type;
    enum pnx__object_state state;
    char mark[PNX_ID_TEXT_SIZE]; /* empty: it was adopted, and has none */
    char session[PNX_ID_TEXT_SIZE];
    char *id; /* never NULL */
    char *name;
    pnx_keep keep;
    pnx_duration grace;
    pnx_time asked;      /* when its creation ended without an answer */
    struct json_t *body; /* of the request that makes it; NULL for images */
    struct pnx__image image;
    bool in_ledger;
    uint64_t token;
    /* Of a container: its anonymous volumes, and its process as far as it was seen from here. */
    struct json_t *volumes;
    int64_t pid;
    uint64_t pid_start;
    pnx_outcome own, *outcome;
};

/** One that is `type`, without an id; ended by pnx_object_free. `name` may be NULL. */
pnx_status pnx__docker_object_make(pnx_engine *engine, pnx_object_type type, const char *name,
                                   pnx_keep keep, pnx_object **ret, pnx_error *err);
/** One that exists, from what a list says about it. PNX_EINVAL: it has no label of the session. */
pnx_status pnx__docker_object_of(pnx_engine *engine, pnx_object_type type, const char *session,
                                 const struct json_t *about, pnx_object **ret, pnx_error *err);
/** What is busy is tried again until `busy_until` only. */
pnx_status pnx__docker_object_remove(pnx_object *object, const struct pnx__limit *limit,
                                     pnx_time busy_until, pnx_error *err);
/** pnx_object_remove, on a worker: what is busy is not waited for there. */
pnx_status pnx__docker_object_release(pnx_object *object, const pnx_call *call, pnx_error *err);
/** Takes down what it will have to see gone: `about` is what inspect says about the container. */
void pnx__docker_object_note(pnx_object *object, const struct json_t *about);
/** Is the process that was noted still there? */
bool pnx__docker_object_lives(const pnx_object *object);

/** "key=value" texts put into a JSON object. PNX_EINVAL: one has no "="; PNX_ENOMEM. */
pnx_status pnx__docker_pairs(const char *what, const char *const *texts, struct json_t *ret,
                             pnx_error *err);

#endif
