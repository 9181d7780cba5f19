/* SPDX-License-Identifier: MIT */
/*
 * with_engine [--podman] PROGRAM ARGUMENT...: runs a program with a container engine of its own.
 *
 * The engine lives in namespaces of its own (processes, mounts, network) and in a tmpfs, so that
 * several can run at once, and nothing of it is left: when the first process of a pid namespace
 * ends, the kernel kills all others in it, and mounts and networks go with their namespaces. That
 * first process ends when the program has ended, and when whoever started all this is gone, however
 * it was killed. The program runs inside: what the engine says of processes is true for it.
 *
 * What the program finds in its environment:
 *   DOCKER_HOST          the engine's socket
 *   PNX_TEST_ENGINE      the directory: docker.pid, docker.log; rootfs, and certificates in tls
 *   PNX_TEST_CGROUP      the cgroup below which containers are
 *   PNX_TEST_NO_ENGINE   instead of all these: why there is none
 * There is one image, pnx-test:1: busybox. When the engine is killed, it is started anew, and if it
 * cannot start because of what it was killed in, without that.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char directory[64], cgroup[64], reason[256];
static bool podman;
static pid_t engine = -1, program = -1;

/* ---- small things ---------------------------------------------------------------------------- */

static bool because(const char *format, ...) __attribute__((format(printf, 1, 2)));
static bool because(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    return false;
}

static bool is_command(const char *name)
{
    char path[256];
    static const char *const places[] = {"/usr/sbin", "/usr/bin", "/sbin", "/bin"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, sizeof path, "%s/%s", places[i], name);
        if (access(path, X_OK) == 0)
            return true;
    }
    return false;
}

/* Waits for a child; its exit status, or 128 and its signal. */
static int status_of(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 127;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Both end a child that is to be another program. */
static void run_as(const char *const *argv)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execvp(argv[0], (char *const *)argv);
    fprintf(stderr, "# cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static void log_to(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd >= 0) {
        dup2(fd, 1);
        dup2(fd, 2);
    }
}

static bool shell(const char *script)
{
    pid_t child = fork();
    if (child == 0) {
        log_to("setup.log");
        run_as((const char *const[]){"sh", "-euc", script, NULL});
    }
    return status_of(child) == 0;
}

/* ---- cgroups --------------------------------------------------------------------------------- */

static void remove_cgroups_below(const char *path)
{
    DIR *dir = opendir(path);
    for (const struct dirent *entry; dir && (entry = readdir(dir));) {
        char child[512];
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        if (snprintf(child, sizeof child, "%s/%s", path, entry->d_name) < (int)sizeof child)
            remove_cgroups_below(child);
    }
    if (dir)
        closedir(dir);
    (void)rmdir(path);
}

/* Engines leave the parents of their containers' cgroups; v1 has a tree for each controller. */
static void remove_cgroups(void)
{
    DIR *trees = opendir("/sys/fs/cgroup");
    char path[512];
    for (const struct dirent *entry; trees && (entry = readdir(trees));) {
        if (entry->d_name[0] == '.')
            continue;
        if (snprintf(path, sizeof path, "/sys/fs/cgroup/%s%s", entry->d_name, cgroup) <
            (int)sizeof path)
            remove_cgroups_below(path);
    }
    if (trees)
        closedir(trees);
    snprintf(path, sizeof path, "/sys/fs/cgroup%s", cgroup);
    remove_cgroups_below(path);
}

/* ---- the engine ------------------------------------------------------------------------------ */

static const char *in(const char *before, const char *name, char text[128])
{
    snprintf(text, 128, "%s%s/%s", before, directory, name);
    return text;
}

static void run_podman(void)
{
    char host[128], data[128], exec[128], tmp[128], networks[128];
    run_as((const char *const[]){
        "podman", "--root", in("", "data", data), "--runroot", in("", "exec", exec), "--tmpdir",
        in("", "libpod", tmp), "--network-config-dir", in("", "networks", networks),
        "--cgroup-manager=cgroupfs", "--events-backend=file", "--storage-driver=overlay", "system",
        "service", "--time=0", in("unix://", "docker.sock", host), NULL});
}

