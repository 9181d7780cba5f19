/* SPDX-License-Identifier: MIT */
/*
 * The services of a configuration file, as cleanroom-services reads them. Whatever it holds: either
 * a mistake with its place, in printable text, or services of which each has a name and an image,
 * and lists that end.
 */
#include "fuzz.h"

#include "config_read.h"
#include "services/services.h"

#include <string.h>

/* libfyaml 0.7 forgets a buffer on the way out of some mistakes; its user is a program that
 * ends. */
const char *__lsan_default_suppressions(void); /* NOLINT(bugprone-reserved-identifier) */
const char *__lsan_default_suppressions(void)  /* NOLINT(bugprone-reserved-identifier) */
{
    return "leak:libfyaml";
}

static void is_a_place_and_a_text(const char *message)
{
    char *end;
    promise(strtol(message, &end, 10) >= 1 && *end == ':');
    promise(strtol(end + 1, &end, 10) >= 1 && end[0] == ':' && end[1] == ' ' && end[2] != '\0');
    for (; *message; message++)
        promise(*message >= ' ' && *message <= '~');
}

static size_t length_of(const char *const *texts)
{
    size_t length = 0;
    for (; texts && *texts; texts++)
        length += strlen(*texts);
    return length;
}

static void is_a_wait(const pnx_wait *wait, unsigned depth)
{
    promise(depth < 16);
    promise((wait->type == PNX_WAIT_CHECK) == (wait->count == 0));
    for (size_t i = 0; i < wait->count; i++)
        is_a_wait(&wait->of[i], depth + 1);
}

static void is_a_service(const pnx_service_config *service)
{
    const pnx_container_config *container = &service->container;
    promise(service->name && container->image && container->image[0]);
    promise(length_of(container->command) + length_of(container->entrypoint) +
                length_of(container->environment) + length_of(container->labels) +
                length_of(container->cap_drop) + length_of(service->save) +
                length_of(service->coverage) <
            SERVICES_SIZE_MAX * 8);
    promise(service->within >= 0 && container->grace >= 0 && container->cpus >= 0);
    for (size_t i = 0; i < container->port_count; i++)
        promise(container->ports[i].port > 0);
    for (size_t i = 0; i < container->mount_count; i++)
        promise(container->mounts[i].target && container->mounts[i].target[0] == '/');
    for (size_t i = 0; i < service->depends_count; i++)
        promise(service->depends_on[i].service != NULL);
    if (service->ready)
        is_a_wait(service->ready, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct services services;
    char message[SERVICES_MESSAGE_MAX];
    const char *text = (const char *)data;
    if (config_check_text(text, size, NULL) != PNX_OK)
        return 0;
    bool good = services_read(text, size, "/somewhere", &services, message);
    promise(good == (message[0] == '\0'));
    if (!good)
        is_a_place_and_a_text(message);
    for (size_t i = 0; good && i < services.count; i++)
        is_a_service(&services.services[i]);
    promise(!good || services.count > 0);
    services_done(&services);
    return 0;
}
