/* SPDX-License-Identifier: MIT */
/* What is saved of a service before it is removed: its log, what the engine says of it, files. */
#include "environment/internal.h"

#include "docker/copy.h"
#include "environment/files.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- last words ------------------------------------------------------------------------------ */

struct tail {
    char *text;
    size_t size;
};

/* Keeps the end of what comes. */
static bool keep_tail(int stream, const void *data, size_t size, void *context)
{
    struct tail *tail = context;
    if (size > PNX__LOG_TAIL_MAX) {
        data = (const char *)data + size - PNX__LOG_TAIL_MAX;
        size = PNX__LOG_TAIL_MAX;
    }
    size_t over = tail->size + size > PNX__LOG_TAIL_MAX ? tail->size + size - PNX__LOG_TAIL_MAX : 0;
    memmove(tail->text, tail->text + over, tail->size - over);
    memcpy(tail->text + tail->size - over, data, size);
    tail->size += size - over;
    return true;
}

char *pnx__service_last_words(const pnx_service *service, const pnx_call *call)
{
    struct tail tail = {.text = calloc(1, PNX__LOG_TAIL_MAX + 1)};
    if (!tail.text || !service->id[0])
        return tail.text;
    (void)!pnx_engine_logs(service->environment->engine, service->id, &(pnx_logs){.tail = 200},
                           keep_tail, &tail, call, NULL);
    return tail.text;
}

/* ---- the log --------------------------------------------------------------------------------- */

struct writing {
    int fd;
    uint64_t size, most;
    int error;
};

static bool write_log(int stream, const void *data, size_t size, void *context)
{
    struct writing *writing = context;
    const char *at = data;
    if (size > writing->most - writing->size)
        return false;
    writing->size += size;
    while (size > 0) {
        ssize_t written = write(writing->fd, at, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            writing->error = errno ? errno : EIO;
            return false;
        }
        at += written;
        size -= (size_t)written;
    }
    return true;
}

static void count_saved(pnx_environment *environment, uint64_t files, uint64_t bytes)
{
    PNX__COUNT(environment, saved_files, files);
    PNX__COUNT(environment, saved_bytes, bytes);
}

static pnx_status save_log(pnx_service *service, const char *path, const pnx_call *call,
                           pnx_error *err)
{
    pnx_environment *environment = service->environment;
    struct writing writing = {
        .fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666),
        .most = environment->engine->copy_max,
    };
    if (writing.fd < 0)
        return pnx_fail(err, PNX_EFAILED, "cannot write %s: %m", path);
    pnx_status status =
        pnx_engine_logs(environment->engine, service->id, NULL, write_log, &writing, call, err);
    if (close(writing.fd) != 0 && !writing.error)
        writing.error = errno;
    errno = writing.error;
    if (status == PNX_OK && writing.error)
        status = pnx_fail(err, PNX_EFAILED, "cannot write %s: %m", path);
    if (status == PNX_OK)
        count_saved(environment, 1, writing.size);
    return status;
}

static pnx_status save_inspect(pnx_service *service, const char *path, const pnx_call *call,
                               pnx_error *err)
{
    pnx_environment *environment = service->environment;
    json_t *about;
    pnx_status status =
        pnx_engine_inspect(environment->engine, PNX_CONTAINER, service->id, call, &about, err);
    if (status != PNX_OK)
        return status;
    /* The environment of a container may hold what is nobody else's business. */
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || json_dumpfd(about, fd, JSON_INDENT(2)) != 0)
        status = pnx_fail(err, PNX_EFAILED, "cannot write %s: %m", path);
    if (fd >= 0)
        close(fd);
    json_decref(about);
    if (status == PNX_OK)
        count_saved(environment, 1, 0);
    return status;
}

/* ---- files ----------------------------------------------------------------------------------- */

struct choosing {
    const char *pattern; /* of whole paths; NULL: everything */
    bool coverage;       /* of names, the coverage files */
    char above[PATH_MAX];
    uint64_t files, bytes;
};

static bool is_wanted(const char *name, uint64_t size, void *context)
{
    struct choosing *choosing = context;
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", choosing->above, name) >= (int)sizeof path)
        return false;
    if (choosing->coverage && !pnx__is_coverage(name))
        return false;
    if (choosing->pattern && fnmatch(choosing->pattern, path, FNM_PATHNAME) != 0)
        return false;
    choosing->files++;
    choosing->bytes += size;
    return true;
}

/* The directory without patterns in front of the first one, or the path itself. */
static bool split(const char *pattern, char fixed[PATH_MAX], char above[PATH_MAX],
                  bool *ret_has_pattern)
{
    size_t length = strcspn(pattern, "*?[");
    *ret_has_pattern = pattern[length] != '\0';
    while (*ret_has_pattern && length > 1 && pattern[length - 1] != '/')
        length--;
    while (length > 1 && pattern[length - 1] == '/')
        length--;
    if (length >= PATH_MAX)
        return false;
    memcpy(fixed, pattern, length);
    fixed[length] = '\0';
    const char *slash = strrchr(fixed, '/');
    size_t up = slash ? (size_t)(slash - fixed) : 0;
    memcpy(above, fixed, up);
    above[up] = '\0';
    return true;
}

