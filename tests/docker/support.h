/* SPDX-License-Identifier: MIT */
/** @file support.h  What the tests of libcleanroom-docker share. */
#ifndef TESTS_DOCKER_SUPPORT_H
#define TESTS_DOCKER_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cleanroom/docker.h>
#include <patinox/patinox.h>

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/** Fails with the text of the error unless `status` is `wanted`. */
#define assert_status(wanted, status, err)                                                         \
    do {                                                                                           \
        pnx_status status_ = (status);                                                             \
        if (status_ != (wanted)) {                                                                 \
            char text_[512];                                                                       \
            pnx_error_format((err), text_, sizeof text_);                                          \
            fail_msg("%s, not %s: %s", pnx_status_name(status_), pnx_status_name(wanted), text_);  \
        }                                                                                          \
    } while (0)
#define assert_ok(status, err) assert_status(PNX_OK, status, err)

/** The error's message or its cause has this text in it. */
static inline void assert_says(const pnx_error *err, const char *text)
{
    char all[512];
    pnx_error_format(err, all, sizeof all);
    if (!strstr(all, text))
        fail_msg("'%s' does not say '%s'", all, text);
}

/** Of what only ends early when a test fails. */
static inline pnx_call patience(void)
{
    return pnx_call_within(PNX_S(60));
}

/* ---- a real engine --------------------------------------------------------------------------- */

static pnx_engine *engine;

#define IMAGE "pnx-test:1"

/** NULL-terminated list of texts, for the configurations. */
#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define SH(script) TEXTS("sh", "-c", script)

static inline bool is_podman(void)
{
    return pnx_engine_kind_of(engine) == PNX_ENGINE_PODMAN;
}

/** For the group: opens the engine, if there is one; each test then says NEEDS_ENGINE. */
static inline int open_engine(void **state)
{
    (void)state;
    pnx_error err = {0};
    const char *why = getenv("PNX_TEST_NO_ENGINE");
    if (why || !getenv("PNX_TEST_ENGINE")) {
        print_message("# skipped: no engine: %s\n", why ? why : "run by with_engine");
        return 0;
    }
    if (pnx_engine_open(NULL, NULL, &engine, &err) == PNX_OK)
        return 0;
    print_error("%s\n", err.message);
    return -1;
}

static inline int close_engine(void **state)
{
    (void)state;
    pnx_engine_close(engine);
    return 0;
}

/** Of dockerd: what it wrote down. */
static inline pid_t engine_pid(void)
{
    char path[256];
    long pid = 0;
    snprintf(path, sizeof path, "%s/docker.pid", getenv("PNX_TEST_ENGINE"));
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%ld", &pid) != 1) /* NOLINT(cert-err34-c): the engine's own */
        pid = 0;
    if (file)
        fclose(file);
    return (pid_t)pid;
}

#define NEEDS_ENGINE()                                                                             \
    do {                                                                                           \
        if (!engine)                                                                               \
            skip();                                                                                \
    } while (0)

/** A container that runs `script`; network none, for speed. */
static inline pnx_object *make_container(pnx_engine *in, const pnx_container_config *config)
{
    pnx_error err = {0};
    pnx_object *object = NULL;
    pnx_container_config with = *config;
    if (!with.image)
        with.image = IMAGE;
    if (!with.network)
        with.network = "none";
    assert_ok(pnx_container_new(in, &with, &object, &err), &err);
    assert_ok(pnx_object_create(object, &(pnx_call){0}, &err), &err);
    return object;
}

static inline pnx_object *run_container(pnx_engine *in, const char *script)
{
    pnx_error err = {0};
    pnx_object *object = make_container(in, &(pnx_container_config){.command = SH(script)});
    assert_ok(pnx_engine_start(in, pnx_object_id(object), NULL, &err), &err);
    return object;
}

/** Removes it, and frees it; it must be gone then. */
static inline void remove_object(pnx_object *object)
{
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    pnx_object_watch_by(object, &outcome);
    assert_ok(pnx_object_remove(object, NULL, &err), &err);
    assert_true(outcome.verified);
    pnx_object_free(object);
}

static inline bool there_is(pnx_object_type type, const char *id)
{
    json_t *about = NULL;
    pnx_error err = {0};
    pnx_status status = pnx_engine_inspect(engine, type, id, NULL, &about, &err);
    json_decref(about);
    if (status != PNX_OK)
        assert_status(PNX_ENOTFOUND, status, &err);
    return status == PNX_OK;
}

/** Things of this type that carry the session's label. */
static inline size_t count_of(pnx_engine *in, pnx_object_type type)
{
    char label[128];
    json_t *list = NULL;
    pnx_error err = {0};
    snprintf(label, sizeof label, PNX_LABEL_SESSION "=%s", pnx_engine_session(in));
    assert_ok(pnx_engine_list(in, type, TEXTS(label), NULL, &list, &err), &err);
    size_t count = json_array_size(list);
    json_decref(list);
    return count;
}

/* ---- texts that sinks take ------------------------------------------------------------------- */

struct taken {
    char out[4096], err[4096];
    size_t calls, enough_after; /* 0: never enough */
};

static inline bool take(int stream, const void *data, size_t size, void *context)
{
    struct taken *taken = context;
    char *to = stream == 2 ? taken->err : taken->out;
    size_t length = strlen(to);
    assert_true(stream == 1 || stream == 2);
    if (length + size < sizeof taken->out)
        memcpy(to + length, data, size);
    return ++taken->calls != taken->enough_after;
}

#endif
