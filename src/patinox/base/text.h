/* SPDX-License-Identifier: MIT */
/**
 * @file text.h
 * Text in buffers of fixed size, for messages that must never fail: always terminated, cut where a
 * character of UTF-8 ends, and marked with "..." when something is missing. Nothing is allocated by
 * this code (libc may, for a translated strerror or a huge width) and errno is kept.
 */
#ifndef PNX_BASE_TEXT_H
#define PNX_BASE_TEXT_H

#include <patinox/base.h>

/** How much of the `length` bytes at `text` fits into `limit` without splitting a character. */
size_t pnx__text_cut(const char *text, size_t length, size_t limit);

/** Copies `text`, cut to `size`. Returns its whole length. `size` may be 0. */
size_t pnx__text_copy(char *buffer, size_t size, const char *text);

/** Like snprintf(3), but cut as said above. A format that libc refuses is copied as it is. */
size_t pnx__text_format(char *buffer, size_t size, const char *format, ...) PNX_PRINTF(3, 4);
size_t pnx__text_format_va(char *buffer, size_t size, const char *format, va_list args)
    PNX_PRINTF(3, 0);

/**
 * Enough for pnx__text_quote to show what is wrong with a text, and for two of them in a message.
 */
#define PNX__QUOTE_SIZE 64

/**
 * Writes `text`, which may be anything that a user or a file can send, so that a message can show
 * it: in double quotes, control characters as \xNN, cut to fit. NULL is shown as NULL. Returns
 * `buffer`.
 */
char *pnx__text_quote(char buffer[PNX__QUOTE_SIZE], const char *text);

/** Replaces each control character by a space: what is left is one line. */
void pnx__text_one_line(char *text);

#endif
