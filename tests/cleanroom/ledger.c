/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/ledger: what is written is what is read. */
#include "ledger_support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

/* ---- writing and reading --------------------------------------------------------------------- */

static void what_was_written_is_read(void **state)
{
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir);
    note(ledger, "name", "first");
    uint32_t tree = intend(ledger, "/tmp/tree"), group = intend(ledger, "group");
    assert_int_equal(tree, 1);
    assert_int_equal(group, 2);
    bind_to(ledger, tree, "8:1:4711");
    uint32_t gone = intend(ledger, "gone");
    bind_to(ledger, gone, "id");
    say_gone(ledger, gone);
    note(ledger, "empty", "");
    note(ledger, "name", "a=b");

    struct pnx__ledger_view *view = load_ledger(dir);
    assert_true(pnx_id_equal(view->session, SESSION));
    assert_true(view->same_boot);
    assert_false(view->elsewhere);
    assert_false(view->closed);
    assert_false(view->torn);
    assert_int_equal(view->damaged, 0);
    assert_int_equal(view->records, 9);
    assert_true(view->created > 1600000000LL * 1000000000);
    assert_true(view->last >= view->created);

    assert_int_equal(view->note_count, 2);
    assert_string_equal(pnx__ledger_view_note(view, "name"), "a=b");
    assert_string_equal(pnx__ledger_view_note(view, "empty"), "");
    assert_null(pnx__ledger_view_note(view, "nam"));
    assert_string_equal(view->notes[0].key, "name");

    assert_int_equal(view->resource_count, 3);
    const struct pnx__ledger_resource *resource = view->resources;
    assert_int_equal(resource[0].number, 1);
    assert_int_equal(resource[0].kind, TREE);
    assert_int_equal(resource[0].state, PNX__LEDGER_IS_BOUND);
    assert_string_equal(resource[0].name, "/tmp/tree");
    assert_string_equal(resource[0].identity, "8:1:4711");
    assert_null(resource[0].fate);
    assert_true(resource[0].intended > 0 && resource[0].bound >= resource[0].intended);
    assert_int_equal(resource[0].gone, 0);
    assert_int_equal(resource[1].state, PNX__LEDGER_INTENDED);
    assert_null(resource[1].identity);
    assert_int_equal(resource[2].state, PNX__LEDGER_IS_GONE);
    assert_string_equal(resource[2].fate, "removed");
    assert_true(resource[2].gone >= resource[2].bound);
    pnx__ledger_view_free(view);
    drop_ledger(dir, ledger);
}

struct list {
    unsigned count;
    struct {
        enum pnx__ledger_event event;
        size_t length;
        uint32_t resource;
    } entry[8];
};

static bool put_on_list(const struct pnx__ledger_entry *entry, void *context)
{
    struct list *list = context;
    assert_true(list->count < 8);
    list->entry[list->count].event = entry->event;
    list->entry[list->count].length = strlen(entry->text);
    list->entry[list->count++].resource = entry->resource;
    return list->count < 8;
}

static void entries_come_in_the_order_of_writing(void **state)
{
    pnx_error err = {0};
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir);
    char *text = long_text(1000, 0);
    uint32_t resource = intend(ledger, text);
    bind_to(ledger, resource, "i");
    say_gone(ledger, resource);
    note(ledger, "k", "v");
    assert_ok(pnx__ledger_closed(ledger, &err), &err);
    struct list list = {0};
    assert_ok(pnx__ledger_each(dir, "ledger", put_on_list, &list, &err), &err);
    assert_int_equal(list.count, 5);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(list.entry[i].event, i + 1);
    assert_int_equal(list.entry[0].length, 1000);
    assert_int_equal(list.entry[2].resource, 1);
    assert_int_equal(list.entry[4].resource, 0);
    free(text);
    drop_ledger(dir, ledger);
}

