/* SPDX-License-Identifier: MIT */
/* The client against a real engine, by tests/docker/with_engine. */
#include "support.h"

#include <fcntl.h>
#include <sys/stat.h>

static void a_version_is_agreed_upon(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    json_t *version = NULL, *info = NULL;
    assert_true(pnx_engine_api(engine) >= 1041);
    assert_ok(pnx_engine_ping(engine, NULL, &err), &err);
    assert_ok(pnx_engine_version(engine, NULL, &version, &err), &err);
    const char *name = json_string_value(
        json_object_get(json_array_get(json_object_get(version, "Components"), 0), "Name"));
    if (name)
        assert_int_equal(is_podman(), strstr(name, "Podman") != NULL);
    assert_ok(pnx_engine_info(engine, NULL, &info, &err), &err);
    assert_true(json_is_object(info));
    json_decref(version);
    json_decref(info);
}

static void a_list_holds_what_has_all_of_its_labels(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    static const struct {
        const char *const labels[3];
        size_t count;
    } cases[] = {
        {{"pnx.a=1"}, 2},
        {{"pnx.a"}, 2},
        {{"pnx.a=1", "pnx.b=1"}, 1},
        {{"pnx.a=1", "pnx.b"}, 2},
        {{"pnx.a=1", "pnx.c"}, 0},
        {{"pnx.a=2"}, 0},
    };
    pnx_object *volumes[2];
    const char *const labels[2][3] = {{"pnx.a=1", "pnx.b=1"}, {"pnx.a=1", "pnx.b=2"}};
    for (int i = 0; i < 2; i++) {
        assert_ok(
            pnx_volume_new(engine, &(pnx_volume_config){.labels = labels[i]}, &volumes[i], &err),
            &err);
        assert_ok(pnx_object_create(volumes[i], NULL, &err), &err);
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *list;
        assert_ok(pnx_engine_list(engine, PNX_VOLUME, cases[i].labels, NULL, &list, &err), &err);
        assert_int_equal(json_array_size(list), cases[i].count);
        json_decref(list);
    }
    remove_object(volumes[0]);
    remove_object(volumes[1]);
}

static void what_the_engine_says_is_in_the_error(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    assert_status(PNX_ENOTFOUND, pnx_engine_start(engine, "pnx-no-such", NULL, &err), &err);
    assert_says(&err, "pnx-no-such");
    assert_says(&err, is_podman() ? "no container with name" : "No such container: pnx-no-such");
    assert_says(&err, "(HTTP 404)");
    assert_status(PNX_EINVAL, pnx_engine_start(engine, "", NULL, &err), &err);
    assert_status(PNX_EINVAL, pnx_engine_start(engine, "../images/x", NULL, &err), &err);
}

static void a_container_is_created_as_configured(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    json_t *about = NULL;
    pnx_object *object =
        make_container(engine, &(pnx_container_config){
                                   .command = SH("sleep 1000"),
                                   .environment = TEXTS("COLOUR=green"),
                                   .labels = TEXTS("mine=yes"),
                                   .workdir = "/tmp",
                                   .memory_max = (uint64_t)64 << 20,
                                   .cpus = 0.5,
                                   .pids_max = 50,
                                   .read_only = true,
                                   .cap_drop = TEXTS("NET_RAW"),
                                   .mounts = (const pnx_mount[]){{PNX_MOUNT_TMPFS, NULL, "/scratch",
                                                                  false, (uint64_t)1 << 20}},
                                   .mount_count = 1,
                                   .health = {.shell = "true", .interval = PNX_S(1), .retries = 2},
                                   .stop_signal = "SIGINT",
                                   .body = NULL,
                               });
    const char *id = pnx_object_id(object);
    assert_ok(pnx_engine_inspect(engine, PNX_CONTAINER, id, NULL, &about, &err), &err);
    const json_t *config = json_object_get(about, "Config"),
                 *host = json_object_get(about, "HostConfig"),
                 *labels = json_object_get(config, "Labels");
    assert_int_equal(json_integer_value(json_object_get(host, "Memory")), 64 << 20);
    assert_int_equal(json_integer_value(json_object_get(host, "NanoCpus")), 500000000);
    assert_int_equal(json_integer_value(json_object_get(host, "PidsLimit")), 50);
    assert_true(json_is_true(json_object_get(host, "ReadonlyRootfs")));
    assert_true(json_is_false(json_object_get(host, "Privileged")));
    assert_true(json_is_false(json_object_get(host, "AutoRemove")));
    assert_string_equal(json_string_value(json_object_get(config, "WorkingDir")), "/tmp");
    assert_string_equal(json_string_value(json_object_get(labels, "mine")), "yes");
    assert_string_equal(json_string_value(json_object_get(labels, PNX_LABEL_MANAGED)), "true");
    assert_string_equal(json_string_value(json_object_get(labels, PNX_LABEL_SESSION)),
                        pnx_engine_session(engine));
    assert_string_equal(json_string_value(json_object_get(labels, PNX_LABEL_ID)),
                        pnx_object_mark(object));
    json_decref(about);

    struct taken taken = {0};
    int code = -1;
    assert_ok(pnx_engine_start(engine, id, NULL, &err), &err);
    assert_status(PNX_EALREADY, pnx_engine_start(engine, id, NULL, &err), &err);
    assert_ok(pnx_engine_exec(engine, id,
                              &(pnx_exec){.argv = SH("echo $COLOUR; pwd; touch /x || echo refused; "
                                                     "touch /scratch/x && echo written"),
                                          .sink = take,
                                          .context = &taken},
                              NULL, &code, &err),
              &err);
    assert_string_equal(taken.out, "green\n/tmp\nrefused\nwritten\n");
    assert_int_equal(code, 0);
    remove_object(object);
}

