/* SPDX-License-Identifier: MIT */
/**
 * @file environment.h
 * An environment: services in containers, with a network of their own, that are started in the
 * order in which they need each other, are waited for, and are taken down together; and what is
 * built on it: containers that are shared by tests, guards of a session, a test and a scope. Part
 * of libcleanroom-docker; docs/guards/environment.md tells the whole story.
 *
 *     const pnx_service_config services[] = {
 *         {.name = "db",
 *          .container = {.image = "postgres:15", .ports = &(pnx_port){.port = 5432},
 *                        .port_count = 1},
 *          .ready = &(pnx_wait){.check = {.type = PNX_CHECK_TCP, .port = 5432}}},
 *     };
 *     pnx_auto(environment) env = pnx_reserve(environment, registry, err);
 *     if (env.status) return env.status;
 *     pnx_environment *made;
 *     if (pnx_environment_new(engine, &(pnx_environment_config){.services = services,
 *                                                               .service_count = 1}, &made, err))
 *         return err->code;
 *     pnx_arm(&env, made);                              // from here on it will be taken down
 *     if (pnx_environment_start(made, NULL, err)) return err->code;
 *     const char *port = pnx_environment_variable(made, "DB_PORT_5432");
 *
 * Promises:
 *   - What breaks a rule, or could never start (an unknown dependency, a circle), is refused before
 *     anything exists.
 *   - When a service does not get ready, what all of them said is saved first, then all are taken
 *     down; the error names the service and the reason, and ends with its last words.
 *   - Two layers of removal: each thing in order, stopped, removed and verified; then whatever
 *     still carries the label of the environment. What is left after both is told, never forgotten.
 *   - A guard that is dropped takes it down on a worker of the registry: nothing is detached.
 *
 * Threads: an environment is for any number of threads at a time, but for pnx_environment_free.
 * Fork: in a child every call answers PNX_EFORKED, and nothing is removed.
 */
#ifndef CLEANROOM_ENVIRONMENT_H
#define CLEANROOM_ENVIRONMENT_H

#include <cleanroom/check.h>
#include <cleanroom/docker.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pnx_environment pnx_environment;
/** A container in an environment. Valid until the environment is freed. */
typedef struct pnx_service pnx_service;

/** Labels of what is made in an environment, besides those of the session. */
#define PNX_LABEL_ENVIRONMENT PNX_LABEL "environment" /**< a UUID */
#define PNX_LABEL_SERVICE PNX_LABEL "service"         /**< the name of the service */

/* ---- rules ----------------------------------------------------------------------------------- */

/** How far a network reaches; the later ones allow the earlier ones. */
typedef enum pnx_reach {
    PNX_REACH_DEFAULT = 0, /**< as far as is allowed */
    PNX_REACH_NONE,        /**< no network at all */
    PNX_REACH_INTERNAL,    /**< the containers of the environment, and this machine to them */
    PNX_REACH_OUT,         /**< the world */
} pnx_reach;

/** "default", "none", "internal", "out". Never NULL. */
PNX_API const char *pnx_reach_name(pnx_reach reach);

/**
 * What is allowed. Zeroed: all that does not lead out of a container. Where a service says nothing,
 * the limit of the policy becomes its own; where it asks for more, it is refused, by an error that
 * names the field and the rule.
 */
typedef struct pnx_policy {
    const char *const *images;   /**< patterns of fnmatch(3), of "name:tag"; NULL: all */
    pnx_reach reach;             /**< at most; PNX_REACH_DEFAULT: PNX_REACH_OUT */
    bool read_only;              /**< every root file system */
    const char *const *cap_add;  /**< may be added; NULL: none */
    const char *const *cap_drop; /**< are dropped from all containers; NULL: none */
    uint64_t memory_max;         /**< bytes, of each container; 0: no limit */
    double cpus_max;             /**< likewise */
    int64_t pids_max;            /**< likewise */
    bool allow_privileged;
    bool allow_host;          /**< namespaces of the host: network, pid, ipc, uts, user, cgroup */
    bool allow_engine_socket; /**< to be mounted, or a directory that has it in it */
    bool allow_devices;
    bool allow_unconfined; /**< security_opts that take protection away */
} pnx_policy;

