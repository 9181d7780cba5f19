/* SPDX-License-Identifier: MIT */
/* What is allowed, what is shared, what is saved; sessions, tests and scopes. */
#include "support.h"

#include <cleanroom/container_guards.h>

#include <pthread.h>

/* ---- rules ----------------------------------------------------------------------------------- */

static void what_the_policy_forbids_is_refused_by_field_and_rule(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    static const pnx_mount socket = {.source = "/var/run/docker.sock", .target = "/d"},
                           above = {.source = "/run/", .target = "/r"},
                           harmless = {.source = "/usr", .target = "/t"};
    const pnx_policy tight = {.images = TEXTS("pnx-*:1"),
                              .memory_max = 64 << 20,
                              .cpus_max = 0.5,
                              .pids_max = 20,
                              .cap_add = TEXTS("NET_BIND_SERVICE")};
    json_t *bodies[] = {
        json_pack("{s:{s:s}}", "HostConfig", "PidMode", "host"),
        json_pack("{s:{s:s}}", "HostConfig", "IpcMode", "container:other"),
        json_pack("{s:{s:[s]}}", "HostConfig", "Binds", "/var/run/../run/docker.sock:/d"),
        json_pack("{s:{s:[{s:s,s:s,s:{s:{s:{s:s}}}}]}}", "HostConfig", "Mounts", "Type", "volume",
                  "Target", "/d", "VolumeOptions", "DriverConfig", "Options", "device", "/run"),
        json_pack("{s:{s:[{s:s}]}}", "HostConfig", "Devices", "PathOnHost", "/dev/kmsg"),
        json_pack("{s:{s:[s]}}", "HostConfig", "VolumesFrom", "other"),
        json_pack("{s:{s:{s:{}}}}", "NetworkingConfig", "EndpointsConfig", "bridge"),
    };
    const struct {
        pnx_container_config container;
        const pnx_policy *policy;
        const char *says;
    } refused[] = {
        {{.image = "other:1"}, &tight, "image: 'other:1' matches none"},
        {{.image = "pnx-test"}, &tight, "image: 'pnx-test' matches none"},
        {{.image = IMAGE, .privileged = true}, NULL, "privileged: "},
        {{.image = IMAGE, .network = "host"}, NULL, "network: that of the host"},
        {{.image = IMAGE, .network = "container:x"}, NULL, "network: 'container:x'"},
        {{.image = IMAGE, .mounts = &socket, .mount_count = 1},
         NULL,
         "'/var/run/docker.sock' leads"},
        {{.image = IMAGE, .mounts = &above, .mount_count = 1}, NULL, "'/run/' leads"},
        {{.image = IMAGE, .cap_add = TEXTS("SYS_ADMIN")}, NULL, "cap_add: SYS_ADMIN"},
        {{.image = IMAGE, .cap_add = TEXTS("CAP_NET_RAW")}, &tight, "cap_add: CAP_NET_RAW"},
        {{.image = IMAGE, .security_opts = TEXTS("seccomp=unconfined")}, NULL, "security_opts: "},
        {{.image = IMAGE, .memory_max = 65 << 20}, &tight, "memory_max: it is more than"},
        {{.image = IMAGE, .cpus = 0.6}, &tight, "cpus: it is more than the allowed 0.5"},
        {{.image = IMAGE, .pids_max = 21}, &tight, "pids_max: it is more than the allowed 20"},
        {{.image = IMAGE, .body = bodies[0]}, NULL, "pid: that of the host"},
        {{.image = IMAGE, .body = bodies[1]}, NULL, "ipc: that of another container"},
        {{.image = IMAGE, .body = bodies[2]}, NULL, "volumes: "},
        {{.image = IMAGE, .body = bodies[3]}, NULL, "volumes: '/run' leads"},
        {{.image = IMAGE, .body = bodies[4]}, NULL, "Devices: "},
        {{.image = IMAGE, .body = bodies[5]}, NULL, "VolumesFrom: "},
        {{.image = IMAGE, .body = bodies[6]}, NULL, "network: 'bridge' is not that"},
    };
    for (size_t i = 0; i < COUNT(refused); i++) {
        pnx_error err = {0};
        pnx_environment *environment = NULL;
        const pnx_service_config service = {.name = "db", .container = refused[i].container};
        pnx_environment_config config = {.services = &service, .service_count = 1};
        if (refused[i].policy)
            config.policy = *refused[i].policy;
        assert_status(PNX_EINVAL, pnx_environment_new(engine, &config, &environment, &err), &err);
        assert_says(&err, "the policy refuses the service db: ");
        assert_says(&err, refused[i].says);
    }
    /* Not what it is called, but what it is. */
    make_place();
    assert_int_equal(symlink("/run", in_place("innocent")), 0);
    const pnx_mount linked = {.source = in_place("innocent"), .target = "/r"};
    const pnx_service_config by_link = {
        .name = "db", .container = {.image = IMAGE, .mounts = &linked, .mount_count = 1}};
    const pnx_environment_config leading = {.services = &by_link, .service_count = 1};
    pnx_environment *none = NULL;
    pnx_error err = {0};
    assert_status(PNX_EINVAL, pnx_environment_new(engine, &leading, &none, &err), &err);
    remove_place();
    const pnx_service_config fine = {.name = "db",
                                     .container = {.image = IMAGE,
                                                   .mounts = &harmless,
                                                   .mount_count = 1,
                                                   .cap_add = TEXTS("CAP_NET_BIND_SERVICE")}};
    pnx_environment *environment = make_environment(
        &(pnx_environment_config){.services = &fine, .service_count = 1, .policy = tight});
    pnx_environment_free(environment);
    for (size_t i = 0; i < COUNT(bodies); i++)
        json_decref(bodies[i]);
}

