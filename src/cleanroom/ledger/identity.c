/* SPDX-License-Identifier: MIT */
#include "ledger/identity.h"

#include "kind/procfs.h"
#include "kind/sys.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* As "any directory" of open_by_handle_at(2): pidfs itself. Linux 6.17. */
#ifndef FD_PIDFS_ROOT
#define FD_PIDFS_ROOT (-10002)
#endif
/* The type of the handles of pidfs. */
#define FILEID_KERNFS 0xfe
/* The inode of the pid namespace that all others lie in. */
#define INITIAL_NAMESPACE 0xEFFFFFFCu

struct pidfs_handle {
    unsigned size;
    int type;
    uint64_t number;
};
_Static_assert(sizeof(struct pidfs_handle) == 16, "a struct file_handle with 8 bytes");

/* ---- what the kernel says -------------------------------------------------------------------- */

pnx_status pnx__boot_id(pnx_id *ret, pnx_error *err)
{
    const char *path = "/proc/sys/kernel/random/boot_id";
    char text[64];
    if (pnx__read_file(path, text, sizeof text) < 0)
        return pnx_fail(err, PNX_EFAILED, "cannot read %s: %m; is /proc mounted?", path);
    text[strcspn(text, "\n")] = '\0';
    return pnx_id_parse(text, ret, err);
}

static pnx_status current_namespace(uint64_t *ret, pnx_error *err)
{
    struct stat about;
    if (stat("/proc/self/ns/pid", &about) != 0)
        return pnx_fail(err, PNX_EFAILED, "cannot stat /proc/self/ns/pid: %m; is /proc mounted?");
    *ret = about.st_ino;
    return PNX_OK;
}

/* 0: this kernel has none. */
static uint64_t handle_of(int pidfd)
{
    struct pidfs_handle handle = {.size = sizeof handle.number};
    int mount;
    if (name_to_handle_at(pidfd, "", (struct file_handle *)(void *)&handle, &mount,
                          AT_EMPTY_PATH) != 0)
        return 0;
    return handle.size == sizeof handle.number && handle.type == FILEID_KERNFS ? handle.number : 0;
}

static int open_handle(uint64_t number)
{
    struct pidfs_handle handle = {sizeof number, FILEID_KERNFS, number};
    return open_by_handle_at(FD_PIDFS_ROOT, (struct file_handle *)(void *)&handle, O_CLOEXEC);
}

/* A pidfd is readable as soon as its last thread has ended; the state in /proc says Z already when
 * only the first one has. */
static bool is_dead(int pidfd)
{
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    return poll(&ended, 1, 0) > 0;
}

/* Of a pidfd; 0: dead, or not to be seen from this pid namespace. */
static pid_t pid_of(int pidfd)
{
    char path[48], text[512];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    if (pnx__read_file(path, text, sizeof text) < 0)
        return -1;
    const char *line = strstr(text, "\nPid:");
    if (!line)
        return -1;
    long pid = strtol(line + strlen("\nPid:"), NULL, 10);
    return pid > 0 ? (pid_t)pid : 0;
}

/* ---- writing it down ------------------------------------------------------------------------- */

static pnx_status dead(pid_t pid, pnx_error *err)
{
    return pnx_fail(err, PNX_EALREADY, "process %d is dead", (int)pid);
}

/* The descriptor is opened before /proc is read and alive after: both are of one process. */
static pnx_status fill(pid_t pid, int pidfd, struct pnx__identity *ret, pnx_error *err)
{
    struct pnx__identity identity = {.pid = pid, .handle = handle_of(pidfd)};
    struct pnx__proc_stat stat;
    bool known = pnx__proc_stat(pid, &stat);
    if (is_dead(pidfd))
        return dead(pid, err);
    if (!known)
        return pnx_fail(err, PNX_EFAILED, "cannot read /proc/%d/stat: %m", (int)pid);
    identity.start = stat.start_time;
    pnx_status status = current_namespace(&identity.namespace, err);
    if (status == PNX_OK)
        status = pnx__boot_id(&identity.boot, err);
    if (status == PNX_OK)
        *ret = identity;
    return status;
}

/* What has the pid may be a thread of some process: none that we wrote down. */
static bool means_dead(int error)
{
    return error == ESRCH || error == EINVAL || error == ENOENT;
}

pnx_status pnx__identity_of_pid(pid_t pid, struct pnx__identity *ret, pnx_error *err)
{
    if (pid <= 0)
        return pnx_fail(err, PNX_EINVAL, "%d is no pid", (int)pid);
    int pidfd = pnx__pidfd_open(pid);
    if (pidfd < 0 && means_dead(errno))
        return dead(pid, err);
    if (pidfd < 0)
        return pnx_fail(err, PNX_EFAILED, "cannot open process %d: %m", (int)pid);
    pnx_status status = fill(pid, pidfd, ret, err);
    pnx__close(pidfd);
    return status;
}

pnx_status pnx__identity_of_pidfd(int pidfd, struct pnx__identity *ret, pnx_error *err)
{
    pid_t pid = pid_of(pidfd);
    if (pid < 0)
        return pnx_fail(err, PNX_EINVAL, "descriptor %d is no pidfd", pidfd);
    if (pid == 0 && !is_dead(pidfd))
        return pnx_fail(err, PNX_EUNSUPPORTED,
                        "the process of pidfd %d is not in this pid namespace", pidfd);
    if (pid == 0)
        return pnx_fail(err, PNX_EALREADY, "the process of pidfd %d is dead", pidfd);
    return fill(pid, pidfd, ret, err);
}

