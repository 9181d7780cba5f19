/* SPDX-License-Identifier: MIT */
/**
 * @file thing.h
 * A *thing* is something outside the process, known by a name and an identity: a shared memory
 * object, a mount, a network namespace. The *name* says where to look; the *identity* tells the
 * thing from a later one that took its name, and is checked before anything is destroyed. Both are
 * texts, so that they can be written down (ledger) and found again by another process after a
 * crash.
 *
 * Each sort of thing is a `pnx_thing_kind` in a file of its own: how to look a name up, how to
 * remove what is there, how to list all that exists. Everything else is the same for all of them
 * and lives here: removal that checks before and looks again after, guards, adoption.
 *
 *     pnx_auto(shm) guard = pnx_reserve(shm, registry, err);
 *     if (guard.status) return guard.status;
 *     pnx_thing *thing;
 *     int fd;
 *     if (pnx_shm_create("/frames-4711", 4096, NULL, &thing, &fd, err)) return err->code;
 *     pnx_arm(&guard, thing);
 *
 * Threads: kinds are constants; a thing is used by one thread at a time, its release runs on a
 * worker. Fork: a fork child owns none of its parent's things.
 */
#ifndef CLEANROOM_THING_H
#define CLEANROOM_THING_H

#include <cleanroom/outcome.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The longest name and the longest identity, with the terminator. */
#define PNX_THING_NAME_MAX 4352
#define PNX_THING_IDENTITY_MAX 256

/** What `list` tells of one thing. The texts are valid during the call only. */
typedef struct pnx_thing_info {
    const char *name;
    const char *identity;
    const char *type;   /**< what sort within the kind, as in the report; may be NULL */
    const char *detail; /**< for people; may be NULL */
    int64_t owner;      /**< user id; -1: not known */
    pid_t creator;      /**< the process that made it, or that holds it; 0: not known */
    int64_t created;    /**< nanoseconds since 1970; 0: not known */
    uint64_t bytes;     /**< memory or disk that goes with it */
    uint64_t socket;    /**< of sockets: the inode, by which those who hold it are found; else 0 */
} pnx_thing_info;

/** Called for each thing; false ends the listing. */
typedef bool (*pnx_thing_visit_fn)(const pnx_thing_info *info, void *context);

/** When things go: those with smaller numbers first, equal ones side by side. */
enum pnx_thing_order {
    PNX_ORDER_HOOK = 10,
    PNX_ORDER_PROCESS = 20,
    PNX_ORDER_CONTAINER = 30,
    PNX_ORDER_NETWORK = 40,
    PNX_ORDER_VOLUME = 50,
    PNX_ORDER_MOUNT = 60,
    PNX_ORDER_BLOCK = 65,
    PNX_ORDER_NET = 70,
    PNX_ORDER_IPC = 75,
    PNX_ORDER_FILE = 80,
    PNX_ORDER_IMAGE = 90,
    PNX_ORDER_CGROUP = 95,
};

/** A sort of thing. */
typedef struct pnx_thing_kind {
    const char *name;     /**< in reports: "shm", "mount" */
    const pnx_kind *kind; /**< of its guards; NULL: things of this sort are never guarded */
    uint16_t code;        /**< in ledgers; once given, for ever */
    uint16_t order;       /**< enum pnx_thing_order */
    bool survives_reboot; /**< then intents are on disk before the thing is made */
    /**
     * Its names are given by the system, and by nobody chosen: what was intended and never bound is
     * gone with its maker, and who has the name now is somebody else's. It must not be looked up.
     */
    bool name_is_given;
    /**
     * Its removal is a deed (an undo hook that is run), after which there is nothing to look for:
     * it is done when `remove` answers PNX_OK, and is done once by each pnx_thing.
     */
    bool is_deed;
    /**
     * Looks up who has this name now, and writes the identity. PNX_OK; PNX_ENOTFOUND: nobody;
     * PNX_EINVAL: no such name can be; PNX_EUNSUPPORTED, PNX_EFAILED: it cannot be told.
     */
    pnx_status (*find)(const char *name, char *ret_identity, size_t size, pnx_error *err);
    /**
     * Removes what `find` has just found to have this identity, with the smallest window that the
     * system allows between the check and the deed. Stops at `deadline`. Need not look again.
     * PNX_OK; PNX_EALREADY: gone meanwhile; PNX_EBUSY: in use, may succeed later; PNX_EFAILED.
     * With PNX_OK, `err` may hold what it took: that becomes the reason of the outcome.
     * NULL: such things go only with the processes that hold them.
     */
    pnx_status (*remove)(const char *name, const char *identity, pnx_time deadline, pnx_error *err);
    /** Visits everything of the sort that this process can see. PNX_OK; PNX_EUNSUPPORTED … */
    pnx_status (*list)(pnx_thing_visit_fn visit, void *context, pnx_error *err);
    /**
     * Asked when `find` leads to another one or to none: is the one with this identity there all
     * the same, because a name may be shared, or is lost before the thing is? PNX_OK: it is;
     * PNX_ENOTFOUND: it is gone; PNX_EFAILED. NULL: what its name does not lead to is gone.
     */
    pnx_status (*still)(const char *name, const char *identity, pnx_error *err);
} pnx_thing_kind;

