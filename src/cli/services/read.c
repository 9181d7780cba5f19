/* SPDX-License-Identifier: MIT */
/* The key `services` of a configuration file: names and forms are those of Compose. */
#include "yaml.h"

#include <stdlib.h>
#include <string.h>

#define LISTED_MAX 32

/* A service that is being read. */
struct reading {
    pnx_service_config *config;
    pnx_wait wait;
    bool has_wait;
    pnx_mount mounts[LISTED_MAX];
    pnx_port ports[LISTED_MAX];
    pnx_dependency depends_on[LISTED_MAX];
};

static pnx_container_config *container_of(void *into)
{
    return &((struct reading *)into)->config->container;
}

/* ---- texts and numbers ----------------------------------------------------------------------- */

#define TEXT(KEY, FIELD)                                                                           \
    static bool read_##KEY(struct reader *reader, struct fy_node *node, void *into)                \
    {                                                                                              \
        const char *text = text_of(reader, node);                                                  \
        container_of(into)->FIELD = text;                                                          \
        return text && (*text || wrong(reader, node, "it is empty"));                              \
    }
TEXT(image, image)
TEXT(user, user)
TEXT(working_dir, workdir)
TEXT(hostname, hostname)
TEXT(stop_signal, stop_signal)
TEXT(network_mode, network)

#define SWITCH(KEY, FIELD)                                                                         \
    static bool read_##KEY(struct reader *reader, struct fy_node *node, void *into)                \
    {                                                                                              \
        return read_bool(reader, node, &container_of(into)->FIELD);                                \
    }
SWITCH(read_only, read_only)
SWITCH(privileged, privileged)
SWITCH(init, init)
SWITCH(tty, tty)

#define LIST(KEY, FIELD)                                                                           \
    static bool read_##KEY(struct reader *reader, struct fy_node *node, void *into)                \
    {                                                                                              \
        return (((struct reading *)into)->config->FIELD = read_texts(reader, node)) != NULL;       \
    }
LIST(cap_add, container.cap_add)
LIST(cap_drop, container.cap_drop)
LIST(security_opt, container.security_opts)
LIST(save, save)
LIST(coverage, coverage)

/* A line is taken apart as a shell does it, a list is the words. */
static const char *const *read_command_line(struct reader *reader, struct fy_node *node)
{
    if (node && fy_node_is_sequence(node))
        return read_texts(reader, node);
    const char *line = text_of(reader, node);
    const char *const *words = line ? services_words(&reader->services->memory, line) : NULL;
    if (line && !words)
        wrong(reader, node, "a quote is not closed");
    return words;
}

static bool read_command(struct reader *reader, struct fy_node *node, void *into)
{
    return (container_of(into)->command = read_command_line(reader, node)) != NULL;
}

static bool read_entrypoint(struct reader *reader, struct fy_node *node, void *into)
{
    return (container_of(into)->entrypoint = read_command_line(reader, node)) != NULL;
}

static bool read_environment(struct reader *reader, struct fy_node *node, void *into)
{
    return (container_of(into)->environment = read_pairs(reader, node, true)) != NULL;
}

static bool read_labels(struct reader *reader, struct fy_node *node, void *into)
{
    return (container_of(into)->labels = read_pairs(reader, node, false)) != NULL;
}

static bool read_mem_limit(struct reader *reader, struct fy_node *node, void *into)
{
    const char *text = text_of(reader, node);
    if (!text)
        return false;
    return services_size(text, &container_of(into)->memory_max) ||
           wrong(reader, node, "'%.40s' is no size, such as 512m", text);
}

static bool read_cpus(struct reader *reader, struct fy_node *node, void *into)
{
    return read_number(reader, node, 0.001, 1e6, &container_of(into)->cpus);
}

static bool read_pids_limit(struct reader *reader, struct fy_node *node, void *into)
{
    double number;
    if (!read_number(reader, node, 1, 1e9, &number))
        return false;
    container_of(into)->pids_max = (int64_t)number;
    return true;
}

