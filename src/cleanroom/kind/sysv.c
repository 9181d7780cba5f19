/* SPDX-License-Identifier: MIT */
#include "kind/sysv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* "key:0x1234abcd", "id:2147483647"; "id:key:user:process". */
#define NAME_SIZE 24
#define IDENTITY_SIZE 64
/* A random key that is taken, or taken while we look: another one. It is one in two milliards. */
#define RANDOM_KEYS 16

/* ---- names and identities -------------------------------------------------------------------- */

static void name_of(const struct pnx__sysv_object *object, char ret[NAME_SIZE])
{
    if (object->key != IPC_PRIVATE)
        snprintf(ret, NAME_SIZE, "key:0x%08x", (unsigned)object->key);
    else
        snprintf(ret, NAME_SIZE, "id:%d", object->id);
}

/* Only what name_of would write: the same thing never has two names. */
static bool parse_name(const char *name, struct pnx__sysv_object *ret)
{
    char again[NAME_SIZE];
    *ret = (struct pnx__sysv_object){.id = -1, .key = IPC_PRIVATE};
    if (strncmp(name, "key:0x", 6) == 0)
        ret->key = (key_t)strtoul(name + 6, NULL, 16);
    else if (strncmp(name, "id:", 3) == 0)
        ret->id = (int)strtol(name + 3, NULL, 10);
    if (ret->key == IPC_PRIVATE && ret->id < 0)
        return false;
    name_of(ret, again);
    return strcmp(again, name) == 0;
}

static void identity_of(const struct pnx__sysv_object *object, char ret[IDENTITY_SIZE])
{
    snprintf(ret, IDENTITY_SIZE, "%d:%08x:%u:%d", object->id, (unsigned)object->key,
             (unsigned)object->made_by, (int)object->creator);
}

/* Only what identity_of would write. */
static bool parse_identity(const char *identity, struct pnx__sysv_object *ret)
{
    char again[IDENTITY_SIZE], *at;
    *ret = (struct pnx__sysv_object){.id = (int)strtol(identity, &at, 10)};
    if (*at == ':')
        ret->key = (key_t)strtoul(at + 1, &at, 16);
    if (*at == ':')
        ret->made_by = (uid_t)strtoul(at + 1, &at, 10);
    if (*at == ':')
        ret->creator = (pid_t)strtol(at + 1, &at, 10);
    identity_of(ret, again);
    return strcmp(again, identity) == 0;
}

static bool is_same(const struct pnx__sysv_object *a, const struct pnx__sysv_object *b)
{
    return a->id == b->id && (a->key == b->key || a->dying) && a->made_by == b->made_by &&
           a->creator == b->creator;
}

/* The one with this identity, as it is now; false: there is none any more. */
static bool look_for(const struct pnx__sysv_sort *sort, const struct pnx__sysv_object *wanted,
                     struct pnx__sysv_object *ret)
{
    return sort->look(wanted->id, ret) >= 0 && is_same(ret, wanted);
}

/* ---- find ------------------------------------------------------------------------------------ */

static pnx_status not_found(const struct pnx__sysv_sort *sort, const char *name, pnx_error *err)
{
    if (errno == ENOSYS)
        return pnx_fail(err, PNX_EUNSUPPORTED, "this system has no System V IPC: %m");
    bool none = errno == ENOENT || errno == EINVAL || errno == EIDRM;
    return pnx_fail(err, none ? PNX_ENOTFOUND : PNX_EFAILED, "cannot look at the %s '%s': %m",
                    sort->kind->name, name);
}

static pnx_status find_object(const struct pnx__sysv_sort *sort, const char *name,
                              struct pnx__sysv_object *ret, pnx_error *err)
{
    struct pnx__sysv_object wanted;
    if (!parse_name(name, &wanted))
        return pnx_fail(err, PNX_EINVAL,
                        "'%s' is not a name for a %s: it has the form 'key:0x0123abcd' or 'id:17'",
                        name, sort->kind->name);
    int id = wanted.key != IPC_PRIVATE ? sort->id_of(wanted.key) : wanted.id;
    if (id < 0 || sort->look(id, ret) < 0)
        return not_found(sort, name, err);
    if (ret->id == id && (wanted.key == IPC_PRIVATE || ret->key == wanted.key))
        return PNX_OK;
    errno = EIDRM; /* its slot belongs to another one */
    return not_found(sort, name, err);
}

pnx_status pnx__sysv_find(const struct pnx__sysv_sort *sort, const char *name, char *ret_identity,
                          size_t size, pnx_error *err)
{
    struct pnx__sysv_object object = {0};
    pnx_status status = find_object(sort, name, &object, err);
    if (status != PNX_OK)
        return status;
    char identity[IDENTITY_SIZE];
    identity_of(&object, identity);
    if (snprintf(ret_identity, size, "%s", identity) >= (int)size)
        return pnx_fail(err, PNX_EINVAL, "no room for the identity of the %s '%s'",
                        sort->kind->name, name);
    return PNX_OK;
}

/* ---- remove ---------------------------------------------------------------------------------- */

static pnx_status still_attached(const struct pnx__sysv_sort *sort, const char *name,
                                 const struct pnx__sysv_object *object, pnx_error *err)
{
    return pnx_fail(err, PNX_EBUSY,
                    "the %s '%s' is marked for destruction and still attached by %lu process%s; it "
                    "goes with the last one",
                    sort->kind->name, name, object->attached, object->attached == 1 ? "" : "es");
}