static void logs_are_taken_apart(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_call call = patience();
    struct taken all = {0}, enough = {.enough_after = 1};
    int code = -1;
    pnx_object *object =
        run_container(engine, "echo one; echo bad >&2; echo two; echo three; exit 7");
    const char *id = pnx_object_id(object);
    assert_ok(pnx_engine_wait(engine, id, &call, &code, &err), &err);
    assert_int_equal(code, 7);
    assert_ok(pnx_engine_logs(engine, id, NULL, take, &all, NULL, &err), &err);
    assert_string_equal(all.out, "one\ntwo\nthree\n");
    assert_string_equal(all.err, "bad\n");
    assert_ok(pnx_engine_logs(engine, id, NULL, take, &enough, NULL, &err), &err);
    assert_int_equal(enough.calls, 1);
    remove_object(object);
}

static void logs_are_followed_to_the_end(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_call call = patience();
    struct taken taken = {0}, last = {0};
    pnx_object *object = run_container(engine, "for i in 1 2 3; do echo $i; sleep 0.1; done");
    assert_ok(pnx_engine_logs(engine, pnx_object_id(object), &(pnx_logs){.follow = true}, take,
                              &taken, &call, &err),
              &err);
    assert_string_equal(taken.out, "1\n2\n3\n");
    assert_ok(pnx_engine_logs(engine, pnx_object_id(object),
                              &(pnx_logs){.tail = 1, .timestamps = true}, take, &last, NULL, &err),
              &err);
    assert_non_null(strstr(last.out, " 3\n"));
    assert_non_null(strstr(last.out, "T"));
    assert_null(strstr(last.out, " 2\n"));
    remove_object(object);
}

static void a_terminal_writes_one_raw_stream(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_call call = patience();
    struct taken taken = {0};
    pnx_object *object = make_container(
        engine, &(pnx_container_config){.command = SH("echo out; echo err >&2"), .tty = true});
    const char *id = pnx_object_id(object);
    assert_ok(pnx_engine_start(engine, id, NULL, &err), &err);
    assert_ok(pnx_engine_wait(engine, id, &call, NULL, &err), &err);
    assert_ok(pnx_engine_logs(engine, id, NULL, take, &taken, NULL, &err), &err);
    assert_string_equal(taken.out, "out\r\nerr\r\n");
    remove_object(object);
}

