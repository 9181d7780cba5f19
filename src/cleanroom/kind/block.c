/* SPDX-License-Identifier: MIT */
#include "kind/block.h"

#include "kind/inode.h"
#include "kind/mount_table.h"
#include "kind/sys.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SYS_BLOCK "/sys/block"

/* Only tests change it, before anything else runs. */
static const char *root_path = SYS_BLOCK;

const char *pnx__block_root(void)
{
    return root_path;
}

void pnx__block_set_root(const char *path)
{
    root_path = path ? path : SYS_BLOCK;
}

int pnx__block_open(void)
{
    return open(root_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

ssize_t pnx__block_read(int root, const char *device, const char *file, char *buffer, size_t size)
{
    char path[NAME_MAX + 64];
    if (snprintf(path, sizeof path, "%s/%s", device, file) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = openat(root, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t length = read(fd, buffer, size - 1);
    pnx__close(fd);
    if (length < 0)
        return -1;
    if (length > 0 && buffer[length - 1] == '\n')
        length--;
    buffer[length] = '\0';
    return length;
}

struct each {
    int root;
    const char *prefix;
    bool (*visit)(int root, const char *device, void *context);
    void *context;
};

static bool visit_entry(const char *name, void *context)
{
    const struct each *each = context;
    return strncmp(name, each->prefix, strlen(each->prefix)) != 0 ||
           each->visit(each->root, name, each->context);
}

pnx_status pnx__block_each(const char *prefix,
                           bool (*visit)(int root, const char *device, void *context),
                           void *context, pnx_error *err)
{
    struct each each = {pnx__block_open(), prefix, visit, context};
    if (each.root < 0)
        return pnx_fail(err, PNX_EUNSUPPORTED, "cannot open %s: %m", root_path);
    pnx_status status = PNX_OK;
    if (!pnx__each_entry(each.root, visit_entry, &each))
        status = pnx_fail(err, PNX_EFAILED, "cannot list %s: %m", root_path);
    pnx__close(each.root);
    return status;
}

/* ---- what uses one --------------------------------------------------------------------------- */

struct users {
    char *buffer;
    size_t size, used;
    unsigned major, minor;
};

static void add(struct users *users, const char *what, const char *name)
{
    size_t left = users->size - users->used;
    int length =
        snprintf(users->buffer + users->used, left, "%s%s%s", users->used ? ", " : "", what, name);
    users->used += (size_t)length < left ? (size_t)length : left - 1;
}

static bool add_holder(const char *name, void *context)
{
    add(context, "held by ", name);
    return true;
}

static bool add_mount(const struct pnx__mount *mount, void *context)
{
    struct users *users = context;
    if (mount->major == users->major && mount->minor == users->minor)
        add(users, "mounted on ", mount->point);
    return true;
}

void pnx__block_users(const char *device, char *buffer, size_t size)
{
    struct users users = {.buffer = buffer, .size = size};
    char text[64], path[NAME_MAX + 16], *end = text;
    buffer[0] = '\0';
    int root = pnx__block_open();
    if (root < 0)
        return;
    snprintf(path, sizeof path, "%s/holders", device);
    int holders = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (holders >= 0)
        (void)pnx__each_entry(holders, add_holder, &users);
    pnx__close(holders);
    if (pnx__block_read(root, device, "dev", text, sizeof text) > 0) {
        users.major = (unsigned)strtoul(text, &end, 10);
        users.minor = *end == ':' ? (unsigned)strtoul(end + 1, NULL, 10) : 0;
        (void)pnx__mounts_each(add_mount, &users, NULL);
    }
    pnx__close(root);
}
