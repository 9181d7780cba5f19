/* SPDX-License-Identifier: MIT */
/*
 * Metadata: what few resources have, in a block of its own. Entries lie one behind the other as
 * "key\0value\0". All under the dispatch lock, under which the resource's end frees it too.
 */
#include "registry/internal.h"

#include <execinfo.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 4096
#define FRAMES_MAX 16

struct pnx__meta {
    int frame_count;
    void *frames[FRAMES_MAX];
    size_t used, room;
    char *text;
};

void pnx__meta_free(struct pnx__meta *meta)
{
    if (meta == NULL)
        return;
    pnx__free(meta->text);
    pnx__free(meta);
}

/* The block of a resource that has not ended, made if need be. Dispatch lock held. */
static pnx_status block_of(pnx_registry *registry, pnx_id id, bool make, struct pnx__meta **ret)
{
    pnx__slot *slot;
    uint64_t word;
    pnx_status status = pnx__find(registry, id, &slot, &word);
    if (status != PNX_OK)
        return status;
    if ((word & PNX__META) != 0) {
        *ret = slot->meta;
        return *ret != NULL ? PNX_OK : PNX_EALREADY;
    }
    if (!make)
        return PNX_ENOTFOUND;
    struct pnx__meta *meta = pnx__alloc(sizeof *meta);
    if (meta == NULL)
        return PNX_ENOMEM;
    const uint32_t generation = pnx__id_generation(id);
    /* Whoever ends the resource sees the flag, then takes the lock, and so sees the block. */
    while (pnx__generation_of(word) == generation && pnx__state_of(word) >= PNX_LIVE &&
           pnx__state_of(word) != PNX_DONE)
        if (atomic_compare_exchange_weak_explicit(&slot->word, &word, word | PNX__META,
                                                  memory_order_acq_rel, memory_order_acquire)) {
            slot->meta = meta;
            *ret = meta;
            return PNX_OK;
        }
    pnx__meta_free(meta);
    return PNX_EALREADY;
}

static char *entry_of(struct pnx__meta *meta, const char *key)
{
    for (char *at = meta->text; at != NULL && at < meta->text + meta->used;) {
        char *value = at + strlen(at) + 1;
        if (strcmp(at, key) == 0)
            return at;
        at = value + strlen(value) + 1;
    }
    return NULL;
}

static void entry_remove(struct pnx__meta *meta, char *entry)
{
    const char *value = entry + strlen(entry) + 1;
    const char *end = value + strlen(value) + 1;
    const size_t behind = (size_t)(meta->text + meta->used - end);
    memmove(entry, end, behind);
    meta->used = (size_t)(entry - meta->text) + behind;
}

static pnx_status entry_add(struct pnx__meta *meta, const char *key, const char *value)
{
    const size_t key_size = strlen(key) + 1, value_size = strlen(value) + 1;
    if (key_size > TEXT_MAX || value_size > TEXT_MAX)
        return PNX_ELIMIT;
    char *old = entry_of(meta, key);
    const size_t old_size = old == NULL ? 0 : key_size + strlen(old + key_size) + 1;
    const size_t needed = meta->used - old_size + key_size + value_size;
    if (needed > TEXT_MAX)
        return PNX_ELIMIT;
    /* A new block first, so that a failure changes nothing. */
    char *text = pnx__alloc(needed);
    if (text == NULL)
        return PNX_ENOMEM;
    if (old != NULL)
        entry_remove(meta, old);
    if (meta->used > 0)
        memcpy(text, meta->text, meta->used);
    memcpy(text + meta->used, key, key_size);
    memcpy(text + meta->used + key_size, value, value_size);
    pnx__free(meta->text);
    meta->text = text;
    meta->used = needed;
    return PNX_OK;
}

