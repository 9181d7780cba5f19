/* SPDX-License-Identifier: MIT */
#include "kind/procfs.h"

#include "kind/sys.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A flag of the kernel's that /proc/…/stat shows in its ninth field. */
#define PF_KTHREAD 0x00200000
/* How often, a millisecond apart, we look at a process that is being executed. */
#define EXEC_LOOKS 100
/* The same, when it is only about what to call it. */
#define NAME_LOOKS 20

/* ---- files ----------------------------------------------------------------------------------- */

static ssize_t read_all(int fd, char *buffer, size_t size)
{
    size_t filled = 0;
    while (filled < size - 1) {
        ssize_t got = read(fd, buffer + filled, size - 1 - filled);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        filled += (size_t)got;
    }
    buffer[filled] = '\0';
    return (ssize_t)filled;
}

ssize_t pnx__read_file(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t length = read_all(fd, buffer, size);
    pnx__close(fd);
    return length;
}

static int open_of(pid_t pid, const char *file)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static ssize_t read_of(pid_t pid, const char *file, char *buffer, size_t size)
{
    int fd = open_of(pid, file);
    if (fd < 0)
        return -1;
    ssize_t length = read_all(fd, buffer, size);
    pnx__close(fd);
    return length;
}

/* ---- one process ----------------------------------------------------------------------------- */

/* "4711 (any ) bytes) S 1 2 3 …": the name ends at the last parenthesis. */
static bool parse_stat(char *text, struct pnx__proc_stat *ret)
{
    char *name = strchr(text, '('), *end = strrchr(text, ')');
    if (!name || !end || end[1] != ' ')
        return false;
    *end = '\0';
    snprintf(ret->name, sizeof ret->name, "%s", name + 1);
    ret->state = end[2];
    char *at = end + 3;
    uint64_t fields[19]; /* from the 4th of the line, the parent, to the 22nd, the start time */
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        fields[i] = strtoull(at, &at, 10);
    ret->parent = (pid_t)fields[0];
    ret->group = (pid_t)fields[1];
    ret->session = (pid_t)fields[2];
    ret->kernel = fields[5] & PF_KTHREAD;
    ret->start_time = fields[18];
    return ret->start_time != 0 || ret->parent == 0;
}

bool pnx__proc_stat(pid_t pid, struct pnx__proc_stat *ret)
{
    char text[512], path[32];
    struct stat owner;
    int fd = open_of(pid, "stat");
    if (fd < 0)
        return false;
    ssize_t got = read(fd, text, sizeof text - 1); /* the kernel gives the line in one piece */
    /* The files in it are root's, if it is no longer dumpable, or ends; the directory is not. */
    snprintf(path, sizeof path, "/proc/%d", (int)pid);
    bool known = got > 0 && stat(path, &owner) == 0;
    pnx__close(fd);
    if (!known)
        return false;
    text[got] = '\0';
    ret->user = owner.st_uid;
    return parse_stat(text, ret);
}

bool pnx__proc_cgroup(pid_t pid, char *buffer, size_t size)
{
    char text[8192];
    if (read_of(pid, "cgroup", text, sizeof text) <= 0)
        return false;
    char *line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    if (!line)
        return false;
    line += *line == '\n' ? 4 : 3;
    line[strcspn(line, "\n")] = '\0';
    return snprintf(buffer, size, "%s", line) < (int)size;
}

enum answer { NO, YES, NOTHING };

/* NOTHING: there is no environment at all. */
static enum answer search_environment(pid_t pid, const char *entry)
{
    /* What is looked for may lie across two reads: the end of one is kept before the next. */
    char text[16384];
    size_t length = strlen(entry) + 1, kept = 1;
    if (length > sizeof text / 2)
        return NO;
    int fd = open_of(pid, "environ");
    if (fd < 0)
        return NO;
    text[0] = '\0'; /* an entry begins after a terminator, the first one too */
    enum answer answer = NOTHING;
    ssize_t got;
    while (answer != YES && (got = read(fd, text + kept, sizeof text - kept)) > 0) {
        size_t filled = kept + (size_t)got;
        answer = NO;
        for (char *at = text; answer != YES; at++) {
            at = memmem(at, filled - (size_t)(at - text), entry, length);
            if (!at)
                break;
            if (at > text && at[-1] == '\0')
                answer = YES;
        }
        kept = filled < length ? filled : length;
        memmove(text, text + filled - kept, kept);
    }
    pnx__close(fd);
    return answer;
}

static bool has_memory(const struct pnx__proc_stat *stat)
{
    return !stat->kernel && stat->state != 'Z' && stat->state != 'X';
}

