/* SPDX-License-Identifier: MIT */
/**
 * @file limits.h
 * Limits of what a command may use, and what it hit.
 *
 *     pnx_limits limits;
 *     if (pnx_limits_parse("mem=512M,pids=100,cpu=1.5", &limits, err)) return err->code;
 *     pnx_auto(limiter) guard = pnx_reserve(limiter, registry, err);
 *     if (guard.status) return guard.status;
 *     pnx_limiter *limiter;
 *     if (pnx_limits_enforce(&limits, label, cgroup, &limiter, err)) return err->code;
 *     pnx_arm(&guard, limiter);
 *     … pnx_process_spawn(&(pnx_command){.argv = argv, .cgroup = cgroup, .limiter = limiter} …
 *
 * By the controllers of cgroup v2 where the cgroup of the command has them, else by groups of
 * cgroup v1, one for each controller, which go again with the limiter; fsize by RLIMIT_FSIZE; disk
 * by a file system in memory over the command's private directory. What cannot be limited here is
 * an error that says why: no limit is ever only pretended.
 */
#ifndef CLEANROOM_LIMITS_H
#define CLEANROOM_LIMITS_H

#include <cleanroom/outcome.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pnx_cgroup;
typedef struct pnx_limiter pnx_limiter;

/** What may be used. Zero: no limit. */
typedef struct pnx_limits {
    uint64_t memory; /**< bytes, of all its processes together, with page cache; no swap beyond */
    uint64_t pids;   /**< processes and threads at a time */
    uint64_t cpu;    /**< thousandths of a processor: 1500 is one and a half */
    uint64_t file_size; /**< bytes that one file may grow to: RLIMIT_FSIZE, of each process */
    uint64_t disk;      /**< bytes in its private TMPDIR, which is in memory then */
} pnx_limits;

/**
 * Reads "mem=512M,pids=100,cpu=1.5,fsize=1G,disk=2G", any of them in any order, each once. Sizes
 * have suffixes: K, M, G, T and Ki, Mi, Gi, Ti are powers of 1024; kB, MB, GB, TB of 1000; B and
 * none are bytes. PNX_EINVAL, PNX_ELIMIT name the word and what it may be; `*ret` is untouched
 * then.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_limits_parse(const char *text, pnx_limits *ret,
                                                   pnx_error *err);
/** As pnx_limits_parse reads it back, exactly; "" without limits; like snprintf(3). */
PNX_API size_t pnx_limits_format(const pnx_limits *limits, char *buffer, size_t size);
/** Is there any? */
PNX_API bool pnx_limits_any(const pnx_limits *limits);

/**
 * Makes what holds a command to its limits. `label` (one component) names what is made: the same
 * label finds it again (pnx_limits_remove). `cgroup` is the command's own, NULL if it has none; it
 * must outlive the limiter. The caller owns `*ret` and ends it by pnx_limiter_remove and
 * pnx_limiter_free, or in a guard; it is given to one command (process.h).
 * PNX_EINVAL (label, no limit); PNX_ENOMEM; PNX_ELIMIT: this cannot be limited here; the error says
 * which limit, why, and what would help; nothing was made.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_limits_enforce(const pnx_limits *limits, const char *label,
                                                     struct pnx_cgroup *cgroup, pnx_limiter **ret,
                                                     pnx_error *err);

/** How one limit was kept. */
typedef struct pnx_limit_told {
    const char *limit; /**< "mem", "pids", "cpu", "fsize", "disk" */
    const char *by;    /**< "cgroup v2", "cgroup v1", "rlimit", "tmpfs" */
    bool hit;          /**< the command met it */
    uint64_t times;    /**< how often: kills, refused forks, throttled periods; 0: not counted */
    uint64_t most;     /**< the most that was used, in the unit of the limit; 0: not known */
    char text[160];    /**< for people, one line: "mem=512M: killed 1 process, 512M used at most" */
} pnx_limit_told;
#define PNX_LIMIT_COUNT 5

/**
 * What became of each limit that there is, in `ret` (room for PNX_LIMIT_COUNT); returns how many.
 * To be asked after the command has ended and before the limiter is removed. `exit_signal` is what
 * ended it (0: nothing): the only thing by which a file that grew too big can be told.
 */
PNX_API size_t pnx_limits_report(const pnx_limiter *limiter, int exit_signal, pnx_limit_told *ret);
/**
 * A descriptor of the private TMPDIR when that is a file system of its own (disk), else -1. The
 * limiter's own. Through it the files can be seen after the command's namespaces are gone.
 */
PNX_API int pnx_limiter_disk_fd(const pnx_limiter *limiter);

/**
 * Kills what is in the groups that were made, removes them and verifies that they are gone.
 * PNX_OK; PNX_EBUSY, PNX_EFAILED: the error names the first that stays.
 */
PNX_API pnx_status pnx_limiter_remove(pnx_limiter *limiter, pnx_outcome *outcome, pnx_error *err);
/** Gives up descriptors and memory, not the groups. NULL is fine. */
PNX_API void pnx_limiter_free(pnx_limiter *limiter);
/** Where a guard's release writes what became of it; must outlive the limiter. */
PNX_API void pnx_limiter_watch_by(pnx_limiter *limiter, pnx_outcome *outcome);

/** One thing that a limiter made: `path` is a directory of a cgroup v1 controller. */
typedef void (*pnx_limits_fn)(const char *controller, const char *path, void *context);
/** Visits what a limiter of this label made and is there now, in whatever process that was. */
PNX_API void pnx_limits_each(const char *label, pnx_limits_fn visit, void *context);
/**
 * The same as pnx_limiter_remove for one that died with its process: finds by label. PNX_OK, also
 * when there is nothing; `outcome` (may be NULL) tells apart.
 */
PNX_API pnx_status pnx_limits_remove(const char *label, pnx_outcome *outcome, pnx_error *err);

/** Its release removes and frees; low priority, five attempts. */
extern PNX_API const pnx_kind pnx_kind_limiter;

#ifdef __cplusplus
}
#endif

PNX__OFFER_KIND(limiter, pnx_limiter *);

#endif
