/* SPDX-License-Identifier: MIT */
#include "kind/mount_table.h"

#include "kind/hash.h"
#include "kind/mount_sys.h"
#include "kind/procfs.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MOUNTINFO "/proc/self/mountinfo"

/* A mount point and a source of a page each, as they are. */
#define STATMOUNT_BUFFER 12288
/* A line of mountinfo: three such texts, each byte perhaps as four, and options. */
#define LINE_BUFFER 65536
#define IDS_AT_ONCE 256

#define BASICS (PNX__STATMOUNT_SB_BASIC | PNX__STATMOUNT_MNT_BASIC)

/* ---- which way ------------------------------------------------------------------------------- */

/* 0: not asked yet; 1: by unique numbers; 2: by mountinfo. Relaxed: it guards nothing but itself,
 * and whoever asks at the same time gets the same answer. */
static _Atomic int way;

static bool probe(void)
{
    struct pnx__statmount about;
    uint64_t first;
    return pnx__sys_listmount(0, &first, 1) >= 0 &&
           (pnx__sys_listmount(0, &first, 1) == 0 ||
            pnx__sys_statmount(first, BASICS, &about, sizeof about) == 0);
}

bool pnx__mounts_unique(void)
{
    int known = atomic_load_explicit(&way, memory_order_relaxed);
    if (!known) {
        known = probe() ? 1 : 2;
        atomic_store_explicit(&way, known, memory_order_relaxed);
    }
    return known == 1;
}

void pnx__mounts_set_unique(int answer)
{
    int known = answer < 0 ? 0 : answer ? 1 : 2;
    atomic_store_explicit(&way, known, memory_order_relaxed);
}

/* Texts of any length in an identity; nobody gains by a collision that takes such work. */
static uint64_t hash(uint64_t seed, const char *text)
{
    return pnx__hash_number(pnx__hash_text(seed, text), '\n');
}

void pnx__mount_identity(const struct pnx__mount *mount, char ret[PNX__MOUNT_IDENTITY_MAX])
{
    if (mount->unique) {
        snprintf(ret, PNX__MOUNT_IDENTITY_MAX, "u%llx", (unsigned long long)mount->unique);
        return;
    }
    uint64_t what = hash(hash(PNX__HASH_START, mount->type), mount->source);
    snprintf(ret, PNX__MOUNT_IDENTITY_MAX, "m%x.%x:%x.%llx", mount->id, mount->major, mount->minor,
             (unsigned long long)what);
}

/* ---- by unique numbers ----------------------------------------------------------------------- */

static bool visit_unique(uint64_t unique, pnx__mount_visit_fn visit, void *context)
{
    union {
        struct pnx__statmount about;
        char room[STATMOUNT_BUFFER];
    } is;
    uint64_t wanted = BASICS | PNX__STATMOUNT_MNT_POINT | PNX__STATMOUNT_FS_TYPE;
    if (pnx__sys_statmount(unique, wanted | PNX__STATMOUNT_SB_SOURCE, &is.about, sizeof is) != 0 &&
        (errno != EOVERFLOW || pnx__sys_statmount(unique, wanted, &is.about, sizeof is) != 0))
        return true; /* gone meanwhile, or its path is longer than any that could be unmounted */
    uint64_t told = is.about.mask;
    struct pnx__mount mount = {
        .unique = is.about.mnt_id,
        .unique_parent = is.about.mnt_parent_id,
        .id = is.about.mnt_id_old,
        .parent = is.about.mnt_parent_id_old,
        .major = is.about.sb_dev_major,
        .minor = is.about.sb_dev_minor,
        .point = told & PNX__STATMOUNT_MNT_POINT ? is.about.str + is.about.mnt_point : "",
        .type = told & PNX__STATMOUNT_FS_TYPE ? is.about.str + is.about.fs_type : "",
        .source = told & PNX__STATMOUNT_SB_SOURCE ? is.about.str + is.about.sb_source : "",
    };
    return visit(&mount, context);
}

static pnx_status each_unique(pnx__mount_visit_fn visit, void *context, pnx_error *err)
{
    uint64_t ids[IDS_AT_ONCE], after = 0;
    for (;;) {
        ssize_t got = pnx__sys_listmount(after, ids, IDS_AT_ONCE);
        if (got < 0)
            return pnx_fail(err, PNX_EFAILED, "cannot list the mounts: %m");
        for (ssize_t i = 0; i < got; i++)
            if (!visit_unique(ids[i], visit, context))
                return PNX_OK;
        if (got < IDS_AT_ONCE)
            return PNX_OK;
        after = ids[got - 1];
    }
}

pnx_status pnx__mount_is_there(uint64_t unique, pnx_error *err)
{
    struct pnx__statmount about;
    if (pnx__sys_statmount(unique, BASICS, &about, sizeof about) == 0)
        return PNX_OK;
    return pnx_fail(err, errno == ENOENT ? PNX_ENOTFOUND : PNX_EFAILED,
                    "cannot look at the mount u%llx: %m", (unsigned long long)unique);
}