static void a_text_of_any_length_fits_until_the_limit(void **state)
{
    pnx_error err = {0};
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir);
    const size_t lengths[] = {0,   1,   95,   96,   97,    191,
                              192, 193, 4095, 4096, 16000, PNX__LEDGER_TEXT_MAX};
    const unsigned count = sizeof lengths / sizeof *lengths;
    for (unsigned i = 0; i < count; i++) {
        char *text = long_text(lengths[i], i);
        bind_to(ledger, intend(ledger, text), text);
        free(text);
    }
    struct pnx__ledger_view *view = load_ledger(dir);
    assert_int_equal(view->resource_count, count);
    assert_int_equal(view->damaged, 0);
    for (unsigned i = 0; i < count; i++) {
        char *text = long_text(lengths[i], i);
        assert_string_equal(view->resources[i].name, text);
        assert_string_equal(view->resources[i].identity, text);
        free(text);
    }
    pnx__ledger_view_free(view);

    char *text = long_text(PNX__LEDGER_TEXT_MAX + 1, 0);
    uint32_t resource = 77;
    assert_int_equal(pnx__ledger_intend(ledger, TREE, text, false, &resource, &err), PNX_ELIMIT);
    assert_int_equal(resource, 77);
    assert_int_equal(pnx__ledger_bind(ledger, 1, text, false, &err), PNX_ELIMIT);
    assert_int_equal(pnx__ledger_gone(ledger, 1, text, &err), PNX_ELIMIT);
    assert_int_equal(pnx__ledger_note(ledger, "k", text + 1, &err), PNX_ELIMIT);
    free(text);
    drop_ledger(dir, ledger);
}

static void bytes_of_any_value_are_kept(void **state)
{
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir);
    char all[256];
    for (unsigned i = 0; i < 255; i++)
        all[i] = (char)(i + 1);
    all[255] = '\0';
    intend(ledger, all);
    note(ledger, "\n\xff", all);
    struct pnx__ledger_view *view = load_ledger(dir);
    assert_string_equal(view->resources[0].name, all);
    assert_string_equal(pnx__ledger_view_note(view, "\n\xff"), all);
    pnx__ledger_view_free(view);
    drop_ledger(dir, ledger);
}

static void it_grows(void **state)
{
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir);
    const unsigned count = 20000;
    for (unsigned i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof name, "thing %u", i);
        uint32_t resource = intend(ledger, name);
        assert_int_equal(resource, i + 1);
        if (i % 2)
            bind_to(ledger, resource, name);
    }
    struct stat about;
    assert_int_equal(fstatat(dir, "ledger", &about, 0), 0);
    assert_true((uint64_t)about.st_blocks * 512 >= (uint64_t)about.st_size); /* never sparse */
    assert_int_equal(about.st_mode & 07777, 0600);
    struct pnx__ledger_view *view = load_ledger(dir);
    assert_int_equal(view->resource_count, count);
    assert_int_equal(view->records, count + count / 2);
    assert_string_equal(view->resources[count - 1].identity, "thing 19999");
    pnx__ledger_view_free(view);
    drop_ledger(dir, ledger);
}

static void it_ends_at_its_largest_size_before_anything_is_made(void **state)
{
    pnx_error err = {0};
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir);
    char *text = long_text(PNX__LEDGER_TEXT_MAX, 0);
    uint32_t resource, made = 0;
    pnx_status status;
    while ((status = pnx__ledger_intend(ledger, TREE, text, false, &resource, &err)) == PNX_OK)
        made++;
    assert_int_equal(status, PNX_ELIMIT);
    assert_non_null(strstr(err.message, "256 MiB"));
    assert_int_equal(resource, made);
    bind_to(ledger, 1, "identity"); /* what was promised is there */
    say_gone(ledger, made);
    assert_ok(pnx__ledger_closed(ledger, &err), &err);
    struct pnx__ledger_view *view = load_ledger(dir);
    assert_int_equal(view->resource_count, made);
    assert_true(view->closed);
    pnx__ledger_view_free(view);
    free(text);
    drop_ledger(dir, ledger);
}

