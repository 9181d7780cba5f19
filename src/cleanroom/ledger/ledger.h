/* SPDX-License-Identifier: MIT */
/**
 * @file ledger.h
 * What one session has made outside the process, written down before it is made: one file, one
 * writer, any number of readers. What was written survives the death of the writer at any
 * instruction; what was written `durable` survives a power cut too. README.md has the file format.
 *
 * A name is relative to a directory descriptor, never a path: no link is followed.
 */
#ifndef CLEANROOM_LEDGER_LEDGER_H
#define CLEANROOM_LEDGER_LEDGER_H

#include <patinox/base.h>

/** What an entry says. The numbers are those in the file. */
enum pnx__ledger_event {
    PNX__LEDGER_INTENT = 1, /**< it will be made, under the name in `text` */
    PNX__LEDGER_BOUND = 2,  /**< it exists, with the identity in `text` */
    PNX__LEDGER_GONE = 3,   /**< it was seen to be gone; `text` says how it went */
    PNX__LEDGER_NOTE = 4,   /**< "key=value", of the session as a whole; the last of a key counts */
    PNX__LEDGER_CLOSED = 5, /**< the session is over; nothing comes after */
};

/** One entry. */
struct pnx__ledger_entry {
    enum pnx__ledger_event event;
    uint16_t kind;     /**< a stable code of the kind of thing; 0 for NOTE and CLOSED */
    uint32_t resource; /**< 1, 2, …; 0 for NOTE and CLOSED */
    int64_t time;      /**< when it was written, in ns since 1970 */
    const char *text;
};

/** The longest text of an entry, in bytes. */
#define PNX__LEDGER_TEXT_MAX 16384
/** An identity and a fate of up to this many bytes have had their room set aside by the intent. */
#define PNX__LEDGER_IDENTITY_RESERVED 288
#define PNX__LEDGER_FATE_RESERVED 96
/** The largest ledger that is written or read, in bytes. */
#define PNX__LEDGER_SIZE_MAX ((uint64_t)256 << 20)

/* ---- writing --------------------------------------------------------------------------------- */

/**
 * A ledger that this process writes. All functions on it may be called by any thread of it. A fork
 * child may do nothing with it but close it.
 */
typedef struct pnx__ledger pnx__ledger;

/**
 * Makes the ledger of a new session. PNX_EFAILED: there is one already, no room, no permission.
 */
PNX_MUST_CHECK pnx_status pnx__ledger_create(int dir_fd, const char *name, pnx_id session,
                                             pnx__ledger **ret, pnx_error *err);
/**
 * Opens the ledger of a writer that is dead, to go on where it stopped; what it was just writing is
 * cut off. The caller sees to it that the writer is dead and that nobody else does the same
 * (pnx__ledger_try_lock). Statuses as pnx__ledger_load; PNX_EALREADY: it is closed.
 */
PNX_MUST_CHECK pnx_status pnx__ledger_open(int dir_fd, const char *name, pnx__ledger **ret,
                                           pnx_error *err);
/** Lets go of it; the file stays. NULL is fine. No other thread may use it any more. */
void pnx__ledger_close(pnx__ledger *ledger);

/**
 * Something of `kind` (not 0) will be made under `name`. Sets aside the room that its BOUND and
 * GONE will need, so that they do not fail for a full disk. With `durable` it is on disk when this
 * returns; callers at the same time share one fdatasync(2). After any failure nothing may be
 * acquired. PNX_ELIMIT: the ledger or the name is too long.
 */
PNX_MUST_CHECK pnx_status pnx__ledger_intend(pnx__ledger *ledger, uint16_t kind, const char *name,
                                             bool durable, uint32_t *ret_resource, pnx_error *err);
/** It exists. May be said again if the identity becomes known better. PNX_EINVAL: not intended. */
PNX_MUST_CHECK pnx_status pnx__ledger_bind(pnx__ledger *ledger, uint32_t resource,
                                           const char *identity, bool durable, pnx_error *err);
/** It was seen to be gone. PNX_EALREADY: that has been said. */
PNX_MUST_CHECK pnx_status pnx__ledger_gone(pnx__ledger *ledger, uint32_t resource, const char *fate,
                                           pnx_error *err);
/** A fact about the session. The key has no "=". The last value of a key counts. */
PNX_MUST_CHECK pnx_status pnx__ledger_note(pnx__ledger *ledger, const char *key, const char *value,
                                           pnx_error *err);
