/* SPDX-License-Identifier: MIT */
/*
 * cleanroom-services --session UUID --file FILE [--artifacts DIR] [--keep WHEN]: the services of a
 * configuration, for as long as its control pipe is open.
 *
 *     fd 0  "failed\n" says that the work has failed; its end takes all down
 *     fd 1  "NAME=value", each ended by NUL, and an empty one when all are ready; then one line of
 *           JSON for each thing that is removed
 *     fd 2  what went wrong; the last line says most
 */
#include "../config_read.h"
#include "services.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

/* With any other status nothing is left. */
#define EXIT_NOT_REMOVED 1
#define EXIT_USAGE 2
#define EXIT_CANNOT_START 3
#define EXIT_NO_ENGINE 69

struct options {
    const char *session, *file, *artifacts, *keep;
};

static void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void complain(const char *format, ...)
{
    char text[SERVICES_MESSAGE_MAX + PATH_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)fprintf(stderr, "%s\n", text);
}

static void complain_of(const pnx_error *err)
{
    char text[PNX_ERROR_MESSAGE_MAX + PNX_ERROR_CAUSE_MAX + 4];
    pnx_error_format(err, text, sizeof text);
    complain("%s", text);
}

/* ---- the command line ------------------------------------------------------------------------ */

static bool read_options(int argc, char **argv, struct options *ret)
{
    const struct {
        const char *name;
        const char **value;
    } known[] = {{"--session", &ret->session},
                 {"--file", &ret->file},
                 {"--artifacts", &ret->artifacts},
                 {"--keep", &ret->keep}};
    for (int i = 1; i < argc; i += 2) {
        size_t at = 0;
        while (at < 4 && strcmp(argv[i], known[at].name) != 0)
            at++;
        if (at == 4 || i + 1 == argc)
            return false;
        *known[at].value = argv[i + 1];
    }
    return ret->file && (!ret->keep || strcmp(ret->keep, "never") == 0 ||
                         strcmp(ret->keep, "on-failure") == 0 || strcmp(ret->keep, "always") == 0);
}

static pnx_keep keep_of(const char *name)
{
    if (!name || strcmp(name, "never") == 0)
        return PNX_KEEP_NEVER;
    return strcmp(name, "always") == 0 ? PNX_KEEP_ALWAYS : PNX_KEEP_ON_FAILURE;
}

/* ---- the file -------------------------------------------------------------------------------- */

static char *read_file(const char *path, size_t *ret_size)
{
    char *text = malloc(SERVICES_SIZE_MAX + 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t got = fd >= 0 ? 1 : -1;
    *ret_size = 0;
    while (text && got > 0 && *ret_size <= SERVICES_SIZE_MAX) {
        got = read(fd, text + *ret_size, SERVICES_SIZE_MAX + 1 - *ret_size);
        *ret_size += got > 0 ? (size_t)got : 0;
    }
    if (fd >= 0)
        close(fd);
    if (text && got == 0)
        return text;
    complain("cannot read '%s': %s", path, got > 0 ? "it is too long" : strerror(errno));
    free(text);
    return NULL;
}

/* What relative paths are relative to. */
static void directory_of(const char *path, char *ret, size_t size)
{
    char real[PATH_MAX];
    const char *whole = realpath(path, real) ? real : path;
    const char *slash = strrchr(whole, '/');
    snprintf(ret, size, "%.*s", slash ? (int)(slash - whole) : 1, slash ? whole : ".");
}

static bool read_services_file(const char *path, struct services *ret)
{
    char directory[PATH_MAX], message[SERVICES_MESSAGE_MAX];
    pnx_error err = {0};
    size_t size;
    char *text = read_file(path, &size);
    *ret = (struct services){.count = 0};
    if (!text)
        return false;
    directory_of(path, directory, sizeof directory);
    bool good = false;
    if (config_check_text(text, size, &err) != PNX_OK)
        complain("%s:%s", path, err.message);
    else if (!(good = services_read(text, size, directory, ret, message)))
        complain("%s:%s", path, message);
    free(text);
    return good;
}

/* ---- what is told ---------------------------------------------------------------------------- */

static void write_variable(const char *name, const char *value, void *context)
{
    (void)context;
    (void)printf("%s=%s%c", name, value, '\0');
}

static void write_row(const pnx_sweep_row *row, void *context)
{
    const pnx_outcome *outcome = &row->outcome;
    (void)context;
    json_t *line = json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:i, s:f, s:I, s:s}", "kind",
                             pnx_object_type_name(row->type), "id", row->id, "name", row->name,
                             "detail", row->detail, "status", pnx_fate_name(outcome->fate),
                             "verified", (int)outcome->verified, "attempts", (int)outcome->attempts,
                             "duration_ms", (double)outcome->took / 1e6, "bytes",
                             (json_int_t)outcome->bytes, "reason", outcome->reason);
    if (!line)
        return;
    (void)json_dumpf(line, stdout, JSON_COMPACT);
    (void)putchar('\n');
    (void)fflush(stdout);
    json_decref(line);
}

/* ---- control --------------------------------------------------------------------------------- */

