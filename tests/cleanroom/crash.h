/* SPDX-License-Identifier: MIT */
/**
 * @file crash.h
 * SIGKILL at every step: the supervisor of a run, its reaper, or both are killed before or after a
 * system call of the supervisor, from its first to its last. Afterwards nothing of the session is
 * left.
 *
 * The points are taken with a stride that depends on PNX_TEST_EFFORT, from a random one on;
 * `make soak` takes all of them.
 */
#ifndef TESTS_CLEANROOM_CRASH_H
#define TESTS_CLEANROOM_CRASH_H

#include "stepped.h"
#include "support.h"

#include <dirent.h>
#include <limits.h>
#include <sys/mman.h>
#include <time.h>

/* ---- one run --------------------------------------------------------------------------------- */

static struct {
    void (*supervise)(void *context); /* executes `cleanroom run` */
    bool (*is_clean)(void);           /* what else has to be gone; NULL: nothing */
    unsigned stride;
    char place[64];   /* the parent of the private directories */
    char cgroup[128]; /* of the supervisor and the reaper; empty: none */
    char token[32];   /* an argument by which the command's processes are known */
    const char *tier; /* an option, or NULL */
} run_of;

static const char *tool(void)
{
    return getenv("CLEANROOM_TOOL");
}

static void write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        (void)!write(fd, text, strlen(text));
    close(fd);
}

/* For `supervise`, before it executes the tool. */
static void become_supervisor(void)
{
    char procs[160];
    if (run_of.cgroup[0]) {
        snprintf(procs, sizeof procs, "%s/cgroup.procs", run_of.cgroup);
        write_text(procs, "0");
    }
    int null = open("/dev/null", O_RDWR);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    setenv("TMPDIR", run_of.place, 1);
    setenv("LSAN_OPTIONS", "detect_leaks=0", 1); /* it cannot look while somebody else traces */
}

/* ---- looking --------------------------------------------------------------------------------- */

static bool has_argument(pid_t pid, const char *text)
{
    char path[64], buffer[4096];
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, buffer, sizeof buffer) : -1;
    close(fd);
    return got > 0 && memmem(buffer, (size_t)got, text, strlen(text)) != NULL;
}

typedef void (*found_fn)(pid_t pid);

static size_t each_process_with(const char *text, found_fn found)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    size_t count = 0;
    while ((entry = readdir(proc))) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid <= 0 || pid == getpid() || !has_argument(pid, text))
            continue;
        count++;
        if (found)
            found(pid);
    }
    closedir(proc);
    return count;
}

/* Who is killed while TSan's runtime begins leaves a file of the runtime's own. */
static bool is_of_runtime(const char *name)
{
    return strncmp(name, "tsan.rodata.", 12) == 0;
}

static inline void remove_of_runtime(void)
{
    char path[sizeof run_of.place + NAME_MAX + 2];
    DIR *dir = opendir(run_of.place);
    struct dirent *entry;
    while (dir && (entry = readdir(dir)))
        if (is_of_runtime(entry->d_name) &&
            snprintf(path, sizeof path, "%s/%s", run_of.place, entry->d_name) > 0)
            unlink(path);
    if (dir)
        closedir(dir);
}

static size_t entries_of(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    size_t count = 0;
    while (dir && (entry = readdir(dir)))
        count +=
            (entry->d_name[0] != '.' || strlen(entry->d_name) > 2) && !is_of_runtime(entry->d_name);
    if (dir)
        closedir(dir);
    return count;
}

static bool has_shm_of_ours(void)
{
    DIR *dir = opendir("/dev/shm");
    struct dirent *entry;
    bool found = false;
    while (dir && (entry = readdir(dir)))
        found = found || (strncmp(entry->d_name, "cleanroom-", 10) == 0 &&
                          strstr(entry->d_name, run_of.token) != NULL);
    if (dir)
        closedir(dir);
    return found;
}

static char left[256];

static bool is_clean(void)
{
    char sessions[256], cgroup[192] = "";
    snprintf(sessions, sizeof sessions, "%s/sessions", getenv("CLEANROOM_STATE_DIR"));
    size_t processes = each_process_with(run_of.token, NULL), files = entries_of(run_of.place);
    size_t recorded = entries_of(sessions);
    if (run_of.cgroup[0]) {
        DIR *dir = opendir(run_of.cgroup);
        struct dirent *entry;
        while (dir && (entry = readdir(dir)))
            if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
                snprintf(cgroup, sizeof cgroup, "%.100s", entry->d_name);
        if (dir)
            closedir(dir);
    }
    bool shm = is_root() && has_shm_of_ours();
    bool others = !run_of.is_clean || run_of.is_clean();
    snprintf(left, sizeof left,
             "%zu processes, %zu in the place, %zu sessions, shm %d, cgroup '%s'%s", processes,
             files, recorded, shm, cgroup, others ? "" : ", and what only this test looks for");
    return processes == 0 && files == 0 && recorded == 0 && !shm && !cgroup[0] && others;
}

/* A reaper takes a moment; nobody tells when it is done. */
static bool becomes_clean(pnx_duration within)
{
    pnx_time deadline = pnx_time_after(pnx_monotonic_now(), within);
    while (!is_clean()) {
        if (pnx_monotonic_now() > deadline)
            return false;
        struct timespec moment = {.tv_nsec = 2000000};
        nanosleep(&moment, NULL);
    }
    return true;
}

