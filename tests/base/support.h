/* SPDX-License-Identifier: MIT */
/**
 * @file support.h
 * What the tests of this room share: cmocka with what it needs, seeds, child processes, threads
 * that start together.
 */
#ifndef TEST_BASE_SUPPORT_H
#define TEST_BASE_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- sanitizers ------------------------------------------------------------------------------ */

/* 1 under ASan and TSan; gcc and clang say it in different ways. */
#ifdef __has_feature
#define TEST_HAS_FEATURE(feature) __has_feature(feature)
#else
#define TEST_HAS_FEATURE(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || TEST_HAS_FEATURE(address_sanitizer)
#define TEST_ASAN 1
#else
#define TEST_ASAN 0
#endif
#if defined(__SANITIZE_THREAD__) || TEST_HAS_FEATURE(thread_sanitizer)
#define TEST_TSAN 1
#else
#define TEST_TSAN 0
#endif

/* ---- random work ----------------------------------------------------------------------------- */

/** A generator with a new seed, or with PNX_TEST_SEED to repeat a failure. The seed is printed. */
static inline pnx__random test_random(void)
{
    const char *text = getenv("PNX_TEST_SEED");
    uint64_t seed;
    if (text) {
        seed = strtoull(text, NULL, 0);
    } else {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        seed = pnx__mix64((uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
    }
    fprintf(stderr, "# PNX_TEST_SEED=%llu\n", (unsigned long long)seed);
    return (pnx__random){seed};
}

/** `count` scaled by PNX_TEST_EFFORT per cent, at least 1. */
static inline size_t test_effort(size_t count)
{
    const char *text = getenv("PNX_TEST_EFFORT");
    size_t scaled = text ? count * strtoull(text, NULL, 10) / 100 : count;
    return scaled > 0 ? scaled : 1;
}

/** A number whose magnitude is random too: small, huge and in between. */
static inline uint64_t test_any_magnitude(pnx__random *random)
{
    return pnx__random_next(random) >> pnx__random_below(random, 64);
}

/* ---- texts ----------------------------------------------------------------------------------- */

#define assert_contains(text, part)                                                                \
    do {                                                                                           \
        if (!strstr((text), (part))) {                                                             \
            fail_msg("\"%s\" does not contain \"%s\"", (text), (part));                            \
        }                                                                                          \
    } while (0)

/** Is it well-formed UTF-8, as far as the number of bytes of each character goes? */
static inline bool test_is_utf8(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        unsigned follow = *at < 0x80 ? 0 : *at < 0xc2 ? 9 : *at < 0xe0 ? 1 : *at < 0xf0 ? 2 : 3;
        at++;
        for (; follow > 0; follow--, at++) {
            if ((*at & 0xc0) != 0x80) {
                return false;
            }
        }
    }
    return true;
}

/* ---- processes and threads ------------------------------------------------------------------- */

/**
 * Waits for a child and returns its exit status, or -1 if it died otherwise. Children leave by
 * _exit and must not assert: cmocka would go on with the parent's tests in them.
 */
static inline int test_wait_child(pid_t child)
{
    int status;
    if (child <= 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) {
        return -1;
    }
    return WEXITSTATUS(status);
}

/** Runs `body` in a fork child, and answers its result there: 0 is success, else a line number. */
static inline int test_in_child(int (*body)(void *), void *argument)
{
    pid_t child = fork();
    if (child == 0) {
        int line = body(argument);
        if (line != 0) {
            fprintf(stderr, "# child: failed at line %d\n", line);
        }
        _exit(line != 0);
    }
    return test_wait_child(child);
}

/** In a body of test_in_child: leaves with the line number unless `condition` holds. */
#define child_expect(condition)                                                                    \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            return __LINE__;                                                                       \
        }                                                                                          \
    } while (0)

#define TEST_THREADS 4

/** Runs `body` in TEST_THREADS threads, each with its own element of `arguments`. */
static inline void test_in_threads(void *(*body)(void *), void *arguments, size_t size)
{
    pthread_t threads[TEST_THREADS];
    for (size_t i = 0; i < TEST_THREADS; i++) {
        if (pthread_create(&threads[i], NULL, body, (char *)arguments + i * size) != 0) {
            abort();
        }
    }
    for (size_t i = 0; i < TEST_THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
}

#endif
