/* SPDX-License-Identifier: MIT */
#include "kind/cgroup_hand_down.h"

#include "kind/cgroup_place.h"
#include "kind/limiter.h"
#include "kind/procfs.h"
#include "kind/sys.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* So often those that live there are moved, while they fork. */
#define ROUNDS 10

unsigned pnx__cgroup_controllers(const pnx_limits *limits)
{
    unsigned controllers = 0;
    for (int i = 0; i < PNX__CONTROLLERS; i++)
        if (pnx__limit_of(limits, i))
            controllers |= 1u << i;
    return controllers;
}

/* Are all of them among the words of the file? */
static bool lists(const char *dir, const char *file, unsigned controllers)
{
    char path[PATH_MAX + 32], text[512];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    if (pnx__read_file(path, text, sizeof text) < 0)
        return false;
    char *rest = NULL;
    for (char *word = strtok_r(text, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest))
        for (int i = 0; i < PNX__CONTROLLERS; i++)
            if (strcmp(word, pnx__controller_name[i]) == 0)
                controllers &= ~(1u << i);
    return controllers == 0;
}

bool pnx__cgroup_has(const char *dir, unsigned controllers)
{
    return lists(dir, "cgroup.controllers", controllers);
}

static int open_dir(const char *dir)
{
    return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* All at once, or none: one write is one change. */
static bool control(const char *dir, char sign, unsigned controllers)
{
    char text[64] = "";
    for (int i = 0; i < PNX__CONTROLLERS; i++)
        if (controllers & 1u << i)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%c%s ", sign,
                     pnx__controller_name[i]);
    int fd = open_dir(dir);
    bool done = fd >= 0 && pnx__cgroup_write(fd, "cgroup.subtree_control", text);
    pnx__close(fd);
    return done;
}

/*
 * The kernel refuses memory to those beneath a cgroup that is lived in, but not pids and cpu, which
 * can be of single threads: then what is made beneath it can hold no process at all. The root,
 * which has no type, is an exception.
 */
static bool is_lived_in(const char *dir)
{
    char path[PATH_MAX + 32], text[32];
    snprintf(path, sizeof path, "%s/cgroup.type", dir);
    if (access(path, F_OK) != 0)
        return false;
    snprintf(path, sizeof path, "%s/cgroup.procs", dir);
    return pnx__read_file(path, text, sizeof text) != 0;
}

bool pnx__cgroup_hand_down(const char *dir, unsigned controllers)
{
    if (is_lived_in(dir)) {
        errno = EBUSY;
        return false;
    }
    return lists(dir, "cgroup.subtree_control", controllers) || control(dir, '+', controllers);
}

/* ---- leaving our own cgroup ------------------------------------------------------------------ */

static bool name_supervisor(const char *dir, const char *name, char *ret, size_t size)
{
    return snprintf(ret, size, "%s/%s.supervisor", dir, name) < (int)size;
}

struct move {
    int procs;        /* of where they go; -1: only looks */
    const char *name; /* of what is made */
    bool failed;
};

/* Ours are this process, its children, and who was told in its arguments what all this is for, as
 * the reaper of a session is; those of others are not ours to move. */
static bool is_ours(pid_t pid, pid_t parent, const char *name)
{
    static const char prefix[] = "cleanroom-";
    char command[512];
    if (pid == getpid() || parent == getpid())
        return true;
    if (strncmp(name, prefix, strlen(prefix)) == 0)
        name += strlen(prefix);
    pnx__proc_command(pid, command, sizeof command);
    return strstr(command, name) != NULL;
}

static void move_one(pid_t pid, void *context)
{
    struct move *move = context;
    struct pnx__proc_stat stat;
    if (!pnx__proc_stat(pid, &stat))
        return; /* it has ended */
    bool ours = is_ours(pid, stat.parent, move->name);
    if (move->procs >= 0)
        ours = ours && (dprintf(move->procs, "%d", (int)pid) > 0 || errno == ESRCH);
    if (!ours)
        move->failed = true;
}

/* False: not all that live in `from` are ours, or could be moved. `to` -1: only looks. */
static bool move_all(int from, int to, const char *name)
{
    struct move move = {.procs = -1, .name = name};
    int list = openat(from, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    if (to >= 0)
        move.procs = openat(to, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    move.failed = list < 0 || (to >= 0 && move.procs < 0);
    if (!move.failed)
        pnx__each_number_in(list, move_one, &move);
    pnx__close(list);
    pnx__close(move.procs);
    return !move.failed;
}

bool pnx__cgroup_move_out(const char *dir, const char *name)
{
    char path[PATH_MAX];
    int from = open_dir(dir);
    bool moved = from >= 0 && name_supervisor(dir, name, path, sizeof path) &&
                 move_all(from, -1, name) && mkdir(path, 0755) == 0;
    if (moved) {
        int to = open_dir(path);
        moved = to >= 0;
        /* One that forks just now is met in the next round. */
        for (int round = 0; moved && round < ROUNDS && (round == 0 || is_lived_in(dir)); round++)
            moved = move_all(from, to, name);
        if (!moved && to >= 0)
            (void)move_all(to, from, name);
        pnx__close(to);
        if (!moved)
            (void)rmdir(path);
    }
    pnx__close(from);
    return moved;
}

static bool is_there(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0;
}

bool pnx__cgroup_move_back(const char *dir, const char *name, pnx_error *err)
{
    char path[PATH_MAX];
    if (!name_supervisor(dir, name, path, sizeof path) || !is_there(path))
        return true;
    unsigned all = (1u << PNX__CONTROLLERS) - 1;
    for (int i = 0; i < PNX__CONTROLLERS; i++)
        if (lists(dir, "cgroup.subtree_control", all & 1u << i))
            (void)control(dir, '-', 1u << i);
    int from = open_dir(path), to = open_dir(dir);
    bool moved = from >= 0 && to >= 0 && move_all(from, to, name) && rmdir(path) == 0;
    if (!moved)
        pnx_fail(err, PNX_EFAILED, "cannot leave cgroup %s: %m", path);
    pnx__close(from);
    pnx__close(to);
    return moved;
}

/* ---- after a crash --------------------------------------------------------------------------- */

/* How deep such a cgroup is looked for. */
#define DEPTH_MAX 32

/* `path` is a buffer of PATH_MAX that holds the directory; answers whether it was found there. */
static bool find_in(char *path, const char *wanted, unsigned depth)
{
    size_t length = strlen(path);
    DIR *dir = depth < DEPTH_MAX ? opendir(path) : NULL;
    bool found = false;
    for (const struct dirent *entry; dir && !found && (entry = readdir(dir));) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        found = strcmp(entry->d_name, wanted) == 0;
        if (found)
            break;
        int needed = snprintf(path + length, PATH_MAX - length, "/%s", entry->d_name);
        found = needed < (int)(PATH_MAX - length) && find_in(path, wanted, depth + 1);
        if (!found)
            path[length] = '\0';
    }
    if (dir)
        closedir(dir);
    return found;
}

void pnx__cgroup_forget_supervisor(const char *name)
{
    struct pnx__cgroup_place place;
    char wanted[NAME_MAX + 16];
    snprintf(wanted, sizeof wanted, "%s.supervisor", name);
    if (pnx__cgroup_find_place(&place, NULL) == PNX_OK && find_in(place.mount, wanted, 0))
        (void)pnx__cgroup_move_back(place.mount, name, NULL);
}
