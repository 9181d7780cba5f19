/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/docker/places.c and context.c: where an engine is looked for. */
#include "support.h"

#include "fake.h"

#include "docker/engine.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static char home[64], host[128];

static bool serve_nothing(const struct fake_request *request, void *context)
{
    (void)context;
    return fake_answer(request, 404, "{\"message\": \"no\"}");
}

/* A fake engine, and an environment in which nothing else is to be found. */
static int set_up(void **state)
{
    (void)state;
    static const char *const variables[] = {
        "DOCKER_HOST",       "DOCKER_CONTEXT",   "DOCKER_CONFIG",
        "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "XDG_RUNTIME_DIR",
    };
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
    snprintf(home, sizeof home, "/tmp/pnx-home-XXXXXX");
    assert_non_null(mkdtemp(home));
    setenv("HOME", home, 1);
    snprintf(host, sizeof host, "%s", fake_start(serve_nothing, NULL, false));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[96];
    fake_stop();
    snprintf(command, sizeof command, "rm -r %s", home);
    return system(command); /* NOLINT(cert-env33-c): a test's own */
}

static void write_text(const char *name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void write_text(const char *name, const char *format, ...)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", home, name);
    for (char *slash = path + strlen(home) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    va_list args;
    va_start(args, format);
    vfprintf(file, format, args);
    va_end(args);
    assert_int_equal(fclose(file), 0);
}

static void write_context(const char *directory, const char *name, const char *address)
{
    char path[256];
    snprintf(path, sizeof path, ".docker/contexts/meta/%s/meta.json", directory);
    write_text(path,
               "{\"Name\": \"%s\", \"Endpoints\": {\"docker\": {\"Host\": \"%s\", "
               "\"SkipTLSVerify\": false}}}",
               name, address);
}

/* ---- what was found -------------------------------------------------------------------------- */

struct chain {
    unsigned count;
    char source[8][64], reason[8][256];
    bool set[8], taken[8];
    char where[160];
};

static void note_place(const pnx_engine_place *place, void *context)
{
    struct chain *chain = context;
    assert_true(chain->count < 8);
    snprintf(chain->source[chain->count], 64, "%s", place->source);
    snprintf(chain->reason[chain->count], 256, "%s", place->reason);
    chain->set[chain->count] = place->set;
    chain->taken[chain->count] = place->taken;
    assert_int_equal(place->taken, place->reason[0] == '\0');
    if (place->taken)
        snprintf(chain->where, sizeof chain->where, "%s", place->host);
    chain->count++;
}

/* The machine may have an engine of its own in the default places. */
static bool has_default(void)
{
    return access("/var/run/docker.sock", F_OK) == 0 ||
           access("/run/podman/podman.sock", F_OK) == 0;
}

static void the_variable_comes_first_and_is_final(void **state)
{
    (void)state;
    pnx_error err = {0};
    struct chain chain = {0};
    pnx_engine *opened;
    setenv("DOCKER_HOST", host, 1);
    assert_ok(pnx_engine_discover(NULL, note_place, &chain, &err), &err);
    assert_int_equal(chain.count, 7);
    assert_string_equal(chain.source[0], "DOCKER_HOST");
    assert_true(chain.set[0] && chain.taken[0]);
    assert_string_equal(chain.where, host);
    assert_ok(pnx_engine_open(NULL, NULL, &opened, &err), &err);
    assert_string_equal(pnx_engine_host(opened), host);
    pnx_engine_close(opened);

    /* The one that was asked for is not there: no other is taken for it. */
    char link[128];
    snprintf(link, sizeof link, "%s/.docker/run/docker.sock", home);
    write_text(".docker/run/x", "x");
    assert_int_equal(symlink(host + strlen("unix://"), link), 0);
    setenv("DOCKER_HOST", "unix:///no/such/socket", 1);
    memset(&chain, 0, sizeof chain);
    assert_status(PNX_EFAILED, pnx_engine_discover(NULL, note_place, &chain, &err), &err);
    assert_says(&err, "unix:///no/such/socket");
    assert_non_null(strstr(chain.reason[0], "No such file"));
    assert_non_null(strstr(chain.reason[4], "DOCKER_HOST is asked for"));
    unsetenv("DOCKER_HOST");
    if (has_default())
        return;
    memset(&chain, 0, sizeof chain);
    assert_ok(pnx_engine_discover(NULL, note_place, &chain, &err), &err);
    assert_string_equal(chain.source[4], "desktop");
    assert_true(chain.taken[4]);
    assert_non_null(strstr(chain.reason[3], "XDG_RUNTIME_DIR is not set"));
}

static void contexts_are_read_as_the_docker_command_does(void **state)
{
    (void)state;
    pnx_error err = {0};
    pnx_engine *opened;
    write_context("0123", "other", "unix:///no/such/socket");
    write_context("4567", "desktop", host);
    write_text(".docker/contexts/meta/89ab/meta.json", "no JSON");
    write_text(".docker/config.json", "{\"currentContext\": \"desktop\"}");
    assert_ok(pnx_engine_open(NULL, NULL, &opened, &err), &err);
    assert_string_equal(pnx_engine_host(opened), host);
    pnx_engine_close(opened);

    setenv("DOCKER_CONTEXT", "other", 1);
    assert_status(PNX_EFAILED, pnx_engine_open(NULL, NULL, &opened, &err), &err);
    assert_says(&err, "context other");
    setenv("DOCKER_CONTEXT", "none such", 1);
    assert_status(PNX_ENOTFOUND, pnx_engine_open(NULL, NULL, &opened, &err), &err);
    assert_says(&err, "there is no context 'none such'");
    setenv("DOCKER_HOST", host, 1); /* goes before all contexts */
    assert_ok(pnx_engine_open(NULL, NULL, &opened, &err), &err);
    pnx_engine_close(opened);
    unsetenv("DOCKER_HOST");

    char config[128];
    snprintf(config, sizeof config, "%s/.docker", home);
    setenv("DOCKER_CONFIG", config, 1);
    setenv("HOME", "/no/such/home", 1);
    setenv("DOCKER_CONTEXT", "desktop", 1);
    assert_ok(pnx_engine_open(NULL, NULL, &opened, &err), &err);
    pnx_engine_close(opened);
}

static void where_no_engine_is_the_error_says_so(void **state)
{
    (void)state;
    pnx_error err = {0};
    pnx_engine *opened;
    struct chain chain = {0};
    if (has_default())
        skip(); /* there is one */
    setenv("XDG_RUNTIME_DIR", home, 1);
    assert_status(PNX_ENOTFOUND, pnx_engine_open(NULL, NULL, &opened, &err), &err);
    assert_says(&err, "DOCKER_HOST is not set");
    /* A socket that nobody listens on says more than those that are missing. */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/docker.sock", home);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    assert_status(PNX_ENOTFOUND, pnx_engine_discover(NULL, note_place, &chain, &err), &err);
    assert_says(&err, "Connection refused");
    assert_string_equal(chain.source[3], "rootless");
    assert_non_null(strstr(chain.reason[3], "Connection refused"));
}

static void addresses_are_read_or_refused_clearly(void **state)
{
    (void)state;
    static const struct {
        const char *host, *base;
        pnx_status status;
        const char *says;
    } cases[] = {
        {"unix:///run/x.sock", "http://engine", PNX_OK, NULL},
        {"tcp://127.0.0.1:2375", "http://127.0.0.1:2375", PNX_OK, NULL},
        {"tcp://127.0.0.1", "http://127.0.0.1:2375", PNX_OK, NULL},
        {"tcp://[::1]:1234/", "http://[::1]:1234", PNX_OK, NULL},
        {"tcp://[::1]", "http://[::1]:2375", PNX_OK, NULL},
        {"http://h:1/engine", "http://h:1/engine", PNX_OK, NULL},
        {"https://h", "https://h:2376", PNX_OK, NULL},
        {"unix://relative", NULL, PNX_EINVAL, "absolute"},
        {"tcp://", NULL, PNX_EINVAL, "names no host"},
        {"tcp://user@host:1", NULL, PNX_EINVAL, "names no host"},
        {"ssh://user@host", NULL, PNX_EUNSUPPORTED, "ssh -L"},
        {"npipe:////./pipe/docker_engine", NULL, PNX_EUNSUPPORTED, "Windows"},
        {"/var/run/docker.sock", NULL, PNX_EINVAL, "unix:///path"},
        {"", NULL, PNX_EINVAL, "unix:///path"},
        {"unix:///123456789012345678901234567890123456789012345678901234567890123456789012345678901"
         "2345678901234567890123456789",
         NULL, PNX_EINVAL, "longer than 107 bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pnx_error err = {0};
        struct pnx__address at;
        assert_status(cases[i].status,
                      pnx__docker_address_parse(cases[i].host, NULL, true, &at, &err), &err);
        if (cases[i].base)
            assert_string_equal(at.base, cases[i].base);
        else
            assert_says(&err, cases[i].says);
    }
    pnx_error err = {0};
    struct pnx__address at;
    write_text("tls/ca.pem", "x");
    write_text("tls/key.pem", "x");
    char tls[128];
    snprintf(tls, sizeof tls, "%s/tls", home);
    assert_ok(pnx__docker_address_parse("tcp://h:1", tls, false, &at, &err), &err);
    assert_string_equal(at.base, "https://h:1");
    assert_true(at.tls && !at.verify && at.ca[0] && at.key[0] && !at.certificate[0]);
}

static void a_session_is_a_uuid(void **state)
{
    (void)state;
    pnx_error err = {0};
    pnx_engine *opened;
    static const char session[] = "01234567-89ab-4def-8123-456789abcdef";
    pnx_engine_config config = {.host = host, .session = "x"};
    assert_status(PNX_EINVAL, pnx_engine_open(&config, NULL, &opened, &err), &err);
    config.session = session;
    assert_ok(pnx_engine_open(&config, NULL, &opened, &err), &err);
    assert_string_equal(pnx_engine_session(opened), session);
    json_t *labels = json_pack("{s:s, s:s}", "mine", "x", PNX_LABEL_MANAGED, "no");
    assert_ok(pnx_engine_label(opened, PNX_NETWORK, PNX_KEEP_ON_FAILURE, NULL, labels, &err), &err);
    static const char *const keys[] = {
        PNX_LABEL_ID,      PNX_LABEL_MACHINE, PNX_LABEL_BOOT,     PNX_LABEL_UID,
        PNX_LABEL_OWNER,   PNX_LABEL_CREATED, PNX_LABEL_EXPIRES,  PNX_LABEL_VERSION,
        PNX_LABEL_SESSION, PNX_LABEL_KEEP,    PNX_LABEL_PRIORITY, "mine",
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        assert_non_null(json_string_value(json_object_get(labels, keys[i])));
    assert_string_equal(json_string_value(json_object_get(labels, PNX_LABEL_MANAGED)), "true");
    assert_string_equal(json_string_value(json_object_get(labels, PNX_LABEL_KEEP)), "on-failure");
    assert_string_equal(json_string_value(json_object_get(labels, PNX_LABEL_PRIORITY)), "40");
    json_decref(labels);
    assert_status(PNX_EINVAL,
                  pnx_engine_label(opened, PNX_NETWORK, PNX_KEEP_NEVER, NULL, NULL, &err), &err);
    pnx_engine_close(opened);
    pnx_engine_close(NULL);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_variable_comes_first_and_is_final),
        TEST(contexts_are_read_as_the_docker_command_does),
        TEST(where_no_engine_is_the_error_says_so),
        TEST(addresses_are_read_or_refused_clearly),
        TEST(a_session_is_a_uuid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