/* ---- what may not be said -------------------------------------------------------------------- */

static void nonsense_is_refused(void **state)
{
    pnx_error err = {0};
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir);
    uint32_t resource = 0;
    assert_int_equal(pnx__ledger_intend(ledger, 0, "x", false, &resource, &err), PNX_EINVAL);
    assert_int_equal(pnx__ledger_bind(ledger, 0, "x", false, &err), PNX_EINVAL);
    assert_int_equal(pnx__ledger_bind(ledger, 1, "x", false, &err), PNX_EINVAL);
    assert_int_equal(pnx__ledger_gone(ledger, 1, "x", &err), PNX_EINVAL);
    assert_int_equal(pnx__ledger_note(ledger, "", "x", &err), PNX_EINVAL);
    assert_int_equal(pnx__ledger_note(ledger, "a=b", "x", &err), PNX_EINVAL);
    intend(ledger, "x");
    say_gone(ledger, 1);
    assert_int_equal(pnx__ledger_gone(ledger, 1, "x", &err), PNX_EALREADY);
    assert_int_equal(pnx__ledger_bind(ledger, 1, "x", false, &err), PNX_EALREADY);
    struct pnx__ledger_view *view = load_ledger(dir);
    assert_int_equal(view->records, 2);
    pnx__ledger_view_free(view);
    drop_ledger(dir, ledger);
}

static void nothing_comes_after_the_end(void **state)
{
    pnx_error err = {0};
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir);
    intend(ledger, "x");
    assert_ok(pnx__ledger_closed(ledger, &err), &err);
    uint32_t resource;
    assert_int_equal(pnx__ledger_intend(ledger, TREE, "y", false, &resource, &err), PNX_ESHUTDOWN);
    assert_int_equal(pnx__ledger_bind(ledger, 1, "y", false, &err), PNX_ESHUTDOWN);
    assert_int_equal(pnx__ledger_gone(ledger, 1, "y", &err), PNX_ESHUTDOWN);
    assert_int_equal(pnx__ledger_note(ledger, "y", "y", &err), PNX_ESHUTDOWN);
    assert_int_equal(pnx__ledger_closed(ledger, &err), PNX_ESHUTDOWN);
    pnx__ledger *again = NULL;
    assert_int_equal(pnx__ledger_open(dir, "ledger", &again, &err), PNX_EALREADY);
    struct pnx__ledger_view *view = load_ledger(dir);
    assert_true(view->closed);
    assert_int_equal(view->records, 2);
    pnx__ledger_view_free(view);
    drop_ledger(dir, ledger);
}

static void one_that_exists_is_not_made_again(void **state)
{
    pnx_error err = {0};
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir), *second = NULL;
    note(ledger, "k", "v");
    assert_int_equal(pnx__ledger_create(dir, "ledger", SESSION, &second, &err), PNX_EFAILED);
    assert_non_null(strstr(err.message, (char *)*state));
    assert_null(second);
    struct pnx__ledger_view *view = load_ledger(dir);
    assert_int_equal(view->records, 1);
    pnx__ledger_view_free(view);
    drop_ledger(dir, ledger);
}

/* ---- going on after a crash ------------------------------------------------------------------ */

static void an_adopter_goes_on_where_it_stopped(void **state)
{
    pnx_error err = {0};
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir);
    intend(ledger, "one");
    bind_to(ledger, intend(ledger, "two"), "2");
    say_gone(ledger, intend(ledger, "three"));
    pnx__ledger_close(ledger);

    ledger = reopen_ledger(dir);
    assert_int_equal(pnx__ledger_gone(ledger, 3, "again", &err), PNX_EALREADY);
    bind_to(ledger, 1, "1");
    say_gone(ledger, 1);
    say_gone(ledger, 2);
    assert_int_equal(intend(ledger, "four"), 4);
    note(ledger, "adopter", "me");
    struct pnx__ledger_view *view = load_ledger(dir);
    assert_int_equal(view->damaged, 0);
    assert_false(view->torn);
    assert_int_equal(view->resource_count, 4);
    assert_string_equal(view->resources[0].identity, "1");
    assert_int_equal(view->resources[1].state, PNX__LEDGER_IS_GONE);
    assert_int_equal(view->resources[3].state, PNX__LEDGER_INTENDED);
    pnx__ledger_view_free(view);
    drop_ledger(dir, ledger);
}