static void run_dockerd(void)
{
    char host[128], data[128], exec[128], pid[128], parent[128];
    const char *argv[24] = {"dockerd",         "--config-file=daemon.json",
                            "--data-root",     in("", "data", data),
                            "--exec-root",     in("", "exec", exec),
                            "--pidfile",       in("", "docker.pid", pid),
                            "--host",          in("unix://", "docker.sock", host),
                            "--cgroup-parent", parent};
    static const char *const tls[] = {"--host=tcp://127.0.0.1:2376", "--tlsverify",
                                      "--tlscacert=tls/ca.pem", "--tlscert=tls/cert.pem",
                                      "--tlskey=tls/key.pem"};
    snprintf(parent, sizeof parent, "%s", cgroup);
    if (access("tls/key.pem", F_OK) == 0)
        memcpy(argv + 12, tls, sizeof tls);
    run_as(argv);
}

static void start_engine(void)
{
    engine = fork();
    if (engine != 0)
        return;
    log_to("docker.log");
    if (podman)
        run_podman();
    run_dockerd();
}

static bool answers(void)
{
    static const char request[] = "GET /_ping HTTP/1.0\r\n\r\n";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char answer[64] = "";
    snprintf(address.sun_path, sizeof address.sun_path, "%s/docker.sock", directory);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
                send(fd, request, sizeof request - 1, MSG_NOSIGNAL) > 0 &&
                recv(fd, answer, sizeof answer - 1, 0) > 0 && strstr(answer, " 200 ");
    close(fd);
    return good;
}

/* Nothing tells when an engine is ready but its answer. */
static bool wait_for_engine(void)
{
    for (int i = 0; i < 6000; i++) {
        if (answers())
            return true;
        if (waitpid(engine, NULL, WNOHANG) == engine) {
            engine = -1;
            return because("the engine does not start here; see docker.log above");
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return because("the engine does not answer");
}

/* The last lines, which say why. */
static void show_log(const char *name)
{
    char line[512];
    FILE *log = fopen(name, "re");
    if (!log)
        return;
    (void)fseek(log, -2000, SEEK_END);
    while (fgets(line, sizeof line, log))
        printf("# %s", line);
    fclose(log);
}

static bool bring_up_loopback(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    if (fd >= 0)
        close(fd);
    return up;
}

static bool set_up_place(void)
{
    /* Where engines leave things, wherever else they are told to. */
    static const char *const shared[] = {"/etc/docker", "/var/lib/cni"};
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("proc", "/proc", "proc", 0, NULL) != 0 ||
        mount("engine", directory, "tmpfs", 0, "mode=0755") != 0 ||
        mount("run", "/run", "tmpfs", 0, "mode=0755") != 0)
        return because("no mounts of our own: %s", strerror(errno));
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
        if (access(shared[i], F_OK) == 0 && mount("shared", shared[i], "tmpfs", 0, NULL) != 0)
            return because("no %s of our own: %s", shared[i], strerror(errno));
    if (chdir(directory) != 0 || !bring_up_loopback())
        return because("no place of our own: %s", strerror(errno));
    setenv("PNX_TEST_ENGINE", directory, 1);
    setenv("PNX_TEST_CGROUP", cgroup, 1);
    setenv("HOME", directory, 1);
    setenv("TMPDIR", directory, 1);
    unsetenv("DOCKER_CONTEXT");
    unsetenv("DOCKER_TLS_VERIFY");
    unsetenv("DOCKER_CERT_PATH");
    unsetenv("XDG_RUNTIME_DIR");
    return true;
}

static const char set_up_script[] =
    "printf '{\"experimental\": false}' >daemon.json\n"
    "mkdir -p rootfs/bin rootfs/tmp rootfs/etc rootfs/data\n"
    "cp /bin/busybox rootfs/bin/busybox\n"
    "for applet in $(rootfs/bin/busybox --list); do\n"
    "    [ $applet = busybox ] || ln -s busybox rootfs/bin/$applet\n"
    "done\n"
    "echo root:x:0:0:root:/:/bin/sh >rootfs/etc/passwd\n"
    "tar -C rootfs -cf rootfs.tar .\n";

static const char tls_script[] =
    "mkdir tls && cd tls\n"
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \\\n"
    "    -subj /CN=ca -keyout ca-key.pem -out ca.pem\n"
    "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \\\n"
    "    -subj /CN=localhost -keyout key.pem -out request.pem\n"
    "printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\\n"
    "extendedKeyUsage=serverAuth,clientAuth\\n' >extensions\n"
    "openssl x509 -req -in request.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 \\\n"
    "    -extfile extensions -out cert.pem\n";

static bool import_image(void)
{
    return shell(
        podman ? "podman --root $PWD/data --runroot $PWD/exec --tmpdir $PWD/libpod import --change "
                 "'CMD [\"sh\"]' rootfs.tar docker.io/library/pnx-test:1"
               : "docker import --change 'CMD [\"sh\"]' rootfs.tar pnx-test:1");
}

static bool set_up_engine(void)
{
    char host[128];
    snprintf(host, sizeof host, "unix://%s/docker.sock", directory);
    setenv("DOCKER_HOST", host, 1);
    if (!shell(set_up_script))
        return because("there is no static busybox in /bin/busybox (Debian: busybox-static)");
    if (!podman && is_command("openssl") && !shell(tls_script))
        return because("openssl makes no certificates");
    start_engine();
    if (!wait_for_engine())
        return false;
    return import_image() || because("the engine takes no image");
}

/* ---- the first process ----------------------------------------------------------------------- */

/* Ends all others, and what does not go with the namespaces. */
static void end_all(void)
{
    kill(-1, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
        continue;
    (void)!chdir("/");
    (void)umount2(directory, MNT_DETACH);
    (void)rmdir(directory);
    remove_cgroups();
}

/* Killed while it makes a network, dockerd 20.10 has written one without an address, and from then
 * on panics (status 2 of a Go program) whenever it starts, until its database of networks is
 * deleted: https://github.com/moby/moby/issues/45057. */
static void forget_half_made_network(int status)
{
    if (!podman && WIFEXITED(status) && WEXITSTATUS(status) == 2)
        (void)unlink("data/network/files/local-kv.db");
}

/* Reaps whatever ends; true: the program has, and with which status. */
static bool reap(int *ret_status)
{
    int status;
    bool over = false;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        if (pid == program) {
            *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            over = true;
        } else if (pid == engine && !over) {
            forget_half_made_network(status);
            start_engine();
        }
    }
    return over;
}

static int watch(int lifeline)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    struct pollfd fds[] = {
        {.fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK), .events = POLLIN},
        {.fd = lifeline, .events = POLLIN},
    };
    for (;;) {
        int status = 1;
        struct signalfd_siginfo info;
        (void)poll(fds, 2, -1);
        while (read(fds[0].fd, &info, sizeof info) > 0)
            continue;
        if (fds[1].revents)
            return 1;
        if (reap(&status))
            return status;
    }
}