static void a_network_reaches_no_further_than_allowed(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_environment *environment = NULL;
    json_t *about = NULL;
    const pnx_environment_config far = {.reach = PNX_REACH_OUT,
                                        .policy = {.reach = PNX_REACH_INTERNAL}};
    assert_status(PNX_EINVAL, pnx_environment_new(engine, &far, &environment, &err), &err);
    assert_says(&err, "reach: 'out' is further than the allowed 'internal'");
    environment = start_environment(
        &(pnx_environment_config){.policy = {.reach = PNX_REACH_INTERNAL}}); /* says nothing */
    assert_ok(pnx_engine_inspect(engine, PNX_NETWORK, pnx_environment_network(environment), NULL,
                                 &about, &err),
              &err);
    assert_true(json_is_true(json_object_get(about, "Internal")));
    json_decref(about);
    end_environment(environment);
}

/* What a service says nothing of is as the policy has it; looked at in the engine. */
static void limits_of_the_policy_become_those_of_the_service(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    json_t *about = NULL;
    const pnx_service_config service = {SERVICE("a", FOREVER)};
    pnx_environment *environment = start_environment(&(pnx_environment_config){
        .services = &service,
        .service_count = 1,
        .reach = PNX_REACH_NONE,
        .policy = {.memory_max = 32 << 20,
                   .pids_max = 30,
                   .read_only = true,
                   .cap_drop = TEXTS("NET_RAW", "MKNOD")},
    });
    assert_ok(pnx_engine_inspect(engine, PNX_CONTAINER,
                                 pnx_service_id(pnx_environment_find(environment, "a")), NULL,
                                 &about, &err),
              &err);
    const json_t *host = json_object_get(about, "HostConfig");
    assert_int_equal(json_integer_value(json_object_get(host, "Memory")), 32 << 20);
    assert_int_equal(json_integer_value(json_object_get(host, "PidsLimit")), 30);
    assert_true(json_is_true(json_object_get(host, "ReadonlyRootfs")));
    char *dropped = json_dumps(json_object_get(host, "CapDrop"), 0);
    assert_non_null(strstr(dropped, "NET_RAW"));
    assert_non_null(strstr(dropped, "MKNOD"));
    free(dropped);
    json_decref(about);
    end_environment(environment);
}

/* ---- sharing --------------------------------------------------------------------------------- */

static pnx_status wipe(const pnx_service *service, void *context, const pnx_call *call,
                       pnx_error *err)
{
    unsigned *resets = context;
    int code = -1;
    (*resets)++;
    pnx_status status = pnx_engine_exec(
        engine, pnx_service_id(service),
        &(pnx_exec){.argv = SH("rm -f /data/*; test ! -e /tmp/broken")}, call, &code, err);
    return status == PNX_OK && code != 0 ? PNX_EFAILED : status;
}

