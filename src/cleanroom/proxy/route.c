/* SPDX-License-Identifier: MIT */
#include "proxy/route.h"

#include "proxy/query.h"

#include <string.h>

/* ---- the table ------------------------------------------------------------------------------- */

/* In a path, '*' is the id or name. */
struct row {
    enum http_method method;
    const char *path;
    enum pnx__route_what what;
    pnx_object_type type;
    const char *field, *identity, *answer;
};

#define CREATE(path, type, field, identity)                                                        \
    {                                                                                              \
        HTTP_POST, path, PNX__ROUTE_CREATE, type, field, identity, NULL                            \
    }
#define ROW(method, path, what, type)                                                              \
    {                                                                                              \
        method, path, PNX__ROUTE_##what, type, NULL, NULL, NULL                                    \
    }

/* The first that fits counts. */
static const struct row both[] = {
    CREATE("/containers/create", PNX_CONTAINER, "Labels", "Id"),
    CREATE("/networks/create", PNX_NETWORK, "Labels", "Id"),
    CREATE("/volumes/create", PNX_VOLUME, "Labels", "Name"),
    ROW(HTTP_POST, "/build", BUILD, PNX_IMAGE),
    ROW(HTTP_POST, "/commit", CHANGE, PNX_IMAGE),
    ROW(HTTP_POST, "/images/load", LOAD, PNX_IMAGE),
    ROW(HTTP_POST, "/grpc", UNSEEN, PNX_IMAGE),

    ROW(HTTP_GET, "/containers/json", LIST, PNX_CONTAINER),
    ROW(HTTP_GET, "/networks", LIST, PNX_NETWORK),
    ROW(HTTP_GET, "/volumes", LIST, PNX_VOLUME),
    ROW(HTTP_GET, "/images/json", LIST, PNX_IMAGE),
    ROW(HTTP_GET, "/events", LIST, PNX_CONTAINER),
    ROW(HTTP_POST, "/containers/prune", PRUNE, PNX_CONTAINER),
    ROW(HTTP_POST, "/networks/prune", PRUNE, PNX_NETWORK),
    ROW(HTTP_POST, "/volumes/prune", PRUNE, PNX_VOLUME),
    ROW(HTTP_POST, "/images/prune", PRUNE, PNX_IMAGE),
    {HTTP_POST, "/build/prune", PNX__ROUTE_PURGE, PNX_IMAGE, NULL, NULL,
     "{\"CachesDeleted\":[],\"SpaceReclaimed\":0}"},

    ROW(HTTP_DELETE, "/containers/*", HARM, PNX_CONTAINER),
    ROW(HTTP_POST, "/containers/*/stop", HARM, PNX_CONTAINER),
    ROW(HTTP_POST, "/containers/*/kill", HARM, PNX_CONTAINER),
    ROW(HTTP_POST, "/containers/*/restart", HARM, PNX_CONTAINER),
    ROW(HTTP_POST, "/containers/*/pause", HARM, PNX_CONTAINER),
    ROW(HTTP_POST, "/containers/*/rename", HARM, PNX_CONTAINER),
    ROW(HTTP_POST, "/containers/*/update", HARM, PNX_CONTAINER),
    ROW(HTTP_GET, "/containers/*/", LOOK, PNX_CONTAINER),
    ROW(HTTP_HEAD, "/containers/*/", LOOK, PNX_CONTAINER),
    ROW(HTTP_POST, "/containers/*/", LOOK, PNX_CONTAINER),
    ROW(HTTP_PUT, "/containers/*/", HARM, PNX_CONTAINER),

    ROW(HTTP_DELETE, "/networks/*", HARM, PNX_NETWORK),
    ROW(HTTP_POST, "/networks/*/disconnect", HARM, PNX_NETWORK),
    ROW(HTTP_GET, "/networks/*", LOOK, PNX_NETWORK),
    ROW(HTTP_POST, "/networks/*/", LOOK, PNX_NETWORK),

    ROW(HTTP_DELETE, "/volumes/*", HARM, PNX_VOLUME),
    ROW(HTTP_GET, "/volumes/*", LOOK, PNX_VOLUME),
    /* What images are there is nobody's secret: containers are made from them. */
    ROW(HTTP_DELETE, "/images/*", HARM, PNX_IMAGE),
};