static void a_wait_ends_by_its_deadline(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_call call = pnx_call_within(PNX_MS(50));
    pnx_object *object = run_container(engine, "sleep 1000");
    const char *id = pnx_object_id(object);
    assert_status(PNX_ETIMEOUT, pnx_engine_wait(engine, id, &call, NULL, &err), &err);
    call = pnx_call_within(PNX_MS(50));
    assert_status(PNX_ETIMEOUT,
                  pnx_engine_logs(engine, id, &(pnx_logs){.follow = true}, take, &(struct taken){0},
                                  &call, &err),
                  &err);
    call = patience();
    assert_ok(pnx_engine_kill(engine, id, SIGKILL, NULL, &err), &err);
    int code = -1;
    assert_ok(pnx_engine_wait(engine, id, &call, &code, &err), &err);
    assert_int_equal(code, 137);
    assert_status(PNX_EBUSY, pnx_engine_kill(engine, id, SIGKILL, NULL, &err), &err);
    assert_status(PNX_EALREADY, pnx_engine_stop(engine, id, 0, NULL, &err), &err);
    remove_object(object);
}

static void commands_get_input_and_answer(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_call call = patience();
    struct taken taken = {0}, counted = {0}, nothing = {0};
    int code = -1;
    pnx_object *object = run_container(engine, "sleep 1000");
    const char *id = pnx_object_id(object);
    assert_ok(pnx_engine_exec(engine, id,
                              &(pnx_exec){.argv = SH("cat; echo $NAME >&2; exit 3"),
                                          .environment = TEXTS("NAME=value"),
                                          .input = "in\n",
                                          .input_size = 3,
                                          .sink = take,
                                          .context = &taken},
                              &call, &code, &err),
              &err);
    assert_string_equal(taken.out, "in\n");
    assert_string_equal(taken.err, "value\n");
    assert_int_equal(code, 3);

    /* More than any buffer on the way holds, and all of it comes back meanwhile. */
    size_t size = (size_t)4 << 20;
    char *much = malloc(size);
    assert_non_null(much);
    memset(much, 'x', size);
    assert_ok(pnx_engine_exec(engine, id,
                              &(pnx_exec){.argv = SH("tee /dev/stderr | wc -c"),
                                          .input = much,
                                          .input_size = size,
                                          .sink = take,
                                          .context = &counted},
                              &call, &code, &err),
              &err);
    free(much);
    assert_string_equal(counted.out, "4194304\n");

    /* It ends without having read its input. */
    assert_ok(pnx_engine_exec(engine, id,
                              &(pnx_exec){.argv = TEXTS("true"), .input = "x", .input_size = 1},
                              &call, &code, &err),
              &err);
    assert_int_equal(code, 0);
    assert_ok(pnx_engine_exec(
                  engine, id,
                  &(pnx_exec){.argv = TEXTS("cat"), .input = "", .sink = take, .context = &nothing},
                  &call, &code, &err),
              &err);
    assert_string_equal(nothing.out, "");

    call = pnx_call_within(PNX_MS(300));
    assert_status(
        PNX_ETIMEOUT,
        pnx_engine_exec(engine, id, &(pnx_exec){.argv = SH("sleep 1000")}, &call, NULL, &err),
        &err);
    call = pnx_call_within(PNX_MS(300));
    assert_status(PNX_ETIMEOUT,
                  pnx_engine_exec(engine, id, &(pnx_exec){.argv = SH("sleep 1000"), .input = ""},
                                  &call, NULL, &err),
                  &err);
    assert_status(PNX_EINVAL, pnx_engine_exec(engine, id, &(pnx_exec){0}, NULL, NULL, &err), &err);
    remove_object(object);
}

static void statistics_are_read(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_container_stats stats = {0};
    json_t *json = NULL;
    pnx_object *object =
        make_container(engine, &(pnx_container_config){.command = SH("while :; do :; done"),
                                                       .memory_max = (uint64_t)64 << 20});
    const char *id = pnx_object_id(object);
    assert_ok(pnx_engine_start(engine, id, NULL, &err), &err);
    for (pnx_time until = patience().deadline; stats.cpu == 0 && pnx_monotonic_now() < until;)
        assert_ok(pnx_engine_stats(engine, id, NULL, &stats, &err), &err);
    assert_true(stats.cpu > 0);
    assert_true(stats.read > PNX_S(1700000000));
    assert_int_equal(stats.memory_max, 64 << 20);
    assert_true(stats.pids >= 1);
    assert_ok(pnx_engine_top(engine, id, NULL, &json, &err), &err);
    assert_int_equal(json_array_size(json_object_get(json, "Processes")), 1);
    json_decref(json);
    assert_ok(pnx_engine_changes(engine, id, NULL, &json, &err), &err);
    json_decref(json);
    remove_object(object);
}