pnx_status pnx_resource_set_metadata(pnx_registry *registry, pnx_id id, const char *key,
                                     const char *value, pnx_error *err)
{
    if (key == NULL || key[0] == '\0')
        return pnx_fail(err, PNX_EINVAL, "metadata needs a key");
    if (pnx__forked(registry))
        return pnx_fail(err, PNX_EFORKED, "registry %s belongs to the parent", registry->name);
    struct pnx__meta *meta = NULL;
    pthread_mutex_lock(&registry->dispatch);
    pnx_status status = block_of(registry, id, value != NULL, &meta);
    if (status == PNX_OK && value != NULL) {
        status = entry_add(meta, key, value);
    } else if (status == PNX_OK) {
        char *entry = entry_of(meta, key);
        if (entry != NULL)
            entry_remove(meta, entry);
    } else if (status == PNX_ENOTFOUND && pnx__slot_of(registry, id) != NULL && value == NULL) {
        status = PNX_OK; /* it has no metadata at all, so not this one either */
    }
    pthread_mutex_unlock(&registry->dispatch);
    switch (status) {
    case PNX_OK:
        return PNX_OK;
    case PNX_ELIMIT:
        return pnx_fail(err, status, "metadata %s: more than %d bytes in all", key, TEXT_MAX);
    case PNX_ENOMEM:
        return pnx_fail(err, status, "metadata %s: no memory", key);
    default:
        return pnx_fail(err, status, "metadata %s: the resource is %s", key,
                        pnx_status_name(status));
    }
}

pnx_status pnx_resource_get_metadata(pnx_registry *registry, pnx_id id, const char *key,
                                     char *buffer, size_t size, size_t *ret_length)
{
    if (key == NULL)
        return PNX_EINVAL;
    if (pnx__forked(registry))
        return PNX_EFORKED;
    struct pnx__meta *meta = NULL;
    pthread_mutex_lock(&registry->dispatch);
    pnx_status status = block_of(registry, id, false, &meta);
    const char *entry = status == PNX_OK ? entry_of(meta, key) : NULL;
    if (entry != NULL) {
        const char *value = entry + strlen(entry) + 1;
        const size_t length = strlen(value);
        if (ret_length != NULL)
            *ret_length = length;
        if (size > 0) {
            const size_t copied = length < size ? length : size - 1;
            memcpy(buffer, value, copied);
            buffer[copied] = '\0';
        }
    } else if (status == PNX_OK) {
        status = PNX_ENOTFOUND;
    }
    pthread_mutex_unlock(&registry->dispatch);
    return status;
}

pnx_status pnx_resource_each_metadata(pnx_registry *registry, pnx_id id,
                                      void (*visit)(const char *key, const char *value,
                                                    void *context),
                                      void *context)
{
    if (pnx__forked(registry))
        return PNX_EFORKED;
    struct pnx__meta *meta = NULL;
    pthread_mutex_lock(&registry->dispatch);
    pnx_status status = block_of(registry, id, false, &meta);
    const char *at = status == PNX_OK ? meta->text : NULL;
    while (at != NULL && at < meta->text + meta->used) {
        const char *value = at + strlen(at) + 1;
        visit(at, value, context);
        at = value + strlen(value) + 1;
    }
    pthread_mutex_unlock(&registry->dispatch);
    return status == PNX_ENOTFOUND && pnx__slot_of(registry, id) != NULL ? PNX_OK : status;
}

char *pnx__meta_text(const pnx__slot *slot)
{
    const struct pnx__meta *meta = slot->meta;
    if (meta == NULL || meta->used == 0)
        return NULL;
    /* Each entry's two zeros become '=' and ", ". */
    char *text = pnx__alloc(2 * meta->used + 1);
    if (text == NULL)
        return NULL;
    size_t length = 0;
    bool key = true;
    for (size_t i = 0; i < meta->used; i++) {
        if (meta->text[i] != '\0') {
            text[length++] = meta->text[i];
            continue;
        }
        if (key) {
            text[length++] = '=';
        } else if (i + 1 < meta->used) {
            text[length++] = ',';
            text[length++] = ' ';
        }
        key = !key;
    }
    text[length] = '\0';
    return text;
}

void pnx__meta_backtrace(struct pnx_registry *registry, pnx__slot *slot)
{
    struct pnx__meta *meta = pnx__alloc(sizeof *meta);
    if (meta == NULL)
        return; /* the resource matters, where it came from only helps */
    meta->frame_count = backtrace(meta->frames, FRAMES_MAX);
    pthread_mutex_lock(&registry->dispatch);
    slot->meta = meta;
    atomic_fetch_or_explicit(&slot->word, PNX__META, memory_order_release);
    pthread_mutex_unlock(&registry->dispatch);
}

void pnx__meta_frames(const pnx__slot *slot, void *frames[FRAMES_MAX])
{
    const struct pnx__meta *meta = slot->meta;
    for (int i = 0; meta != NULL && i < meta->frame_count; i++)
        frames[i] = meta->frames[i];
}
