/* SPDX-License-Identifier: MIT */
/* Resource ids: instances, order, hash, text. The layout of the bits is in id.h. */
#include "base/id.h"

#include "base/fork.h"
#include "base/random.h"
#include "base/sys.h"
#include "base/text.h"

#define VERSION_MASK UINT64_C(0xf000)
#define VERSION_8 UINT64_C(0x8000)
#define VARIANT_MASK (UINT64_C(3) << 62)
#define VARIANT_RFC (UINT64_C(2) << 62)

#define DIGITS 32
#define TEXT_LENGTH (PNX_ID_TEXT_SIZE - 1)

pnx__instance pnx__instance_make(void)
{
    /* Whoever makes ids will ask in a fork child whether they are still his. */
    pnx__fork_init();
    uint64_t random = pnx__random64();
    /* 60 bits go around the version; the 4 that had its place go behind the variant. */
    uint64_t displaced = (random & VERSION_MASK) >> 12;
    return (pnx__instance){
        .high = (random & ~VERSION_MASK) | VERSION_8,
        .low = VARIANT_RFC | displaced << (PNX__SLOT_SHIFT + PNX__SLOT_BITS),
    };
}

int pnx_id_compare(pnx_id a, pnx_id b)
{
    if (a.high != b.high) {
        return a.high < b.high ? -1 : 1;
    }
    return (a.low > b.low) - (a.low < b.low);
}

uint64_t pnx_id_hash(pnx_id id)
{
    /* Ids of one registry differ in `low` only, so no two of them have the same hash. */
    return pnx__mix64(id.low ^ pnx__mix64(id.high));
}

static bool is_dash_at(size_t position)
{
    return position == 8 || position == 13 || position == 18 || position == 23;
}

char *pnx_id_format(pnx_id id, char buffer[PNX_ID_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    unsigned digit = 0;
    for (size_t i = 0; i < TEXT_LENGTH; i++) {
        if (is_dash_at(i)) {
            buffer[i] = '-';
            continue;
        }
        uint64_t half = digit < DIGITS / 2 ? id.high : id.low;
        buffer[i] = digits[half >> (60 - 4 * (digit % (DIGITS / 2))) & 15];
        digit++;
    }
    buffer[TEXT_LENGTH] = '\0';
    return buffer;
}

/* -1 for what is not a hexadecimal digit; isxdigit(3) would ask the locale. */
static int digit_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

static pnx_status fail_parse(pnx_error *err, const char *text, size_t position, const char *wanted)
{
    char quoted[PNX__QUOTE_SIZE];
    return pnx_fail(err, PNX_EINVAL,
                    "not an id: %s: expected %s as character %zu "
                    "(an id looks like 01234567-89ab-8def-8123-456789abcdef)",
                    pnx__text_quote(quoted, text), wanted, position + 1);
}

pnx_status pnx_id_parse(const char *text, pnx_id *ret, pnx_error *err)
{
    if (!text || !ret) {
        return pnx_fail(err, PNX_EINVAL, "pnx_id_parse: `%s` is NULL", text ? "ret" : "text");
    }
    uint64_t halves[2] = {0, 0};
    unsigned digit = 0;
    for (size_t i = 0; i < TEXT_LENGTH; i++) {
        if (is_dash_at(i)) {
            if (text[i] != '-') {
                return fail_parse(err, text, i, "a dash");
            }
            continue;
        }
        int value = digit_value(text[i]);
        if (value < 0) {
            return fail_parse(err, text, i, "a hexadecimal digit");
        }
        uint64_t *half = &halves[digit / (DIGITS / 2)];
        *half = *half << 4 | (uint64_t)value;
        digit++;
    }
    if (text[TEXT_LENGTH] != '\0') {
        return fail_parse(err, text, TEXT_LENGTH, "nothing");
    }
    *ret = (pnx_id){.high = halves[0], .low = halves[1]};
    return PNX_OK;
}