static void a_torn_tail_is_cut(void **state)
{
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir);
    intend(ledger, "one");
    char *text = long_text(500, 0);
    note(ledger, "long", text);
    free(text);
    pnx__ledger_close(ledger);
    /* The last part of the note was never published, and the one before is only in part. */
    int fd = openat(dir, "ledger", O_RDWR);
    char zeros[PNX__LEDGER_SLOT] = {0};
    assert_int_equal(pwrite(fd, zeros, sizeof zeros, 7L * PNX__LEDGER_SLOT), sizeof zeros);
    assert_int_equal(pwrite(fd, zeros, 4, 6L * PNX__LEDGER_SLOT), 4);
    close(fd);

    struct pnx__ledger_view *view = load_ledger(dir);
    assert_true(view->torn);
    assert_int_equal(view->damaged, 0);
    assert_int_equal(view->records, 1);
    assert_int_equal(view->note_count, 0);
    pnx__ledger_view_free(view);

    ledger = reopen_ledger(dir);
    view = load_ledger(dir);
    assert_false(view->torn);
    assert_int_equal(view->records, 1);
    pnx__ledger_view_free(view);
    note(ledger, "short", "x");
    view = load_ledger(dir);
    assert_false(view->torn);
    assert_int_equal(view->damaged, 0);
    assert_int_equal(view->records, 2);
    assert_string_equal(pnx__ledger_view_note(view, "short"), "x");
    pnx__ledger_view_free(view);
    drop_ledger(dir, ledger);
}

static void what_follows_a_damaged_record_is_not_lost(void **state)
{
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir);
    intend(ledger, "one");
    intend(ledger, "two");
    bind_to(ledger, 1, "1");
    bind_to(ledger, 2, "2");
    pnx__ledger_close(ledger);
    int fd = openat(dir, "ledger", O_RDWR);
    assert_int_equal(pwrite(fd, "X", 1, PNX__LEDGER_SLOT + 40), 1); /* in the intent of "one" */
    close(fd);
    ledger = reopen_ledger(dir);
    say_gone(ledger, 2);
    struct pnx__ledger_view *view = load_ledger(dir);
    assert_int_equal(view->damaged, 1);
    assert_false(view->torn);
    assert_int_equal(view->resource_count, 2);
    assert_null(view->resources[0].name);
    assert_string_equal(view->resources[0].identity, "1");
    assert_int_equal(view->resources[0].kind, TREE);
    assert_int_equal(view->resources[1].state, PNX__LEDGER_IS_GONE);
    pnx__ledger_view_free(view);
    drop_ledger(dir, ledger);
}

/* ---- files that are none --------------------------------------------------------------------- */

/* Neither reading nor going on may do anything to it. */
static void assert_refused(int dir, const char *name, pnx_status expected, const char *says)
{
    struct stat before, after;
    bool there = fstatat(dir, name, &before, AT_SYMLINK_NOFOLLOW) == 0;
    pnx_error err = {0};
    struct pnx__ledger_view *view = NULL;
    pnx__ledger *ledger = NULL;
    assert_int_equal(pnx__ledger_load(dir, name, &view, &err), expected);
    assert_non_null(strstr(err.message, says));
    assert_non_null(strstr(err.message, name));
    assert_null(view);
    assert_int_equal(pnx__ledger_open(dir, name, &ledger, NULL), expected);
    assert_null(ledger);
    assert_int_equal(fstatat(dir, name, &after, AT_SYMLINK_NOFOLLOW) == 0, there);
    if (!there)
        return;
    assert_int_equal(after.st_ino, before.st_ino);
    assert_int_equal(after.st_size, before.st_size);
    assert_int_equal(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
}

static void put(int dir, const char *name, const void *data, size_t size)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), size);
    close(fd);
}

