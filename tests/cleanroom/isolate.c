/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/kind/isolate*.c and spawn_child.c: as root, and as a user without any
 * privileges, each in a child of its own. */
#include "support.h"

#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#define NOBODY 65534

enum user { PRIVILEGED, UNPRIVILEGED };
static const char *const user_name[] = {"privileged", "unprivileged"};

static void become(enum user user)
{
    if (user == UNPRIVILEGED && is_root() &&
        (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
         setresuid(NOBODY, NOBODY, NOBODY) != 0))
        _exit(99);
}

/* Something that is done in a child; 0: it went well, otherwise the line that did not. */
typedef int (*deed)(void *context);

static int run_deed(enum user user, deed work, void *context)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        become(user);
        _exit(work(context));
    }
    return status_of_child(pid);
}

static int try_namespaces(void *context)
{
    return unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWNET) != 0;
}

/* May this user isolate here at all? Asked of the kernel, not of what is tested. */
static bool can(enum user user)
{
    return user == PRIVILEGED ? is_root() && run_deed(user, try_namespaces, NULL) == 0
                              : run_deed(user, try_namespaces, NULL) == 0;
}

static void need(enum user user)
{
    if (can(user))
        return;
    print_message("namespaces cannot be made here as a%s user\n",
                  user == PRIVILEGED ? " privileged" : "n unprivileged");
    skip();
}

/* ---- running a script ------------------------------------------------------------------------ */

struct script {
    unsigned isolate;
    const char *text, *tmpdir;
    /* What it came to. */
    pnx_status status;
    int ended; /* as of waitpid(2) */
    char error[512];
};

static struct pnx_command command_of(const struct script *script, const char **argv)
{
    argv[0] = "sh";
    argv[1] = "-c";
    argv[2] = script->text;
    argv[3] = NULL;
    return (pnx_command){.argv = argv, .isolate = script->isolate, .tmpdir = script->tmpdir};
}

static void run_here(struct script *script)
{
    const char *argv[4];
    pnx_command command = command_of(script, argv);
    pnx_process process;
    pnx_error err = {0};
    script->status = pnx_process_spawn(&command, &process, &err);
    pnx_error_format(&err, script->error, sizeof script->error);
    if (script->status != PNX_OK)
        return;
    if (pnx_process_wait(&process, in_seconds(20), &script->ended) != PNX_OK)
        snprintf(script->error, sizeof script->error, "it did not end");
    pnx_process_close(&process);
}

struct run {
    struct script *script;
    int result[2];
};

static int run_and_tell(void *context)
{
    const struct run *run = context;
    run_here(run->script);
    return write(run->result[1], run->script, sizeof *run->script) != sizeof *run->script;
}

static void run_as(enum user user, struct script *script)
{
    struct run run = {.script = script};
    const char *text = script->text, *tmpdir = script->tmpdir;
    assert_int_equal(pipe2(run.result, O_CLOEXEC), 0);
    assert_int_equal(run_deed(user, run_and_tell, &run), 0);
    assert_int_equal(read(run.result[0], script, sizeof *script), sizeof *script);
    script->text = text;
    script->tmpdir = tmpdir;
    close(run.result[0]);
    close(run.result[1]);
}

/* It runs, isolated, and exits with 0. */
static void succeeds(enum user user, unsigned isolate, const char *tmpdir, const char *text)
{
    struct script script = {.isolate = isolate, .text = text, .tmpdir = tmpdir};
    run_as(user, &script);
    if (script.status != PNX_OK || script.ended != 0)
        fail_msg("%s: %s: %s, status %#x", user_name[user], text, script.error, script.ended);
}

static void succeeds_for_all(unsigned isolate, const char *text)
{
    bool any = false;
    for (enum user user = PRIVILEGED; user <= UNPRIVILEGED; user++) {
        if (!can(user))
            continue;
        any = true;
        succeeds(user, isolate, NULL, text);
    }
    if (!any)
        need(UNPRIVILEGED);
}

/* ---- names ----------------------------------------------------------------------------------- */

