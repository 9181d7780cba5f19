/* SPDX-License-Identifier: MIT */
/* What is said of a session and its things, slot by slot. */
#include "ledger/internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A text in up to three pieces, "key", "=", "value", so that nothing need be joined. */
struct text {
    const char *piece[3];
    size_t length[3], total;
};

static struct text one(const char *text)
{
    size_t length = strlen(text);
    return (struct text){.piece = {text}, .length = {length}, .total = length};
}

/* Moves up to a payload of it out. */
static uint16_t take(struct text *text, char payload[PNX__LEDGER_PAYLOAD])
{
    size_t filled = 0;
    for (unsigned i = 0; i < 3 && filled < PNX__LEDGER_PAYLOAD; i++) {
        size_t room = PNX__LEDGER_PAYLOAD - filled;
        size_t size = text->length[i] < room ? text->length[i] : room;
        if (size == 0)
            continue;
        memcpy(payload + filled, text->piece[i], size);
        text->piece[i] += size;
        text->length[i] -= size;
        filled += size;
    }
    return (uint16_t)filled;
}

static int64_t wall_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void publish(pnx__ledger *ledger, struct pnx__ledger_record *record)
{
    record->sequence = ledger->tail;
    record->crc = pnx__ledger_record_crc(ledger->header_crc, record);
    struct pnx__ledger_record *slot = (void *)(ledger->map + (size_t)ledger->tail * sizeof *slot);
    memcpy(&slot->sequence, &record->sequence, sizeof *slot - sizeof slot->crc);
    /* Release: whoever sees the CRC sees the rest. Its partner is the order of reads in scan.c: the
     * slots that are taken to be there are found first, what is in them is read after. */
    __atomic_store_n(&slot->crc, record->crc, __ATOMIC_RELEASE);
    ledger->tail++;
}

/* Stores an entry for which there is room. */
static pnx_status append(pnx__ledger *ledger, enum pnx__ledger_event event, uint16_t kind,
                         uint32_t resource, struct text text, pnx_error *err)
{
    const uint32_t parts = pnx__ledger_parts(text.total);
    const int64_t now = wall_clock();
    pnx_status status = pnx__ledger_ready(ledger, parts, now, err);
    if (status)
        return status;
    struct pnx__ledger_record record = {.time = now,
                                        .event = (uint16_t)event,
                                        .kind = kind,
                                        .resource = resource,
                                        .parts = (uint16_t)parts};
    for (uint32_t part = 0; part < parts; part++) {
        record.part = (uint16_t)part;
        record.length = take(&text, record.payload);
        memset(record.payload + record.length, 0, PNX__LEDGER_PAYLOAD - record.length);
        publish(ledger, &record);
    }
    if (PNX_UNLIKELY(pnx__sigbus_struck(ledger->guard)))
        return pnx__ledger_give_up(ledger, "cut short", err);
    return PNX_OK;
}

/* ---- what may be said ------------------------------------------------------------------------ */

static pnx_status check_text(const pnx__ledger *ledger, size_t length, pnx_error *err)
{
    if (length <= PNX__LEDGER_TEXT_MAX)
        return PNX_OK;
    return pnx_fail(err, PNX_ELIMIT,
                    "a text of %zu bytes is too long for the ledger %s: at most %u", length,
                    ledger->path, PNX__LEDGER_TEXT_MAX);
}

static pnx_status check_open(const pnx__ledger *ledger, pnx_error *err)
{
    if (PNX_UNLIKELY(ledger->lost))
        return pnx_fail(err, PNX_EFAILED, "the ledger %s was cut short or removed by somebody",
                        ledger->path);
    if (PNX_UNLIKELY(ledger->closed))
        return pnx_fail(err, PNX_ESHUTDOWN, "the ledger %s is closed", ledger->path);
    return PNX_OK;
}