pnx_status pnx__sysv_remove(const struct pnx__sysv_sort *sort, const char *name,
                            const char *identity, pnx_error *err)
{
    struct pnx__sysv_object wanted, object;
    if (!parse_identity(identity, &wanted))
        return pnx_fail(err, PNX_EINVAL, "'%s' is not the identity of a %s", identity,
                        sort->kind->name);
    if (!look_for(sort, &wanted, &object))
        return PNX_EALREADY;
    if (object.dying)
        return still_attached(sort, name, &object, err);
    /* By id, which is never looked up again: nobody gets the same one in between. */
    if (sort->destroy(wanted.id) != 0) {
        if (errno == EINVAL || errno == EIDRM)
            return PNX_EALREADY;
        return pnx_fail(err, PNX_EFAILED, "cannot remove the %s '%s' of user %u: %m",
                        sort->kind->name, name, (unsigned)object.owner);
    }
    if (look_for(sort, &wanted, &object))
        return still_attached(sort, name, &object, err);
    return PNX_OK;
}

pnx_status pnx__sysv_still(const struct pnx__sysv_sort *sort, const char *identity)
{
    struct pnx__sysv_object wanted, object;
    return parse_identity(identity, &wanted) && look_for(sort, &wanted, &object) ? PNX_OK
                                                                                 : PNX_ENOTFOUND;
}

/* ---- list ------------------------------------------------------------------------------------ */

pnx_status pnx__sysv_list(const struct pnx__sysv_sort *sort, pnx_thing_visit_fn visit,
                          void *context, pnx_error *err)
{
    int highest = sort->highest();
    if (highest < 0)
        return pnx_fail(err, errno == ENOSYS ? PNX_EUNSUPPORTED : PNX_EFAILED,
                        "cannot list what there is of the sort %s: %m", sort->kind->name);
    for (int index = 0; index <= highest; index++) {
        struct pnx__sysv_object object;
        /* What is marked for destruction goes with those who use it: it is nothing that is left. */
        if (sort->look(index, &object) < 0 || object.dying)
            continue;
        char name[NAME_SIZE], identity[IDENTITY_SIZE];
        name_of(&object, name);
        identity_of(&object, identity);
        pnx_thing_info info = {
            .name = name,
            .identity = identity,
            .detail = object.detail[0] ? object.detail : NULL,
            .owner = object.owner,
            .creator = object.creator,
            .created = object.changed * PNX_S(1),
            .bytes = object.bytes,
        };
        if (!visit(&info, context))
            break;
    }
    return PNX_OK;
}

/* ---- make ------------------------------------------------------------------------------------ */

static pnx_status not_made(const struct pnx__sysv_sort *sort, const char *name, pnx_error *err)
{
    pnx_status status = errno == EINVAL   ? PNX_EINVAL
                        : errno == ENOSPC ? PNX_ELIMIT
                        : errno == ENOMEM ? PNX_ENOMEM
                        : errno == ENOSYS ? PNX_EUNSUPPORTED
                                          : PNX_EFAILED;
    const char *hint = status == PNX_ELIMIT ? "; 'ipcs -l' shows the limits of the system" : "";
    return pnx_fail(err, status, "cannot create the %s '%s': %m%s", sort->kind->name, name, hint);
}

static pnx_status create_with(const struct pnx__sysv_sort *sort, key_t key, size_t size,
                              const pnx_keeper *keeper, pnx_thing **ret, int *ret_id,
                              pnx_error *err)
{
    char name[NAME_SIZE];
    name_of(&(struct pnx__sysv_object){.key = key}, name);
    /* Asked before the intent is written: a key that is taken never gets into a ledger as ours. */
    if (sort->id_of(key) >= 0) {
        errno = EEXIST;
        return not_made(sort, name, err);
    }
    pnx_thing *thing = NULL;
    pnx_status status = pnx_thing_intend(sort->kind, name, keeper, &thing, err);
    if (status != PNX_OK)
        return status;
    int id = sort->make(key, size);
    if (id < 0) {
        status = not_made(sort, name, err);
        pnx_thing_unmade(thing);
        return status;
    }
    status = pnx_thing_made(thing, err);
    if (status != PNX_OK)
        return status;
    *ret = thing;
    if (ret_id)
        *ret_id = id;
    return PNX_OK;
}

static bool random_key(key_t *ret)
{
    unsigned key;
    do
        if (getrandom(&key, sizeof key, 0) != (ssize_t)sizeof key)
            return false;
    while (!(key & INT32_MAX));
    *ret = (key_t)(key & INT32_MAX);
    return true;
}

pnx_status pnx__sysv_create(const struct pnx__sysv_sort *sort, key_t key, size_t size,
                            const pnx_keeper *keeper, pnx_thing **ret, int *ret_id, pnx_error *err)
{
    if (key != IPC_PRIVATE)
        return create_with(sort, key, size, keeper, ret, ret_id, err);
    pnx_error local = {0};
    err = err ? err : &local;
    for (unsigned tries = 0;; tries++) {
        if (!random_key(&key))
            return pnx_fail(err, PNX_EFAILED, "no random key for a %s: %m", sort->kind->name);
        pnx_status status = create_with(sort, key, size, keeper, ret, ret_id, err);
        if (status != PNX_EFAILED || err->sys_errno != EEXIST || tries == RANDOM_KEYS)
            return status;
    }
}