bool pnx__mount_unique_of_fd(int fd, uint64_t *ret)
{
    struct statx about;
    /* DONT_SYNC: of a file system whose server hangs, what the kernel knows is enough. */
    if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
              PNX__STATX_MNT_ID_UNIQUE, &about) != 0 ||
        !(about.stx_mask & PNX__STATX_MNT_ID_UNIQUE))
        return false;
    *ret = about.stx_attributes & STATX_ATTR_MOUNT_ROOT ? about.stx_mnt_id : 0;
    return true;
}

/* ---- by mountinfo ---------------------------------------------------------------------------- */

/* It writes blanks and backslashes as three octal digits. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        bool escaped = from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
                       from[2] <= '7' && from[3] >= '0' && from[3] <= '7';
        *to =
            escaped ? (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0')) : *from;
        from += escaped ? 4 : 1;
    }
    *to = '\0';
}

/* The next field; a source can be empty, so that two blanks in a row are two. */
static char *next_field(char **rest)
{
    char *field = *rest;
    if (!field)
        return NULL;
    char *end = strchr(field, ' ');
    if (end)
        *end = '\0';
    *rest = end ? end + 1 : NULL;
    return field;
}

/* "36 35 98:0 ROOT POINT OPTIONS [shared:1 …] - TYPE SOURCE OPTIONS" */
static bool parse_line(char *line, struct pnx__mount *ret)
{
    char *rest = line;
    const char *id = next_field(&rest), *parent = next_field(&rest);
    char *device = next_field(&rest), *colon = device ? strchr(device, ':') : NULL;
    (void)next_field(&rest);
    char *point = next_field(&rest);
    const char *field = next_field(&rest);
    while (field && strcmp(field, "-") != 0)
        field = next_field(&rest);
    char *type = next_field(&rest), *source = next_field(&rest);
    if (!type || !colon)
        return false;
    unescape(point);
    unescape(type);
    if (source)
        unescape(source);
    *ret = (struct pnx__mount){
        .id = (uint32_t)strtoul(id, NULL, 10),
        .parent = (uint32_t)strtoul(parent, NULL, 10),
        .major = (uint32_t)strtoul(device, NULL, 10),
        .minor = (uint32_t)strtoul(colon + 1, NULL, 10),
        .point = point,
        .type = type,
        .source = source ? source : "",
    };
    return true;
}

/* Visits the lines that are complete; answers how many bytes these were, or -1: it is over. */
static ssize_t visit_lines(char *text, size_t length, pnx__mount_visit_fn visit, void *context)
{
    size_t at = 0;
    for (;;) {
        char *end = memchr(text + at, '\n', length - at);
        if (!end)
            return (ssize_t)at;
        *end = '\0';
        struct pnx__mount mount;
        if (parse_line(text + at, &mount) && !visit(&mount, context))
            return -1;
        at = (size_t)(end - text) + 1;
    }
}

static pnx_status each_in_mountinfo(pnx__mount_visit_fn visit, void *context, pnx_error *err)
{
    char text[LINE_BUFFER];
    size_t kept = 0;
    int fd = open(MOUNTINFO, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return pnx_fail(err, PNX_EUNSUPPORTED, "cannot read %s: %m", MOUNTINFO);
    ssize_t got;
    while ((got = read(fd, text + kept, sizeof text - kept)) > 0) {
        size_t filled = kept + (size_t)got;
        ssize_t done = visit_lines(text, filled, visit, context);
        if (done < 0)
            break;
        kept = filled - (size_t)done;
        if (kept == sizeof text) /* a line that cannot be: forget it */
            kept = 0;
        memmove(text, text + done, kept);
    }
    pnx_status status = PNX_OK;
    if (got < 0)
        status = pnx_fail(err, PNX_EFAILED, "cannot read %s: %m", MOUNTINFO);
    pnx__close(fd);
    return status;
}

pnx_status pnx__mounts_each(pnx__mount_visit_fn visit, void *context, pnx_error *err)
{
    return pnx__mounts_unique() ? each_unique(visit, context, err)
                                : each_in_mountinfo(visit, context, err);
}

pnx_status pnx__mount_id_of_fd(int fd, uint32_t *ret, pnx_error *err)
{
    char path[40], text[512];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    if (pnx__read_file(path, text, sizeof text) <= 0)
        return pnx_fail(err, PNX_EUNSUPPORTED, "cannot read %s: %m", path);
    const char *line = strstr(text, "mnt_id:");
    if (!line)
        return pnx_fail(err, PNX_EUNSUPPORTED, "%s tells no mount", path);
    *ret = (uint32_t)strtoul(line + strlen("mnt_id:"), NULL, 10);
    return PNX_OK;
}

/* ---- changes --------------------------------------------------------------------------------- */

int pnx__mounts_watch(void)
{
    return open(MOUNTINFO, O_RDONLY | O_CLOEXEC);
}

bool pnx__mounts_changed(int watch)
{
    /* The kernel keeps the count of changes that this descriptor was told of last. */
    struct pollfd fd = {.fd = watch, .events = POLLPRI};
    return watch < 0 || poll(&fd, 1, 0) != 0;
}
