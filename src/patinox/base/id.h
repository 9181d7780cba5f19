/* SPDX-License-Identifier: MIT */
/**
 * @file id.h
 * How the bits of a pnx_id are laid out: a UUID of version 8 (RFC 9562, section 5.8).
 *
 *     high  63..16  custom_a  instance, 48 bits
 *           15..12  ver       1000
 *           11..0   custom_b  instance, 12 bits
 *     low   63..62  var       10
 *           61..58  custom_c  instance, 4 bits
 *           57..32            slot, 26 bits: where the resource is in its registry's table
 *           31..0             generation, 32 bits: the slot's uses, so that a stale id is detected
 *
 * An *instance* is the part that all ids of one registry share: 64 random bits, drawn anew for
 * every registry, so that ids of two registries, processes or machines do not meet. It is kept
 * with the version and variant bits in place, and slot and generation 0, so that making an id is
 * two instructions.
 */
#ifndef PNX_BASE_ID_H
#define PNX_BASE_ID_H

#include <patinox/base.h>

#define PNX__SLOT_BITS 26
#define PNX__SLOT_COUNT_MAX (UINT32_C(1) << PNX__SLOT_BITS)
#define PNX__SLOT_SHIFT 32

/** The bits of `low` that belong to the instance, with the variant. */
#define PNX__INSTANCE_LOW_MASK (~UINT64_C(0) << (PNX__SLOT_SHIFT + PNX__SLOT_BITS))

typedef struct pnx__instance {
    uint64_t high;
    uint64_t low;
} pnx__instance;

/** A new instance from 64 random bits. Never fails (see pnx__random64); two never meet. */
pnx__instance pnx__instance_make(void);

/** `slot` must be below PNX__SLOT_COUNT_MAX. */
static inline pnx_id pnx__id_make(pnx__instance instance, uint32_t slot, uint32_t generation)
{
    return (pnx_id){
        .high = instance.high,
        .low = instance.low | (uint64_t)slot << PNX__SLOT_SHIFT | generation,
    };
}

/** Was `id` made from this instance? Says nothing about its slot and generation. */
static inline bool pnx__id_is_of(pnx__instance instance, pnx_id id)
{
    return ((id.high ^ instance.high) | ((id.low ^ instance.low) & PNX__INSTANCE_LOW_MASK)) == 0;
}

/** Below PNX__SLOT_COUNT_MAX for any id whatever, but perhaps above what a table has. */
static inline uint32_t pnx__id_slot(pnx_id id)
{
    return (uint32_t)(id.low >> PNX__SLOT_SHIFT) & (PNX__SLOT_COUNT_MAX - 1);
}

static inline uint32_t pnx__id_generation(pnx_id id)
{
    return (uint32_t)id.low;
}

#endif
