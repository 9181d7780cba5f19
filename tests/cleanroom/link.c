/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/kind/link.c and netlink.c, in network namespaces of their own. */
#include "sorts.h"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static const char *new_name(void)
{
    static char name[8][IFNAMSIZ];
    static unsigned count;
    char *chosen = name[count % 8];
    snprintf(chosen, IFNAMSIZ, "pnx%d-%u", (int)getpid() % 100000, count++ % 100000);
    return chosen;
}

/* What others do, and see: by the older ioctls, and by ip(8). */
static bool is_link(const char *name)
{
    return if_nametoindex(name) != 0;
}

static bool run_ip(const char *const *arguments)
{
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        dup2(null, 1);
        dup2(null, 2);
        execvp("ip", (char *const *)arguments);
        _exit(127);
    }
    return status_of_child(pid) == 0;
}
#define ip(...) run_ip((const char *const[]){"ip", __VA_ARGS__, NULL})

static bool have_ip(void)
{
    return ip("-V");
}

static bool rename_link(const char *from, const char *to)
{
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(request.ifr_name, from, strlen(from) + 1);
    memcpy(request.ifr_newname, to, strlen(to) + 1);
    bool done = ioctl(fd, SIOCSIFNAME, &request) == 0;
    close(fd);
    return done;
}

static bool make_foreign(const char *name)
{
    return ip("link", "add", name, "type", "bridge");
}

static bool unmake_foreign(const char *name)
{
    return ip("link", "del", name);
}

static pnx_status make_link(const char *name, const pnx_keeper *keeper, pnx_thing **ret,
                            pnx_error *err)
{
    return pnx_link_create(name, "bridge", NULL, keeper, ret, err);
}

static const struct sort links = {
    .kind = "link",
    .new_name = new_name,
    .make = make_link,
    .make_foreign = make_foreign,
    .unmake_foreign = unmake_foreign,
    .exists = is_link,
};

static int enter_net(void **state)
{
    enter_apart(state);
    if (apart_refused)
        return 0;
    pnx_thing *thing = NULL;
    bool usable =
        have_ip() && pnx_link_create("pnx-try", "bridge", NULL, NULL, &thing, NULL) == PNX_OK;
    if (thing)
        usable = pnx_thing_remove(thing, in_seconds(10), NULL, NULL) == PNX_OK && usable;
    pnx_thing_free(thing);
    if (!usable) { /* no ip(8), or a kernel without bridges */
        leave_worlds();
        apart_refused = true;
    }
    return 0;
}

static int leave_net(void **state)
{
    unsigned left = 0;
    if (!apart_refused)
        left = count_of("link");
    return leave_apart(state) || left;
}