static bool read_stop_grace_period(struct reader *reader, struct fy_node *node, void *into)
{
    return read_span(reader, node, &container_of(into)->grace);
}

/* ---- ports and mounts ------------------------------------------------------------------------ */

static bool read_ports(struct reader *reader, struct fy_node *node, void *into)
{
    struct reading *reading = into;
    pnx_container_config *container = container_of(into);
    const char *const *texts = read_texts(reader, node);
    for (; texts && *texts; texts++) {
        if (container->port_count == LISTED_MAX)
            return wrong(reader, node, "more than %d ports", LISTED_MAX);
        if (!services_port(&reader->services->memory, *texts,
                           &reading->ports[container->port_count++]))
            return wrong(reader, node, "'%.40s' is no port, such as 5432 or 127.0.0.1:8080:80/tcp",
                         *texts);
    }
    return texts != NULL;
}

static bool read_mounts(struct reader *reader, struct fy_node *node, struct reading *reading,
                        bool tmpfs)
{
    pnx_container_config *container = container_of(reading);
    const char *const *texts = read_texts(reader, node);
    for (; texts && *texts; texts++) {
        if (container->mount_count == LISTED_MAX)
            return wrong(reader, node, "more than %d mounts", LISTED_MAX);
        pnx_mount *mount = &reading->mounts[container->mount_count++];
        bool good =
            tmpfs ? services_tmpfs(&reader->services->memory, *texts, mount)
                  : services_volume(&reader->services->memory, *texts, reader->directory, mount);
        if (!good)
            return wrong(reader, node, "'%.80s' is no %s", *texts,
                         tmpfs ? "tmpfs, such as /run:size=64m"
                               : "volume, such as data:/var/lib/data or ./files:/files:ro");
    }
    return texts != NULL;
}

static bool read_volumes(struct reader *reader, struct fy_node *node, void *into)
{
    return read_mounts(reader, node, into, false);
}

static bool read_tmpfs(struct reader *reader, struct fy_node *node, void *into)
{
    return read_mounts(reader, node, into, true);
}

/* ---- health ---------------------------------------------------------------------------------- */

static bool read_test(struct reader *reader, struct fy_node *node, void *into)
{
    pnx_health_check *health = into;
    if (!node || !fy_node_is_sequence(node))
        return (health->shell = text_of(reader, node)) != NULL;
    const char *const *words = read_texts(reader, node);
    if (!words)
        return false;
    if (words[0] && words[1] && strcmp(words[0], "CMD") == 0)
        health->argv = words + 1;
    else if (words[0] && words[1] && strcmp(words[0], "CMD-SHELL") == 0)
        health->shell = words[1];
    else
        return wrong(reader, node, "it is a line, [CMD, …] or [CMD-SHELL, line]");
    return true;
}

static bool read_interval(struct reader *reader, struct fy_node *node, void *into)
{
    return read_span(reader, node, &((pnx_health_check *)into)->interval);
}

static bool read_timeout(struct reader *reader, struct fy_node *node, void *into)
{
    return read_span(reader, node, &((pnx_health_check *)into)->timeout);
}

static bool read_start_period(struct reader *reader, struct fy_node *node, void *into)
{
    return read_span(reader, node, &((pnx_health_check *)into)->start_period);
}

static bool read_retries(struct reader *reader, struct fy_node *node, void *into)
{
    double number;
    if (!read_number(reader, node, 1, 1000, &number))
        return false;
    ((pnx_health_check *)into)->retries = (unsigned)number;
    return true;
}

static bool read_healthcheck(struct reader *reader, struct fy_node *node, void *into)
{
    static const struct key keys[] = {
        {"test", read_test},       {"interval", read_interval},
        {"timeout", read_timeout}, {"start_period", read_start_period},
        {"retries", read_retries},
    };
    pnx_health_check *health = &container_of(into)->health;
    return read_mapping(reader, node, "a health check", keys, sizeof keys / sizeof *keys, health) &&
           (health->argv || health->shell || wrong(reader, node, "it has no test"));
}

