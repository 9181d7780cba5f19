/* SPDX-License-Identifier: MIT */
#include "probe/probe.h"

#include "kind/sys.h"

#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>

static const char *name_of(const struct statfs *about)
{
    switch ((unsigned long)about->f_type) {
    case EXT4_SUPER_MAGIC:
        return "ext4";
    case TMPFS_MAGIC:
        return "tmpfs";
    case OVERLAYFS_SUPER_MAGIC:
        return "overlay";
    case BTRFS_SUPER_MAGIC:
        return "btrfs";
    case XFS_SUPER_MAGIC:
        return "xfs";
    case NFS_SUPER_MAGIC:
        return "nfs";
    case 0x2fc12fc1:
        return "zfs";
    default:
        return "another file system";
    }
}

/* The directory, or the nearest above it that is there: where it would be made. */
static void nearest(const char *path, char *ret, size_t size)
{
    snprintf(ret, size, "%s", path);
    while (access(ret, F_OK) != 0 && strlen(ret) > 1) {
        char *slash = strrchr(ret, '/');
        if (!slash)
            break;
        slash[slash == ret] = '\0';
    }
}

static void judge(pnx_capability *capability, const char *path, const char *variable)
{
    char there[PATH_MAX];
    struct statfs about;
    nearest(path, there, sizeof there);
    if (statfs(there, &about) != 0 || access(there, W_OK | X_OK) != 0) {
        pnx__probe_no(capability, "%.140s: %m", there);
        pnx__probe_change(capability, "make it writable, or set %s to a directory that is",
                          variable);
        return;
    }
    double free = (double)about.f_bavail * (double)about.f_bsize / (1 << 30);
    unsigned long long inodes = (unsigned long long)about.f_ffree;
    pnx__probe_yes(capability, "%.140s: %s, %.1f GiB and %llu files free%s", path, name_of(&about),
                   free, inodes, strcmp(path, there) == 0 ? "" : "; will be made");
    if (about.f_bavail != 0 && (inodes != 0 || about.f_files == 0))
        return;
    capability->ok = false;
    pnx__probe_change(capability, "make room, or set %s to another file system", variable);
}

/* As runs choose it. */
static bool choose_state(const char *given, char *path, size_t size)
{
    const char *chosen = given ? given : getenv("CLEANROOM_STATE_DIR");
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (chosen && *chosen)
        snprintf(path, size, "%s", chosen);
    else if (geteuid() == 0)
        snprintf(path, size, "/var/lib/cleanroom");
    else if (state && *state == '/')
        snprintf(path, size, "%s/cleanroom", state);
    else if (home && *home == '/')
        snprintf(path, size, "%s/.local/state/cleanroom", home);
    else
        return false;
    return true;
}

void pnx__probe_places(struct pnx__probe *probe)
{
    char path[PATH_MAX];
    pnx_capability *capability =
        pnx__probe_add(probe, "state-dir", "what a run had is known after a crash");
    if (choose_state(probe->state_dir, path, sizeof path))
        judge(capability, path, "CLEANROOM_STATE_DIR");
    else
        pnx__probe_no(capability, "neither CLEANROOM_STATE_DIR nor HOME is set");

    const char *tmp = probe->tmp_dir ? probe->tmp_dir : getenv("TMPDIR");
    capability = pnx__probe_add(probe, "tmp-dir", "where a command's private TMPDIR goes");
    judge(capability, tmp && *tmp == '/' ? tmp : "/tmp", "TMPDIR");

    capability = pnx__probe_add(probe, "openat2", "nothing outside is ever removed");
    int fd = pnx__openat2(AT_FDCWD, "/", O_PATH | O_CLOEXEC, RESOLVE_NO_SYMLINKS);
    if (fd >= 0)
        pnx__probe_yes(capability, "openat2(2)");
    else
        pnx__probe_no(capability, "openat2(2): %m");
    pnx__close(fd);
}
