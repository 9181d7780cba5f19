/* SPDX-License-Identifier: MIT */
/*
 * Tests of src/cleanroom/kind/loop.c, mapper.c and block.c. Loop devices belong to the whole
 * machine: each of ours has a file of its own in it, by which it is known here.
 */
#include "apart.h"
#include "keeper.h"
#include "kind/block.h"
#include "stepped.h"

#include <grp.h>
#include <limits.h>
#include <linux/loop.h>
#include <patinox/patinox.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define NOBODY 65534

static const pnx_thing_kind *loops(void)
{
    return pnx_thing_kind_named("loop");
}

static bool have_loops(void)
{
    int fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

#define expect_loops()                                                                             \
    do {                                                                                           \
        if (!have_loops())                                                                         \
            skip();                                                                                \
    } while (0)

static bool run_quietly(const char *const *arguments)
{
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        dup2(null, 1);
        dup2(null, 2);
        use_plain_path();
        execvp(arguments[0], (char *const *)arguments);
        _exit(127);
    }
    return status_of_child(pid) == 0;
}
#define ran(...) run_quietly((const char *const[]){__VA_ARGS__, NULL})

static const char *make_file(const char *place)
{
    static unsigned count;
    char name[32];
    snprintf(name, sizeof name, "disk %u", count++);
    const char *path = in(place, name);
    int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    close(fd);
    return path;
}

/* "loop3", by what is in it; false: nothing has this file. Read by other means than ours. */
static bool device_with(const char *file, char ret[32])
{
    for (int i = 0; i < 1024; i++) {
        char path[64], found[PATH_MAX];
        snprintf(path, sizeof path, "/sys/block/loop%d/loop/backing_file", i);
        FILE *backing = fopen(path, "re");
        if (!backing)
            continue;
        bool read = fgets(found, sizeof found, backing) != NULL;
        fclose(backing);
        if (read && strncmp(found, file, strlen(file)) == 0 && found[strlen(file)] == '\n') {
            snprintf(ret, 32, "/dev/loop%d", i);
            return true;
        }
    }
    return false;
}

static bool is_in_a_device(const char *file)
{
    char device[32];
    return device_with(file, device);
}

static bool clear_device(const char *device)
{
    int fd = open(device, O_RDONLY | O_CLOEXEC);
    bool done = fd >= 0 && ioctl(fd, LOOP_CLR_FD) == 0;
    if (fd >= 0)
        close(fd);
    return done;
}

/* Somebody looks into every new device for a moment: then the kernel clears it a little later. */
static void expect_cleared(const char *file)
{
    pnx_time deadline = in_seconds(10);
    while (is_in_a_device(file))
        assert_true(pnx_monotonic_now() < deadline);
}

static bool fill_device(const char *device, const char *file)
{
    int fd = open(device, O_RDWR | O_CLOEXEC), backing = open(file, O_RDWR | O_CLOEXEC);
    bool done = fd >= 0 && backing >= 0 && ioctl(fd, LOOP_SET_FD, backing) == 0;
    close(fd);
    close(backing);
    return done;
}

static pnx_thing *make_loop(const char *file)
{
    pnx_thing *thing = NULL;
    pnx_error err = {0};
    assert_ok(pnx_loop_create(file, 0, NULL, &thing, &err), &err);
    return thing;
}

static void expect_fate(pnx_thing *thing, pnx_fate fate)
{
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    assert_ok(pnx_thing_remove(thing, in_seconds(10), &outcome, &err), &err);
    assert_int_equal(outcome.fate, fate);
    assert_true(outcome.verified);
    pnx_thing_free(thing);
}

struct wanted {
    const char *name;
    unsigned seen;
    char identity[64], detail[PATH_MAX];
    uint64_t bytes;
};

static bool look_for(const pnx_thing_info *info, void *context)
{
    struct wanted *wanted = context;
    if (strcmp(info->name, wanted->name) != 0)
        return true;
    wanted->seen++;
    wanted->bytes = info->bytes;
    snprintf(wanted->identity, sizeof wanted->identity, "%s", info->identity);
    snprintf(wanted->detail, sizeof wanted->detail, "%s", info->detail ? info->detail : "");
    return true;
}

