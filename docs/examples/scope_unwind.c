/* SPDX-License-Identifier: MIT */
/* A scope: steps that are undone, last in, first out, when a later one fails. */
#include <patinox/patinox.h>
#include <stdio.h>

static pnx_status undo(void *step)
{
    printf("undo %s\n", (const char *)step);
    return PNX_OK;
}

static pnx_status do_step(pnx_scope *scope, const char *step, bool works, pnx_error *err)
{
    /* First make sure that it can be undone, then do it: afterwards nothing may fail any more. */
    pnx_status status = pnx_scope_reserve(scope, 1, err);
    if (status != PNX_OK)
        return status;
    if (!works)
        return pnx_fail(err, PNX_EFAILED, "%s failed", step);
    printf("do %s\n", step);
    return pnx_scope_defer(scope, undo, (void *)step, err);
}

static pnx_status import(pnx_registry *registry, bool works, pnx_error *err)
{
    pnx_auto_scope scope = pnx_scope_open(registry, "import", err);
    if (scope.status)
        return scope.status;
    pnx_status status = do_step(&scope, "create the table", true, err);
    if (status == PNX_OK)
        status = do_step(&scope, "load the rows", true, err);
    if (status == PNX_OK)
        status = do_step(&scope, "build the index", works, err);
    pnx_scope_result result;
    const pnx_status closed = pnx_scope_close(&scope, PNX_FOREVER, &result, err);
    printf("%zu undone\n", result.released);
    return status != PNX_OK ? status : closed;
}

int main(void)
{
    pnx_error err = {0};
    if (import(pnx_registry_default(), false, &err) != PNX_OK)
        puts(err.message);
    return 0;
}

/* Prints:
 *   do create the table
 *   do load the rows
 *   undo load the rows
 *   undo create the table
 *   2 undone
 *   build the index failed
 */
