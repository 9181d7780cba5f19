/* SPDX-License-Identifier: MIT */
/* Environments in a real engine: order, readiness, addresses, failure, removal. */
#include "support.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>

/* ---- order ----------------------------------------------------------------------------------- */

static void services_start_when_what_they_need_is_there(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    static const pnx_mount data = {.type = PNX_MOUNT_VOLUME, .source = "data", .target = "/data"};
    /* Given in the wrong order; each dies at once if what it needs was not done before. */
    const pnx_service_config services[] = {
        {.name = "web",
         .container = {.image = IMAGE,
                       .command = SH("test -e /data/ready || exit 3; " FOREVER),
                       .mounts = &data,
                       .mount_count = 1},
         .depends_on = &(pnx_dependency){"db", PNX_READY},
         .depends_count = 1},
        {.name = "db",
         .container = {.image = IMAGE,
                       .command = SH("test -e /data/schema || exit 4; sleep 0.3; "
                                     "touch /data/ready; echo up; " FOREVER),
                       .mounts = &data,
                       .mount_count = 1},
         .ready = &(pnx_wait){.check = {.type = PNX_CHECK_LOG, .text = "up"}},
         .depends_on = &(pnx_dependency){"migrate", PNX_COMPLETED},
         .depends_count = 1},
        {.name = "migrate",
         .container = {.image = IMAGE,
                       .command = SH("sleep 0.2; touch /data/schema"),
                       .mounts = &data,
                       .mount_count = 1}},
    };
    pnx_environment *environment = start_environment(&(pnx_environment_config){
        .services = services, .service_count = 3, .volumes = TEXTS("data")});
    pnx_environment_stats stats;
    pnx_environment_stats_of(environment, &stats);
    assert_int_equal(stats.counts.started, 3);
    assert_int_equal(stats.counts.ready, 3);
    assert_int_equal(stats.counts.services, 3);
    assert_int_equal(stats.ready_time.count, 3);
    assert_true(stats.counts.checks >= 3);
    assert_non_null(pnx_environment_find(environment, "db"));
    assert_null(pnx_environment_find(environment, "dbs"));
    end_environment(environment);
}

static void services_that_need_nothing_of_each_other_start_side_by_side(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    static const pnx_mount data = {.type = PNX_MOUNT_VOLUME, .source = "data", .target = "/data"};
    /* Neither gets ready before the other one runs. */
    const pnx_service_config services[] = {
        {.name = "a",
         .container = {.image = IMAGE,
                       .command = SH("touch /data/a; " FOREVER),
                       .mounts = &data,
                       .mount_count = 1},
         .ready = &(pnx_wait){.check = {.type = PNX_CHECK_COMMAND, .shell = "test -e /data/b"}}},
        {.name = "b",
         .container = {.image = IMAGE,
                       .command = SH("touch /data/b; " FOREVER),
                       .mounts = &data,
                       .mount_count = 1},
         .ready = &(pnx_wait){.check = {.type = PNX_CHECK_COMMAND, .shell = "test -e /data/a"}}},
    };
    end_environment(start_environment(&(pnx_environment_config){
        .services = services, .service_count = 2, .volumes = TEXTS("data")}));
}

/* What can never start is refused before anything exists. */
static void what_can_never_start_is_refused(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    const pnx_dependency on_a[] = {{"a", PNX_STARTED}}, on_b[] = {{"b", PNX_STARTED}},
                         on_c[] = {{"c", PNX_READY}}, on_x[] = {{"x", PNX_STARTED}};
    const struct {
        pnx_service_config services[4];
        const char *says;
    } wrong[] = {
        {{{SERVICE("d", ""), .depends_on = on_a, .depends_count = 1},
          {SERVICE("a", ""), .depends_on = on_b, .depends_count = 1},
          {SERVICE("b", ""), .depends_on = on_c, .depends_count = 1},
          {SERVICE("c", ""), .depends_on = on_a, .depends_count = 1}},
         "a → b → c → a"},
        {{{SERVICE("a", ""), .depends_on = on_a, .depends_count = 1}}, "a → a"},
        {{{SERVICE("a", ""), .depends_on = on_x, .depends_count = 1}}, "no service 'x'"},
        {{{SERVICE("a.b", "")}, {SERVICE("a-b", "")}}, "A_B_"},
        {{{SERVICE("a b", "")}}, "no name of a service"},
        {{{SERVICE("a", ""), .ready = &(pnx_wait){.type = PNX_WAIT_ALL}}}, "no checks"},
        {{{SERVICE("a", ""), .ready = &(pnx_wait){.check = {.type = PNX_CHECK_TCP}}}}, "port"},
        {{{SERVICE("a", ""), .save = TEXTS("/*.log")}}, "no absolute path below a directory"},
        {{{SERVICE("a", ""), .save = TEXTS("var/log")}}, "no absolute path below a directory"},
        {{{.name = "a"}}, "image"},
    };
    for (size_t i = 0; i < COUNT(wrong); i++) {
        pnx_error err = {0};
        pnx_environment *environment = NULL;
        size_t count = 0;
        while (count < 4 && wrong[i].services[count].name)
            count++;
        const pnx_environment_config config = {.services = wrong[i].services,
                                               .service_count = count};
        assert_status(PNX_EINVAL, pnx_environment_new(engine, &config, &environment, &err), &err);
        assert_says(&err, wrong[i].says);
        assert_null(environment);
    }
}