/*
 * In the middle of execve(2), when its memory is new but its stack is not yet, a process shows
 * neither environment nor arguments. One that was given no environment has arguments.
 */
static bool is_being_executed(pid_t pid)
{
    char argument[2];
    struct pnx__proc_stat stat;
    return read_of(pid, "cmdline", argument, sizeof argument) == 0 && pnx__proc_stat(pid, &stat) &&
           has_memory(&stat);
}

static ssize_t read_command(pid_t pid, char *buffer, size_t size)
{
    ssize_t length = read_of(pid, "cmdline", buffer, size);
    while (length > 0 && buffer[length - 1] == '\0')
        length--;
    for (ssize_t i = 0; i < length; i++)
        if (buffer[i] == '\0')
            buffer[i] = ' ';
    return length;
}

void pnx__proc_command(pid_t pid, char *buffer, size_t size)
{
    struct pnx__proc_stat stat = {.name = "?"};
    /* Some have emptied their arguments themselves, and their environment, too: not for long. */
    for (unsigned looks = 0; looks < NAME_LOOKS; looks++) {
        char variable[2];
        bool executed = read_of(pid, "environ", variable, sizeof variable) != 0;
        if (read_command(pid, buffer, size) > 0)
            return;
        if (!pnx__proc_stat(pid, &stat) || executed || !has_memory(&stat))
            break;
        (void)poll(NULL, 0, 1);
    }
    snprintf(buffer, size, "[%s]", stat.name);
}

bool pnx__proc_has_environment(pid_t pid, const char *entry)
{
    /* The kernel tells nobody when it is over: it takes microseconds, so we look a few times. */
    for (unsigned looks = 0; looks < EXEC_LOOKS; looks++) {
        enum answer answer = search_environment(pid, entry);
        if (answer != NOTHING)
            return answer == YES;
        if (!is_being_executed(pid)) /* it may have been until a moment ago */
            return search_environment(pid, entry) == YES;
        (void)poll(NULL, 0, 1);
    }
    return false;
}

pid_t pnx__proc_pid_of(int pidfd)
{
    char path[48], text[512];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    const char *line = pnx__read_file(path, text, sizeof text) > 0 ? strstr(text, "\nPid:") : NULL;
    long pid = line ? strtol(line + strlen("\nPid:"), NULL, 10) : 0;
    return pid > 0 ? (pid_t)pid : 0;
}

pid_t pnx__proc_last_pid(void)
{
    char text[128];
    if (pnx__read_file("/proc/loadavg", text, sizeof text) <= 0)
        return -1;
    const char *last = strrchr(text, ' ');
    return last ? (pid_t)strtol(last, NULL, 10) : -1;
}

/* ---- many ------------------------------------------------------------------------------------ */

/* Calls `visit` for every entry of the directory `fd` whose name is a number. */
static void each_number(int fd, pnx__pid_fn visit, void *context)
{
    _Alignas(8) char buffer[8192];
    ssize_t got;
    while ((got = pnx__getdents(fd, buffer, sizeof buffer)) > 0) {
        for (ssize_t at = 0; at < got;) {
            const struct pnx__dirent *entry = (const void *)(buffer + at);
            at += entry->length;
            if (entry->name[0] >= '1' && entry->name[0] <= '9')
                visit((pid_t)strtol(entry->name, NULL, 10), context);
        }
    }
}

void pnx__each_number_in(int fd, pnx__pid_fn visit, void *context)
{
    char text[4096];
    long number = 0; /* kept from one read to the next: it may lie across both */
    ssize_t got;
    while ((got = read(fd, text, sizeof text)) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            if (text[i] >= '0' && text[i] <= '9') {
                number = number * 10 + (text[i] - '0');
            } else if (number) {
                visit((pid_t)number, context);
                number = 0;
            }
        }
    }
    if (number)
        visit((pid_t)number, context);
}

struct children {
    pid_t pid;
    pnx__pid_fn visit;
    void *context;
};

static void visit_children_of_thread(pid_t thread, void *context)
{
    const struct children *children = context;
    char file[40];
    snprintf(file, sizeof file, "task/%d/children", (int)thread);
    int fd = open_of(children->pid, file);
    if (fd < 0)
        return;
    pnx__each_number_in(fd, children->visit, children->context);
    pnx__close(fd);
}

void pnx__proc_each_child(pid_t pid, pnx__pid_fn visit, void *context)
{
    struct children children = {pid, visit, context};
    int fd = open_of(pid, "task");
    if (fd < 0)
        return;
    each_number(fd, visit_children_of_thread, &children);
    pnx__close(fd);
}

void pnx__proc_each(pnx__pid_fn visit, void *context)
{
    int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    each_number(fd, visit, context);
    pnx__close(fd);
}