static int in_service(const pnx_service *service, const char *script)
{
    int code = -1;
    pnx_error err = {0};
    assert_ok(pnx_engine_exec(engine, pnx_service_id(service), &(pnx_exec){.argv = SH(script)},
                              NULL, &code, &err),
              &err);
    return code;
}

static void the_same_configuration_is_shared_and_reset(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    unsigned resets = 0;
    bool reused = true;
    pnx_service *first, *second, *third;
    pnx_environment *environment =
        start_environment(&(pnx_environment_config){.reach = PNX_REACH_NONE});
    pnx_service_config config = {SERVICE("db", FOREVER), .reset = wipe, .reset_context = &resets};
    assert_ok(pnx_environment_get(environment, &config, NULL, &first, &reused, &err), &err);
    assert_false(reused);
    assert_int_equal(in_service(first, "touch /data/left"), 0);
    assert_ok(pnx_environment_get(environment, &config, NULL, &second, &reused, &err), &err);
    assert_true(reused);
    assert_ptr_equal(first, second);
    assert_int_equal(resets, 1);
    assert_int_equal(in_service(second, "test -e /data/left"), 1);

    /* What cannot be reset, and what has ended, is replaced. */
    assert_int_equal(in_service(second, "touch /tmp/broken"), 0);
    assert_ok(pnx_environment_get(environment, &config, NULL, &third, &reused, &err), &err);
    assert_false(reused);
    assert_ptr_not_equal(third, second);
    assert_false(there_is(PNX_CONTAINER, pnx_service_id(second)));
    assert_string_equal(pnx_environment_variable(environment, "DB_CONTAINER"),
                        pnx_service_id(third));
    config.reset = NULL; /* which would find out, too */
    assert_ok(pnx_engine_kill(engine, pnx_service_id(third), SIGKILL, NULL, &err), &err);
    assert_ok(pnx_engine_wait(engine, pnx_service_id(third), NULL, NULL, &err), &err);
    assert_ok(pnx_environment_get(environment, &config, NULL, &first, &reused, &err), &err);
    assert_false(reused);

    config.container.environment = TEXTS("OTHER=1");
    assert_status(PNX_EBUSY, pnx_environment_get(environment, &config, NULL, &first, NULL, &err),
                  &err);
    assert_says(&err, "a service db with another configuration");
    assert_status(PNX_EALREADY, pnx_environment_run(environment, &config, NULL, NULL, &err), &err);
    config.container.privileged = true;
    config.name = "other";
    assert_status(PNX_EINVAL, pnx_environment_get(environment, &config, NULL, &first, NULL, &err),
                  &err);
    pnx_environment_stats stats;
    pnx_environment_stats_of(environment, &stats);
    assert_int_equal(stats.counts.reused, 1);
    assert_int_equal(stats.counts.reset, 1);
    assert_int_equal(stats.counts.refused, 1);
    assert_int_equal(stats.counts.started, 3);
    end_environment(environment);
}

struct asking {
    pnx_environment *environment;
    pnx_service *got;
    pnx_status status;
};

static void *ask(void *context)
{
    struct asking *asking = context;
    const pnx_service_config config = {SERVICE("db", FOREVER)};
    asking->status =
        pnx_environment_get(asking->environment, &config, NULL, &asking->got, NULL, NULL);
    return NULL;
}

static void who_asks_at_the_same_time_gets_the_same(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pthread_t threads[4];
    struct asking asking[4];
    pnx_environment *environment =
        start_environment(&(pnx_environment_config){.reach = PNX_REACH_NONE});
    for (size_t i = 0; i < COUNT(threads); i++) {
        asking[i] = (struct asking){.environment = environment};
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &asking[i]), 0);
    }
    for (size_t i = 0; i < COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(asking[i].status, PNX_OK);
        assert_ptr_equal(asking[i].got, asking[0].got);
    }
    pnx_environment_stats stats;
    pnx_environment_stats_of(environment, &stats);
    assert_int_equal(stats.counts.started, 1);
    assert_int_equal(stats.counts.reused, 3);
    end_environment(environment);
}

/* ---- artifacts ------------------------------------------------------------------------------- */

