/* SPDX-License-Identifier: MIT */
/**
 * @file peer.h
 * What a contender of the ledger bench can do. An entry is ENTRY: 60 bytes of text with a kind and
 * a number, each of its own: it survives a kill of the writer once the call returns.
 */
#ifndef BENCH_LEDGER_PEER_H
#define BENCH_LEDGER_PEER_H

#include <stddef.h>

#define ENTRY "/var/lib/somewhere/else/0123456789abcdef/and/a/name/of/60/by"
_Static_assert(sizeof ENTRY == 61, "as it says");

struct ledger_operations {
    /** Makes an empty store in the directory, which is on a disk. */
    void (*open)(const char *directory);
    /** One thread: writes `count` entries that need not survive a power cut. NULL: cannot. */
    void (*append)(size_t count);
    /** Any thread: writes one that is on disk when it returns. NULL: cannot. */
    void (*append_durable)(void);
    /** One thread: writes `count` that are on disk, all of them, when it returns. NULL: cannot. */
    void (*append_batch)(size_t count);
    /** Closes it; the caller removes the files. */
    void (*close)(void);
    /** The life of store 0, 1, …: made, 10 entries, closed, removed. NULL: not of interest. */
    void (*session)(const char *directory, unsigned number);
    /** Does the writer live? By whatever a cleaner would ask. NULL: has no answer. */
    void (*probe)(void);
};

struct bench_contender;
/** The main of a program of the ledger bench; `contenders` ends with one without name. */
int ledger_main(int argc, char **argv, const struct bench_contender *contenders);

/** Removes what is in a directory, empty directories too, and it. */
void ledger_remove_directory(const char *directory);

#endif
