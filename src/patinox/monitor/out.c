/* SPDX-License-Identifier: MIT */
#include "monitor/out.h"

#include <errno.h>
#include <inttypes.h>

static bool between(unsigned char byte, unsigned char low, unsigned char high)
{
    return byte >= low && byte <= high;
}

/* The well-formed byte sequences of Unicode 15, table 3-7: no overlong forms, no surrogates,
 * nothing above U+10FFFF. The first byte that does not fit ends the look, so none beyond the
 * terminator is read. */
size_t pnx__out_character(const char *text)
{
    const unsigned char *b = (const unsigned char *)text;
    unsigned char low = 0x80;
    unsigned char high = 0xBF;
    size_t length;

    if (between(b[0], 0x01, 0x7F)) {
        return 1;
    } else if (between(b[0], 0xC2, 0xDF)) {
        length = 2;
    } else if (between(b[0], 0xE0, 0xEF)) {
        length = 3;
        low = b[0] == 0xE0 ? 0xA0 : low;
        high = b[0] == 0xED ? 0x9F : high;
    } else if (between(b[0], 0xF0, 0xF4)) {
        length = 4;
        low = b[0] == 0xF0 ? 0x90 : low;
        high = b[0] == 0xF4 ? 0x8F : high;
    } else {
        return 0;
    }
    if (!between(b[1], low, high)) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if (!between(b[i], 0x80, 0xBF)) {
            return 0;
        }
    }
    return length;
}

void pnx__out_decimal(FILE *out, uint64_t billionths)
{
    fprintf(out, "%" PRIu64 ".%09" PRIu64, billionths / 1000000000, billionths % 1000000000);
}

pnx_status pnx__out_finish(FILE *out, const char *what, pnx_error *err)
{
    bool failed_before = ferror(out) != 0;
    if (fflush(out) != 0) {
        return pnx_fail(err, PNX_EFAILED, "cannot write %s: %m", what);
    }
    if (failed_before) {
        errno = EIO; /* stdio does not keep what went wrong first */
        return pnx_fail(err, PNX_EFAILED, "cannot write %s: the stream has failed", what);
    }
    return PNX_OK;
}