/* One of which something may be said; else NULL, and why. */
static struct pnx__ledger_thing *find(pnx__ledger *ledger, uint32_t resource,
                                      pnx_status *ret_status, pnx_error *err)
{
    *ret_status = check_open(ledger, err);
    if (*ret_status)
        return NULL;
    if (resource == 0 || resource > ledger->thing_count || !ledger->things[resource - 1].kind) {
        *ret_status = pnx_fail(err, PNX_EINVAL, "the ledger %s knows of no resource %u",
                               ledger->path, (unsigned)resource);
        return NULL;
    }
    struct pnx__ledger_thing *thing = &ledger->things[resource - 1];
    if (thing->state != PNX__LEDGER_IS_GONE)
        return thing;
    *ret_status = pnx_fail(err, PNX_EALREADY, "resource %u of the ledger %s is gone already",
                           (unsigned)resource, ledger->path);
    return NULL;
}

static pnx_status one_more_thing(pnx__ledger *ledger, pnx_error *err)
{
    if (ledger->thing_count < ledger->thing_room)
        return PNX_OK;
    uint32_t room = ledger->thing_room ? ledger->thing_room * 2 : 64;
    void *things = realloc(ledger->things, room * sizeof *ledger->things);
    if (!things)
        return pnx_fail(err, PNX_ENOMEM, "no memory for resource %u of the ledger %s",
                        (unsigned)ledger->thing_count + 1, ledger->path);
    ledger->things = things;
    ledger->thing_room = room;
    return PNX_OK;
}

/* Room for what comes after `slots`: what `thing` was promised is reduced to `keep`. */
static pnx_status spend(pnx__ledger *ledger, struct pnx__ledger_thing *thing, uint32_t slots,
                        uint32_t keep, pnx_error *err)
{
    uint32_t before = thing->promised;
    ledger->promised -= before - keep;
    pnx_status status = pnx__ledger_make_room(ledger, slots, err);
    if (status)
        ledger->promised += before - keep;
    else
        thing->promised = (uint8_t)keep;
    return status;
}

/* ---- intent ---------------------------------------------------------------------------------- */

static pnx_status intend(pnx__ledger *ledger, uint16_t kind, struct text name,
                         uint32_t *ret_resource, pnx_error *err)
{
    const uint32_t promised = pnx__ledger_parts(PNX__LEDGER_IDENTITY_RESERVED) +
                              pnx__ledger_parts(PNX__LEDGER_FATE_RESERVED);
    pnx_status status = check_open(ledger, err);
    if (status == PNX_OK)
        status = one_more_thing(ledger, err);
    if (status == PNX_OK)
        status = pnx__ledger_make_room(ledger, pnx__ledger_parts(name.total) + promised, err);
    if (status == PNX_OK)
        status = append(ledger, PNX__LEDGER_INTENT, kind, ledger->thing_count + 1, name, err);
    if (status)
        return status;
    ledger->promised += promised;
    ledger->things[ledger->thing_count++] = (struct pnx__ledger_thing){
        .kind = kind, .state = PNX__LEDGER_INTENDED, .promised = (uint8_t)promised};
    *ret_resource = ledger->thing_count;
    return PNX_OK;
}

static pnx_status say_gone(pnx__ledger *ledger, uint32_t resource, struct text fate, pnx_error *err)
{
    pnx_status status;
    struct pnx__ledger_thing *thing = find(ledger, resource, &status, err);
    if (!thing)
        return status;
    status = spend(ledger, thing, pnx__ledger_parts(fate.total), 0, err);
    if (status == PNX_OK)
        status = append(ledger, PNX__LEDGER_GONE, thing->kind, resource, fate, err);
    if (status == PNX_OK)
        thing->state = PNX__LEDGER_IS_GONE;
    return status;
}

