/* SPDX-License-Identifier: MIT */
/* Ours: intents, so that all that comes with one is counted: the room for its BOUND and GONE. */
#include "common/bench.h"
#include "peer.h"

#include "ledger/identity.h"
#include "ledger/ledger.h"
#include "ledger/state.h"

#include <fcntl.h>
#include <unistd.h>

static int dir = -1;
static pnx__ledger *ledger;

static void check(pnx_status status, const pnx_error *err)
{
    if (status)
        bench_give_up("%s", err->message);
}

static void open_ledger(const char *directory)
{
    pnx_error err = {0};
    dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check(pnx__ledger_create(dir, "ledger", (pnx_id){1, 2}, &ledger, &err), &err);
}

static void write_one(bool durable)
{
    pnx_error err = {0};
    uint32_t resource;
    check(pnx__ledger_intend(ledger, 1, ENTRY, durable, &resource, &err), &err);
}

/* Intents alone would fill the disk with promises: each thing is also seen to be gone. */
static void append(size_t count)
{
    for (size_t i = 0; i < count; i += 2) {
        pnx_error err = {0};
        uint32_t resource;
        check(pnx__ledger_intend(ledger, 1, ENTRY, false, &resource, &err), &err);
        check(pnx__ledger_gone(ledger, resource, ENTRY, &err), &err);
    }
}

static void append_durable(void)
{
    write_one(true);
}

static void append_batch(size_t count)
{
    while (--count > 0)
        write_one(false);
    write_one(true);
}

static void close_ledger(void)
{
    pnx__ledger_close(ledger);
    close(dir);
}

static void session(const char *directory, unsigned number)
{
    static int state = -1;
    pnx_error err = {0};
    int session_dir;
    if (number == 0) {
        if (state >= 0)
            close(state);
        state = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    const pnx_id id = {number, 1};
    check(pnx__state_session_create(state, id, &session_dir, &err), &err);
    check(pnx__ledger_create(session_dir, "ledger", id, &ledger, &err), &err);
    for (unsigned i = 0; i < 10; i++)
        check(pnx__ledger_note(ledger, "key", ENTRY, &err), &err);
    pnx__ledger_close(ledger);
    close(session_dir);
    check(pnx__state_session_remove(state, id, &err), &err);
}

static void probe_by(bool handle)
{
    static struct pnx__identity self;
    pnx_error err = {0};
    int pidfd;
    if (self.pid == 0)
        check(pnx__identity_self(&self, &err), &err);
    struct pnx__identity identity = self;
    if (!handle)
        identity.handle = 0;
    check(pnx__identity_pidfd(&identity, &pidfd, &err), &err);
    close(pidfd);
}

static void probe(void)
{
    probe_by(true);
}

static void probe_by_start(void)
{
    probe_by(false);
}

static const struct ledger_operations ours = {open_ledger,  append,  append_durable, append_batch,
                                              close_ledger, session, probe};
static const struct ledger_operations by_start = {.probe = probe_by_start};

static const struct bench_contender contenders[] = {
    {"patinox", PEER_VERSION, &ours},
    {"patinox, without pidfs", PEER_VERSION, &by_start},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return ledger_main(argc, argv, contenders);
}
