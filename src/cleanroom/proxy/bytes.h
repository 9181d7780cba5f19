/* SPDX-License-Identifier: MIT */
/** @file bytes.h  Bytes that grow, up to a bound. */
#ifndef CLEANROOM_PROXY_BYTES_H
#define CLEANROOM_PROXY_BYTES_H

#include <stdbool.h>
#include <stddef.h>

/** All zero is empty. */
struct pnx__bytes {
    char *data; /* terminated by a zero that is not counted, where there are any */
    size_t size, room;
};

/** False: no memory; what was there is there still. */
bool pnx__bytes_add(struct pnx__bytes *bytes, const void *data, size_t size);
bool pnx__bytes_add_text(struct pnx__bytes *bytes, const char *text);
bool pnx__bytes_print(struct pnx__bytes *bytes, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** Empty again; memory that is more than a few pages is given back. */
void pnx__bytes_clear(struct pnx__bytes *bytes);
/** Frees it; empty afterwards. */
void pnx__bytes_done(struct pnx__bytes *bytes);

#endif
