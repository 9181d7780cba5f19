/* SPDX-License-Identifier: MIT */
/** @file internal.h  An environment from the inside. */
#ifndef CLEANROOM_ENVIRONMENT_INTERNAL_H
#define CLEANROOM_ENVIRONMENT_INTERNAL_H

#include "docker/object.h"
#include "environment/arena.h"

#include <cleanroom/environment.h>
#include <stdatomic.h>

#define PNX__SERVICE_NAME_MAX 63
/** What is kept of the last words of a service. */
#define PNX__LOG_TAIL_MAX 8192
#define PNX__READY_WITHIN PNX_S(60)
#define PNX__REMOVE_WITHIN PNX_S(120)
#define PNX__PARALLEL 8u
#define PNX__PARALLEL_MAX 64u

/**
 * The states of a service, under environment->mutex:
 *
 *     NEW ──► STARTING ──► STARTED ──► READY ──► COMPLETED (only where somebody waits for it)
 *      │          └───────────┴───────────┴────► FAILED
 *      └───────────── any of them ─────────────► GONE
 */
enum pnx__service_state {
    PNX__SERVICE_NEW,
    PNX__SERVICE_STARTING,
    PNX__SERVICE_STARTED,
    PNX__SERVICE_READY,
    PNX__SERVICE_COMPLETED,
    PNX__SERVICE_FAILED,
    PNX__SERVICE_GONE,
};

/** One that a service depends on; `on` is NULL where it was there before, and is ready. */
struct pnx__needs {
    pnx_service *on;
    pnx_service_state condition;
};

struct pnx__address_of_port {
    uint16_t port;  /* of the container */
    uint16_t there; /* to be used from here */
    bool udp;
};

struct pnx_service {
    pnx_environment *environment;
    pnx_service *next;
    char name[PNX__SERVICE_NAME_MAX + 1];
    struct pnx__arena memory; /* of all that is copied below */
    pnx_object *object;       /* NULL once it is gone */
    pnx_outcome outcome;
    enum pnx__service_state state;
    struct pnx__needs *needs;
    size_t needs_count;
    unsigned users; /* services that need it and are not gone yet */
    bool completes; /* somebody waits until it has ended */
    bool busy; /* somebody starts, resets or removes it: others wait for environment->changed */
    pnx_wait *ready; /* NULL: the default */
    bool has_health;
    pnx_duration within, grace;
    const char *const *save, *const *coverage;
    pnx_reset_fn reset;
    void *reset_context;
    char *key; /* its configuration, as text, by which it is found again */
    bool tried;
    unsigned generation; /* 1 for the first of its name; 2 for what replaced it */
    /* Written before READY, and not after. */
    const char *id;
    char host[64];
    struct pnx__address_of_port *ports;
    size_t port_count;
};

/** A name and a value for who uses the services. */
struct pnx__variable {
    struct pnx__variable *next;
    const pnx_service *of;
    const char *name, *value;
};

struct pnx_environment {
    pnx_engine *engine;
    char id[PNX_ID_TEXT_SIZE];
    struct pnx__arena memory;
    const char *name;
    const char *artifacts;
    bool artifacts_always;
    unsigned parallel;
    pnx_policy policy; /* its lists are copied */
    pnx_reach reach;
    void (*visit)(const pnx_sweep_row *row, void *context);
    void *context;
    const char *network_name; /* what containers are connected to: ours or another's; "none" */
    pnx_object *network;      /* NULL: not ours, or none */
    pnx_outcome network_outcome;
    struct pnx__named_volume {
        const char *name;
        pnx_object *object;
        pnx_outcome outcome;
    } * volumes;
    size_t volume_count;
    pthread_mutex_t mutex; /* of the states of services, of the lists, and of all that follows */
    pthread_cond_t changed;
    pthread_mutex_t telling; /* of `visit` */
    pnx_service *services;   /* in the order in which they were given */
    struct pnx__variable *variables;
    bool started, removing, over, failed_work;
    bool has_failed;
    pnx_environment_failure failure;
    char unsaved[PNX_ERROR_MESSAGE_MAX + 96]; /* the first thing that could not be saved, and why */
    pnx_environment_counts counts;
    pnx_histogram ready_time, remove_time;
};

/* ---- plan.c ---------------------------------------------------------------------------------- */

