/* SPDX-License-Identifier: MIT */
/*
 * libpatinox, by its public API, with its default configuration but for one worker, as everybody
 * has. Variants of it ("patinox, …") show what a setting costs; they are in the full table only.
 */
#include "common/bench.h"
#include "peer.h"

#include <patinox/patinox.h>
#include <stdlib.h>

static pnx_status give_back(void *thing, const pnx_release *why)
{
    release_thing(thing);
    return PNX_OK;
}
PNX_KIND(thing, void *, give_back);

static pnx_registry *registry;

static void check(pnx_status status, const pnx_error *err)
{
    char text[PNX_ERROR_MESSAGE_MAX + PNX_ERROR_CAUSE_MAX];

    if (status == PNX_OK)
        return;
    pnx_error_format(err, text, sizeof text);
    bench_give_up("%s: %s", pnx_status_name(status), text);
}

static pnx_registry *create(const pnx_config *config)
{
    pnx_registry *made = NULL;
    pnx_error err = {0};

    check(pnx_registry_create(config, &made, &err), &err);
    return made;
}

/** Whatever is left is released first. */
static void end(pnx_registry *ended)
{
    pnx_error err = {0};

    check(pnx_registry_shutdown(ended, NULL, NULL, &err), &err);
    check(pnx_registry_destroy(ended, &err), &err);
}

static void drop_one(pnx_registry *into, size_t index)
{
    pnx_error err = {0};
    pnx_auto(thing) guard = pnx_reserve(thing, into, &err);

    if (!pnx_arm(&guard, thing_of(index)))
        check(guard.status, &err);
}

static pnx_id register_one(size_t index)
{
    void *value = thing_of(index);
    pnx_error err = {0};
    pnx_id id;

    check(pnx_register(registry, thing_kind, &value, PNX_HERE, &id, &err), &err);
    return id;
}

/* ---- guards and registrations ---------------------------------------------------------------- */

static void worker_open(size_t backlog)
{
    pnx_config config = {.name = "bench", .workers = 1};

    if (pnx_config_complete(&config, NULL) == PNX_OK && backlog > config.backlog_high_water)
        config.backlog_high_water = backlog;
    registry = create(&config);
}

static void guard_drop(size_t count)
{
    for (size_t i = 0; i < count; i++)
        drop_one(registry, i);
}

static void registered_drop(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const pnx_id id = register_one(i);
        if (pnx_resource_set_bytes(registry, id, 64) || pnx_release_later(registry, id, NULL))
            bench_give_up("a live resource was not found");
    }
}

static void worker_close(void)
{
    end(registry);
}

static void scope(size_t count)
{
    static pnx_registry *of_scopes; /* ended by the exit hook */

    if (!of_scopes)
        of_scopes = create(&(pnx_config){.name = "bench scopes", .workers = 1});
    for (size_t i = 0; i < count; i++) {
        pnx_auto(thing) guard = pnx_reserve(thing, of_scopes, NULL);
        if (!pnx_arm(&guard, thing_of(i)) || !pnx_take(&guard))
            bench_give_up("%s", pnx_status_name(guard.status));
    }
}

/* ---- a whole life in one thread, and what watching it costs ---------------------------------- */

#define STEP 64

static void live_under(const pnx_config *config, pnx_monitor_fn monitor, size_t count)
{
    pnx_registry *stepped = create(config);
    pnx_monitor *attached;
    pnx_error err = {0};

    if (monitor)
        check(pnx_monitor_attach(stepped, monitor, NULL, &attached, &err), &err);
    for (size_t done = 0; done < count; done += STEP) {
        for (size_t i = 0; i < STEP; i++)
            drop_one(stepped, i);
        pnx_registry_step(stepped, STEP);
    }
    end(stepped);
}

static void life(size_t count)
{
    live_under(&(pnx_config){.executor = PNX_MANUAL}, NULL, count);
}

static void life_untimed(size_t count)
{
    live_under(&(pnx_config){.executor = PNX_MANUAL, .timing = PNX_TIMING_NONE}, NULL, count);
}

static void life_all_timed(size_t count)
{
    live_under(&(pnx_config){.executor = PNX_MANUAL, .timing = PNX_TIMING_ALL}, NULL, count);
}

static void ignore(const pnx_event *event, void *unused)
{
}

static void life_monitored(size_t count)
{
    live_under(&(pnx_config){.executor = PNX_MANUAL}, ignore, count);
}

/* ---- looking up ------------------------------------------------------------------------------ */

static pnx_id id_of(const struct table_id *id)
{
    return (pnx_id){.high = id->high, .low = id->low};
}

static void table_open(size_t capacity)
{
    worker_open(0);
}

static void table_add(struct table_id *ids, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const pnx_id id = register_one(i);
        ids[i] = (struct table_id){id.high, id.low};
    }
}

static size_t table_find(const struct table_id *ids, const uint32_t *order, size_t count)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += pnx_registry_state(registry, id_of(&ids[order[i]])) == PNX_LIVE;
    return found;
}

static size_t table_find_info(const struct table_id *ids, const uint32_t *order, size_t count)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        pnx_info info;
        found += pnx_registry_info(registry, id_of(&ids[order[i]]), &info) == PNX_OK;
    }
    return found;
}

static void table_replace(struct table_id *id)
{
    if (pnx_unregister(registry, id_of(id), NULL, NULL) != PNX_OK)
        bench_give_up("a live resource was not found");
    table_add(id, 1);
}

/* ---- deadlines ------------------------------------------------------------------------------- */

static struct table_id *expiring;

static void timer_open(size_t capacity)
{
    worker_open(0);
    expiring = calloc(capacity, sizeof *expiring);
    if (!expiring)
        bench_give_up("no memory");
    table_add(expiring, capacity);
}

static void expire(size_t index, pnx_duration after)
{
    if (pnx_expire_after(registry, id_of(&expiring[index]), after) != PNX_OK)
        bench_give_up("a live resource was not found");
}

static void timer_arm(const uint64_t *delays_ms, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expire(i, PNX_MS(delays_ms[i]));
}

static void timer_cancel(const uint32_t *order, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expire(order[i], PNX_FOREVER);
}

static void timer_close(void)
{
    worker_close();
    free(expiring);
}

/* ---- contenders ------------------------------------------------------------------------------ */

static const struct core_operations by_default = {
    .guard = {.open = worker_open, .drop = guard_drop, .close = worker_close},
    .registered = {.open = worker_open, .drop = registered_drop, .close = worker_close},
    .table = {.open = table_open,
              .add = table_add,
              .find = table_find,
              .replace = table_replace,
              .close = worker_close},
    .timer = {.open = timer_open,
              .arm = timer_arm,
              .cancel = timer_cancel,
              .close = timer_close,
              .has_threads = true},
    .scope = scope,
    .life = life,
};
static const struct core_operations whole_info = {
    .table = {.open = table_open,
              .add = table_add,
              .find = table_find_info,
              .replace = table_replace,
              .close = worker_close},
};
static const struct core_operations untimed = {.life = life_untimed};
static const struct core_operations all_timed = {.life = life_all_timed};
static const struct core_operations monitored = {.life = life_monitored};

static const struct bench_contender contenders[] = {
    {"patinox", PEER_VERSION, &by_default},
    {"patinox, whole info", PEER_VERSION, &whole_info},
    {"patinox, timing none", PEER_VERSION, &untimed},
    {"patinox, timing all", PEER_VERSION, &all_timed},
    {"patinox, monitored", PEER_VERSION, &monitored},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return core_main(argc, argv, contenders);
}