/** The sort with this code, or this name, among those of the library; NULL: there is none. */
PNX_API const pnx_thing_kind *pnx_thing_kind_of(uint16_t code);
PNX_API const pnx_thing_kind *pnx_thing_kind_named(const char *name);
/** All sorts that the library knows, in no special order; NULL-terminated. */
PNX_API const pnx_thing_kind *const *pnx_thing_kinds(void);

/**
 * Who writes down what is made, so that somebody else can remove it should we die. Creators take
 * one (NULL: nobody writes it down); a session offers its own (pnx_session_keeper).
 */
typedef struct pnx_keeper {
    void *context;
    /** Before the thing exists. A failure means: do not make it. */
    pnx_status (*intend)(void *context, const pnx_thing_kind *kind, const char *name,
                         uint32_t *ret_token, pnx_error *err);
    /** When it exists. */
    pnx_status (*bind)(void *context, uint32_t token, const char *identity, pnx_error *err);
    /** When it was seen to be gone, or was never made. */
    void (*gone)(void *context, uint32_t token, const pnx_outcome *outcome);
} pnx_keeper;

/** One thing that is held. */
typedef struct pnx_thing pnx_thing;

/**
 * For creators. Sets aside all that the removal will need and has the keeper write the intent; then
 * make the thing, and call pnx_thing_made, or pnx_thing_unmade when that failed (it frees it).
 * PNX_EINVAL (the name is too long), PNX_ENOMEM, or what the keeper answered.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_thing_intend(const pnx_thing_kind *kind, const char *name,
                                                   const pnx_keeper *keeper, pnx_thing **ret,
                                                   pnx_error *err);
/** It exists: looks its identity up and has it written down. On failure it is removed again. */
PNX_MUST_CHECK PNX_API pnx_status pnx_thing_made(pnx_thing *thing, pnx_error *err);
PNX_API void pnx_thing_unmade(pnx_thing *thing);

/**
 * Takes over a thing that exists already, e.g. from a ledger. `identity` NULL: whatever has the
 * name now. PNX_ENOTFOUND, PNX_EINVAL, PNX_ENOMEM, and what `find` answers.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_thing_adopt(const pnx_thing_kind *kind, const char *name,
                                                  const char *identity, pnx_thing **ret,
                                                  pnx_error *err);

PNX_API const pnx_thing_kind *pnx_thing_kind_of_thing(const pnx_thing *thing);
PNX_API const char *pnx_thing_name(const pnx_thing *thing);
PNX_API const char *pnx_thing_identity(const pnx_thing *thing);
/** Where a guard's release writes what became of it; must outlive the thing. */
PNX_API void pnx_thing_watch_by(pnx_thing *thing, pnx_outcome *outcome);

/**
 * Removes it: looks whether it is still the same, removes it, looks again. `outcome` (may be NULL)
 * says what became of it. May be called again after a failure. Frees nothing.
 * PNX_OK: it is gone, whoever removed it. PNX_EBUSY: in use; PNX_EFAILED; PNX_ETIMEOUT. When the
 * name belongs to another thing now, ours is gone: PNX_OK, and that one is not touched.
 */
PNX_API pnx_status pnx_thing_remove(pnx_thing *thing, pnx_time deadline, pnx_outcome *outcome,
                                    pnx_error *err);
/** The same for what is only known by name and identity; nobody holds it as a thing. */
PNX_API pnx_status pnx_thing_remove_named(const pnx_thing_kind *kind, const char *name,
                                          const char *identity, pnx_time deadline,
                                          pnx_outcome *outcome, pnx_error *err);
/** Gives up the memory, not the thing. NULL is fine. */
PNX_API void pnx_thing_free(pnx_thing *thing);

/* For the descriptors of guard kinds; the value is a pnx_thing *. */
PNX_API pnx_status pnx__thing_release(void *value, const pnx_release *why);
PNX_API int pnx__thing_describe(const void *value, char *buffer, size_t size);

#ifdef __cplusplus
}
#endif

/** The fields of a guard kind that are the same for all things; more may follow. */
#define PNX__THING_GUARD(NAME)                                                                     \
    .name = (NAME), .value_size = sizeof(pnx_thing *),                                             \
    .describe = (void (*)(void))pnx__thing_describe, .release = pnx__thing_release,                \
    .run_describe = pnx__thing_describe

#endif
