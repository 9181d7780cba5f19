/* SPDX-License-Identifier: MIT */
#include "cache/ghost.h"

static uint32_t print_of(uint64_t hash)
{
    const uint32_t print = (uint32_t)(hash >> 32);
    return print ? print : 1;
}

/* The print alone must lead to the bucket, so that growing can move it. */
static pnx__ghost_mark *bucket_of(const pnx__ghost *ghost, uint32_t print)
{
    return &ghost->marks[(size_t)(print & (ghost->buckets - 1)) * PNX__GHOST_BUCKET];
}

/* A quarter more than one mark for each entry: fewer than 2 % are forgotten early then. */
static uint32_t buckets_for(uint64_t entries)
{
    uint32_t buckets = 4;
    while (buckets < UINT32_C(1) << 26 &&
           (uint64_t)buckets * PNX__GHOST_BUCKET < entries + entries / 4)
        buckets *= 2;
    return buckets;
}

bool pnx__ghost_init(pnx__ghost *ghost, uint64_t entries)
{
    ghost->buckets = buckets_for(entries);
    ghost->number = 0;
    ghost->marks = pnx__alloc(ghost->buckets * PNX__GHOST_BUCKET * sizeof *ghost->marks);
    return ghost->marks != NULL;
}

void pnx__ghost_done(pnx__ghost *ghost)
{
    pnx__free(ghost->marks);
    ghost->marks = NULL;
}

static pnx__ghost_mark *oldest_in(const pnx__ghost *ghost, pnx__ghost_mark *bucket)
{
    pnx__ghost_mark *oldest = bucket;
    for (unsigned i = 0; i < PNX__GHOST_BUCKET; i++) {
        if (bucket[i].print == 0)
            return &bucket[i];
        if (ghost->number - bucket[i].number > ghost->number - oldest->number)
            oldest = &bucket[i];
    }
    return oldest;
}

void pnx__ghost_fit(pnx__ghost *ghost, uint64_t entries)
{
    const uint32_t buckets = buckets_for(entries);
    if (buckets <= ghost->buckets)
        return;
    pnx__ghost grown = {.number = ghost->number, .buckets = buckets};
    grown.marks = pnx__alloc(buckets * PNX__GHOST_BUCKET * sizeof *grown.marks);
    if (!grown.marks)
        return;
    for (size_t i = 0; i < (size_t)ghost->buckets * PNX__GHOST_BUCKET; i++)
        if (ghost->marks[i].print != 0)
            *oldest_in(&grown, bucket_of(&grown, ghost->marks[i].print)) = ghost->marks[i];
    pnx__free(ghost->marks);
    *ghost = grown;
}

void pnx__ghost_add(pnx__ghost *ghost, uint64_t hash)
{
    const uint32_t print = print_of(hash);
    *oldest_in(ghost, bucket_of(ghost, print)) = (pnx__ghost_mark){print, ++ghost->number};
}

bool pnx__ghost_take(pnx__ghost *ghost, uint64_t hash, uint64_t length)
{
    const uint32_t print = print_of(hash);
    pnx__ghost_mark *bucket = bucket_of(ghost, print);
    for (unsigned i = 0; i < PNX__GHOST_BUCKET; i++) {
        if (bucket[i].print != print)
            continue;
        const uint32_t age = ghost->number - bucket[i].number;
        bucket[i].print = 0;
        return age < length;
    }
    return false;
}

size_t pnx__ghost_memory(const pnx__ghost *ghost)
{
    return ghost->buckets * PNX__GHOST_BUCKET * sizeof *ghost->marks;
}
