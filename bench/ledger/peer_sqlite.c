/* SPDX-License-Identifier: MIT */
/*
 * SQLite: a table in a write-ahead log. synchronous = OFF and NORMAL survive a kill, FULL a power
 * cut too. Each thread that writes has a connection and a prepared statement of its own; they wait
 * for each other by its busy handler.
 */
#include "common/bench.h"
#include "peer.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECTIONS_MAX = 80 };

struct connection {
    sqlite3 *base;
    sqlite3_stmt *insert;
};

static char path[4096];
static const char *synchronous;
static struct connection connections[CONNECTIONS_MAX];
static unsigned connection_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local struct connection *own;
static _Thread_local unsigned own_generation;
static unsigned generation;

static void run(sqlite3 *base, const char *statement)
{
    if (sqlite3_exec(base, statement, NULL, NULL, NULL) != SQLITE_OK)
        bench_give_up("%s: %s", statement, sqlite3_errmsg(base));
}

static void connect_to(struct connection *connection)
{
    char pragma[64];
    if (sqlite3_open(path, &connection->base) != SQLITE_OK)
        bench_give_up("cannot open %s", path);
    sqlite3_busy_timeout(connection->base, 60000);
    run(connection->base, "pragma journal_mode = wal");
    snprintf(pragma, sizeof pragma, "pragma synchronous = %s", synchronous);
    run(connection->base, pragma);
    run(connection->base, "create table if not exists entry (id integer primary key, kind integer, "
                          "number integer, text text)");
    if (sqlite3_prepare_v2(connection->base,
                           "insert into entry (kind, number, text) values (1, 2, ?)", -1,
                           &connection->insert, NULL) != SQLITE_OK)
        bench_give_up("cannot prepare: %s", sqlite3_errmsg(connection->base));
    sqlite3_bind_text(connection->insert, 1, ENTRY, sizeof ENTRY - 1, SQLITE_STATIC);
}

static struct connection *mine(void)
{
    if (own == NULL || own_generation != generation) {
        pthread_mutex_lock(&lock);
        if (connection_count == CONNECTIONS_MAX)
            bench_give_up("too many connections");
        own = &connections[connection_count++];
        connect_to(own);
        pthread_mutex_unlock(&lock);
        own_generation = generation;
    }
    return own;
}

static void open_base(const char *directory)
{
    snprintf(path, sizeof path, "%s/base", directory);
    generation++;
    mine();
}

static void append_durable(void)
{
    struct connection *connection = mine();
    if (sqlite3_step(connection->insert) != SQLITE_DONE)
        bench_give_up("cannot insert: %s", sqlite3_errmsg(connection->base));
    sqlite3_reset(connection->insert);
}

static void append(size_t count)
{
    while (count-- > 0)
        append_durable();
}

static void append_batch(size_t count)
{
    struct connection *connection = mine();
    run(connection->base, "begin immediate");
    append(count);
    run(connection->base, "commit");
}

static void close_base(void)
{
    for (unsigned i = 0; i < connection_count; i++) {
        sqlite3_finalize(connections[i].insert);
        sqlite3_close(connections[i].base);
    }
    connection_count = 0;
}

static void remove_base(const char *directory)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (unsigned i = 0; i < 3; i++) {
        char file[4200];
        snprintf(file, sizeof file, "%s/base%s", directory, suffixes[i]);
        remove(file);
    }
}

static void session(const char *directory, unsigned number)
{
    (void)number;
    open_base(directory);
    append(10);
    close_base();
    remove_base(directory);
}

#define WITH(mode)                                                                                 \
    static void open_##mode(const char *directory)                                                 \
    {                                                                                              \
        synchronous = #mode;                                                                       \
        open_base(directory);                                                                      \
    }                                                                                              \
    static void session_##mode(const char *directory, unsigned number)                             \
    {                                                                                              \
        synchronous = #mode;                                                                       \
        session(directory, number);                                                                \
    }
WITH(off)
WITH(normal)
WITH(full)

static const struct ledger_operations off = {open_off,   append,      NULL, NULL,
                                             close_base, session_off, NULL};
static const struct ledger_operations normal = {open_normal, append,         NULL, NULL,
                                                close_base,  session_normal, NULL};
static const struct ledger_operations full = {
    open_full, NULL, append_durable, append_batch, close_base, session_full, NULL};

static const struct bench_contender contenders[] = {
    {"SQLite, off", PEER_VERSION, &off},
    {"SQLite, normal", PEER_VERSION, &normal},
    {"SQLite, full", PEER_VERSION, &full},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return ledger_main(argc, argv, contenders);
}
