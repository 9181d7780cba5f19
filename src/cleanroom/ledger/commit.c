/* SPDX-License-Identifier: MIT */
/*
 * On disk. Whoever comes first leads: it calls fdatasync(2) for all that was written until then,
 * without the lock. Who comes meanwhile waits; when it is over one of those leads the next one. So
 * 64 callers at a time need two or three calls, not 64.
 *
 * A sync that failed is final: the kernel has forgotten what it could not write, and a later one
 * that succeeds would say nothing of it.
 */
#include "kind/sys.h"
#include "ledger/internal.h"

static int sync_directory(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    /* EINVAL: the file system has nothing to sync there. */
    int result = fsync(fd) != 0 && errno != EINVAL ? -1 : 0;
    pnx__close(fd);
    return result;
}

/* The file without its name is lost, and so is the name without that of its directory. */
static int sync_to_disk(pnx__ledger *ledger, bool directories)
{
    if (fdatasync(ledger->fd) != 0)
        return errno;
    if (directories &&
        (sync_directory(ledger->dir_fd, ".") || sync_directory(ledger->dir_fd, "..")))
        return errno;
    return 0;
}

static void lead(pnx__ledger *ledger)
{
    const uint32_t upto = ledger->tail;
    const bool directories = !ledger->directories_synced;
    ledger->syncing = true;
    pthread_mutex_unlock(&ledger->lock);
    int error = sync_to_disk(ledger, directories);
    pthread_mutex_lock(&ledger->lock);
    ledger->syncing = false;
    if (error) {
        ledger->sync_error = error;
    } else {
        ledger->synced = upto;
        ledger->directories_synced = true;
    }
    pthread_cond_broadcast(&ledger->synced_more);
}

pnx_status pnx__ledger_commit(pnx__ledger *ledger, uint32_t upto, pnx_error *err)
{
    while (ledger->synced < upto && !ledger->sync_error) {
        if (ledger->syncing)
            pthread_cond_wait(&ledger->synced_more, &ledger->lock);
        else
            lead(ledger);
    }
    if (!ledger->sync_error)
        return PNX_OK;
    errno = ledger->sync_error;
    return pnx_fail(err, PNX_EFAILED, "cannot get the ledger %s onto its disk: %m", ledger->path);
}

pnx_status pnx__ledger_sync(pnx__ledger *ledger, pnx_error *err)
{
    pthread_mutex_lock(&ledger->lock);
    pnx_status status = pnx__ledger_commit(ledger, ledger->tail, err);
    pthread_mutex_unlock(&ledger->lock);
    return status;
}
