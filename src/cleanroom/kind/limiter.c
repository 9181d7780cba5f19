/* SPDX-License-Identifier: MIT */
#include "kind/limiter.h"

#include "kind/cgroup_hand_down.h"
#include "kind/outcome.h"
#include "kind/sys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* How long a removal waits for what it killed. */
#define AFTER_KILL PNX_S(5)

const char *const pnx__controller_name[PNX__CONTROLLERS] = {"memory", "pids", "cpu"};
const char *const pnx__limit_name[PNX__CONTROLLERS] = {"mem", "pids", "cpu"};

/* ---- files of cgroups ------------------------------------------------------------------------ */

bool pnx__cgroup_write(int dir, const char *file, const char *text)
{
    int fd = openat(dir, file, O_WRONLY | O_CLOEXEC);
    size_t length = strlen(text);
    bool written = fd >= 0 && write(fd, text, length) == (ssize_t)length;
    pnx__close(fd);
    return written;
}

bool pnx__cgroup_read(int dir, const char *file, const char *key, uint64_t *ret)
{
    char text[2048];
    int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    pnx__close(fd);
    if (got <= 0)
        return false;
    text[got] = '\0';
    size_t length = strlen(key);
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        bool is_it = length == 0 || (strncmp(line, key, length) == 0 && line[length] == ' ');
        char *end;
        uint64_t value = is_it ? strtoull(line + length, &end, 10) : 0;
        if (!is_it || end == line + length)
            continue;
        *ret = value;
        return true;
    }
    return false;
}

uint64_t pnx__limit_of(const pnx_limits *limits, int controller)
{
    const uint64_t of[PNX__CONTROLLERS] = {limits->memory, limits->pids, limits->cpu};
    return of[controller];
}

/* ---- making ---------------------------------------------------------------------------------- */

/* Without a cgroup v2 the reason of v1 is the one that matters; else there is room for both. */
static pnx_status refuse(const pnx_limiter *limiter, int controller, const pnx_error *v2,
                         const pnx_error *v1, pnx_error *err)
{
    int v2_length = limiter->cgroup ? PNX_ERROR_CAUSE_MAX / 2 : 0;
    const char *name = pnx__limit_name[controller];
    const char *instead = controller == PNX__PIDS && geteuid() != 0
                              ? " (a limit by rlimit would count all processes of the user)"
                              : "";
    pnx_fail(err, PNX_ELIMIT,
             "cannot limit %s here%s; run as root, or where cgroups are delegated: systemd-run "
             "--user --scope -p Delegate=yes; see 'cleanroom doctor'",
             name, instead);
    if (err) {
        err->cause.code = v1->code;
        err->cause.sys_errno = v1->sys_errno;
        snprintf(err->cause.message, sizeof err->cause.message, "%.*s%s%.*s", v2_length,
                 v2->message, v2_length ? "; " : "", PNX_ERROR_CAUSE_MAX - 3 - v2_length,
                 v1->message);
    }
    return PNX_ELIMIT;
}

static pnx_status limit(pnx_limiter *limiter, int controller, const char *label, pnx_error *err)
{
    pnx_error v2 = {0}, v1 = {0};
    if (pnx__limit_of(&limiter->limits, controller) == 0)
        return PNX_OK;
    if (pnx__limit_by_v2(limiter, controller, &v2) == PNX_OK ||
        pnx__limit_by_v1(limiter, controller, label, &v1) == PNX_OK)
        return PNX_OK;
    return refuse(limiter, controller, &v2, &v1, err);
}

static pnx_limiter *allocate(const pnx_limits *limits, struct pnx_cgroup *cgroup)
{
    pnx_limiter *limiter = calloc(1, sizeof *limiter);
    if (!limiter)
        return NULL;
    limiter->limits = *limits;
    limiter->cgroup = cgroup;
    limiter->disk = -1;
    for (int i = 0; i < PNX__CONTROLLERS; i++)
        limiter->v1[i] = (struct pnx__v1_group){.fd = -1, .tasks = -1};
    return limiter;
}

pnx_status pnx_limits_enforce(const pnx_limits *limits, const char *label,
                              struct pnx_cgroup *cgroup, pnx_limiter **ret, pnx_error *err)
{
    if (!pnx_limits_any(limits))
        return pnx_fail(err, PNX_EINVAL, "there is no limit to enforce");
    if (!*label || *label == '.' || strchr(label, '/') || strlen(label) > NAME_MAX)
        return pnx_fail(err, PNX_EINVAL, "'%s' is not a name for a cgroup", label);
    pnx_limiter *limiter = allocate(limits, cgroup);
    if (!limiter)
        return pnx_fail(err, PNX_ENOMEM, "no memory for the limits of %s", label);
    pnx_status status = PNX_OK;
    for (int i = 0; status == PNX_OK && i < PNX__CONTROLLERS; i++)
        status = limit(limiter, i, label, err);
    if (status == PNX_OK) {
        *ret = limiter;
        return PNX_OK;
    }
    for (int i = 0; i < PNX__CONTROLLERS; i++)
        pnx__unlimit_by_v2(limiter, i);
    (void)pnx_limiter_remove(limiter, NULL, NULL);
    pnx_limiter_free(limiter);
    return status;
}

/* ---- for spawn ------------------------------------------------------------------------------- */