static void what_is_no_ledger_is_refused(void **state)
{
    int dir = open_place(state);
    char garbage[1000];
    for (size_t i = 0; i < sizeof garbage; i++)
        garbage[i] = (char)(i * 31 + 7);
    assert_refused(dir, "f", PNX_ENOTFOUND, "there is no");
    put(dir, "f", garbage, sizeof garbage);
    assert_refused(dir, "f", PNX_EINVAL, "no ledger");
    put(dir, "f", garbage, PNX__LEDGER_SLOT);
    assert_refused(dir, "f", PNX_EINVAL, "no ledger");
    put(dir, "f", garbage, PNX__LEDGER_SLOT - 1);
    assert_refused(dir, "f", PNX_EINVAL, "too short");
    put(dir, "f", "", 0);
    assert_refused(dir, "f", PNX_ECANCELED, "never begun");
    assert_int_equal(unlinkat(dir, "f", 0), 0);

    int fd = openat(dir, "f", O_WRONLY | O_CREAT, 0600);
    assert_int_equal(ftruncate(fd, 65536), 0);
    assert_refused(dir, "f", PNX_ECANCELED, "never begun");
    assert_int_equal(pwrite(fd, "x", 1, 1000), 1); /* something is in it: not ours to judge */
    assert_refused(dir, "f", PNX_EINVAL, "no ledger");
    assert_int_equal(ftruncate(fd, (off_t)PNX__LEDGER_SIZE_MAX + 1), 0);
    assert_refused(dir, "f", PNX_ELIMIT, "larger");
    close(fd);
    assert_int_equal(unlinkat(dir, "f", 0), 0);
    close(dir);
}

static void what_is_no_file_is_refused(void **state)
{
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir);
    assert_int_equal(symlinkat("ledger", dir, "link"), 0);
    assert_int_equal(mkdirat(dir, "dir", 0700), 0);
    assert_int_equal(mkfifoat(dir, "fifo", 0600), 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", in(*state, "socket"));
    int bound = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(bound, (struct sockaddr *)&address, sizeof address), 0);
    assert_refused(dir, "link", PNX_EFAILED, "symbolic link");
    assert_refused(dir, "dir", PNX_EFAILED, "dir");
    assert_refused(dir, "fifo", PNX_EFAILED, "no regular file");
    assert_refused(dir, "socket", PNX_EFAILED, "socket");
    pnx_error err = {0};
    pnx__ledger *made = NULL;
    const char *const names[] = {"link", "dir", "fifo", "socket"};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pnx__ledger_create(dir, names[i], SESSION, &made, &err), PNX_EFAILED);
    close(bound);
    unlinkat(dir, "link", 0);
    unlinkat(dir, "dir", AT_REMOVEDIR);
    unlinkat(dir, "fifo", 0);
    unlinkat(dir, "socket", 0);
    drop_ledger(dir, ledger);
}

static void another_users_is_refused(void **state)
{
    if (!is_root())
        skip(); /* only root can give a file away */
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir);
    assert_int_equal(fchownat(dir, "ledger", 65534, 65534, 0), 0);
    assert_refused(dir, "ledger", PNX_EFAILED, "belongs to user 65534");
    drop_ledger(dir, ledger);
}

static void one_that_others_may_write_is_refused(void **state)
{
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir);
    assert_int_equal(fchmodat(dir, "ledger", 0620, 0), 0);
    assert_refused(dir, "ledger", PNX_EFAILED, "written by others");
    assert_int_equal(fchmodat(dir, "ledger", 0602, 0), 0);
    assert_refused(dir, "ledger", PNX_EFAILED, "written by others");
    drop_ledger(dir, ledger);
}