static void forms_have_names(void **state)
{
    unsigned isolate = 0;
    char text[64];
    pnx_error err = {0};
    assert_ok(pnx_isolate_parse("net,tmp", &isolate, &err), &err);
    assert_int_equal(isolate, PNX_ISOLATE_TMP | PNX_ISOLATE_NET);
    assert_int_equal(pnx_isolate_format(isolate, text, sizeof text), strlen("tmp,net"));
    assert_string_equal(text, "tmp,net");
    assert_ok(pnx_isolate_parse("all", &isolate, &err), &err);
    assert_int_equal(isolate, PNX_ISOLATE_ALL);
    pnx_isolate_format(isolate, text, sizeof text);
    assert_string_equal(text, "tmp,ipc,pid,mount,net");
    static const char *const wrong[] = {"", "tmp,", ",tmp", "tmp,,ipc", "TMP", "user", "tmp ipc"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        isolate = 77;
        assert_int_equal(pnx_isolate_parse(wrong[i], &isolate, &err), PNX_EINVAL);
        assert_int_equal(isolate, 77);
        assert_non_null(strstr(err.message, "tmp, ipc, pid, mount, net"));
    }
}

/* ---- pid ------------------------------------------------------------------------------------- */

static void it_sees_only_its_own_processes(void **state)
{
    succeeds_for_all(PNX_ISOLATE_PID,
                     "test $$ -le 5 && read comm < /proc/1/comm && test $comm = cleanroom-init && "
                     "set -- /proc/[0-9]* && test $# = 2 && test $PPID = 0");
}

static void its_exit_status_is_its_own(void **state)
{
    for (enum user user = PRIVILEGED; user <= UNPRIVILEGED; user++) {
        struct script script = {.isolate = PNX_ISOLATE_PID, .text = "exit 7"};
        if (!can(user))
            continue;
        run_as(user, &script);
        assert_int_equal(script.status, PNX_OK);
        assert_true(WIFEXITED(script.ended));
        assert_int_equal(WEXITSTATUS(script.ended), 7);
    }
}

static void the_signal_that_ended_it_is_told_as_a_signal(void **state)
{
    static const int signals[] = {SIGTERM, SIGKILL, SIGSEGV, SIGXFSZ, SIGSYS};
    for (enum user user = PRIVILEGED; user <= UNPRIVILEGED; user++) {
        for (size_t i = 0; can(user) && i < sizeof signals / sizeof *signals; i++) {
            char text[64];
            snprintf(text, sizeof text, "ulimit -c 0; kill -%d $$; exit 3", signals[i]);
            struct script script = {.isolate = PNX_ISOLATE_ALL & ~PNX_ISOLATE_TMP, .text = text};
            run_as(user, &script);
            assert_int_equal(script.status, PNX_OK);
            assert_true(WIFSIGNALED(script.ended));
            assert_int_equal(WTERMSIG(script.ended), signals[i]);
        }
    }
}

static pnx_process spawn_ready(unsigned isolate, const char *text, int *ret_pipe)
{
    int ends[2];
    char whole[512];
    assert_int_equal(pipe(ends), 0);
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    snprintf(whole, sizeof whole, "R() { echo > /proc/self/fd/%d; }; %s", ends[1], text);
    struct script script = {.isolate = isolate, .text = whole};
    const char *argv[4];
    pnx_command command = command_of(&script, argv);
    pnx_process process;
    pnx_error err = {0};
    pnx_status status = pnx_process_spawn(&command, &process, &err);
    close(ends[1]);
    assert_ok(status, &err);
    char byte;
    assert_int_equal(read(ends[0], &byte, 1), 1);
    *ret_pipe = ends[0];
    return process;
}

/* Nobody holds the other end any more: whoever did has ended. */
static void assert_all_gone(int pipe)
{
    struct pollfd fd = {.fd = pipe, .events = POLLIN};
    char byte;
    assert_int_equal(poll(&fd, 1, 20000), 1);
    assert_int_equal(read(pipe, &byte, 1), 0);
    close(pipe);
}

static bool unprivileged_here(void)
{
    return !is_root() && can(UNPRIVILEGED);
}

static void need_here(void)
{
    if (!unprivileged_here())
        need(PRIVILEGED);
}

static void signals_reach_it_directly(void **state)
{
    need_here();
    int pipe, status;
    pnx_process process =
        spawn_ready(PNX_ISOLATE_PID, "trap 'exit 9' TERM; R; while :; do sleep 0.01; done", &pipe);
    assert_int_equal(pnx_process_signal(&process, SIGTERM), PNX_OK);
    assert_int_equal(pnx_process_wait(&process, in_seconds(20), &status), PNX_OK);
    assert_int_equal(status, 9 << 8);
    pnx_process_close(&process);
    assert_all_gone(pipe);
}