/* ---- readiness ------------------------------------------------------------------------------- */

static void all_and_any_of_the_checks_count(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    const pnx_wait never = {.check = {.type = PNX_CHECK_LOG, .text = "never said"}};
    const pnx_wait said = {.check = {.type = PNX_CHECK_LOG, .pattern = "^listening on [0-9]+$"}};
    const pnx_wait answers = {.check = {.type = PNX_CHECK_HTTP, .port = 80, .path = "/index.html"}};
    const pnx_wait accepts = {.check = {.type = PNX_CHECK_TCP, .port = 80}};
    const pnx_wait either = {.type = PNX_WAIT_ANY, .of = (pnx_wait[]){never, answers}, .count = 2};
    const pnx_service_config service = {
        .name = "web",
        .container = {.image = IMAGE,
                      .command = SH("mkdir /www; echo hello >/www/index.html; httpd -p 80 -h /www; "
                                    "sleep 0.2; echo listening on 80; " FOREVER)},
        .ready = &(
            pnx_wait){.type = PNX_WAIT_ALL, .of = (pnx_wait[]){said, accepts, either}, .count = 3},
    };
    end_environment(
        start_environment(&(pnx_environment_config){.services = &service, .service_count = 1}));
}

static void what_is_not_ready_in_time_is_told_and_taken_down(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    const pnx_service_config service = {
        SERVICE("slow", "echo still warming up; " FOREVER),
        .ready =
            &(pnx_wait){.check = {.type = PNX_CHECK_COMMAND, .shell = "echo too cold; exit 5"}},
        .within = PNX_S(2),
    };
    pnx_environment *environment = make_environment(&(pnx_environment_config){
        .services = &service, .service_count = 1, .reach = PNX_REACH_NONE});
    assert_status(PNX_ETIMEOUT, pnx_environment_start(environment, NULL, &err), &err);
    assert_says(&err, "the service slow: it was not ready within 2s; seen last:");
    assert_says(&err, "last words: still warming up");
    assert_nothing_of(pnx_environment_id(environment));
    assert_status(PNX_EALREADY, pnx_environment_start(environment, NULL, &err), &err);
    end_environment(environment);
}

/* ---- addresses ------------------------------------------------------------------------------- */

static void get_from(const char *host, const char *port, char answer[512])
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)strtol(port, NULL, 10))};
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";
    assert_int_equal(inet_pton(AF_INET, host, &address.sin_addr), 1);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    size_t size = 0;
    for (ssize_t got; size < 511 && (got = recv(fd, answer + size, 511 - size, 0)) > 0;)
        size += (size_t)got;
    answer[size] = '\0';
    close(fd);
}

struct seen {
    char text[1024];
};

static void see(const char *name, const char *value, void *context)
{
    struct seen *seen = context;
    size_t length = strlen(seen->text);
    snprintf(seen->text + length, sizeof seen->text - length, "%s=%.12s ", name, value);
}

