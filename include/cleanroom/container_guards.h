/* SPDX-License-Identifier: MIT */
/**
 * @file container_guards.h
 * Guards for programs that test with containers: of a session (all that a program makes), of a test
 * (what one test makes), and containers in a scope (last in, first out). Small layers on
 * <cleanroom/environment.h>; docs/guards/session.md, test.md and scope.md tell the whole story.
 *
 *     pnx_auto(container_session) session = pnx_reserve(container_session, registry, err);
 *     … open, arm, start …
 *     pnx_auto(container_test) test = pnx_reserve(container_test, registry, err);
 *     … open in the session, arm …
 *     pnx_service *db;            // shared by all tests that ask for the same
 *     if (pnx_container_test_share(pnx_get(&test), &postgres, NULL, &db, err)) return err->code;
 *     pnx_service *mail;          // of this test alone
 *     if (pnx_container_test_run(pnx_get(&test), &smtp, NULL, &mail, err)) return err->code;
 *
 * Order: a session is closed only when its tests are gone; its guard waits for that outside of the
 * workers. Threads: any number; one thread opens and frees. Fork: as <cleanroom/environment.h>.
 */
#ifndef CLEANROOM_CONTAINER_GUARDS_H
#define CLEANROOM_CONTAINER_GUARDS_H

#include <cleanroom/environment.h>
#include <patinox/scope.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- session --------------------------------------------------------------------------------- */

/** An engine and an environment in it, for as long as a program needs containers. */
typedef struct pnx_container_session pnx_container_session;

/** All may be zero. */
typedef struct pnx_container_session_config {
    pnx_engine_config engine;
    pnx_environment_config environment; /**< its services are there from the start */
} pnx_container_session_config;

/**
 * Opens the engine, and prepares the environment; nothing exists yet, and so a guard is in time.
 * `config` may be NULL. Errors are those of pnx_engine_open and pnx_environment_new.
 */
PNX_MUST_CHECK PNX_API pnx_status
pnx_container_session_open(const pnx_container_session_config *config, const pnx_call *call,
                           pnx_container_session **ret, pnx_error *err);
/** pnx_environment_start of its environment. */
PNX_MUST_CHECK PNX_API pnx_status pnx_container_session_start(pnx_container_session *session,
                                                              const pnx_call *call, pnx_error *err);
/** Its engine and its environment; they end with it. */
PNX_API pnx_engine *pnx_container_session_engine(const pnx_container_session *session);
PNX_API pnx_environment *pnx_container_session_environment(const pnx_container_session *session);
/**
 * Takes the environment down, and then all that carries the label of the session, images included,
 * whoever made it. May be called again. PNX_EBUSY: tests are still open, or something is left.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_container_session_close(pnx_container_session *session,
                                                              const pnx_call *call, pnx_error *err);
/** Gives up the memory, and closes the engine. NULL is fine. */
PNX_API void pnx_container_session_free(pnx_container_session *session);

/** Its release closes and frees it; while tests are open, it is tried again later. */
extern PNX_API const pnx_kind pnx_kind_container_session;

/* ---- test ------------------------------------------------------------------------------------ */

/** What one test makes. */
typedef struct pnx_container_test pnx_container_test;

typedef struct pnx_container_test_config {
    const char *name; /**< of the test; its artifacts are in a directory of that name */
    pnx_reach reach;  /**< of a network of its own; PNX_REACH_DEFAULT: it is in that of the session,
                           and sees what is shared */
} pnx_container_test_config;

/**
 * Prepares it; nothing exists yet. The rules are those of the session, and its artifacts are saved
 * below those of the session: if it failed, or always where the session says so.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_container_test_open(pnx_container_session *session,
                                                          const pnx_container_test_config *config,
                                                          pnx_container_test **ret, pnx_error *err);
/** A container of this test alone: pnx_environment_run. */
PNX_MUST_CHECK PNX_API pnx_status pnx_container_test_run(pnx_container_test *test,
                                                         const pnx_service_config *config,
                                                         const pnx_call *call, pnx_service **ret,
                                                         pnx_error *err);
/** A container of the session, made by the first who asks for it: pnx_environment_get. */
PNX_MUST_CHECK PNX_API pnx_status pnx_container_test_share(pnx_container_test *test,
                                                           const pnx_service_config *config,
                                                           const pnx_call *call, pnx_service **ret,
                                                           pnx_error *err);
/** It has failed: what its containers say is saved before they go. */
PNX_API void pnx_container_test_fail(pnx_container_test *test);
PNX_API pnx_environment *pnx_container_test_environment(const pnx_container_test *test);
/** Removes what it made, as pnx_environment_remove; what is shared stays. */
PNX_MUST_CHECK PNX_API pnx_status pnx_container_test_close(pnx_container_test *test,
                                                           const pnx_call *call, pnx_error *err);
/** Gives up the memory. NULL is fine. */
PNX_API void pnx_container_test_free(pnx_container_test *test);

/** Its release closes and frees it. */
extern PNX_API const pnx_kind pnx_kind_container_test;

/* ---- scope ----------------------------------------------------------------------------------- */

/**
 * Makes a container, starts it, waits until it is `ready` (NULL: healthy if it says so, else
 * running; at most 60 s, or until the call ends), and gives it to the scope of `registry`: it goes
 * when the scope ends, last in, first out, each seen to be gone before the next. One that does not
 * get there is removed before this returns. `*ret` is valid until the scope has ended; it may be
 * NULL.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_scope_container(pnx_scope *scope, pnx_registry *registry,
                                                      pnx_engine *engine,
                                                      const pnx_container_config *config,
                                                      const pnx_wait *ready, const pnx_call *call,
                                                      pnx_object **ret, pnx_error *err);
/** The same for a network and a volume. */
PNX_MUST_CHECK PNX_API pnx_status pnx_scope_network(pnx_scope *scope, pnx_registry *registry,
                                                    pnx_engine *engine,
                                                    const pnx_network_config *config,
                                                    const pnx_call *call, pnx_object **ret,
                                                    pnx_error *err);
PNX_MUST_CHECK PNX_API pnx_status pnx_scope_volume(pnx_scope *scope, pnx_registry *registry,
                                                   pnx_engine *engine,
                                                   const pnx_volume_config *config,
                                                   const pnx_call *call, pnx_object **ret,
                                                   pnx_error *err);

#ifdef __cplusplus
}
#endif

PNX__OFFER_KIND(container_session, pnx_container_session *);
PNX__OFFER_KIND(container_test, pnx_container_test *);

#endif
