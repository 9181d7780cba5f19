/* SPDX-License-Identifier: MIT */
/* Objects and their guards against a real engine, by tests/docker/with_engine. */
#include "support.h"

#include "docker/object.h"

#include <pthread.h>

/* ---- other people's things ------------------------------------------------------------------- */

/* What somebody else makes: without any label of ours. */
static void make_theirs(const char *path, const char *body, char id[128])
{
    pnx_error err = {0};
    json_t *request = json_loads(body, 0, NULL), *answer = NULL;
    assert_non_null(request);
    assert_ok(pnx_engine_request(engine, "POST", path, request, NULL, &answer, &err), &err);
    const char *made = json_string_value(json_object_get(answer, "Id"));
    snprintf(id, 128, "%s", made ? made : json_string_value(json_object_get(answer, "Name")));
    json_decref(request);
    json_decref(answer);
}

static void remove_theirs(pnx_object_type type, const char *id)
{
    pnx_error err = {0};
    assert_ok(pnx_engine_remove(engine, type, id, true, NULL, &err), &err);
}

static pnx_object *make_network(pnx_engine *in, const char *name)
{
    pnx_error err = {0};
    pnx_object *object;
    assert_ok(
        pnx_network_new(in, &(pnx_network_config){.name = name, .internal = true}, &object, &err),
        &err);
    assert_ok(pnx_object_create(object, NULL, &err), &err);
    return object;
}

static pnx_object *make_volume(pnx_engine *in, const char *name)
{
    pnx_error err = {0};
    pnx_object *object;
    assert_ok(pnx_volume_new(in, &(pnx_volume_config){.name = name}, &object, &err), &err);
    assert_ok(pnx_object_create(object, NULL, &err), &err);
    return object;
}

static const pnx_mount anonymous = {.type = PNX_MOUNT_VOLUME, .target = "/data"};

static const char *volume_of(const pnx_object *object)
{
    assert_int_equal(json_array_size(object->volumes), 1);
    return json_string_value(json_array_get(object->volumes, 0));
}

/* ---- removal --------------------------------------------------------------------------------- */