/* The other thread of this program: it reads the control pipe to its end. */
struct control {
    pthread_t listener;
    pnx_cancel *cancel;
    int enough; /* an eventfd: nobody listens any more */
    bool failed;
};

/* False: it is at its end, or nobody wants to hear more. */
static bool listen_once(struct control *control)
{
    char buffer[64];
    struct pollfd fds[] = {{.fd = 0, .events = POLLIN}, {.fd = control->enough, .events = POLLIN}};
    if (poll(fds, 2, -1) < 0)
        return errno == EINTR;
    if (fds[1].revents)
        return false;
    ssize_t got = read(0, buffer, sizeof buffer);
    if (got > 0)
        control->failed |= memchr(buffer, 'f', (size_t)got) != NULL;
    return got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN));
}

static void *listen_to_control(void *context)
{
    struct control *control = context;
    while (listen_once(control))
        continue;
    pnx_cancel_now(control->cancel);
    return NULL;
}

static bool control_begin(struct control *control)
{
    pnx_error err = {0};
    control->enough = eventfd(0, EFD_CLOEXEC);
    if (control->enough >= 0 && pnx_cancel_create(&control->cancel, &err) == PNX_OK &&
        pthread_create(&control->listener, NULL, listen_to_control, control) == 0)
        return true;
    complain("no thread, or no descriptor, can be had for the control pipe");
    pnx_cancel_free(control->cancel);
    return false;
}

/* `now`: the end of the pipe is not waited for. */
static void control_end(struct control *control, bool now)
{
    if (now)
        (void)!write(control->enough, &(uint64_t){1}, sizeof(uint64_t));
    (void)pthread_join(control->listener, NULL);
    (void)close(control->enough);
    pnx_cancel_free(control->cancel);
}

/* ---- the run --------------------------------------------------------------------------------- */

static pnx_status bring_up(pnx_environment *environment, const struct control *control)
{
    pnx_error err = {0};
    pnx_environment_failure failure;
    const pnx_call call = {.deadline = PNX_FOREVER, .cancel = control->cancel};
    pnx_status status = pnx_environment_start(environment, &call, &err);
    if (status == PNX_OK) {
        pnx_environment_variables(environment, write_variable, NULL);
        (void)putchar('\0');
        (void)fflush(stdout);
        return PNX_OK;
    }
    if (pnx_environment_failed(environment, &failure) && failure.log[0])
        (void)fprintf(stderr, "--- what %s wrote last\n%s\n---\n", failure.service, failure.log);
    complain_of(&err);
    return status;
}

static int run(pnx_environment *environment)
{
    pnx_error err = {0};
    struct control control = {.failed = false};
    if (!control_begin(&control))
        return EXIT_CANNOT_START;
    bool up = bring_up(environment, &control) == PNX_OK;
    control_end(&control, !up);
    if (control.failed)
        pnx_environment_set_failed(environment);
    /* What could not come up was taken down already, or is tried once more. */
    pnx_status status = pnx_environment_remove(environment, NULL, &err);
    if (status != PNX_OK)
        complain_of(&err);
    if (pnx_environment_unsaved(environment)[0])
        complain("not all is saved: %s", pnx_environment_unsaved(environment));
    if (status != PNX_OK)
        return EXIT_NOT_REMOVED;
    return up ? 0 : EXIT_CANNOT_START;
}

static int run_in(pnx_engine *engine, struct services *services, const struct options *options)
{
    pnx_error err = {0};
    pnx_environment *environment;
    for (size_t i = 0; i < services->count; i++)
        services->services[i].container.keep = keep_of(options->keep);
    const pnx_environment_config config = {
        .name = "services",
        .services = services->services,
        .service_count = services->count,
        .volumes = services->volumes,
        .artifacts = options->artifacts,
        .artifacts_always = true,
        .keep = keep_of(options->keep),
        .visit = write_row,
    };
    if (pnx_environment_new(engine, &config, &environment, &err) != PNX_OK) {
        complain("%s: %s", options->file, err.message);
        return EXIT_CANNOT_START;
    }
    int status = run(environment);
    pnx_environment_free(environment);
    return status;
}

static int with_engine(struct services *services, const struct options *options)
{
    pnx_engine *engine;
    pnx_error err = {0};
    const pnx_engine_config config = {.session = options->session};
    if (pnx_engine_open(&config, NULL, &engine, &err) != PNX_OK) {
        complain_of(&err);
        return EXIT_NO_ENGINE;
    }
    int status = run_in(engine, services, options);
    pnx_engine_close(engine);
    return status;
}

int main(int argc, char **argv)
{
    struct options options = {0};
    struct services services;
    if (!read_options(argc, argv, &options)) {
        complain("usage: cleanroom-services --session UUID --file FILE [--artifacts DIR] "
                 "[--keep never|on-failure|always]; it is used by 'cleanroom run'");
        return EXIT_USAGE;
    }
    (void)signal(SIGPIPE, SIG_IGN); /* who is gone needs no answer; what is there is taken down */
    int status = EXIT_CANNOT_START;
    if (read_services_file(options.file, &services))
        status = with_engine(&services, &options);
    services_done(&services);
    return status;
}
