/* SPDX-License-Identifier: MIT */
/* What one writes by hand: a GLib hash table, a list in order of use, and a lock around both. */
#include "peer.h"

#include <glib.h>

struct entry {
    guint64 key, value;
    GList link;
};

static GHashTable *table;
static GQueue order;
static GMutex lock;
static size_t room;

static void open_table(size_t capacity)
{
    table = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
    g_queue_init(&order);
    room = capacity;
}

static void close_table(void)
{
    g_hash_table_destroy(table);
}

static guint64 look(guint64 key)
{
    g_mutex_lock(&lock);
    struct entry *entry = g_hash_table_lookup(table, &key);
    guint64 value = 0;
    if (entry) {
        value = entry->value;
        g_queue_unlink(&order, &entry->link);
        g_queue_push_head_link(&order, &entry->link);
    }
    g_mutex_unlock(&lock);
    return value;
}

static void write_one(guint64 key)
{
    g_mutex_lock(&lock);
    struct entry *entry = g_hash_table_lookup(table, &key);
    if (entry) {
        entry->value = key + 1;
        g_queue_unlink(&order, &entry->link);
    } else {
        if (order.length == room) {
            const struct entry *oldest = g_queue_pop_tail_link(&order)->data;
            g_hash_table_remove(table, &oldest->key);
        }
        entry = g_new0(struct entry, 1);
        entry->key = key;
        entry->value = key + 1;
        entry->link.data = entry;
        g_hash_table_insert(table, &entry->key, entry);
    }
    g_queue_push_head_link(&order, &entry->link);
    g_mutex_unlock(&lock);
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

static const struct cache_operations operations = {
    .open = open_table, .close = close_table, .get = get, .put = put, .mix = mix};

static const struct bench_contender contenders[] = {
    {"GHashTable + GQueue + lock", PEER_VERSION, &operations},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return cache_main(argc, argv, contenders);
}
