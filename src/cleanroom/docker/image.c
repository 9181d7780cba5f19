/* SPDX-License-Identifier: MIT */
/* Images: what they are made from, and what they are called. */
#include "docker/image.h"

#include "docker/calls.h"
#include "docker/follow.h"
#include "docker/path.h"
#include "docker/tar.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- progress -------------------------------------------------------------------------------- */

/* What the lines of a build, an import or a pull say in the end. */
struct progress {
    pnx_sink log;
    void *log_context;
    char id[96];
    bool failed, canceled;
    char error[PNX_ERROR_MESSAGE_MAX];
};

static void take_id(struct progress *progress, const char *id)
{
    if (strncmp(id, "sha256:", 7) == 0)
        id += 7;
    if (strlen(id) == 64 && strspn(id, "0123456789abcdef") == 64)
        snprintf(progress->id, sizeof progress->id, "sha256:%s", id); /* Podman leaves that away */
}

static bool visit_progress(json_t *json, void *context)
{
    struct progress *progress = context;
    const char *error = json_string_value(json_object_get(json, "error"));
    const char *text = pnx__docker_json_text(json, "stream");
    if (error) {
        progress->failed = true;
        snprintf(progress->error, sizeof progress->error, "%s", error);
    }
    take_id(progress, pnx__docker_json_text(json_object_get(json, "aux"), "ID"));
    take_id(progress, pnx__docker_json_text(json, "status"));
    if (*text && progress->log)
        progress->canceled = !progress->log(1, text, strlen(text), progress->log_context);
    return !progress->canceled;
}

/* The path is freed. */
static pnx_status follow(pnx_engine *engine, char *path, int fd, struct progress *progress,
                         const struct pnx__limit *limit, pnx_error *err)
{
    struct pnx__docker_exchange exchange = {
        .method = "POST",
        .path = path,
        .content_type = "application/x-tar",
        .body_fd = fd,
        .has_body_fd = fd >= 0,
    };
    pnx_status status =
        pnx__docker_follow_lines(engine, &exchange, visit_progress, progress, limit, err);
    free(path);
    if (status == PNX_OK && progress->canceled)
        return pnx_fail(err, PNX_ECANCELED, "whoever takes the log had enough");
    /* The HTTP status was sent long before it failed. */
    if (status == PNX_OK && progress->failed)
        return pnx_fail(err, PNX_EFAILED, "%s", progress->error);
    return status;
}

/* ---- making ---------------------------------------------------------------------------------- */

/* A word of a Dockerfile: in quotes where it needs them, for Podman takes quotes for part of it. */
static void put_word(FILE *out, const char *word)
{
    bool plain = *word && !word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                             "0123456789._-:/+,@")];
    if (!plain)
        putc('"', out);
    for (const char *at = word; *at; at++) {
        if (strchr("\"\\$", *at))
            putc('\\', out);
        putc(*at == '\n' ? ' ' : *at, out);
    }
    if (!plain)
        putc('"', out);
}

static bool append_label(json_t *changes, const char *key, const char *value)
{
    char *line = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&line, &size);
    if (!out)
        return false;
    fputs("LABEL ", out);
    put_word(out, key);
    putc('=', out);
    put_word(out, value);
    bool good = fclose(out) == 0 && json_array_append_new(changes, json_string(line)) == 0;
    free(line);
    return good;
}

/* Labels come as lines of a Dockerfile, for import and commit know nothing else. */
static json_t *all_changes(const struct pnx__image *image)
{
    json_t *changes = json_deep_copy(image->changes);
    const char *key;
    json_t *value;
    json_object_foreach(image->labels, key, value)
    {
        if (!append_label(changes, key, json_string_value(value))) {
            json_decref(changes);
            return NULL;
        }
    }
    return changes;
}

/* "?a=b" and "&changes=…" of each; the caller frees it. */
static pnx_status path_with_changes(char **ret, char *path, const json_t *changes, pnx_error *err)
{
    size_t i;
    const json_t *line;
    json_array_foreach(changes, i, line)
    {
        char *escaped = NULL, *longer = NULL;
        pnx_status status = pnx__docker_path(&escaped, err, "?changes=%s", json_string_value(line));
        if (status == PNX_OK && asprintf(&longer, "%s&%s", path, escaped + 1) < 0)
            status = pnx__docker_no_memory(err);
        free(escaped);
        free(path);
        if (status != PNX_OK)
            return status;
        path = longer;
    }
    *ret = path;
    return PNX_OK;
}

/* Splits "host:5000/name:tag" where its tag begins; "latest" if it has no tag and no digest. */
static void split_name(const char *name, char *ret_repository, size_t size, const char **ret_tag)
{
    const char *slash = strrchr(name, '/');
    bool digest = strchr(name, '@') != NULL;
    const char *colon = digest ? NULL : strchr(slash ? slash : name, ':');
    *ret_tag = colon ? colon + 1 : *name && !digest ? "latest" : "";
    snprintf(ret_repository, size, "%.*s", colon ? (int)(colon - name) : (int)strlen(name), name);
}

