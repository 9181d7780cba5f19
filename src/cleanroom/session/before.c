/* SPDX-License-Identifier: MIT */
#include "session/before.h"

#include "kind/hash.h"
#include "kind/sys.h"
#include "kind/thing.h"

#include <stdlib.h>
#include <sys/stat.h>

#define FILE_NAME "before"
#define MAGIC 0x65726f6665627870ull /* "pxbefore" */
/* Beyond that a listing is no longer kept, and nothing counts as new: 32 MiB. */
#define MOST ((size_t)4 << 20)

bool pnx__before_covers(const pnx_thing_kind *kind)
{
    switch (kind->code) {
    case PNX__CODE_SHM:
    case PNX__CODE_SEMAPHORE:
    case PNX__CODE_SYSV_SHM:
    case PNX__CODE_SYSV_SEM:
    case PNX__CODE_SYSV_MSG:
    case PNX__CODE_MQUEUE:
    case PNX__CODE_MOUNT:
    case PNX__CODE_LOOP:
    case PNX__CODE_MAPPER:
    case PNX__CODE_NETNS:
    case PNX__CODE_LINK:
        return kind->list != NULL;
    default:
        return false;
    }
}

static uint64_t hash_of(const pnx_thing_kind *kind, const char *name, const char *identity)
{
    uint64_t hash = pnx__hash_text(pnx__hash_number(PNX__HASH_START, kind->code), name);
    return pnx__hash_text(pnx__hash_number(hash, '\0'), identity);
}

/* ---- taking ---------------------------------------------------------------------------------- */

struct listing {
    struct pnx__before *before;
    const pnx_thing_kind *kind;
    bool no_memory;
};

static bool note(const pnx_thing_info *info, void *context)
{
    struct listing *listing = context;
    struct pnx__before *before = listing->before;
    if (before->count == before->room) {
        size_t room = before->room ? 2 * before->room : 256;
        uint64_t *grown = room <= MOST ? realloc(before->hashes, room * sizeof *grown) : NULL;
        if (!grown) {
            listing->no_memory = true;
            return false;
        }
        before->hashes = grown;
        before->room = room;
    }
    before->hashes[before->count++] = hash_of(listing->kind, info->name, info->identity);
    return true;
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

pnx_status pnx__before_take(struct pnx__before *before, pnx_error *err)
{
    for (const pnx_thing_kind *const *kind = pnx_thing_kinds(); *kind; kind++) {
        if (!pnx__before_covers(*kind))
            continue;
        struct listing listing = {.before = before, .kind = *kind};
        if ((*kind)->list(note, &listing, NULL) != PNX_OK)
            before->unlisted |= 1ull << (*kind)->code;
        if (listing.no_memory)
            return pnx_fail(err, PNX_ENOMEM, "no memory to note what there is before the command");
    }
    if (before->count > 0)
        qsort(before->hashes, before->count, sizeof *before->hashes, compare);
    before->taken = true;
    return PNX_OK;
}

bool pnx__before_has(const struct pnx__before *before, const pnx_thing_kind *kind, const char *name,
                     const char *identity)
{
    if (!before->taken || before->unlisted & 1ull << kind->code)
        return true;
    uint64_t hash = hash_of(kind, name, identity);
    return before->count > 0 &&
           bsearch(&hash, before->hashes, before->count, sizeof *before->hashes, compare) != NULL;
}

/* ---- in a file ------------------------------------------------------------------------------- */

struct header {
    uint64_t magic, unlisted, count;
};

static bool write_all(int fd, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t wrote = write(fd, at, size);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return false;
        at += wrote;
        size -= (size_t)wrote;
    }
    return true;
}

pnx_status pnx__before_save(const struct pnx__before *before, int dir_fd, pnx_error *err)
{
    struct header header = {MAGIC, before->unlisted, before->count};
    int fd = openat(dir_fd, FILE_NAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool wrote = fd >= 0 && write_all(fd, &header, sizeof header) &&
                 write_all(fd, before->hashes, before->count * sizeof *before->hashes);
    if (!wrote)
        pnx_fail(err, PNX_EFAILED, "cannot write down what there is before the command: %m");
    pnx__close(fd);
    return wrote ? PNX_OK : PNX_EFAILED;
}

static bool read_all(int fd, void *data, size_t size)
{
    char *at = data;
    while (size > 0) {
        ssize_t got = read(fd, at, size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        size -= (size_t)got;
    }
    return true;
}

static bool load(struct pnx__before *before, int fd)
{
    struct header header;
    struct stat stat;
    if (fstat(fd, &stat) != 0 || !read_all(fd, &header, sizeof header) || header.magic != MAGIC ||
        header.count > MOST ||
        (uint64_t)stat.st_size != sizeof header + header.count * sizeof *before->hashes)
        return false;
    before->hashes = calloc(header.count + 1, sizeof *before->hashes);
    if (!before->hashes || !read_all(fd, before->hashes, header.count * sizeof *before->hashes))
        return false;
    before->count = before->room = header.count;
    before->unlisted = header.unlisted;
    for (size_t i = 1; i < before->count; i++) /* bsearch(3) relies on it */
        if (before->hashes[i - 1] > before->hashes[i])
            return false;
    return true;
}

pnx_status pnx__before_load(struct pnx__before *before, int dir_fd, pnx_error *err)
{
    int fd = openat(dir_fd, FILE_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return pnx_fail(err, PNX_EFAILED, "what there was before the command is not known: %m");
    before->taken = load(before, fd);
    pnx__close(fd);
    if (before->taken)
        return PNX_OK;
    pnx__before_done(before);
    return pnx_fail(err, PNX_EFAILED, "what was there before the command is damaged");
}

void pnx__before_done(struct pnx__before *before)
{
    free(before->hashes);
    *before = (struct pnx__before){0};
}
