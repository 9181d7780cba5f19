/* SPDX-License-Identifier: MIT */
/** @file escape.h  Names for terminals. */
#ifndef CLEANROOM_REPORT_ESCAPE_H
#define CLEANROOM_REPORT_ESCAPE_H

#include <stdio.h>

/**
 * Prints at most `most` columns of `text`. What is printable in UTF-8 goes as it is; control
 * characters, those that turn the direction of writing or are invisible, and bytes that are no
 * UTF-8 go as \n, \t or \xNN, so that no name can move the cursor, change colours or feign a line.
 */
void pnx__print_name(FILE *out, const char *text, size_t most);

#endif
