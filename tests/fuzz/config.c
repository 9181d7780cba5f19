/* SPDX-License-Identifier: MIT */
/*
 * Configuration files. The first byte says whether there is somebody who starts services. Whatever
 * the rest holds: either a mistake with its place, in printable text, or options that each begin
 * with "--", and nothing after an option that is not another one, or the command.
 */
#include "fuzz.h"

#include "config_read.h"

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

static void are_options(const char *text, size_t size)
{
    const char *end = text + size;
    promise(size == 0 || end[-1] == '\0');
    for (; text < end && strcmp(text, "--") != 0; text += strlen(text) + 1) {
        size_t name = strspn(text + 2, "abcdefghijklmnopqrstuvwxyz-");
        promise(strncmp(text, "--", 2) == 0 && name > 0);
        promise(text[2 + name] == '=' || text[2 + name] == '\0');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *options = NULL;
    size_t length = 0;
    pnx_error err = {0};
    if (size == 0)
        return 0;
    FILE *out = open_memstream(&options, &length);
    promise(out != NULL);
    const char *services = data[0] & 1 ? "--services=f" : NULL;
    pnx_status status = config_read((const char *)data + 1, size - 1, services, out, &err);
    promise(fclose(out) == 0);
    promise(status == PNX_OK || status == PNX_EINVAL);
    if (status == PNX_OK)
        are_options(options, length);
    else
        is_a_place_and_a_text(err.message);
    promise(status == PNX_OK || length == 0);
    free(options);
    return 0;
}
