/* SPDX-License-Identifier: MIT */
/*
 * Pressure stall information: a trigger is written into the file, and poll(2) tells when it fires.
 * The kernel's Documentation/accounting/psi.rst says how. A trigger lives as long as its
 * descriptor, and fires at most once in a window.
 */
#include "base/sys.h"
#include "pressure/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYSTEM_WIDE "/proc/pressure/memory"
/* The kernel's bounds of a window, and what it grants to everybody. */
#define WINDOW_MIN PNX_MS(500)
#define WINDOW_MAX PNX_S(10)
#define WINDOW PNX_S(1)
#define WINDOW_FOR_ALL PNX_S(2)

static int open_trigger(const char *source, pnx_pressure_level level, pnx_duration stalled,
                        pnx_duration window)
{
    char text[64];
    int fd = open(source, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -1;
    /* Its terminator is part of it. */
    const int length = snprintf(text, sizeof text, "%s %lld %lld", pnx_pressure_level_name(level),
                                (long long)(stalled / PNX_US(1)), (long long)(window / PNX_US(1)));
    if (write(fd, text, (size_t)length + 1) >= 0)
        return fd;
    const int error = errno;
    close(fd);
    errno = error;
    return -1;
}

void pnx__psi_close(int triggers[PNX_PRESSURE_LEVEL_COUNT])
{
    for (unsigned i = 0; i < PNX_PRESSURE_LEVEL_COUNT; i++) {
        if (triggers[i] >= 0)
            close(triggers[i]);
        triggers[i] = -1;
    }
}

/* Both, or none. False: errno. */
static bool open_both(const pnx_pressure_config *config, const char *source, pnx_duration window,
                      int triggers[PNX_PRESSURE_LEVEL_COUNT])
{
    const pnx_duration some = config->stalled_some ? config->stalled_some : window / 10;
    const pnx_duration full = config->stalled_full ? config->stalled_full : window / 20;
    triggers[PNX_PRESSURE_SOME] = open_trigger(source, PNX_PRESSURE_SOME, some, window);
    if (triggers[PNX_PRESSURE_SOME] < 0)
        return false;
    triggers[PNX_PRESSURE_FULL] = open_trigger(source, PNX_PRESSURE_FULL, full, window);
    if (triggers[PNX_PRESSURE_FULL] >= 0)
        return true;
    const int error = errno;
    pnx__psi_close(triggers);
    errno = error;
    return false;
}

/* The unprivileged are refused a window that others may have. */
static bool open_by_any_window(const pnx_pressure_config *config, const char *source,
                               int triggers[PNX_PRESSURE_LEVEL_COUNT])
{
    if (config->window != 0)
        return open_both(config, source, config->window, triggers);
    return open_both(config, source, WINDOW, triggers) ||
           ((errno == EPERM || errno == EINVAL) &&
            open_both(config, source, WINDOW_FOR_ALL, triggers));
}

/* Where the memory of this process's cgroup is told of; `root` is where that hierarchy may be. */
static bool name_of_cgroup(const char *root, char source[PNX__PRESSURE_SOURCE_MAX])
{
    char line[PNX__PRESSURE_SOURCE_MAX];
    bool found = false;
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (!file)
        return false;
    while (!found && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "0::/", 4) != 0)
            continue;
        const int length = snprintf(source, PNX__PRESSURE_SOURCE_MAX, "%s%s/memory.pressure", root,
                                    line[4] ? line + 3 : "");
        found = length > 0 && length < PNX__PRESSURE_SOURCE_MAX;
    }
    fclose(file);
    return found && access(source, R_OK | W_OK) == 0;
}

static pnx_status fail(const char *source, pnx_error *err)
{
    if (errno == ENOENT)
        return pnx_fail(err, PNX_ENOTFOUND, "there is no %s", source);
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
        return pnx_fail(err, PNX_EFAILED, "cannot watch %s: %m", source);
    return pnx_fail(err, PNX_EUNSUPPORTED,
                    "cannot watch %s: %m; it takes a kernel with pressure stall information "
                    "(psi=1), and CAP_SYS_RESOURCE or a window of 2 s (Linux 6.5)",
                    source);
}

static pnx_status check_span(const char *name, pnx_duration span, pnx_duration least,
                             pnx_duration most, pnx_error *err)
{
    if (span == 0 || (span >= least && span <= most))
        return PNX_OK;
    return pnx_fail(err, PNX_EINVAL, "%s is %lld µs: it must be between %lld and %lld µs", name,
                    (long long)(span / PNX_US(1)), (long long)(least / PNX_US(1)),
                    (long long)(most / PNX_US(1)));
}

static pnx_status check(const pnx_pressure_config *config, pnx_error *err)
{
    const pnx_duration window = config->window ? config->window : WINDOW;
    pnx_status status = check_span("window", config->window, WINDOW_MIN, WINDOW_MAX, err);
    if (status == PNX_OK)
        status = check_span("stalled_some", config->stalled_some, PNX_US(1), window, err);
    if (status == PNX_OK)
        status = check_span("stalled_full", config->stalled_full, PNX_US(1), window, err);
    return status;
}

pnx_status pnx__psi_open(const pnx_pressure_config *config, char source[PNX__PRESSURE_SOURCE_MAX],
                         int triggers[PNX_PRESSURE_LEVEL_COUNT], pnx_error *err)
{
    static const char *const roots[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    const pnx_status status = check(config, err);
    if (status != PNX_OK)
        return status;
    if (config->source) {
        const int length = snprintf(source, PNX__PRESSURE_SOURCE_MAX, "%s", config->source);
        if (length >= PNX__PRESSURE_SOURCE_MAX)
            return pnx_fail(err, PNX_EINVAL, "source has %d bytes: at most %d", length,
                            PNX__PRESSURE_SOURCE_MAX - 1);
        return open_by_any_window(config, source, triggers) ? PNX_OK : fail(source, err);
    }
    for (unsigned i = 0; i < sizeof roots / sizeof *roots; i++)
        if (name_of_cgroup(roots[i], source) && open_by_any_window(config, source, triggers))
            return PNX_OK;
    snprintf(source, PNX__PRESSURE_SOURCE_MAX, "%s", SYSTEM_WIDE);
    if (open_by_any_window(config, source, triggers))
        return PNX_OK;
    if (errno == ENOENT)
        errno = EOPNOTSUPP; /* nobody asked for this file: it is the kernel that has none */
    return fail(source, err);
}
