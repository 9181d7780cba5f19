/* SPDX-License-Identifier: MIT */
/* A ledger that is written: made, opened again after its writer's death, let go. */
#include "kind/sys.h"
#include "ledger/identity.h"
#include "ledger/internal.h"
#include "ledger/scan.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

/* NULL, and why. */
static pnx__ledger *prepare(int dir_fd, const char *name, pnx_status *ret_status, pnx_error *err)
{
    pnx__ledger *ledger = calloc(1, sizeof *ledger);
    if (!ledger) {
        *ret_status = pnx_fail(err, PNX_ENOMEM, "no memory for the ledger %s", name);
        return NULL;
    }
    pthread_mutex_init(&ledger->lock, NULL);
    pthread_cond_init(&ledger->synced_more, NULL);
    pnx__file_path(dir_fd, name, ledger->path);
    ledger->owner = getpid();
    ledger->fd = ledger->guard = -1;
    ledger->tail = 1;
    ledger->promised = 1; /* CLOSED */
    /* Kept until it is synced: a name that is not durable is a ledger that is not. */
    ledger->dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
    if (ledger->dir_fd >= 0)
        return ledger;
    *ret_status = pnx_fail(err, PNX_EFAILED, "cannot open the directory of %s: %m", ledger->path);
    pnx__ledger_close(ledger);
    return NULL;
}

void pnx__ledger_close(pnx__ledger *ledger)
{
    if (!ledger)
        return;
    /* In a fork child too, where the lock may be in any state: it is not touched. */
    pnx__sigbus_release(ledger->guard);
    if (ledger->map)
        munmap(ledger->map, ledger->size);
    pnx__close(ledger->fd);
    pnx__close(ledger->dir_fd);
    free(ledger->things);
    free(ledger);
}

/* ---- a new one ------------------------------------------------------------------------------- */

static pnx_status make_file(pnx__ledger *ledger, int dir_fd, const char *name, pnx_error *err)
{
    ledger->fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (ledger->fd < 0 && errno == EEXIST)
        return pnx_fail(err, PNX_EFAILED, "the ledger %s exists: %m", ledger->path);
    if (ledger->fd < 0)
        return pnx_fail(err, PNX_EFAILED,
                        "cannot make the ledger %s: %m; set CLEANROOM_STATE_DIR "
                        "to a directory that you may write",
                        ledger->path);
    struct stat about; /* a strange umask must not lock out whoever cleans up after us */
    if (fstat(ledger->fd, &about) != 0 ||
        ((about.st_mode & 0777) != 0600 && fchmod(ledger->fd, 0600) != 0))
        return pnx_fail(err, PNX_EFAILED, "cannot make the ledger %s ours alone: %m", ledger->path);
    return PNX_OK;
}

static pnx_status write_header(pnx__ledger *ledger, pnx_id session, pnx_error *err)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const pnx_id machine = pnx__machine_id();
    pnx_id boot = PNX_ID_NONE;
    pnx_status status = pnx__boot_id(&boot, err);
    if (status == PNX_OK)
        status = pnx__ledger_populate(ledger, PNX__LEDGER_SLOT, err);
    if (status)
        return status;
    struct pnx__ledger_header header = {
        .magic = PNX__LEDGER_MAGIC,
        .version = PNX__LEDGER_VERSION,
        .slot_size = PNX__LEDGER_SLOT,
        .created = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec,
        .session = {session.high, session.low},
        .boot = {boot.high, boot.low},
        .machine = {machine.high, machine.low},
    };
    header.crc = pnx__ledger_header_crc(&header);
    ledger->header_crc = header.crc;
    uint64_t magic;
    memcpy(&magic, header.magic, sizeof magic);
    memcpy(ledger->map + sizeof magic, (const char *)&header + sizeof magic,
           sizeof header - sizeof magic);
    /* Release: it has begun when, and only when, the rest is there. Partner: pread(2) in scan.c
     * of a process that looks after our death. */
    __atomic_store_n((uint64_t *)(void *)ledger->map, magic, __ATOMIC_RELEASE);
    return PNX_OK;
}

pnx_status pnx__ledger_create(int dir_fd, const char *name, pnx_id session, pnx__ledger **ret,
                              pnx_error *err)
{
    pnx_status status;
    pnx__ledger *ledger = prepare(dir_fd, name, &status, err);
    if (!ledger)
        return status;
    status = make_file(ledger, dir_fd, name, err);
    if (status == PNX_OK)
        status = pnx__ledger_map(ledger, PNX__LEDGER_SIZE_FIRST, err);
    if (status == PNX_OK)
        status = write_header(ledger, session, err);
    if (status == PNX_OK) {
        *ret = ledger;
        return PNX_OK;
    }
    if (ledger->fd >= 0)
        unlinkat(dir_fd, name, 0);
    pnx__ledger_close(ledger);
    return status;
}