struct series {
    unsigned count;
    uint64_t cpu;
};

static bool two_readings(const pnx_container_stats *stats, void *context)
{
    struct series *series = context;
    assert_true(stats->cpu >= series->cpu);
    series->cpu = stats->cpu;
    return ++series->count < 2 && !is_podman(); /* which takes five seconds for each */
}

static void statistics_are_followed(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_call call = patience();
    struct series series = {0};
    pnx_object *object = run_container(engine, "while :; do :; done");
    assert_ok(
        pnx_engine_stats_follow(engine, pnx_object_id(object), two_readings, &series, &call, &err),
        &err);
    assert_int_equal(series.count, is_podman() ? 1 : 2);
    remove_object(object);
}

static void files_go_in_and_come_out(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    char from[] = "/tmp/pnx-copy-XXXXXX", path[128], command[256], text[64] = "";
    struct taken taken = {0};
    assert_non_null(mkdtemp(from));
    snprintf(command, sizeof command,
             "cd %s && mkdir in in/sub && echo data >in/sub/file && ln -s sub/file in/link && "
             "chmod 750 in/sub",
             from);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a test's own */

    pnx_object *object = run_container(engine, "sleep 1000");
    const char *id = pnx_object_id(object);
    snprintf(path, sizeof path, "%s/in", from);
    assert_ok(pnx_engine_copy_in(engine, id, path, "/tmp", NULL, &err), &err);
    assert_ok(pnx_engine_put(engine, id, "/tmp", "memory", 0640, "from memory", 11, NULL, &err),
              &err);
    assert_ok(pnx_engine_exec(engine, id,
                              &(pnx_exec){.argv = SH("cd /tmp; cat in/link memory; echo; "
                                                     "stat -c %a in/sub memory"),
                                          .sink = take,
                                          .context = &taken},
                              NULL, NULL, &err),
              &err);
    assert_string_equal(taken.out, "data\nfrom memory\n750\n640\n");

    snprintf(path, sizeof path, "%s/out", from);
    assert_ok(pnx_engine_copy_out(engine, id, "/tmp/in", path, NULL, &err), &err);
    snprintf(path, sizeof path, "%s/out/in/link", from);
    assert_true(readlink(path, text, sizeof text - 1) > 0);
    assert_string_equal(text, "sub/file");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    memset(text, 0, sizeof text);
    assert_int_equal(read(fd, text, sizeof text - 1), 5);
    assert_string_equal(text, "data\n");
    close(fd);
    assert_status(PNX_ENOTFOUND, pnx_engine_copy_out(engine, id, "/tmp/nothing", path, NULL, &err),
                  &err);
    assert_status(PNX_EFAILED, pnx_engine_copy_in(engine, id, "/no/such", "/tmp", NULL, &err),
                  &err);
    remove_object(object);
    snprintf(command, sizeof command, "rm -r %s", from);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a test's own */
}

static void what_comes_out_is_bounded(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_engine *small;
    assert_ok(pnx_engine_open(&(pnx_engine_config){.copy_max = 100000}, NULL, &small, &err), &err);
    pnx_object *object = make_container(small, &(pnx_container_config){.command = TEXTS("true")});
    assert_status(
        PNX_ELIMIT,
        pnx_engine_copy_out(small, pnx_object_id(object), "/bin/busybox", "/tmp", NULL, &err),
        &err);
    assert_says(&err, "100000");
    remove_object(object);
    pnx_engine_close(small);
}

struct seen {
    const char *id;
    bool started, died;
};

static bool see(const pnx_engine_event *event, void *context)
{
    struct seen *seen = context;
    assert_string_equal(event->type, "container");
    if (strcmp(event->id, seen->id) != 0)
        return true;
    assert_true(event->time > PNX_S(1700000000));
    seen->started |= strcmp(event->action, "start") == 0;
    seen->died |= strncmp(event->action, "die", 3) == 0;
    return !(seen->started && seen->died);
}