static void a_program_outside_finds_the_ports_by_variables(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    const pnx_port ports[] = {{.port = 80}, {.port = 5353, .udp = true}};
    const pnx_service_config service = {
        .name = "my-web",
        .container = {.image = IMAGE,
                      .command = SH("mkdir /www; echo hello there >/www/index.html; "
                                    "exec httpd -f -p 80 -h /www"),
                      .ports = ports,
                      .port_count = 2},
        .ready = &(pnx_wait){.check = {.type = PNX_CHECK_HTTP, .port = 80}},
    };
    for (pnx_reach reach = PNX_REACH_INTERNAL; reach <= PNX_REACH_OUT; reach++) {
        char answer[512];
        if (is_podman() && reach == PNX_REACH_INTERNAL) {
            pnx_error err = {0};
            pnx_environment *none = NULL;
            const pnx_environment_config config = {
                .services = &service, .service_count = 1, .reach = reach};
            assert_status(PNX_EUNSUPPORTED, pnx_environment_new(engine, &config, &none, &err),
                          &err);
            assert_says(&err, "with Podman an internal network");
            continue;
        }
        struct seen seen = {""};
        pnx_environment *environment = start_environment(
            &(pnx_environment_config){.services = &service, .service_count = 1, .reach = reach});
        const char *host = pnx_environment_variable(environment, "MY_WEB_HOST");
        const char *port = pnx_environment_variable(environment, "MY_WEB_PORT_80");
        assert_non_null(host);
        assert_non_null(port);
        assert_string_equal(pnx_environment_variable(environment, "MY_WEB_PORT"), port);
        assert_non_null(pnx_environment_variable(environment, "MY_WEB_PORT_5353_UDP"));
        assert_null(pnx_environment_variable(environment, "MY_WEB_PORT_81"));
        pnx_service *web = pnx_environment_find(environment, "my-web");
        assert_string_equal(pnx_service_host(web), host);
        assert_int_equal(pnx_service_port(web, 80), strtol(port, NULL, 10));
        assert_string_equal(pnx_environment_variable(environment, "MY_WEB_CONTAINER"),
                            pnx_service_id(web));
        get_from(host, port, answer);
        assert_non_null(strstr(answer, "hello there"));
        pnx_environment_variables(environment, see, &seen);
        assert_non_null(strstr(seen.text, "MY_WEB_HOST="));
        end_environment(environment);
    }
}

static void services_find_each_other_by_name(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    if (is_podman())
        skip(); /* 4.3 with CNI resolves names only where its plugin dnsname is installed */
    const pnx_service_config services[] = {
        {SERVICE("web", "mkdir /www; echo hello >/www/index.html; exec httpd -f -p 80 -h /www")},
        {SERVICE("client", "until wget -q -O - http://web/; do sleep 0.1; done; " FOREVER),
         .ready = &(pnx_wait){.check = {.type = PNX_CHECK_LOG, .text = "hello"}},
         .depends_on = &(pnx_dependency){"web", PNX_STARTED}, .depends_count = 1},
    };
    end_environment(start_environment(&(pnx_environment_config){
        .services = services, .service_count = 2, .reach = PNX_REACH_INTERNAL}));
}

/* ---- failure --------------------------------------------------------------------------------- */

/* When the first thing goes, what all of them said is there already. */
static void look_for_logs(const pnx_sweep_row *row, void *context)
{
    bool *all = context;
    *all = *all && is_there(in_place("kept/db.log")) && is_there(in_place("kept/cache.log"));
}

static void a_failed_start_saves_what_all_said_and_leaves_nothing(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_environment_failure failure;
    bool saved_first = true;
    make_place();
    const pnx_service_config services[] = {
        {SERVICE("cache", "echo cache is up; " FOREVER)},
        {SERVICE("db", "echo reading tables; echo no such table >&2; exit 7"),
         .ready = &(pnx_wait){.check = {.type = PNX_CHECK_LOG, .text = "ready"}},
         .depends_on = &(pnx_dependency){"cache", PNX_READY}, .depends_count = 1},
        {SERVICE("never", FOREVER), .depends_on = &(pnx_dependency){"db", PNX_READY},
         .depends_count = 1},
    };
    pnx_environment *environment = make_environment(&(pnx_environment_config){
        .services = services,
        .service_count = 3,
        .reach = PNX_REACH_INTERNAL,
        .artifacts = in_place("kept"),
        .visit = look_for_logs,
        .context = &saved_first,
    });
    assert_false(pnx_environment_failed(environment, &failure));
    assert_status(PNX_EFAILED, pnx_environment_start(environment, NULL, &err), &err);
    assert_says(&err, "the service db: it ended with status 7 before it was ready");
    assert_says(&err, "no such table");
    assert_nothing_of(pnx_environment_id(environment));
    assert_true(saved_first);
    assert_true(pnx_environment_failed(environment, &failure));
    assert_string_equal(failure.service, "db");
    assert_non_null(strstr(failure.reason, "status 7"));
    assert_non_null(strstr(failure.log, "reading tables\n"));
    assert_non_null(strstr(content_of(in_place("kept/db.log")), "no such table"));
    assert_non_null(strstr(content_of(in_place("kept/db.json")), "\"ExitCode\": 7"));
    assert_non_null(strstr(content_of(in_place("kept/cache.log")), "cache is up"));
    assert_false(is_there(in_place("kept/never.log")));
    end_environment(environment);
    remove_place();
}

