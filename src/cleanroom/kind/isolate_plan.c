/* SPDX-License-Identifier: MIT */
/* What can be known of an isolation before there is a child. */
#include "kind/isolate.h"

#include "kind/sys.h"

#include <inttypes.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- names ----------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    unsigned flag;
} forms[] = {
    {"tmp", PNX_ISOLATE_TMP},     {"ipc", PNX_ISOLATE_IPC}, {"pid", PNX_ISOLATE_PID},
    {"mount", PNX_ISOLATE_MOUNT}, {"net", PNX_ISOLATE_NET}, {"all", PNX_ISOLATE_ALL},
};

static unsigned flag_of(const char *word, size_t length)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strlen(forms[i].name) == length && strncmp(forms[i].name, word, length) == 0)
            return forms[i].flag;
    return 0;
}

pnx_status pnx_isolate_parse(const char *text, unsigned *ret, pnx_error *err)
{
    unsigned isolate = 0;
    for (const char *word = text;; word++) {
        size_t length = strcspn(word, ",");
        unsigned flag = flag_of(word, length);
        if (flag == 0)
            return pnx_fail(err, PNX_EINVAL,
                            "'%.*s' cannot be isolated: tmp, ipc, pid, mount, net, or all",
                            (int)length, word);
        isolate |= flag;
        word += length;
        if (!*word)
            break;
    }
    *ret = isolate;
    return PNX_OK;
}

size_t pnx_isolate_format(unsigned isolate, char *buffer, size_t size)
{
    char text[64] = "";
    size_t length = 0;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (forms[i].flag != PNX_ISOLATE_ALL && (isolate & forms[i].flag))
            length += (size_t)snprintf(text + length, sizeof text - length, "%s%s",
                                       length ? "," : "", forms[i].name);
    return (size_t)snprintf(buffer, size, "%s", text);
}

/* ---- the private /tmp ------------------------------------------------------------------------ */

