/* SPDX-License-Identifier: MIT */
#include <cleanroom/mqueue.h>

#include "kind/mqueue.h"

#include "kind/inode.h"
#include "kind/sys.h"
#include "kind/thing.h"

#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#define QUEUE_DIR "/dev/mqueue"
#ifndef MQUEUE_MAGIC
#define MQUEUE_MAGIC 0x19800202
#endif

static bool is_name(const char *name, pnx_error *err)
{
    bool fits = name[0] == '/' && name[1] && !strchr(name + 1, '/') &&
                strlen(name + 1) <= NAME_MAX && strcmp(name, "/.") != 0 && strcmp(name, "/..") != 0;
    if (!fits)
        pnx_fail(err, PNX_EINVAL,
                 "'%s' is not a name for an mqueue: it has the form '/name', without another slash",
                 name);
    return fits;
}

/* ---- the file system of the queues ----------------------------------------------------------- */

/* Of our own IPC namespace, mounted nowhere: nobody sees it, and it goes with the descriptor. */
int pnx__mqueue_open_dir(void)
{
    int context = fsopen("mqueue", FSOPEN_CLOEXEC);
    if (context < 0)
        return -1;
    int mount = -1, dir = -1;
    if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
        mount = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSUID);
    if (mount >= 0) /* what fsmount(2) gives is like O_PATH: it cannot be read */
        dir = openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    pnx__close(mount);
    pnx__close(context);
    return dir;
}

