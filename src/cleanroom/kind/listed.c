/* SPDX-License-Identifier: MIT */
#include "kind/listed.h"

#include <stdio.h>
#include <string.h>

struct search {
    const char *name, *identity; /* identity: NULL for any */
    char *ret_identity;
    size_t size;
    bool found, no_room;
};

static bool is_wanted(const pnx_thing_info *info, void *context)
{
    struct search *search = context;
    if (strcmp(info->name, search->name) != 0 ||
        (search->identity && strcmp(info->identity, search->identity) != 0))
        return true;
    search->found = true;
    if (search->ret_identity)
        search->no_room =
            snprintf(search->ret_identity, search->size, "%s", info->identity) >= (int)search->size;
    return false;
}

static pnx_status look(const pnx_thing_kind *kind, struct search *search, pnx_error *err)
{
    pnx_status status = kind->list(is_wanted, search, err);
    if (status != PNX_OK)
        return status;
    if (!search->found)
        return pnx_fail(err, PNX_ENOTFOUND, "there is no %s '%s'", kind->name, search->name);
    if (search->no_room)
        return pnx_fail(err, PNX_EINVAL, "no room for the identity of the %s '%s'", kind->name,
                        search->name);
    return PNX_OK;
}

pnx_status pnx__listed_find(const pnx_thing_kind *kind, const char *name, char *ret_identity,
                            size_t size, pnx_error *err)
{
    struct search search = {.name = name, .size = size};
    search.ret_identity = ret_identity;
    return look(kind, &search, err);
}

pnx_status pnx__listed_still(const pnx_thing_kind *kind, const char *name, const char *identity,
                             pnx_error *err)
{
    struct search search = {.name = name, .identity = identity};
    return look(kind, &search, err);
}