static struct wanted listed(const pnx_thing_kind *kind, const char *name)
{
    struct wanted wanted = {.name = name};
    pnx_error err = {0};
    assert_ok(kind->list(look_for, &wanted, &err), &err);
    return wanted;
}

/* ---- loop devices ---------------------------------------------------------------------------- */

static void it_is_found_and_listed_and_removed(void **state)
{
    expect_loops();
    const char *file = make_file(*state);
    pnx_thing *thing = make_loop(file);
    char device[32], identity[PNX_THING_IDENTITY_MAX];
    pnx_error err = {0};
    assert_true(device_with(file, device));
    assert_string_equal(pnx_thing_name(thing), device);
    assert_ok(loops()->find(device, identity, sizeof identity, &err), &err);
    assert_string_equal(identity, pnx_thing_identity(thing));
    struct wanted wanted = listed(loops(), device);
    assert_int_equal(wanted.seen, 1);
    assert_string_equal(wanted.identity, identity);
    assert_string_equal(wanted.detail, file);
    assert_int_equal(wanted.bytes, 1 << 20);
    expect_fate(thing, PNX_FATE_REMOVED);
    assert_false(is_in_a_device(file));
    assert_int_equal(unlink(file), 0);
}

static void it_stays_when_its_maker_is_gone(void **state)
{
    expect_loops();
    const char *file = make_file(*state);
    pid_t pid = fork();
    if (pid == 0) {
        pnx_thing *thing;
        _exit(pnx_loop_create(file, 0, NULL, &thing, NULL) == PNX_OK ? 0 : 1);
    }
    assert_int_equal(status_of_child(pid), 0);
    char device[32];
    assert_true(device_with(file, device));
    pnx_thing *thing = NULL;
    pnx_error err = {0};
    assert_ok(pnx_thing_adopt(loops(), device, NULL, &thing, &err), &err);
    expect_fate(thing, PNX_FATE_REMOVED);
    assert_int_equal(unlink(file), 0);
}

static void one_that_may_only_be_read_is_that(void **state)
{
    expect_loops();
    const char *file = make_file(*state);
    pnx_thing *thing = NULL;
    pnx_error err = {0};
    assert_ok(pnx_loop_create(file, PNX_LOOP_READ_ONLY, NULL, &thing, &err), &err);
    char path[64], text[8] = "";
    snprintf(path, sizeof path, "/sys/block/%s/ro", pnx_thing_name(thing) + strlen("/dev/"));
    FILE *flag = fopen(path, "re");
    assert_non_null(flag);
    assert_non_null(fgets(text, sizeof text, flag));
    fclose(flag);
    assert_string_equal(text, "1\n");
    expect_fate(thing, PNX_FATE_REMOVED);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(pnx_loop_create(file, 0, NULL, &thing, &err), PNX_EFAILED);
    assert_int_equal(pnx_loop_create(file, 64, NULL, &thing, &err), PNX_EINVAL);
}

static void what_is_gone_already_is_no_failure(void **state)
{
    expect_loops();
    const char *file = make_file(*state);
    pnx_thing *thing = make_loop(file);
    assert_true(clear_device(pnx_thing_name(thing)));
    expect_cleared(file);
    expect_fate(thing, PNX_FATE_ALREADY_GONE);
    assert_int_equal(unlink(file), 0);
}