static void it_stays_in_our_process_group(void **state)
{
    need_here();
    int pipe;
    pnx_process process = spawn_ready(PNX_ISOLATE_ALL & ~PNX_ISOLATE_TMP, "R; sleep 1000", &pipe);
    assert_int_equal(getpgid(process.pid), getpgrp());
    assert_int_equal(getsid(process.pid), getsid(0));
    pnx_error err = {0};
    assert_ok(pnx_process_end(&process, 0, NULL, &err), &err);
    pnx_process_close(&process);
    assert_all_gone(pipe);
}

static void orphans_are_reaped_by_its_init(void **state)
{
    succeeds_for_all(PNX_ISOLATE_PID,
                     "for i in 1 2 3 4 5; do (true & exec true); done; i=0; "
                     "while test $i -lt 2000 && grep -q Z /proc/[3-9]*/stat 2>/dev/null; "
                     "do i=$((i+1)); done; ! grep -q ') Z' /proc/[0-9]*/stat");
}

static void what_it_leaves_lives_until_the_namespace_is_ended(void **state)
{
    need_here();
    int pipe;
    pnx_error err = {0};
    pnx_process process =
        spawn_ready(PNX_ISOLATE_PID,
                    "setsid sleep 1000 & setsid sh -c 'trap \"\" TERM HUP; R2() { "
                    ":; }; sleep 1000' & R; exit 4",
                    &pipe);
    int status;
    assert_int_equal(pnx_process_wait(&process, in_seconds(20), &status), PNX_OK);
    assert_int_equal(status, 4 << 8);
    struct pollfd fd = {.fd = pipe, .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 0), 0); /* they are still there */
    assert_ok(pnx_process_end_namespace(&process, in_seconds(20), &err), &err);
    assert_int_equal(poll(&fd, 1, 0), 1); /* and now they are not: it did wait */
    assert_ok(pnx_process_end_namespace(&process, in_seconds(20), &err), &err);
    pnx_process_close(&process);
    assert_all_gone(pipe);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void closing_a_process_ends_its_namespace(void **state)
{
    need_here();
    int pipe;
    pnx_process process = spawn_ready(PNX_ISOLATE_PID, "sleep 1000 & R; sleep 1000", &pipe);
    pnx_process_close(&process);
    assert_all_gone(pipe);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nor did it leave a zombie */
    assert_int_equal(errno, ECHILD);
}

static void a_guard_ends_the_namespace_too(void **state)
{
    need_here();
    int pipe;
    pnx_error err = {0};
    pnx_registry *registry;
    assert_ok(pnx_registry_create(NULL, &registry, &err), &err);
    {
        pnx_auto(process) guard = pnx_reserve(process, registry, &err);
        assert_ok(guard.status, &err);
        pnx_arm(&guard, spawn_ready(PNX_ISOLATE_PID, "sleep 1000 & R; exec sleep 1000", &pipe));
        assert_ok(pnx_close(&guard, &err), &err);
    }
    assert_all_gone(pipe);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    (void)pnx_registry_shutdown(registry, NULL, NULL, NULL);
    assert_ok(pnx_registry_destroy(registry, &err), &err);
}

static void the_namespace_dies_with_a_killed_supervisor(void **state)
{
    need_here();
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t supervisor = fork();
    if (supervisor == 0) {
        close(pipes[0]);
        char text[128];
        snprintf(text, sizeof text, "setsid sleep 1000 & echo > /proc/self/fd/%d; exec sleep 1000",
                 pipes[1]);
        struct script script = {.isolate = PNX_ISOLATE_PID, .text = text};
        run_here(&script);
        _exit(1);
    }
    close(pipes[1]);
    char byte;
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    assert_int_equal(kill(supervisor, SIGKILL), 0);
    assert_int_equal(status_of_child(supervisor), 128 + SIGKILL);
    assert_all_gone(pipes[0]);
}

/* ---- ipc ------------------------------------------------------------------------------------- */

static void its_ipc_is_its_own(void **state)
{
    int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    assert_true(id >= 0);
    char name[64];
    snprintf(name, sizeof name, "/dev/shm/cleanroom-test-%d", (int)getpid());
    write_file(name, 1);
    char text[512];
    snprintf(
        text, sizeof text,
        "test $(wc -l < /proc/sysvipc/shm) = 1 && test ! -e %s && "
        "set -- /dev/shm/* && test \"$1\" = '/dev/shm/*' && : > %s-inside && "
        "{ test ! -d /dev/mqueue || grep -q ' /dev/mqueue .* - mqueue ' /proc/self/mountinfo; }",
        name, name);
    bool privileged = can(PRIVILEGED), unprivileged = can(UNPRIVILEGED);
    if (privileged)
        succeeds(PRIVILEGED, PNX_ISOLATE_IPC, NULL, text);
    if (unprivileged)
        succeeds(UNPRIVILEGED, PNX_ISOLATE_IPC, NULL, text);
    assert_int_equal(shmctl(id, IPC_RMID, NULL), 0);
    assert_int_equal(unlink(name), 0);
    snprintf(text, sizeof text, "%s-inside", name);
    assert_false(exists(text));
    if (!privileged && !unprivileged)
        need(UNPRIVILEGED);
}

