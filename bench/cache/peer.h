/* SPDX-License-Identifier: MIT */
/**
 * @file peer.h
 * What a contender of the cache bench can do. Keys are 64-bit numbers, values as small as the
 * contender has them. Operations come in bulk, so that each loop is the contender's own.
 */
#ifndef BENCH_CACHE_PEER_H
#define BENCH_CACHE_PEER_H

#include "common/bench.h"

#include <stddef.h>
#include <stdint.h>

struct cache_operations {
    void (*thread_begin)(void); /**< may be NULL */
    void (*thread_end)(void);   /**< may be NULL */
    void (*open)(size_t capacity);
    void (*close)(void);
    /** Returns how many hit; looks at each value. */
    size_t (*get)(const uint64_t *keys, size_t count);
    void (*put)(const uint64_t *keys, size_t count);
    /** Three gets, then a put, and so on. */
    void (*mix)(const uint64_t *keys, size_t count);
};

int cache_main(int argc, char **argv, const struct bench_contender *contenders);

#endif
