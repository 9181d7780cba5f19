/* SPDX-License-Identifier: MIT */
/**
 * @file peer.h
 * What a contender of the pool bench can do. A thing is an int; making it costs nothing.
 */
#ifndef BENCH_POOL_PEER_H
#define BENCH_POOL_PEER_H

#include <stddef.h>

struct pool_operations {
    /** Makes a pool of at most `size` things, all of them made. */
    void (*open)(unsigned size);
    /** Any thread: borrows and returns `count` times. */
    void (*cycle)(size_t count);
    /** Any thread: borrows one, however long that takes, and returns it. */
    void *(*borrow)(void);
    void (*give_back)(void *handle);
    void (*close)(void);
};

struct bench_contender;
/** The main of a program of the pool bench; `contenders` ends with one without name. */
int pool_main(int argc, char **argv, const struct bench_contender *contenders);

#endif
