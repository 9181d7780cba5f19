/* SPDX-License-Identifier: MIT */
/*
 * The shadow model: what a registry must do, said in the simplest way that is right. One thread,
 * everything in arrays, searched from front to back; no timers but a due time, no queue but four
 * lists. The library tells it what starts (the release is the model's own), and the model says
 * whether that was allowed, and what the outcome means.
 *
 * Where the contract leaves an order open (what expires in the same moment, what a "release all"
 * finds) the entries form a group, and any of a group may go first. While something whose kind has
 * a concurrency limit is queued, only what the limit cannot excuse is checked.
 */
#ifndef TESTS_PROPERTY_MODEL_H
#define TESTS_PROPERTY_MODEL_H

#include "program.h"

#include <patinox/registry.h>

#define TICK ((pnx_duration)1 << 20) /* the model's clock stands on whole ticks only */
#define RESOURCES_MAX 2048
#define TOKENS_MAX 1024
#define FEW_SLOTS 64
#define FEW_KEPT 3
#define SHORT_STARVATION (20 * TICK)

enum nesting { NEST_NOTHING, NEST_DROP, NEST_RELEASE_NOW, NEST_REGISTER, NEST_COMPLETE };
enum fallback { FALLBACK_NONE, FALLBACK_WORKS, FALLBACK_FAILS, FALLBACK_PENDS };

/* How the releases of a kind turn out. */
struct kind_about {
    pnx_kind kind;
    unsigned fails_first; /* so many attempts fail */
    pnx_status fails_with;
    pnx_status then; /* PNX_OK, PNX_PENDING, ... */
    enum fallback fallback;
    enum nesting nesting;
};
extern struct kind_about kinds[];
extern const unsigned kind_count;

struct resource {
    pnx_state state; /* PNX_FREE: taken out again */
    unsigned kind, rank, attempt;
    pnx_reason reason;
    bool fallback, pending, settled, timed_out, leaked, inline_run, counted;
    bool late_runs, late_many; /* attempts that were declared late and have not come back */
    bool ended_by_late;        /* or forgotten: its id is stale */
    bool uncertain;            /* a shutdown may have ended it in more than one way */
    pnx_status last;
    pnx_id id;
    pnx_time created, due; /* expiry, retry, or the deadline of what is pending */
    pnx_duration idle;     /* 0: due is a point in time */
    pnx_time touched;
    uint64_t bytes;
    unsigned metadata; /* 0: none */
};

struct entry {
    unsigned resource, group;
    pnx_time since;
};

struct token {
    pnx_token token;
    unsigned resource;
    bool completed;
};

struct tally {
    uint64_t armed, taken, done, failed, abandoned, timed_out, fallbacks, late;
    uint64_t schedule_failed, leaked;
    uint64_t scheduled, started, retried, completed; /* events */
};

struct model {
    struct setting setting;
    pnx_time now;
    struct resource resources[RESOURCES_MAX];
    unsigned count;
    struct entry queue[PNX_PRIORITY_COUNT][RESOURCES_MAX]; /* by rank */
    unsigned queued[PNX_PRIORITY_COUNT];
    unsigned group;
    struct entry kept[RESOURCES_MAX]; /* failed and abandoned ones, oldest first */
    unsigned kept_count;
    unsigned running[64]; /* by kind, of those with a limit */
    struct token tokens[TOKENS_MAX];
    unsigned token_count;
    struct tally tally;
    uint64_t popped; /* starts out of the queue */
    int inline_next; /* the resource that may start without the queue; -1: none */
    bool stepping, look_due, looking, shutting_down, over;
    char failure[512]; /* empty: all is well */
};

extern struct model model;

void model_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline bool model_failed(void)
{
    return model.failure[0] != '\0';
}

void model_begin(struct setting setting, pnx_time now);

/* What operations do; each answers what the library must answer. */
unsigned model_new(unsigned kind); /* reserved */
void model_arm(unsigned r, pnx_id id);
void model_cancel(unsigned r);
bool model_take(unsigned r);
bool model_schedule(unsigned r, pnx_reason reason, int rank, bool same_group);
pnx_status model_expire(unsigned r, pnx_time when, pnx_duration idle);
pnx_status model_touch(unsigned r);
pnx_status model_complete(unsigned token, pnx_status status);
unsigned model_forget(void);
/* The timers that are due fire. */
void model_look(void);
/* A release starts; what it shall answer. */
pnx_status model_start(unsigned r, const pnx_release *why);
/* It has answered. */
void model_end(unsigned r, pnx_status status);
/* What was popped and found settled, or forgotten, leaves no trace but its state: asks for it. */
void model_catch_up(pnx_registry *registry);

/* A shutdown begins: what is held leaks, unless it is kept. */
void model_shutdown_begins(void);
/* A shutdown has returned: what is left was given up. */
void model_shutdown_over(pnx_registry *registry);

/* What must be true between operations. */
bool model_stale(unsigned r); /* its id leads nowhere any more */
bool model_ended(unsigned r);
bool model_startable(void); /* a step would run something */
unsigned model_used(void);  /* slots */
pnx_counts model_counts(void);
void model_check(pnx_registry *registry);
void model_dump(void);

#endif