/* ---- dependencies ---------------------------------------------------------------------------- */

static bool read_condition(struct reader *reader, struct fy_node *node, void *into)
{
    static const char *const names[] = {
        [PNX_STARTED] = "service_started",
        [PNX_READY] = "service_healthy",
        [PNX_COMPLETED] = "service_completed_successfully",
    };
    const char *text = text_of(reader, node);
    for (int i = 0; text && i < 3; i++) {
        if (strcmp(names[i], text) != 0)
            continue;
        ((pnx_dependency *)into)->condition = (pnx_service_state)i;
        return true;
    }
    return text &&
           wrong(reader, node, "'%.40s' is none of %s, %s, %s", text, names[0], names[1], names[2]);
}

static bool read_depends_mapping(struct reader *reader, struct fy_node *node,
                                 struct reading *reading)
{
    static const struct key keys[] = {{"condition", read_condition}};
    void *position = NULL;
    struct fy_node_pair *pair;
    while ((pair = fy_node_mapping_iterate(node, &position))) {
        if (reading->config->depends_count == LISTED_MAX)
            return wrong(reader, node, "more than %d dependencies", LISTED_MAX);
        pnx_dependency *one = &reading->depends_on[reading->config->depends_count++];
        one->service = text_of(reader, fy_node_pair_key(pair));
        if (!one->service || !read_mapping(reader, fy_node_pair_value(pair),
                                           "a mapping with the key 'condition'", keys, 1, one))
            return false;
    }
    return true;
}

/* In a list of names each must be ready; that is what a list is written for. */
static bool read_depends_on(struct reader *reader, struct fy_node *node, void *into)
{
    struct reading *reading = into;
    if (node && fy_node_is_mapping(node))
        return read_depends_mapping(reader, node, reading);
    const char *const *names = read_texts(reader, node);
    for (; names && *names; names++) {
        if (reading->config->depends_count == LISTED_MAX)
            return wrong(reader, node, "more than %d dependencies", LISTED_MAX);
        reading->depends_on[reading->config->depends_count++] = (pnx_dependency){*names, PNX_READY};
    }
    return names != NULL;
}

static bool read_wait_key(struct reader *reader, struct fy_node *node, void *into)
{
    struct reading *reading = into;
    reading->has_wait = true;
    return read_wait(reader, node, &reading->wait, &reading->config->within);
}

/* ---- a service ------------------------------------------------------------------------------- */

static const struct key keys[] = {
    {"image", read_image},
    {"command", read_command},
    {"entrypoint", read_entrypoint},
    {"environment", read_environment},
    {"ports", read_ports},
    {"volumes", read_volumes},
    {"tmpfs", read_tmpfs},
    {"healthcheck", read_healthcheck},
    {"depends_on", read_depends_on},
    {"wait", read_wait_key},
    {"mem_limit", read_mem_limit},
    {"cpus", read_cpus},
    {"pids_limit", read_pids_limit},
    {"user", read_user},
    {"working_dir", read_working_dir},
    {"hostname", read_hostname},
    {"labels", read_labels},
    {"read_only", read_read_only},
    {"cap_add", read_cap_add},
    {"cap_drop", read_cap_drop},
    {"security_opt", read_security_opt},
    {"privileged", read_privileged},
    {"network_mode", read_network_mode},
    {"init", read_init},
    {"tty", read_tty},
    {"stop_signal", read_stop_signal},
    {"stop_grace_period", read_stop_grace_period},
    {"save", read_save},
    {"coverage", read_coverage},
};

static void note_volumes(struct services *services, const pnx_container_config *container)
{
    for (size_t i = 0; i < container->mount_count; i++) {
        const pnx_mount *mount = &container->mounts[i];
        size_t at = 0;
        if (mount->type != PNX_MOUNT_VOLUME || !mount->source)
            continue;
        while (at < services->volume_count && strcmp(services->volumes[at], mount->source) != 0)
            at++;
        if (at == services->volume_count && at < SERVICES_MAX)
            services->volumes[services->volume_count++] = mount->source;
    }
}

