/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/proxy/sweep_ledger.c: what only the ledger knows, and cannot prove. */
#include "support.h"

#include "../docker/fake.h"

#include "proxy/record.h"
#include "proxy/sweep.h"

#include <sys/stat.h>

#define MARK "11111111-2222-4333-8444-555555555555"

static bool serve(const struct fake_request *request, void *context)
{
    (void)context;
    if (fake_is(request, "GET /volumes/bare"))
        return fake_answer(request, 200, "{\"Name\": \"bare\", \"Labels\": null}");
    if (fake_is(request, "GET /volumes/empty"))
        return fake_answer(request, 200, "{\"Name\": \"empty\", \"Labels\": {}}");
    if (fake_is(request, "GET /volumes/theirs"))
        return fake_answer(request, 200, "{\"Name\": \"theirs\", \"Labels\": {\"of\": \"them\"}}");
    if (fake_is(request, "GET /volumes/unknown"))
        return fake_answer(request, 500, "{\"message\": \"nobody knows\"}");
    return fake_answer(request, 404, "{\"message\": \"no such thing\"}");
}

struct told {
    unsigned count;
    char names[64];
};

static void take_row(const pnx_sweep_row *row, void *context)
{
    struct told *told = context;
    assert_int_equal(row->type, PNX_VOLUME);
    assert_int_equal(row->outcome.fate, PNX_FATE_FOREIGN);
    assert_non_null(strstr(row->detail, "not answered"));
    snprintf(told->names + strlen(told->names), sizeof told->names - strlen(told->names), "%s ",
             row->name);
    told->count++;
}

static void intend(struct pnx__record *record, pnx_object_type type, const char *name,
                   const char *gone)
{
    uint32_t token;
    assert_int_equal(pnx__record_intend(record, type, MARK, name, &token, NULL), PNX_OK);
    if (gone)
        assert_int_equal(pnx__record_gone(record, token, gone, NULL), PNX_OK);
}

/* Killed while it makes a volume, dockerd has made it without its labels. */
static void a_volume_that_may_be_half_made_is_told_and_stays(void **state)
{
    (void)state;
    char directory[] = "/tmp/pnx-sweep-XXXXXX", path[64];
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/docker", directory);
    struct pnx__record *record;
    pnx_error err = {0};
    assert_int_equal(pnx__record_open(path, SESSION, &record, &err), PNX_OK);
    intend(record, PNX_VOLUME, "bare", NULL);
    intend(record, PNX_VOLUME, "empty", NULL);
    intend(record, PNX_VOLUME, "theirs", NULL); /* who made it has said so */
    intend(record, PNX_VOLUME, "never-made", NULL);
    intend(record, PNX_VOLUME, "", NULL); /* the engine had to find a name */
    intend(record, PNX_VOLUME, "bare", "existed before");
    intend(record, PNX_CONTAINER, "bare", NULL);
    pnx__record_close(record);

    struct told told = {0};
    const pnx_engine_config config = {.host = fake_start(serve, NULL, false), .session = SESSION};
    pnx_engine *engine;
    const pnx_call call = pnx_call_within(PNX_S(20));
    const pnx_sweep how = {.session = SESSION, .visit = take_row, .context = &told};
    assert_int_equal(pnx_engine_open(&config, &call, &engine, &err), PNX_OK);
    assert_int_equal(pnx__sweep_ledger(engine, path, &how, &call), PNX_OK);
    assert_string_equal(told.names, "bare empty ");
    assert_int_equal(told.count, 2);
    /* Whoever only looks for what is the session's does not hear of it. */
    pnx_sweep look = how;
    look.look = true;
    assert_int_equal(pnx__sweep_ledger(engine, path, &look, &call), PNX_OK);
    assert_int_equal(told.count, 2);
    /* What the engine does not say is not nothing. */
    assert_int_equal(pnx__record_open(path, SESSION, &record, &err), PNX_OK);
    intend(record, PNX_VOLUME, "unknown", NULL);
    pnx__record_close(record);
    assert_int_not_equal(pnx__sweep_ledger(engine, path, &how, &call), PNX_OK);
    assert_int_equal(told.count, 4);
    assert_int_equal(fake_count("DELETE"), 0);
    pnx_engine_close(engine);
    fake_stop();
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_volume_that_may_be_half_made_is_told_and_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