pnx_status pnx__identity_self(struct pnx__identity *ret, pnx_error *err)
{
    return pnx__identity_of_pid(getpid(), ret, err);
}

/* ---- text ------------------------------------------------------------------------------------ */

char *pnx__identity_format(const struct pnx__identity *identity,
                           char buffer[PNX__IDENTITY_TEXT_SIZE])
{
    char boot[PNX_ID_TEXT_SIZE];
    snprintf(buffer, PNX__IDENTITY_TEXT_SIZE, "%d:%" PRIu64 ":%" PRIu64 ":%" PRIu64 ":%s",
             (int)identity->pid, identity->start, identity->handle, identity->namespace,
             pnx_id_format(identity->boot, boot));
    return buffer;
}

/* Digits and a colon; moves `*at` behind it. */
static bool parse_number(const char **at, uint64_t *ret)
{
    if (**at < '0' || **at > '9')
        return false;
    char *end;
    errno = 0;
    unsigned long long number = strtoull(*at, &end, 10);
    if (errno || *end != ':')
        return false;
    *at = end + 1;
    *ret = number;
    return true;
}

pnx_status pnx__identity_parse(const char *text, struct pnx__identity *ret, pnx_error *err)
{
    struct pnx__identity identity;
    uint64_t pid = 0;
    const char *at = text;
    int saved = errno;
    bool good = parse_number(&at, &pid) && pid > 0 && pid <= INT32_MAX &&
                parse_number(&at, &identity.start) && parse_number(&at, &identity.handle) &&
                parse_number(&at, &identity.namespace) &&
                pnx_id_parse(at, &identity.boot, NULL) == PNX_OK;
    errno = saved;
    if (!good)
        return pnx_fail(err, PNX_EINVAL,
                        "\"%.100s\" is no identity of a process (pid:start:handle:namespace:boot)",
                        text);
    identity.pid = (pid_t)pid;
    *ret = identity;
    return PNX_OK;
}

bool pnx__identity_equal(const struct pnx__identity *a, const struct pnx__identity *b)
{
    return a->pid == b->pid && a->start == b->start && a->handle == b->handle &&
           a->namespace == b->namespace && pnx_id_equal(a->boot, b->boot);
}

/* ---- finding it again ------------------------------------------------------------------------ */

static pnx_status out_of_sight(const struct pnx__identity *identity, pnx_error *err)
{
    return pnx_fail(err, PNX_EUNSUPPORTED,
                    "process %d is in another pid namespace (%" PRIu64
                    "): whether it lives cannot be seen from this one",
                    (int)identity->pid, identity->namespace);
}

/* Takes `pidfd`, which is the right process. */
static pnx_status give(const struct pnx__identity *identity, int pidfd, int *ret, pnx_error *err)
{
    if (is_dead(pidfd)) {
        pnx__close(pidfd);
        return dead(identity->pid, err);
    }
    *ret = pidfd;
    return PNX_OK;
}

/* Opened first, compared after: what is compared cannot become another process any more. */
static pnx_status find_by_start(const struct pnx__identity *identity, int *ret, pnx_error *err)
{
    int pidfd = pnx__pidfd_open(identity->pid);
    if (pidfd < 0 && means_dead(errno))
        return dead(identity->pid, err);
    if (pidfd < 0)
        return pnx_fail(err, PNX_EFAILED, "cannot open process %d: %m", (int)identity->pid);
    struct pnx__proc_stat stat;
    bool known = pnx__proc_stat(identity->pid, &stat);
    int cause = errno;
    if (!known && !is_dead(pidfd)) {
        pnx__close(pidfd);
        errno = cause;
        return pnx_fail(err, PNX_EFAILED, "cannot read /proc/%d/stat: %m", (int)identity->pid);
    }
    if (!known || stat.start_time != identity->start) {
        pnx__close(pidfd);
        return dead(identity->pid, err);
    }
    return give(identity, pidfd, ret, err);
}

pnx_status pnx__identity_pidfd(const struct pnx__identity *identity, int *ret_pidfd, pnx_error *err)
{
    pnx_id boot = PNX_ID_NONE;
    uint64_t here = 0;
    pnx_status status = pnx__boot_id(&boot, err);
    if (status == PNX_OK && !pnx_id_equal(boot, identity->boot))
        return pnx_fail(err, PNX_EALREADY, "process %d lived before this machine was started",
                        (int)identity->pid);
    if (status == PNX_OK)
        status = current_namespace(&here, err);
    if (status)
        return status;

    int pidfd = identity->handle ? open_handle(identity->handle) : -1;
    if (pidfd >= 0)
        return give(identity, pidfd, ret_pidfd, err);
    /* The kernel says the same of a dead process and of one that we may not see. */
    if (identity->handle && errno == ESTALE) {
        if (here == identity->namespace || here == INITIAL_NAMESPACE)
            return dead(identity->pid, err);
        return out_of_sight(identity, err);
    }
    if (identity->handle && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
        return pnx_fail(err, PNX_EFAILED, "cannot open process %d: %m", (int)identity->pid);
    /* No handle, or a filter forbids to open one. */
    if (here != identity->namespace)
        return out_of_sight(identity, err);
    return find_by_start(identity, ret_pidfd, err);
}
