/* SPDX-License-Identifier: MIT */
/* Tests of the parts of src/cleanroom/docker that need no engine: stream.c, path.c, tar.c, calls.c.
 */
#include "support.h"

#include "docker/calls.h"
#include "docker/path.h"
#include "docker/stream.h"
#include "docker/tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>

/* ---- streams --------------------------------------------------------------------------------- */

static void frames_may_be_cut_anywhere(void **state)
{
    (void)state;
    static const char stream[] = "\1\0\0\0\0\0\0\3one\2\0\0\0\0\0\0\3two\1\0\0\0\0\0\0\0"
                                 "\0\0\0\0\0\0\0\5three";
    for (size_t cut = 1; cut < sizeof stream - 1; cut++) {
        struct taken taken = {0};
        struct pnx__frames frames = {.sink = take, .context = &taken};
        for (size_t at = 0; at < sizeof stream - 1; at += cut) {
            size_t left = sizeof stream - 1 - at;
            assert_true(pnx__docker_frames_take(stream + at, left < cut ? left : cut, &frames));
        }
        assert_true(pnx__docker_frames_whole(&frames));
        assert_string_equal(taken.out, "onethree");
        assert_string_equal(taken.err, "two");
    }
}

static bool count_lines(json_t *json, void *context)
{
    assert_non_null(json);
    return ++*(unsigned *)context < 3;
}

static void lines_may_be_cut_anywhere(void **state)
{
    (void)state;
    static const char stream[] =
        "{\"a\": 1}\r\n\n[2]\n{\"b\": \"c\"}\n{\"never\": \"seen\"}\nnoise";
    for (size_t cut = 1; cut < sizeof stream - 1; cut++) {
        unsigned count = 0;
        struct pnx__lines lines = {.visit = count_lines, .context = &count};
        bool more = true;
        for (size_t at = 0; more && at < sizeof stream - 1; at += cut) {
            size_t left = sizeof stream - 1 - at;
            more = pnx__docker_lines_take(stream + at, left < cut ? left : cut, &lines);
        }
        assert_false(more);
        pnx__docker_lines_end(&lines, true);
        assert_int_equal(count, 3);
        assert_false(lines.broken);
    }
}

static void a_line_without_end_is_refused(void **state)
{
    (void)state;
    char block[65536];
    unsigned count = 0, blocks = 0;
    struct pnx__lines lines = {.visit = count_lines, .context = &count};
    memset(block, 'x', sizeof block);
    while (pnx__docker_lines_take(block, sizeof block, &lines))
        assert_true(++blocks < 1000);
    assert_true(lines.broken);
    pnx__docker_lines_end(&lines, true);
}

/* ---- paths and times ------------------------------------------------------------------------- */

static void paths_are_escaped(void **state)
{
    (void)state;
    pnx_error err = {0};
    char *path;
    json_t *json = json_pack("{s:[s]}", "label", "a=b&c");
    assert_ok(pnx__docker_path(&path, &err, "/images/%s/json?q=%s&n=%u&t=%lld&f=%p",
                               "host:5000/a b?#%:1", "x/y&z", 7u, -5LL, json),
              &err);
    assert_string_equal(path, "/images/host:5000/a%20b%3F%23%25:1/json?q=x%2Fy%26z&n=7&t=-5&f="
                              "%7B%22label%22%3A%5B%22a%3Db%26c%22%5D%7D");
    free(path);
    json_decref(json);
    static const char *const wrong[] = {"", "/", "/x", "x/", "..", "x/../y", ".", "x//y", NULL};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_status(PNX_EINVAL, pnx__docker_path(&path, &err, "/containers/%s", wrong[i]), &err);
    assert_ok(pnx__docker_path(&path, &err, "/containers/%s", "..."), &err);
    free(path);
}

static void times_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t time;
    } cases[] = {
        {"1970-01-01T00:00:01Z", PNX_S(1)},
        {"2026-11-27T06:41:22.648001261Z", PNX_S(1795761682) + 648001261},
        {"2026-11-27T07:41:22.5+01:00", PNX_S(1795761682) + 500000000},
        {"2026-11-27T05:41:22-01:00", PNX_S(1795761682)},
        {"2026-11-27T06:41:22.12345678912345Z", PNX_S(1795761682) + 123456789},
        {"0001-01-01T00:00:00Z", 0},
        {"9999-12-31T23:59:59Z", 0},
        {"2026-11-27T06:41:22", 0},
        {"yesterday", 0},
        {"", 0},
        {NULL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(pnx__docker_time_parse(cases[i].text), cases[i].time);
}

/* ---- archives -------------------------------------------------------------------------------- */

static const struct pnx__limit no_limit = {PNX_FOREVER, -1};
static char place[64];

static int make_place(void **state)
{
    (void)state;
    snprintf(place, sizeof place, "/tmp/pnx-parts-XXXXXX");
    return mkdtemp(place) == NULL;
}

static int drop_place(void **state)
{
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -r %s", place);
    return system(command); /* NOLINT(cert-env33-c): a test's own */
}

static const char *in_place(const char *name)
{
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", place, name);
    return path;
}

static void add(struct archive *archive, const char *name, mode_t type, const char *link)
{
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, type ? type : AE_IFREG);
    archive_entry_set_perm(entry, 04755);
    archive_entry_set_size(entry, type || link ? 0 : 4);
    if (type == AE_IFLNK)
        archive_entry_set_symlink(entry, link);
    else if (link)
        archive_entry_set_hardlink(entry, link);
    assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
    if (!type && !link)
        assert_int_equal(archive_write_data(archive, "evil", 4), 4);
    archive_entry_free(entry);
}

struct entry {
    const char *name;
    mode_t type;
    const char *link;
};

