/* SPDX-License-Identifier: MIT */
/*
 * cleanroom-config [--found] FILE: what a configuration file says, as options. Found means that
 * nobody named it: then it must belong to whom runs us, or to root, and nobody else may write it,
 * since it says what is run.
 */
#include "cli.h"
#include "config_read.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Seconds. */
#define PARSED_WITHIN 10

static bool is_trusted(const struct stat *about)
{
    return (about->st_uid == geteuid() || about->st_uid == 0) &&
           !(about->st_mode & (S_IWGRP | S_IWOTH));
}

static int open_file(const char *path, bool found)
{
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &about) != 0) {
        complain("cannot read '%s': %m", path);
        return -1;
    }
    if (!S_ISREG(about.st_mode) && found)
        complain("'%s' is not a file; --no-config goes on without it", path);
    else if (found && !is_trusted(&about))
        complain("'%s' belongs to, or may be written by, somebody else; --config '%s' takes it all "
                 "the same, --no-config goes on without it",
                 path, path);
    else
        return fd;
    close(fd);
    return -1;
}

/* NULL: it cannot be read, or is too long. */
static char *read_file(int fd, size_t *ret_size)
{
    char *text = malloc(CONFIG_SIZE_MAX + 1);
    size_t size = 0;
    ssize_t got = 1;
    while (text && size <= CONFIG_SIZE_MAX && got > 0) {
        got = read(fd, text + size, CONFIG_SIZE_MAX + 1 - size);
        size += got > 0 ? (size_t)got : 0;
    }
    *ret_size = size;
    if (got == 0)
        return text;
    free(text);
    errno = size > CONFIG_SIZE_MAX ? EFBIG : errno;
    return NULL;
}

/* The program that starts services is beside this one, when it is installed. */
static const char *services_of(const char *path, char *buffer, size_t size)
{
    char own[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    if (length <= 0)
        return NULL;
    own[length] = '\0';
    char *slash = strrchr(own, '/');
    if (!slash || (size_t)(own + sizeof own - slash) < sizeof "/cleanroom-services")
        return NULL;
    memcpy(slash, "/cleanroom-services", sizeof "/cleanroom-services");
    if (access(own, X_OK) != 0 || snprintf(buffer, size, "--services=%s", path) >= (int)size)
        return NULL;
    return buffer;
}

int main(int argc, char **argv)
{
    char services[PATH_MAX + 16];
    pnx_error err = {0};
    size_t size;
    if (argc != 3 || (strcmp(argv[1], "--found") != 0 && strcmp(argv[1], "--") != 0)) {
        complain("'cleanroom config' is used by 'cleanroom run'; see 'cleanroom run --help'");
        return EXIT_CLEANROOM;
    }
    const char *path = argv[2];
    (void)alarm(PARSED_WITHIN); /* whatever the parser may do */
    int fd = open_file(path, strcmp(argv[1], "--found") == 0);
    if (fd < 0)
        return EXIT_CLEANROOM;
    char *text = read_file(fd, &size);
    if (!text) {
        complain("cannot read '%s': %m", path);
        return EXIT_CLEANROOM;
    }
    pnx_status status =
        config_read(text, size, services_of(path, services, sizeof services), stdout, &err);
    free(text);
    if (status != PNX_OK) {
        char message[PNX_ERROR_MESSAGE_MAX + PNX_ERROR_CAUSE_MAX + 4];
        pnx_error_format(&err, message, sizeof message);
        fprintf(stderr, "cleanroom: %s:%s\n", path, message);
        return EXIT_CLEANROOM;
    }
    if (fflush(stdout) != 0) {
        complain("cannot write what '%s' says: %m", path);
        return EXIT_CLEANROOM;
    }
    return 0;
}