/** The session is over. Afterwards everything that writes answers PNX_ESHUTDOWN. */
PNX_MUST_CHECK pnx_status pnx__ledger_closed(pnx__ledger *ledger, pnx_error *err);
/** All that was written before is on disk when this returns. */
PNX_MUST_CHECK pnx_status pnx__ledger_sync(pnx__ledger *ledger, pnx_error *err);

/* ---- reading --------------------------------------------------------------------------------- */

enum pnx__ledger_state { PNX__LEDGER_INTENDED, PNX__LEDGER_IS_BOUND, PNX__LEDGER_IS_GONE };

/** What became of one resource. */
struct pnx__ledger_resource {
    uint32_t number;
    uint16_t kind;
    enum pnx__ledger_state state;
    const char *name;              /**< NULL only if the record of the intent was damaged */
    const char *identity;          /**< NULL: never bound */
    const char *fate;              /**< NULL: not gone */
    int64_t intended, bound, gone; /**< ns since 1970; 0: not so far */
};

struct pnx__ledger_note_pair {
    const char *key, *value;
};

/** A ledger as it was when it was read. It does not change any more. */
struct pnx__ledger_view {
    pnx_id session;
    pnx_id boot;      /**< the boot id of the machine when it was created */
    bool same_boot;   /**< that was since the machine was started */
    bool elsewhere;   /**< it is another machine's: this one cannot judge who lives */
    bool closed;      /**< the session is over */
    bool torn;        /**< the last entry was never finished */
    uint64_t damaged; /**< records that are there but not what was written */
    uint64_t records; /**< good records */
    int64_t created;  /**< ns since 1970 */
    int64_t last;     /**< when the last good entry was written; `created` if there is none */
    size_t resource_count, note_count;
    struct pnx__ledger_resource *resources; /**< by number */
    struct pnx__ledger_note_pair *notes;    /**< by first appearance */
};

/**
 * Reads the ledger of any process, which may be writing it just now. Nothing is changed.
 *
 * PNX_ENOTFOUND: there is none. PNX_ECANCELED: its writer died before it had begun; nothing was
 * ever acquired under it. PNX_EINVAL: it is no ledger, or damaged beyond use. PNX_EUNSUPPORTED:
 * written by another version. PNX_ELIMIT: too large. PNX_EFAILED: not ours, no regular file, a
 * link, unreadable. PNX_ENOMEM.
 */
PNX_MUST_CHECK pnx_status pnx__ledger_load(int dir_fd, const char *name,
                                           struct pnx__ledger_view **ret, pnx_error *err);
/** NULL is fine. */
void pnx__ledger_view_free(struct pnx__ledger_view *view);
/** The value of a note; NULL: there is none. */
const char *pnx__ledger_view_note(const struct pnx__ledger_view *view, const char *key);

/** Receives one entry; its text lives until the call returns. False: enough. */
typedef bool (*pnx__ledger_visit_fn)(const struct pnx__ledger_entry *entry, void *context);
/** Every good entry in the order of writing; statuses as pnx__ledger_load. */
PNX_MUST_CHECK pnx_status pnx__ledger_each(int dir_fd, const char *name, pnx__ledger_visit_fn visit,
                                           void *context, pnx_error *err);

/* ---- electing one cleaner -------------------------------------------------------------------- */

/**
 * Takes the lock of the file `name`, which is made if it does not exist; "." is the directory
 * itself. Closing `*ret_fd` gives it back, as does death. PNX_EBUSY: another process has it.
 *
 * A fork child inherits it: that somebody holds it does not prove that its taker lives.
 */
PNX_MUST_CHECK pnx_status pnx__ledger_try_lock(int dir_fd, const char *name, int *ret_fd,
                                               pnx_error *err);
/** The same, but waits until `deadline` for it, without polling. PNX_ETIMEOUT. */
PNX_MUST_CHECK pnx_status pnx__ledger_lock(int dir_fd, const char *name, pnx_time deadline,
                                           int *ret_fd, pnx_error *err);

/* ---- SIGBUS ---------------------------------------------------------------------------------- */

/**
 * For the main of a program: a write into a ledger that somebody else cuts short at that very
 * moment becomes an error of the write instead of the death of the process. Other causes of SIGBUS
 * go where they went before. Without it only a truncation that is older than a millisecond is sure
 * to be noticed in time. Once is enough; again does nothing.
 */
PNX_MUST_CHECK pnx_status pnx__ledger_catch_sigbus(pnx_error *err);

#endif
