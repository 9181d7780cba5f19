/* SPDX-License-Identifier: MIT */
#include "kind/cgroup_place.h"

#include "kind/mount.h"
#include "kind/procfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* mountinfo writes blanks and backslashes as three octal digits. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        int value;
        if (from[0] == '\\' && from[1] && from[2] && from[3]) {
            value = (from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0');
            from += 4;
        } else {
            value = (unsigned char)*from++;
        }
        *to = (char)value;
    }
    *to = '\0';
}

/* Is `word` one of those that commas separate? */
static bool names(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += length)
        if ((at == list || at[-1] == ',') && strchr(",\n:", at[length]))
            return true;
    return false;
}

/*
 * "36 35 0:30 ROOT MOUNTPOINT rw,… - cgroup2 cgroup2 rw": ROOT is what of the hierarchy is mounted
 * there. `ret_root` and `ret_mount` point into `line`. With a controller: "… - cgroup cgroup
 * rw,memory".
 */
static bool parse_mount(char *line, const char *controller, char **ret_root, char **ret_mount)
{
    char *type = strstr(line, controller ? " - cgroup " : " - cgroup2 ");
    const char *options = type ? strrchr(type, ' ') : NULL;
    if (!type || (controller && !names(options + 1, controller)))
        return false;
    *type = '\0';
    char *rest = NULL;
    strtok_r(line, " ", &rest);
    strtok_r(NULL, " ", &rest);
    strtok_r(NULL, " ", &rest);
    *ret_root = strtok_r(NULL, " ", &rest);
    *ret_mount = strtok_r(NULL, " ", &rest);
    if (!*ret_root || !*ret_mount)
        return false;
    unescape(*ret_root);
    unescape(*ret_mount);
    return true;
}

/* "4:memory:/PATH" of our own. */
static bool own_v1(const char *controller, char *ret, size_t size)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    char *line = NULL;
    size_t room = 0;
    bool found = false;
    while (file && !found && getline(&line, &room, file) > 0) {
        char *list = strchr(line, ':');
        char *path = list ? strchr(list + 1, ':') : NULL;
        if (!path || !names(list + 1, controller))
            continue;
        path[1 + strcspn(path + 1, "\n")] = '\0';
        found = snprintf(ret, size, "%s", path + 1) < (int)size;
    }
    free(line);
    if (file)
        fclose(file);
    return found;
}

/* The directory of our own cgroup beneath this mount, if it can be seen there. */
static void locate_own(struct pnx__cgroup_place *place, const char *controller)
{
    size_t length = strcmp(place->root, "/") == 0 ? 0 : strlen(place->root);
    place->own_dir[0] = '\0';
    bool known = controller ? own_v1(controller, place->own, sizeof place->own)
                            : pnx__proc_cgroup(getpid(), place->own, sizeof place->own);
    if (!known || strstr(place->own, "/.."))
        return;
    const char *below = place->own + length;
    if (strncmp(place->own, place->root, length) != 0 || (*below != '/' && *below != '\0'))
        return;
    if (strcmp(below, "/") == 0)
        below = "";
    int needed = snprintf(place->own_dir, sizeof place->own_dir, "%s%s", place->mount, below);
    if (needed >= (int)sizeof place->own_dir || access(place->own_dir, F_OK) != 0)
        place->own_dir[0] = '\0';
}

static pnx_status find(const char *controller, struct pnx__cgroup_place *ret, pnx_error *err)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    if (!file)
        return pnx_fail(err, PNX_EUNSUPPORTED, "cannot read /proc/self/mountinfo: %m");
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    while (!found && getline(&line, &size, file) > 0) {
        char *root, *mount;
        if (!parse_mount(line, controller, &root, &mount) || strlen(mount) >= PATH_MAX ||
            strlen(root) >= PATH_MAX)
            continue;
        found = true;
        memcpy(ret->mount, mount, strlen(mount) + 1);
        memcpy(ret->root, root, strlen(root) + 1);
        locate_own(ret, controller);
    }
    free(line);
    fclose(file);
    if (!found && controller)
        return pnx_fail(err, PNX_EUNSUPPORTED, "no cgroup v1 is mounted for %s", controller);
    if (!found)
        return pnx_fail(err, PNX_EUNSUPPORTED, "no cgroup v2 is mounted");
    return PNX_OK;
}

pnx_status pnx__cgroup_find_place(struct pnx__cgroup_place *ret, pnx_error *err)
{
    return find(NULL, ret, err);
}

pnx_status pnx__cgroup_find_v1(const char *controller, struct pnx__cgroup_place *ret,
                               pnx_error *err)
{
    return find(controller, ret, err);
}

bool pnx__cgroup_path_fits(const struct pnx__cgroup_place *place, const char *path)
{
    size_t length = strlen(place->mount);
    return pnx__is_plain_path(path) && strncmp(path, place->mount, length) == 0 &&
           path[length] == '/' && path[length + 1];
}
