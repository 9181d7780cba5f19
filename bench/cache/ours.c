/* SPDX-License-Identifier: MIT */
/* Ours: as it comes (adaptive), with values that are resources, and with the simplest policy. */
#include "peer.h"

#include <patinox/cache.h>
#include <patinox/guard.h>

static pnx_cache *cache;
static pnx_registry *registry;

static void open_config(pnx_cache_config config)
{
    pnx_error err = {0};
    if (pnx_cache_create(&config, &cache, &err) != PNX_OK)
        bench_give_up("%s", err.message);
}

static void open_adaptive(size_t capacity)
{
    open_config((pnx_cache_config){.capacity = capacity});
}

static void open_clock(size_t capacity)
{
    open_config((pnx_cache_config){.capacity = capacity, .policy = PNX_CACHE_CLOCK});
}

static pnx_status release(uint64_t value, const pnx_release *why)
{
    return PNX_OK;
}
PNX_KIND(number, uint64_t, release);

static void open_kind(size_t capacity)
{
    if (pnx_registry_create(NULL, &registry, NULL) != PNX_OK)
        bench_give_up("no registry");
    open_config(
        (pnx_cache_config){.capacity = capacity, .kind = number_kind, .registry = registry});
}

static void close_cache(void)
{
    if (pnx_cache_destroy(cache, NULL) != PNX_OK)
        bench_give_up("references are still held");
    if (registry) {
        (void)pnx_registry_shutdown(registry, NULL, NULL, NULL);
        (void)pnx_registry_destroy(registry, NULL);
        registry = NULL;
    }
}

static uint64_t look(uint64_t key)
{
    pnx_auto_ref ref = pnx_cache_get(cache, &key);
    return ref.value ? pnx_ref_get(&ref, uint64_t) : 0;
}

static void write_one(uint64_t key)
{
    const uint64_t value = key + 1;
    if (pnx_cache_put(cache, &key, &value, NULL) != PNX_OK)
        bench_give_up("a put failed");
}

static size_t get(const uint64_t *keys, size_t count)
{
    size_t hits = 0;
    for (size_t i = 0; i < count; i++)
        hits += look(keys[i]) != 0;
    return hits;
}

static void put(const uint64_t *keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        write_one(keys[i]);
}

static void mix(const uint64_t *keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (i % 4 == 3)
            write_one(keys[i]);
        else
            (void)look(keys[i]);
}

static const struct cache_operations adaptive = {
    .open = open_adaptive, .close = close_cache, .get = get, .put = put, .mix = mix};
static const struct cache_operations clocked = {
    .open = open_clock, .close = close_cache, .get = get, .put = put, .mix = mix};
static const struct cache_operations with_kind = {
    .open = open_kind, .close = close_cache, .get = get, .put = put, .mix = mix};

static const struct bench_contender contenders[] = {
    {"patinox", PEER_VERSION, &adaptive},
    {"patinox, clock", PEER_VERSION, &clocked},
    {"patinox, values of a kind", PEER_VERSION, &with_kind},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return cache_main(argc, argv, contenders);
}
