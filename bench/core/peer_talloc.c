/* SPDX-License-Identifier: MIT */
/*
 * talloc: a destructor that runs in the calling thread. Not thread-safe.
 */
#include "common/bench.h"
#include "peer.h"

#include <talloc.h>

struct thing {
    const char *kind;
    uint64_t created;
    uint64_t bytes;
    void *value;
};

static int destroy(struct thing *thing)
{
    release_thing(thing->value);
    return 0;
}

static struct thing *new_thing(const void *parent, size_t index)
{
    struct thing *thing = talloc(parent, struct thing);
    if (!thing)
        bench_give_up("no memory");
    *thing = (struct thing){.kind = "thing", .bytes = 64, .value = thing_of(index)};
    talloc_set_destructor(thing, destroy);
    return thing;
}

static void scope(size_t count)
{
    for (size_t i = 0; i < count; i++)
        talloc_free(new_thing(NULL, i));
}

/* ---- many that are alive --------------------------------------------------------------------- */

static void *parent;

static void table_open(size_t capacity)
{
    parent = talloc_new(NULL);
}

static void table_add(struct table_id *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ids[i].low = (uint64_t)(uintptr_t)new_thing(parent, i);
}

static void table_close(void)
{
    talloc_free(parent);
}

static const struct core_operations operations = {
    .scope = scope,
    .table = {.open = table_open, .add = table_add, .close = table_close},
};

static const struct bench_contender contenders[] = {
    {"talloc", PEER_VERSION, &operations},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return core_main(argc, argv, contenders);
}
