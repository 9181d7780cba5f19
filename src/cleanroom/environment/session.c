/* SPDX-License-Identifier: MIT */
/* The guards of sessions and of tests. */
#include "environment/internal.h"

#include <cleanroom/container_guards.h>

#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct pnx_container_session {
    pnx_engine *engine;
    pnx_environment *environment;
    /* Tests that were opened and are not freed. Acquire and release: who sees none left, sees what
     * they did before. */
    _Atomic unsigned tests;
};

struct pnx_container_test {
    pnx_container_session *session;
    pnx_environment *environment;
};

/* A little early, so that it can still tell what is left before it is declared late. */
static pnx_call call_of(const pnx_release *why)
{
    pnx_call call = {.deadline = why->deadline};
    if (call.deadline != PNX_FOREVER)
        call.deadline -= (call.deadline - pnx_monotonic_now()) / 16;
    return call;
}

/* ---- the session ----------------------------------------------------------------------------- */

pnx_status pnx_container_session_open(const pnx_container_session_config *config,
                                      const pnx_call *call, pnx_container_session **ret,
                                      pnx_error *err)
{
    static const pnx_container_session_config defaults;
    if (!config)
        config = &defaults;
    pnx_container_session *session = calloc(1, sizeof *session);
    if (!session)
        return pnx__docker_no_memory(err);
    pnx_status status = pnx_engine_open(&config->engine, call, &session->engine, err);
    if (status == PNX_OK)
        status =
            pnx_environment_new(session->engine, &config->environment, &session->environment, err);
    if (status != PNX_OK) {
        pnx_container_session_free(session);
        return status;
    }
    *ret = session;
    return PNX_OK;
}

pnx_status pnx_container_session_start(pnx_container_session *session, const pnx_call *call,
                                       pnx_error *err)
{
    return pnx_environment_start(session->environment, call, err);
}

pnx_engine *pnx_container_session_engine(const pnx_container_session *session)
{
    return session->engine;
}

pnx_environment *pnx_container_session_environment(const pnx_container_session *session)
{
    return session->environment;
}

pnx_status pnx_container_session_close(pnx_container_session *session, const pnx_call *call,
                                       pnx_error *err)
{
    const pnx_call within = call ? *call : pnx_call_within(PNX__REMOVE_WITHIN);
    /* Acquire: see `tests`. */
    unsigned tests = atomic_load_explicit(&session->tests, memory_order_acquire);
    if (tests > 0)
        return pnx_fail(err, PNX_EBUSY, "%u tests of the session are still open", tests);
    pnx_status status = pnx_environment_remove(session->environment, &within, err);
    if (status != PNX_OK)
        return status;
    return pnx_engine_sweep(session->engine, &(pnx_sweep){.images = true}, &within, err);
}

void pnx_container_session_free(pnx_container_session *session)
{
    if (!session)
        return;
    pnx_environment_free(session->environment);
    pnx_engine_close(session->engine);
    free(session);
}

static pnx_status release_session(void *value, const pnx_release *why)
{
    pnx_container_session *session;
    memcpy(&session, value, sizeof session);
    const pnx_call call = call_of(why);
    pnx_status status = pnx_container_session_close(session, &call, NULL);
    if (status == PNX_OK)
        pnx_container_session_free(session);
    return status;
}

static int describe_session(const void *value, char *buffer, size_t size)
{
    const pnx_container_session *session;
    memcpy(&session, value, sizeof session);
    return snprintf(buffer, size, "container session %s", pnx_engine_session(session->engine));
}

/* After all that is in it; the pauses add up to more than a test takes to be removed. */
const pnx_kind pnx_kind_container_session = {
    .name = "container_session",
    .priority = PNX_LOW,
    .flags = PNX_BLOCKING,
    .timeout = PNX__REMOVE_WITHIN,
    .retries = 200,
    .retry_delay = PNX_MS(10),
    .retry_delay_max = PNX_S(1),
    .value_size = sizeof(pnx_container_session *),
    .describe = (void (*)(void))describe_session,
    .release = release_session,
    .run_describe = describe_session,
};

/* ---- the test -------------------------------------------------------------------------------- */