static int open_mounted(void)
{
    struct statfs about;
    int dir = open(QUEUE_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -1;
    if (fstatfs(dir, &about) == 0 && about.f_type == MQUEUE_MAGIC)
        return dir;
    pnx__close(dir);
    errno = ENODEV;
    return -1;
}

/* `ret_sure`: it is that of our own IPC namespace, whatever is mounted where. */
static int open_queues(bool *ret_sure, pnx_error *err)
{
    int dir = pnx__mqueue_open_dir();
    *ret_sure = dir >= 0;
    if (dir < 0)
        dir = open_mounted();
    if (dir < 0)
        pnx_fail(err, PNX_EUNSUPPORTED,
                 "message queues cannot be listed without the privilege to mount: no mqueue file "
                 "system at %s: %m",
                 QUEUE_DIR);
    return dir;
}

/* ---- find ------------------------------------------------------------------------------------ */

/* Whichever way we may open it: a descriptor tells the identity. EACCES: neither. */
static mqd_t open_somehow(const char *name)
{
    mqd_t queue = mq_open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (queue < 0 && errno == EACCES)
        queue = mq_open(name, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    return queue;
}

static void close_queue(mqd_t queue)
{
    if (queue < 0)
        return;
    int saved = errno;
    mq_close(queue);
    errno = saved;
}

/* Is this directory, which was found mounted somewhere, that of our own IPC namespace? What is in
 * it tells: the same name leads to the same queue. Whom we may not open tells nothing. */
static bool is_of_our_namespace(int dir, const char *file, bool *ret_sure)
{
    char name[NAME_MAX + 2];
    struct pnx__inode here, there;
    snprintf(name, sizeof name, "/%s", file);
    mqd_t queue = open_somehow(name);
    if (queue < 0)
        return errno != ENOENT || !pnx__inode_at(dir, file, &here);
    bool same = pnx__inode_at(queue, "", &there) && pnx__inode_at(dir, "", &here) &&
                here.device == there.device;
    close_queue(queue);
    *ret_sure = same;
    return same;
}

/* EACCES: its mode is not for us. The directory shows it all the same, if we can have that. */
static pnx_status look_in_directory(const char *name, struct pnx__inode *ret, pnx_error *err)
{
    bool sure;
    int dir = open_queues(&sure, NULL);
    if (dir < 0) {
        errno = EACCES;
        return pnx_fail(err, PNX_EFAILED,
                        "cannot look at the mqueue '%s': %m, and no mqueue file system at %s", name,
                        QUEUE_DIR);
    }
    pnx_status status = PNX_OK;
    if (!pnx__inode_at(dir, name + 1, ret))
        status = pnx_fail(err, errno == ENOENT && sure ? PNX_ENOTFOUND : PNX_EFAILED,
                          "cannot look at the mqueue '%s': %m", name);
    pnx__close(dir);
    return status;
}

/* `*ret_queue`: held open, its inode is that of no other one; -1: we may not open it. */
static pnx_status look(const char *name, mqd_t *ret_queue, struct pnx__inode *ret, pnx_error *err)
{
    if (!is_name(name, err))
        return PNX_EINVAL;
    *ret_queue = open_somehow(name);
    if (*ret_queue < 0 && errno == EACCES)
        return look_in_directory(name, ret, err);
    if (*ret_queue < 0) {
        pnx_status status = errno == ENOENT   ? PNX_ENOTFOUND
                            : errno == ENOSYS ? PNX_EUNSUPPORTED
                                              : PNX_EFAILED;
        return pnx_fail(err, status, "cannot look at the mqueue '%s': %m", name);
    }
    if (pnx__inode_at(*ret_queue, "", ret))
        return PNX_OK;
    pnx_fail(err, PNX_EFAILED, "cannot look at the mqueue '%s': %m", name);
    close_queue(*ret_queue);
    return PNX_EFAILED;
}

static pnx_status find_mqueue(const char *name, char *ret_identity, size_t size, pnx_error *err)
{
    mqd_t queue;
    struct pnx__inode inode;
    pnx_status status = look(name, &queue, &inode, err);
    if (status != PNX_OK)
        return status;
    close_queue(queue);
    char identity[PNX__INODE_IDENTITY_MAX];
    pnx__inode_identity(&inode, identity);
    if (snprintf(ret_identity, size, "%s", identity) >= (int)size)
        return pnx_fail(err, PNX_EINVAL, "no room for the identity of the mqueue '%s'", name);
    return PNX_OK;
}

/* ---- remove ---------------------------------------------------------------------------------- */

static pnx_status remove_mqueue(const char *name, const char *identity, pnx_time deadline,
                                pnx_error *err)
{
    mqd_t queue;
    struct pnx__inode inode;
    pnx_status status = look(name, &queue, &inode, err);
    if (status != PNX_OK)
        return status == PNX_ENOTFOUND ? PNX_EALREADY : status;
    char found[PNX__INODE_IDENTITY_MAX];
    pnx__inode_identity(&inode, found);
    if (strcmp(found, identity) != 0)
        status = PNX_EALREADY;
    else if (mq_unlink(name) != 0) /* the window ends here */
        status = errno == ENOENT
                     ? PNX_EALREADY
                     : pnx_fail(err, PNX_EFAILED, "cannot remove the mqueue '%s': %m", name);
    close_queue(queue);
    return status;
}

/* ---- list ------------------------------------------------------------------------------------ */

struct listing {
    int dir;
    bool sure, foreign;
    pnx_thing_visit_fn visit;
    void *context;
};

static bool visit_queue(const char *file, void *context)
{
    struct listing *listing = context;
    struct pnx__inode inode;
    if (!listing->sure && !is_of_our_namespace(listing->dir, file, &listing->sure)) {
        listing->foreign = true;
        return false;
    }
    if (!pnx__inode_at(listing->dir, file, &inode))
        return true; /* gone meanwhile */
    char name[NAME_MAX + 2], identity[PNX__INODE_IDENTITY_MAX];
    snprintf(name, sizeof name, "/%s", file);
    pnx__inode_identity(&inode, identity);
    /* How full it is stands in the file; but reading that changes its times. */
    pnx_thing_info info = {.name = name, .identity = identity, .owner = inode.owner};
    return listing->visit(&info, listing->context);
}

static pnx_status list_mqueues(pnx_thing_visit_fn visit, void *context, pnx_error *err)
{
    struct listing listing = {.visit = visit, .context = context};
    listing.dir = open_queues(&listing.sure, err);
    if (listing.dir < 0)
        return PNX_EUNSUPPORTED;
    pnx_status status = PNX_OK;
    if (!pnx__each_entry(listing.dir, visit_queue, &listing))
        status = pnx_fail(err, PNX_EFAILED, "cannot list the message queues: %m");
    else if (listing.foreign)
        status = pnx_fail(err, PNX_EUNSUPPORTED,
                          "message queues cannot be listed: what is mounted at %s belongs to "
                          "another IPC namespace",
                          QUEUE_DIR);
    pnx__close(listing.dir);
    return status;
}

/* ---- make ------------------------------------------------------------------------------------ */

static pnx_status not_made(const char *name, pnx_error *err)
{
    switch (errno) {
    case EINVAL:
        return pnx_fail(err, PNX_EINVAL,
                        "cannot create the mqueue '%s': %m; see /proc/sys/fs/mqueue for the limits",
                        name);
    case EMFILE:
    case ENOSPC:
        return pnx_fail(err, PNX_ELIMIT,
                        "cannot create the mqueue '%s': %m; see 'ulimit -q' and "
                        "/proc/sys/fs/mqueue for the limits",
                        name);
    case ENOMEM:
        return pnx_fail(err, PNX_ENOMEM, "no memory for the mqueue '%s'", name);
    case ENOSYS:
        return pnx_fail(err, PNX_EUNSUPPORTED, "this system has no message queues: %m");
    default:
        return pnx_fail(err, PNX_EFAILED, "cannot create the mqueue '%s': %m", name);
    }
}

/* Asked before the intent is written: a name that is taken never gets into a ledger as ours. */
static bool is_free(const char *name)
{
    mqd_t queue = mq_open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (queue < 0 && errno == ENOENT)
        return true;
    if (queue >= 0 || errno == EACCES) {
        close_queue(queue);
        errno = EEXIST;
    }
    return false;
}

static mqd_t make(const char *name, long messages, long message_size)
{
    struct mq_attr sizes = {.mq_maxmsg = messages, .mq_msgsize = message_size};
    bool any = messages != 0 || message_size != 0;
    mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, any ? &sizes : NULL);
    if (queue >= 0)
        (void)fchmod(queue, 0600); /* whatever the umask is */
    return queue;
}

pnx_status pnx_mqueue_create(const char *name, long messages, long message_size,
                             const pnx_keeper *keeper, pnx_thing **ret, mqd_t *ret_queue,
                             pnx_error *err)
{
    if (!is_name(name, err))
        return PNX_EINVAL;
    if (!is_free(name))
        return not_made(name, err);
    pnx_thing *thing;
    pnx_status status = pnx_thing_intend(&pnx__thing_mqueue, name, keeper, &thing, err);
    if (status != PNX_OK)
        return status;
    mqd_t queue = make(name, messages, message_size);
    if (queue < 0) {
        status = not_made(name, err);
        pnx_thing_unmade(thing);
        return status;
    }
    status = pnx_thing_made(thing, err);
    if (status != PNX_OK || !ret_queue)
        close_queue(queue);
    else
        *ret_queue = queue;
    if (status == PNX_OK)
        *ret = thing;
    return status;
}

const pnx_thing_kind pnx__thing_mqueue = {
    .name = "mqueue",
    .kind = &pnx_kind_mqueue,
    .code = PNX__CODE_MQUEUE,
    .order = PNX_ORDER_IPC,
    .find = find_mqueue,
    .remove = remove_mqueue,
    .list = list_mqueues,
};

const pnx_kind pnx_kind_mqueue = {PNX__THING_GUARD("mqueue"), .retries = 2,
                                  .retry_delay = PNX_MS(10)};
