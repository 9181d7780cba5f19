/* SPDX-License-Identifier: MIT */
/* Containers, networks and volumes in a scope. */
#include "environment/internal.h"

#include <cleanroom/container_guards.h>

static pnx_status start(pnx_object *object, pnx_engine *engine, const pnx_wait *ready,
                        const pnx_call *call, pnx_error *err)
{
    const char *id = pnx_object_id(object);
    pnx_status status = pnx_engine_start(engine, id, call, err);
    if (status == PNX_OK)
        status = pnx__wait_until_ready(engine, id, ready, call, err);
    if (status == PNX_OK)
        return PNX_OK;
    const pnx_error cause = *err;
    pnx_fail(err, status, "the container %s: %s", pnx_object_name(object), cause.message);
    err->cause = cause.cause;
    return status;
}

/* The three kinds differ in nothing but the types of their guards. One that failed is removed now:
 * what `*ret` would have been is not known to anybody. */
#define IN_SCOPE(KIND, MAKE, GET_READY)                                                            \
    do {                                                                                           \
        pnx_error local = {0};                                                                     \
        pnx_object *object;                                                                        \
        if (!err)                                                                                  \
            err = &local;                                                                          \
        pnx_status status = pnx_scope_reserve(scope, 1, err);                                      \
        if (status != PNX_OK)                                                                      \
            return status;                                                                         \
        pnx_auto(KIND) guard = pnx_reserve(KIND, registry, err);                                   \
        if (guard.status != PNX_OK)                                                                \
            return guard.status;                                                                   \
        status = MAKE(engine, config, &object, err);                                               \
        if (status != PNX_OK)                                                                      \
            return status;                                                                         \
        (void)pnx_arm(&guard, object);                                                             \
        status = pnx_object_create(object, call, err);                                             \
        if (status == PNX_OK)                                                                      \
            status = (GET_READY);                                                                  \
        if (status == PNX_OK)                                                                      \
            status = pnx_scope_adopt(scope, &guard, err);                                          \
        if (status != PNX_OK) {                                                                    \
            (void)pnx_close(&guard, NULL);                                                         \
            return status;                                                                         \
        }                                                                                          \
        if (ret)                                                                                   \
            *ret = object;                                                                         \
        return PNX_OK;                                                                             \
    } while (0)

pnx_status pnx_scope_container(pnx_scope *scope, pnx_registry *registry, pnx_engine *engine,
                               const pnx_container_config *config, const pnx_wait *ready,
                               const pnx_call *call, pnx_object **ret, pnx_error *err)
{
    IN_SCOPE(container, pnx_container_new, start(object, engine, ready, call, err));
}

pnx_status pnx_scope_network(pnx_scope *scope, pnx_registry *registry, pnx_engine *engine,
                             const pnx_network_config *config, const pnx_call *call,
                             pnx_object **ret, pnx_error *err)
{
    IN_SCOPE(network, pnx_network_new, PNX_OK);
}

pnx_status pnx_scope_volume(pnx_scope *scope, pnx_registry *registry, pnx_engine *engine,
                            const pnx_volume_config *config, const pnx_call *call, pnx_object **ret,
                            pnx_error *err)
{
    IN_SCOPE(volume, pnx_volume_new, PNX_OK);
}