/* ---- mount ----------------------------------------------------------------------------------- */

static size_t lines_of(const char *path)
{
    FILE *file = fopen(path, "re");
    size_t count = 0;
    for (int c; (c = getc(file)) != EOF;)
        count += c == '\n';
    fclose(file);
    return count;
}

/* In a mount namespace whose mounts are shared, as those of most machines are. */
static int mount_inside(void *context)
{
    const char *place = context;
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) != 0 ||
        mount("tmpfs", place, "tmpfs", 0, NULL) != 0 ||
        mount(NULL, place, NULL, MS_SHARED, NULL) != 0 || mkdir(in(place, "a"), 0755) != 0)
        return 2;
    size_t before = lines_of("/proc/self/mountinfo");
    for (unsigned form = PNX_ISOLATE_IPC; form < PNX_ISOLATE_NET; form *= 2) {
        char text[256];
        snprintf(text, sizeof text, "mount -t tmpfs none %s/a && : > %s/a/inside", place, place);
        struct script script = {.isolate = form, .text = text, .tmpdir = place};
        run_here(&script);
        if (script.status != PNX_OK || script.ended != 0) {
            fprintf(stderr, "# %s\n", script.error);
            return 3;
        }
        if (exists(in(place, "a/inside")) || lines_of("/proc/self/mountinfo") != before)
            return 4;
    }
    /* What the outside mounts and unmounts is seen inside: nothing is kept busy from there. */
    char text[256];
    int pipe;
    snprintf(text, sizeof text, "R; while test ! -e %s/a/new; do sleep 0.01; done", place);
    pnx_process process = spawn_ready(PNX_ISOLATE_MOUNT, text, &pipe);
    int status;
    if (mount("tmpfs", in(place, "a"), "tmpfs", 0, NULL) != 0 || mkdir(in(place, "a/new"), 0700))
        return 5;
    bool seen = pnx_process_wait(&process, in_seconds(20), &status) == PNX_OK && status == 0;
    (void)pnx_process_end(&process, 0, NULL, NULL);
    pnx_process_close(&process);
    return seen ? 0 : 6;
}

static void its_mounts_stay_inside(void **state)
{
    need(PRIVILEGED);
    assert_int_equal(run_deed(PRIVILEGED, mount_inside, *state), 0);
}

/* ---- net ------------------------------------------------------------------------------------- */

static void its_network_is_a_loopback_that_is_up(void **state)
{
    succeeds_for_all(PNX_ISOLATE_NET,
                     "test $(grep -c : /proc/net/dev) = 1 && grep -q lo: /proc/net/dev && "
                     "grep -q 127.0.0.1 /proc/net/fib_trie");
}

/* ---- tmp ------------------------------------------------------------------------------------- */

static char *make_tmpdir(enum user user, const char *template)
{
    char *dir = strdup(template);
    assert_non_null(mkdtemp(dir));
    if (user == UNPRIVILEGED && is_root())
        assert_int_equal(chown(dir, NOBODY, NOBODY), 0);
    return dir;
}

static int remove_entry(const char *name)
{
    return unlink(name) == 0 || rmdir(name) == 0 ? 0 : -1;
}

/* Removes what the isolation made, each known to be that, and then the directory itself. */
static void drop_tmpdir(char *dir, const char *const *made)
{
    for (; *made; made++) {
        assert_true(pnx_isolate_made(dir, *made));
        assert_int_equal(remove_entry(in(dir, *made)), 0);
    }
    assert_int_equal(rmdir(dir), 0);
    free(dir);
}

