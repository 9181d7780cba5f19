/* SPDX-License-Identifier: MIT */
/**
 * @file apart.h
 * A test in a world of its own: new IPC, network and mount namespaces, with an empty /dev/shm. What
 * it leaves behind there fails it. Needs root.
 */
#ifndef TESTS_CLEANROOM_APART_H
#define TESTS_CLEANROOM_APART_H

#include "support.h"

#include <sched.h>
#include <sys/mount.h>

static const struct {
    const char *path;
    int flag;
} apart_worlds[] = {
    {"/proc/thread-self/ns/mnt", CLONE_NEWNS},
    {"/proc/thread-self/ns/ipc", CLONE_NEWIPC},
    {"/proc/thread-self/ns/net", CLONE_NEWNET},
};

static int apart_way_back[3] = {-1, -1, -1};
static bool apart_refused; /* the system does not let us: the test skips */

static inline void leave_worlds(void)
{
    for (size_t i = 0; i < 3; i++) {
        if (apart_way_back[i] < 0)
            continue;
        if (setns(apart_way_back[i], apart_worlds[i].flag) != 0)
            abort(); /* the next test would run in the wrong one */
        close(apart_way_back[i]);
        apart_way_back[i] = -1;
    }
}

static inline int enter_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        apart_way_back[i] = open(apart_worlds[i].path, O_RDONLY | O_CLOEXEC);
    apart_refused = unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET) != 0;
    if (apart_refused) {
        for (size_t i = 0; i < 3; i++) {
            close(apart_way_back[i]);
            apart_way_back[i] = -1;
        }
        return 0;
    }
    apart_refused = mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
                    mount("tmpfs", "/dev/shm", "tmpfs", 0, "mode=1777") != 0;
    if (apart_refused)
        leave_worlds();
    return 0;
}

/** Counts what a listing shows. */
static inline bool count_thing(const pnx_thing_info *info, void *context)
{
    (void)info;
    ++*(unsigned *)context;
    return true;
}

static inline unsigned count_of(const char *kind)
{
    unsigned count = 0;
    pnx_error err = {0};
    assert_ok(pnx_thing_kind_named(kind)->list(count_thing, &count, &err), &err);
    return count;
}

static inline int leave_apart(void **state)
{
    (void)state;
    if (apart_refused) {
        apart_refused = false;
        return 0;
    }
    unsigned left = 0;
    for (const pnx_thing_kind *const *kind = pnx_thing_kinds(); *kind; kind++) {
        unsigned count = 0;
        if ((*kind)->order != PNX_ORDER_IPC && (*kind)->code != 4 && (*kind)->code != 5)
            continue;
        if ((*kind)->list(count_thing, &count, NULL) == PNX_OK && count) {
            fprintf(stderr, "# %u of the sort %s are left behind\n", count, (*kind)->name);
            left += count;
        }
    }
    leave_worlds();
    return left != 0;
}

/** First in each test that runs apart. */
#define expect_apart()                                                                             \
    do {                                                                                           \
        if (apart_refused)                                                                         \
            skip();                                                                                \
    } while (0)

#endif