static const struct row docker_only[] = {
    ROW(HTTP_POST, "/services/create", UNSEEN, PNX_CONTAINER),
    ROW(HTTP_POST, "/secrets/create", UNSEEN, PNX_CONTAINER),
    ROW(HTTP_POST, "/configs/create", UNSEEN, PNX_CONTAINER),
    ROW(HTTP_POST, "/plugins/", UNSEEN, PNX_CONTAINER),
};

/* Where Podman's own API differs. */
static const struct row libpod_only[] = {
    CREATE("/containers/create", PNX_CONTAINER, "labels", "Id"),
    CREATE("/pods/create", PNX_CONTAINER, "labels", "Id"),
    CREATE("/networks/create", PNX_NETWORK, "labels", "id"),
    CREATE("/volumes/create", PNX_VOLUME, "Labels", "Name"),
    ROW(HTTP_POST, "/images/import", CHANGE, PNX_IMAGE),
    ROW(HTTP_POST, "/play/kube", UNSEEN, PNX_CONTAINER),
    ROW(HTTP_POST, "/kube/play", UNSEEN, PNX_CONTAINER),
    ROW(HTTP_GET, "/networks/json", LIST, PNX_NETWORK),
    ROW(HTTP_GET, "/volumes/json", LIST, PNX_VOLUME),
    ROW(HTTP_GET, "/pods/json", LIST, PNX_CONTAINER),
    {HTTP_POST, "/pods/prune", PNX__ROUTE_PURGE, PNX_CONTAINER, NULL, NULL, "[]"},
    {HTTP_POST, "/system/prune", PNX__ROUTE_PURGE, PNX_CONTAINER, NULL, NULL,
     "{\"PodPruneReport\":[],\"ContainerPruneReports\":[],\"ImagePruneReports\":[],"
     "\"NetworkPruneReports\":[],\"VolumePruneReports\":[],\"ReclaimedSpace\":0}"},
    ROW(HTTP_DELETE, "/images/remove", HARM, PNX_IMAGE),
    ROW(HTTP_DELETE, "/pods/*", HARM, PNX_CONTAINER),
    ROW(HTTP_POST, "/pods/*/stop", HARM, PNX_CONTAINER),
    ROW(HTTP_POST, "/pods/*/kill", HARM, PNX_CONTAINER),
    ROW(HTTP_POST, "/pods/*/restart", HARM, PNX_CONTAINER),
    ROW(HTTP_POST, "/pods/*/pause", HARM, PNX_CONTAINER),
    ROW(HTTP_GET, "/networks/*/", LOOK, PNX_NETWORK),
    ROW(HTTP_GET, "/volumes/*/", LOOK, PNX_VOLUME),
    ROW(HTTP_GET, "/pods/*/", LOOK, PNX_CONTAINER),
    ROW(HTTP_POST, "/pods/*/", LOOK, PNX_CONTAINER),
};

/* ---- finding --------------------------------------------------------------------------------- */

/* The star stands for one part of the path, or at the end for all the rest: an image's name has
 * slashes. A pattern that ends with a slash fits whatever follows. */
static bool fits(const char *path, const char *pattern, const char **ret_name, size_t *ret_size)
{
    const char *star = strchr(pattern, '*');
    *ret_name = NULL;
    *ret_size = 0;
    if (!star) {
        size_t length = strlen(pattern);
        bool open = pattern[length - 1] == '/';
        return strncmp(path, pattern, length) == 0 && (open || !path[length]);
    }
    size_t before = (size_t)(star - pattern);
    if (strncmp(path, pattern, before) != 0 || !path[before])
        return false;
    *ret_name = path + before;
    if (!star[1]) {
        *ret_size = strlen(path + before);
        return true;
    }
    *ret_size = strcspn(path + before, "/");
    const char *rest = path + before + *ret_size;
    return star[2] ? strcmp(rest, star + 1) == 0 : rest[0] == '/' && rest[1];
}

