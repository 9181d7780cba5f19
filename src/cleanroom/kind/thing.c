/* SPDX-License-Identifier: MIT */
#include "kind/thing.h"

#include "kind/outcome.h"
#include "kind/poll.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What goes a moment after its removal was asked for (a lazy unmount, a dying namespace) is looked
 * at again after 1, 2, 4, … ms: nobody tells when it is gone. */
#define LOOK_AGAIN_FIRST PNX_MS(1)
#define LOOK_AGAIN_LAST PNX_MS(64)

struct pnx_thing {
    const pnx_thing_kind *kind;
    pid_t owner; /* the process that holds it, not a fork child of that */
    pnx_keeper keeper;
    uint32_t token;
    bool done; /* of deeds */
    pnx_outcome *watch, outcome;
    char identity[PNX_THING_IDENTITY_MAX];
    char name[];
};

/* ---- memory ---------------------------------------------------------------------------------- */

static pnx_status allocate(const pnx_thing_kind *kind, const char *name, pnx_thing **ret,
                           pnx_error *err)
{
    size_t size = strlen(name) + 1;
    if (size > PNX_THING_NAME_MAX) {
        pnx_fail(err, PNX_EINVAL, "the name of a %s is longer than %d bytes", kind->name,
                 PNX_THING_NAME_MAX - 1);
        return PNX_EINVAL;
    }
    pnx_thing *thing = calloc(1, sizeof *thing + size);
    if (!thing) {
        pnx_fail(err, PNX_ENOMEM, "no memory for the %s '%s'", kind->name, name);
        return PNX_ENOMEM;
    }
    thing->kind = kind;
    thing->owner = getpid();
    memcpy(thing->name, name, size);
    *ret = thing;
    return PNX_OK;
}

void pnx_thing_free(pnx_thing *thing)
{
    free(thing);
}

/* ---- making ---------------------------------------------------------------------------------- */

pnx_status pnx_thing_intend(const pnx_thing_kind *kind, const char *name, const pnx_keeper *keeper,
                            pnx_thing **ret, pnx_error *err)
{
    pnx_thing *thing;
    pnx_status status = allocate(kind, name, &thing, err);
    if (status != PNX_OK)
        return status;
    if (keeper) {
        thing->keeper = *keeper;
        status = keeper->intend(keeper->context, kind, name, &thing->token, err);
    }
    if (status != PNX_OK) {
        free(thing);
        return status;
    }
    *ret = thing;
    return PNX_OK;
}

static void tell_keeper(pnx_thing *thing, const pnx_outcome *outcome)
{
    if (thing->keeper.gone)
        thing->keeper.gone(thing->keeper.context, thing->token, outcome);
    thing->keeper = (pnx_keeper){0}; /* once */
}

void pnx_thing_unmade(pnx_thing *thing)
{
    pnx_outcome outcome = {0};
    if (!thing)
        return;
    pnx__outcome_gone(&outcome, PNX_FATE_ALREADY_GONE);
    tell_keeper(thing, &outcome);
    free(thing);
}

pnx_status pnx__thing_bind(pnx_thing *thing, pnx_error *err)
{
    pnx_status status =
        thing->kind->find(thing->name, thing->identity, sizeof thing->identity, err);
    if (status == PNX_OK && thing->keeper.bind)
        status = thing->keeper.bind(thing->keeper.context, thing->token, thing->identity, err);
    return status;
}

pnx_status pnx_thing_made(pnx_thing *thing, pnx_error *err)
{
    pnx_status status = pnx__thing_bind(thing, err);
    if (status == PNX_OK)
        return PNX_OK;
    bool nothing = status == PNX_ENOTFOUND && !thing->identity[0]; /* removed by somebody already */
    if (nothing || thing->kind->is_deed) {
        pnx_thing_unmade(thing);
        return status;
    }
    if (thing->identity[0])
        (void)pnx_thing_remove(thing, pnx_time_after(pnx_monotonic_now(), PNX_S(5)), NULL, NULL);
    free(thing);
    return status;
}

pnx_status pnx_thing_adopt(const pnx_thing_kind *kind, const char *name, const char *identity,
                           pnx_thing **ret, pnx_error *err)
{
    pnx_thing *thing;
    pnx_status status = allocate(kind, name, &thing, err);
    if (status != PNX_OK)
        return status;
    if (!identity)
        status = kind->find(name, thing->identity, sizeof thing->identity, err);
    else if (strlen(identity) < sizeof thing->identity)
        memcpy(thing->identity, identity, strlen(identity) + 1);
    else
        status =
            pnx_fail(err, PNX_EINVAL, "the identity of the %s '%s' is too long", kind->name, name);
    if (status != PNX_OK) {
        free(thing);
        return status;
    }
    *ret = thing;
    return PNX_OK;
}

const pnx_thing_kind *pnx_thing_kind_of_thing(const pnx_thing *thing)
{
    return thing->kind;
}

const char *pnx_thing_name(const pnx_thing *thing)
{
    return thing->name;
}

const char *pnx_thing_identity(const pnx_thing *thing)
{
    return thing->identity;
}

void pnx_thing_watch_by(pnx_thing *thing, pnx_outcome *outcome)
{
    thing->watch = outcome;
}

/* ---- removing -------------------------------------------------------------------------------- */

