/* SPDX-License-Identifier: MIT */
/**
 * @file docker.h
 * Docker and Podman: a client of the engine, and guards of what is made in it. A library of its
 * own, libcleanroom-docker (pkg-config cleanroom-docker), on libcurl, jansson and libarchive;
 * docs/docker.md tells the whole story.
 *
 *     pnx_engine *engine;
 *     if (pnx_engine_open(NULL, &engine, err)) return err->code;
 *
 *     pnx_auto(container) db = pnx_reserve(container, registry, err);
 *     if (db.status) return db.status;
 *     pnx_object *made;
 *     if (pnx_container_new(engine, &(pnx_container_config){.image = "postgres:15"}, &made, err))
 *         return err->code;
 *     pnx_arm(&db, made);                              // from here on it will be removed
 *     if (pnx_object_create(made, NULL, err)) return err->code;
 *     if (pnx_engine_start(engine, pnx_object_id(made), NULL, err)) return err->code;
 *
 * Promises:
 *   - Every call ends by its deadline, whatever the engine does: hangs, drips, closes early,
 *     answers garbage or without end.
 *   - What is made through here carries labels (PNX_LABEL …) by which it is found again, also when
 *     the answer to its creation never came. Only what carries them *and* has the id that we know
 *     is ever removed; gone means seen to be gone.
 *   - One engine serves any number of threads at a time. An object is for one thread at a time.
 *   - In a fork child every call answers PNX_EFORKED, and nothing is removed.
 *
 * What the engine itself said is an error's cause, with its HTTP status. Of the codes,
 * PNX_ENOTFOUND is 404; PNX_EBUSY is 409, a name that is taken, what is in use, a removal that goes
 * on already; PNX_EINVAL 400; PNX_ELIMIT an answer that is too large; PNX_ETIMEOUT, PNX_ECANCELED
 * the call's own end; PNX_EFAILED everything else, an engine that is not there or answers garbage
 * included. Every call that takes a pnx_call may answer these, and PNX_ENOMEM; the comments below
 * tell only what is special.
 *
 * JSON is jansson's: `struct json_t` is its json_t, for json_decref and the like.
 */
#ifndef CLEANROOM_DOCKER_H
#define CLEANROOM_DOCKER_H

#include <cleanroom/outcome.h>

