/* SPDX-License-Identifier: MIT */
#include "ledger/scan.h"

#include "kind/sys.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SLOTS 512

struct reader {
    int fd;
    const char *path;
    pnx__ledger_visit_fn visit;
    void *context;
    struct pnx__ledger_scan *scan;
    uint32_t published; /* the last slot that is; the writer may go on, we do not */
    bool over;          /* the last entry closed it */
    bool enough;        /* says who is visited */

    /* The entry that is being put together: its first record, and the parts so far; 0: none. */
    struct pnx__ledger_record first;
    uint32_t parts;
    size_t length;
    char text[PNX__LEDGER_TEXT_MAX + PNX__LEDGER_PAYLOAD + 1];

    _Alignas(8) unsigned char chunk[CHUNK_SLOTS * PNX__LEDGER_SLOT];
};

/* ---- bytes ----------------------------------------------------------------------------------- */

/* What lies behind the end of the file, because it was cut meanwhile, reads as zeros. */
static pnx_status read_at(struct reader *reader, uint64_t offset, void *buffer, size_t size,
                          pnx_error *err)
{
    size_t filled = 0;
    while (filled < size) {
        ssize_t got =
            pread(reader->fd, (char *)buffer + filled, size - filled, (off_t)(offset + filled));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return pnx_fail(err, PNX_EFAILED, "cannot read the ledger %s: %m", reader->path);
        if (got == 0)
            break;
        filled += (size_t)got;
    }
    memset((char *)buffer + filled, 0, size - filled);
    return PNX_OK;
}

static bool is_zero(const void *data, size_t size)
{
    const unsigned char *at = data;
    return size == 0 || (at[0] == 0 && memcmp(at, at + 1, size - 1) == 0);
}

/* Reads slots from `from` on, up to `upto`, into the chunk. */
static pnx_status read_slots(struct reader *reader, uint32_t from, uint32_t upto, uint32_t *ret,
                             pnx_error *err)
{
    *ret = upto - from < CHUNK_SLOTS ? upto - from : CHUNK_SLOTS;
    return read_at(reader, (uint64_t)from * PNX__LEDGER_SLOT, reader->chunk,
                   (size_t)*ret * PNX__LEDGER_SLOT, err);
}

static const struct pnx__ledger_record *slot_of(const struct reader *reader, uint32_t index)
{
    return (const void *)(reader->chunk + (size_t)index * PNX__LEDGER_SLOT);
}

/*
 * Where it ends, from behind. This comes first: every slot up to the last one that is published was
 * published before it, so that what is found bad there later, is. Partner of the release store in
 * append.c.
 */
static pnx_status find_end(struct reader *reader, uint32_t slots, pnx_error *err)
{
    for (uint32_t upto = slots; upto > 1 && !reader->published;) {
        uint32_t from = upto - 1 > CHUNK_SLOTS ? upto - CHUNK_SLOTS : 1, count;
        pnx_status status = read_slots(reader, from, upto, &count, err);
        if (status)
            return status;
        for (uint32_t i = count; i > 0 && !reader->published; i--) {
            if (is_zero(slot_of(reader, i - 1), PNX__LEDGER_SLOT))
                continue;
            if (!reader->scan->used)
                reader->scan->used = from + i;
            if (slot_of(reader, i - 1)->crc)
                reader->published = from + i - 1;
        }
        upto = from;
    }
    if (!reader->scan->used)
        reader->scan->used = 1;
    return PNX_OK;
}

/* ---- the header ------------------------------------------------------------------------------ */

static pnx_status check_header(const struct reader *reader, pnx_error *err)
{
    const struct pnx__ledger_header *header = &reader->scan->header;
    if (is_zero(header->magic, sizeof header->magic) && reader->scan->used <= 1)
        return pnx_fail(err, PNX_ECANCELED,
                        "the ledger %s was never begun: nothing was made under it", reader->path);
    if (memcmp(header->magic, PNX__LEDGER_MAGIC, sizeof header->magic) != 0)
        return pnx_fail(err, PNX_EINVAL, "%s is no ledger: nothing is done with it", reader->path);
    if (header->version != PNX__LEDGER_VERSION)
        return pnx_fail(err, PNX_EUNSUPPORTED,
                        "the ledger %s is of version %" PRIu32 ", not %d: use the cleanroom that "
                        "wrote it",
                        reader->path, header->version, PNX__LEDGER_VERSION);
    if (header->slot_size != PNX__LEDGER_SLOT || header->crc != pnx__ledger_header_crc(header))
        return pnx_fail(err, PNX_EINVAL,
                        "the header of the ledger %s is damaged: nothing is done with it",
                        reader->path);
    return PNX_OK;
}

/* ---- entries --------------------------------------------------------------------------------- */

static bool is_good(const struct reader *reader, const struct pnx__ledger_record *record,
                    uint32_t slot)
{
    if (record->crc != pnx__ledger_record_crc(reader->scan->header.crc, record) ||
        record->sequence != slot)
        return false;
    /* From here on only a writer that is not ours could have got it wrong. */
    if (record->event < PNX__LEDGER_INTENT || record->event > PNX__LEDGER_CLOSED)
        return false;
    bool of_thing = record->event <= PNX__LEDGER_GONE;
    if (of_thing != (record->kind != 0) || of_thing != (record->resource != 0))
        return false;
    /* Every resource before it has taken a slot at least. So what a reader keeps of resources is
     * never more than the file is long. */
    if (record->resource > slot)
        return false;
    if (record->part >= record->parts || record->parts > PNX__LEDGER_PARTS_MAX ||
        record->length > PNX__LEDGER_PAYLOAD)
        return false;
    bool last = record->part + 1 == record->parts;
    if (last ? record->part > 0 && record->length == 0 : record->length < PNX__LEDGER_PAYLOAD)
        return false;
    return !memchr(record->payload, 0, record->length);
}

