/* SPDX-License-Identifier: MIT */
#include "docker/labels.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

const char *pnx_keep_name(pnx_keep keep)
{
    switch (keep) {
    case PNX_KEEP_NEVER:
        return "never";
    case PNX_KEEP_ON_FAILURE:
        return "on-failure";
    case PNX_KEEP_ALWAYS:
        return "always";
    }
    return "unknown";
}

pnx_keep pnx__docker_keep_of(const char *name)
{
    return strcmp(name, "always") == 0       ? PNX_KEEP_ALWAYS
           : strcmp(name, "on-failure") == 0 ? PNX_KEEP_ON_FAILURE
                                             : PNX_KEEP_NEVER;
}

pnx_status pnx__docker_mark_make(char mark[PNX_ID_TEXT_SIZE], pnx_error *err)
{
    pnx_id id;
    if (getrandom(&id, sizeof id, 0) != sizeof id)
        return pnx_fail(err, PNX_EFAILED, "no random numbers for a name: %m");
    id.high = (id.high & ~0xf000ull) | 0x4000; /* version 4, variant 1: RFC 9562, 5.4 */
    id.low = (id.low & ~(3ull << 62)) | 2ull << 62;
    pnx_id_format(id, mark);
    return PNX_OK;
}

/* ---- where and who we are -------------------------------------------------------------------- */

static bool first_line(const char *path, char *ret, size_t size)
{
    FILE *file = fopen(path, "re");
    bool got = file && fgets(ret, (int)size, file);
    if (file)
        fclose(file);
    if (!got)
        ret[0] = '\0';
    ret[strcspn(ret, "\n")] = '\0';
    return got;
}

uint64_t pnx__docker_process_start(int64_t pid)
{
    char path[48], line[1024];
    unsigned long long start = 0;
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    if (!first_line(path, line, sizeof line))
        return 0;
    /* The second field is a name in parentheses, which may hold anything, line feeds apart. */
    const char *at = strrchr(line, ')');
    for (int field = 2; at && field < 22; field++) {
        at = strchr(at + 1, ' ');
        if (field == 21 && at && sscanf(at, "%llu", &start) != 1) /* NOLINT(cert-err34-c): ours */
            start = 0;
    }
    return start;
}

/* Says whether two machines are the same, without saying which: a machine-id is confidential. */
static void machine_text(char *ret, size_t size)
{
    char line[64];
    pnx_id id;
    ret[0] = '\0';
    if (!first_line("/etc/machine-id", line, sizeof line) || strlen(line) != 32)
        return;
    char uuid[PNX_ID_TEXT_SIZE];
    snprintf(uuid, sizeof uuid, "%.8s-%.4s-%.4s-%.4s-%.12s", line, line + 8, line + 12, line + 16,
             line + 20);
    if (pnx_id_parse(uuid, &id, NULL) == PNX_OK)
        snprintf(ret, size, "%016llx", (unsigned long long)pnx_id_hash(id));
}

static void time_text(time_t when, char *ret, size_t size)
{
    struct tm utc;
    if (!gmtime_r(&when, &utc) || strftime(ret, size, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
        ret[0] = '\0';
}

/* ---- labels ---------------------------------------------------------------------------------- */

static int put(json_t *labels, const char *key, const char *value)
{
    return json_object_set_new(labels, key, json_string(value));
}

static int put_number(json_t *labels, const char *key, unsigned long value)
{
    char text[24];
    snprintf(text, sizeof text, "%lu", value);
    return put(labels, key, text);
}

static int put_owner(json_t *labels)
{
    char text[64];
    snprintf(text, sizeof text, "%ld:%llu", (long)getpid(),
             (unsigned long long)pnx__docker_process_start(getpid()));
    return put(labels, PNX_LABEL_OWNER, text);
}

static int put_times(json_t *labels, pnx_duration expires)
{
    char text[32];
    time_t now = time(NULL);
    time_text(now, text, sizeof text);
    int failed = put(labels, PNX_LABEL_CREATED, text);
    time_text(now + (time_t)(expires / PNX_S(1)), text, sizeof text);
    return failed | put(labels, PNX_LABEL_EXPIRES, text);
}

pnx_status pnx_engine_label(const pnx_engine *engine, pnx_object_type type, pnx_keep keep,
                            const char *mark, json_t *labels, pnx_error *err)
{
    /* In steps, so that something can come between. */
    static const unsigned char priorities[PNX_OBJECT_TYPE_COUNT] = {
        [PNX_CONTAINER] = 30, [PNX_NETWORK] = 40, [PNX_VOLUME] = 50, [PNX_IMAGE] = 90};
    char machine[24], boot[64], made[PNX_ID_TEXT_SIZE];
    pnx_id id;
    if (!json_is_object(labels) || (unsigned)type >= PNX_OBJECT_TYPE_COUNT)
        return pnx_fail(err, PNX_EINVAL, "labels are a JSON object, of a thing of some type");
    pnx_status status = mark ? pnx_id_parse(mark, &id, err) : pnx__docker_mark_make(made, err);
    if (status != PNX_OK)
        return status;
    machine_text(machine, sizeof machine);
    (void)first_line("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    int failed =
        put(labels, PNX_LABEL_MANAGED, "true") | put(labels, PNX_LABEL_SESSION, engine->session) |
        put(labels, PNX_LABEL_ID, mark ? mark : made) | put(labels, PNX_LABEL_MACHINE, machine) |
        put(labels, PNX_LABEL_BOOT, boot) | put_number(labels, PNX_LABEL_UID, getuid()) |
        put_owner(labels) | put_times(labels, engine->expires) |
        put_number(labels, PNX_LABEL_PRIORITY, priorities[type]) |
        put(labels, PNX_LABEL_KEEP, pnx_keep_name(keep)) |
        put(labels, PNX_LABEL_VERSION, pnx_version());
    return failed ? pnx__docker_no_memory(err) : PNX_OK;
}

const json_t *pnx__docker_labels_of(pnx_object_type type, const json_t *about)
{
    const json_t *own = json_object_get(about, "Labels");
    bool inside = type == PNX_CONTAINER || type == PNX_IMAGE;
    return own || !inside ? own : json_object_get(json_object_get(about, "Config"), "Labels");
}
