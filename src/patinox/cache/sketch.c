/* SPDX-License-Identifier: MIT */
#include "cache/sketch.h"

#include "base/random.h"
#include <string.h>

#define BLOCK_BYTES (PNX__SKETCH_WORDS * sizeof(uint64_t))
/* Entries per block: 8 bytes for each, as many as Caffeine spends. */
#define BLOCK_ENTRIES 8
/* Halved after this many sightings per entry: Caffeine's factor; 4 and 20 were no better on average
 * over the traces of docs/cache-policies.md. */
#define SAMPLE_FACTOR 10

static uint32_t blocks_for(uint64_t entries)
{
    uint32_t blocks = 2;
    while (blocks < UINT32_C(1) << 26 && (uint64_t)blocks * BLOCK_ENTRIES < entries)
        blocks *= 2;
    return blocks;
}

static bool allocate(pnx__sketch *sketch, uint32_t blocks)
{
    sketch->memory = pnx__alloc((size_t)blocks * BLOCK_BYTES + BLOCK_BYTES);
    if (!sketch->memory)
        return false;
    sketch->words =
        (uint64_t *)(((uintptr_t)sketch->memory + BLOCK_BYTES - 1) & ~(uintptr_t)(BLOCK_BYTES - 1));
    sketch->blocks = blocks;
    return true;
}

bool pnx__sketch_init(pnx__sketch *sketch, uint64_t entries)
{
    *sketch = (pnx__sketch){.limit = SAMPLE_FACTOR * (entries < 4 ? 4 : entries)};
    return allocate(sketch, blocks_for(entries));
}

void pnx__sketch_done(pnx__sketch *sketch)
{
    pnx__free(sketch->memory);
    sketch->memory = sketch->words = NULL;
}

void pnx__sketch_fit(pnx__sketch *sketch, uint64_t entries)
{
    if (SAMPLE_FACTOR * entries > sketch->limit)
        sketch->limit = SAMPLE_FACTOR * entries;
    const uint32_t blocks = blocks_for(entries);
    if (blocks <= sketch->blocks)
        return;
    pnx__sketch grown = *sketch;
    if (!allocate(&grown, blocks))
        return;
    /* The block is picked by the lower bits: one more bit doubles the table into two equal halves.
     * */
    for (uint32_t i = 0; i < blocks; i += sketch->blocks)
        memcpy(&grown.words[(size_t)i * PNX__SKETCH_WORDS], sketch->words,
               sketch->blocks * BLOCK_BYTES);
    pnx__free(sketch->memory);
    *sketch = grown;
}

/* The word and the shift of the counter in this row: 32 counters a row, 16 a word. */
static uint64_t *counter(const pnx__sketch *sketch, uint64_t mixed, unsigned row, unsigned *shift)
{
    const unsigned at = (unsigned)(mixed >> (40 + 5 * row)) & 31;
    *shift = (at & 15) * 4;
    return &sketch->words[(size_t)(mixed & (sketch->blocks - 1)) * PNX__SKETCH_WORDS + row * 2 +
                          (at >> 4)];
}

/* Others use the hash's own bits for their tables. */
static uint64_t spread(uint64_t hash)
{
    return pnx__mix64(hash + UINT64_C(0x9e3779b97f4a7c15));
}

unsigned pnx__sketch_get(const pnx__sketch *sketch, uint64_t hash)
{
    const uint64_t mixed = spread(hash);
    unsigned least = PNX__SKETCH_MAX;
    for (unsigned row = 0; row < PNX__SKETCH_ROWS; row++) {
        unsigned shift;
        const uint64_t *word = counter(sketch, mixed, row, &shift);
        const unsigned count = (unsigned)(*word >> shift) & 15;
        least = count < least ? count : least;
    }
    return least;
}

static void age(pnx__sketch *sketch)
{
    for (size_t i = 0; i < (size_t)sketch->blocks * PNX__SKETCH_WORDS; i++)
        sketch->words[i] = (sketch->words[i] >> 1) & UINT64_C(0x7777777777777777);
    sketch->added /= 2;
}

void pnx__sketch_add(pnx__sketch *sketch, uint64_t hash, unsigned times)
{
    const uint64_t mixed = spread(hash);
    for (; times > 0; times--) {
        const unsigned least = pnx__sketch_get(sketch, hash);
        if (least == PNX__SKETCH_MAX)
            return;
        /* Only the lowest are raised (conservative update): fewer collisions count. */
        for (unsigned row = 0; row < PNX__SKETCH_ROWS; row++) {
            unsigned shift;
            uint64_t *word = counter(sketch, mixed, row, &shift);
            if (((*word >> shift) & 15) == least)
                *word += UINT64_C(1) << shift;
        }
        if (++sketch->added >= sketch->limit)
            age(sketch);
    }
}

size_t pnx__sketch_memory(const pnx__sketch *sketch)
{
    return (size_t)sketch->blocks * BLOCK_BYTES + BLOCK_BYTES;
}