static void a_container_goes_with_its_anonymous_volume_and_process(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    char volume[128], id[128];
    pnx_object *object = make_container(engine, &(pnx_container_config){.command = SH("sleep 1000"),
                                                                        .mounts = &anonymous,
                                                                        .mount_count = 1});
    snprintf(id, sizeof id, "%s", pnx_object_id(object));
    snprintf(volume, sizeof volume, "%s", volume_of(object));
    assert_true(there_is(PNX_VOLUME, volume));
    assert_ok(pnx_engine_start(engine, id, NULL, &err), &err);
    pnx_object_watch_by(object, &outcome);
    assert_ok(pnx_object_remove(object, NULL, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_REMOVED);
    assert_true(outcome.verified);
    assert_int_equal(outcome.attempts, 1);
    assert_true(object->pid > 0); /* the engine runs in our pid namespace: it was seen */
    assert_false(pnx__docker_object_lives(object));
    assert_false(there_is(PNX_CONTAINER, id));
    assert_false(there_is(PNX_VOLUME, volume));
    assert_ok(pnx_object_remove(object, NULL, &err), &err); /* again: nothing to do */
    pnx_object_free(object);
}

static void a_volume_that_was_asked_for_stays(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    char theirs[128];
    /* Called like an anonymous one, by somebody who wants it found missing. */
    make_theirs("/volumes/create",
                "{\"Name\": \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}",
                theirs);
    pnx_object *object = make_container(
        engine,
        &(pnx_container_config){
            .command = SH("sleep 1000"),
            .mounts = &(pnx_mount){.type = PNX_MOUNT_VOLUME, .source = theirs, .target = "/data"},
            .mount_count = 1});
    assert_int_equal(json_array_size(object->volumes), 0);
    remove_object(object);
    assert_true(there_is(PNX_VOLUME, theirs));
    remove_theirs(PNX_VOLUME, theirs);
}

static void an_anonymous_volume_in_use_is_told_and_goes_later(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    char body[512], theirs[128], volume[128];
    if (is_podman())
        skip(); /* it removes the volume under the other container */
    /* Not as a mount, for of that the engine forgets that another container has it. */
    json_t *given = json_pack("{s:{s:{}}}", "Volumes", "/data");
    pnx_object *object =
        make_container(engine, &(pnx_container_config){.command = SH("sleep 1000"), .body = given});
    json_decref(given);
    snprintf(volume, sizeof volume, "%s", volume_of(object));
    snprintf(body, sizeof body,
             "{\"Image\": \"" IMAGE "\", \"HostConfig\": {\"NetworkMode\": \"none\", "
             "\"VolumesFrom\": [\"%s\"]}}",
             pnx_object_id(object));
    make_theirs("/containers/create", body, theirs);
    pnx_object_watch_by(object, &outcome);
    pnx_call call = pnx_call_within(PNX_MS(400));
    assert_status(PNX_EBUSY, pnx_object_remove(object, &call, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_STUCK);
    assert_false(outcome.verified);
    assert_non_null(strstr(outcome.reason, "volume is in use"));
    assert_true(there_is(PNX_VOLUME, volume));
    remove_theirs(PNX_CONTAINER, theirs);
    remove_object(object);
    assert_false(there_is(PNX_VOLUME, volume));
}

static void what_ignores_its_stop_signal_is_killed_after_the_grace(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    pnx_call call = patience();
    struct taken taken = {0};
    pnx_object *object = make_container(
        engine, &(pnx_container_config){
                    .command = SH("trap '' TERM; echo ready; while :; do sleep 1; done"),
                    .grace = PNX_MS(900)}); /* whole seconds: one */
    const char *id = pnx_object_id(object);
    assert_ok(pnx_engine_start(engine, id, NULL, &err), &err);
    taken.enough_after = 1;
    assert_ok(pnx_engine_logs(engine, id, &(pnx_logs){.follow = true}, take, &taken, &call, &err),
              &err);
    pnx_object_watch_by(object, &outcome);
    assert_ok(pnx_object_remove(object, &call, &err), &err);
    assert_true(outcome.took >= PNX_MS(900));
    assert_true(outcome.verified);
    pnx_object_free(object);
}

static void what_heeds_its_stop_signal_is_not_killed(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_call call = patience();
    struct taken taken = {.enough_after = 1}, last = {0};
    pnx_object *object = make_container(
        engine, &(pnx_container_config){.command = SH("trap 'echo asked; exit 5' TERM; echo ready; "
                                                      "while :; do sleep 0.05; done")});
    const char *id = pnx_object_id(object);
    int code = -1;
    assert_ok(pnx_engine_start(engine, id, NULL, &err), &err);
    assert_ok(pnx_engine_logs(engine, id, &(pnx_logs){.follow = true}, take, &taken, &call, &err),
              &err);
    assert_ok(pnx_engine_stop(engine, id, PNX_S(30), &call, &err), &err);
    assert_ok(pnx_engine_wait(engine, id, &call, &code, &err), &err);
    assert_int_equal(code, 5);
    assert_ok(pnx_engine_logs(engine, id, NULL, take, &last, NULL, &err), &err);
    assert_string_equal(last.out, "ready\nasked\n");
    remove_object(object);
}

#define REMOVERS 6

static void *remove_adopted(void *object)
{
    pnx_error err = {0};
    pnx_call call = patience();
    if (pnx_object_remove(object, &call, &err) != PNX_OK)
        print_error("%s: %s\n", err.message, err.cause.message);
    return NULL;
}

static void many_may_remove_one_at_the_same_time(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_object *object = run_container(engine, "sleep 1000"), *all[REMOVERS];
    pnx_outcome outcomes[REMOVERS] = {0};
    pthread_t threads[REMOVERS];
    for (int i = 0; i < REMOVERS; i++) {
        assert_ok(
            pnx_object_adopt(engine, PNX_CONTAINER, pnx_object_id(object), NULL, &all[i], &err),
            &err);
        pnx_object_watch_by(all[i], &outcomes[i]);
    }
    for (int i = 0; i < REMOVERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, remove_adopted, all[i]), 0);
    for (int i = 0; i < REMOVERS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(outcomes[i].verified);
        assert_true(outcomes[i].fate == PNX_FATE_REMOVED ||
                    outcomes[i].fate == PNX_FATE_ALREADY_GONE);
        pnx_object_free(all[i]);
    }
    remove_object(object);
}

/* ---- what is not ours ------------------------------------------------------------------------ */

static void a_volume_that_exists_never_becomes_ours(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    char theirs[128];
    pnx_object *object;
    make_theirs("/volumes/create", "{\"Name\": \"pnx-theirs\"}", theirs);
    assert_ok(pnx_volume_new(engine, &(pnx_volume_config){.name = "pnx-theirs"}, &object, &err),
              &err);
    assert_status(PNX_EBUSY, pnx_object_create(object, NULL, &err), &err);
    assert_says(&err, "pnx-theirs");
    pnx_object_watch_by(object, &outcome);
    assert_ok(pnx_object_remove(object, NULL, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_ALREADY_GONE);
    pnx_object_free(object);
    assert_true(there_is(PNX_VOLUME, "pnx-theirs"));
    remove_theirs(PNX_VOLUME, "pnx-theirs");
}

static void what_took_the_name_of_ours_is_foreign(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    char theirs[128];
    pnx_object *object = make_volume(engine, "pnx-taken");
    remove_theirs(PNX_VOLUME, "pnx-taken");
    make_theirs("/volumes/create", "{\"Name\": \"pnx-taken\"}", theirs);
    pnx_object_watch_by(object, &outcome);
    assert_status(PNX_EFAILED, pnx_object_remove(object, NULL, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_FOREIGN);
    assert_false(outcome.verified);
    assert_true(there_is(PNX_VOLUME, "pnx-taken"));
    pnx_object_free(object);
    remove_theirs(PNX_VOLUME, "pnx-taken");
}

static void only_what_has_our_label_can_be_adopted(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_object *object = NULL;
    pnx_engine *other;
    char theirs[128];
    make_theirs("/volumes/create",
                "{\"Name\": \"pnx-labelled\", \"Labels\": {\"dev.cleanroom.managed\": \"true\"}}",
                theirs);
    assert_status(PNX_EINVAL, pnx_object_adopt(engine, PNX_VOLUME, theirs, NULL, &object, &err),
                  &err);
    remove_theirs(PNX_VOLUME, theirs);
    assert_ok(pnx_engine_open(NULL, NULL, &other, &err), &err);
    pnx_object *ours = make_volume(other, NULL);
    assert_status(PNX_EINVAL,
                  pnx_object_adopt(engine, PNX_VOLUME, pnx_object_id(ours), NULL, &object, &err),
                  &err);
    remove_object(ours);
    pnx_engine_close(other);
}

static void two_sessions_cannot_take_each_others_names(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_engine *other;
    pnx_object *second = NULL;
    const pnx_container_config config = {
        .image = IMAGE, .name = "pnx-same", .network = "none", .command = SH("sleep 1000")};
    assert_ok(pnx_engine_open(NULL, NULL, &other, &err), &err);
    assert_string_not_equal(pnx_engine_session(other), pnx_engine_session(engine));
    pnx_object *first = make_container(engine, &config);
    assert_ok(pnx_container_new(other, &config, &second, &err), &err);
    assert_status(PNX_EBUSY, pnx_object_create(second, NULL, &err), &err);
    remove_object(second);
    assert_true(there_is(PNX_CONTAINER, pnx_object_id(first)));
    assert_status(PNX_EALREADY, pnx_object_create(first, NULL, &err), &err);
    remove_object(first);
    if (!is_podman()) {
        first = make_network(engine, "pnx-same");
        assert_ok(pnx_network_new(other, &(pnx_network_config){.name = "pnx-same"}, &second, &err),
                  &err);
        assert_status(PNX_EBUSY, pnx_object_create(second, NULL, &err), &err);
        remove_object(second);
        remove_object(first);
    }
    pnx_engine_close(other);
}

/* ---- networks in use ------------------------------------------------------------------------- */

static void a_network_in_use_by_others_is_told_and_goes_later(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    char theirs[128];
    if (is_podman())
        skip(); /* Debian 12's has no network back end without further packages */
    pnx_object *network = make_network(engine, "pnx-busy");
    make_theirs("/containers/create",
                "{\"Image\": \"" IMAGE "\", \"Cmd\": [\"sleep\", \"1000\"], "
                "\"HostConfig\": {\"NetworkMode\": \"pnx-busy\"}}",
                theirs);
    assert_ok(pnx_engine_start(engine, theirs, NULL, &err), &err);
    pnx_object_watch_by(network, &outcome);
    pnx_call call = pnx_call_within(PNX_MS(300));
    assert_status(PNX_EBUSY, pnx_object_remove(network, &call, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_STUCK);
    assert_non_null(strstr(outcome.reason, "active endpoints"));
    remove_theirs(PNX_CONTAINER, theirs);
    remove_object(network);
}

static void containers_of_the_session_leave_a_network_that_goes(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    if (is_podman())
        skip(); /* Debian 12's has no network back end without further packages */
    pnx_object *network = make_network(engine, NULL);
    pnx_object *object =
        make_container(engine, &(pnx_container_config){.command = SH("sleep 1000"),
                                                       .network = pnx_object_name(network)});
    assert_ok(pnx_engine_start(engine, pnx_object_id(object), NULL, &err), &err);
    remove_object(network);
    remove_object(object);
}

/* ---- failures of creation -------------------------------------------------------------------- */

static void what_cannot_start_is_removed_all_the_same(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_object *object = make_container(
        engine, &(pnx_container_config){
                    .command = TEXTS("/no/such/command"), .mounts = &anonymous, .mount_count = 1});
    assert_int_not_equal(pnx_engine_start(engine, pnx_object_id(object), NULL, &err), PNX_OK);
    assert_says(&err, is_podman() ? "not found" : "no such file or directory");
    remove_object(object);
    assert_int_equal(count_of(engine, PNX_CONTAINER), 0);
}

static void what_cannot_be_created_leaves_nothing(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_object *object;
    assert_ok(
        pnx_container_new(engine, &(pnx_container_config){.image = "pnx-no-such:1"}, &object, &err),
        &err);
    assert_status(PNX_ENOTFOUND, pnx_object_create(object, NULL, &err), &err);
    assert_says(&err, "pnx-no-such:1");
    remove_object(object);

    /* The time is over before it begins, or while it is being made: both are looked for. */
    for (int i = 0; i < 6; i++) {
        const pnx_call call = pnx_call_within(PNX_MS(2 * i));
        pnx_outcome outcome = {0};
        assert_ok(pnx_container_new(engine,
                                    &(pnx_container_config){.image = IMAGE, .network = "none"},
                                    &object, &err),
                  &err);
        pnx_status status = pnx_object_create(object, &call, &err);
        pnx_object_watch_by(object, &outcome);
        assert_ok(pnx_object_remove(object, NULL, &err), &err);
        assert_true(status == PNX_OK || status == PNX_ETIMEOUT);
        assert_true(outcome.fate == PNX_FATE_REMOVED || outcome.fate == PNX_FATE_ALREADY_GONE);
        /* What was found is seen to be gone; of what was not, nobody can say that. */
        assert_int_equal(outcome.verified, outcome.fate == PNX_FATE_REMOVED);
        pnx_object_free(object);
    }
    assert_int_equal(count_of(engine, PNX_CONTAINER), 0);
}

static void configurations_that_cannot_be_are_refused(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_object *object = NULL;
    const struct {
        pnx_container_config config;
        const char *says;
    } wrong[] = {
        {{0}, "image"},
        {{.image = IMAGE, .labels = TEXTS("none")}, "key=value"},
        {{.image = IMAGE, .cpus = -1}, "cpus"},
        {{.image = IMAGE, .aliases = TEXTS("a")}, "aliases"},
        {{.image = IMAGE, .mounts = &(pnx_mount){.target = "x"}, .mount_count = 1}, "mounts"},
        {{.image = IMAGE, .mounts = &(pnx_mount){.target = "/x"}, .mount_count = 1}, "source"},
        {{.image = IMAGE, .hostname = "\xff"}, "UTF-8"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_status(PNX_EINVAL, pnx_container_new(engine, &wrong[i].config, &object, &err), &err);
        assert_says(&err, wrong[i].says);
    }
    assert_status(PNX_EINVAL, pnx_image_new(engine, &(pnx_image_config){0}, &object, &err), &err);
    assert_status(
        PNX_EINVAL,
        pnx_image_new(engine, &(pnx_image_config){.import = "a", .context = "b"}, &object, &err),
        &err);
}

/* ---- keeping --------------------------------------------------------------------------------- */

static void what_is_kept_stays_and_says_so(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    const struct {
        pnx_keep keep;
        bool failed, kept;
    } cases[] = {
        {PNX_KEEP_ALWAYS, false, true},
        {PNX_KEEP_ON_FAILURE, true, true},
        {PNX_KEEP_ON_FAILURE, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pnx_outcome outcome = {0};
        pnx_object *object;
        char id[128];
        assert_ok(
            pnx_volume_new(engine, &(pnx_volume_config){.keep = cases[i].keep}, &object, &err),
            &err);
        assert_ok(pnx_object_create(object, NULL, &err), &err);
        pnx_engine_set_failed(engine, cases[i].failed);
        pnx_object_watch_by(object, &outcome);
        assert_ok(pnx_object_remove(object, NULL, &err), &err);
        snprintf(id, sizeof id, "%s", pnx_object_id(object));
        pnx_object_free(object);
        assert_int_equal(outcome.fate == PNX_FATE_KEPT, cases[i].kept);
        assert_int_equal(there_is(PNX_VOLUME, id), cases[i].kept);
        if (cases[i].kept)
            remove_theirs(PNX_VOLUME, id);
    }
    pnx_engine_set_failed(engine, false);
}

/* ---- the ledger ------------------------------------------------------------------------------ */

struct book {
    char lines[512], mark[64], id[128];
    bool refuse;
};

static pnx_status intend(void *context, pnx_object_type type, const char *mark, const char *name,
                         uint64_t *ret_token, pnx_error *err)
{
    struct book *book = context;
    char label[128];
    json_t *list = NULL;
    if (book->refuse)
        return pnx_fail(err, PNX_EFAILED, "the disk is full");
    snprintf(label, sizeof label, PNX_LABEL_ID "=%s", mark);
    assert_ok(pnx_engine_list(engine, type, TEXTS(label), NULL, &list, err), err);
    assert_int_equal(json_array_size(list), 0); /* it does not exist yet */
    json_decref(list);
    snprintf(book->mark, sizeof book->mark, "%s", mark);
    snprintf(book->lines + strlen(book->lines), 100, "intend %s %s\n", pnx_object_type_name(type),
             name);
    *ret_token = 4711;
    return PNX_OK;
}

static pnx_status bind_id(void *context, uint64_t token, const char *id, pnx_error *err)
{
    struct book *book = context;
    (void)err;
    assert_int_equal(token, 4711);
    assert_true(there_is(PNX_VOLUME, id));
    snprintf(book->id, sizeof book->id, "%s", id);
    snprintf(book->lines + strlen(book->lines), 100, "bind\n");
    return PNX_OK;
}

static void is_gone(void *context, uint64_t token, const pnx_outcome *outcome)
{
    struct book *book = context;
    assert_int_equal(token, 4711);
    if (book->id[0])
        assert_false(there_is(PNX_VOLUME, book->id));
    assert_true(outcome->verified);
    snprintf(book->lines + strlen(book->lines), 100, "gone %s\n", pnx_fate_name(outcome->fate));
}

static void the_ledger_comes_first_and_last(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    struct book book = {0};
    pnx_engine *with;
    pnx_object *object;
    char theirs[128];
    const pnx_engine_ledger ledger = {&book, intend, bind_id, is_gone};
    assert_ok(pnx_engine_open(&(pnx_engine_config){.ledger = &ledger}, NULL, &with, &err), &err);
    object = make_volume(with, "pnx-written");
    assert_string_equal(book.mark, pnx_object_mark(object));
    remove_object(object);
    assert_string_equal(book.lines, "intend volume pnx-written\nbind\ngone removed\n");

    /* Somebody else's: there was an intent, and nothing came of it. */
    memset(&book, 0, sizeof book);
    make_theirs("/volumes/create", "{\"Name\": \"pnx-theirs\"}", theirs);
    assert_ok(pnx_volume_new(with, &(pnx_volume_config){.name = theirs}, &object, &err), &err);
    assert_status(PNX_EBUSY, pnx_object_create(object, NULL, &err), &err);
    remove_object(object);
    assert_string_equal(book.lines, "intend volume pnx-theirs\ngone already gone\n");
    remove_theirs(PNX_VOLUME, theirs);

    memset(&book, 0, sizeof book);
    book.refuse = true;
    assert_ok(pnx_volume_new(with, &(pnx_volume_config){.name = "pnx-unwritten"}, &object, &err),
              &err);
    assert_status(PNX_EFAILED, pnx_object_create(object, NULL, &err), &err);
    assert_says(&err, "the disk is full");
    assert_false(there_is(PNX_VOLUME, "pnx-unwritten"));
    remove_object(object);
    assert_string_equal(book.lines, "");
    pnx_engine_close(with);
}

/* ---- guards ---------------------------------------------------------------------------------- */

struct stack {
    pnx_object *container, *network, *volume;
    pnx_outcome outcomes[3];
};

/* Makes a container on a network with a volume, and lets go of all of them in the worst order. */
static pnx_status make_and_drop(pnx_registry *registry, struct stack *stack, pnx_error *err)
{
    pnx_auto(container) c = pnx_reserve(container, registry, err);
    pnx_auto(network) n = pnx_reserve(network, registry, err);
    pnx_auto(volume) v = pnx_reserve(volume, registry, err);
    assert_int_equal(c.status | n.status | v.status, PNX_OK);
    assert_ok(pnx_volume_new(engine, &(pnx_volume_config){0}, &stack->volume, err), err);
    assert_true(pnx_arm(&v, stack->volume));
    assert_ok(pnx_object_create(stack->volume, NULL, err), err);
    if (!is_podman()) {
        assert_ok(
            pnx_network_new(engine, &(pnx_network_config){.internal = true}, &stack->network, err),
            err);
        assert_true(pnx_arm(&n, stack->network));
        assert_ok(pnx_object_create(stack->network, NULL, err), err);
    }
    const pnx_container_config config = {
        .image = IMAGE,
        .command = SH("sleep 1000"),
        .network = stack->network ? pnx_object_name(stack->network) : "none",
        .mounts = &(pnx_mount){PNX_MOUNT_VOLUME, pnx_object_name(stack->volume), "/data", false, 0},
        .mount_count = 1,
    };
    assert_ok(pnx_container_new(engine, &config, &stack->container, err), err);
    assert_true(pnx_arm(&c, stack->container));
    assert_ok(pnx_object_create(stack->container, NULL, err), err);
    assert_ok(pnx_engine_start(engine, pnx_object_id(stack->container), NULL, err), err);
    pnx_object_watch_by(stack->container, &stack->outcomes[0]);
    pnx_object_watch_by(stack->volume, &stack->outcomes[1]);
    if (stack->network)
        pnx_object_watch_by(stack->network, &stack->outcomes[2]);
    return PNX_OK;
}

static void guards_remove_in_the_background_and_verify(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    struct stack stack = {0};
    pnx_registry *registry;
    assert_ok(pnx_registry_create(&(pnx_config){.name = "guards", .workers = 2}, &registry, &err),
              &err);
    assert_ok(make_and_drop(registry, &stack, &err), &err);
    /* Less than an attempt may take: what is in use must not keep a worker from what uses it. */
    pnx_call within = pnx_call_within(PNX_S(40));
    assert_ok(pnx_registry_wait_idle(registry, within.deadline), &err);
    for (int i = 0; i < (stack.network ? 3 : 2); i++) {
        assert_int_equal(stack.outcomes[i].fate, PNX_FATE_REMOVED);
        assert_true(stack.outcomes[i].verified);
    }
    pnx_counts counts;
    pnx_registry_counts(registry, &counts);
    assert_int_equal(counts.abandoned + counts.failed, 0);
    assert_ok(pnx_registry_shutdown(registry, NULL, NULL, &err), &err);
    assert_ok(pnx_registry_destroy(registry, &err), &err);
    for (int type = PNX_CONTAINER; type < PNX_IMAGE; type++)
        assert_int_equal(count_of(engine, (pnx_object_type)type), 0);
}

static void a_fork_child_removes_nothing(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_object *object = make_volume(engine, NULL);
    pid_t child = fork();
    if (child == 0) {
        pnx_error err = {0};
        pnx_status removed = pnx_object_remove(object, NULL, &err),
                   pinged = pnx_engine_ping(engine, NULL, &err);
        _exit(removed == PNX_EFORKED && pinged == PNX_EFORKED ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(there_is(PNX_VOLUME, pnx_object_id(object)));
    remove_object(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_container_goes_with_its_anonymous_volume_and_process),
        cmocka_unit_test(a_volume_that_was_asked_for_stays),
        cmocka_unit_test(an_anonymous_volume_in_use_is_told_and_goes_later),
        cmocka_unit_test(what_ignores_its_stop_signal_is_killed_after_the_grace),
        cmocka_unit_test(what_heeds_its_stop_signal_is_not_killed),
        cmocka_unit_test(many_may_remove_one_at_the_same_time),
        cmocka_unit_test(a_volume_that_exists_never_becomes_ours),
        cmocka_unit_test(what_took_the_name_of_ours_is_foreign),
        cmocka_unit_test(only_what_has_our_label_can_be_adopted),
        cmocka_unit_test(two_sessions_cannot_take_each_others_names),
        cmocka_unit_test(a_network_in_use_by_others_is_told_and_goes_later),
        cmocka_unit_test(containers_of_the_session_leave_a_network_that_goes),
        cmocka_unit_test(what_cannot_start_is_removed_all_the_same),
        cmocka_unit_test(what_cannot_be_created_leaves_nothing),
        cmocka_unit_test(configurations_that_cannot_be_are_refused),
        cmocka_unit_test(what_is_kept_stays_and_says_so),
        cmocka_unit_test(the_ledger_comes_first_and_last),
        cmocka_unit_test(guards_remove_in_the_background_and_verify),
        cmocka_unit_test(a_fork_child_removes_nothing),
    };
    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