/** PNX_EINVAL: it is no name of a service; PNX_EALREADY: one has the same variables. */
pnx_status pnx__service_check_name(const pnx_environment *environment, const char *name,
                                   pnx_error *err);
/** A service from its configuration, whose name was checked; it is not in the list yet. */
pnx_status pnx__service_make(pnx_environment *environment, const pnx_service_config *config,
                             pnx_service **ret, pnx_error *err);
void pnx__service_free(pnx_service *service);
/** Looks its dependencies up. PNX_EINVAL: one is not there. */
pnx_status pnx__service_link(pnx_environment *environment, pnx_service *service,
                             const pnx_service_config *config, pnx_error *err);
/** PNX_EINVAL: services need each other in a circle, and the error tells it. */
pnx_status pnx__services_check_order(const pnx_environment *environment, pnx_error *err);
/** Its part of the names of variables: "my-db" is MY_DB. */
void pnx__variable_prefix(const char *service, char prefix[PNX__SERVICE_NAME_MAX + 1]);

/* ---- policy.c -------------------------------------------------------------------------------- */

/** Checks the request that would make a container, and puts the limits of the policy in. */
pnx_status pnx__policy_apply(const pnx_environment *environment, const char *service,
                             struct json_t *body, pnx_error *err);
/** The reach of the network: what is asked for, within what is allowed. */
pnx_status pnx__policy_reach(const pnx_policy *policy, pnx_reach asked, pnx_reach *ret,
                             pnx_error *err);

/* ---- start.c, ready.c, address.c ------------------------------------------------------------- */

/** Creates it, starts it, and waits until it is ready. Its state is STARTING. */
pnx_status pnx__service_start(pnx_service *service, const pnx_call *call, pnx_error *err);
/** Waits until it is ready, or can not be any more. */
pnx_status pnx__service_wait(pnx_service *service, const pnx_call *call, pnx_error *err);
/** The same of any container, for 60 s at most; `call` may be NULL. */
pnx_status pnx__wait_until_ready(pnx_engine *engine, const char *container, const pnx_wait *ready,
                                 const pnx_call *call, pnx_error *err);
/** Waits until it has ended, with status 0. */
pnx_status pnx__service_wait_end(pnx_service *service, const pnx_call *call, pnx_error *err);
void pnx__service_set_state(pnx_service *service, enum pnx__service_state state);
/** Finds out how its ports are reached, and adds its variables. */
pnx_status pnx__service_find_address(pnx_service *service, const pnx_call *call, pnx_error *err);

/* ---- artifacts.c ----------------------------------------------------------------------------- */

/** The last of what it wrote, PNX__LOG_TAIL_MAX bytes at most; the caller frees it. NULL: none. */
char *pnx__service_last_words(const pnx_service *service, const pnx_call *call);
/** Its log, what the engine says of it, and its files; what can not be saved is told by `err`. */
pnx_status pnx__service_save(pnx_service *service, const pnx_call *call, pnx_error *err);
/** Its coverage files alone. */
pnx_status pnx__service_save_coverage(pnx_service *service, const pnx_call *call, pnx_error *err);

/* ---- remove.c -------------------------------------------------------------------------------- */

/** Stops it, saves what is to be saved, removes and verifies it. */
pnx_status pnx__service_remove(pnx_service *service, const pnx_call *call, pnx_error *err);

/* ---- scheduler.c ----------------------------------------------------------------------------- */

/**
 * Does `work` for services, several at a time, each when `may` says that it may be done; both with
 * the mutex held when they are asked, and free while `work` runs. Ends when nothing is left that
 * may be done and nothing goes on. Who cancels ends what `work` does by `cancel`.
 */
struct pnx__schedule {
    pnx_environment *environment;
    bool (*may)(const pnx_service *service);
    pnx_status (*work)(pnx_service *service, const pnx_call *call, pnx_error *err);
    const pnx_call *call; /* of the user */
    bool stop_at_failure;
    /* What came of it: the first failure. */
    pnx_service *failed;
    pnx_status status;
    pnx_error *err;
};
pnx_status pnx__schedule_run(struct pnx__schedule *schedule);

/* ---- figures --------------------------------------------------------------------------------- */

#define PNX__COUNT(environment, what, more)                                                        \
    do {                                                                                           \
        pthread_mutex_lock(&(environment)->mutex);                                                 \
        (environment)->counts.what += (more);                                                      \
        pthread_mutex_unlock(&(environment)->mutex);                                               \
    } while (0)

#endif
