/* SPDX-License-Identifier: MIT */
/* What a command hit. Read from counters of the kernel, never guessed from how it went. */
#include <cleanroom/cgroup.h>

#include "kind/limiter.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/statfs.h>

#define FROM_NS 1000000u
#define FROM_US 1000u

/* Where the counters of one controller are. */
struct source {
    int dir;
    bool v2;
};

static struct source source_of(const pnx_limiter *limiter, int controller)
{
    if (limiter->by_v2[controller])
        return (struct source){pnx_cgroup_fd(limiter->cgroup), true};
    return (struct source){limiter->v1[controller].fd, false};
}

static uint64_t counter(struct source source, const char *v2, const char *v1, const char *key)
{
    uint64_t value = 0;
    (void)pnx__cgroup_read(source.dir, source.v2 ? v2 : v1, key, &value);
    return value;
}

static const char *plural(uint64_t count, const char *one, const char *many)
{
    return count == 1 ? one : many;
}

static void tell_memory(const pnx_limiter *limiter, struct source source, pnx_limit_told *ret)
{
    char limit[24], most[24];
    ret->times = counter(source, "memory.events", "memory.oom_control", "oom_kill");
    ret->most = counter(source, "memory.peak", "memory.max_usage_in_bytes", "");
    ret->hit = ret->times > 0;
    pnx__size_format(limiter->limits.memory, limit, sizeof limit);
    pnx__size_print(ret->most, most, sizeof most);
    if (ret->hit)
        snprintf(ret->text, sizeof ret->text,
                 "mem=%s was hit: the kernel killed %" PRIu64 " %s for want of memory", limit,
                 ret->times, plural(ret->times, "process", "processes"));
    else if (ret->most)
        snprintf(ret->text, sizeof ret->text, "mem=%s: %s used at most", limit, most);
    else
        snprintf(ret->text, sizeof ret->text, "mem=%s: kept", limit);
}

static void tell_pids(const pnx_limiter *limiter, struct source source, pnx_limit_told *ret)
{
    uint64_t limit = limiter->limits.pids;
    ret->times = counter(source, "pids.events", "pids.events", "max");
    ret->most = counter(source, "pids.peak", "pids.peak", "");
    ret->hit = ret->times > 0;
    if (ret->hit)
        snprintf(ret->text, sizeof ret->text, "pids=%" PRIu64 " was hit: %" PRIu64 " %s refused",
                 limit, ret->times, plural(ret->times, "fork was", "forks were"));
    else if (ret->most)
        snprintf(ret->text, sizeof ret->text, "pids=%" PRIu64 ": %" PRIu64 " at most", limit,
                 ret->most);
    else
        snprintf(ret->text, sizeof ret->text, "pids=%" PRIu64 ": kept", limit);
}

static void tell_cpu(const pnx_limiter *limiter, struct source source, pnx_limit_told *ret)
{
    uint64_t limit = limiter->limits.cpu;
    uint64_t throttled = source.v2 ? counter(source, "cpu.stat", "", "throttled_usec") / FROM_US
                                   : counter(source, "", "cpu.stat", "throttled_time") / FROM_NS;
    ret->times = counter(source, "cpu.stat", "cpu.stat", "nr_throttled");
    ret->hit = ret->times > 0;
    if (ret->hit)
        snprintf(ret->text, sizeof ret->text,
                 "cpu=%g was hit: it had to wait for %" PRIu64 ".%03" PRIu64 " s in all",
                 (double)limit / 1000, throttled / 1000, throttled % 1000);
    else
        snprintf(ret->text, sizeof ret->text, "cpu=%g: never hit", (double)limit / 1000);
}

static void tell_file_size(const pnx_limiter *limiter, int exit_signal, pnx_limit_told *ret)
{
    char limit[24];
    pnx__size_format(limiter->limits.file_size, limit, sizeof limit);
    ret->by = "rlimit";
    ret->hit = exit_signal == SIGXFSZ;
    ret->times = ret->hit;
    if (ret->hit)
        snprintf(ret->text, sizeof ret->text, "fsize=%s was hit: SIGXFSZ ended the command", limit);
    else
        snprintf(ret->text, sizeof ret->text, "fsize=%s: did not end the command", limit);
}

static void tell_disk(const pnx_limiter *limiter, pnx_limit_told *ret)
{
    char limit[24], used[24];
    struct statfs about;
    pnx__size_format(limiter->limits.disk, limit, sizeof limit);
    ret->by = "tmpfs";
    if (limiter->disk < 0 || fstatfs(limiter->disk, &about) != 0) {
        snprintf(ret->text, sizeof ret->text, "disk=%s: nothing is known", limit);
        return;
    }
    ret->most = (uint64_t)(about.f_blocks - about.f_bfree) * (uint64_t)about.f_bsize;
    ret->hit = about.f_bfree == 0;
    pnx__size_print(ret->most, used, sizeof used);
    if (ret->hit)
        snprintf(ret->text, sizeof ret->text, "disk=%s was hit: TMPDIR is full", limit);
    else
        snprintf(ret->text, sizeof ret->text, "disk=%s: %s used in the end", limit, used);
}

size_t pnx_limits_report(const pnx_limiter *limiter, int exit_signal, pnx_limit_told *ret)
{
    static void (*const tell[PNX__CONTROLLERS])(
        const pnx_limiter *, struct source, pnx_limit_told *) = {tell_memory, tell_pids, tell_cpu};
    size_t count = 0;
    for (int i = 0; i < PNX__CONTROLLERS; i++) {
        if (!pnx__limit_of(&limiter->limits, i))
            continue;
        struct source source = source_of(limiter, i);
        pnx_limit_told *told = &ret[count++];
        *told = (pnx_limit_told){.limit = pnx__limit_name[i],
                                 .by = source.v2 ? "cgroup v2" : "cgroup v1"};
        tell[i](limiter, source, told);
    }
    if (limiter->limits.file_size) {
        ret[count] = (pnx_limit_told){.limit = "fsize"};
        tell_file_size(limiter, exit_signal, &ret[count++]);
    }
    if (limiter->limits.disk) {
        ret[count] = (pnx_limit_told){.limit = "disk"};
        tell_disk(limiter, &ret[count++]);
    }
    return count;
}