static bool look_up(const struct row *rows, size_t count, enum http_method method, const char *path,
                    struct pnx__route *ret, bool *found)
{
    for (size_t i = 0; i < count; i++) {
        const char *name;
        size_t size;
        if (rows[i].method != method || !fits(path, rows[i].path, &name, &size))
            continue;
        *found = true;
        ret->what = rows[i].what;
        ret->type = rows[i].type;
        ret->field = rows[i].field;
        ret->identity = rows[i].identity;
        ret->answer = rows[i].answer;
        if (ret->what == PNX__ROUTE_UNSEEN)
            return pnx__bytes_add_text(&ret->subject, path);
        return pnx__bytes_add(&ret->subject, name, size);
    }
    return true;
}

static bool is_version(const char *at, size_t size)
{
    return size > 1 && at[0] == 'v' && strspn(at + 1, "0123456789.") >= size - 1;
}

/* What of the target is the path, without the server that is named in it. */
static const char *path_of(const char *target, size_t *ret_size)
{
    const char *slashes = strstr(target, "://");
    if (target[0] != '/' && slashes && slashes < target + strcspn(target, "?/") + 1)
        target = slashes + 3 + strcspn(slashes + 3, "/?");
    *ret_size = strcspn(target, "?#");
    return target;
}

/* "/v1.41" and "/libpod" are taken off. */
static const char *without_version(const char *path, bool *ret_libpod)
{
    size_t first = path[0] == '/' ? strcspn(path + 1, "/") : 0;
    if (is_version(path + 1, first))
        path += 1 + first;
    *ret_libpod = strncmp(path, "/libpod/", 8) == 0;
    return path + (*ret_libpod ? strlen("/libpod") : 0);
}

static bool may_hijack(enum http_method method, const char *path)
{
    size_t length = strlen(path);
    static const char attach[] = "/attach", start[] = "/start";
    if (method != HTTP_POST)
        return false;
    if (strncmp(path, "/exec/", 6) == 0)
        return length > sizeof start && strcmp(path + length - strlen(start), start) == 0;
    return strncmp(path, "/containers/", 12) == 0 && length > sizeof attach &&
           strcmp(path + length - strlen(attach), attach) == 0;
}

static bool is_import(const char *target)
{
    struct pnx__bytes from = {0};
    bool given = pnx__query_get(target, "fromSrc", &from) && from.size > 0;
    pnx__bytes_done(&from);
    return given;
}

#define LOOK_UP(rows)                                                                              \
    (found || look_up(rows, sizeof rows / sizeof *rows, method, path, ret, &found))

bool pnx__route_find(enum http_method method, const char *target, struct pnx__route *ret)
{
    struct pnx__bytes decoded = {0};
    size_t size;
    const char *raw = path_of(target, &size);
    *ret = (struct pnx__route){.what = PNX__ROUTE_OTHER};
    if (!pnx__query_decode(raw, size, false, &decoded)) {
        pnx__bytes_done(&decoded);
        return false;
    }
    size_t length = decoded.size;
    while (length > 1 && decoded.data[length - 1] == '/')
        decoded.data[--length] = '\0';
    bool found = false, good;
    const char *path = without_version(decoded.data, &ret->libpod);
    ret->hijack = may_hijack(method, path);
    ret->pod = ret->libpod && strncmp(path, "/pods/", 6) == 0;
    if (!ret->libpod && method == HTTP_POST && strcmp(path, "/images/create") == 0) {
        ret->what = is_import(target) ? PNX__ROUTE_CHANGE : PNX__ROUTE_OTHER;
        ret->type = PNX_IMAGE;
        good = true;
    } else {
        good = ret->libpod ? LOOK_UP(libpod_only) : LOOK_UP(docker_only);
        good = good && LOOK_UP(both);
    }
    pnx__bytes_done(&decoded);
    return good;
}

void pnx__route_done(struct pnx__route *route)
{
    pnx__bytes_done(&route->subject);
}