static void events_are_visited(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_call call = patience();
    char label[128];
    int64_t since = (int64_t)time(NULL) - 1;
    pnx_object *object = run_container(engine, "true");
    struct seen seen = {.id = pnx_object_id(object)};
    snprintf(label, sizeof label, PNX_LABEL_ID "=%s", pnx_object_mark(object));
    assert_ok(pnx_engine_events(engine, since, "container", is_podman() ? NULL : TEXTS(label), see,
                                &seen, &call, &err),
              &err);
    assert_true(seen.started && seen.died);
    remove_object(object);
}

static void networks_are_joined_and_left(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    pnx_object *network;
    json_t *about = NULL;
    if (is_podman())
        skip(); /* Debian 12's has no network back end without further packages */
    assert_ok(pnx_network_new(engine, &(pnx_network_config){.internal = true}, &network, &err),
              &err);
    assert_ok(pnx_object_create(network, NULL, &err), &err);
    pnx_object *object =
        make_container(engine, &(pnx_container_config){.command = SH("sleep 1000"),
                                                       .network = pnx_object_name(network),
                                                       .aliases = TEXTS("db")});
    const char *id = pnx_object_id(object), *net = pnx_object_id(network);
    assert_ok(pnx_engine_inspect(engine, PNX_CONTAINER, id, NULL, &about, &err), &err);
    const json_t *endpoint =
        json_object_get(json_object_get(json_object_get(about, "NetworkSettings"), "Networks"),
                        pnx_object_name(network));
    assert_string_equal(json_string_value(json_array_get(json_object_get(endpoint, "Aliases"), 0)),
                        "db");
    json_decref(about);
    assert_ok(pnx_engine_disconnect(engine, net, id, false, NULL, &err), &err);
    assert_ok(pnx_engine_connect(engine, net, id, TEXTS("other"), NULL, &err), &err);
    remove_object(object);
    remove_object(network);
}

static void images_are_imported_built_committed_and_tagged(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    char root[256], context[] = "/tmp/pnx-build-XXXXXX", path[128];
    struct taken log = {0};
    pnx_object *imported, *built, *committed;
    pnx_call call = patience();
    snprintf(root, sizeof root, "%s/rootfs", getenv("PNX_TEST_ENGINE"));
    assert_ok(pnx_image_new(engine,
                            &(pnx_image_config){.name = "pnx-imported:2",
                                                .import = root,
                                                .labels = TEXTS("of=import"),
                                                .changes = TEXTS("CMD [\"true\"]")},
                            &imported, &err),
              &err);
    assert_ok(pnx_object_create(imported, &call, &err), &err);
    assert_true(there_is(PNX_IMAGE, "pnx-imported:2"));
    assert_int_equal(count_of(engine, PNX_IMAGE), 1);

    pnx_object *object = make_container(engine, &(pnx_container_config){.command = TEXTS("true")});
    assert_ok(pnx_image_new(engine,
                            &(pnx_image_config){.name = "pnx-committed",
                                                .container = pnx_object_id(object),
                                                .labels = TEXTS("text=a b \"c\" $d")},
                            &committed, &err),
              &err);
    assert_ok(pnx_object_create(committed, &call, &err), &err);
    assert_true(there_is(PNX_IMAGE, "pnx-committed:latest"));
    remove_object(object);
    assert_ok(pnx_engine_tag(engine, pnx_object_id(committed), "pnx-another:3", NULL, &err), &err);
    assert_true(there_is(PNX_IMAGE, "pnx-another:3"));

    assert_non_null(mkdtemp(context));
    snprintf(path, sizeof path, "%s/Dockerfile", context);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs("FROM " IMAGE "\nARG WHAT\nCOPY Dockerfile /\nENV WHAT=$WHAT\n", file);
    assert_int_equal(fclose(file), 0);
    assert_ok(pnx_image_new(engine,
                            &(pnx_image_config){.name = "pnx-built:1",
                                                .context = context,
                                                .arguments = TEXTS("WHAT=that"),
                                                .log = take,
                                                .log_context = &log},
                            &built, &err),
              &err);
    pnx_status status = pnx_object_create(built, &call, &err);
    if (is_podman() && status != PNX_OK) {
        print_message("# no build here: %s\n", err.cause.message);
    } else {
        assert_ok(status, &err);
        assert_non_null(strstr(log.out, "FROM"));
        assert_true(there_is(PNX_IMAGE, "pnx-built:1"));
    }
    remove_object(built);
    unlink(path);
    assert_int_equal(rmdir(context), 0);
    remove_object(imported);
    remove_object(committed);
    assert_false(there_is(PNX_IMAGE, "pnx-another:3"));
    assert_int_equal(count_of(engine, PNX_IMAGE), 0);
}