static pnx_status import(pnx_engine *engine, const struct pnx__image *image,
                         struct progress *progress, const struct pnx__limit *limit, pnx_error *err)
{
    char *path = NULL;
    int fd = -1;
    pnx_status status = pnx__docker_tar_open(image->from, limit, &fd, err);
    if (status != PNX_OK)
        return status;
    json_t *changes = all_changes(image);
    /* The tag within the name: Podman takes no other. */
    status = changes ? pnx__docker_path(&path, err, "/images/create?fromSrc=-&repo=%s", image->name)
                     : pnx__docker_no_memory(err);
    if (status == PNX_OK)
        status = path_with_changes(&path, path, changes, err);
    if (status == PNX_OK)
        status = follow(engine, path, fd, progress, limit, err);
    json_decref(changes);
    close(fd);
    return status;
}

static pnx_status build(pnx_engine *engine, const struct pnx__image *image,
                        struct progress *progress, const struct pnx__limit *limit, pnx_error *err)
{
    char *path = NULL;
    int fd = -1;
    pnx_status status = pnx__docker_tar_open(image->from, limit, &fd, err);
    if (status != PNX_OK)
        return status;
    status = pnx__docker_path(&path, err,
                              "/build?rm=1&forcerm=1&t=%s&dockerfile=%s&labels=%p&buildargs=%p",
                              image->name, image->dockerfile, image->labels, image->arguments);
    if (status == PNX_OK)
        status = follow(engine, path, fd, progress, limit, err);
    close(fd);
    return status;
}

static pnx_status commit(pnx_engine *engine, const struct pnx__image *image,
                         struct progress *progress, const struct pnx__limit *limit, pnx_error *err)
{
    char repository[256], *path = NULL;
    const char *tag;
    json_t *answer = NULL, *changes = all_changes(image);
    split_name(image->name, repository, sizeof repository, &tag);
    pnx_status status = changes
                            ? pnx__docker_path(&path, err, "/commit?container=%s&repo=%s&tag=%s",
                                               image->from, repository, tag)
                            : pnx__docker_no_memory(err);
    if (status == PNX_OK)
        status = path_with_changes(&path, path, changes, err);
    json_decref(changes);
    if (status != PNX_OK)
        return status;
    json_t *body = json_object(); /* Podman wants one */
    status = pnx__docker_request(engine, "POST", path, body, limit, &answer, err);
    json_decref(body);
    free(path);
    if (status == PNX_OK)
        take_id(progress, pnx__docker_json_text(answer, "Id"));
    json_decref(answer);
    return status;
}

pnx_status pnx__docker_image_make(pnx_engine *engine, const struct pnx__image *image,
                                  const struct pnx__limit *limit, char *ret_id, size_t size,
                                  pnx_error *err)
{
    struct progress progress = {.log = image->log, .log_context = image->log_context};
    pnx_status status;
    switch (image->source) {
    case PNX__IMAGE_IMPORT:
        status = import(engine, image, &progress, limit, err);
        break;
    case PNX__IMAGE_BUILD:
        status = build(engine, image, &progress, limit, err);
        break;
    default:
        status = commit(engine, image, &progress, limit, err);
        break;
    }
    if (status != PNX_OK)
        return status;
    if (!progress.id[0])
        return pnx_fail(err, PNX_EFAILED, "the engine did not say which image it made");
    snprintf(ret_id, size, "%s", progress.id);
    return PNX_OK;
}

/* ---- names ----------------------------------------------------------------------------------- */

pnx_status pnx_engine_tag(pnx_engine *engine, const char *image, const char *name,
                          const pnx_call *call, pnx_error *err)
{
    struct pnx__limit limit = pnx__docker_limit_of(engine, call);
    char repository[256], *path = NULL;
    const char *tag;
    split_name(name, repository, sizeof repository, &tag);
    pnx_status status =
        pnx__docker_path(&path, err, "/images/%s/tag?repo=%s&tag=%s", image, repository, tag);
    if (status != PNX_OK)
        return status;
    status = pnx__docker_request(engine, "POST", path, NULL, &limit, NULL, err);
    free(path);
    return status == PNX_OK ? PNX_OK : pnx_wrap(err, status, "cannot call %s %s", image, name);
}

pnx_status pnx_engine_pull(pnx_engine *engine, const char *image, const pnx_call *call,
                           pnx_error *err)
{
    struct pnx__limit limit = pnx__docker_limit_of(engine, call);
    struct progress progress = {0};
    char repository[256], *path = NULL;
    const char *tag;
    split_name(image, repository, sizeof repository, &tag);
    pnx_status status =
        pnx__docker_path(&path, err, "/images/create?fromImage=%s&tag=%s", repository, tag);
    if (status == PNX_OK)
        status = follow(engine, path, -1, &progress, &limit, err);
    return status == PNX_OK ? PNX_OK : pnx_wrap(err, status, "cannot pull %s", image);
}
