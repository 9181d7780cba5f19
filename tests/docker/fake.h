/* SPDX-License-Identifier: MIT */
/** @file fake.h  Listens like an engine, for the faults that a real one cannot be made to show.
 */
#ifndef TESTS_DOCKER_FAKE_H
#define TESTS_DOCKER_FAKE_H

#include <stdbool.h>
#include <stddef.h>

/** One request, and the connection it came on. */
struct fake_request {
    int fd;
    char line[1024]; /* "GET /v1.41/info" */
    const char *body;
    unsigned count; /* of such a line so far; 1: the first */
};

/** Answers it; called in a thread of its connection. False: the connection is closed. */
typedef bool (*fake_serve)(const struct fake_request *request, void *context);

/** Starts it; the host to be given to pnx_engine_open. It answers /_ping itself unless `all`. */
const char *fake_start(fake_serve serve, void *context, bool all);
/** Ends all connections, also those that hang; nothing if it does not run. */
void fake_stop(void);
/** Requests so far whose line begins with this. */
unsigned fake_count(const char *beginning);

/** A whole answer. */
bool fake_answer(const struct fake_request *request, int status, const char *body);
/** Bytes as they are. */
bool fake_send(const struct fake_request *request, const char *bytes, size_t size);
/** Waits until the client closes the connection, or the fake is stopped. */
bool fake_hang(const struct fake_request *request);
/** Sends `bytes` over and over until nobody takes them any more; `pause`: with a millisecond in
 *  between. */
bool fake_forever(const struct fake_request *request, const char *bytes, size_t size, bool pause);
/** Is "GET /…" what is asked for, under whatever version? */
bool fake_is(const struct fake_request *request, const char *method_and_path);

#endif