static void its_tmp_is_its_directory(void **state)
{
    for (enum user user = PRIVILEGED; user <= UNPRIVILEGED; user++) {
        if (!can(user))
            continue;
        char *dir = make_tmpdir(user, "/tmp/cleanroom-test-XXXXXX");
        char text[1024];
        snprintf(
            text, sizeof text,
            "D=%s; test $(ls -A /tmp) = ${D#/tmp/} && test -z \"$(ls -A /var/tmp)\" && "
            "echo a > /tmp/a && echo b > /var/tmp/b && test -e $D/a && echo c > $D/c && "
            "test -e /tmp/c && test ! -e /tmp/b && test $(stat -c %%a /tmp /var/tmp | uniq) = 1777"
            " && find /tmp -name a > /dev/null && cd $D && : > d && test -e /tmp/d",
            dir);
        succeeds(user, PNX_ISOLATE_TMP, dir, text);
        static const char *const left[] = {"tmp/a", "var-tmp/b", "tmp/c", "tmp/d"};
        for (size_t i = 0; i < 4; i++) {
            assert_false(pnx_isolate_made(dir, left[i]));
            assert_int_equal(unlink(in(dir, left[i])), 0);
        }
        const char *link = in("tmp", dir + strlen("/tmp/"));
        drop_tmpdir(dir, (const char *const[]){link, "tmp", "var-tmp", NULL});
    }
    need_here();
}

static void a_deep_tmpdir_stays_reachable(void **state)
{
    need_here();
    char *top = make_tmpdir(PRIVILEGED, "/var/tmp/cleanroom-test-XXXXXX");
    assert_int_equal(mkdir(in(top, "x"), 0700), 0);
    assert_int_equal(mkdir(in(top, "x/y"), 0700), 0);
    char *dir = strdup(in(top, "x/y"));
    char text[512];
    snprintf(text, sizeof text, "cd %s && : > a && test -e /var/tmp/a && test ! -e /tmp/a", dir);
    succeeds(PRIVILEGED * is_root() + UNPRIVILEGED * !is_root(), PNX_ISOLATE_TMP, dir, text);
    assert_int_equal(unlink(in(dir, "var-tmp/a")), 0);
    const char *base = top + strlen("/var/tmp/");
    char made[3][128];
    snprintf(made[0], sizeof made[0], "var-tmp/%s/x/y", base);
    snprintf(made[1], sizeof made[1], "var-tmp/%s/x", base);
    snprintf(made[2], sizeof made[2], "var-tmp/%s", base);
    drop_tmpdir(dir, (const char *const[]){made[0], made[1], made[2], "tmp", "var-tmp", NULL});
    assert_int_equal(rmdir(in(top, "x")), 0);
    assert_int_equal(rmdir(top), 0);
    free(top);
}

static void a_tmpdir_behind_a_link_stays_reachable(void **state)
{
    need_here();
    char *top = make_tmpdir(PRIVILEGED, "/tmp/cleanroom-test-XXXXXX");
    char *link = make_tmpdir(PRIVILEGED, "/dev/shm/cleanroom-test-XXXXXX");
    assert_int_equal(symlink(top, in(link, "l")), 0);
    char *dir = strdup(in(link, "l/y")), text[512], made[2][128];
    assert_int_equal(mkdir(dir, 0700), 0);
    snprintf(text, sizeof text, "cd %s && : > a && test -e /tmp/a", dir);
    succeeds(is_root() ? PRIVILEGED : UNPRIVILEGED, PNX_ISOLATE_TMP, dir, text);
    assert_int_equal(unlink(in(dir, "tmp/a")), 0);
    snprintf(made[0], sizeof made[0], "tmp/%s/y", top + strlen("/tmp/"));
    snprintf(made[1], sizeof made[1], "tmp/%s", top + strlen("/tmp/"));
    drop_tmpdir(dir, (const char *const[]){made[0], made[1], "tmp", "var-tmp", NULL});
    assert_int_equal(unlink(in(link, "l")), 0);
    assert_int_equal(rmdir(link), 0);
    assert_int_equal(rmdir(top), 0);
    free(link);
    free(top);
}

static void a_program_that_is_hidden_by_tmp_is_told(void **state)
{
    need_here();
    char *dir = make_tmpdir(PRIVILEGED, "/tmp/cleanroom-test-XXXXXX");
    const char *argv[] = {in(dir, "x"), NULL};
    write_file(argv[0], 1);
    chmod(argv[0], 0700);
    pnx_process process;
    pnx_error err = {0};
    pnx_command command = {.argv = argv, .isolate = PNX_ISOLATE_TMP, .tmpdir = dir};
    assert_int_equal(pnx_process_spawn(&command, &process, &err), PNX_ENOTFOUND);
    assert_non_null(strstr(err.message, "--isolate tmp hides"));
    assert_int_equal(unlink(argv[0]), 0);
    drop_tmpdir(dir,
                (const char *const[]){in("tmp", dir + strlen("/tmp/")), "tmp", "var-tmp", NULL});
}

/* ---- the user -------------------------------------------------------------------------------- */

