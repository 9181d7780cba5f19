/* SPDX-License-Identifier: MIT */
/* Files into containers, and out of them. */
#include "docker/copy.h"
#include "docker/path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Sends the archive in `fd`, and closes it. */
static pnx_status put_archive(pnx_engine *engine, const char *container, const char *to, int fd,
                              const struct pnx__limit *limit, pnx_error *err)
{
    char *path;
    pnx_status status =
        pnx__docker_path(&path, err, "/containers/%s/archive?path=%s", container, to);
    if (status == PNX_OK) {
        struct pnx__docker_exchange exchange = {
            .method = "PUT",
            .path = path,
            .content_type = "application/x-tar",
            .body_fd = fd,
            .has_body_fd = true,
        };
        status = pnx__docker_exchange(engine, &exchange, limit, err);
        free(exchange.answer);
        free(path);
    }
    close(fd);
    return status == PNX_OK ? PNX_OK
                            : pnx_wrap(err, status, "cannot copy into %s of %s", to, container);
}

pnx_status pnx_engine_copy_in(pnx_engine *engine, const char *container, const char *from,
                              const char *to, const pnx_call *call, pnx_error *err)
{
    struct pnx__limit limit = pnx__docker_limit_of(engine, call);
    int fd;
    pnx_status status = pnx__docker_tar_write(from, true, &limit, &fd, err);
    return status == PNX_OK ? put_archive(engine, container, to, fd, &limit, err) : status;
}

pnx_status pnx_engine_put(pnx_engine *engine, const char *container, const char *to,
                          const char *name, unsigned mode, const void *data, size_t size,
                          const pnx_call *call, pnx_error *err)
{
    struct pnx__limit limit = pnx__docker_limit_of(engine, call);
    int fd;
    if (!*name || strchr(name, '/'))
        return pnx_fail(err, PNX_EINVAL, "'%s' is no name of a file", name);
    pnx_status status = pnx__docker_tar_one(name, mode, data, size, &fd, err);
    return status == PNX_OK ? put_archive(engine, container, to, fd, &limit, err) : status;
}

/* ---- out ------------------------------------------------------------------------------------- */

struct keeping {
    int fd, error;
    uint64_t left;
    bool too_large;
};

static bool keep(const void *data, size_t size, void *context)
{
    struct keeping *keeping = context;
    const char *at = data;
    if (size > keeping->left) {
        keeping->too_large = true;
        return false;
    }
    keeping->left -= size;
    while (size) {
        ssize_t written = write(keeping->fd, at, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            keeping->error = errno ? errno : EIO;
            return false;
        }
        at += written;
        size -= (size_t)written;
    }
    return true;
}

static pnx_status get_archive(pnx_engine *engine, const char *path, int fd,
                              const struct pnx__limit *limit, pnx_error *err)
{
    struct keeping keeping = {.fd = fd, .left = engine->copy_max};
    struct pnx__docker_exchange exchange = {.path = path, .sink = keep, .context = &keeping};
    pnx_status status = pnx__docker_exchange(engine, &exchange, limit, err);
    if (status != PNX_OK)
        return status;
    free(exchange.answer);
    if (keeping.too_large)
        return pnx_fail(err, PNX_ELIMIT, "it is larger than %llu bytes",
                        (unsigned long long)engine->copy_max);
    errno = keeping.error;
    return keeping.error ? pnx_fail(err, PNX_EFAILED, "cannot write a temporary file: %m") : PNX_OK;
}

pnx_status pnx_engine_copy_out(pnx_engine *engine, const char *container, const char *from,
                               const char *to, const pnx_call *call, pnx_error *err)
{
    struct pnx__limit limit = pnx__docker_limit_of(engine, call);
    return pnx__docker_copy_wanted(engine, container, from, to, NULL, &limit, err);
}

pnx_status pnx__docker_copy_wanted(pnx_engine *engine, const char *container, const char *from,
                                   const char *to, const struct pnx__wanted *wanted,
                                   const struct pnx__limit *limit, pnx_error *err)
{
    char *path;
    int fd;
    pnx_status status = pnx__docker_scratch(&fd, err);
    if (status != PNX_OK)
        return status;
    status = pnx__docker_path(&path, err, "/containers/%s/archive?path=%s", container, from);
    if (status == PNX_OK) {
        status = get_archive(engine, path, fd, limit, err);
        free(path);
    }
    if (status == PNX_OK)
        status = pnx__docker_tar_extract(fd, to, wanted, limit, err);
    close(fd);
    return status == PNX_OK ? PNX_OK
                            : pnx_wrap(err, status, "cannot copy %s out of %s", from, container);
}