/* An archive of these, and of "after", is unpacked into "to". */
static void unpack(const struct entry *entries, size_t count)
{
    pnx_error err = {0};
    int fd;
    assert_ok(pnx__docker_scratch(&fd, &err), &err);
    struct archive *archive = archive_write_new();
    archive_write_set_format_pax_restricted(archive);
    assert_int_equal(archive_write_open_fd(archive, fd), ARCHIVE_OK);
    for (size_t i = 0; i < count && entries[i].name; i++)
        add(archive, entries[i].name, entries[i].type, entries[i].link);
    add(archive, "after", 0, NULL);
    assert_int_equal(archive_write_free(archive), ARCHIVE_OK);
    assert_ok(pnx__docker_tar_extract(fd, in_place("to"), NULL, &no_limit, &err), &err);
    close(fd);
}

static void nothing_is_unpacked_outside(void **state)
{
    (void)state;
    struct stat about;
    char absolute[128], hard[160];
    assert_int_equal(mkdir(in_place("outside"), 0755), 0);
    int fd = open(in_place("outside/theirs"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    close(fd);
    snprintf(absolute, sizeof absolute, "%s/outside/absolute", place);
    snprintf(hard, sizeof hard, "%s/outside/theirs", place);
    const struct entry evil[][2] = {
        {{"../outside/dots", 0, NULL}},
        {{"a/../../outside/dots", 0, NULL}},
        {{absolute, 0, NULL}},
        {{"link", AE_IFLNK, "../outside"}, {"link/through", 0, NULL}},
        {{"target", AE_IFLNK, absolute}, {"target", 0, NULL}},
        {{"hard", 0, "../outside/theirs"}},
        {{"hard", 0, hard}},
        {{"device", AE_IFCHR, NULL}},
        {{"pipe", AE_IFIFO, NULL}},
    };
    for (size_t i = 0; i < sizeof evil / sizeof *evil; i++) {
        unpack(evil[i], 2);
        assert_int_equal(stat(in_place("to/after"), &about), 0);
        assert_int_equal(about.st_mode & 07777, 0755); /* no set-user-id */
        assert_int_not_equal(lstat(in_place("to/device"), &about), 0);
        assert_int_not_equal(lstat(in_place("to/pipe"), &about), 0);
        assert_int_equal(stat(in_place("outside/theirs"), &about), 0);
        assert_int_equal(about.st_nlink, 1);
        assert_int_equal(about.st_size, 0);
        char command[96];
        snprintf(command, sizeof command, "rm -r %s/to", place);
        assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a test's own */
    }
    assert_int_equal(unlink(in_place("outside/theirs")), 0);
    assert_int_equal(rmdir(in_place("outside")), 0); /* nothing else came into it */
}

static void a_tree_is_packed_and_unpacked(void **state)
{
    (void)state;
    pnx_error err = {0};
    int fd;
    char command[512];
    snprintf(command, sizeof command,
             "cd %s && mkdir -p a/b && echo x >a/b/file && ln -s b/file a/link && mkfifo a/pipe && "
             "chmod 0555 a/b && ln a/b/file a/second",
             place);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a test's own */
    assert_ok(pnx__docker_tar_write(in_place("a/"), true, &no_limit, &fd, &err), &err);
    assert_ok(pnx__docker_tar_extract(fd, in_place("to"), NULL, &no_limit, &err), &err);
    close(fd);
    snprintf(command, sizeof command,
             "cd %s && cmp a/b/file to/a/b/file && cmp a/second to/a/second && "
             "[ \"$(readlink to/a/link)\" = b/file ] && [ ! -e to/a/pipe ] && "
             "[ \"$(stat -c %%a to/a/b)\" = 555 ]",
             place);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a test's own */

    assert_ok(pnx__docker_tar_open(in_place("a"), &no_limit, &fd, &err), &err);
    assert_ok(pnx__docker_tar_extract(fd, in_place("content"), NULL, &no_limit, &err), &err);
    close(fd);
    assert_int_equal(access(in_place("content/b/file"), F_OK), 0);
    snprintf(command, sizeof command, "chmod -R u+w %s", place);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a test's own */

    assert_status(PNX_EFAILED, pnx__docker_tar_open(in_place("none"), &no_limit, &fd, &err), &err);
    assert_says(&err, "No such file");
    assert_status(PNX_ETIMEOUT,
                  pnx__docker_tar_open(in_place("a"), &(struct pnx__limit){1, -1}, &fd, &err),
                  &err);
}

static void what_is_no_archive_is_told(void **state)
{
    (void)state;
    pnx_error err = {0};
    int fd;
    char noise[2048];
    memset(noise, 'n', sizeof noise);
    assert_ok(pnx__docker_scratch(&fd, &err), &err);
    assert_int_equal(write(fd, noise, sizeof noise), sizeof noise);
    assert_status(PNX_EFAILED, pnx__docker_tar_extract(fd, in_place("to"), NULL, &no_limit, &err),
                  &err);
    close(fd);
    /* Cut off in the middle of a file. */
    memset(noise, 0, sizeof noise);
    assert_ok(pnx__docker_tar_one("file", 0644, noise, sizeof noise, &fd, &err), &err);
    assert_int_equal(ftruncate(fd, 1024), 0);
    assert_status(PNX_EFAILED, pnx__docker_tar_extract(fd, in_place("to"), NULL, &no_limit, &err),
                  &err);
    close(fd);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_place, drop_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_may_be_cut_anywhere),
        cmocka_unit_test(lines_may_be_cut_anywhere),
        cmocka_unit_test(a_line_without_end_is_refused),
        cmocka_unit_test(paths_are_escaped),
        cmocka_unit_test(times_are_read),
        TEST(nothing_is_unpacked_outside),
        TEST(a_tree_is_packed_and_unpacked),
        TEST(what_is_no_archive_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