static void it_is_the_user_that_it_was(void **state)
{
    need(UNPRIVILEGED);
    char text[256];
    unsigned uid = is_root() ? NOBODY : geteuid(), gid = is_root() ? NOBODY : getegid();
    snprintf(text, sizeof text,
             "test $(id -u):$(id -g) = %u:%u && grep -q 'CapEff:.*0000000000000000' "
             "/proc/self/status && test $(stat -c %%u /proc/$$) = %u",
             uid, gid, uid);
    for (unsigned form = 1; form <= PNX_ISOLATE_NET; form *= 2)
        if (form != PNX_ISOLATE_TMP)
            succeeds(UNPRIVILEGED, form, NULL, text);
    succeeds(UNPRIVILEGED, PNX_ISOLATE_ALL & ~PNX_ISOLATE_TMP, NULL, text);
}

static int isolate_undumpable(void *context)
{
    struct script script = {.isolate = PNX_ISOLATE_PID | PNX_ISOLATE_NET, .text = "exit 0"};
    if (prctl(PR_SET_DUMPABLE, 0) != 0)
        return 2;
    run_here(&script);
    if (prctl(PR_GET_DUMPABLE) != 0)
        return 3;
    return script.status != PNX_OK || script.ended != 0;
}

static void a_program_that_is_not_dumpable_can_isolate(void **state)
{
    need(UNPRIVILEGED);
    assert_int_equal(run_deed(UNPRIVILEGED, isolate_undumpable, NULL), 0);
}

/* ---- what spawn promises besides ------------------------------------------------------------- */

static void it_inherits_what_it_does_without(void **state)
{
    need_here();
    int inherited = 0;
    for (int fd = 0; fd < 1024; fd++) {
        int flags = fcntl(fd, F_GETFD);
        inherited += flags >= 0 && !(flags & FD_CLOEXEC);
    }
    sigset_t blocked, mask;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGHUP);
    sigprocmask(SIG_BLOCK, &blocked, &mask);
    struct sigaction before[2], ignored = {.sa_handler = SIG_IGN};
    sigaction(SIGUSR2, &ignored, &before[0]);
    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL}, &before[1]);
    char text[512];
    snprintf(text, sizeof text,
             "set -- /proc/$$/fd/*; test $# = %d || exit 1; "
             "set -- $(sed -n 's/^Sig[BI].*:[[:space:]]*//p' /proc/$$/status); "
             "test $((0x$1)) = 1 && test $((0x$2 & 1 << 11)) != 0 && test $((0x$2 & 1 << 16)) = 0",
             inherited + 1);
    for (unsigned form = 1; form <= PNX_ISOLATE_ALL; form = form == 16 ? 30 : form * 2) {
        struct script script = {.isolate = form & ~1u, .text = text};
        run_here(&script);
        if (script.status != PNX_OK || script.ended != 0)
            fail_msg("isolate %u: %s, %#x", form, script.error, script.ended);
    }
    sigaction(SIGUSR2, &before[0], NULL);
    sigaction(SIGCHLD, &before[1], NULL);
    sigprocmask(SIG_SETMASK, &mask, NULL);
}

/* Asked of a program that is no shell: shells see to SIGCHLD themselves. */
static void children_are_no_secret_to_it(void **state)
{
    need_here();
    const char *argv[] = {"grep", "-qE", "^SigIgn:.*[02468ace][0-9a-f]{4}$", "/proc/self/status",
                          NULL};
    pnx_command command = {.argv = argv, .isolate = PNX_ISOLATE_PID};
    pnx_process process;
    pnx_error err = {0};
    struct sigaction before;
    int status;
    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL}, &before);
    pnx_status spawned = pnx_process_spawn(&command, &process, &err);
    sigaction(SIGCHLD, &before, NULL);
    assert_ok(spawned, &err);
    assert_int_equal(pnx_process_wait(&process, in_seconds(20), &status), PNX_OK);
    pnx_process_close(&process);
    assert_int_equal(status, 0);
}

static void what_cannot_be_run_is_told_apart(void **state)
{
    need_here();
    static const struct {
        const char *name;
        pnx_status status;
    } cases[] = {{"no-such-command-here", PNX_ENOTFOUND}, {"/etc/passwd", PNX_EUNSUPPORTED}};
    for (size_t i = 0; i < 2; i++) {
        pnx_process process;
        pnx_error err = {0};
        const char *argv[] = {cases[i].name, NULL};
        pnx_command command = {.argv = argv, .isolate = PNX_ISOLATE_ALL & ~PNX_ISOLATE_TMP};
        assert_int_equal(pnx_process_spawn(&command, &process, &err), cases[i].status);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no init, no usher is left */
        assert_int_equal(errno, ECHILD);
    }
}

