/* SPDX-License-Identifier: MIT */
/* Names come from callers and may hold any bytes; what we write out must not. */
#ifndef PNX_MONITOR_UTF8_H
#define PNX_MONITOR_UTF8_H

#include <stddef.h>

/** U+FFFD REPLACEMENT CHARACTER, which stands for bytes that are not UTF-8. */
#define PNX__UTF8_REPLACEMENT "\xEF\xBF\xBD"

/**
 * The length, 1 to 4, of the well-formed UTF-8 character that the terminated `text` begins with; 0 if
 * it begins with none (Unicode 15, table 3-7: no overlong forms, no surrogates, up to U+10FFFF).
 */
size_t pnx__utf8_length(const char *text);

#endif
