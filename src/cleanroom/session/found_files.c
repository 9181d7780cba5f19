/* SPDX-License-Identifier: MIT */
#include "session/session.h"

#include "kind/sys.h"
#include "kind/tree.h"

#include <cleanroom/limits.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *pnx__session_type_of(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "regular";
    case S_IFDIR:
        return "directory";
    case S_IFLNK:
        return "symlink";
    case S_IFIFO:
        return "fifo";
    case S_IFSOCK:
        return "socket";
    default:
        return "device";
    }
}

static void free_row(pnx_session_resource *row)
{
    free(row->id);
    free(row->name);
    free(row->detail);
}

/* An attempt begins: what was stuck in the one before comes again. */
static void begin(void *context)
{
    pnx_session *session = context;
    size_t kept = 0;
    for (size_t i = 0; i < session->row_count; i++) {
        if (session->rows[i].outcome.fate == PNX_FATE_REMOVED)
            session->rows[kept++] = session->rows[i];
        else
            free_row(&session->rows[i]);
    }
    session->row_count = kept;
}

static bool has_room(pnx_session *session)
{
    if (session->row_count < session->row_max)
        return true;
    if (session->row_max >= session->config.listed_max)
        return false;
    size_t wanted = session->row_max ? 2 * session->row_max : 16;
    if (wanted > session->config.listed_max)
        wanted = session->config.listed_max;
    pnx_session_resource *grown = realloc(session->rows, wanted * sizeof *grown);
    if (!grown)
        return false;
    session->rows = grown;
    session->row_max = wanted;
    return true;
}

/* Nobody left this behind: it is how the private /tmp is made. */
static bool is_isolation(pnx_session *session, const pnx_tree_entry *entry)
{
    bool link = S_ISLNK(entry->mode);
    if (!(session->config.isolate & PNX_ISOLATE_TMP) || !entry->removed ||
        (!link && !S_ISDIR(entry->mode)) ||
        !pnx_isolate_made(pnx_session_tmpdir(session), entry->path))
        return false;
    session->isolation.symlinks += link;
    session->isolation.directories += !link;
    session->isolation.bytes += entry->bytes;
    return true;
}

static void note(const pnx_tree_entry *entry, void *context)
{
    pnx_session *session = context;
    if (is_isolation(session, entry))
        return;
    if (!has_room(session))
        return;
    pnx_session_resource row = {
        .kind = "file",
        .type = pnx__session_type_of(entry->mode),
        .origin = PNX_ORIGIN_FOUND,
        .owner = entry->owner,
        .priority = pnx_kind_tempdir.priority,
        .created = entry->created,
        .removed = entry->removed ? pnx__now_since_1970() : 0,
        .name = strdup(entry->path),
        .detail = strdup(""),
        .outcome =
            {
                .fate = entry->removed ? PNX_FATE_REMOVED : PNX_FATE_STUCK,
                .attempts = 1,
                .bytes = entry->bytes,
            },
    };
    bool made = asprintf(&row.id, "%" PRIx64 ":%" PRIu64, entry->device, entry->inode) > 0;
    if (!made || !row.name || !row.detail) {
        row.id = made ? row.id : NULL;
        free_row(&row);
        return;
    }
    if (entry->reason)
        snprintf(row.outcome.reason, sizeof row.outcome.reason, "%s", entry->reason);
    session->rows[session->row_count++] = row;
}

static pnx_tempdir_watch watch_of(pnx_session *session)
{
    return (pnx_tempdir_watch){
        .outcome = &session->dir_outcome,
        .totals = &session->files,
        .begin = begin,
        .entry = note,
        .context = session,
    };
}

void pnx__session_watch_dir(pnx_session *session)
{
    pnx_tempdir_watch watch = watch_of(session);
    pnx_tempdir_watch_by(session->dir, &watch);
}

int pnx__session_open_files(const pnx_session *session)
{
    int disk = session->limiter ? pnx_limiter_disk_fd(session->limiter) : -1;
    int dir = disk >= 0 ? disk : pnx_tempdir_fd(session->dir);
    return openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void pnx__session_empty_disk(pnx_session *session, pnx_time deadline)
{
    pnx_error why = {0};
    if (!session->limiter || pnx_limiter_disk_fd(session->limiter) < 0)
        return;
    pnx_tempdir_watch watch = watch_of(session);
    struct pnx__tree *tree = calloc(1, sizeof *tree);
    int fd = tree ? pnx__session_open_files(session) : -1;
    if (fd >= 0) {
        tree->watch = &watch;
        tree->totals = &session->files;
        tree->deadline = deadline;
        (void)!pnx__tree_empty(tree, fd, &why);
    }
    pnx__close(fd);
    free(tree);
}

void pnx__session_forget_files(pnx_session *session)
{
    for (size_t i = 0; i < session->row_count; i++)
        free_row(&session->rows[i]);
    free(session->rows);
    session->rows = NULL;
    session->row_count = 0;
}