/* What is not there is nothing to save. */
static pnx_status save_files(pnx_service *service, const char *pattern, bool coverage,
                             const char *to, const pnx_call *call, pnx_error *err)
{
    pnx_environment *environment = service->environment;
    struct choosing choosing = {.coverage = coverage};
    struct pnx__limit limit = pnx__docker_limit_of(environment->engine, call);
    const struct pnx__wanted wanted = {is_wanted, &choosing};
    char fixed[PATH_MAX], place[PATH_MAX];
    bool has_pattern;
    pnx_error local = {0};
    if (!split(pattern, fixed, choosing.above, &has_pattern) ||
        snprintf(place, sizeof place, "%s%s", to, choosing.above) >= (int)sizeof place)
        return pnx_fail(err, PNX_EINVAL, "'%.100s' is too long a path", pattern);
    choosing.pattern = has_pattern ? pattern : NULL;
    pnx_status status = pnx__make_directories(place, &local);
    if (status == PNX_OK)
        status = pnx__docker_copy_wanted(environment->engine, service->id, fixed, place, &wanted,
                                         &limit, &local);
    if (status == PNX_OK)
        count_saved(environment, choosing.files, choosing.bytes);
    else if (status != PNX_ENOTFOUND && err)
        *err = local;
    pnx__remove_empty_directories(to, place);
    return status == PNX_ENOTFOUND ? PNX_OK : status;
}

/* ---- all of one service ---------------------------------------------------------------------- */

static void note_unsaved(pnx_service *service, pnx_status status, const pnx_error *err)
{
    pnx_environment *environment = service->environment;
    if (status == PNX_OK)
        return;
    pthread_mutex_lock(&environment->mutex);
    environment->counts.unsaved++;
    if (!environment->unsaved[0])
        snprintf(environment->unsaved, sizeof environment->unsaved, "of the service %s: %s",
                 service->name, err->message);
    pthread_mutex_unlock(&environment->mutex);
}

#define PLACE_MAX (PATH_MAX - 64)

/* "DIRECTORY/NAME", and "DIRECTORY/NAME.2" for the one that came after it. */
static bool place_of(const pnx_service *service, const char *below, char path[PLACE_MAX])
{
    char number[16] = "";
    if (service->generation > 1)
        snprintf(number, sizeof number, ".%u", service->generation);
    return snprintf(path, PLACE_MAX, "%s%s/%s%s", service->environment->artifacts, below,
                    service->name, number) < PLACE_MAX;
}

static pnx_status worse(pnx_status status, pnx_status other, pnx_error *err, const pnx_error *of)
{
    if (status != PNX_OK || other == PNX_OK)
        return status;
    if (err)
        *err = *of;
    return other;
}

pnx_status pnx__service_save_coverage(pnx_service *service, const pnx_call *call, pnx_error *err)
{
    char place[PLACE_MAX];
    pnx_status status = PNX_OK;
    if (!service->coverage || !service->environment->artifacts || !service->id[0])
        return PNX_OK;
    if (!place_of(service, "/coverage", place))
        return pnx_fail(err, PNX_EINVAL, "artifacts: it is too long a path");
    for (const char *const *path = service->coverage; *path; path++) {
        pnx_error one = {0};
        pnx_status saved = save_files(service, *path, true, place, call, &one);
        note_unsaved(service, saved, &one);
        status = worse(status, saved, err, &one);
    }
    return status;
}

/* Each, whatever becomes of the others. */
static pnx_status save_all(pnx_service *service, const char *place, const pnx_call *call,
                           pnx_error *err)
{
    char path[PATH_MAX];
    pnx_error one = {0};
    snprintf(path, sizeof path, "%s.log", place);
    pnx_status saved = save_log(service, path, call, &one);
    note_unsaved(service, saved, &one);
    pnx_status status = worse(PNX_OK, saved, err, &one);
    snprintf(path, sizeof path, "%s.json", place);
    saved = save_inspect(service, path, call, &one);
    note_unsaved(service, saved, &one);
    status = worse(status, saved, err, &one);
    for (const char *const *pattern = service->save; pattern && *pattern; pattern++) {
        saved = save_files(service, *pattern, false, place, call, &one);
        note_unsaved(service, saved, &one);
        status = worse(status, saved, err, &one);
    }
    return status;
}

pnx_status pnx__service_save(pnx_service *service, const pnx_call *call, pnx_error *err)
{
    char place[PLACE_MAX];
    pnx_error local = {0};
    pnx_environment *environment = service->environment;
    if (!environment->artifacts || !service->id[0])
        return PNX_OK;
    pnx_status status = place_of(service, "", place)
                            ? pnx__make_directories(environment->artifacts, &local)
                            : pnx_fail(&local, PNX_EINVAL, "artifacts: it is too long a path");
    if (status != PNX_OK) {
        note_unsaved(service, status, &local);
        return worse(PNX_OK, status, err, &local);
    }
    status = save_all(service, place, call, err);
    pnx_status covered = pnx__service_save_coverage(service, call, &local);
    return worse(status, covered, err, &local);
}

pnx_status pnx_environment_save(pnx_environment *environment, const pnx_call *call, pnx_error *err)
{
    pnx_status status = PNX_OK;
    for (pnx_service *one = environment->services; one; one = one->next) {
        pnx_error local = {0};
        pthread_mutex_lock(&environment->mutex);
        while (one->busy)
            pthread_cond_wait(&environment->changed, &environment->mutex);
        bool there = one->state != PNX__SERVICE_GONE && one->state != PNX__SERVICE_NEW;
        one->busy = there;
        pthread_mutex_unlock(&environment->mutex);
        if (!there)
            continue;
        pnx_status saved = pnx__service_save(one, call, &local);
        pthread_mutex_lock(&environment->mutex);
        one->busy = false;
        pthread_cond_broadcast(&environment->changed);
        pthread_mutex_unlock(&environment->mutex);
        status = worse(status, saved, err, &local);
    }
    return status;
}

const char *pnx_environment_unsaved(const pnx_environment *environment)
{
    return environment->unsaved;
}
