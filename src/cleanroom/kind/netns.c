/* SPDX-License-Identifier: MIT */
#include <cleanroom/netns.h>

#include "kind/inode.h"
#include "kind/mount_sys.h"
#include "kind/procfs.h"
#include "kind/sys.h"
#include "kind/thing.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define DIR "/run/netns"
#define IDENTITY_MAX 128
#define PLACEHOLDER 'f' /* begins the identity of a file without a namespace on it */
#define USERS_TOLD 3

static bool is_name(const char *name)
{
    return name[0] && strlen(name) <= NAME_MAX && !strchr(name, '/') && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

static int open_dir(void)
{
    return open(DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* ---- which one it is ------------------------------------------------------------------------- */

static bool look_at(int dir, const char *name, int flags, struct statx *ret)
{
    return statx(dir, name, flags | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
                 STATX_BASIC_STATS | STATX_BTIME | PNX__STATX_MNT_ID_UNIQUE, ret) == 0;
}

/* All namespaces are files of one file system; a network namespace on a name is told from another
 * sort by what we would have to open: nobody else puts any here. */
static bool is_namespace(const struct statx *about)
{
    struct statx own;
    return statx(AT_FDCWD, "/proc/self/ns/net", 0, STATX_INO, &own) == 0 &&
           own.stx_dev_major == about->stx_dev_major && own.stx_dev_minor == about->stx_dev_minor;
}

/* False: neither a namespace nor the empty file that waits for one. */
static bool identify(const struct statx *about, char ret[IDENTITY_MAX])
{
    unsigned long long inode = about->stx_ino;
    if (is_namespace(about)) {
        /* Inodes of namespaces are given again; the time at which one came to be, and the mount,
         * are not. */
        int length = snprintf(ret, IDENTITY_MAX, "n%llu.%lld.%u", inode,
                              (long long)about->stx_ctime.tv_sec, about->stx_ctime.tv_nsec);
        if (about->stx_mask & PNX__STATX_MNT_ID_UNIQUE)
            snprintf(ret + length, IDENTITY_MAX - (size_t)length, ".u%llx",
                     (unsigned long long)about->stx_mnt_id);
        return true;
    }
    if (!S_ISREG(about->stx_mode) || about->stx_size != 0)
        return false;
    snprintf(ret, IDENTITY_MAX, "%c%x:%x:%llu.%lld.%u", PLACEHOLDER, about->stx_dev_major,
             about->stx_dev_minor, inode, (long long)about->stx_ctime.tv_sec,
             about->stx_ctime.tv_nsec);
    return true;
}

static pnx_status find_in(int dir, const char *name, char ret[IDENTITY_MAX], pnx_error *err)
{
    struct statx about;
    if (!look_at(dir, name, 0, &about))
        return pnx_fail(err, errno == ENOENT ? PNX_ENOTFOUND : PNX_EFAILED,
                        "cannot look at the network namespace '%s': %m", name);
    if (!identify(&about, ret))
        return pnx_fail(err, PNX_ENOTFOUND, "'%s' in %s is not a network namespace", name, DIR);
    return PNX_OK;
}

static pnx_status open_dir_for(const char *name, int *ret, pnx_error *err)
{
    if (!is_name(name))
        return pnx_fail(err, PNX_EINVAL, "'%s' is not the name of a network namespace", name);
    *ret = open_dir();
    if (*ret >= 0)
        return PNX_OK;
    return pnx_fail(err, errno == ENOENT ? PNX_ENOTFOUND : PNX_EFAILED, "cannot open %s: %m", DIR);
}

static pnx_status find_netns(const char *name, char *ret_identity, size_t size, pnx_error *err)
{
    char identity[IDENTITY_MAX];
    int dir = -1;
    pnx_status status = open_dir_for(name, &dir, err);
    if (status != PNX_OK)
        return status;
    status = find_in(dir, name, identity, err);
    pnx__close(dir);
    if (status == PNX_OK && snprintf(ret_identity, size, "%s", identity) >= (int)size)
        status = pnx_fail(err, PNX_EINVAL, "no room for the identity of '%s'", name);
    return status;
}

/*
 * A removal that was interrupted leaves the file on which the namespace was mounted. Nobody can
 * have made it since: where there is a file, `ip netns add` refuses the name.
 */
static pnx_status still_netns(const char *name, const char *identity, pnx_error *err)
{
    char found[PNX_THING_IDENTITY_MAX];
    pnx_status status = find_netns(name, found, sizeof found, err);
    if (status != PNX_OK)
        return status;
    return identity[0] != PLACEHOLDER && found[0] == PLACEHOLDER
               ? PNX_OK
               : pnx_fail(err, PNX_ENOTFOUND, "the network namespace '%s' is another one", name);
}

/* ---- listing --------------------------------------------------------------------------------- */

struct listing {
    int dir;
    pnx_thing_visit_fn visit;
    void *context;
};

static bool list_one(const char *name, void *context)
{
    const struct listing *listing = context;
    struct statx about;
    char identity[IDENTITY_MAX];
    if (!look_at(listing->dir, name, 0, &about) || !identify(&about, identity))
        return true;
    pnx_thing_info info = {
        .name = name,
        .identity = identity,
        .type = identity[0] == PLACEHOLDER ? "placeholder" : NULL,
        .owner = -1,
        .created = about.stx_ctime.tv_sec * PNX_S(1) + about.stx_ctime.tv_nsec,
    };
    return listing->visit(&info, listing->context);
}

static pnx_status list_netns(pnx_thing_visit_fn visit, void *context, pnx_error *err)
{
    struct listing listing = {open_dir(), visit, context};
    if (listing.dir < 0)
        return errno == ENOENT ? PNX_OK : pnx_fail(err, PNX_EFAILED, "cannot open %s: %m", DIR);
    pnx_status status = PNX_OK;
    if (!pnx__each_entry(listing.dir, list_one, &listing))
        status = pnx_fail(err, PNX_EFAILED, "cannot list %s: %m", DIR);
    pnx__close(listing.dir);
    return status;
}

/* ---- removing -------------------------------------------------------------------------------- */

struct users {
    char link[40], *buffer;
    size_t size, used;
    unsigned told;
};

static void visit_process(pid_t pid, void *context)
{
    struct users *users = context;
    char path[40], link[40];
    struct pnx__proc_stat about;
    snprintf(path, sizeof path, "/proc/%d/ns/net", (int)pid);
    ssize_t length = users->told < USERS_TOLD ? readlink(path, link, sizeof link - 1) : -1;
    if (length < 0)
        return;
    link[length] = '\0';
    if (strcmp(link, users->link) != 0 || !pnx__proc_stat(pid, &about))
        return;
    size_t left = users->size - users->used;
    int written = snprintf(users->buffer + users->used, left, "%s%s (pid %d)",
                           users->told ? ", " : "", about.name, (int)pid);
    users->used += (size_t)written < left ? (size_t)written : left - 1;
    users->told++;
}

/* A note, with PNX_OK: the name is gone, the namespace is not. */
static void tell_users(const char *identity, pnx_error *err)
{
    char buffer[PNX_ERROR_CAUSE_MAX] = "";
    struct users users = {.buffer = buffer, .size = sizeof buffer};
    snprintf(users.link, sizeof users.link, "net:[%llu]", strtoull(identity + 1, NULL, 10));
    pnx__proc_each(visit_process, &users);
    if (users.told)
        (void)pnx_fail(err, PNX_EBUSY, "its name is gone; it lives on with %s", buffer);
}

/* What was looked at is what is unmounted, unless somebody mounts over it at that very moment. */
static pnx_status unmount(int dir, const char *name, const char *identity, pnx_error *err)
{
    struct statx about;
    char found[IDENTITY_MAX] = "", self[40];
    int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT
                   ? PNX_EALREADY
                   : pnx_fail(err, PNX_EFAILED, "cannot open the network namespace '%s': %m", name);
    pnx_status status = PNX_OK;
    if (!look_at(fd, "", AT_EMPTY_PATH, &about) || !identify(&about, found)) {
        status = PNX_EALREADY;
    } else if (strcmp(found, identity) != 0) {
        status = found[0] == PLACEHOLDER && identity[0] != PLACEHOLDER ? PNX_OK : PNX_EALREADY;
    } else if (identity[0] != PLACEHOLDER) {
        snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
        if (umount2(self, MNT_DETACH) != 0)
            status =
                pnx_fail(err, PNX_EFAILED, "cannot unmount the network namespace '%s': %m", name);
    }
    pnx__close(fd);
    return status;
}

/* The file on which it was mounted: nothing else, and nothing that another one is mounted on. */
static pnx_status unlink_placeholder(int dir, const char *name, pnx_error *err)
{
    struct statx about;
    char found[IDENTITY_MAX];
    if (!look_at(dir, name, 0, &about) || !identify(&about, found) || found[0] != PLACEHOLDER)
        return PNX_OK;
    if (unlinkat(dir, name, 0) == 0 || errno == ENOENT || errno == EBUSY)
        return PNX_OK;
    return pnx_fail(err, PNX_EFAILED, "cannot remove %s/%s: %m", DIR, name);
}

static pnx_status remove_netns(const char *name, const char *identity, pnx_time deadline,
                               pnx_error *err)
{
    int dir = -1;
    pnx_status status = open_dir_for(name, &dir, err);
    if (status != PNX_OK)
        return status == PNX_ENOTFOUND ? PNX_EALREADY : status;
    status = unmount(dir, name, identity, err);
    if (status == PNX_OK)
        status = unlink_placeholder(dir, name, err);
    pnx__close(dir);
    if (status == PNX_OK && identity[0] != PLACEHOLDER)
        tell_users(identity, err);
    return status;
}

/* ---- making ---------------------------------------------------------------------------------- */

struct making {
    const char *path;
    int number; /* errno, or 0 */
};

/* On a thread of its own: a new namespace is the thread's, and goes with it unless mounted. */
static void *make_and_mount(void *context)
{
    struct making *making = context;
    bool made = unshare(CLONE_NEWNET) == 0 &&
                mount("/proc/thread-self/ns/net", making->path, NULL, MS_BIND, NULL) == 0;
    making->number = made ? 0 : errno;
    return NULL;
}

static int run_apart(struct making *making)
{
    pthread_t thread;
    sigset_t all, mask;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &mask); /* signals are not for it */
    int failed = pthread_create(&thread, NULL, make_and_mount, making);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    if (failed)
        return failed;
    pthread_join(thread, NULL);
    return making->number;
}

static pnx_status cannot_create(const char *name, int number, pnx_error *err)
{
    errno = number;
    return pnx_fail(err, PNX_EFAILED, "cannot create the network namespace '%s': %m%s", name,
                    number == EPERM ? "; it takes CAP_SYS_ADMIN" : "");
}

/* Exclusively made, so that a file which is there already is nobody else's. */
static pnx_status make_in(int dir, const char *name, pnx_error *err)
{
    char path[sizeof DIR + NAME_MAX + 1];
    snprintf(path, sizeof path, DIR "/%s", name);
    int fd = openat(dir, name, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
    if (fd < 0)
        return cannot_create(name, errno, err);
    pnx__close(fd);
    struct making making = {.path = path};
    int failed = run_apart(&making);
    if (!failed)
        return PNX_OK;
    unlinkat(dir, name, 0);
    return cannot_create(name, failed, err);
}

pnx_status pnx_netns_create(const char *name, const pnx_keeper *keeper, pnx_thing **ret,
                            pnx_error *err)
{
    if (!is_name(name))
        return pnx_fail(err, PNX_EINVAL, "'%s' is not a name for a network namespace", name);
    if (mkdir(DIR, 0755) != 0 && errno != EEXIST)
        return pnx_fail(err, PNX_EFAILED, "cannot create %s: %m", DIR);
    int dir = -1;
    pnx_status status = open_dir_for(name, &dir, err);
    if (status != PNX_OK)
        return status;
    struct statx about;
    pnx_thing *thing = NULL;
    /* Before the intent: a name that is taken never gets into a ledger as ours. */
    status = look_at(dir, name, 0, &about)
                 ? cannot_create(name, EEXIST, err)
                 : pnx_thing_intend(&pnx__thing_netns, name, keeper, &thing, err);
    if (status == PNX_OK) {
        status = make_in(dir, name, err);
        if (status != PNX_OK)
            pnx_thing_unmade(thing);
        else
            status = pnx_thing_made(thing, err);
    }
    pnx__close(dir);
    if (status == PNX_OK)
        *ret = thing;
    return status;
}

const pnx_thing_kind pnx__thing_netns = {
    .name = "netns",
    .kind = &pnx_kind_netns,
    .code = PNX__CODE_NETNS,
    .order = PNX_ORDER_NET,
    .find = find_netns,
    .remove = remove_netns,
    .list = list_netns,
    .still = still_netns,
};

const pnx_kind pnx_kind_netns = {PNX__THING_GUARD("netns"), .retries = 2,
                                 .retry_delay = PNX_MS(20)};
