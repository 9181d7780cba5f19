/* SPDX-License-Identifier: MIT */
/* The least that it costs: a record of 128 bytes by one write(2), and fdatasync(2). No checksum. */
#include "common/bench.h"
#include "peer.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static int file = -1;

static int open_in(const char *directory, const char *name, int flags)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | flags, 0600);
    if (fd < 0)
        bench_give_up("cannot make %s: %m", path);
    return fd;
}

static void open_file(const char *directory)
{
    file = open_in(directory, "log", 0);
}

static void append(size_t count)
{
    char record[128] = ENTRY;
    while (count-- > 0)
        if (write(file, record, sizeof record) != sizeof record)
            bench_give_up("cannot write: %m");
}

static void append_batch(size_t count)
{
    append(count);
    if (fdatasync(file) != 0)
        bench_give_up("cannot sync: %m");
}

static void append_durable(void)
{
    append_batch(1);
}

static void close_file(void)
{
    close(file);
}

static void session(const char *directory, unsigned number)
{
    char name[32];
    snprintf(name, sizeof name, "log-%u", number);
    file = open_in(directory, name, O_EXCL);
    append(10);
    close(file);
    snprintf(name, sizeof name, "/log-%u", number);
    char path[4096];
    snprintf(path, sizeof path, "%s%s", directory, name);
    unlink(path);
}

/* A lock that a cleaner would find taken. */
static void probe(void)
{
    int fd = open("/var/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (flock(fd, LOCK_SH | LOCK_NB) != 0)
        bench_give_up("cannot lock /var/tmp: %m");
    close(fd);
}

static const struct ledger_operations operations = {
    open_file, append, append_durable, append_batch, close_file, session, NULL};
static const struct ledger_operations lock_operations = {.probe = probe};

static const struct bench_contender contenders[] = {
    {"write", PEER_VERSION, &operations},
    {"flock", PEER_VERSION, &lock_operations},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return ledger_main(argc, argv, contenders);
}
