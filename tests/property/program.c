/* SPDX-License-Identifier: MIT */
#include "program.h"

#include "base/random.h"

#include <stdio.h>
#include <string.h>

/* How often each operation comes, of the sum of all. */
static const struct {
    const char *name;
    unsigned weight;
} operations[OP_COUNT] = {
    [OP_RESERVE] = {"reserve", 3},
    [OP_ARM] = {"arm", 6},
    [OP_ACQUIRE] = {"acquire", 16},
    [OP_DROP] = {"drop", 14},
    [OP_TAKE] = {"take", 2},
    [OP_CLOSE] = {"close", 2},
    [OP_CLOSE_BY] = {"close_by", 1},
    [OP_MOVE] = {"move", 2},
    [OP_REGISTER] = {"register", 8},
    [OP_UNREGISTER] = {"unregister", 2},
    [OP_RELEASE_LATER] = {"release_later", 6},
    [OP_RELEASE_NOW] = {"release_now", 2},
    [OP_RELEASE_BATCH] = {"release_batch", 1},
    [OP_RELEASE_KIND] = {"release_kind", 1},
    [OP_RELEASE_ALL] = {"release_all", 1},
    [OP_EXPIRE_AT] = {"expire_at", 3},
    [OP_EXPIRE_AFTER] = {"expire_after", 2},
    [OP_EXPIRE_IDLE] = {"expire_idle", 2},
    [OP_EXPIRE_CANCEL] = {"expire_cancel", 1},
    [OP_TOUCH] = {"touch", 3},
    [OP_METADATA] = {"metadata", 2},
    [OP_INFO] = {"info", 3},
    [OP_EACH] = {"each", 1},
    [OP_STATS] = {"stats", 1},
    [OP_COMPLETE] = {"complete", 6},
    [OP_STEP] = {"step", 10},
    [OP_TIME] = {"time", 8},
    [OP_WAIT_IDLE] = {"wait_idle", 1},
    [OP_FORGET] = {"forget", 1},
    [OP_MONITOR] = {"monitor", 1},
};

static uint8_t pick_operation(pnx__random *random)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < OP_COUNT; i++)
        sum += operations[i].weight;
    unsigned at = (unsigned)pnx__random_below(random, sum);
    uint8_t operation = 0;
    while (at >= operations[operation].weight)
        at -= operations[operation++].weight;
    return operation;
}

void program_make(struct program *program, uint64_t seed)
{
    pnx__random random = {seed};
    program->seed = seed;
    /* Short ones too: what goes wrong at the end of a program goes wrong more often then. */
    program->length = 20 + pnx__random_below(&random, PROGRAM_MAX - 20 + 1);
    for (size_t i = 0; i < program->length; i++) {
        struct step *step = &program->steps[i];
        step->operation = pick_operation(&random);
        const uint64_t bits = pnx__random_next(&random);
        step->handle = (uint8_t)(bits % HANDLES);
        step->kind = (uint8_t)(bits >> 8);
        step->choice = (uint8_t)(bits >> 16);
        step->number = (uint32_t)(bits >> 32);
    }
}

struct setting program_setting(const struct program *program)
{
    const uint64_t bits = pnx__mix64(program->seed ^ 0x5e771);
    return (struct setting){
        .few_slots = bits % 8 == 0,
        .few_kept = (bits >> 8) % 2 == 0,
        .short_starvation = (bits >> 16) % 2 == 0,
        .monitored = (bits >> 24) % 4 == 0,
        .keep_live = (bits >> 32) % 2 == 0,
        .all_timed = (bits >> 40) % 8 == 0,
    };
}

void program_print(const struct program *program)
{
    const struct setting setting = program_setting(program);
    fprintf(stderr, "program of seed %llu:%s%s%s%s%s%s\n", (unsigned long long)program->seed,
            setting.few_slots ? " few_slots" : "", setting.few_kept ? " few_kept" : "",
            setting.short_starvation ? " short_starvation" : "",
            setting.monitored ? " monitored" : "", setting.keep_live ? " keep_live" : "",
            setting.all_timed ? " all_timed" : "");
    for (size_t i = 0; i < program->length; i++) {
        const struct step *step = &program->steps[i];
        fprintf(stderr, "  %3zu  %-14s handle %2u  kind %3u  choice %3u  number %u\n", i,
                operations[step->operation].name, step->handle, step->kind, step->choice,
                step->number);
    }
}

static void without(struct program *into, const struct program *from, size_t first, size_t count)
{
    into->seed = from->seed;
    into->length = from->length - count;
    memcpy(into->steps, from->steps, first * sizeof *from->steps);
    memcpy(into->steps + first, from->steps + first + count,
           (into->length - first) * sizeof *from->steps);
}

/* Delta debugging (Zeller and Hildebrandt, 2002) without its subsets: ever smaller chunks. */
void program_shrink(struct program *program, bool (*fails)(const struct program *program),
                    unsigned budget)
{
    static struct program smaller;
    size_t chunk = program->length / 2;
    while (chunk > 0 && budget > 0) {
        bool shrunk = false;
        for (size_t first = 0; first + chunk <= program->length && budget > 0; budget--) {
            without(&smaller, program, first, chunk);
            if (fails(&smaller)) {
                *program = smaller;
                shrunk = true;
            } else {
                first += chunk;
            }
        }
        if (!shrunk || chunk > program->length)
            chunk /= 2;
    }
}
