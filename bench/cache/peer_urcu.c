/* SPDX-License-Identifier: MIT */
/*
 * The bound: a plain concurrent hash table that never evicts, the lock-free one of userspace RCU,
 * in the flavour whose readers pay least without having to announce quiet states.
 */
#define _LGPL_SOURCE
#include <urcu.h>
#include <urcu/rculfhash.h>

#include "peer.h"

#include <stdlib.h>

struct entry {
    uint64_t key, value;
    struct cds_lfht_node node;
    struct rcu_head head;
};

/** caa_container_of, but by way of void *: -Wcast-align takes offence. */
#define CONTAINER_OF(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static struct cds_lfht *table;

static void thread_begin(void)
{
    rcu_register_thread();
}

static void thread_end(void)
{
    rcu_unregister_thread();
}

static unsigned long hash(uint64_t key)
{
    key = (key ^ (key >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    return key ^ (key >> 31);
}

static int match(struct cds_lfht_node *node, const void *key)
{
    return CONTAINER_OF(node, struct entry, node)->key == *(const uint64_t *)key;
}

static void free_entry(struct rcu_head *head)
{
    free(CONTAINER_OF(head, struct entry, head));
}

static void open_table(size_t capacity)
{
    /* As large as it gets: what growing costs is not the question. */
    table = cds_lfht_new(1 << 20, 1024, 0, 0, NULL);
    if (!table)
        bench_give_up("no memory");
}

static void close_table(void)
{
    struct cds_lfht_iter iter;
    struct cds_lfht_node *node;
    rcu_read_lock();
    cds_lfht_for_each(table, &iter, node)
    {
        if (cds_lfht_del(table, node) == 0)
            call_rcu(&CONTAINER_OF(node, struct entry, node)->head, free_entry);
    }
    rcu_read_unlock();
    rcu_barrier();
    cds_lfht_destroy(table, NULL);
}

static uint64_t look(uint64_t key)
{
    struct cds_lfht_iter iter;
    rcu_read_lock();
    cds_lfht_lookup(table, hash(key), match, &key, &iter);
    const struct cds_lfht_node *node = cds_lfht_iter_get_node(&iter);
    const uint64_t value =
        node ? CONTAINER_OF((char *)(uintptr_t)node, struct entry, node)->value : 0;
    rcu_read_unlock();
    return value;
}

static void write_one(uint64_t key)
{
    struct entry *entry = calloc(1, sizeof *entry);
    if (!entry)
        bench_give_up("no memory");
    entry->key = key;
    entry->value = key + 1;
    rcu_read_lock();
    struct cds_lfht_node *old = cds_lfht_add_replace(table, hash(key), match, &key, &entry->node);
    if (old)
        call_rcu(&CONTAINER_OF(old, struct entry, node)->head, free_entry);
    rcu_read_unlock();
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

static const struct cache_operations operations = {.thread_begin = thread_begin,
                                                   .thread_end = thread_end,
                                                   .open = open_table,
                                                   .close = close_table,
                                                   .get = get,
                                                   .put = put,
                                                   .mix = mix};

static const struct bench_contender contenders[] = {
    {"urcu table, unbounded", PEER_VERSION, &operations},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return cache_main(argc, argv, contenders);
}
