/* SPDX-License-Identifier: MIT */
#include "ledger/format.h"

#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

/* The reflected polynomial 0x1EDC6F41. */
static uint32_t shift(uint32_t crc)
{
    return (crc >> 1) ^ (0x82F63B78u & (0u - (crc & 1)));
}

/* Four bits at a time: the table is computed in a moment, so that nothing is shared or kept. */
uint32_t pnx__crc32c_by_table(uint32_t crc, const void *data, size_t size)
{
    uint32_t table[16];
    for (uint32_t i = 0; i < 16; i++)
        table[i] = shift(shift(shift(shift(i))));
    const unsigned char *at = data;
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= at[i];
        crc = (crc >> 4) ^ table[crc & 15];
        crc = (crc >> 4) ^ table[crc & 15];
    }
    return ~crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const void *data,
                                                                 size_t size)
{
    const unsigned char *at = data;
    uint64_t value = ~crc, word;
    for (; size >= sizeof word; at += sizeof word, size -= sizeof word) {
        memcpy(&word, at, sizeof word);
        value = _mm_crc32_u64(value, word);
    }
    crc = (uint32_t)value;
    for (; size; at++, size--)
        crc = _mm_crc32_u8(crc, *at);
    return ~crc;
}

static bool has_instruction(void)
{
    return __builtin_cpu_supports("sse4.2");
}

#elif defined(__ARM_FEATURE_CRC32)

static uint32_t by_instruction(uint32_t crc, const void *data, size_t size)
{
    const unsigned char *at = data;
    uint64_t word;
    crc = ~crc;
    for (; size >= sizeof word; at += sizeof word, size -= sizeof word) {
        memcpy(&word, at, sizeof word);
        crc = __crc32cd(crc, word);
    }
    for (; size; at++, size--)
        crc = __crc32cb(crc, *at);
    return ~crc;
}

static bool has_instruction(void)
{
    return true; /* or this code would not have been compiled for it */
}

#else

#define by_instruction pnx__crc32c_by_table
static bool has_instruction(void)
{
    return false;
}

#endif

uint32_t pnx__crc32c(uint32_t crc, const void *data, size_t size)
{
    return has_instruction() ? by_instruction(crc, data, size)
                             : pnx__crc32c_by_table(crc, data, size);
}
