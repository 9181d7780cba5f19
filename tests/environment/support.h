/* SPDX-License-Identifier: MIT */
/** @file support.h  What the tests of environments share, besides what those of the client have. */
#ifndef TESTS_ENVIRONMENT_SUPPORT_H
#define TESTS_ENVIRONMENT_SUPPORT_H

#include "../docker/support.h"

#include <cleanroom/environment.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#define COUNT(list) (sizeof(list) / sizeof *(list))

/** What runs until it is ended, and ends at once when it is asked to. */
#define FOREVER "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"

/** A service that runs `script`. */
#define SERVICE(NAME, SCRIPT) .name = (NAME), .container = {.image = IMAGE, .command = SH(SCRIPT)}

static inline pnx_environment *make_environment(const pnx_environment_config *config)
{
    pnx_error err = {0};
    pnx_environment *environment = NULL;
    assert_ok(pnx_environment_new(engine, config, &environment, &err), &err);
    return environment;
}

static inline pnx_environment *start_environment(const pnx_environment_config *config)
{
    pnx_error err = {0};
    pnx_environment *environment = make_environment(config);
    const pnx_call call = patience();
    assert_ok(pnx_environment_start(environment, &call, &err), &err);
    assert_int_equal(err.code, PNX_OK); /* it is written only when it failed */
    return environment;
}

/** Nothing in the engine carries its label. */
static inline void assert_nothing_of(const char *id)
{
    char label[128];
    snprintf(label, sizeof label, PNX_LABEL_ENVIRONMENT "=%s", id);
    for (int type = PNX_CONTAINER; type <= PNX_VOLUME; type++) {
        json_t *list = NULL;
        pnx_error err = {0};
        assert_ok(pnx_engine_list(engine, (pnx_object_type)type, TEXTS(label), NULL, &list, &err),
                  &err);
        assert_int_equal(json_array_size(list), 0);
        json_decref(list);
    }
}

/** Takes it down; nothing is left of it. */
static inline void end_environment(pnx_environment *environment)
{
    pnx_error err = {0};
    assert_ok(pnx_environment_remove(environment, NULL, &err), &err);
    assert_nothing_of(pnx_environment_id(environment));
    pnx_environment_free(environment);
}

/** A directory of the test's own, removed by remove_place. */
static char place[64];

static inline void make_place(void)
{
    snprintf(place, sizeof place, "/tmp/pnx-environment-XXXXXX");
    assert_non_null(mkdtemp(place));
}

static inline const char *in_place(const char *name)
{
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", place, name);
    return path;
}

static inline void remove_place(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf -- '%s'", place);
    assert_int_equal(system(command), 0); /* NOLINT: a path of our own */
}

/** The file's content; "" if there is none. */
static inline const char *content_of(const char *path)
{
    static char text[65536];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
    text[got > 0 ? got : 0] = '\0';
    if (fd >= 0)
        close(fd);
    return text;
}

static inline bool is_there(const char *path)
{
    struct stat about;
    return lstat(path, &about) == 0;
}

#endif