static pnx_thing *make_of(const char *name, const char *type, const char *peer)
{
    pnx_thing *thing = NULL;
    pnx_error err = {0};
    assert_ok(pnx_link_create(name, type, peer, NULL, &thing, &err), &err);
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

static void with_one_end_of_a_pair_goes_the_other(void **state)
{
    (void)state;
    expect_apart();
    const char *name = new_name(), *peer = new_name();
    pnx_thing *one = make_of(name, "veth", peer), *other = NULL;
    pnx_error err = {0};
    assert_true(is_link(peer));
    assert_string_equal(listed(&links, peer, NULL).info.type ? "veth" : "", "veth");
    assert_ok(pnx_thing_adopt(kind_of(&links), peer, NULL, &other, &err), &err);
    expect_fate(one, PNX_FATE_REMOVED);
    assert_false(is_link(peer));
    expect_fate(other, PNX_FATE_ALREADY_GONE);
}

static void one_that_was_renamed_is_removed_and_who_took_its_name_is_not(void **state)
{
    (void)state;
    expect_apart();
    const char *name = new_name(), *renamed = new_name();
    pnx_thing *thing = make_one(&links, name);
    assert_true(rename_link(name, renamed));
    assert_true(make_foreign(name));
    expect_fate(thing, PNX_FATE_REMOVED);
    assert_true(is_link(name));
    assert_false(is_link(renamed));
    assert_true(unmake_foreign(name));
}

static void one_whose_address_changes_is_still_the_same(void **state)
{
    (void)state;
    expect_apart();
    const char *name = new_name(), *port = new_name();
    pnx_thing *bridge = make_one(&links, name), *pair = make_of(port, "veth", new_name());
    assert_true(ip("link", "set", port, "address", "02:00:00:00:00:01"));
    assert_true(ip("link", "set", port, "master", name)); /* the bridge takes the port's address */
    expect_fate(pair, PNX_FATE_REMOVED);
    expect_fate(bridge, PNX_FATE_REMOVED);
    assert_false(is_link(name));
}

static void one_that_a_program_left_by_an_ioctl_is_found(void **state)
{
    (void)state;
    expect_apart();
    const char *name = new_name();
    if (!ip("tuntap", "add", "dev", name, "mode", "tap")) /* /dev/net/tun */
        skip();
    assert_string_equal(listed(&links, name, NULL).info.type ? "tun" : "", "tun");
    pnx_thing *thing = NULL;
    pnx_error err = {0};
    assert_ok(pnx_thing_adopt(kind_of(&links), name, NULL, &thing, &err), &err);
    expect_fate(thing, PNX_FATE_REMOVED);
    assert_false(is_link(name));
}

static void the_loopback_interface_is_never_one(void **state)
{
    (void)state;
    expect_apart();
    char identity[PNX_THING_IDENTITY_MAX];
    assert_int_equal(kind_of(&links)->find("lo", identity, sizeof identity, NULL), PNX_ENOTFOUND);
    assert_int_equal(listed(&links, "lo", NULL).seen, 0);
    assert_int_equal(kind_of(&links)->remove("lo", "n1:1:", in_seconds(1), NULL), PNX_EALREADY);
    assert_true(is_link("lo"));
}

static void one_in_another_namespace_is_not_ours(void **state)
{
    (void)state;
    expect_apart();
    const char *name = new_name();
    pnx_thing *thing = make_one(&links, name);
    int back = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    char number[16]; /* the same name, sort and number */
    snprintf(number, sizeof number, "%ld",
             strtol(strchr(pnx_thing_identity(thing), ':') + 1, NULL, 10));
    assert_true(ip("link", "add", name, "index", number, "type", "bridge"));
    pnx_error err = {0};
    pnx_outcome outcome = {0};
    assert_ok(pnx_thing_remove_named(kind_of(&links), name, pnx_thing_identity(thing),
                                     in_seconds(1), &outcome, &err),
              &err);
    assert_int_equal(outcome.fate, PNX_FATE_ALREADY_GONE);
    assert_int_equal(kind_of(&links)->remove(name, pnx_thing_identity(thing), in_seconds(1), &err),
                     PNX_EALREADY);
    assert_true(is_link(name));
    assert_int_equal(setns(back, CLONE_NEWNET), 0);
    close(back);
    assert_true(is_link(name));
    expect_fate(thing, PNX_FATE_REMOVED);
}

static void bad_names_and_sorts_are_refused(void **state)
{
    (void)state;
    expect_apart();
    const char *const names[] = {
        "", ".", "..", "a/b", "a b", "a\nb", "a:b", "a%d", "sixteen-bytes-xx"};
    pnx_thing *thing = NULL;
    char identity[PNX_THING_IDENTITY_MAX];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        pnx_error err = {0};
        assert_int_equal(kind_of(&links)->find(names[i], identity, sizeof identity, &err),
                         PNX_EINVAL);
        assert_int_equal(pnx_link_create(names[i], "dummy", NULL, NULL, &thing, &err), PNX_EINVAL);
        assert_int_equal(pnx_link_create("a", "veth", names[i], NULL, &thing, &err), PNX_EINVAL);
    }
    pnx_error err = {0};
    assert_int_equal(pnx_link_create("a", "veth", NULL, NULL, &thing, &err), PNX_EINVAL);
    assert_int_equal(pnx_link_create("a", "dummy", "b", NULL, &thing, &err), PNX_EINVAL);
    assert_int_equal(pnx_link_create("a", "", NULL, NULL, &thing, &err), PNX_EINVAL);
    assert_int_equal(pnx_link_create("a", "nosuchsort", NULL, NULL, &thing, &err),
                     PNX_EUNSUPPORTED);
    assert_false(is_link("a"));
}

static void odd_names_are_no_problem(void **state)
{
    (void)state;
    expect_apart();
    const char *const names[] = {"\\040", "\xff\xfe", "-rf", "\033[2J", "'\"$(x)", "x@y"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        pnx_thing *thing = make_one(&links, names[i]);
        assert_int_equal(listed(&links, names[i], pnx_thing_identity(thing)).seen, 1);
        expect_fate(thing, PNX_FATE_REMOVED);
        assert_false(is_link(names[i]));
    }
}

static void identities_that_are_none_harm_nothing(void **state)
{
    (void)state;
    expect_apart();
    const char *name = new_name();
    assert_true(make_foreign(name));
    const char *const identities[] = {"", "x", ":", "n1:2", "n1:-1:bridge", "n0:2:bridge", "%s"};
    for (size_t i = 0; i < sizeof identities / sizeof *identities; i++) {
        (void)pnx_thing_remove_named(kind_of(&links), name, identities[i], in_seconds(1), NULL,
                                     NULL);
        assert_true(is_link(name));
    }
    assert_true(unmake_foreign(name));
}

static void many_are_listed(void **state)
{
    (void)state;
    expect_apart();
    enum { MANY = 300 };
    pnx_thing *things[MANY];
    for (unsigned i = 0; i < MANY; i++)
        things[i] = make_one(&links, new_name());
    assert_int_equal(count_of("link"), MANY);
    for (unsigned i = 0; i < MANY; i++)
        expect_fate(things[i], PNX_FATE_REMOVED);
}

#define IN_NET(test, sort)                                                                         \
    {                                                                                              \
#test " (" #sort ")", test, enter_net, leave_net, (void *)&sort                            \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        EVERY_SORT_BY(IN_NET, links),
        IN_NET(with_one_end_of_a_pair_goes_the_other, links),
        IN_NET(one_that_was_renamed_is_removed_and_who_took_its_name_is_not, links),
        IN_NET(one_whose_address_changes_is_still_the_same, links),
        IN_NET(one_that_a_program_left_by_an_ioctl_is_found, links),
        IN_NET(the_loopback_interface_is_never_one, links),
        IN_NET(one_in_another_namespace_is_not_ours, links),
        IN_NET(bad_names_and_sorts_are_refused, links),
        IN_NET(odd_names_are_no_problem, links),
        IN_NET(identities_that_are_none_harm_nothing, links),
        IN_NET(many_are_listed, links),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