static void note_pid(pid_t pid, void *context)
{
    char *text = context;
    snprintf(text + strlen(text), 512 - strlen(text), "[%d]", (int)pid);
}

static void only_the_command_is_in_its_cgroup(void **state)
{
    need_here();
    pnx_cgroup *cgroup;
    char name[64];
    snprintf(name, sizeof name, "isolate-test-%d", (int)getpid());
    if (pnx_cgroup_create(name, &cgroup, NULL) != PNX_OK) {
        print_message("no cgroup can be made here\n");
        skip();
    }
    const char *argv[] = {"sleep", "1000", NULL};
    pnx_command command = {.argv = argv, .cgroup = cgroup, .isolate = PNX_ISOLATE_PID};
    pnx_process process;
    pnx_error err = {0};
    assert_ok(pnx_process_spawn(&command, &process, &err), &err);
    char found[512] = "", expected[32];
    pnx_cgroup_each(cgroup, note_pid, found);
    snprintf(expected, sizeof expected, "[%d]", (int)process.pid);
    assert_string_equal(found, expected);
    assert_int_equal(pnx_cgroup_kill(cgroup), PNX_OK);
    int status;
    assert_int_equal(pnx_process_wait(&process, in_seconds(20), &status), PNX_OK);
    assert_int_equal(WTERMSIG(status), SIGKILL);
    pnx_process_close(&process);
    assert_ok(pnx_cgroup_remove(cgroup, NULL, &err), &err);
    pnx_cgroup_free(cgroup);
}

/* ---- what cannot be had ---------------------------------------------------------------------- */

static bool write_knob(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return written;
}

/* In a user namespace of its own, whose limits are its own: nothing of the machine is changed. */
static int without_network_namespaces(void *context)
{
    char map[32];
    snprintf(map, sizeof map, "0 %u 1", geteuid());
    prctl(PR_SET_DUMPABLE, 1);
    if (unshare(CLONE_NEWUSER) != 0 || !write_knob("/proc/self/setgroups", "deny") ||
        !write_knob("/proc/self/uid_map", map) ||
        !write_knob("/proc/sys/user/max_net_namespaces", "0"))
        return 2;
    struct script script = {.isolate = PNX_ISOLATE_NET, .text = "exit 0"};
    run_here(&script);
    if (script.status != PNX_ELIMIT || !strstr(script.error, "user.max_net_namespaces") ||
        !strstr(script.error, "--isolate net")) {
        fprintf(stderr, "# %s\n", script.error);
        return 3;
    }
    script.isolate = PNX_ISOLATE_IPC;
    run_here(&script);
    return script.status == PNX_OK && script.ended == 0 ? 0 : 4;
}

static void a_limit_of_the_kernel_is_named(void **state)
{
    need(UNPRIVILEGED);
    assert_int_equal(run_deed(UNPRIVILEGED, without_network_namespaces, NULL), 0);
}

/* unshare(2) with just this flag fails; 0: with any. */
static bool refuse_unshare(unsigned flag)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unshare, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
        BPF_JUMP(BPF_JMP | (flag ? BPF_JEQ : BPF_JGE) | BPF_K, flag, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* All was asked for, one form is refused: that is an error, not less. */
static int without_one(void *context)
{
    const unsigned *flag = context;
    if (!refuse_unshare(*flag))
        return 2;
    struct script script = {.isolate = PNX_ISOLATE_ALL & ~PNX_ISOLATE_TMP, .text = "exit 0"};
    run_here(&script);
    return script.status == PNX_ELIMIT ? 0 : 3;
}

static void no_form_is_left_out(void **state)
{
    static unsigned flags[] = {CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWPID,
                               CLONE_NEWUSER};
    bool any = false;
    for (enum user user = PRIVILEGED; user <= UNPRIVILEGED; user++)
        for (size_t i = 0; can(user) && i < 4u + user; i++) {
            any = true;
            if (run_deed(user, without_one, &flags[i]) != 0)
                fail_msg("%s: without flag %#x it runs", user_name[user], flags[i]);
        }
    if (!any)
        need(UNPRIVILEGED);
}

/* Every form fails, none is left out silently, and the command never runs. */
static int under_seccomp(void *context)
{
    const char *place = context;
    if (!refuse_unshare(0))
        return 2;
    char text[512];
    snprintf(text, sizeof text, ": > %s/ran", place);
    for (unsigned form = 1; form <= PNX_ISOLATE_NET; form *= 2) {
        struct script script = {.isolate = form, .text = text, .tmpdir = place};
        run_here(&script);
        if (script.status != PNX_ELIMIT || !strstr(script.error, "seccomp")) {
            fprintf(stderr, "# %u: %s\n", form, script.error);
            return 3;
        }
        if (exists(in(place, "ran")))
            return 4;
        if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD)
            return 5;
    }
    return 0;
}

