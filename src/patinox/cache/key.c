/* SPDX-License-Identifier: MIT */
/* Keys: hashing and comparing, where the common case of 8 bytes is not enough. */
#include "cache/internal.h"

static uint64_t hash_bytes(const unsigned char *bytes, size_t size, uint64_t seed)
{
    /* Every step is a bijection of what came before, mixed with eight bytes more; the length is
     * the same for all keys of a cache. */
    uint64_t hash = seed;
    for (; size >= 8; bytes += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, bytes, sizeof word);
        hash = pnx__mix64(hash ^ word) + UINT64_C(0x9e3779b97f4a7c15);
    }
    if (size > 0) {
        uint64_t word = 0;
        memcpy(&word, bytes, size);
        hash = pnx__mix64(hash ^ word);
    }
    return hash;
}

uint64_t pnx__key_hash_slow(const struct pnx_cache *cache, const void *key)
{
    if (cache->config.hash)
        return pnx__mix64(cache->config.hash(key, cache->config.context) ^ cache->seed);
    return pnx__mix64(hash_bytes(key, cache->config.key_size, cache->seed));
}

bool pnx__key_equal_slow(const struct pnx_cache *cache, const void *a, const void *b)
{
    return cache->config.equal ? cache->config.equal(a, b, cache->config.context)
                               : memcmp(a, b, cache->config.key_size) == 0;
}