static bool same_file(const char *a, const char *b)
{
    struct stat one, other;
    return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

static bool is_directory(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

/* What follows "DIR/" in the path; NULL: it is not beneath it. */
static const char *beneath(const char *path, const char *dir)
{
    size_t length = strlen(dir);
    return strncmp(path, dir, length) == 0 && path[length] == '/' && path[length + 1]
               ? path + length + 1
               : NULL;
}

/* One that names no directory twice, and none by its parent. */
static bool is_plain(const char *path)
{
    for (const char *at = path; (at = strchr(at, '/')); at++) {
        size_t length = strcspn(at + 1, "/");
        if (length == 0 || (at[1] == '.' && (length == 1 || (at[2] == '.' && length == 2))))
            return false;
    }
    return true;
}

/* `path` is covered by a private directory of ours: there, it has to be the way to that. */
static void alias(const char *path, bool has_var_tmp, struct pnx__isolate_alias *ret)
{
    const char *rest = beneath(path, "/tmp"), *name = "tmp";
    ret->path[0] = ret->target[0] = '\0';
    if (!rest && (rest = beneath(path, "/var/tmp")))
        name = has_var_tmp ? "var-tmp" : "tmp";
    if (!rest || !is_plain(path) ||
        snprintf(ret->path, sizeof ret->path, "%s/%s", name, rest) >= (int)sizeof ret->path) {
        ret->path[0] = '\0';
        return;
    }
    size_t length = 0;
    for (; (rest = strchr(rest, '/')) && length + 4 < sizeof ret->target; rest++)
        length = (size_t)(stpcpy(ret->target + length, length ? "/.." : "..") - ret->target);
    if (length == 0)
        memcpy(ret->target, ".", sizeof ".");
}

/* PARENT/NAME with the links in PARENT resolved: NAME itself may be gone, or renamed, by now. */
static bool resolve(const char *path, char *ret)
{
    const char *slash = strrchr(path, '/');
    if (!slash || !slash[1])
        return false;
    char *parent = strndup(path, slash == path ? 1 : (size_t)(slash - path));
    char *real = parent ? realpath(parent, NULL) : NULL;
    bool fits = real && snprintf(ret, PATH_MAX, "%s%s", strcmp(real, "/") == 0 ? "" : real, slash) <
                            PATH_MAX;
    free(real);
    free(parent);
    return fits;
}

/* By the name that it was given, and by its true one: links on the way may be covered, too. */
static void find_aliases(const char *tmpdir, bool has_var_tmp, struct pnx__isolate_alias *ret)
{
    char real[PATH_MAX];
    alias(tmpdir, has_var_tmp, &ret[0]);
    ret[1].path[0] = '\0';
    if (resolve(tmpdir, real) && strcmp(real, tmpdir) != 0)
        alias(real, has_var_tmp, &ret[1]);
}

static bool has_private_var_tmp(void)
{
    return is_directory("/var/tmp") && !same_file("/tmp", "/var/tmp");
}

bool pnx_isolate_made(const char *tmpdir, const char *path)
{
    if (strcmp(path, "tmp") == 0 || strcmp(path, "var-tmp") == 0)
        return true;
    struct pnx__isolate_alias aliases[2];
    find_aliases(tmpdir, has_private_var_tmp(), aliases);
    size_t length = strlen(path);
    for (int i = 0; i < 2; i++)
        if (length > strlen("tmp") && strncmp(aliases[i].path, path, length) == 0 &&
            (aliases[i].path[length] == '/' || aliases[i].path[length] == '\0'))
            return true;
    return false;
}

bool pnx__isolate_hides(const char *path)
{
    return beneath(path, "/tmp") || beneath(path, "/var/tmp");
}

/* ---- the plan -------------------------------------------------------------------------------- */

bool pnx__has_capability(unsigned capability)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    if (syscall(SYS_capget, &header, data) != 0)
        return false;
    return data[capability / 32].effective & (1u << capability % 32);
}

static pnx_status check_tmpdir(const char *tmpdir, const char *what, pnx_error *err)
{
    if (!tmpdir || *tmpdir != '/')
        return pnx_fail(err, PNX_EINVAL, "%s needs an absolute path of a private directory", what);
    if (strlen(tmpdir) + sizeof "/var-tmp" > PATH_MAX)
        return pnx_fail(err, PNX_EINVAL, "the path of the private directory is too long");
    struct stat about;
    if (stat(tmpdir, &about) != 0)
        return pnx_fail(err, PNX_EFAILED, "cannot use the private directory %s: %m", tmpdir);
    if (!S_ISDIR(about.st_mode))
        return pnx_fail(err, PNX_EINVAL, "%s is no directory", tmpdir);
    return PNX_OK;
}

static pnx_status plan_disk(uint64_t disk, struct pnx__isolation *ret, pnx_error *err)
{
    pnx_status status = check_tmpdir(ret->tmpdir, "a limit of disk", err);
    if (status != PNX_OK || disk == 0)
        return status;
    if (ret->user && !(ret->isolate & ~(unsigned)PNX_ISOLATE_NET))
        return pnx_fail(
            err, PNX_ELIMIT,
            "disk cannot be limited without privileges unless the command has mounts of "
            "its own: add --isolate mount, or run as root");
    struct stat about = {0};
    (void)stat(ret->tmpdir, &about);
    snprintf(ret->disk, sizeof ret->disk, "size=%" PRIu64 ",mode=%o", disk,
             (unsigned)about.st_mode & 07777);
    return PNX_OK;
}

static pnx_status fill_in(struct pnx__isolation *ret, uint64_t disk, pnx_error *err)
{
    pnx_status status = PNX_OK;
    ret->user = !pnx__has_capability(CAP_SYS_ADMIN);
    ret->mounts = disk || (ret->isolate & ~(unsigned)PNX_ISOLATE_NET);
    ret->has_shm = is_directory("/dev/shm");
    ret->has_mqueue = is_directory("/dev/mqueue");
    ret->has_var_tmp = has_private_var_tmp();
    snprintf(ret->uid_map, sizeof ret->uid_map, "%u %u 1", geteuid(), geteuid());
    snprintf(ret->gid_map, sizeof ret->gid_map, "%u %u 1", getegid(), getegid());
    if (disk && (status = plan_disk(disk, ret, err)))
        return status;
    if (ret->isolate & PNX_ISOLATE_TMP) {
        if ((status = check_tmpdir(ret->tmpdir, "a private /tmp", err)))
            return status;
        find_aliases(ret->tmpdir, ret->has_var_tmp, ret->aliases);
    }
    if (!(ret->isolate & PNX_ISOLATE_PID))
        return PNX_OK;
    ret->supervisor = pnx__pidfd_open(getpid());
    if (ret->supervisor < 0)
        return pnx_fail(err, PNX_ELIMIT,
                        "no pid namespace without pidfd_open(2): %m; does a "
                        "seccomp filter refuse it?");
    return PNX_OK;
}

pnx_status pnx__isolation_plan(const pnx_command *command, uint64_t disk,
                               struct pnx__isolation *ret, pnx_error *err)
{
    ret->isolate = command->isolate;
    ret->tmpdir = command->tmpdir;
    ret->supervisor = -1;
    ret->user = ret->mounts = false;
    ret->disk[0] = ret->aliases[0].path[0] = ret->aliases[1].path[0] = '\0';
    if (command->isolate & ~PNX_ISOLATE_ALL)
        return pnx_fail(err, PNX_EINVAL, "there is no isolation 0x%x",
                        command->isolate & ~PNX_ISOLATE_ALL);
    return command->isolate || disk ? fill_in(ret, disk, err) : PNX_OK;
}

void pnx__isolation_done(struct pnx__isolation *isolation)
{
    pnx__close(isolation->supervisor);
    isolation->supervisor = -1;
}