static void files_and_coverage_are_saved_before_removal(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    make_place();
    char text[32768];
    FILE *out = fmemopen(text, sizeof text, "w");
    const pnx_service_config service = {
        SERVICE("app", "mkdir -p /data/logs/deep /data/cov/b; echo one >/data/logs/a.log; "
                       "echo two >/data/logs/b.txt; echo three >/data/logs/deep/c.log; "
                       "echo 1 >/data/cov/x.profraw; echo 2 >/data/cov/b/y.gcda; "
                       "echo 3 >/data/cov/z.gcno; ln -s /etc/passwd /data/cov/l.gcda; "
                       "trap 'echo flushed >/data/cov/late.profraw; exit 0' TERM; echo up; "
                       "while :; do sleep 1000 & wait; done"),
        .ready = &(pnx_wait){.check = {.type = PNX_CHECK_LOG, .text = "up"}},
        .save = TEXTS("/data/logs/*.log", "/data/logs/deep", "/none/at/all"),
        .coverage = TEXTS("/data/cov"),
    };
    for (int always = 0; always < 2; always++) {
        const char *to = always ? "always" : "coverage-only";
        pnx_environment *environment = start_environment(&(pnx_environment_config){
            .services = &service,
            .service_count = 1,
            .reach = PNX_REACH_NONE,
            .artifacts = in_place(to),
            .artifacts_always = always,
        });
        pnx_error err = {0};
        assert_ok(pnx_environment_remove(environment, NULL, &err), &err);
        if (always)
            assert_ok(pnx_environment_write_prometheus(environment, out, &err), &err);
        assert_string_equal(pnx_environment_unsaved(environment), "");
        end_environment(environment);
    }
    fclose(out);
    /* Coverage always, with what was written when it was asked to stop. */
    assert_string_equal(content_of(in_place("coverage-only/coverage/app/data/cov/x.profraw")),
                        "1\n");
    assert_string_equal(content_of(in_place("coverage-only/coverage/app/data/cov/b/y.gcda")),
                        "2\n");
    assert_string_equal(content_of(in_place("coverage-only/coverage/app/data/cov/late.profraw")),
                        "flushed\n");
    assert_false(is_there(in_place("coverage-only/coverage/app/data/cov/z.gcno")));
    assert_false(is_there(in_place("coverage-only/coverage/app/data/cov/l.gcda")));
    assert_false(is_there(in_place("coverage-only/app.log")));
    assert_string_equal(content_of(in_place("always/app.log")), "up\n");
    assert_string_equal(content_of(in_place("always/app/data/logs/a.log")), "one\n");
    assert_string_equal(content_of(in_place("always/app/data/logs/deep/c.log")), "three\n");
    assert_false(is_there(in_place("always/app/data/logs/b.txt")));
    assert_false(is_there(in_place("always/app/none")));
    /* app.log, app.json, two logs, three files of coverage */
    assert_non_null(
        strstr(text, "cleanroom_environment_saved_files_total{environment=\"environment\"} 7\n"));
    assert_non_null(
        strstr(text, "cleanroom_environment_ready_seconds_count{environment=\"environment\"} 1\n"));
    assert_non_null(
        strstr(text, "_ready_seconds_bucket{environment=\"environment\",le=\"+Inf\"} 1"));
    remove_place();
}

static void write_file(const char *path, const char *content)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(content, file);
    fclose(file);
}

