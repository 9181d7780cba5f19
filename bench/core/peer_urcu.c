/* SPDX-License-Identifier: MIT */
/*
 * Userspace RCU: call_rcu hands an object to a reclaiming thread in a few instructions. The
 * thread gathers for 10 ms, so it is cheap and late; with the RT flag nobody has to wake it,
 * because it never stops looking every 10 ms. And its lock-free resizable hash table.
 */
#define _LGPL_SOURCE
#include <urcu.h>
#include <urcu/call-rcu.h>
#include <urcu/rculfhash.h>

#include "common/bench.h"
#include "peer.h"

#include <stdlib.h>
#include <time.h>

/** caa_container_of, but by way of void *: -Wcast-align takes offence. */
#define CONTAINER_OF(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static void thread_begin(void)
{
    rcu_register_thread();
}

static void thread_end(void)
{
    rcu_unregister_thread();
}

/* ---- call_rcu -------------------------------------------------------------------------------- */

struct guard {
    struct rcu_head head;
    void *thing;
};

static void guard_release(struct rcu_head *head)
{
    struct guard *guard = CONTAINER_OF(head, struct guard, head);
    release_thing(guard->thing);
    free(guard);
}

static void reclaim_open(size_t backlog)
{
}

static void reclaim_drop(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct guard *guard = malloc(sizeof *guard);
        guard->thing = thing_of(i);
        call_rcu(&guard->head, guard_release);
    }
}

static void reclaim_close(void)
{
    rcu_barrier();
}

/* ---- call_rcu to a polling thread ------------------------------------------------------------ */

static struct call_rcu_data *polling;

static void polling_begin(void)
{
    thread_begin();
    if (!polling)
        polling = create_call_rcu_data(URCU_CALL_RCU_RT, -1);
    set_thread_call_rcu_data(polling);
}

static void polling_end(void)
{
    set_thread_call_rcu_data(NULL);
    thread_end();
}

/* ---- cds_lfht -------------------------------------------------------------------------------- */

/** Without a limit the table overgrows: 542 MiB were seen for 100 000 entries. */
#define BUCKETS_MAX (1u << 20)

struct entry {
    struct cds_lfht_node node;
    struct rcu_head head;
    uint64_t id;
    const char *kind;
    uint64_t created;
    uint64_t bytes;
    void *thing;
};

static struct cds_lfht *entries;
static uint64_t next_id;

/** The finalizer of MurmurHash3 (Appleby, public domain). */
static unsigned long hash(uint64_t id)
{
    id = (id ^ (id >> 33)) * 0xff51afd7ed558ccdu;
    id = (id ^ (id >> 33)) * 0xc4ceb9fe1a85ec53u;
    return id ^ (id >> 33);
}

static int matches(struct cds_lfht_node *node, const void *id)
{
    return CONTAINER_OF(node, struct entry, node)->id == *(const uint64_t *)id;
}

static void entry_free(struct rcu_head *head)
{
    free(CONTAINER_OF(head, struct entry, head));
}

static struct entry *entry_find(uint64_t id)
{
    struct cds_lfht_iter iter;
    cds_lfht_lookup(entries, hash(id), matches, &id, &iter);
    struct cds_lfht_node *node = cds_lfht_iter_get_node(&iter);
    return node ? CONTAINER_OF(node, struct entry, node) : NULL;
}

static void table_open(size_t capacity)
{
    entries = cds_lfht_new(1024, 1024, BUCKETS_MAX, CDS_LFHT_AUTO_RESIZE, NULL);
}

static void table_add_one(struct table_id *id)
{
    struct timespec now;
    struct entry *entry = malloc(sizeof *entry);

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    entry->id = id->low = __atomic_add_fetch(&next_id, 1, __ATOMIC_RELAXED);
    entry->kind = "thing";
    entry->created = (uint64_t)now.tv_sec;
    entry->bytes = 64;
    entry->thing = thing_of(0);
    cds_lfht_node_init(&entry->node);
    rcu_read_lock();
    cds_lfht_add(entries, hash(entry->id), &entry->node);
    rcu_read_unlock();
}

static void table_add(struct table_id *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        table_add_one(&ids[i]);
}

static size_t table_find(const struct table_id *ids, const uint32_t *order, size_t count)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        rcu_read_lock();
        const struct entry *entry = entry_find(ids[order[i]].low);
        found += entry && entry->bytes == 64;
        rcu_read_unlock();
    }
    return found;
}

static void table_replace(struct table_id *id)
{
    rcu_read_lock();
    struct entry *entry = entry_find(id->low);
    if (entry && cds_lfht_del(entries, &entry->node) == 0)
        call_rcu(&entry->head, entry_free);
    rcu_read_unlock();
    table_add_one(id);
}

static void table_close(void)
{
    struct cds_lfht_iter iter;
    struct cds_lfht_node *node;

    rcu_read_lock();
    cds_lfht_for_each(entries, &iter, node)
    {
        if (cds_lfht_del(entries, node) == 0)
            call_rcu(&CONTAINER_OF(node, struct entry, node)->head, entry_free);
    }
    rcu_read_unlock();
    rcu_barrier();
    cds_lfht_destroy(entries, NULL);
}

static const struct core_operations call_rcu_default = {
    .guard = {.open = reclaim_open, .drop = reclaim_drop, .close = reclaim_close},
    .thread_begin = thread_begin,
    .thread_end = thread_end,
};
static const struct core_operations call_rcu_polling = {
    .guard = {.open = reclaim_open, .drop = reclaim_drop, .close = reclaim_close, .poll_ms = 10},
    .thread_begin = polling_begin,
    .thread_end = polling_end,
};
static const struct core_operations hash_table = {
    .table = {.open = table_open,
              .add = table_add,
              .find = table_find,
              .replace = table_replace,
              .close = table_close},
    .thread_begin = thread_begin,
    .thread_end = thread_end,
};

static const struct bench_contender contenders[] = {
    {"call_rcu", PEER_VERSION, &call_rcu_default},
    {"call_rcu RT", PEER_VERSION, &call_rcu_polling},
    {"cds_lfht", PEER_VERSION, &hash_table},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return core_main(argc, argv, contenders);
}