static bool limit_file_size(uint64_t bytes)
{
    struct rlimit before, limit = {bytes, bytes};
    if (getrlimit(RLIMIT_FSIZE, &before) != 0)
        return false;
    if (limit.rlim_max > before.rlim_max) /* it was under a stricter one already */
        limit = (struct rlimit){before.rlim_max, before.rlim_max};
    return setrlimit(RLIMIT_FSIZE, &limit) == 0;
}

bool pnx__limiter_enter(const pnx_limiter *limiter)
{
    for (int i = 0; i < PNX__CONTROLLERS; i++)
        if (limiter->v1[i].tasks >= 0 && write(limiter->v1[i].tasks, "0", 1) != 1)
            return false;
    return limiter->limits.file_size == 0 || limit_file_size(limiter->limits.file_size);
}

uint64_t pnx__limiter_disk(const pnx_limiter *limiter)
{
    return limiter->limits.disk;
}

void pnx__limiter_hold_disk(pnx_limiter *limiter, int disk)
{
    pnx__close(limiter->disk);
    limiter->disk = disk;
}

int pnx_limiter_disk_fd(const pnx_limiter *limiter)
{
    return limiter->disk;
}

/* ---- removing -------------------------------------------------------------------------------- */

/* What one removal of several groups has come to. */
struct removal {
    pnx_time deadline;
    bool any;
    pnx_status status; /* of the first that failed */
    pnx_error *err;
};

static void remove_group(const struct pnx__v1_group *group, struct removal *removal)
{
    pnx_error *err = removal->status == PNX_OK ? removal->err : NULL;
    pnx_status status = pnx__v1_remove(group, removal->deadline, err);
    removal->any = removal->any || status != PNX_EALREADY;
    if (status != PNX_EALREADY && removal->status == PNX_OK)
        removal->status = status;
}

static pnx_status conclude(const struct removal *removal, pnx_time began, pnx_outcome *outcome)
{
    pnx_outcome local = {0};
    pnx_outcome *told = outcome ? outcome : &local;
    if (removal->status != PNX_OK)
        (void)pnx__outcome_stuck(told, PNX_FATE_STUCK, removal->err);
    else
        pnx__outcome_gone(told, removal->any ? PNX_FATE_REMOVED : PNX_FATE_ALREADY_GONE);
    pnx__outcome_attempt(told, began);
    return removal->status;
}

static struct removal begin(pnx_time began, pnx_error *err)
{
    return (struct removal){
        .deadline = pnx_time_after(began, AFTER_KILL), .status = PNX_OK, .err = err};
}

pnx_status pnx_limiter_remove(pnx_limiter *limiter, pnx_outcome *outcome, pnx_error *err)
{
    pnx_error local = {0};
    pnx_time began = pnx_monotonic_now();
    struct removal removal = begin(began, err ? err : &local);
    for (int i = 0; i < PNX__CONTROLLERS; i++)
        if (limiter->v1[i].fd >= 0)
            remove_group(&limiter->v1[i], &removal);
    return conclude(&removal, began, outcome);
}

static void remove_found(int controller, const struct pnx__v1_group *group, void *context)
{
    (void)controller;
    remove_group(group, context);
}

pnx_status pnx_limits_remove(const char *label, pnx_outcome *outcome, pnx_error *err)
{
    pnx_error local = {0};
    pnx_time began = pnx_monotonic_now();
    struct removal removal = begin(began, err ? err : &local);
    pnx__v1_each(label, remove_found, &removal);
    pnx__cgroup_forget_supervisor(label);
    return conclude(&removal, began, outcome);
}

struct each {
    pnx_limits_fn visit;
    void *context;
};

static void tell(int controller, const struct pnx__v1_group *group, void *context)
{
    const struct each *each = context;
    each->visit(pnx__controller_name[controller], group->path, each->context);
}

void pnx_limits_each(const char *label, pnx_limits_fn visit, void *context)
{
    struct each each = {visit, context};
    pnx__v1_each(label, tell, &each);
}

void pnx_limiter_watch_by(pnx_limiter *limiter, pnx_outcome *outcome)
{
    limiter->outcome = outcome;
}

void pnx_limiter_free(pnx_limiter *limiter)
{
    if (!limiter)
        return;
    for (int i = 0; i < PNX__CONTROLLERS; i++)
        pnx__v1_close(&limiter->v1[i]);
    pnx__close(limiter->disk);
    free(limiter);
}

/* ---- the kind -------------------------------------------------------------------------------- */

static pnx_status release_limiter(void *value, const pnx_release *why)
{
    pnx_limiter *limiter;
    memcpy(&limiter, value, sizeof limiter);
    pnx_status status = pnx_limiter_remove(limiter, limiter->outcome, NULL);
    if (status == PNX_OK)
        pnx_limiter_free(limiter);
    return status;
}

static int describe_limiter(const void *value, char *buffer, size_t size)
{
    pnx_limiter *limiter;
    char text[192];
    memcpy(&limiter, value, sizeof limiter);
    pnx_limits_format(&limiter->limits, text, sizeof text);
    return snprintf(buffer, size, "limits %s", text);
}

const pnx_kind pnx_kind_limiter = {
    .name = "limiter",
    .priority = PNX_LOW, /* its processes first */
    .timeout = PNX_S(10),
    .retries = 4,
    .retry_delay = PNX_MS(5), /* the last thread of a dead process may still be on its way out */
    .retry_delay_max = PNX_MS(100),
    .value_size = sizeof(pnx_limiter *),
    .describe = (void (*)(void))describe_limiter,
    .release = release_limiter,
    .run_describe = describe_limiter,
};