static void an_image_that_is_not_there_is_told(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    const pnx_service_config service = {.name = "db", .container = {.image = "pnx-none:1"}};
    pnx_environment *environment = make_environment(&(pnx_environment_config){
        .services = &service, .service_count = 1, .reach = PNX_REACH_NONE});
    assert_status(PNX_ENOTFOUND, pnx_environment_start(environment, NULL, &err), &err);
    assert_says(&err, "the service db: cannot create");
    assert_says(&err, "pnx-none");
    end_environment(environment);
}

struct impatient {
    pnx_environment *environment;
    pnx_cancel *cancel;
};

static void *cancel_when_started(void *context)
{
    struct impatient *impatient = context;
    pnx_environment_stats stats;
    do
        pnx_environment_stats_of(impatient->environment, &stats);
    while (stats.counts.started == 0 && usleep(1000) == 0);
    pnx_cancel_now(impatient->cancel);
    return NULL;
}

static void a_start_can_be_canceled(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pthread_t thread;
    struct impatient impatient;
    const pnx_service_config service = {
        SERVICE("db", FOREVER),
        .ready = &(pnx_wait){.check = {.type = PNX_CHECK_LOG, .text = "never"}},
    };
    impatient.environment = make_environment(&(pnx_environment_config){
        .services = &service, .service_count = 1, .reach = PNX_REACH_NONE});
    assert_ok(pnx_cancel_create(&impatient.cancel, &err), &err);
    assert_int_equal(pthread_create(&thread, NULL, cancel_when_started, &impatient), 0);
    const pnx_call call = {.deadline = PNX_FOREVER, .cancel = impatient.cancel};
    assert_status(PNX_ECANCELED, pnx_environment_start(impatient.environment, &call, &err), &err);
    pthread_join(thread, NULL);
    assert_nothing_of(pnx_environment_id(impatient.environment));
    end_environment(impatient.environment);
    pnx_cancel_free(impatient.cancel);
}

/* ---- removal --------------------------------------------------------------------------------- */

struct rows {
    char text[2048];
    bool all_verified;
};

static void take_row(const pnx_sweep_row *row, void *context)
{
    struct rows *rows = context;
    size_t length = strlen(rows->text);
    rows->all_verified &= row->outcome.verified;
    snprintf(rows->text + length, sizeof rows->text - length, "%s %s, ",
             pnx_object_type_name(row->type), row->name);
}

static void it_goes_in_the_reverse_order(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    struct rows rows = {.all_verified = true};
    const pnx_service_config services[] = {
        {SERVICE("a", FOREVER)},
        {SERVICE("b", FOREVER), .depends_on = &(pnx_dependency){"a", PNX_STARTED},
         .depends_count = 1},
        {SERVICE("c", FOREVER), .depends_on = &(pnx_dependency){"b", PNX_STARTED},
         .depends_count = 1},
    };
    pnx_environment *environment = start_environment(&(pnx_environment_config){
        .services = services,
        .service_count = 3,
        .volumes = TEXTS("data"),
        .reach = PNX_REACH_INTERNAL,
        .visit = take_row,
        .context = &rows,
    });
    assert_ok(pnx_environment_remove(environment, NULL, NULL), &(pnx_error){0});
    assert_string_equal(rows.text, "container c, container b, container a, network network, "
                                   "volume data, ");
    assert_true(rows.all_verified);
    pnx_environment_stats stats;
    pnx_environment_stats_of(environment, &stats);
    assert_int_equal(stats.counts.removed, 5);
    assert_int_equal(stats.counts.swept, 0);
    assert_int_equal(stats.counts.services, 0);
    assert_int_equal(stats.remove_time.count, 5);
    end_environment(environment);
}