static void coverage_of_this_machine_is_moved(void **state)
{
    (void)state;
    pnx_error err = {0};
    pnx_collected got;
    make_place();
    assert_int_equal(mkdir(in_place("from"), 0755), 0);
    assert_int_equal(mkdir(in_place("from/deep"), 0755), 0);
    write_file(in_place("from/a.profraw"), "a");
    write_file(in_place("from/deep/b.gcda"), "bb");
    write_file(in_place("from/deep/b.o"), "other");
    write_file(in_place("secret"), "not yours");
    assert_int_equal(symlink(in_place("secret"), in_place("from/link.gcda")), 0);
    assert_ok(pnx_coverage_collect(in_place("from/"), in_place("from/to/here"), &got, &err), &err);
    assert_int_equal(got.files, 2);
    assert_int_equal(got.bytes, 3);
    assert_string_equal(content_of(in_place("from/to/here/deep/b.gcda")), "bb");
    assert_false(is_there(in_place("from/a.profraw")));
    assert_false(is_there(in_place("from/deep/b.gcda")));
    assert_true(is_there(in_place("from/deep/b.o")));
    assert_true(is_there(in_place("from/link.gcda")));
    /* Again, and onto another file system: what is collected is not collected anew. */
    assert_ok(pnx_coverage_collect(in_place("from"), in_place("from/to/here"), &got, &err), &err);
    assert_int_equal(got.files, 0);
    char other[] = "/dev/shm/pnx-coverage-XXXXXX";
    assert_non_null(mkdtemp(other));
    assert_ok(pnx_coverage_collect(in_place("from/to"), other, &got, &err), &err);
    assert_int_equal(got.files, 2);
    assert_false(is_there(in_place("from/to/here/a.profraw")));
    char command[512];
    snprintf(command, sizeof command,
             "test -s %s/here/a.profraw && ! ls -R %s | grep half && rm -r %s", other, other,
             other);
    assert_int_equal(system(command), 0); /* NOLINT: a path of our own */
    assert_status(PNX_EFAILED, pnx_coverage_collect(in_place("none"), other, &got, &err), &err);
    remove_place();
}

/* ---- sessions, tests, scopes ----------------------------------------------------------------- */

static void wait_idle(pnx_registry *registry)
{
    pnx_error err = {0};
    assert_ok(pnx_registry_wait_idle(registry, pnx_time_after(pnx_monotonic_now(), PNX_S(100))),
              &err);
}

static void a_test_takes_its_own_with_it_and_leaves_what_is_shared(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_registry *registry;
    pnx_service *shared, *again, *own = NULL;
    char own_id[128], session_id[64];
    make_place();
    assert_ok(pnx_registry_create(NULL, &registry, &err), &err);
    const pnx_service_config db = {SERVICE("db", FOREVER)};
    const pnx_service_config mail = {
        SERVICE("mail", "echo hello from mail; " FOREVER),
        .ready = &(pnx_wait){.check = {.type = PNX_CHECK_LOG, .text = "hello"}}};
    {
        pnx_auto(container_session) session = pnx_reserve(container_session, registry, &err);
        pnx_container_session *opened;
        const pnx_container_session_config config = {
            .environment = {.reach = PNX_REACH_INTERNAL,
                            .policy = {.memory_max = 64 << 20},
                            .artifacts = in_place("kept")}};
        assert_ok(pnx_container_session_open(&config, NULL, &opened, &err), &err);
        assert_true(pnx_arm(&session, opened));
        assert_ok(pnx_container_session_start(opened, NULL, &err), &err);
        snprintf(session_id, sizeof session_id, "%s",
                 pnx_engine_session(pnx_container_session_engine(opened)));
        for (int failing = 0; failing < 2; failing++) {
            pnx_auto(container_test) test = pnx_reserve(container_test, registry, &err);
            pnx_container_test *of;
            const pnx_container_test_config named = {.name = failing ? "fails" : "passes"};
            assert_ok(pnx_container_test_open(opened, &named, &of, &err), &err);
            assert_true(pnx_arm(&test, of));
            assert_ok(pnx_container_test_share(of, &db, NULL, failing ? &again : &shared, &err),
                      &err);
            assert_ok(pnx_container_test_run(of, &mail, NULL, &own, &err), &err);
            snprintf(own_id, sizeof own_id, "%s", pnx_service_id(own));
            assert_true(there_is(PNX_CONTAINER, own_id));
            /* The rules of the session are those of the test. */
            pnx_service_config greedy = mail;
            greedy.name = "greedy";
            greedy.container.memory_max = 65 << 20;
            assert_status(PNX_EINVAL, pnx_container_test_run(of, &greedy, NULL, NULL, &err), &err);
            if (failing)
                pnx_container_test_fail(of);
            else
                assert_status(PNX_EBUSY, pnx_container_session_close(opened, NULL, &err), &err);
        }
        wait_idle(registry);
        assert_ptr_equal(shared, again);
        assert_false(there_is(PNX_CONTAINER, own_id));
        assert_true(there_is(PNX_CONTAINER, pnx_service_id(shared)));
        assert_false(is_there(in_place("kept/passes/mail.log")));
        assert_string_equal(content_of(in_place("kept/fails/mail.log")), "hello from mail\n");
        /* Made by somebody else, in the session: it goes with it. */
        pnx_object_free(
            make_container(pnx_container_session_engine(opened), &(pnx_container_config){0}));
    }
    wait_idle(registry);
    char label[128];
    json_t *list = NULL;
    snprintf(label, sizeof label, PNX_LABEL_SESSION "=%s", session_id);
    assert_ok(pnx_engine_list(engine, PNX_CONTAINER, TEXTS(label), NULL, &list, &err), &err);
    assert_int_equal(json_array_size(list), 0);
    json_decref(list);
    assert_ok(pnx_registry_shutdown(registry, NULL, NULL, &err), &err);
    assert_ok(pnx_registry_destroy(registry, &err), &err);
    remove_place();
}

