/* SPDX-License-Identifier: MIT */
/*
 * LMDB: a transaction for each entry, appended by a growing key. MDB_NOSYNC survives a kill, and
 * with MDB_WRITEMAP too; without them a power cut too. Writers wait for each other.
 */
#include "common/bench.h"
#include "peer.h"

#include <lmdb.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

static MDB_env *environment;
static MDB_dbi base;
static uint64_t last; /* guarded by the transaction: there is one at a time */

static void check(int result, const char *what)
{
    if (result != 0)
        bench_give_up("%s: %s", what, mdb_strerror(result));
}

static void open_with(const char *directory, unsigned flags)
{
    MDB_txn *transaction;
    check(mdb_env_create(&environment), "mdb_env_create");
    check(mdb_env_set_mapsize(environment, (size_t)1 << 30), "mdb_env_set_mapsize");
    check(mdb_env_open(environment, directory, flags, 0600), "mdb_env_open");
    check(mdb_txn_begin(environment, NULL, 0, &transaction), "mdb_txn_begin");
    check(mdb_dbi_open(transaction, NULL, MDB_INTEGERKEY, &base), "mdb_dbi_open");
    check(mdb_txn_commit(transaction), "mdb_txn_commit");
    last = 0;
}

static void open_nosync(const char *directory)
{
    open_with(directory, MDB_NOSYNC);
}

static void open_writemap(const char *directory)
{
    open_with(directory, MDB_NOSYNC | MDB_WRITEMAP);
}

static void open_sync(const char *directory)
{
    open_with(directory, 0);
}

static void append_batch(size_t count)
{
    MDB_txn *transaction;
    check(mdb_txn_begin(environment, NULL, 0, &transaction), "mdb_txn_begin");
    while (count-- > 0) {
        last++;
        MDB_val key = {sizeof last, &last}, value = {sizeof ENTRY, (void *)(uintptr_t)ENTRY};
        check(mdb_put(transaction, base, &key, &value, MDB_APPEND), "mdb_put");
    }
    check(mdb_txn_commit(transaction), "mdb_txn_commit");
}

static void append_durable(void)
{
    append_batch(1);
}

static void append(size_t count)
{
    while (count-- > 0)
        append_batch(1);
}

static void close_base(void)
{
    mdb_env_close(environment);
}

static void session_with(const char *directory, unsigned flags)
{
    static const char *const files[] = {"data.mdb", "lock.mdb"};
    open_with(directory, flags);
    append(10);
    close_base();
    for (unsigned i = 0; i < 2; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", directory, files[i]);
        remove(path);
    }
}

static void session_nosync(const char *directory, unsigned number)
{
    (void)number;
    session_with(directory, MDB_NOSYNC);
}

static void session_writemap(const char *directory, unsigned number)
{
    (void)number;
    session_with(directory, MDB_NOSYNC | MDB_WRITEMAP);
}

static const struct ledger_operations nosync = {open_nosync, append,         NULL, NULL,
                                                close_base,  session_nosync, NULL};
static const struct ledger_operations writemap = {open_writemap, append,           NULL, NULL,
                                                  close_base,    session_writemap, NULL};
static const struct ledger_operations sync_ = {
    open_sync, NULL, append_durable, append_batch, close_base, NULL, NULL};

static const struct bench_contender contenders[] = {
    {"LMDB, nosync", PEER_VERSION, &nosync},
    {"LMDB, nosync+writemap", PEER_VERSION, &writemap},
    {"LMDB", PEER_VERSION, &sync_},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return ledger_main(argc, argv, contenders);
}
