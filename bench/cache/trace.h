/* SPDX-License-Identifier: MIT */
/**
 * @file trace.h
 * Traces of requests: one unsigned decimal key per line, gzip'd or plain. And two bounds that need
 * the whole trace, or are no policy of ours: OPT and ARC.
 */
#ifndef BENCH_CACHE_TRACE_H
#define BENCH_CACHE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trace {
    uint64_t *keys;
    uint32_t *ids; /* the same keys, numbered from 0 in the order in which they come */
    size_t count;
    uint32_t distinct;
};

/* Says what is wrong on stderr and answers false. */
bool trace_read(struct trace *trace, const char *path);
void trace_free(struct trace *trace);
/* Hits of the best possible cache that may also decline to keep what it was asked for (Belady, "A
 * study of replacement algorithms for a virtual-storage computer", 1966, with bypass). */
size_t trace_opt(const struct trace *trace, size_t size);
/* Hits of ARC: Megiddo and Modha, "ARC: a self-tuning, low overhead replacement cache", FAST 2003.
 * */
size_t trace_arc(const struct trace *trace, size_t size);

#endif