static bool read_service(struct reader *reader, struct fy_node_pair *pair)
{
    struct services *services = reader->services;
    struct fy_node *value = fy_node_pair_value(pair);
    const char *name = text_of(reader, fy_node_pair_key(pair));
    if (!name)
        return false;
    if (services->count == SERVICES_MAX)
        return wrong(reader, fy_node_pair_key(pair), "more than %d services", SERVICES_MAX);
    struct reading *reading = pnx__arena_take(&services->memory, sizeof *reading);
    if (!reading)
        return wrong(reader, NULL, "no memory");
    pnx_service_config *config = reading->config = &services->services[services->count++];
    config->name = name;
    snprintf(reader->where, sizeof reader->where, "services.%.64s", name);
    reader->at = fy_node_pair_key(pair);
    if (!read_mapping(reader, value, "a service, with the key 'image'", keys,
                      sizeof keys / sizeof *keys, reading))
        return false;
    reader->at = fy_node_pair_key(pair);
    if (!config->container.image)
        return wrong(reader, NULL, "it has no image");
    config->container.mounts = reading->mounts;
    config->container.ports = reading->ports;
    config->depends_on = reading->depends_on;
    if (reading->has_wait && (reading->wait.type == PNX_WAIT_CHECK || reading->wait.count > 0))
        config->ready = &reading->wait;
    note_volumes(services, &config->container);
    return true;
}

/* ---- the file -------------------------------------------------------------------------------- */

static bool read_services(struct reader *reader, struct fy_node *root)
{
    void *position = NULL;
    struct fy_node_pair *pair;
    struct fy_node *services =
        root && fy_node_is_mapping(root)
            ? fy_node_mapping_lookup_by_string(root, "services", strlen("services"))
            : NULL;
    snprintf(reader->where, sizeof reader->where, "services");
    reader->at = services;
    if (!services || !fy_node_is_mapping(services) || fy_node_mapping_is_empty(services))
        return wrong(reader, services, "it must be a list of services, 'name: {image: …}'");
    while ((pair = fy_node_mapping_iterate(services, &position)))
        if (!read_service(reader, pair))
            return false;
    return !reader->services->memory.failed || wrong(reader, NULL, "no memory");
}

static void not_yaml(struct fy_diag *diag, char *message)
{
    void *position = NULL;
    const struct fy_diag_error *error = fy_diag_errors_iterate(diag, &position);
    snprintf(message, SERVICES_MESSAGE_MAX, "%d:%d: %.200s",
             error && error->line > 0 ? error->line : 1,
             error && error->column > 0 ? error->column : 1,
             error && error->msg ? error->msg : "it is not YAML");
    for (char *at = message; *at; at++)
        *at = *at < ' ' || *at > '~' ? '?' : *at;
}

bool services_read(const char *text, size_t size, const char *directory, struct services *ret,
                   char message[SERVICES_MESSAGE_MAX])
{
    struct reader reader = {.services = ret, .directory = directory, .message = message};
    struct fy_diag_cfg about;
    *ret = (struct services){.count = 0};
    message[0] = '\0';
    fy_diag_cfg_default(&about);
    about.fp = NULL;
    struct fy_diag *diag = fy_diag_create(&about);
    if (!diag)
        return wrong(&reader, NULL, "no memory");
    fy_diag_set_collect_errors(diag, true);
    struct fy_parse_cfg how = {.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG, .diag = diag};
    struct fy_document *document = fy_document_build_from_string(&how, text, size);
    bool good = document && read_services(&reader, fy_document_root(document));
    if (!document)
        not_yaml(diag, message);
    fy_document_destroy(document);
    fy_diag_destroy(diag);
    return good;
}

void services_done(struct services *services)
{
    pnx__arena_free(&services->memory);
}