#ifdef __cplusplus
extern "C" {
#endif

/* json_t; <jansson.h> is needed only by who looks into it. */
struct json_t;

/** An engine: where it is, which version is spoken, idle connections. */
typedef struct pnx_engine pnx_engine;
/** A container, network, volume or image that is ours, or is about to be. */
typedef struct pnx_object pnx_object;
/** By which another thread ends calls early. */
typedef struct pnx_cancel pnx_cancel;

/* ---- how long a call may take ---------------------------------------------------------------- */

/** NULL, or zero in a field, means the engine's default. */
typedef struct pnx_call {
    pnx_time deadline;        /**< CLOCK_MONOTONIC, of connecting, sending and receiving together;
                                   0: pnx_engine_config.timeout from now */
    const pnx_cancel *cancel; /**< may be NULL */
} pnx_call;

/** A call that may take `span` from now on. */
static inline pnx_call pnx_call_within(pnx_duration span)
{
    pnx_call call = {pnx_time_after(pnx_monotonic_now(), span), NULL};
    return call;
}

/** PNX_ENOMEM, PNX_EFAILED (no descriptor). */
PNX_MUST_CHECK PNX_API pnx_status pnx_cancel_create(pnx_cancel **ret, pnx_error *err);
/** Ends all calls that have it, now and in future, with PNX_ECANCELED. Signal-safe. */
PNX_API void pnx_cancel_now(const pnx_cancel *cancel);
/** Not while a call has it. NULL is fine. */
PNX_API void pnx_cancel_free(pnx_cancel *cancel);

/* ---- the ledger ------------------------------------------------------------------------------ */

/** The sorts of things in an engine, in the order in which they are removed. */
typedef enum pnx_object_type {
    PNX_CONTAINER = 0,
    PNX_NETWORK,
    PNX_VOLUME,
    PNX_IMAGE,
    PNX_OBJECT_TYPE_COUNT
} pnx_object_type;

/** "container", "network", "volume", "image". Never NULL. */
PNX_API const char *pnx_object_type_name(pnx_object_type type);

/**
 * Who writes down what is about to be made, and what became of it; so that it is found after a
 * crash. Called from the thread that makes or removes the object.
 */
typedef struct pnx_engine_ledger {
    void *context;
    /** Before the request leaves. `mark` will be its label PNX_LABEL_ID; unless PNX_OK, nothing is
     *  made. */
    pnx_status (*intend)(void *context, pnx_object_type type, const char *mark, const char *name,
                         uint64_t *ret_token, pnx_error *err);
    /** It exists, under this id (of a volume: its name). */
    pnx_status (*bind)(void *context, uint64_t token, const char *id, pnx_error *err);
    /** It is seen to be gone, never came into being, or is kept: the outcome says which. */
    void (*gone)(void *context, uint64_t token, const pnx_outcome *outcome);
} pnx_engine_ledger;

/* ---- the engine ------------------------------------------------------------------------------ */

typedef enum pnx_engine_kind {
    PNX_ENGINE_DOCKER = 0,
    PNX_ENGINE_PODMAN,
} pnx_engine_kind;

/** All may be zero. The texts are copied; the ledger must outlive the engine. */
typedef struct pnx_engine_config {
    const char *host;     /**< "unix:///path", "tcp://host:port"; NULL: looked for, see
                               pnx_engine_discover */
    const char *session;  /**< a UUID, the label of all that is made; NULL: a new one */
    pnx_duration timeout; /**< of a call that has no deadline of its own; 0: 30 s */
    size_t answer_max;    /**< bytes of an answer that is not a stream; 0: 64 MiB */
    uint64_t copy_max;    /**< bytes of what is copied out of a container; 0: 1 GiB */
    pnx_duration expires; /**< from when on others may remove what is left of us; 0: a day */
    const pnx_engine_ledger *ledger;
} pnx_engine_config;

/**
 * Finds the engine, asks for its version and agrees on one: the newest that both speak.
 * `config` may be NULL. PNX_ENOTFOUND: there is none, and the error says where it was looked for;
 * PNX_EUNSUPPORTED: an address of a sort that is not spoken (ssh, npipe); PNX_EINVAL.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_engine_open(const pnx_engine_config *config,
                                                  const pnx_call *call, pnx_engine **ret,
                                                  pnx_error *err);
/** Closes it, once its objects are freed and no call goes on. Removes nothing. NULL is fine. */
PNX_API void pnx_engine_close(pnx_engine *engine);

/** What became of one place in which an engine is looked for. */
typedef struct pnx_engine_place {
    const char *source; /**< "DOCKER_HOST", "context desktop", "default", "rootless", … */
    const char *host;   /**< "unix:///var/run/docker.sock"; empty when there is none */
    bool set;           /**< somebody asked for it: none of those below is taken instead */
    bool taken;
    const char *reason; /**< why it was not taken; empty when it was */
} pnx_engine_place;

/**
 * Looks for an engine in all places, in order: DOCKER_HOST (with DOCKER_TLS_VERIFY and
 * DOCKER_CERT_PATH); DOCKER_CONTEXT, or the current context of ~/.docker/config.json (or of
 * DOCKER_CONFIG); /var/run/docker.sock; $XDG_RUNTIME_DIR/docker.sock; ~/.docker/run/docker.sock;
 * $XDG_RUNTIME_DIR/podman/podman.sock; /run/podman/podman.sock. Tells `visit` of every one of them.
 * PNX_ENOTFOUND: none answers.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_engine_discover(const pnx_call *call,
                                                      void (*visit)(const pnx_engine_place *place,
                                                                    void *context),
                                                      void *context, pnx_error *err);

PNX_API pnx_engine_kind pnx_engine_kind_of(const pnx_engine *engine);
/** Where it was found, "unix:///var/run/docker.sock". */
PNX_API const char *pnx_engine_host(const pnx_engine *engine);
/** The session whose label is on all that is made; 36 characters. */
PNX_API const char *pnx_engine_session(const pnx_engine *engine);
/** The version that is spoken: 1041 is 1.41. It can change when the engine is replaced. */
PNX_API unsigned pnx_engine_api(const pnx_engine *engine);

/** Is it there? */
PNX_MUST_CHECK PNX_API pnx_status pnx_engine_ping(pnx_engine *engine, const pnx_call *call,
                                                  pnx_error *err);
/** GET /version and GET /info. The caller owns `*ret`. */
PNX_MUST_CHECK PNX_API pnx_status pnx_engine_version(pnx_engine *engine, const pnx_call *call,
                                                     struct json_t **ret, pnx_error *err);
PNX_MUST_CHECK PNX_API pnx_status pnx_engine_info(pnx_engine *engine, const pnx_call *call,
                                                  struct json_t **ret, pnx_error *err);

/**
 * One request, for what has no function of its own here: `path` is "/containers/json?all=1",
 * escaped, without the version, which is the one agreed upon; `body` may be NULL. `*ret` (may be
 * NULL) is the JSON of the answer, or NULL where there was none; the caller owns it. An HTTP status
 * of 300 or more is a failure; 304 is PNX_EALREADY.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_engine_request(pnx_engine *engine, const char *method,
                                                     const char *path, const struct json_t *body,
                                                     const pnx_call *call, struct json_t **ret,
                                                     pnx_error *err);

/* ---- what is there --------------------------------------------------------------------------- */

/** All of what the engine says about one thing, by id or name. The caller owns `*ret`. */
PNX_MUST_CHECK PNX_API pnx_status pnx_engine_inspect(pnx_engine *engine, pnx_object_type type,
                                                     const char *id, const pnx_call *call,
                                                     struct json_t **ret, pnx_error *err);
/**
 * Those that have all of `labels` ("key" or "key=value", NULL-terminated; NULL: all there are),
 * stopped containers included, as a JSON array. The caller owns `*ret`.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_engine_list(pnx_engine *engine, pnx_object_type type,
                                                  const char *const *labels, const pnx_call *call,
                                                  struct json_t **ret, pnx_error *err);
/**
 * Removes it, whosever it is, as the engine does when asked: with `force` a container that runs and
 * an image that has several names; a container with its anonymous volumes. Verifies nothing: for
 * what is ours there is pnx_object_remove.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_engine_remove(pnx_engine *engine, pnx_object_type type,
                                                    const char *id, bool force,
                                                    const pnx_call *call, pnx_error *err);

/** One event. Valid during the call. */
typedef struct pnx_engine_event {
    const char *type;   /**< "container", "network", … */
    const char *action; /**< "start", "die", "destroy", …; Podman says "remove" for "destroy" */
    const char *id;
    int64_t time;              /**< nanoseconds since 1970 */
    const struct json_t *json; /**< all of it */
} pnx_engine_event;

/**
 * Visits events from `since` (seconds since 1970; 0: from now) on, those of `type` with `labels`
 * (either may be NULL), until `visit` answers false (PNX_OK) or the call ends.
 */
PNX_MUST_CHECK PNX_API pnx_status
pnx_engine_events(pnx_engine *engine, int64_t since, const char *type, const char *const *labels,
                  bool (*visit)(const pnx_engine_event *event, void *context), void *context,
                  const pnx_call *call, pnx_error *err);

/* ---- containers ------------------------------------------------------------------------------ */

/** PNX_EALREADY: it runs. */
PNX_MUST_CHECK PNX_API pnx_status pnx_engine_start(pnx_engine *engine, const char *container,
                                                   const pnx_call *call, pnx_error *err);
/** Its stop signal, and SIGKILL after `grace` (whole seconds). PNX_EALREADY: it does not run. */
PNX_MUST_CHECK PNX_API pnx_status pnx_engine_stop(pnx_engine *engine, const char *container,
                                                  pnx_duration grace, const pnx_call *call,
                                                  pnx_error *err);
/** PNX_EBUSY: it does not run. */
PNX_MUST_CHECK PNX_API pnx_status pnx_engine_kill(pnx_engine *engine, const char *container,
                                                  int signal_number, const pnx_call *call,
                                                  pnx_error *err);
/** Waits until it does not run, or is removed. `*ret_exit` may be NULL. */
PNX_MUST_CHECK PNX_API pnx_status pnx_engine_wait(pnx_engine *engine, const char *container,
                                                  const pnx_call *call, int *ret_exit,
                                                  pnx_error *err);
/** Its processes, as /top answers; what was changed in its file system, as /changes answers. */
PNX_MUST_CHECK PNX_API pnx_status pnx_engine_top(pnx_engine *engine, const char *container,
                                                 const pnx_call *call, struct json_t **ret,
                                                 pnx_error *err);
PNX_MUST_CHECK PNX_API pnx_status pnx_engine_changes(pnx_engine *engine, const char *container,
                                                     const pnx_call *call, struct json_t **ret,
                                                     pnx_error *err);

/**
 * Takes a part of a stream: `stream` is 1 for stdout, 2 for stderr. False: enough, the call ends
 * with PNX_OK. It runs in the calling thread; its own time is not cut short by the deadline.
 */
typedef bool (*pnx_sink)(int stream, const void *data, size_t size, void *context);

typedef struct pnx_logs {
    bool follow;     /**< until it ends */
    bool timestamps; /**< each line begins with one (RFC 3339) */
    unsigned tail;   /**< only the last so many lines; 0: all */
    int64_t since;   /**< seconds since 1970; 0: from the beginning */
} pnx_logs;

/** What it has written. `logs` may be NULL. */
PNX_MUST_CHECK PNX_API pnx_status pnx_engine_logs(pnx_engine *engine, const char *container,
                                                  const pnx_logs *logs, pnx_sink sink,
                                                  void *context, const pnx_call *call,
                                                  pnx_error *err);

/** What it uses. */
typedef struct pnx_container_stats {
    int64_t read;                           /**< nanoseconds since 1970 */
    uint64_t cpu;                           /**< CPU time so far, in nanoseconds */
    uint64_t memory;                        /**< bytes, without page cache that can go at once */
    uint64_t memory_max;                    /**< its limit */
    uint64_t pids;                          /**< processes and threads */
    uint64_t block_read, block_written;     /**< bytes */
    uint64_t net_received, net_transmitted; /**< bytes, of all networks */
} pnx_container_stats;

/** Once. All zero when it does not run. */
PNX_MUST_CHECK PNX_API pnx_status pnx_engine_stats(pnx_engine *engine, const char *container,
                                                   const pnx_call *call, pnx_container_stats *ret,
                                                   pnx_error *err);
/** About once a second, until `visit` answers false (PNX_OK), it is removed, or the call ends. */
PNX_MUST_CHECK PNX_API pnx_status
pnx_engine_stats_follow(pnx_engine *engine, const char *container,
                        bool (*visit)(const pnx_container_stats *stats, void *context),
                        void *context, const pnx_call *call, pnx_error *err);

/** A command to be run in a container. */
typedef struct pnx_exec {
    const char *const *argv;        /**< NULL-terminated */
    const char *const *environment; /**< more of it, "NAME=value", NULL-terminated; may be NULL */
    const char *user;               /**< NULL: the container's */
    const char *workdir;            /**< NULL: the container's */
    const void *input;              /**< given to its stdin, which then ends; NULL: no stdin */
    size_t input_size;
    pnx_sink sink; /**< what it writes; NULL: thrown away */
    void *context;
} pnx_exec;

/**
 * Runs it and waits for its end; a sink that answers false lets it run on unattended, and
 * `*ret_exit` (may be NULL) is -1 then. So does a call that ends early: the engine has no way to
 * end it but with its container.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_engine_exec(pnx_engine *engine, const char *container,
                                                  const pnx_exec *exec, const pnx_call *call,
                                                  int *ret_exit, pnx_error *err);

/**
 * Copies the file or directory `from` of this machine into the directory `to` of the container,
 * which may be stopped; symbolic links as such.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_engine_copy_in(pnx_engine *engine, const char *container,
                                                     const char *from, const char *to,
                                                     const pnx_call *call, pnx_error *err);
/**
 * Copies the file or directory `from` of the container into the directory `to` of this machine,
 * which is made if need be. Nothing is written outside of `to`, whatever the engine sends; owners
 * are not kept, device files left out.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_engine_copy_out(pnx_engine *engine, const char *container,
                                                      const char *from, const char *to,
                                                      const pnx_call *call, pnx_error *err);
/** One file from memory into the directory `to`. */
PNX_MUST_CHECK PNX_API pnx_status pnx_engine_put(pnx_engine *engine, const char *container,
                                                 const char *to, const char *name, unsigned mode,
                                                 const void *data, size_t size,
                                                 const pnx_call *call, pnx_error *err);

/* ---- networks and images --------------------------------------------------------------------- */

PNX_MUST_CHECK PNX_API pnx_status pnx_engine_connect(pnx_engine *engine, const char *network,
                                                     const char *container,
                                                     const char *const *aliases,
                                                     const pnx_call *call, pnx_error *err);
/** With `force` also when the container is gone or does not answer. */
PNX_MUST_CHECK PNX_API pnx_status pnx_engine_disconnect(pnx_engine *engine, const char *network,
                                                        const char *container, bool force,
                                                        const pnx_call *call, pnx_error *err);

/** Gives an image the name "name:tag". */
PNX_MUST_CHECK PNX_API pnx_status pnx_engine_tag(pnx_engine *engine, const char *image,
                                                 const char *name, const pnx_call *call,
                                                 pnx_error *err);
/** Fetches an image from its registry; it is not ours, and stays. */
PNX_MUST_CHECK PNX_API pnx_status pnx_engine_pull(pnx_engine *engine, const char *image,
                                                  const pnx_call *call, pnx_error *err);

/* ---- labels ---------------------------------------------------------------------------------- */

#define PNX_LABEL "dev.cleanroom."
#define PNX_LABEL_MANAGED PNX_LABEL "managed"   /**< "true" */
#define PNX_LABEL_SESSION PNX_LABEL "session"   /**< the session's UUID */
#define PNX_LABEL_ID PNX_LABEL "id"             /**< the thing's own UUID, its mark */
#define PNX_LABEL_MACHINE PNX_LABEL "machine"   /**< of this machine, not its machine-id itself */
#define PNX_LABEL_BOOT PNX_LABEL "boot"         /**< boot_id */
#define PNX_LABEL_UID PNX_LABEL "uid"           /**< user id */
#define PNX_LABEL_OWNER PNX_LABEL "owner"       /**< "pid:start time" */
#define PNX_LABEL_CREATED PNX_LABEL "created"   /**< RFC 3339, UTC */
#define PNX_LABEL_EXPIRES PNX_LABEL "expires"   /**< likewise */
#define PNX_LABEL_PRIORITY PNX_LABEL "priority" /**< what has less is removed first */
#define PNX_LABEL_KEEP PNX_LABEL "keep"         /**< pnx_keep_name */
#define PNX_LABEL_VERSION PNX_LABEL "version"   /**< of this library */

/** Whether a thing stays when its owner ends. */
typedef enum pnx_keep {
    PNX_KEEP_NEVER = 0,
    PNX_KEEP_ON_FAILURE, /**< if the work failed: see pnx_engine_set_failed */
    PNX_KEEP_ALWAYS,
} pnx_keep;

/** "never", "on-failure", "always". Never NULL. */
PNX_API const char *pnx_keep_name(pnx_keep keep);

/** The work for which things were made has failed: what is to be kept then is kept from now on. */
PNX_API void pnx_engine_set_failed(pnx_engine *engine, bool failed);

/**
 * Puts the labels of this engine's session into the JSON object `labels`, over any that are there:
 * for requests that somebody else makes. `mark` is the thing's UUID; NULL: a new one.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_engine_label(const pnx_engine *engine, pnx_object_type type,
                                                   pnx_keep keep, const char *mark,
                                                   struct json_t *labels, pnx_error *err);

/* ---- what is ours ---------------------------------------------------------------------------- */

/** A port of a container that is published. */
typedef struct pnx_port {
    uint16_t port;
    bool udp;
    const char *host_ip; /**< NULL: 127.0.0.1 */
    uint16_t host_port;  /**< 0: the engine chooses one */
} pnx_port;

typedef enum pnx_mount_type {
    PNX_MOUNT_BIND = 0, /**< `source` is a path of the engine's machine */
    PNX_MOUNT_VOLUME,   /**< a volume's name; NULL: an anonymous one */
    PNX_MOUNT_TMPFS,
} pnx_mount_type;

typedef struct pnx_mount {
    pnx_mount_type type;
    const char *source;
    const char *target; /**< the path in the container */
    bool read_only;
    uint64_t size; /**< bytes at most, of a tmpfs; 0: no limit */
} pnx_mount;

/** How the engine finds out whether a container is healthy; zero: as its image says. */
typedef struct pnx_health_check {
    const char *const *argv; /**< NULL-terminated; NULL: see `shell` */
    const char *shell;       /**< run by the container's shell */
    pnx_duration interval, timeout, start_period;
    unsigned retries;
} pnx_health_check;

/** Zero means: as the image or the engine has it. Lists of texts are NULL-terminated. */
typedef struct pnx_container_config {
    const char *image; /**< must be there: see pnx_engine_pull */
    const char *name;  /**< NULL: one that nobody else has */
    const char *const *command;
    const char *const *entrypoint;
    const char *const *environment; /**< "NAME=value" */
    const char *const *labels;      /**< "key=value" */
    const char *user;
    const char *workdir;
    const char *hostname;
    const char *network;        /**< "none", "host", a name or an id */
    const char *const *aliases; /**< its names in that network */
    const pnx_port *ports;
    size_t port_count;
    const pnx_mount *mounts;
    size_t mount_count;
    uint64_t memory_max; /**< bytes, swap included */
    double cpus;
    int64_t pids_max;
    bool read_only; /**< its root file system */
    const char *const *cap_add;
    const char *const *cap_drop;
    const char *const *security_opts;
    bool privileged; /**< never by default */
    bool init;       /**< a tiny init as PID 1 */
    bool tty;
    const char *stop_signal;
    pnx_health_check health;
    const char *cgroup_parent;
    const struct json_t *body; /**< of POST /containers/create, for what is not above; what is
                                    above, and our labels, are put over it */
    pnx_duration grace;        /**< between its stop signal and SIGKILL when it is removed */
    pnx_keep keep;
} pnx_container_config;

typedef struct pnx_network_config {
    const char *name; /**< NULL: one that nobody else has */
    const char *driver;
    const char *const *labels;
    bool internal; /**< no way out */
    const struct json_t *body;
    pnx_keep keep;
} pnx_network_config;

typedef struct pnx_volume_config {
    const char *name; /**< NULL: one that nobody else has */
    const char *driver;
    const char *const *driver_options; /**< "key=value" */
    const char *const *labels;
    const struct json_t *body;
    pnx_keep keep;
} pnx_volume_config;

/** Set one of `import`, `context` and `container`. */
typedef struct pnx_image_config {
    const char *name;             /**< "name:tag"; NULL: none, it is known by its id */
    const char *import;           /**< a tar file, or a directory: a root file system */
    const char *context;          /**< likewise: the context of a build */
    const char *container;        /**< whose file system becomes the image */
    const char *dockerfile;       /**< its path in the context; NULL: "Dockerfile" */
    const char *const *arguments; /**< of the build, "NAME=value" */
    const char *const *changes;   /**< of the other two: Dockerfile lines such as "CMD [\"sh\"]" */
    const char *const *labels;
    pnx_sink log; /**< what a build says; NULL: thrown away */
    void *log_context;
    pnx_keep keep;
} pnx_image_config;

/**
 * Makes all that is needed to make the thing, and to remove it again; nothing exists in the engine
 * yet. The engine must outlive it. What the config points to is copied; files are read when it is
 * created. The caller owns `*ret`: it ends with pnx_object_remove and pnx_object_free, or in a
 * guard. PNX_EINVAL names the field; PNX_ENOMEM.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_container_new(pnx_engine *engine,
                                                    const pnx_container_config *config,
                                                    pnx_object **ret, pnx_error *err);
PNX_MUST_CHECK PNX_API pnx_status pnx_network_new(pnx_engine *engine,
                                                  const pnx_network_config *config,
                                                  pnx_object **ret, pnx_error *err);
PNX_MUST_CHECK PNX_API pnx_status pnx_volume_new(pnx_engine *engine,
                                                 const pnx_volume_config *config, pnx_object **ret,
                                                 pnx_error *err);
PNX_MUST_CHECK PNX_API pnx_status pnx_image_new(pnx_engine *engine, const pnx_image_config *config,
                                                pnx_object **ret, pnx_error *err);
/**
 * Takes hold of what exists: it becomes ours to remove only if it carries the label of this
 * engine's session. PNX_EINVAL: it does not.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_object_adopt(pnx_engine *engine, pnx_object_type type,
                                                   const char *id, const pnx_call *call,
                                                   pnx_object **ret, pnx_error *err);

/**
 * Makes it in the engine, once: the ledger first. Whatever the answer is, removing it afterwards is
 * right: when the answer got lost on its way, it is looked for by its mark.
 * PNX_EBUSY: there is another one of that name, which never becomes ours; PNX_ENOTFOUND: no such
 * image or network; PNX_EALREADY: it was called before.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_object_create(pnx_object *object, const pnx_call *call,
                                                    pnx_error *err);

PNX_API pnx_object_type pnx_object_type_of(const pnx_object *object);
/** Its id in the engine (of a volume: its name); empty before it is created. */
PNX_API const char *pnx_object_id(const pnx_object *object);
/** May be empty for an image. */
PNX_API const char *pnx_object_name(const pnx_object *object);
/** Its label PNX_LABEL_ID. */
PNX_API const char *pnx_object_mark(const pnx_object *object);
/** Where each attempt to remove it writes what became of it; must outlive the object. */
PNX_API void pnx_object_watch_by(pnx_object *object, pnx_outcome *outcome);

/**
 * Removes it and verifies that it is gone: its id is not found, nothing carries its mark, the
 * anonymous volumes of a container are not found, its process is no more (where it can be seen from
 * here). Checks identity before: id and labels. What is in use, or being removed by somebody else,
 * is tried again until the deadline. May be called again after a failure; frees nothing.
 * PNX_OK: gone, or kept on purpose; PNX_EBUSY: in use, or still there; PNX_EFAILED; the outcome is
 * PNX_FATE_FOREIGN when it is not ours, and PNX_FATE_STUCK otherwise.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_object_remove(pnx_object *object, const pnx_call *call,
                                                    pnx_error *err);
/** Gives up the memory, not the thing. NULL is fine. */
PNX_API void pnx_object_free(pnx_object *object);

/**
 * Guards of these drop containers before networks before volumes before images. Their release is
 * pnx_object_remove and, when that answers PNX_OK, pnx_object_free. What is in use waits for its
 * next attempt outside of the workers; there are 31 of them, within about half a minute.
 */
extern PNX_API const pnx_kind pnx_kind_container;
extern PNX_API const pnx_kind pnx_kind_network;
extern PNX_API const pnx_kind pnx_kind_volume;
extern PNX_API const pnx_kind pnx_kind_image;

/* ---- all of a session ------------------------------------------------------------------------ */

/** One thing that was found. Valid during the call. */
typedef struct pnx_sweep_row {
    pnx_object_type type;
    const char *id;
    const char *name;
    const char *detail; /**< of a container its image; may be empty */
    unsigned volumes;   /**< anonymous volumes that went with it */
    pnx_outcome outcome;
} pnx_sweep_row;

/** All may be zero. */
typedef struct pnx_sweep {
    const char *session; /**< NULL: the engine's own */
    const char *label;   /**< only what has this label too, "key" or "key=value"; NULL: all */
    bool images;         /**< its images too */
    bool look;           /**< only look: nothing is removed */
    unsigned parallel;   /**< removals at a time; 0: 8 */
    pnx_duration settle; /**< for so long look again although nothing is found: for what was being
                              made when its maker died */
    pnx_duration busy;   /**< for so long what is in use is tried again; 0: until the deadline */
    void (*visit)(const pnx_sweep_row *row, void *context); /**< one at a time; may be NULL */
    void *context;
} pnx_sweep;

/**
 * Finds everything that carries the session's label, whoever made it, and removes and verifies it:
 * containers, then networks, then volumes, then images; within a class several at a time; all by
 * one deadline. Looks again until nothing more is found. `sweep` may be NULL.
 * PNX_OK: nothing is left but what is kept; PNX_EBUSY: something is, the rows say why;
 * PNX_ETIMEOUT; PNX_EFAILED: the engine is not there, and nobody knows what is.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_engine_sweep(pnx_engine *engine, const pnx_sweep *sweep,
                                                   const pnx_call *call, pnx_error *err);

#ifdef __cplusplus
}
#endif

PNX__OFFER_KIND(container, pnx_object *);
PNX__OFFER_KIND(network, pnx_object *);
PNX__OFFER_KIND(volume, pnx_object *);
PNX__OFFER_KIND(image, pnx_object *);

#endif
