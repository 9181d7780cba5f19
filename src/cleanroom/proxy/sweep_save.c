/* SPDX-License-Identifier: MIT */
/* What containers have written, and what the engine knows of them, saved before they go. */
#include "proxy/sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of one container; a log has no bound of its own. */
#define LOG_MAX ((size_t)64 << 20)
#define ONE_LOG PNX_S(10)

struct file {
    int fd;
    size_t size;
    bool full, failed;
};

/* "docker-NAME.SUFFIX", of bytes that need no care in a path. */
static void name_file(const json_t *container, const char *suffix, char *ret, size_t size)
{
    const char *name = json_string_value(json_array_get(json_object_get(container, "Names"), 0));
    const char *id = json_string_value(json_object_get(container, "Id"));
    if (name && *name == '/')
        name++;
    snprintf(ret, size, "docker-%.100s.%s", name && *name ? name : (id ? id : "unnamed"), suffix);
    for (char *at = ret; *at; at++) {
        bool plain = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
                     (*at >= '0' && *at <= '9') || strchr("._-", *at);
        if (!plain)
            *at = '_';
    }
}

static void tell(const char *name, size_t bytes, const char *reason)
{
    pnx__sweep_tell(json_pack("{s:s, s:s, s:I, s:o}", "kind", "artifact", "name", name, "bytes",
                              (json_int_t)bytes, "reason", pnx__sweep_text(reason)));
}

static bool take(struct file *file, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t wrote = write(file->fd, data, size);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0) {
            file->failed = true;
            return false;
        }
        data += wrote;
        size -= (size_t)wrote;
        file->size += (size_t)wrote;
    }
    return true;
}

static bool take_log(int stream, const void *data, size_t size, void *context)
{
    struct file *file = context;
    (void)stream;
    if (file->size + size > LOG_MAX) {
        file->full = true;
        return false;
    }
    return take(file, data, size);
}

static int create(int to, const char *name)
{
    int fd = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        tell(name, 0, strerror(errno));
    return fd;
}

static void finish(int to, const char *name, struct file *file, pnx_status status,
                   const pnx_error *err)
{
    const char *reason = file->failed ? strerror(errno) : (status != PNX_OK ? err->message : "");
    close(file->fd);
    if (*reason && file->size == 0)
        (void)unlinkat(to, name, 0);
    if (file->full && !*reason)
        reason = "cut at 64 MiB";
    tell(name, file->size, file->full || !*reason || file->size == 0 ? reason : "");
}

static void save_log(pnx_engine *engine, const json_t *container, int to, const pnx_call *call)
{
    char name[160];
    pnx_error err = {0};
    const char *id = json_string_value(json_object_get(container, "Id"));
    name_file(container, "log", name, sizeof name);
    struct file file = {.fd = create(to, name)};
    if (file.fd < 0 || !id)
        return;
    pnx_status status = pnx_engine_logs(engine, id, NULL, take_log, &file, call, &err);
    finish(to, name, &file, status, &err);
}

static void save_inspection(pnx_engine *engine, const json_t *container, int to,
                            const pnx_call *call)
{
    char name[160];
    pnx_error err = {0};
    json_t *about = NULL;
    const char *id = json_string_value(json_object_get(container, "Id"));
    name_file(container, "json", name, sizeof name);
    struct file file = {.fd = create(to, name)};
    if (file.fd < 0 || !id)
        return;
    pnx_status status = pnx_engine_inspect(engine, PNX_CONTAINER, id, call, &about, &err);
    char *text = status == PNX_OK ? json_dumps(about, JSON_INDENT(2)) : NULL;
    if (text && take(&file, text, strlen(text)))
        (void)take(&file, "\n", 1);
    free(text);
    json_decref(about);
    finish(to, name, &file, status, &err);
}

void pnx__sweep_save(pnx_engine *engine, const char *session, int to, pnx_time deadline)
{
    char label[128];
    json_t *list = NULL;
    const pnx_call whole = {.deadline = deadline};
    snprintf(label, sizeof label, "%s=%s", PNX_LABEL_SESSION, session);
    const char *const labels[] = {label, NULL};
    if (pnx_engine_list(engine, PNX_CONTAINER, labels, &whole, &list, NULL) != PNX_OK)
        return; /* the sweep itself will tell why */
    size_t index;
    const json_t *container;
    json_array_foreach(list, index, container)
    {
        pnx_time soon = pnx_time_after(pnx_monotonic_now(), ONE_LOG);
        const pnx_call call = {.deadline = soon < deadline ? soon : deadline};
        save_inspection(engine, container, to, &call);
        save_log(engine, container, to, &call);
    }
    json_decref(list);
}