static void a_device_that_was_used_again_survives(void **state)
{
    expect_loops();
    const char *file = make_file(*state), *other = make_file(*state);
    pnx_thing *thing = make_loop(file);
    char device[32];
    snprintf(device, sizeof device, "%s", pnx_thing_name(thing));
    assert_true(clear_device(device));
    expect_cleared(file);
    if (!fill_device(device, other)) { /* somebody on this machine was faster */
        expect_fate(thing, PNX_FATE_ALREADY_GONE);
        assert_int_equal(unlink(file) + unlink(other), 0);
        skip();
    }
    /* The kind itself does not clear it, whoever calls it. */
    assert_int_equal(loops()->remove(device, pnx_thing_identity(thing), in_seconds(1), NULL),
                     PNX_EALREADY);
    assert_true(is_in_a_device(other));
    expect_fate(thing, PNX_FATE_ALREADY_GONE);
    assert_true(is_in_a_device(other));
    assert_true(clear_device(device));
    expect_cleared(other);
    /* Not even when the same file is in it again. */
    thing = make_loop(file);
    snprintf(device, sizeof device, "%s", pnx_thing_name(thing));
    assert_true(clear_device(device));
    expect_cleared(file);
    if (fill_device(device, file)) {
        expect_fate(thing, PNX_FATE_ALREADY_GONE);
        assert_true(is_in_a_device(file));
        assert_true(clear_device(device));
        expect_cleared(file);
    }
    assert_int_equal(unlink(file), 0);
    assert_int_equal(unlink(other), 0);
}

static void one_in_use_is_busy_and_goes_with_its_user(void **state)
{
    expect_loops();
    const char *file = make_file(*state);
    pnx_thing *thing = make_loop(file);
    int fd = open(pnx_thing_name(thing), O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    assert_int_equal(pnx_thing_remove(thing, in_seconds(10), &outcome, &err), PNX_EBUSY);
    assert_int_equal(outcome.fate, PNX_FATE_STUCK);
    assert_non_null(strstr(outcome.reason, "has it open"));
    assert_true(is_in_a_device(file));
    close(fd);
    assert_ok(pnx_thing_remove(thing, in_seconds(10), &outcome, &err), &err);
    assert_true(outcome.verified);
    assert_false(is_in_a_device(file));
    pnx_thing_free(thing);
    assert_int_equal(unlink(file), 0);
}

static void one_that_is_mounted_says_where(void **state)
{
    expect_loops();
    const char *file = make_file(*state);
    char point[PATH_MAX];
    snprintf(point, sizeof point, "%s/point", (char *)*state);
    if (!ran("mkfs.ext4", "-q", file)) { /* no mkfs here */
        assert_int_equal(unlink(file), 0);
        skip();
    }
    enter_apart(state);
    if (apart_refused) {
        apart_refused = false;
        assert_int_equal(unlink(file), 0);
        skip();
    }
    pnx_thing *thing = make_loop(file);
    assert_int_equal(mkdir(point, 0700), 0);
    pnx_outcome outcome = {0};
    bool mounted = mount(pnx_thing_name(thing), point, "ext4", 0, NULL) == 0;
    if (mounted) {
        assert_int_equal(pnx_thing_remove(thing, in_seconds(10), &outcome, NULL), PNX_EBUSY);
        assert_int_equal(umount2(point, MNT_DETACH), 0);
    }
    pnx_error err = {0};
    assert_ok(pnx_thing_remove(thing, in_seconds(10), NULL, &err), &err);
    pnx_thing_free(thing);
    leave_worlds();
    assert_int_equal(rmdir(point), 0);
    assert_int_equal(unlink(file), 0);
    if (mounted)
        assert_non_null(strstr(outcome.reason, point));
}

static void one_whose_file_was_deleted_says_so(void **state)
{
    expect_loops();
    const char *file = make_file(*state);
    pnx_thing *thing = make_loop(file);
    assert_int_equal(unlink(file), 0);
    struct wanted wanted = listed(loops(), pnx_thing_name(thing));
    assert_int_equal(wanted.seen, 1);
    assert_non_null(strstr(wanted.detail, "(deleted)"));
    expect_fate(thing, PNX_FATE_REMOVED);
}

static void a_file_with_an_odd_name_is_no_problem(void **state)
{
    expect_loops();
    char file[PATH_MAX];
    snprintf(file, sizeof file, "%s/a \\040\033[2J%%s", (char *)*state);
    write_file(file, 8192);
    pnx_thing *thing = make_loop(file);
    assert_string_equal(listed(loops(), pnx_thing_name(thing)).detail, file);
    expect_fate(thing, PNX_FATE_REMOVED);
    assert_int_equal(unlink(file), 0);
}

static void bad_names_are_refused(void **state)
{
    (void)state;
    const char *const names[] = {"",
                                 "loop0",
                                 "/dev/loop",
                                 "/dev/loop0/",
                                 "/dev/loop00",
                                 "/dev/loop01",
                                 "/dev/loop-1",
                                 "/dev/loop0p1",
                                 "/dev/../dev/loop0",
                                 "/dev/loop-control",
                                 "/dev/vda",
                                 "/dev/loop99999999999"};
    char identity[PNX_THING_IDENTITY_MAX];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(loops()->find(names[i], identity, sizeof identity, NULL), PNX_EINVAL);
        assert_int_equal(loops()->remove(names[i], "s1", in_seconds(1), NULL), PNX_EINVAL);
    }
    assert_int_equal(loops()->find("/dev/loop999999", identity, sizeof identity, NULL),
                     PNX_ENOTFOUND);
}