static void a_failed_build_or_pull_says_why(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    char context[] = "/tmp/pnx-build-XXXXXX", path[128];
    pnx_object *image;
    pnx_call call = patience();
    if (is_podman())
        skip(); /* its builder needs more than this image */
    assert_non_null(mkdtemp(context));
    snprintf(path, sizeof path, "%s/Dockerfile", context);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs("FROM " IMAGE "\nRUN exit 5\n", file);
    assert_int_equal(fclose(file), 0);
    assert_ok(pnx_image_new(engine, &(pnx_image_config){.context = context}, &image, &err), &err);
    assert_status(PNX_EFAILED, pnx_object_create(image, &call, &err), &err);
    assert_says(&err, "returned a non-zero code: 5");
    pnx_outcome outcome = {0};
    pnx_object_watch_by(image, &outcome);
    assert_ok(pnx_object_remove(image, NULL, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_ALREADY_GONE);
    pnx_object_free(image);
    unlink(path);
    assert_int_equal(rmdir(context), 0);
    assert_int_not_equal(pnx_engine_pull(engine, "127.0.0.1:9/nothing:1", &call, &err), PNX_OK);
    assert_says(&err, "127.0.0.1:9");
}

static void tls_is_spoken(void **state)
{
    (void)state;
    NEEDS_ENGINE();
    pnx_error err = {0};
    char tls[256], key[300];
    pnx_engine *other = NULL;
    snprintf(tls, sizeof tls, "%s/tls", getenv("PNX_TEST_ENGINE"));
    snprintf(key, sizeof key, "%s/key.pem", tls);
    if (access(key, F_OK) != 0)
        skip(); /* no openssl, or Podman, which speaks none */
    const pnx_engine_config config = {.host = "tcp://127.0.0.1:2376"};
    setenv("DOCKER_TLS_VERIFY", "1", 1);
    setenv("DOCKER_CERT_PATH", tls, 1);
    assert_ok(pnx_engine_open(&config, NULL, &other, &err), &err);
    pnx_object *object = run_container(other, "sleep 1000");
    struct taken taken = {0};
    assert_ok(pnx_engine_exec(
                  other, pnx_object_id(object),
                  &(pnx_exec){.argv = TEXTS("echo", "hello"), .sink = take, .context = &taken},
                  NULL, NULL, &err),
              &err);
    assert_string_equal(taken.out, "hello\n");
    assert_status(PNX_EUNSUPPORTED,
                  pnx_engine_exec(other, pnx_object_id(object),
                                  &(pnx_exec){.argv = TEXTS("cat"), .input = ""}, NULL, NULL, &err),
                  &err);
    remove_object(object);
    pnx_engine_close(other);

    unsetenv("DOCKER_CERT_PATH"); /* certificates of nobody */
    assert_status(PNX_EFAILED, pnx_engine_open(&config, NULL, &other, &err), &err);
    unsetenv("DOCKER_TLS_VERIFY");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_version_is_agreed_upon),
        cmocka_unit_test(a_list_holds_what_has_all_of_its_labels),
        cmocka_unit_test(what_the_engine_says_is_in_the_error),
        cmocka_unit_test(a_container_is_created_as_configured),
        cmocka_unit_test(logs_are_taken_apart),
        cmocka_unit_test(logs_are_followed_to_the_end),
        cmocka_unit_test(a_terminal_writes_one_raw_stream),
        cmocka_unit_test(a_wait_ends_by_its_deadline),
        cmocka_unit_test(commands_get_input_and_answer),
        cmocka_unit_test(statistics_are_read),
        cmocka_unit_test(statistics_are_followed),
        cmocka_unit_test(files_go_in_and_come_out),
        cmocka_unit_test(what_comes_out_is_bounded),
        cmocka_unit_test(events_are_visited),
        cmocka_unit_test(networks_are_joined_and_left),
        cmocka_unit_test(images_are_imported_built_committed_and_tagged),
        cmocka_unit_test(a_failed_build_or_pull_says_why),
        cmocka_unit_test(tls_is_spoken),
    };
    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