/* PNX_OK: it is there; PNX_EALREADY: it is gone, though another may have its name. */
static pnx_status look(const pnx_thing_kind *kind, const char *name, const char *identity,
                       pnx_error *err)
{
    char found[PNX_THING_IDENTITY_MAX];
    pnx_status status = kind->find(name, found, sizeof found, err);
    bool other = status == PNX_OK && strcmp(found, identity) != 0;
    if (status != PNX_ENOTFOUND && !other)
        return status;
    pnx_error_clear(err);
    if (!kind->still)
        return PNX_EALREADY;
    status = kind->still(name, identity, err);
    if (status != PNX_ENOTFOUND)
        return status;
    pnx_error_clear(err);
    return PNX_EALREADY;
}

static pnx_status look_until_gone(const pnx_thing_kind *kind, const char *name,
                                  const char *identity, pnx_time deadline, pnx_error *err)
{
    for (pnx_duration pause = LOOK_AGAIN_FIRST;; pause *= 2) {
        pnx_status status = look(kind, name, identity, err);
        if (status != PNX_OK)
            return status == PNX_EALREADY ? PNX_OK : status;
        pnx_time next = pnx_time_after(pnx_monotonic_now(), pause);
        if (next > deadline || pause > LOOK_AGAIN_LAST)
            return pnx_fail(err, PNX_EBUSY, "the %s '%s' is still there after it was removed",
                            kind->name, name);
        (void)pnx__poll(NULL, 0, next);
    }
}

static pnx_status remove_once(const pnx_thing_kind *kind, const char *name, const char *identity,
                              pnx_time deadline, pnx_fate *ret_fate,
                              char ret_note[PNX_OUTCOME_REASON_MAX], pnx_error *err)
{
    pnx_status status = look(kind, name, identity, err);
    *ret_fate = status == PNX_EALREADY ? PNX_FATE_ALREADY_GONE : PNX_FATE_STUCK;
    if (status != PNX_OK)
        return status == PNX_EALREADY ? PNX_OK : status;
    if (!kind->remove)
        return pnx_fail(err, PNX_EUNSUPPORTED, "a %s goes with the process that holds it",
                        kind->name);
    pnx_error_clear(err);
    status = kind->remove(name, identity, deadline, err);
    if (status != PNX_OK && status != PNX_EALREADY)
        return status;
    pnx_fate fate = status == PNX_OK ? PNX_FATE_REMOVED : PNX_FATE_ALREADY_GONE;
    if (status == PNX_OK)
        memcpy(ret_note, err->message, PNX_OUTCOME_REASON_MAX);
    pnx_error_clear(err);
    if (!kind->is_deed)
        status = look_until_gone(kind, name, identity, deadline, err);
    if (status == PNX_OK || status == PNX_EALREADY)
        *ret_fate = fate;
    return status == PNX_EALREADY ? PNX_OK : status;
}

pnx_status pnx_thing_remove_named(const pnx_thing_kind *kind, const char *name,
                                  const char *identity, pnx_time deadline, pnx_outcome *outcome,
                                  pnx_error *err)
{
    pnx_error local = {0};
    pnx_error *why = err ? err : &local;
    pnx_outcome ignored = {0};
    outcome = outcome ? outcome : &ignored;
    pnx_time began = pnx_monotonic_now();
    pnx_fate fate;
    char note[PNX_OUTCOME_REASON_MAX] = "";
    pnx_status status = remove_once(kind, name, identity, deadline, &fate, note, why);
    pnx__outcome_attempt(outcome, began);
    if (status != PNX_OK)
        return pnx__outcome_stuck(outcome, fate, why);
    pnx__outcome_gone(outcome, fate);
    memcpy(outcome->reason, note, sizeof note);
    return PNX_OK;
}

pnx_status pnx_thing_remove(pnx_thing *thing, pnx_time deadline, pnx_outcome *outcome,
                            pnx_error *err)
{
    if (thing->owner != getpid())
        return pnx_fail(err, PNX_EFORKED, "the %s '%s' is that of process %d", thing->kind->name,
                        thing->name, (int)thing->owner);
    if (!outcome)
        outcome = thing->watch ? thing->watch : &thing->outcome;
    if (thing->done) {
        pnx__outcome_gone(outcome, PNX_FATE_ALREADY_GONE);
        return PNX_OK;
    }
    pnx_status status =
        pnx_thing_remove_named(thing->kind, thing->name, thing->identity, deadline, outcome, err);
    if (status == PNX_OK) {
        thing->done = thing->kind->is_deed;
        tell_keeper(thing, outcome);
    }
    return status;
}

/* ---- guards ---------------------------------------------------------------------------------- */

pnx_status pnx__thing_release(void *value, const pnx_release *why)
{
    pnx_thing *thing;
    memcpy(&thing, value, sizeof thing);
    pnx_status status = pnx_thing_remove(thing, pnx__before_deadline(why->deadline), NULL, NULL);
    if (status == PNX_OK)
        pnx_thing_free(thing);
    return status;
}

int pnx__thing_describe(const void *value, char *buffer, size_t size)
{
    pnx_thing *thing;
    memcpy(&thing, value, sizeof thing);
    return snprintf(buffer, size, "%s %s", thing->kind->name, thing->name);
}