/* ---- what a service is ----------------------------------------------------------------------- */

/** Of what has to be so with a service before the one that depends on it is started. */
typedef enum pnx_service_state {
    PNX_STARTED = 0, /**< it was started */
    PNX_READY,       /**< its `ready` is so (Compose: service_healthy) */
    PNX_COMPLETED,   /**< it has ended with status 0 */
} pnx_service_state;

typedef struct pnx_dependency {
    const char *service;
    pnx_service_state condition;
} pnx_dependency;

/** How the checks of a wait count. */
typedef enum pnx_wait_type {
    PNX_WAIT_CHECK = 0, /**< `check` passes */
    PNX_WAIT_ALL,       /**< all of `of` are so */
    PNX_WAIT_ANY,       /**< one of `of` is so */
} pnx_wait_type;

/** What makes a service ready. */
typedef struct pnx_wait {
    pnx_wait_type type;
    pnx_check check;
    const struct pnx_wait *of;
    size_t count;
} pnx_wait;

/** Takes back what an earlier user did to a service, before the next one gets it. */
typedef pnx_status (*pnx_reset_fn)(const pnx_service *service, void *context, const pnx_call *call,
                                   pnx_error *err);

/** Lists of texts are NULL-terminated. */
typedef struct pnx_service_config {
    const char *name; /**< its name in the network too: letters, digits, '-', '_', '.' */
    /**
     * `network` NULL: the environment's; "none". `mounts` of type PNX_MOUNT_VOLUME whose source is
     * a volume of the environment mean that one. `grace` is the time between its stop signal and
     * SIGKILL; 0: none, but with `coverage` 10 s.
     */
    pnx_container_config container;
    const pnx_dependency *depends_on;
    size_t depends_count;
    const pnx_wait *ready;       /**< NULL: healthy, if it has a health check; else running */
    pnx_duration within;         /**< so long may it take until it is ready; 0: 60 s */
    const char *const *save;     /**< files in it that are artifacts: absolute patterns of
                                      fnmatch(3); "/var/log" is all below */
    const char *const *coverage; /**< directories in it whose *.profraw and *.gcda are collected */
    pnx_reset_fn reset;          /**< see pnx_environment_get; may be NULL */
    void *reset_context;
} pnx_service_config;

typedef struct pnx_environment_config {
    const char *name; /**< in errors and figures; NULL: "environment" */
    const pnx_service_config *services;
    size_t service_count;
    const char *const *volumes; /**< names of volumes for its services, known only inside */
    pnx_reach reach;            /**< of its network; PNX_REACH_DEFAULT: what the policy allows */
    pnx_policy policy;
    const char *artifacts;   /**< a directory, made if need be; NULL: nothing is saved */
    bool artifacts_always;   /**< also when nothing has failed; coverage always is */
    pnx_keep keep;           /**< of its network and volumes */
    unsigned parallel;       /**< services that are started, or removed, at a time; 0: 8 */
    pnx_environment *within; /**< in the network of another one, whose services it sees; unless
                                  `reach` is set: then it has its own. The policy is that one's. To
                                  be removed before it */
    void (*visit)(const pnx_sweep_row *row, void *context); /**< told of all that is removed, one at
                                                                 a time; may be NULL */
    void *context;
} pnx_environment_config;

/* ---- its life -------------------------------------------------------------------------------- */

