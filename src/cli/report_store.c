/* SPDX-License-Identifier: MIT */
#include "report_store.h"

#include "ledger/file.h"
#include "ledger/state.h"
#include "report_read.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what there is --------------------------------------------------------------------------- */

static int newest_first(const void *left, const void *right)
{
    const struct stored *one = left, *other = right;
    if (one->written != other->written)
        return one->written > other->written ? -1 : 1;
    return -pnx_id_compare(one->id, other->id);
}

/* "<id>.json"; all else is none of ours. */
static bool parse_name(const char *name, pnx_id *ret)
{
    char id[PNX_ID_TEXT_SIZE];
    if (strlen(name) != PNX_ID_TEXT_SIZE - 1 + strlen(".json") ||
        strcmp(name + PNX_ID_TEXT_SIZE - 1, ".json") != 0)
        return false;
    memcpy(id, name, sizeof id - 1);
    id[sizeof id - 1] = '\0';
    return pnx_id_parse(id, ret, NULL) == PNX_OK;
}

static bool add(struct store *store, pnx_id id, const struct stat *about)
{
    if ((store->count & (store->count - 1)) == 0) { /* full at each power of two */
        size_t max = store->count ? 2 * store->count : 1;
        struct stored *reports = realloc(store->reports, max * sizeof *reports);
        if (!reports)
            return false;
        store->reports = reports;
    }
    int64_t written = about->st_mtim.tv_sec * PNX_S(1) + about->st_mtim.tv_nsec;
    store->reports[store->count++] = (struct stored){id, written};
    return true;
}

static pnx_status list(struct store *store, DIR *dir, pnx_error *err)
{
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        pnx_id id;
        struct stat about;
        if (!parse_name(entry->d_name, &id) ||
            fstatat(store->fd, entry->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (!add(store, id, &about))
            return pnx_fail(err, PNX_ENOMEM, "no memory for the list of reports");
    }
    if (store->count)
        qsort(store->reports, store->count, sizeof *store->reports, newest_first);
    return PNX_OK;
}

pnx_status store_open(struct store *ret, pnx_error *err)
{
    int state;
    struct store store = {0};
    pnx_status status = pnx__state_open(&state, NULL, 0, err);
    if (status != PNX_OK)
        return status;
    status = pnx__state_reports_open(state, &store.fd, err);
    close(state);
    if (status != PNX_OK)
        return status;
    int fd = openat(store.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir)
        status = list(&store, dir, err);
    else
        status = pnx_fail(err, PNX_EFAILED, "cannot read the directory of the reports: %m");
    if (dir)
        closedir(dir);
    if (status == PNX_OK)
        *ret = store;
    else
        store_close(&store);
    return status;
}

void store_close(struct store *store)
{
    free(store->reports);
    close(store->fd);
}

/* ---- which one ------------------------------------------------------------------------------- */

static bool is_beginning(const char *text)
{
    size_t length = strspn(text, "0123456789abcdefABCDEF-");
    return length > 0 && length < PNX_ID_TEXT_SIZE && text[length] == '\0';
}

pnx_status store_find(const struct store *store, const char *text, pnx_id *ret, pnx_error *err)
{
    char id[PNX_ID_TEXT_SIZE];
    size_t found = 0;
    if (strcmp(text, "last") == 0 && store->count > 0) {
        *ret = store->reports[0].id;
        return PNX_OK;
    }
    if (strcmp(text, "last") != 0 && !is_beginning(text))
        return pnx_fail(err, PNX_EINVAL,
                        "that is no report: give 'last', the id of a session or its beginning, or "
                        "a file with a slash in its name");
    for (size_t i = 0; i < store->count; i++) {
        if (strncasecmp(pnx_id_format(store->reports[i].id, id), text, strlen(text)) == 0) {
            *ret = store->reports[i].id;
            found++;
        }
    }
    if (found > 1)
        return pnx_fail(err, PNX_EINVAL, "'%s' is the beginning of %zu ids; give more of it", text,
                        found);
    if (found == 0)
        return pnx_fail(err, PNX_ENOTFOUND,
                        "there is no report '%s'; 'cleanroom report' lists what there is", text);
    return PNX_OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* To the end, but no more than a report can have. */
static pnx_status read_all(int fd, char **ret_text, size_t *ret_size, pnx_error *err)
{
    size_t size = 0, max = 1 << 16;
    char *text = malloc(max);
    while (text) {
        ssize_t got = read(fd, text + size, max - size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            free(text);
            return pnx_fail(err, PNX_EFAILED, "%m");
        }
        size += (size_t)got;
        if (got == 0 || size > REPORT_SIZE_MAX) { /* whoever reads it complains of the size */
            *ret_text = text;
            *ret_size = size;
            return PNX_OK;
        }
        if (size == max) {
            max *= 2;
            char *more = realloc(text, max);
            if (!more)
                free(text);
            text = more;
        }
    }
    return pnx_fail(err, PNX_ENOMEM, "no memory for the report");
}

pnx_status store_read(const struct store *store, pnx_id id, char **ret_text, size_t *ret_size,
                      pnx_error *err)
{
    char name[PNX__STATE_REPORT_NAME_SIZE];
    uint64_t size;
    int fd;
    pnx_status status =
        pnx__file_open(store->fd, pnx__state_report_name(id, name), O_RDONLY, &fd, &size, err);
    if (status != PNX_OK)
        return status;
    status = read_all(fd, ret_text, ret_size, err);
    close(fd);
    return status;
}

pnx_status file_read(const char *path, char **ret_text, size_t *ret_size, pnx_error *err)
{
    bool standard = strcmp(path, "-") == 0;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return pnx_fail(err, PNX_EFAILED, "%m");
    pnx_status status = read_all(fd, ret_text, ret_size, err);
    if (!standard)
        close(fd);
    return status;
}
