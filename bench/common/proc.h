/* SPDX-License-Identifier: MIT */
/**
 * @file proc.h
 * Figures out of the small text files of proc(5).
 */
#ifndef BENCH_PROC_H
#define BENCH_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROC_TEXT_MAX 4096

/** Reads the beginning of a file; false (and an empty text) when it cannot be read. */
bool proc_read(const char *path, char text[PROC_TEXT_MAX]);
/**
 * The numbers that follow `label` in the text, from its begin if `label` is empty. False (and
 * zeros) if there are fewer than `count`.
 */
bool proc_numbers(const char *text, const char *label, uint64_t *ret, size_t count);
/** Calls `visit` for every thread of this process. */
void proc_each_thread(void (*visit)(int thread, void *context), void *context);

#endif
