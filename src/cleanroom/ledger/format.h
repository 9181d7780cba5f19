/* SPDX-License-Identifier: MIT */
/**
 * @file format.h
 * The bytes of a ledger: slots of 128 bytes, the first of which is the header. In the byte order of
 * the machine: a ledger is read where it was written.
 *
 * A slot is *published* when its CRC is not 0; that is stored last. No slot lies across a sector.
 */
#ifndef CLEANROOM_LEDGER_FORMAT_H
#define CLEANROOM_LEDGER_FORMAT_H

#include "ledger/ledger.h"

#include <stddef.h>
#include <stdint.h>

#define PNX__LEDGER_SLOT 128
#define PNX__LEDGER_PAYLOAD 96
#define PNX__LEDGER_VERSION 1
/* "\211PNXLDG\n": not text, not any other known format. */
#define PNX__LEDGER_MAGIC "\211PNXLDG\n"
/* What a new ledger is allocated with: 511 entries, enough for 100 things, in one extent. */
#define PNX__LEDGER_SIZE_FIRST ((size_t)64 << 10)
/* It doubles until it is this much larger. */
#define PNX__LEDGER_STEP_MAX ((size_t)16 << 20)
#define PNX__LEDGER_PARTS_MAX                                                                      \
    ((PNX__LEDGER_TEXT_MAX + PNX__LEDGER_PAYLOAD - 1) / PNX__LEDGER_PAYLOAD)

struct pnx__ledger_header {
    char magic[8]; /* stored last: until then the ledger has not begun */
    uint32_t version, slot_size;
    int64_t created;
    uint64_t session[2], boot[2];
    uint64_t machine[2]; /* /etc/machine-id; 0: it has none */
    unsigned char unused[PNX__LEDGER_SLOT - 76];
    uint32_t crc; /* of all before; also the start of the CRC of every record, so that a record of
                     another ledger is never good in this one */
};

struct pnx__ledger_record {
    uint32_t crc;      /* of all that follows; 0: not published */
    uint32_t sequence; /* the number of its slot: one that was moved is not good */
    int64_t time;
    uint16_t event, kind;
    uint32_t resource;
    uint16_t part, parts; /* a long text goes on in the slots that follow */
    uint16_t length;      /* of the payload in this part; all but the last are full */
    uint16_t unused;
    char payload[PNX__LEDGER_PAYLOAD];
};

_Static_assert(sizeof(struct pnx__ledger_header) == PNX__LEDGER_SLOT, "one slot");
_Static_assert(offsetof(struct pnx__ledger_header, crc) == PNX__LEDGER_SLOT - 4, "no padding");
_Static_assert(sizeof(struct pnx__ledger_record) == PNX__LEDGER_SLOT, "one slot");
_Static_assert(PNX__LEDGER_SIZE_MAX / PNX__LEDGER_SLOT < UINT32_MAX, "a sequence fits");

/** The slots that a text of `length` bytes takes. */
static inline uint32_t pnx__ledger_parts(size_t length)
{
    return length ? (uint32_t)((length + PNX__LEDGER_PAYLOAD - 1) / PNX__LEDGER_PAYLOAD) : 1;
}

/** CRC-32C (RFC 3720) of `size` bytes after those that gave `crc`; begin with 0. */
uint32_t pnx__crc32c(uint32_t crc, const void *data, size_t size);
/** The same without help of the CPU. */
uint32_t pnx__crc32c_by_table(uint32_t crc, const void *data, size_t size);

static inline uint32_t pnx__ledger_header_crc(const struct pnx__ledger_header *header)
{
    return pnx__crc32c(0, header, offsetof(struct pnx__ledger_header, crc));
}

/** What `record->crc` must be; never 0. */
static inline uint32_t pnx__ledger_record_crc(uint32_t header_crc,
                                              const struct pnx__ledger_record *record)
{
    uint32_t crc =
        pnx__crc32c(header_crc, &record->sequence, PNX__LEDGER_SLOT - sizeof record->crc);
    return crc ? crc : 1;
}

#endif
