/* SPDX-License-Identifier: MIT */
/*
 * What each thread keeps for each registry it uses: magazines of free slots, counters, histograms.
 * When the thread ends, all of it goes back; when the registry ends first, an empty block is left
 * that its thread frees when it comes by.
 *
 * The blocks of one thread form a list under pnx__thread_first; the one used last is cached. The
 * key destructor may run while a registry is being destroyed by another thread: both hold the
 * process lock, under which registries enter and leave the list of those that exist.
 */
#include "registry/internal.h"

_Thread_local pnx__thread *pnx__thread_cached;
static _Thread_local pnx__thread *pnx__thread_first;

static pthread_key_t thread_key;
static pthread_once_t thread_once = PTHREAD_ONCE_INIT;
static bool thread_key_made;

/* Gives magazines and counters back to the registry. Process lock held; the registry exists. */
static void block_retire(pnx__thread *thread)
{
    struct pnx_registry *registry = atomic_load_explicit(&thread->registry, memory_order_relaxed);
    pthread_mutex_lock(&registry->dispatch);
    pnx__account_retire(registry, thread);
    pnx__list_remove(&thread->node);
    pthread_mutex_unlock(&registry->dispatch);
    pnx__magazine_return(registry, thread->loaded);
    pnx__magazine_return(registry, thread->spare);
    pnx__free(thread->queue_wait);
    pnx__free(thread);
}

/* The thread ends. */
static void thread_ended(void *first)
{
    (void)first;
    pnx__thread *thread = pnx__thread_first;
    pnx__thread_first = NULL;
    pnx__thread_cached = NULL;
    pnx__process_lock();
    while (thread != NULL) {
        pnx__thread *next = thread->next_of_thread;
        /* A block whose registry is gone was freed with it, so that it is not in this list: see
         * pnx__threads_done, which leaves only a stub behind. */
        struct pnx_registry *registry =
            atomic_load_explicit(&thread->registry, memory_order_relaxed);
        if (registry == NULL)
            pnx__free(thread);
        else if (!pnx__forked(registry))
            block_retire(thread);
        thread = next;
    }
    pnx__process_unlock();
}

static void key_make(void)
{
    thread_key_made = pthread_key_create(&thread_key, thread_ended) == 0;
}

pnx__thread *pnx__thread_find(struct pnx_registry *registry)
{
    for (pnx__thread *thread = pnx__thread_first; thread != NULL; thread = thread->next_of_thread)
        /* Relaxed, as in pnx__thread_get. */
        if (atomic_load_explicit(&thread->registry, memory_order_relaxed) == registry) {
            pnx__thread_cached = thread;
            return thread;
        }
    return NULL;
}

/* Drops the stubs of registries that were destroyed. */
static void stubs_free(void)
{
    pnx__process_lock();
    for (pnx__thread **link = &pnx__thread_first; *link != NULL;) {
        pnx__thread *thread = *link;
        if (atomic_load_explicit(&thread->registry, memory_order_relaxed) == NULL) {
            *link = thread->next_of_thread;
            pnx__free(thread);
        } else {
            link = &thread->next_of_thread;
        }
    }
    pnx__process_unlock();
}

pnx__thread *pnx__thread_make(struct pnx_registry *registry)
{
    pnx__thread *thread = pnx__thread_get(registry);
    if (thread != NULL)
        return thread;
    pthread_once(&thread_once, key_make);
    pnx__thread_cached = NULL; /* it may be one of the stubs */
    stubs_free();
    thread = pnx__alloc(sizeof *thread);
    pnx__magazine *loaded = pnx__alloc(sizeof *loaded);
    pnx__magazine *spare = pnx__alloc(sizeof *spare);
    /* Optional: without them this thread measures nothing. */
    pnx_histogram *histograms = pnx__alloc(3 * sizeof *histograms);
    if (thread == NULL || loaded == NULL || spare == NULL) {
        pnx__free(thread);
        pnx__free(loaded);
        pnx__free(spare);
        pnx__free(histograms);
        return NULL;
    }
    atomic_store_explicit(&thread->registry, registry, memory_order_relaxed);
    thread->loaded = loaded;
    thread->spare = spare;
    if (histograms != NULL) {
        thread->queue_wait = &histograms[0];
        thread->release_time = &histograms[1];
        thread->drop_time = &histograms[2];
    }
    pthread_mutex_lock(&registry->dispatch);
    thread->random.state = registry->config.seed + registry->seed_serial++;
    pnx__list_push_back(&registry->threads, &thread->node);
    pthread_mutex_unlock(&registry->dispatch);

    /* Without a key (or memory in it) the block is simply not given back before the registry is. */
    if (thread_key_made)
        (void)pthread_setspecific(thread_key, thread);
    thread->next_of_thread = pnx__thread_first;
    pnx__thread_first = thread;
    pnx__thread_cached = thread;
    return thread;
}

/* The registry ends: frees what all threads keep for it, but for a stub that only says so. */
void pnx__threads_done(struct pnx_registry *registry)
{
    pnx__process_lock();
    pnx__list *node;
    while ((node = pnx__list_pop_front(&registry->threads)) != NULL) {
        pnx__thread *thread = pnx__container_of(node, pnx__thread, node);
        for (unsigned i = 0; i < PNX__KINDS_MAX; i++)
            pnx__free(atomic_load_explicit(&thread->tallies[i], memory_order_relaxed));
        pnx__free(thread->loaded);
        pnx__free(thread->spare);
        pnx__free(thread->queue_wait);
        thread->loaded = thread->spare = NULL;
        thread->queue_wait = NULL;
        /* From here on the block belongs to its thread alone. */
        atomic_store_explicit(&thread->registry, NULL, memory_order_relaxed);
    }
    pnx__process_unlock();
}
