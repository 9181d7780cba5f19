/* SPDX-License-Identifier: MIT */
#include "support.h"

#include "monitor/hub.h"

#include <stdio.h>

static void a_probe_reads_no_kind_where_there_is_none(void **state)
{
    static const pnx_kind kind = {.name = "conn"};
    for (pnx_event_type type = 0; type <= PNX_EVENT_COUNT; type++) {
        bool of_shutdown = type >= PNX_EVENT_SHUTDOWN_BEGIN;
        pnx_event event = {.type = type, .id = {1, 2}, .kind = of_shutdown ? NULL : &kind};
        PNX__PROBE_EVENT(&event);
    }
    pnx_id id = {3, 4};
    PNX__PROBE(started, id, &kind, PNX_HIGH, PNX_OK, 1u, (pnx_duration)-1);
    PNX__PROBE_SHUTDOWN(shutdown_end);
}

/* The notes that tracers read name the provider and each probe. */
static void the_program_names_its_probes(void **state)
{
#if PNX_PROBES
    static char program[8 << 20];
    FILE *file = fopen("/proc/self/exe", "r");
    assert_non_null(file);
    size_t size = fread(program, 1, sizeof(program), file);
    fclose(file);

    for (pnx_event_type type = 0; type < PNX_EVENT_COUNT; type++) {
        char note[64] = "patinox";
        size_t length = sizeof("patinox");
        for (const char *c = pnx_event_name(type); *c; c++) {
            note[length++] = *c == ' ' ? '_' : *c;
        }
        if (!memmem(program, size, note, length + 1)) {
            fail_msg("no probe for \"%s\"", pnx_event_name(type));
        }
    }
#else
    skip();
#endif
}

static void a_tracer_counts_as_a_listener(void **state)
{
#if PNX_PROBES
    struct pnx__hub *hub = pnx__hub_create(true);
    pnx_event event = {.type = PNX_EVENT_STARTED};

    assert_false(pnx__hub_active(hub));
    pnx__tracers++; /* as the kernel or a debugger does */
    assert_true(pnx__hub_active(hub));
    pnx__hub_emit(hub, &event); /* there is no monitor, nor anything made for one */
    assert_null(hub->ring);
    assert_int_equal(pnx__hub_lost(hub), 0);
    pnx__tracers--;
    assert_false(pnx__hub_active(hub));
    assert_int_equal(pnx__hub_destroy(hub, 0), PNX_OK);
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_probe_reads_no_kind_where_there_is_none),
        cmocka_unit_test(the_program_names_its_probes),
        cmocka_unit_test(a_tracer_counts_as_a_listener),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
