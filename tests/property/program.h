/* SPDX-License-Identifier: MIT */
/*
 * A random program for one thread: a list of operations on a fixed number of handles. Operations
 * name handles, never resources, and one that does not fit its handle does nothing; so any part
 * of a program is a program again, which is what shrinking needs.
 */
#ifndef TESTS_PROPERTY_PROGRAM_H
#define TESTS_PROPERTY_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HANDLES 32
#define PROGRAM_MAX 600

enum operation {
    OP_RESERVE,
    OP_ARM,
    OP_ACQUIRE, /* reserve and arm */
    OP_DROP,
    OP_TAKE,
    OP_CLOSE,
    OP_CLOSE_BY,
    OP_MOVE,
    OP_REGISTER,
    OP_UNREGISTER,
    OP_RELEASE_LATER,
    OP_RELEASE_NOW,
    OP_RELEASE_BATCH,
    OP_RELEASE_KIND,
    OP_RELEASE_ALL,
    OP_EXPIRE_AT,
    OP_EXPIRE_AFTER,
    OP_EXPIRE_IDLE,
    OP_EXPIRE_CANCEL,
    OP_TOUCH,
    OP_METADATA,
    OP_INFO,
    OP_EACH,
    OP_STATS,
    OP_COMPLETE,
    OP_STEP,
    OP_TIME,
    OP_WAIT_IDLE,
    OP_FORGET,
    OP_MONITOR,
    OP_COUNT
};

struct step {
    uint8_t operation;
    uint8_t handle;
    uint8_t kind;
    uint8_t choice; /* whatever else there is to choose */
    uint32_t number;
};

struct program {
    uint64_t seed;
    size_t length;
    struct step steps[PROGRAM_MAX];
};

/* What is fixed before the first step. */
struct setting {
    bool few_slots, few_kept, short_starvation, monitored, keep_live, all_timed;
};

void program_make(struct program *program, uint64_t seed);
struct setting program_setting(const struct program *program);
void program_print(const struct program *program);

/* Deletes steps for as long as `fails` still says true. `budget` bounds the number of tries. */
void program_shrink(struct program *program, bool (*fails)(const struct program *program),
                    unsigned budget);

#endif