static void who_may_not_remove_it_is_told_so(void **state)
{
    expect_loops();
    if (!is_root())
        skip();
    const char *file = make_file(*state);
    pnx_thing *thing = make_loop(file);
    pid_t pid = fork();
    if (pid == 0) {
        if (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
            _exit(1);
        pnx_outcome outcome = {0};
        pnx_error err = {0};
        pnx_status status =
            pnx_thing_remove_named(loops(), pnx_thing_name(thing), pnx_thing_identity(thing),
                                   in_seconds(5), &outcome, &err);
        _exit(status != PNX_OK && outcome.fate == PNX_FATE_STUCK && err.sys_errno == EACCES ? 0
                                                                                            : 2);
    }
    assert_int_equal(status_of_child(pid), 0);
    assert_true(is_in_a_device(file));
    expect_fate(thing, PNX_FATE_REMOVED);
    assert_int_equal(unlink(file), 0);
}

/* ---- the keeper, guards, kills --------------------------------------------------------------- */

static void the_keeper_is_told_in_order(void **state)
{
    expect_loops();
    const char *file = make_file(*state);
    struct told_keeper told = {0};
    pnx_keeper keeper = keeper_that_tells(&told);
    pnx_thing *thing = NULL;
    pnx_error err = {0};
    assert_ok(pnx_loop_create(file, 0, &keeper, &thing, &err), &err);
    assert_string_equal(told.events, "ib");
    assert_string_equal(told.name, pnx_thing_name(thing));
    assert_string_equal(told.identity, pnx_thing_identity(thing));
    assert_true(told.kind->name_is_given); /* a mere intent of it stands for nothing */
    expect_fate(thing, PNX_FATE_REMOVED);
    assert_string_equal(told.events, "ibg");

    told = (struct told_keeper){.refuse_intent = true};
    assert_int_equal(pnx_loop_create(file, 0, &keeper, &thing, &err), PNX_ELIMIT);
    expect_cleared(file);
    told = (struct told_keeper){.refuse_binding = true};
    assert_int_equal(pnx_loop_create(file, 0, &keeper, &thing, &err), PNX_ELIMIT);
    assert_string_equal(told.events, "ibg");
    expect_cleared(file);
    assert_int_equal(unlink(file), 0);
}

static void a_dropped_guard_removes_it(void **state)
{
    expect_loops();
    const char *file = make_file(*state);
    pnx_error err = {0};
    pnx_registry *registry = NULL;
    pnx_outcome outcome = {0};
    assert_ok(pnx_registry_create(&(pnx_config){.workers = 1}, &registry, &err), &err);
    {
        pnx_auto(loop) guard = pnx_reserve(loop, registry, &err);
        assert_ok(guard.status, &err);
        pnx_thing *thing = make_loop(file);
        pnx_thing_watch_by(thing, &outcome);
        assert_true(pnx_arm(&guard, thing));
    }
    assert_int_equal(pnx_registry_wait_idle(registry, in_seconds(20)), PNX_OK);
    assert_ok(pnx_registry_shutdown(registry, NULL, NULL, &err), &err);
    assert_ok(pnx_registry_destroy(registry, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_REMOVED);
    assert_false(is_in_a_device(file));
    assert_int_equal(unlink(file), 0);
}

struct writing {
    const char *file;
    char *bound; /* shared with the child: the identity, once it was bound */
};

static pnx_status write_intent(void *context, const pnx_thing_kind *kind, const char *name,
                               uint32_t *ret_token, pnx_error *err)
{
    (void)context, (void)kind, (void)name, (void)err;
    *ret_token = 1;
    return PNX_OK;
}

static pnx_status write_binding(void *context, uint32_t token, const char *identity, pnx_error *err)
{
    const struct writing *writing = context;
    (void)token, (void)err;
    snprintf(writing->bound, 64, "%s", identity);
    return PNX_OK;
}

static void make_in_child(void *context)
{
    struct writing *writing = context;
    pnx_keeper keeper = {.context = writing, .intend = write_intent, .bind = write_binding};
    pnx_thing *thing;
    if (pnx_loop_create(writing->file, 0, &keeper, &thing, NULL) != PNX_OK)
        _exit(1);
}

static void a_maker_that_is_killed_anywhere_leaves_only_what_is_written_down(void **state)
{
    expect_loops();
    const char *file = make_file(*state);
    char *bound = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(bound != MAP_FAILED);
    struct writing writing = {file, bound};
    unsigned unbound = 0, kept = 0, stop = 0;
    enum stepped stepped = STEPPED_INTO;
    while (stepped == STEPPED_INTO) {
        bound[0] = '\0';
        stepped = run_stepped(make_in_child, &writing, ++stop, NULL);
        if (stepped == STEPPED_REFUSED)
            break;
        char device[32];
        if (!bound[0]) {
            expect_cleared(file);
            unbound++;
        } else if (device_with(file, device)) {
            pnx_error err = {0};
            assert_ok(pnx_thing_remove_named(loops(), device, bound, in_seconds(10), NULL, &err),
                      &err);
            assert_false(is_in_a_device(file));
            kept++;
        }
    }
    munmap(bound, 4096);
    assert_int_equal(unlink(file), 0);
    if (stepped == STEPPED_REFUSED)
        skip();
    assert_true(unbound >= 1 && kept >= 1);
}

/* ---- mapper devices: what sysfs tells, in a tree of our own ---------------------------------- */

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void make_mapped(const char *root, const char *device, const char *number, const char *name,
                        const char *uuid)
{
    char dir[PATH_MAX], dm[PATH_MAX + 8];
    snprintf(dir, sizeof dir, "%s/%s", root, device);
    snprintf(dm, sizeof dm, "%s/dm", dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_int_equal(mkdir(dm, 0700), 0);
    write_text(in(dir, "dev"), number);
    write_text(in(dir, "size"), "2048\n");
    write_text(in(dm, "name"), name);
    write_text(in(dm, "uuid"), uuid);
}

static void remove_mapped(const char *root, const char *device)
{
    char dir[PATH_MAX], dm[PATH_MAX + 8];
    snprintf(dir, sizeof dir, "%s/%s", root, device);
    snprintf(dm, sizeof dm, "%s/dm", dir);
    const char *const files[] = {in(dm, "name"), in(dm, "uuid"), in(dir, "dev"), in(dir, "size")};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(unlink(files[i]), 0);
    assert_int_equal(rmdir(dm), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void mapper_devices_are_found_by_name_and_told_apart(void **state)
{
    const pnx_thing_kind *kind = pnx_thing_kind_named("mapper");
    const char *root = *state;
    char identity[PNX_THING_IDENTITY_MAX], other[PNX_THING_IDENTITY_MAX];
    pnx_error err = {0};
    pnx__block_set_root(root);
    assert_int_equal(kind->find("swap", identity, sizeof identity, &err), PNX_ENOTFOUND);
    make_mapped(root, "dm-0", "253:0\n", "swap\n", "CRYPT-PLAIN-swap\n");
    make_mapped(root, "dm-1", "253:1\n", "a name\n", "\n");
    assert_ok(kind->find("swap", identity, sizeof identity, &err), &err);
    struct wanted wanted = listed(kind, "swap");
    assert_int_equal(wanted.seen, 1);
    assert_string_equal(wanted.identity, identity);
    assert_string_equal(wanted.detail, "CRYPT-PLAIN-swap");
    assert_int_equal(wanted.bytes, 1 << 20);
    assert_int_equal(listed(kind, "a name").seen, 1);
    assert_ok(kind->find("a name", other, sizeof other, &err), &err);
    assert_string_not_equal(identity, other);
    assert_ok(kind->still("swap", identity, &err), &err);

    /* Under another name it is still the same. */
    write_text(in(root, "dm-0/dm/name"), "renamed\n");
    assert_int_equal(kind->find("swap", other, sizeof other, &err), PNX_ENOTFOUND);
    assert_ok(kind->still("swap", identity, &err), &err);
    assert_ok(kind->find("renamed", other, sizeof other, &err), &err);
    assert_string_equal(identity, other);

    remove_mapped(root, "dm-0");
    pnx_outcome outcome = {0};
    assert_ok(pnx_thing_remove_named(kind, "swap", identity, in_seconds(1), &outcome, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_ALREADY_GONE);
    assert_int_equal(kind->remove("swap", identity, in_seconds(1), &err), PNX_EALREADY);
    /* Without a kernel that knows of it, removing is an error that says so. */
    if (access("/dev/mapper/control", F_OK) != 0) {
        assert_ok(kind->find("a name", other, sizeof other, &err), &err);
        assert_int_equal(kind->remove("a name", other, in_seconds(1), &err), PNX_EFAILED);
        assert_non_null(strstr(err.message, "/dev/mapper/control"));
    }
    remove_mapped(root, "dm-1");
    pnx__block_set_root("/nowhere/at/all");
    unsigned count = 0;
    assert_int_equal(kind->list(count_thing, &count, &err), PNX_EUNSUPPORTED);
    pnx__block_set_root(NULL);
    assert_int_equal(kind->find("", identity, sizeof identity, &err), PNX_EINVAL);
    assert_int_equal(kind->find("a/b", identity, sizeof identity, &err), PNX_EINVAL);
}

static void a_mapper_device_is_removed(void **state)
{
    (void)state;
    const pnx_thing_kind *kind = pnx_thing_kind_named("mapper");
    char name[64];
    snprintf(name, sizeof name, "pnx-test-%d", (int)getpid());
    if (access("/dev/mapper/control", W_OK) != 0 ||
        !ran("dmsetup", "create", name, "--table", "0 8 zero"))
        skip();
    pnx_thing *thing = NULL;
    pnx_error err = {0};
    assert_ok(pnx_thing_adopt(kind, name, NULL, &thing, &err), &err);
    assert_int_equal(listed(kind, name).seen, 1);
    expect_fate(thing, PNX_FATE_REMOVED);
    assert_int_equal(listed(kind, name).seen, 0);
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, drop_place)

/* Tests of others want to be alone when they take a free device: see make_loop in leave.py. Held to
 * the end of the program. */
static void take_turns(void)
{
    int control = open("/dev/loop-control", O_RDONLY | O_CLOEXEC);
    if (control >= 0)
        (void)!flock(control, LOCK_EX);
}

int main(void)
{
    take_turns();
    const struct CMUnitTest tests[] = {
        IN_PLACE(it_is_found_and_listed_and_removed),
        IN_PLACE(it_stays_when_its_maker_is_gone),
        IN_PLACE(one_that_may_only_be_read_is_that),
        IN_PLACE(what_is_gone_already_is_no_failure),
        IN_PLACE(a_device_that_was_used_again_survives),
        IN_PLACE(one_in_use_is_busy_and_goes_with_its_user),
        IN_PLACE(one_that_is_mounted_says_where),
        IN_PLACE(one_whose_file_was_deleted_says_so),
        IN_PLACE(a_file_with_an_odd_name_is_no_problem),
        IN_PLACE(bad_names_are_refused),
        IN_PLACE(who_may_not_remove_it_is_told_so),
        IN_PLACE(the_keeper_is_told_in_order),
        IN_PLACE(a_dropped_guard_removes_it),
        IN_PLACE(a_maker_that_is_killed_anywhere_leaves_only_what_is_written_down),
        IN_PLACE(mapper_devices_are_found_by_name_and_told_apart),
        IN_PLACE(a_mapper_device_is_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
