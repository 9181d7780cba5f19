/* SPDX-License-Identifier: MIT */
/** @file fuzz.h  The face of a fuzz target, that of libFuzzer; see README.md. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/** Puts one input through what is tested; ends the process if that breaks a promise. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** A promise about what came out. */
#define promise(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