static void another_version_is_refused(void **state)
{
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir);
    int fd = openat(dir, "ledger", O_RDWR);
    assert_int_equal(pwrite(fd, "\2", 1, offsetof(struct pnx__ledger_header, version)), 1);
    assert_refused(dir, "ledger", PNX_EUNSUPPORTED, "version 2");
    assert_int_equal(pwrite(fd, "\1", 1, offsetof(struct pnx__ledger_header, version)), 1);
    assert_int_equal(pwrite(fd, "\1", 1, offsetof(struct pnx__ledger_header, created)), 1);
    assert_refused(dir, "ledger", PNX_EINVAL, "damaged");
    close(fd);
    drop_ledger(dir, ledger);
}

/* Rewrites the header with another boot and another machine. */
static void pretend(int dir, pnx_id boot, pnx_id machine)
{
    struct pnx__ledger_header header;
    int fd = openat(dir, "ledger", O_RDWR);
    assert_int_equal(pread(fd, &header, sizeof header, 0), sizeof header);
    memcpy(header.boot, &boot, sizeof header.boot);
    memcpy(header.machine, &machine, sizeof header.machine);
    header.crc = pnx__ledger_header_crc(&header);
    assert_int_equal(pwrite(fd, &header, sizeof header, 0), sizeof header);
    close(fd);
}

static void another_boot_and_another_machine_are_told(void **state)
{
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir);
    struct pnx__ledger_header header;
    int fd = openat(dir, "ledger", O_RDONLY);
    assert_int_equal(pread(fd, &header, sizeof header, 0), sizeof header);
    close(fd);
    pnx_id machine = {header.machine[0], header.machine[1]};

    pretend(dir, (pnx_id){1, 2}, machine);
    struct pnx__ledger_view *view = load_ledger(dir);
    assert_false(view->same_boot);
    assert_false(view->elsewhere);
    pnx__ledger_view_free(view);
    pretend(dir, (pnx_id){1, 2}, (pnx_id){3, 4});
    view = load_ledger(dir);
    assert_false(view->same_boot);
    assert_int_equal(view->elsewhere, !pnx_id_is_none(machine));
    pnx__ledger_view_free(view);
    drop_ledger(dir, ledger);
}

/* A valid record of another ledger, and one of this at another place, are not good. */
static void a_record_counts_only_where_it_was_written(void **state)
{
    int dir = open_place(state);
    pnx__ledger *ledger = make_ledger(dir), *other = NULL;
    note(ledger, "k", "1");
    note(ledger, "k", "2");
    pnx_error err = {0};
    assert_ok(pnx__ledger_create(dir, "other", (pnx_id){5, 6}, &other, &err), &err);
    note(other, "k", "other");
    pnx__ledger_close(other);
    char slot[PNX__LEDGER_SLOT];
    int fd = openat(dir, "other", O_RDONLY), ours = openat(dir, "ledger", O_RDWR);
    assert_int_equal(pread(fd, slot, sizeof slot, PNX__LEDGER_SLOT), sizeof slot);
    assert_int_equal(pwrite(ours, slot, sizeof slot, PNX__LEDGER_SLOT), sizeof slot);
    assert_int_equal(pread(ours, slot, sizeof slot, 2L * PNX__LEDGER_SLOT), sizeof slot);
    assert_int_equal(pwrite(ours, slot, sizeof slot, 3L * PNX__LEDGER_SLOT), sizeof slot);
    close(fd);
    close(ours);
    struct pnx__ledger_view *view = load_ledger(dir);
    assert_int_equal(view->records, 1);
    assert_int_equal(view->damaged, 2);
    assert_string_equal(pnx__ledger_view_note(view, "k"), "2");
    pnx__ledger_view_free(view);
    assert_int_equal(unlinkat(dir, "other", 0), 0);
    drop_ledger(dir, ledger);
}

/* ---- many at a time -------------------------------------------------------------------------- */