pnx_status pnx_container_test_open(pnx_container_session *session,
                                   const pnx_container_test_config *config,
                                   pnx_container_test **ret, pnx_error *err)
{
    const pnx_environment *outer = session->environment;
    char artifacts[PATH_MAX];
    const char *name = config->name ? config->name : "test";
    if (!*name || *name == '.' || strchr(name, '/'))
        return pnx_fail(err, PNX_EINVAL, "name: '%s' is no name of a test", name);
    if (outer->artifacts &&
        snprintf(artifacts, sizeof artifacts, "%s/%s", outer->artifacts, name) >= PATH_MAX)
        return pnx_fail(err, PNX_EINVAL, "artifacts: the path is too long");
    pnx_container_test *test = calloc(1, sizeof *test);
    if (!test)
        return pnx__docker_no_memory(err);
    pnx_status status = pnx_environment_new(session->engine,
                                            &(pnx_environment_config){
                                                .name = name,
                                                .reach = config->reach,
                                                .artifacts = outer->artifacts ? artifacts : NULL,
                                                .artifacts_always = outer->artifacts_always,
                                                .within = session->environment,
                                                .visit = outer->visit,
                                                .context = outer->context,
                                            },
                                            &test->environment, err);
    if (status != PNX_OK) {
        free(test);
        return status;
    }
    test->session = session;
    /* Relaxed: nothing is read because of it. */
    atomic_fetch_add_explicit(&session->tests, 1, memory_order_relaxed);
    *ret = test;
    return PNX_OK;
}

pnx_environment *pnx_container_test_environment(const pnx_container_test *test)
{
    return test->environment;
}

/* Its own network, if it has one, comes with the first container. */
static pnx_status begin(pnx_container_test *test, const pnx_call *call, pnx_error *err)
{
    pnx_environment *environment = test->environment;
    pthread_mutex_lock(&environment->mutex);
    bool begun = environment->started;
    pthread_mutex_unlock(&environment->mutex);
    return begun ? PNX_OK : pnx_environment_start(environment, call, err);
}

pnx_status pnx_container_test_run(pnx_container_test *test, const pnx_service_config *config,
                                  const pnx_call *call, pnx_service **ret, pnx_error *err)
{
    pnx_status status = begin(test, call, err);
    return status == PNX_OK ? pnx_environment_run(test->environment, config, call, ret, err)
                            : status;
}

pnx_status pnx_container_test_share(pnx_container_test *test, const pnx_service_config *config,
                                    const pnx_call *call, pnx_service **ret, pnx_error *err)
{
    return pnx_environment_get(test->session->environment, config, call, ret, NULL, err);
}

/* Of this test, not of all: the engine, which keeps what is kept on failure, is not told. */
void pnx_container_test_fail(pnx_container_test *test)
{
    pthread_mutex_lock(&test->environment->mutex);
    test->environment->failed_work = true;
    pthread_mutex_unlock(&test->environment->mutex);
}

pnx_status pnx_container_test_close(pnx_container_test *test, const pnx_call *call, pnx_error *err)
{
    return pnx_environment_remove(test->environment, call, err);
}

void pnx_container_test_free(pnx_container_test *test)
{
    if (!test)
        return;
    pnx_environment_free(test->environment);
    /* Release: see `tests`. */
    atomic_fetch_sub_explicit(&test->session->tests, 1, memory_order_release);
    free(test);
}

static pnx_status release_test(void *value, const pnx_release *why)
{
    pnx_container_test *test;
    memcpy(&test, value, sizeof test);
    const pnx_call call = call_of(why);
    pnx_status status = pnx_container_test_close(test, &call, NULL);
    if (status == PNX_OK)
        pnx_container_test_free(test);
    return status;
}

static int describe_test(const void *value, char *buffer, size_t size)
{
    const pnx_container_test *test;
    memcpy(&test, value, sizeof test);
    return snprintf(buffer, size, "containers of the test %s", test->environment->name);
}

const pnx_kind pnx_kind_container_test = {
    .name = "container_test",
    .priority = PNX_HIGH,
    .flags = PNX_BLOCKING,
    .timeout = PNX__REMOVE_WITHIN,
    .retries = 4,
    .retry_delay = PNX_MS(200),
    .retry_delay_max = PNX_S(2),
    .value_size = sizeof(pnx_container_test *),
    .describe = (void (*)(void))describe_test,
    .release = release_test,
    .run_describe = describe_test,
};