/**
 * Makes all that is needed to make it, and to take it down; nothing exists in the engine yet. The
 * engine must outlive it. What the configuration points to is copied, but for contexts.
 * PNX_EINVAL: a field is wrong, a dependency unknown or circular, or a rule is broken; the error
 * names the service, the field and the rule. PNX_ENOMEM.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_environment_new(pnx_engine *engine,
                                                      const pnx_environment_config *config,
                                                      pnx_environment **ret, pnx_error *err);
/**
 * Starts all services, each when what it depends on is as it should be, and waits until all are
 * ready. Once. When one fails, or the call ends (PNX_ETIMEOUT, PNX_ECANCELED), all are taken down:
 * see pnx_environment_failure. `call` NULL: no deadline but those of the services.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_environment_start(pnx_environment *environment,
                                                        const pnx_call *call, pnx_error *err);
/**
 * Takes it down: saves artifacts, stops, removes and verifies; services before those that they
 * depend on, networks and volumes after them; then sweeps what still carries its label. May be
 * called again after a failure. `call` NULL: two minutes. It keeps what `keep` says.
 * PNX_OK: all is gone, or kept on purpose; PNX_EBUSY, PNX_ETIMEOUT: something is left, see the rows
 * of `visit`; PNX_EFAILED: the engine is not there, and nobody knows.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_environment_remove(pnx_environment *environment,
                                                         const pnx_call *call, pnx_error *err);
/** Gives up the memory, not the things. NULL is fine. */
PNX_API void pnx_environment_free(pnx_environment *environment);
/** The work for which it was made has failed: artifacts are saved, and what is to be kept then is
 *  kept. */
PNX_API void pnx_environment_set_failed(pnx_environment *environment);

/** Its release is pnx_environment_remove and, when that answers PNX_OK, pnx_environment_free. */
extern PNX_API const pnx_kind pnx_kind_environment;

/** Why a start failed. The texts live as long as the environment. */
typedef struct pnx_environment_failure {
    const char *service; /**< empty: it was none of them, but the network or a volume */
    const char *reason;
    const char *log; /**< the last 8 KiB of what it wrote; may be empty */
} pnx_environment_failure;

/** False: no start has failed. */
PNX_API bool pnx_environment_failed(const pnx_environment *environment,
                                    pnx_environment_failure *ret);

/* ---- what is there --------------------------------------------------------------------------- */

/** Its label PNX_LABEL_ENVIRONMENT. */
PNX_API const char *pnx_environment_id(const pnx_environment *environment);
/** The id of its network; empty: it has none. */
PNX_API const char *pnx_environment_network(const pnx_environment *environment);
/** The engine that it is in. */
PNX_API pnx_engine *pnx_environment_engine(const pnx_environment *environment);
/** A service by its name, among those that were not replaced or removed; NULL: there is none. */
PNX_API pnx_service *pnx_environment_find(const pnx_environment *environment, const char *name);
/**
 * Visits NAME and value of what a program needs to find the services: of each its NAME_CONTAINER;
 * NAME_HOST and, for each port, NAME_PORT_<port> (of UDP: NAME_PORT_<port>_UDP) as they are to be
 * used from here; NAME_PORT is the first port. NAME is the service's in capitals, with '_' for what
 * is neither a letter nor a digit. They are known once it is started.
 */
PNX_API void pnx_environment_variables(const pnx_environment *environment,
                                       void (*visit)(const char *name, const char *value,
                                                     void *context),
                                       void *context);
/** One of them; NULL: there is none. Valid until the environment is freed. */
PNX_API const char *pnx_environment_variable(const pnx_environment *environment, const char *name);

PNX_API const char *pnx_service_name(const pnx_service *service);
/** The id of its container. */
PNX_API const char *pnx_service_id(const pnx_service *service);
/** Where its ports are to be reached from here; empty: nowhere. */
PNX_API const char *pnx_service_host(const pnx_service *service);
/** The port to use from here for `port` (of TCP) of the container; 0: it has no such port. */
PNX_API uint16_t pnx_service_port(const pnx_service *service, uint16_t port);

/* ---- more containers in it ------------------------------------------------------------------- */