/* Made behind its back, as by a creation whose answer got lost. */
static void the_second_layer_removes_what_the_first_does_not_know(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    char label[128];
    const pnx_service_config service = {SERVICE("a", FOREVER)};
    pnx_environment *environment = start_environment(&(pnx_environment_config){
        .services = &service, .service_count = 1, .reach = PNX_REACH_INTERNAL});
    snprintf(label, sizeof label, PNX_LABEL_ENVIRONMENT "=%s", pnx_environment_id(environment));
    pnx_object *unknown =
        make_container(engine, &(pnx_container_config){
                                   .command = SH(FOREVER),
                                   .labels = TEXTS(label),
                                   .network = pnx_environment_network(environment),
                               });
    pnx_object *bystander = make_container(engine, &(pnx_container_config){.command = SH(FOREVER)});
    assert_ok(pnx_engine_start(engine, pnx_object_id(unknown), NULL, &err), &err);
    assert_ok(pnx_environment_remove(environment, NULL, &err), &err);
    pnx_environment_stats stats;
    pnx_environment_stats_of(environment, &stats);
    assert_int_equal(stats.counts.swept, 1);
    assert_false(there_is(PNX_CONTAINER, pnx_object_id(unknown)));
    assert_true(there_is(PNX_CONTAINER, pnx_object_id(bystander)));
    end_environment(environment);
    pnx_object_free(unknown);
    remove_object(bystander);
}

static void a_guard_that_is_dropped_takes_all_down(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_registry *registry;
    char id[PNX_ID_TEXT_SIZE];
    assert_ok(pnx_registry_create(NULL, &registry, &err), &err);
    {
        pnx_auto(environment) guard = pnx_reserve(environment, registry, &err);
        assert_ok(guard.status, &err);
        const pnx_service_config service = {SERVICE("a", FOREVER)};
        pnx_environment *environment = make_environment(&(pnx_environment_config){
            .services = &service, .service_count = 1, .reach = PNX_REACH_INTERNAL});
        assert_true(pnx_arm(&guard, environment));
        assert_ok(pnx_environment_start(environment, NULL, &err), &err);
        snprintf(id, sizeof id, "%s", pnx_environment_id(environment));
    }
    assert_ok(pnx_registry_wait_idle(registry, pnx_time_after(pnx_monotonic_now(), PNX_S(60))),
              &err);
    assert_nothing_of(id);
    pnx_counts counts;
    pnx_registry_counts(registry, &counts);
    assert_int_equal(counts.done, 1);
    assert_ok(pnx_registry_shutdown(registry, NULL, NULL, &err), &err);
    assert_ok(pnx_registry_destroy(registry, &err), &err);
}

static void in_a_fork_child_nothing_is_removed(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    const pnx_service_config service = {SERVICE("a", FOREVER)};
    pnx_environment *environment = start_environment(&(pnx_environment_config){
        .services = &service, .service_count = 1, .reach = PNX_REACH_NONE});
    pid_t child = fork();
    if (child == 0)
        _exit(pnx_environment_remove(environment, NULL, NULL) == PNX_EFORKED ? 0 : 1);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(there_is(PNX_CONTAINER, pnx_service_id(pnx_environment_find(environment, "a"))));
    end_environment(environment);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(services_start_when_what_they_need_is_there),
        cmocka_unit_test(services_that_need_nothing_of_each_other_start_side_by_side),
        cmocka_unit_test(what_can_never_start_is_refused),
        cmocka_unit_test(all_and_any_of_the_checks_count),
        cmocka_unit_test(what_is_not_ready_in_time_is_told_and_taken_down),
        cmocka_unit_test(a_program_outside_finds_the_ports_by_variables),
        cmocka_unit_test(services_find_each_other_by_name),
        cmocka_unit_test(a_failed_start_saves_what_all_said_and_leaves_nothing),
        cmocka_unit_test(an_image_that_is_not_there_is_told),
        cmocka_unit_test(a_start_can_be_canceled),
        cmocka_unit_test(it_goes_in_the_reverse_order),
        cmocka_unit_test(the_second_layer_removes_what_the_first_does_not_know),
        cmocka_unit_test(a_guard_that_is_dropped_takes_all_down),
        cmocka_unit_test(in_a_fork_child_nothing_is_removed),
    };
    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