pnx_status pnx__ledger_intend(pnx__ledger *ledger, uint16_t kind, const char *name, bool durable,
                              uint32_t *ret_resource, pnx_error *err)
{
    uint32_t resource = 0;
    struct text text = one(name);
    pnx_status status = check_text(ledger, text.total, err);
    if (status)
        return status;
    if (kind == 0)
        return pnx_fail(err, PNX_EINVAL, "kind 0 is none; it was meant for \"%.100s\"", name);
    pthread_mutex_lock(&ledger->lock);
    status = intend(ledger, kind, text, &resource, err);
    if (status == PNX_OK && durable) {
        status = pnx__ledger_commit(ledger, ledger->tail, err);
        if (status) /* nobody will acquire it */
            (void)say_gone(ledger, resource, one("never made"), NULL);
    }
    pthread_mutex_unlock(&ledger->lock);
    if (status == PNX_OK)
        *ret_resource = resource;
    return status;
}

/* ---- afterwards ------------------------------------------------------------------------------ */

static pnx_status bind(pnx__ledger *ledger, uint32_t resource, struct text identity, bool durable,
                       pnx_error *err)
{
    pnx_status status;
    struct pnx__ledger_thing *thing = find(ledger, resource, &status, err);
    if (!thing)
        return status;
    status = spend(ledger, thing, pnx__ledger_parts(identity.total),
                   pnx__ledger_parts(PNX__LEDGER_FATE_RESERVED), err);
    if (status == PNX_OK)
        status = append(ledger, PNX__LEDGER_BOUND, thing->kind, resource, identity, err);
    if (status)
        return status;
    thing->state = PNX__LEDGER_IS_BOUND;
    return durable ? pnx__ledger_commit(ledger, ledger->tail, err) : PNX_OK;
}

pnx_status pnx__ledger_bind(pnx__ledger *ledger, uint32_t resource, const char *identity,
                            bool durable, pnx_error *err)
{
    struct text text = one(identity);
    pnx_status status = check_text(ledger, text.total, err);
    if (status)
        return status;
    pthread_mutex_lock(&ledger->lock);
    status = bind(ledger, resource, text, durable, err);
    pthread_mutex_unlock(&ledger->lock);
    return status;
}

pnx_status pnx__ledger_gone(pnx__ledger *ledger, uint32_t resource, const char *fate,
                            pnx_error *err)
{
    struct text text = one(fate);
    pnx_status status = check_text(ledger, text.total, err);
    if (status)
        return status;
    pthread_mutex_lock(&ledger->lock);
    status = say_gone(ledger, resource, text, err);
    pthread_mutex_unlock(&ledger->lock);
    return status;
}

pnx_status pnx__ledger_note(pnx__ledger *ledger, const char *key, const char *value, pnx_error *err)
{
    struct text text = {.piece = {key, "=", value}, .length = {strlen(key), 1, strlen(value)}};
    text.total = text.length[0] + text.length[1] + text.length[2];
    if (text.length[0] == 0 || strchr(key, '='))
        return pnx_fail(err, PNX_EINVAL, "\"%.100s\" is no key of a note", key);
    pnx_status status = check_text(ledger, text.total, err);
    if (status)
        return status;
    pthread_mutex_lock(&ledger->lock);
    status = check_open(ledger, err);
    if (status == PNX_OK)
        status = pnx__ledger_make_room(ledger, pnx__ledger_parts(text.total), err);
    if (status == PNX_OK)
        status = append(ledger, PNX__LEDGER_NOTE, 0, 0, text, err);
    pthread_mutex_unlock(&ledger->lock);
    return status;
}

pnx_status pnx__ledger_closed(pnx__ledger *ledger, pnx_error *err)
{
    pthread_mutex_lock(&ledger->lock);
    pnx_status status = check_open(ledger, err);
    if (status == PNX_OK) /* into the slot that was promised when the ledger was made */
        status = append(ledger, PNX__LEDGER_CLOSED, 0, 0, one(""), err);
    if (status == PNX_OK)
        ledger->closed = true;
    pthread_mutex_unlock(&ledger->lock);
    return status;
}