static bool continues(const struct reader *reader, const struct pnx__ledger_record *record)
{
    const struct pnx__ledger_record *first = &reader->first;
    return reader->parts == record->part && first->sequence + record->part == record->sequence &&
           first->parts == record->parts && first->event == record->event &&
           first->kind == record->kind && first->resource == record->resource &&
           first->time == record->time;
}

static void drop_entry(struct reader *reader)
{
    reader->scan->damaged += reader->parts;
    reader->parts = 0;
}

static void finish_entry(struct reader *reader)
{
    const struct pnx__ledger_record *first = &reader->first;
    reader->text[reader->length] = '\0';
    bool good = !reader->over && reader->length <= PNX__LEDGER_TEXT_MAX;
    if (first->event == PNX__LEDGER_NOTE)
        good = good && strchr(reader->text, '=') > reader->text;
    if (!good) {
        drop_entry(reader);
        return;
    }
    reader->scan->records += reader->parts;
    reader->scan->tail = first->sequence + reader->parts;
    reader->over = first->event == PNX__LEDGER_CLOSED;
    reader->parts = 0;
    const struct pnx__ledger_entry entry = {.event = (enum pnx__ledger_event)first->event,
                                            .kind = first->kind,
                                            .resource = first->resource,
                                            .time = first->time,
                                            .text = reader->text};
    reader->enough = !reader->visit(&entry, reader->context);
}

static void meet(struct reader *reader, const struct pnx__ledger_record *record, uint32_t slot)
{
    bool good = is_good(reader, record, slot);
    if (!good || !continues(reader, record))
        drop_entry(reader);
    if (!good || record->part != reader->parts) {
        reader->scan->damaged++;
        return;
    }
    if (reader->parts == 0) {
        reader->first = *record;
        reader->length = 0;
    }
    memcpy(reader->text + reader->length, record->payload, record->length);
    reader->length += record->length;
    reader->parts++;
    if (reader->parts == record->parts)
        finish_entry(reader);
}

static pnx_status meet_all(struct reader *reader, pnx_error *err)
{
    uint32_t count;
    for (uint32_t from = 1; from <= reader->published && !reader->enough; from += count) {
        pnx_status status = read_slots(reader, from, reader->published + 1, &count, err);
        if (status)
            return status;
        for (uint32_t i = 0; i < count && !reader->enough; i++)
            meet(reader, slot_of(reader, i), from + i);
    }
    return PNX_OK;
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* A file that was cut within a slot: what is left of it is not read, but must be cut off. */
static pnx_status find_stub(struct reader *reader, uint64_t size, pnx_error *err)
{
    unsigned char stub[PNX__LEDGER_SLOT];
    size_t length = size % PNX__LEDGER_SLOT;
    pnx_status status = read_at(reader, size - length, stub, length, err);
    if (status || is_zero(stub, length))
        return status;
    reader->scan->torn = true;
    reader->scan->used = (uint32_t)(size / PNX__LEDGER_SLOT) + 1;
    return PNX_OK;
}

static pnx_status scan(struct reader *reader, uint64_t size, pnx_error *err)
{
    pnx_status status = read_at(reader, 0, &reader->scan->header, sizeof reader->scan->header, err);
    if (status == PNX_OK)
        status = find_end(reader, (uint32_t)(size / PNX__LEDGER_SLOT), err);
    if (status == PNX_OK)
        status = find_stub(reader, size, err);
    if (status == PNX_OK)
        status = check_header(reader, err);
    if (status == PNX_OK)
        status = meet_all(reader, err);
    if (reader->parts || reader->scan->used > reader->published + 1)
        reader->scan->torn = true;
    return status;
}

pnx_status pnx__ledger_scan(int fd, uint64_t size, const char *path, pnx__ledger_visit_fn visit,
                            void *context, struct pnx__ledger_scan *ret, pnx_error *err)
{
    if (size == 0)
        return pnx_fail(err, PNX_ECANCELED,
                        "the ledger %s was never begun: nothing was made under it", path);
    if (size < PNX__LEDGER_SLOT)
        return pnx_fail(err, PNX_EINVAL, "%s is too short for a ledger: nothing is done with it",
                        path);
    if (size > PNX__LEDGER_SIZE_MAX)
        return pnx_fail(err, PNX_ELIMIT,
                        "%s is larger than any ledger, %u MiB: nothing is done "
                        "with it",
                        path, (unsigned)(PNX__LEDGER_SIZE_MAX >> 20));
    struct reader *reader = malloc(sizeof *reader);
    if (!reader)
        return pnx_fail(err, PNX_ENOMEM, "no memory to read the ledger %s", path);
    /* All but the buffers, which are written before they are read. */
    memset(reader, 0, offsetof(struct reader, text));
    reader->fd = fd;
    reader->path = path;
    reader->visit = visit;
    reader->context = context;
    reader->scan = ret;
    memset(ret, 0, sizeof *ret);
    ret->tail = 1;
    pnx_status status = scan(reader, size, err);
    free(reader);
    return status;
}