/* ---- one whose writer is dead ---------------------------------------------------------------- */

static bool remember(const struct pnx__ledger_entry *entry, void *context)
{
    pnx__ledger *ledger = context;
    if (entry->event == PNX__LEDGER_CLOSED)
        ledger->closed = true;
    return true;
}

/* What is known of the things, so that they can go on where they stopped. */
static pnx_status take_over(pnx__ledger *ledger, const struct pnx__ledger_view *view,
                            pnx_error *err)
{
    if (view->resource_count == 0)
        return PNX_OK;
    uint32_t count = view->resources[view->resource_count - 1].number;
    ledger->things = calloc(count, sizeof *ledger->things);
    if (!ledger->things)
        return pnx_fail(err, PNX_ENOMEM, "no memory for the ledger %s", ledger->path);
    ledger->thing_count = ledger->thing_room = count;
    for (size_t i = 0; i < view->resource_count; i++) {
        const struct pnx__ledger_resource *resource = &view->resources[i];
        struct pnx__ledger_thing *thing = &ledger->things[resource->number - 1];
        *thing =
            (struct pnx__ledger_thing){.kind = resource->kind, .state = (uint8_t)resource->state};
        if (resource->state != PNX__LEDGER_IS_GONE)
            thing->promised = (uint8_t)pnx__ledger_parts(PNX__LEDGER_FATE_RESERVED);
        if (resource->state == PNX__LEDGER_INTENDED)
            thing->promised += (uint8_t)pnx__ledger_parts(PNX__LEDGER_IDENTITY_RESERVED);
        ledger->promised += thing->promised;
    }
    return PNX_OK;
}

/* What was begun is cut off: first none of it is published any more, then it is zero. */
static pnx_status cut(pnx__ledger *ledger, uint32_t used, pnx_error *err)
{
    if (used < ledger->tail)
        used = ledger->tail;
    pnx_status status = pnx__ledger_populate(ledger, ((size_t)used + 1) * PNX__LEDGER_SLOT, err);
    if (status)
        return status;
    struct pnx__ledger_record *slots = (void *)ledger->map;
    for (uint32_t slot = used; slot > ledger->tail; slot--)
        /* Release: last first, so that at no instant a good part follows a hole. No partner but
         * pread(2) of who comes after our death. */
        __atomic_store_n(&slots[slot - 1].crc, 0, __ATOMIC_RELEASE);
    memset(&slots[ledger->tail], 0, ((size_t)used - ledger->tail) * sizeof *slots);
    return PNX_OK;
}

static size_t allocation_for(uint64_t size, uint32_t used)
{
    size_t least = PNX__LEDGER_SIZE_FIRST;
    while (least < size || least < ((size_t)used + 1) * PNX__LEDGER_SLOT)
        least += least < PNX__LEDGER_STEP_MAX ? least : PNX__LEDGER_STEP_MAX;
    return least;
}

static pnx_status go_on(pnx__ledger *ledger, uint64_t size, const struct pnx__ledger_view *view,
                        pnx_error *err)
{
    struct pnx__ledger_scan scan;
    pnx_status status =
        pnx__ledger_scan(ledger->fd, size, ledger->path, remember, ledger, &scan, err);
    if (status)
        return status;
    if (ledger->closed)
        return pnx_fail(err, PNX_EALREADY, "the ledger %s is closed", ledger->path);
    ledger->header_crc = scan.header.crc;
    ledger->tail = scan.tail;
    status = take_over(ledger, view, err);
    if (status == PNX_OK)
        status = pnx__ledger_map(ledger, allocation_for(size, scan.used), err);
    if (status == PNX_OK)
        status = cut(ledger, scan.used, err);
    if (status == PNX_OK)
        status = pnx__ledger_make_room(ledger, 0, err);
    return status;
}

pnx_status pnx__ledger_open(int dir_fd, const char *name, pnx__ledger **ret, pnx_error *err)
{
    struct pnx__ledger_view *view = NULL;
    pnx_status status = pnx__ledger_load(dir_fd, name, &view, err);
    if (status)
        return status;
    pnx__ledger *ledger = prepare(dir_fd, name, &status, err);
    if (!ledger) {
        pnx__ledger_view_free(view);
        return status;
    }
    uint64_t size = 0;
    status = pnx__file_open(dir_fd, name, O_RDWR, &ledger->fd, &size, err);
    if (status == PNX_OK)
        status = go_on(ledger, size, view, err);
    pnx__ledger_view_free(view);
    if (status) {
        pnx__ledger_close(ledger);
        return status;
    }
    *ret = ledger;
    return PNX_OK;
}
