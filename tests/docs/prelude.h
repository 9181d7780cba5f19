/* SPDX-License-Identifier: MIT */
/* What the fragments in the documentation may take for granted. */
#include <errno.h>
#include <fcntl.h>
#include <patinox/patinox.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct conn;
struct conn *conn_open(const char *address);
int conn_close(struct conn *conn, pnx_time deadline);
void conn_abort(struct conn *conn);
int conn_ping(struct conn *conn);
