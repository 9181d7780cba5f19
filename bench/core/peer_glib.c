/* SPDX-License-Identifier: MIT */
/*
 * GLib: guards whose clean-up, which g_autoptr would call, goes to a GThreadPool or through a
 * GAsyncQueue to a thread; and a GHashTable behind a lock, as C programs keep what is alive.
 */
#include "common/bench.h"
#include "peer.h"

#include <glib.h>
#include <pthread.h>
#include <time.h>

typedef struct {
    void *thing;
} Guard;

static Guard *guard_new(void *thing)
{
    Guard *guard = g_new(Guard, 1);
    guard->thing = thing;
    return guard;
}

static void guard_release(void *data, void *unused)
{
    Guard *guard = data;
    release_thing(guard->thing);
    g_free(guard);
}

/* ---- GThreadPool ----------------------------------------------------------------------------- */

static GThreadPool *pool;

static void pool_open(size_t backlog)
{
    pool = g_thread_pool_new(guard_release, NULL, 1, TRUE, NULL);
}

static void pool_drop(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        Guard *guard = guard_new(thing_of(i));
        g_thread_pool_push(pool, guard, NULL);
    }
}

static void pool_close(void)
{
    g_thread_pool_free(pool, FALSE, TRUE);
}

/* ---- GAsyncQueue and a thread ---------------------------------------------------------------- */

static GAsyncQueue *queue;
static pthread_t queue_worker;

static void *queue_run(void *unused)
{
    for (;;) {
        Guard *guard = g_async_queue_pop(queue);
        if (!guard->thing)
            break;
        guard_release(guard, NULL);
    }
    return NULL;
}

static void queue_open(size_t backlog)
{
    queue = g_async_queue_new();
    if (pthread_create(&queue_worker, NULL, queue_run, NULL) != 0)
        bench_give_up("cannot create a thread");
}

static void queue_drop(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        Guard *guard = guard_new(thing_of(i));
        g_async_queue_push(queue, guard);
    }
}

static void queue_close(void)
{
    Guard end = {NULL};
    g_async_queue_push(queue, &end);
    pthread_join(queue_worker, NULL);
    g_async_queue_unref(queue);
}

/* ---- g_autofree ------------------------------------------------------------------------------ */

static void autofree_scope(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        void *thing = g_malloc(64);
        __asm__ volatile("" : : "g"(thing) : "memory");
        g_free(thing);
    }
}

/* ---- GHashTable behind a lock ---------------------------------------------------------------- */

struct entry {
    gint64 id;
    const char *kind;
    uint64_t created;
    uint64_t bytes;
    void *thing;
};

static GHashTable *entries;
static pthread_rwlock_t entries_lock = PTHREAD_RWLOCK_INITIALIZER;
static gint64 next_id;

static void entries_open(size_t capacity)
{
    entries = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
}

static void entries_add_one(struct table_id *id)
{
    struct timespec now;
    struct entry *entry = g_new(struct entry, 1);

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    *entry = (struct entry){.kind = "thing", .created = (uint64_t)now.tv_sec, .bytes = 64};
    pthread_rwlock_wrlock(&entries_lock);
    entry->id = ++next_id;
    g_hash_table_insert(entries, &entry->id, entry);
    pthread_rwlock_unlock(&entries_lock);
    id->low = (uint64_t)entry->id;
}

static void entries_add(struct table_id *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        entries_add_one(&ids[i]);
}

static size_t entries_find(const struct table_id *ids, const uint32_t *order, size_t count)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        pthread_rwlock_rdlock(&entries_lock);
        const struct entry *entry = g_hash_table_lookup(entries, &ids[order[i]].low);
        found += entry && entry->bytes == 64;
        pthread_rwlock_unlock(&entries_lock);
    }
    return found;
}

static void entries_replace(struct table_id *id)
{
    pthread_rwlock_wrlock(&entries_lock);
    g_hash_table_remove(entries, &id->low);
    pthread_rwlock_unlock(&entries_lock);
    entries_add_one(id);
}

static void entries_close(void)
{
    g_hash_table_destroy(entries);
}

static const struct core_operations thread_pool = {
    .guard = {.open = pool_open, .drop = pool_drop, .close = pool_close},
};
static const struct core_operations async_queue = {
    .guard = {.open = queue_open, .drop = queue_drop, .close = queue_close},
};
static const struct core_operations hash_table = {
    .table = {.open = entries_open,
              .add = entries_add,
              .find = entries_find,
              .replace = entries_replace,
              .close = entries_close},
};
static const struct core_operations autofree = {.scope = autofree_scope};

static const struct bench_contender contenders[] = {
    {"GThreadPool", PEER_VERSION, &thread_pool},
    {"GAsyncQueue", PEER_VERSION, &async_queue},
    {"GHashTable+rwlock", PEER_VERSION, &hash_table},
    {"g_autofree", PEER_VERSION, &autofree},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return core_main(argc, argv, contenders);
}