struct order {
    char text[256];
    pthread_mutex_t mutex;
};

static void note_release(const pnx_event *event, void *context)
{
    struct order *order = context;
    if (event->type != PNX_EVENT_COMPLETED)
        return;
    pthread_mutex_lock(&order->mutex);
    size_t length = strlen(order->text);
    snprintf(order->text + length, sizeof order->text - length, "%s ", event->kind->name);
    pthread_mutex_unlock(&order->mutex);
}

static void a_scope_gives_back_last_in_first_out(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_registry *registry;
    pnx_monitor *monitor;
    struct order order = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    pnx_object *network, *volume, *box;
    assert_ok(pnx_registry_create(NULL, &registry, &err), &err);
    assert_ok(pnx_monitor_attach(registry, note_release, &order, &monitor, &err), &err);
    pnx_scope scope = pnx_scope_open(registry, "import", &err);
    assert_ok(scope.status, &err);
    assert_ok(
        pnx_scope_volume(&scope, registry, engine, &(pnx_volume_config){0}, NULL, &volume, &err),
        &err);
    assert_ok(pnx_scope_network(&scope, registry, engine, &(pnx_network_config){.internal = true},
                                NULL, &network, &err),
              &err);
    const pnx_container_config config = {
        .image = IMAGE, .command = SH(FOREVER), .network = pnx_object_name(network)};
    assert_ok(pnx_scope_container(&scope, registry, engine, &config, NULL, NULL, &box, &err), &err);
    char id[128];
    snprintf(id, sizeof id, "%s", pnx_object_id(box));
    /* One that does not get there is removed at once, and the rest stays. */
    const pnx_container_config dies = {
        .image = IMAGE, .command = SH("exit 4"), .network = "none", .name = "pnx-dies"};
    const pnx_wait never = {.check = {.type = PNX_CHECK_LOG, .text = "never"}};
    assert_status(PNX_EFAILED,
                  pnx_scope_container(&scope, registry, engine, &dies, &never, NULL, NULL, &err),
                  &err);
    assert_says(&err, "the container pnx-dies: it ended with status 4");
    assert_false(there_is(PNX_CONTAINER, "pnx-dies"));
    assert_true(there_is(PNX_CONTAINER, id));
    assert_ok(pnx_scope_close(&scope, PNX_FOREVER, NULL, &err), &err);
    assert_false(there_is(PNX_CONTAINER, id));
    assert_ok(pnx_monitor_detach(monitor), &err);
    assert_string_equal(order.text, "container container network volume scope ");
    assert_ok(pnx_registry_shutdown(registry, NULL, NULL, &err), &err);
    assert_ok(pnx_registry_destroy(registry, &err), &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_policy_forbids_is_refused_by_field_and_rule),
        cmocka_unit_test(a_network_reaches_no_further_than_allowed),
        cmocka_unit_test(limits_of_the_policy_become_those_of_the_service),
        cmocka_unit_test(the_same_configuration_is_shared_and_reset),
        cmocka_unit_test(who_asks_at_the_same_time_gets_the_same),
        cmocka_unit_test(files_and_coverage_are_saved_before_removal),
        cmocka_unit_test(coverage_of_this_machine_is_moved),
        cmocka_unit_test(a_test_takes_its_own_with_it_and_leaves_what_is_shared),
        cmocka_unit_test(a_scope_gives_back_last_in_first_out),
    };
    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