static void reap(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, STDERR_FILENO);
        execl(tool(), "cleanroom", "reap", "--all", NULL);
        _exit(99);
    }
    assert_int_equal(status_of_child(pid), 0);
}

/* ---- killing --------------------------------------------------------------------------------- */

static void kill_it(pid_t pid)
{
    kill(pid, SIGKILL);
}

/* Reapers of other runs have other session ids; here only one run is on its way. */
static char session_id[256];

static bool read_session_id(void)
{
    char sessions[256];
    snprintf(sessions, sizeof sessions, "%s/sessions", getenv("CLEANROOM_STATE_DIR"));
    DIR *dir = opendir(sessions);
    struct dirent *entry;
    session_id[0] = '\0';
    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            snprintf(session_id, sizeof session_id, "%s", entry->d_name);
    if (dir)
        closedir(dir);
    return session_id[0] != '\0';
}

static void kill_reaper(void *context)
{
    if (read_session_id())
        each_process_with(session_id, kill_it);
}

/* ---- the tests ------------------------------------------------------------------------------- */

static unsigned stride(void)
{
    const char *effort = getenv("PNX_TEST_EFFORT");
    unsigned percent = effort ? (unsigned)strtoul(effort, NULL, 10) : 100;
    if (percent >= 1000)
        return 1;
    return percent >= 100 ? run_of.stride : run_of.stride * 5;
}

static unsigned first_stop(unsigned step)
{
    const char *seed = getenv("PNX_TEST_SEED");
    unsigned first = seed ? (unsigned)strtoul(seed, NULL, 10) : (unsigned)time(NULL);
    first = 1 + first % step;
    printf("# PNX_TEST_SEED=%u\n", first - 1);
    return first;
}

enum victims { SUPERVISOR, REAPER, BOTH };

/* Kills at this step. False: the run ended before it. */
static bool crash_at(enum victims victims, unsigned stop)
{
    enum stepped how =
        run_stepped(run_of.supervise, NULL, stop, victims == REAPER ? kill_reaper : NULL);
    if (how == STEPPED_REFUSED)
        skip();
    return how == STEPPED_INTO;
}

/* Both at the same step: the reaper first, so that it cannot do anything any more. */
static bool crash_both_at(unsigned stop)
{
    int status;
    unsigned stops = 0;
    pid_t pid = start_stepped(run_of.supervise, NULL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(
        ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD), 0);
    while (stops < stop) {
        assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFSTOPPED(status))
            return false;
        stops += WSTOPSIG(status) == (SIGTRAP | 0x80);
    }
    kill_reaper(NULL);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return true;
}

static void crash(enum victims victims)
{
    unsigned step = stride(), points = 0, by_reap = 0;
    for (unsigned stop = first_stop(step);; stop += step) {
        bool reached = victims == BOTH ? crash_both_at(stop) : crash_at(victims, stop);
        /* Only before there is a reaper, or without one, somebody else has to come. */
        bool clean = victims == BOTH ? false : becomes_clean(PNX_S(victims == REAPER ? 10 : 5));
        if (!clean) {
            by_reap += victims != BOTH;
            reap();
            clean = becomes_clean(PNX_S(10));
        }
        if (!clean)
            fail_msg("after a kill at step %u: %s", stop, left);
        if (!reached)
            break;
        points++;
    }
    printf("# %u points; %u were cleaned up by 'cleanroom reap' alone\n", points, by_reap);
    assert_true(points > 0);
    if (victims == SUPERVISOR) /* the very first steps, before the reaper runs */
        assert_true(by_reap <= 1 + points / 2);
}

/* ---- around ---------------------------------------------------------------------------------- */

static inline void find_own_cgroup(void)
{
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    char line[4096], mount[256] = "";
    while (fgets(line, sizeof line, mounts))
        if (strstr(line, " - cgroup2 ") && sscanf(line, "%*s %*s %*s %*s %255s", mount) == 1)
            break;
    fclose(mounts);
    if (!mount[0])
        return;
    snprintf(run_of.cgroup, sizeof run_of.cgroup, "%.80s/cleanroom-crash-%d", mount, (int)getpid());
    if (mkdir(run_of.cgroup, 0755) != 0)
        run_of.cgroup[0] = '\0';
}

/* What a main does around its tests. False: there is no place for them. */
static inline bool begin_crashing(void (*supervise)(void *context), unsigned stride_of)
{
    use_own_state();
    run_of.supervise = supervise;
    run_of.stride = stride_of;
    snprintf(run_of.token, sizeof run_of.token, "98765.%d", (int)getpid());
    snprintf(run_of.place, sizeof run_of.place, "/tmp/crash-test-XXXXXX");
    if (!mkdtemp(run_of.place))
        return false;
    if (is_root())
        find_own_cgroup();
    return true;
}

/* Whoever has just ended is in it until it is reaped. */
static inline bool drop_cgroup(void)
{
    pnx_time deadline = in_seconds(20);
    struct timespec moment = {.tv_nsec = 2000000};
    while (rmdir(run_of.cgroup) != 0) {
        if (errno != EBUSY || pnx_monotonic_now() > deadline)
            return false;
        nanosleep(&moment, NULL);
    }
    return true;
}

static inline int end_crashing(int failed)
{
    if (run_of.cgroup[0] && !drop_cgroup())
        failed = 1;
    remove_of_runtime();
    if (rmdir(run_of.place) != 0)
        failed = 1;
    return failed ? failed : !drop_own_state();
}

#endif
