/* SPDX-License-Identifier: MIT */
/**
 * @file support.h
 * A proxy in a thread of its own, with this test at both its ends: as the client, and as the
 * engine. Nothing here waits longer than WAIT, and nothing sleeps.
 */
#ifndef TESTS_PROXY_SUPPORT_H
#define TESTS_PROXY_SUPPORT_H

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "ledger/ledger.h"
#include "proxy/proxy.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SESSION "01234567-89ab-4def-8123-456789abcdef"
#define WAIT_MS 30000

/** Starts it; in `strict` scope or not. */
void proxy_up(bool strict);
/** Stops it as the end of descriptor 0 does, and looks that nothing is left. */
void proxy_down(void);
/** The same in two steps: asks it to stop; waits until it has. */
void proxy_stop(void);
void proxy_wait(void);

/** A new connection of a client. */
int client_connect(void);
/** The same in two steps, of which the second one needs no descriptor. */
int client_prepare(void);
void client_connect_now(int fd);
/** The next connection that the proxy makes to the engine. */
int engine_accept(void);
/** The engine's socket is closed and removed, or is there again. */
void engine_vanish(void);
void engine_return(int backlog);

/** Sends all of it; the other side must take it. */
void send_bytes(int fd, const void *data, size_t size);
void send_text(int fd, const char *text);
/** The same, and waits until the proxy has read it. */
void send_read(int fd, const void *data, size_t size);
/** Receives exactly this. */
void expect_text(int fd, const char *text);
void expect_bytes(int fd, const void *data, size_t size);
/** Receives up to what `end` is, with it; terminated, freed by the caller. */
char *receive_until(int fd, const char *end);
/** Receives so many bytes. */
void receive_bytes(int fd, void *data, size_t size);
/** Nothing more comes but the end. */
void expect_end(int fd);
/** Whatever comes, it ends. */
void expect_end_sometime(int fd);
/** It is closed by the other side, in both directions. */
void expect_gone(int fd);
/** Nothing is there to be received now. */
void expect_nothing_yet(int fd);
/** A head, and the body that its Content-Length says; the caller frees both. */
char *receive_message(int fd, char **ret_body);

/** Answers the next question that the proxy asks by itself with this status and JSON. */
void engine_answer_question(const char *path_part, int status, const char *json);

/** What was told so far has this in it; waits for it. */
void expect_told(const char *part);

/** The ledger as it is now; the caller frees it. */
struct pnx__ledger_view *ledger_view(void);
/** Waits until resource `number` is in this state. */
void expect_ledger(uint32_t number, enum pnx__ledger_state state);

#define GET "GET /v1.41/info HTTP/1.1\r\nHost: docker\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

#endif