struct worker {
    pthread_t thread;
    pnx__ledger *ledger;
    unsigned index, rounds;
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    for (unsigned i = 0; i < worker->rounds; i++) {
        char name[64];
        uint32_t resource = 0;
        snprintf(name, sizeof name, "%u/%u", worker->index, i);
        bool durable = i % 64 == 0;
        if (pnx__ledger_intend(worker->ledger, TREE, name, durable, &resource, NULL) ||
            pnx__ledger_bind(worker->ledger, resource, name, durable, NULL) ||
            (i % 2 && pnx__ledger_gone(worker->ledger, resource, name, NULL)) ||
            pnx__ledger_note(worker->ledger, "last", name, NULL))
            return worker;
    }
    return NULL;
}

static void threads_write_at_the_same_time(void **state)
{
    enum { THREADS = 4 };
    int dir = open_place(state);
    struct worker workers[THREADS];
    pnx__ledger *ledger = make_ledger(dir);
    const unsigned rounds = by_effort(2000);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.ledger = ledger, .index = i, .rounds = rounds};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(workers[i].thread, &failed);
        assert_null(failed);
    }
    struct pnx__ledger_view *view = load_ledger(dir);
    assert_int_equal(view->damaged, 0);
    assert_int_equal(view->resource_count, THREADS * rounds);
    assert_int_equal(view->records, THREADS * (3 * rounds + rounds / 2));
    for (size_t i = 0; i < view->resource_count; i++) {
        const struct pnx__ledger_resource *resource = &view->resources[i];
        const char *slash = strchr(resource->name, '/');
        assert_non_null(slash);
        unsigned long round = strtoul(slash + 1, NULL, 10);
        assert_string_equal(resource->identity, resource->name);
        assert_int_equal(resource->state, round % 2 ? PNX__LEDGER_IS_GONE : PNX__LEDGER_IS_BOUND);
    }
    pnx__ledger_view_free(view);
    drop_ledger(dir, ledger);
}

/* ---- the checksum ---------------------------------------------------------------------------- */

static void the_checksum_is_crc32c(void **state)
{
    assert_int_equal(pnx__crc32c(0, "123456789", 9), 0xE3069283); /* of every catalogue of CRCs */
    char zeros[32] = {0};                                         /* RFC 3720, B.4 */
    assert_int_equal(pnx__crc32c(0, zeros, sizeof zeros), 0x8A9136AA);
    char *text = long_text(1000, 3);
    for (size_t from = 0; from < 9; from++)
        for (size_t length = 0; length < 300; length++)
            assert_int_equal(pnx__crc32c(7, text + from, length),
                             pnx__crc32c_by_table(7, text + from, length));
    assert_int_equal(pnx__crc32c(pnx__crc32c(0, "1234", 4), "56789", 5), 0xE3069283);
    free(text);
}

#define placed(test) cmocka_unit_test_setup_teardown(test, make_place, drop_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        placed(what_was_written_is_read),
        placed(entries_come_in_the_order_of_writing),
        placed(a_text_of_any_length_fits_until_the_limit),
        placed(bytes_of_any_value_are_kept),
        placed(it_grows),
        placed(it_ends_at_its_largest_size_before_anything_is_made),
        placed(nonsense_is_refused),
        placed(nothing_comes_after_the_end),
        placed(one_that_exists_is_not_made_again),
        placed(an_adopter_goes_on_where_it_stopped),
        placed(a_torn_tail_is_cut),
        placed(what_follows_a_damaged_record_is_not_lost),
        placed(what_is_no_ledger_is_refused),
        placed(what_is_no_file_is_refused),
        placed(another_users_is_refused),
        placed(one_that_others_may_write_is_refused),
        placed(another_version_is_refused),
        placed(another_boot_and_another_machine_are_told),
        placed(a_record_counts_only_where_it_was_written),
        placed(threads_write_at_the_same_time),
        cmocka_unit_test(the_checksum_is_crc32c),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