static int first_process(int lifeline, const char *const *argv)
{
    char back[4096];
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    (void)setsid(); /* what is meant for the test's group is not meant for this one */
    if (!getcwd(back, sizeof back))
        return 1;
    if (!set_up_place() || !set_up_engine()) {
        show_log("setup.log");
        show_log("docker.log");
        setenv("PNX_TEST_NO_ENGINE", reason, 1);
    }
    program = fork();
    if (program == 0) {
        (void)!chdir(back);
        run_as(argv);
    }
    int status = watch(lifeline);
    end_all();
    return status;
}

/* ---- outside --------------------------------------------------------------------------------- */

static bool may_run(void)
{
    if (geteuid() != 0)
        return because("only root can start an engine");
    if (!is_command(podman ? "podman" : "dockerd"))
        return because("%s is not installed", podman ? "podman" : "docker.io");
    snprintf(directory, sizeof directory, "/tmp/pnx-docker-XXXXXX");
    if (!mkdtemp(directory))
        return because("no temporary directory: %s", strerror(errno));
    snprintf(cgroup, sizeof cgroup, "/%s", directory + strlen("/tmp/"));
    if (unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET) != 0) {
        because("no namespaces of our own: %s", strerror(errno));
        (void)rmdir(directory);
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    (void)argc;
    const char *const *command = (const char *const *)argv + 1;
    if (*command && strcmp(*command, "--podman") == 0) {
        podman = true;
        command++;
    }
    if (!*command)
        return 2;
    if (!may_run()) {
        setenv("PNX_TEST_NO_ENGINE", reason, 1);
        run_as(command);
    }
    int lifeline[2];
    if (pipe2(lifeline, O_CLOEXEC) != 0)
        return 1;
    fflush(NULL);
    pid_t first = fork();
    if (first == 0) {
        close(lifeline[1]);
        int status = first_process(lifeline[0], command);
        fflush(NULL);
        _exit(status);
    }
    close(lifeline[0]);
    int status = status_of(first);
    if (rmdir(directory) == 0) /* it was killed before it came to that */
        remove_cgroups();
    /* Not by exit(3): what a leak checker forks there would belong to a namespace that is gone. */
    fflush(NULL);
    _exit(status);
}
