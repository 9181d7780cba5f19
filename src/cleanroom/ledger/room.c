/* SPDX-License-Identifier: MIT */
/*
 * Room for what will be written. Two things must never happen: that a record which was promised
 * room finds none, and that a store into the mapping raises SIGBUS. So blocks are allocated before
 * the mapping covers them, pages are brought in by a call that can say no before they are stored
 * to, and the file is looked at before a store whenever that was longer ago than CHECK_SPAN.
 */
#include "kind/sys.h"
#include "ledger/internal.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/*
 * How old what we know of the file may be: fstat(2) costs as much as two appends. In a burst it is
 * asked for once in thousands of appends, else before every one.
 */
#define CHECK_SPAN 1000000
#define PAGE ((size_t)4096)
/* Pages are brought in by the page at first, because most ledgers stay small, later by more. */
#define POPULATE_MAX ((size_t)256 << 10)

/* ---- allocation ------------------------------------------------------------------------------ */

/* Where the file system has no fallocate(2): zeros take up blocks too. */
static int write_zeros(int fd, size_t from, size_t to)
{
    static const char zeros[PAGE];
    while (from < to) {
        size_t size = to - from < sizeof zeros ? to - from : sizeof zeros;
        ssize_t wrote = pwrite(fd, zeros, size, (off_t)from);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return -1;
        from += (size_t)wrote;
    }
    return 0;
}

static int allocate(int fd, size_t from, size_t to)
{
    /* Asked first: the kernel says the same by SIGXFSZ, which ends the process. */
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && to > limit.rlim_cur) {
        errno = EFBIG;
        return -1;
    }
    int result;
    do
        result = fallocate(fd, 0, (off_t)from, (off_t)(to - from));
    while (result != 0 && errno == EINTR);
    if (result != 0 && errno == EOPNOTSUPP)
        return write_zeros(fd, from, to);
    return result;
}

static pnx_status no_room(const pnx__ledger *ledger, pnx_error *err)
{
    const char *next = errno == EFBIG ? "raise the limit on file sizes (ulimit -f)"
                                      : "free some space or set CLEANROOM_STATE_DIR";
    return pnx_fail(err, PNX_EFAILED, "no room for the ledger %s: %m; %s", ledger->path, next);
}

pnx_status pnx__ledger_map(pnx__ledger *ledger, size_t size, pnx_error *err)
{
    if (allocate(ledger->fd, 0, size) != 0)
        return no_room(ledger, err);
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ledger->fd, 0);
    if (map == MAP_FAILED)
        return pnx_fail(err, PNX_EFAILED, "cannot map the ledger %s: %m", ledger->path);
    ledger->map = map;
    ledger->size = size;
    ledger->guard = pnx__sigbus_guard(map, size);
    return PNX_OK;
}

/* ---- before a store -------------------------------------------------------------------------- */

pnx_status pnx__ledger_give_up(pnx__ledger *ledger, const char *what, pnx_error *err)
{
    ledger->lost = true;
    return pnx_fail(err, PNX_EFAILED,
                    "the ledger %s was %s by somebody: nothing more is made "
                    "under it",
                    ledger->path, what);
}

/* Its header is read only once it is known to be there. */
static pnx_status look(pnx__ledger *ledger, int64_t now, pnx_error *err)
{
    if (getpid() != ledger->owner)
        return pnx_fail(err, PNX_EFORKED, "the ledger %s is written by the parent process",
                        ledger->path);
    struct stat about;
    if (fstat(ledger->fd, &about) != 0)
        return pnx_fail(err, PNX_EFAILED, "cannot stat the ledger %s: %m", ledger->path);
    if ((uint64_t)about.st_size < ledger->size)
        return pnx__ledger_give_up(ledger, "cut short", err);
    if (about.st_nlink == 0)
        return pnx__ledger_give_up(ledger, "removed", err);
    if (memcmp(ledger->map, PNX__LEDGER_MAGIC, sizeof PNX__LEDGER_MAGIC - 1) != 0)
        return pnx__ledger_give_up(ledger, "overwritten", err);
    ledger->checked = now;
    return PNX_OK;
}

pnx_status pnx__ledger_populate(pnx__ledger *ledger, size_t end, pnx_error *err)
{
    size_t step = ledger->populated / 2 < POPULATE_MAX ? ledger->populated / 2 : POPULATE_MAX;
    size_t upto = ledger->populated + step > end ? ledger->populated + step : end;
    upto = (upto + PAGE - 1) / PAGE * PAGE;
    if (upto > ledger->size)
        upto = ledger->size;
    while (madvise(ledger->map + ledger->populated, upto - ledger->populated,
                   MADV_POPULATE_WRITE) != 0) {
        if (errno == EINTR || errno == EAGAIN)
            continue;
        if (errno == EFAULT) /* where a store would raise SIGBUS */
            return pnx__ledger_give_up(ledger, "cut short, or is on a disk that is full or broken",
                                       err);
        return pnx_fail(err, PNX_EFAILED, "cannot write to the ledger %s: %m", ledger->path);
    }
    ledger->populated = upto;
    return PNX_OK;
}

pnx_status pnx__ledger_ready(pnx__ledger *ledger, uint32_t slots, int64_t now, pnx_error *err)
{
    size_t end = ((size_t)ledger->tail + slots) * PNX__LEDGER_SLOT;
    int64_t age = now - ledger->checked;
    pnx_status status = PNX_OK;
    if (age < 0 || age > CHECK_SPAN || end > ledger->populated)
        status = look(ledger, now, err);
    if (status == PNX_OK && end > ledger->populated)
        status = pnx__ledger_populate(ledger, end, err);
    return status;
}

/* ---- growing --------------------------------------------------------------------------------- */

static pnx_status grow(pnx__ledger *ledger, size_t least, pnx_error *err)
{
    size_t size = ledger->size;
    while (size < least)
        size += size < PNX__LEDGER_STEP_MAX ? size : PNX__LEDGER_STEP_MAX;
    if (size > PNX__LEDGER_SIZE_MAX)
        return pnx_fail(err, PNX_ELIMIT,
                        "the ledger %s has reached its largest size, %u MiB: start "
                        "a new session",
                        ledger->path, (unsigned)(PNX__LEDGER_SIZE_MAX >> 20));
    /* Or what somebody has cut off would come back, as zeros. */
    pnx_status status = look(ledger, ledger->checked, err);
    if (status)
        return status;
    if (allocate(ledger->fd, ledger->size, size) != 0)
        return no_room(ledger, err);
    void *map = mremap(ledger->map, ledger->size, size, MREMAP_MAYMOVE);
    if (map == MAP_FAILED)
        return pnx_fail(err, PNX_ENOMEM, "cannot map more of the ledger %s: %m", ledger->path);
    ledger->map = map;
    ledger->size = size;
    pnx__sigbus_moved(ledger->guard, map, size);
    return PNX_OK;
}

pnx_status pnx__ledger_make_room(pnx__ledger *ledger, uint32_t slots, pnx_error *err)
{
    uint64_t least = ((uint64_t)ledger->tail + ledger->promised + slots) * PNX__LEDGER_SLOT;
    return PNX_LIKELY(least <= ledger->size) ? PNX_OK : grow(ledger, (size_t)least, err);
}
