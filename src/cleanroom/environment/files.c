/* SPDX-License-Identifier: MIT */
#include "environment/files.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

pnx_status pnx__make_directories(const char *path, pnx_error *err)
{
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof part)
        return pnx_fail(err, PNX_EINVAL, "'%.100s' is no path of a directory", path);
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST && errno != EISDIR)
            return pnx_fail(err, PNX_EFAILED, "cannot make the directory %s: %m", part);
    }
    return PNX_OK;
}

void pnx__remove_empty_directories(const char *top, const char *path)
{
    char part[PATH_MAX];
    size_t length = strlen(path), least = strlen(top);
    if (length >= sizeof part || strncmp(path, top, least) != 0)
        return;
    memcpy(part, path, length + 1);
    while (length >= least && length > 0 && rmdir(part) == 0) {
        while (length > 0 && part[length] != '/')
            length--;
        part[length] = '\0';
    }
}

static bool ends_in(const char *name, const char *end)
{
    size_t length = strlen(name), most = strlen(end);
    return length > most && strcmp(name + length - most, end) == 0;
}

bool pnx__is_coverage(const char *name)
{
    return ends_in(name, ".profraw") || ends_in(name, ".gcda");
}
