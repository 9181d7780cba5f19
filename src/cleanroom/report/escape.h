/* SPDX-License-Identifier: MIT */
/** @file escape.h  Names for terminals, XML and HTML. */
#ifndef CLEANROOM_REPORT_ESCAPE_H
#define CLEANROOM_REPORT_ESCAPE_H

#include <stdio.h>

/**
 * Prints at most `most` columns of `text` (NULL: nothing), and returns how many it was. What is
 * printable in UTF-8 goes as it is; control characters, those that turn the direction of writing or
 * are invisible, and bytes that are no UTF-8 go as \n, \t or \xNN, so that no name can move the
 * cursor, change colours or feign a line.
 */
size_t pnx__print_name(FILE *out, const char *text, size_t most);
/**
 * The same for text and attribute values of XML and HTML: & < > " ' go as entities. What XML 1.0
 * forbids, even as an entity, is among what goes as \xNN.
 */
size_t pnx__print_markup(FILE *out, const char *text, size_t most);
/** The same, but a newline goes as it is. */
size_t pnx__print_markup_lines(FILE *out, const char *text, size_t most);
/** A command (may be NULL), its words apart and quoted where they need it, to be read. */
void pnx__print_markup_command(FILE *out, char *const *command, size_t most);
/**
 * Copies `text` as well-formed UTF-8 (U+FFFD for what is none), as much of it as fits; `size` is
 * not 0. What was copied so is the same when it is copied again.
 */
void pnx__copy_utf8(char *buffer, size_t size, const char *text);

#endif