/**
 * Makes one more service in an environment that is started, and waits until it is ready. If that
 * fails, it alone is taken down, after its logs are saved. Its dependencies must be there.
 * PNX_EALREADY: there is one of that name. `*ret` may be NULL.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_environment_run(pnx_environment *environment,
                                                      const pnx_service_config *config,
                                                      const pnx_call *call, pnx_service **ret,
                                                      pnx_error *err);
/**
 * Gets a service that is there with exactly this configuration, or makes it. One that is there is
 * reset by its `reset` first; if that fails, or if its container has ended, it is removed and
 * another one made. Who asks for the same at the same time waits, and gets the same.
 * PNX_EBUSY: there is one of that name with another configuration. `ret_reused` may be NULL.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_environment_get(pnx_environment *environment,
                                                      const pnx_service_config *config,
                                                      const pnx_call *call, pnx_service **ret,
                                                      bool *ret_reused, pnx_error *err);
/** Removes one service now, as pnx_environment_remove does it. PNX_EALREADY: it is gone. */
PNX_MUST_CHECK PNX_API pnx_status pnx_environment_end(pnx_environment *environment,
                                                      pnx_service *service, const pnx_call *call,
                                                      pnx_error *err);

/* ---- artifacts ------------------------------------------------------------------------------- */

/**
 * Saves now what is saved before a removal: for each service NAME.log and NAME.json (what the
 * engine says about it) in the directory `artifacts`, and in NAME/ the files that it has to save.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_environment_save(pnx_environment *environment,
                                                       const pnx_call *call, pnx_error *err);

/** What could not be saved first, and why; empty: all was. */
PNX_API const char *pnx_environment_unsaved(const pnx_environment *environment);

/** What was collected. */
typedef struct pnx_collected {
    uint64_t files, bytes;
    uint64_t left; /**< that could not be moved, and are still where they were */
} pnx_collected;

/**
 * Moves the coverage files (*.profraw, *.gcda) below the directory `from` of this machine into
 * `to`, under the same relative paths; symbolic links are not followed. Afterwards they are not in
 * `from` any more, nor are the temporary files that half-written copies would be. `ret` may be
 * NULL.
 * PNX_EFAILED: some are left, and the error names the first.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_coverage_collect(const char *from, const char *to,
                                                       pnx_collected *ret, pnx_error *err);

/* ---- figures --------------------------------------------------------------------------------- */

/** What happened in an environment. All counters only rise, but `services`. */
typedef struct pnx_environment_counts {
    uint64_t services;      /**< now */
    uint64_t started;       /**< containers that were started */
    uint64_t ready;         /**< that got ready */
    uint64_t failed;        /**< that did not */
    uint64_t checks;        /**< probes for readiness */
    uint64_t reused, reset; /**< by pnx_environment_get */
    uint64_t refused;       /**< by the policy, in pnx_environment_run and _get */
    uint64_t removed;       /**< things that are gone and verified: containers, networks, volumes */
    uint64_t swept;         /**< of these: only by the second layer */
    uint64_t kept;          /**< on purpose */
    uint64_t left;          /**< attempts of removal that left something behind */
    uint64_t saved_files, saved_bytes; /**< artifacts, coverage included */
    uint64_t unsaved;                  /**< things that could not be saved */
} pnx_environment_counts;

/** A snapshot. */
typedef struct pnx_environment_stats {
    pnx_environment_counts counts;
    pnx_histogram ready_time;  /**< from asking for a container until it is ready */
    pnx_histogram remove_time; /**< of one thing, until it is seen to be gone */
} pnx_environment_stats;

PNX_API void pnx_environment_stats_of(const pnx_environment *environment,
                                      pnx_environment_stats *ret);
/**
 * Prometheus text exposition format 0.0.4, to be written after that of the registry
 * (pnx_stats_write_prometheus): cleanroom_environment_*_total{environment}, cleanroom_environment_
 * services, and the histograms cleanroom_environment_{ready,remove}_seconds. PNX_EFAILED.
 */
PNX_MUST_CHECK PNX_API pnx_status
pnx_environment_write_prometheus(const pnx_environment *environment, FILE *out, pnx_error *err);

#ifdef __cplusplus
}
#endif

PNX__OFFER_KIND(environment, pnx_environment *);

#endif
