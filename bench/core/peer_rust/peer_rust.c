/* SPDX-License-Identifier: MIT */
/*
 * tokio and crossbeam: the reference design (guard.rs, registry.rs) and the usual alternative to it
 * (channel.rs), linked in as a static library.
 */
#include "common/bench.h"
#include "core/peer.h"

/* What the Rust side calls. */
void bench_release_thing(void *thing);

void bench_release_thing(void *thing)
{
    release_thing(thing);
}

/* What it offers. */
void guard_open(size_t backlog);
void guard_drop(size_t count);
void guard_close(void);
void channel_open(size_t backlog);
void channel_drop(size_t count);
void channel_close(void);
void registry_open(size_t backlog);
void registry_drop(size_t count);
void registry_close(void);
void registry_add(struct table_id *ids, size_t count);
size_t registry_find(const struct table_id *ids, const uint32_t *order, size_t count);
void registry_replace(struct table_id *id);

static const struct core_operations tokio_spawn = {
    .guard = {.open = guard_open, .drop = guard_drop, .close = guard_close},
};
static const struct core_operations tokio_registry = {
    .registered = {.open = registry_open,
                   .drop = registry_drop,
                   .close = registry_close,
                   .poll_ms = 10},
    .table = {.open = registry_open,
              .add = registry_add,
              .find = registry_find,
              .replace = registry_replace,
              .close = registry_close},
};
static const struct core_operations crossbeam_channel = {
    .guard = {.open = channel_open, .drop = channel_drop, .close = channel_close},
};

static const struct bench_contender contenders[] = {
    {"tokio spawn", TOKIO_VERSION, &tokio_spawn},
    {"tokio registry", TOKIO_VERSION, &tokio_registry},
    {"crossbeam", CROSSBEAM_VERSION, &crossbeam_channel},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return core_main(argc, argv, contenders);
}