static void a_seccomp_filter_is_named_and_nothing_runs(void **state)
{
    assert_int_equal(run_deed(PRIVILEGED, under_seccomp, *state), 0);
}

static void a_private_tmp_needs_a_directory(void **state)
{
    static const char *const dirs[] = {NULL, "", "relative", "/no/such/dir", "/etc/passwd"};
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        struct script script = {.isolate = PNX_ISOLATE_TMP, .text = "exit 0", .tmpdir = dirs[i]};
        run_here(&script);
        assert_true(script.status == PNX_EINVAL || script.status == PNX_EFAILED);
    }
    struct script script = {.isolate = 64, .text = "exit 0"};
    run_here(&script);
    assert_int_equal(script.status, PNX_EINVAL);
}

/* ---- leaks ----------------------------------------------------------------------------------- */

static size_t descriptors(void)
{
    size_t count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static bool is_mounted(const char *name)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    while (!found && getline(&line, &size, file) > 0)
        found = strstr(line, name) != NULL;
    free(line);
    fclose(file);
    return found;
}

static void nothing_stays_on_the_host(void **state)
{
    need_here();
    size_t open = descriptors();
    char *dir = make_tmpdir(PRIVILEGED, "/tmp/cleanroom-test-XXXXXX");
    for (int i = 0; i < 20; i++) {
        struct script script = {.isolate = PNX_ISOLATE_ALL, .text = "sleep 1000 &", .tmpdir = dir};
        run_here(&script);
        if (script.status != PNX_OK)
            fail_msg("%s", script.error);
        assert_int_equal(script.ended, 0);
    }
    assert_false(is_mounted(dir)); /* others come and go meanwhile: they are somebody else's */
    assert_int_equal(descriptors(), open);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    drop_tmpdir(dir,
                (const char *const[]){in("tmp", dir + strlen("/tmp/")), "tmp", "var-tmp", NULL});
}

int main(void)
{
    use_plain_path();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_have_names),
        cmocka_unit_test(it_sees_only_its_own_processes),
        cmocka_unit_test(its_exit_status_is_its_own),
        cmocka_unit_test(the_signal_that_ended_it_is_told_as_a_signal),
        cmocka_unit_test(signals_reach_it_directly),
        cmocka_unit_test(it_stays_in_our_process_group),
        cmocka_unit_test(orphans_are_reaped_by_its_init),
        cmocka_unit_test(what_it_leaves_lives_until_the_namespace_is_ended),
        cmocka_unit_test(closing_a_process_ends_its_namespace),
        cmocka_unit_test(a_guard_ends_the_namespace_too),
        cmocka_unit_test(the_namespace_dies_with_a_killed_supervisor),
        cmocka_unit_test(its_ipc_is_its_own),
        cmocka_unit_test_setup_teardown(its_mounts_stay_inside, make_place, drop_place),
        cmocka_unit_test(its_network_is_a_loopback_that_is_up),
        cmocka_unit_test(its_tmp_is_its_directory),
        cmocka_unit_test(a_deep_tmpdir_stays_reachable),
        cmocka_unit_test(a_tmpdir_behind_a_link_stays_reachable),
        cmocka_unit_test(a_program_that_is_hidden_by_tmp_is_told),
        cmocka_unit_test(it_is_the_user_that_it_was),
        cmocka_unit_test(a_program_that_is_not_dumpable_can_isolate),
        cmocka_unit_test(it_inherits_what_it_does_without),
        cmocka_unit_test(children_are_no_secret_to_it),
        cmocka_unit_test(what_cannot_be_run_is_told_apart),
        cmocka_unit_test(only_the_command_is_in_its_cgroup),
        cmocka_unit_test(a_limit_of_the_kernel_is_named),
        cmocka_unit_test_setup_teardown(a_seccomp_filter_is_named_and_nothing_runs, make_place,
                                        drop_place),
        cmocka_unit_test(no_form_is_left_out),
        cmocka_unit_test(a_private_tmp_needs_a_directory),
        cmocka_unit_test(nothing_stays_on_the_host),
    };
    return cmocka_run_group_tests_name("isolate", tests, NULL, NULL);
}
