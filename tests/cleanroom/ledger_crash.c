/* SPDX-License-Identifier: MIT */
/*
 * Tests of src/cleanroom/ledger: the writer dies at any point, the file is cut at any byte, any bit
 * of it flips.
 */
#include "ledger_support.h"

#include "ledger/scan.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <time.h>

/* Memory that a child shares with us. */
static void *shared_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    return memory;
}

static struct pnx__ledger_scan scan_fd(int fd, pnx__ledger_visit_fn visit, void *context)
{
    pnx_error err = {0};
    struct stat about;
    struct pnx__ledger_scan scan;
    assert_int_equal(fstat(fd, &about), 0);
    assert_ok(pnx__ledger_scan(fd, (uint64_t)about.st_size, "ledger", visit, context, &scan, &err),
              &err);
    return scan;
}

/* ---- killed at a random point ---------------------------------------------------------------- */

enum { THREADS = 3 };

struct writer {
    pnx__ledger *ledger;
    atomic_ullong *acknowledged; /* how many entries, shared with who kills */
    unsigned index;
};

/* The text of entry `number` of a writer: of several lengths, up to five slots. */
static void text_of(unsigned writer, unsigned long long number, char text[512])
{
    int length = snprintf(text, 512, "%u/%llu/", writer, number);
    int wanted = length + (int)(number % 11 ? number % 40 : number % 440);
    memset(text + length, 'x', (size_t)(wanted - length));
    text[wanted] = '\0';
}

static void *write_until_killed(void *argument)
{
    struct writer *writer = argument;
    for (unsigned long long i = 0;; i++) {
        char text[512];
        text_of(writer->index, i, text);
        if (pnx__ledger_note(writer->ledger, "k", text, NULL) != PNX_OK)
            _exit(2);
        /* Release: the entry is in the file when the count says so. Partner: the acquire of who
         * has killed. */
        atomic_store_explicit(&writer->acknowledged[writer->index], i + 1, memory_order_release);
    }
}

/* Starts over when it is as large as a ledger may be: never, in the time it has. */
static void be_killed(int dir, atomic_ullong *acknowledged, unsigned threads)
{
    static struct writer writers[THREADS];
    pnx__ledger *ledger;
    if (pnx__ledger_create(dir, "ledger", SESSION, &ledger, NULL) != PNX_OK)
        _exit(3);
    for (unsigned i = 0; i < threads; i++) {
        pthread_t thread;
        writers[i] = (struct writer){ledger, acknowledged, i};
        if (i + 1 == threads)
            write_until_killed(&writers[i]);
        if (pthread_create(&thread, NULL, write_until_killed, &writers[i]) != 0)
            _exit(4);
    }
}

struct check {
    unsigned long long next[THREADS];
};

static bool check_order(const struct pnx__ledger_entry *entry, void *context)
{
    struct check *check = context;
    char expected[512];
    unsigned writer = (unsigned)entry->text[2] - '0';
    assert_true(writer < THREADS);
    text_of(writer, check->next[writer]++, expected);
    assert_int_equal(entry->event, PNX__LEDGER_NOTE);
    assert_string_equal(entry->text + 2, expected);
    return true;
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

struct totals {
    unsigned long long entries;
    unsigned torn;
};

static void kill_one(int dir, uint64_t *random, unsigned threads, struct totals *totals)
{
    atomic_ullong *acknowledged = shared_memory(THREADS * sizeof *acknowledged);
    for (unsigned i = 0; i < THREADS; i++)
        atomic_init(&acknowledged[i], 0);
    pid_t pid = fork();
    if (pid == 0)
        be_killed(dir, acknowledged, threads);
    assert_true(pid > 0);
    const unsigned long long enough = next_random(random) % 20000;
    const pnx_time deadline = in_seconds(20);
    while (atomic_load_explicit(&acknowledged[0], memory_order_relaxed) < enough &&
           pnx_monotonic_now() < deadline)
        sched_yield();
    for (uint64_t spins = next_random(random) % 3000; spins > 0; spins--)
        atomic_signal_fence(memory_order_seq_cst);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(status_of_child(pid), 128 + SIGKILL);

    int fd = openat(dir, "ledger", O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && enough > 0) {
        struct check check = {0};
        struct pnx__ledger_scan scan = scan_fd(fd, check_order, &check);
        assert_int_equal(scan.damaged, 0);
        totals->torn += scan.torn;
        for (unsigned i = 0; i < threads; i++) {
            /* Acquire: partner of the release in write_until_killed. */
            unsigned long long said = atomic_load_explicit(&acknowledged[i], memory_order_acquire);
            assert_true(check.next[i] >= said && check.next[i] <= said + 1);
            totals->entries += said;
        }
        pnx__ledger *ledger = reopen_ledger(dir); /* whatever the tail is */
        note(ledger, "adopted", "yes");
        pnx__ledger_close(ledger);
        struct pnx__ledger_view *view = load_ledger(dir);
        assert_int_equal(view->damaged, 0);
        assert_false(view->torn);
        assert_string_equal(pnx__ledger_view_note(view, "adopted"), "yes");
        pnx__ledger_view_free(view);
    }
    if (fd >= 0)
        close(fd);
    unlinkat(dir, "ledger", 0);
    munmap(acknowledged, THREADS * sizeof *acknowledged);
}

static void nothing_acknowledged_is_lost_by_kill(void **state)
{
    const char *seed = getenv("PNX_TEST_SEED");
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t random = seed ? strtoull(seed, NULL, 10) : (uint64_t)now.tv_nsec | 1;
    printf("# seed %llu\n", (unsigned long long)random);
    int dir = open_place(state);
    struct totals totals = {0};
    const unsigned rounds = by_effort(120);
    for (unsigned i = 0; i < rounds; i++)
        kill_one(dir, &random, i % 3 == 0 ? THREADS : 1, &totals);
    printf("# %u kills, %llu entries acknowledged, none lost, %u tails torn\n", rounds,
           totals.entries, totals.torn);
    close(dir);
}

/* ---- stopped after every instruction --------------------------------------------------------- */

/*
 * What SIGKILL leaves is what the file was between two instructions of the writer. So the writer is
 * run one instruction at a time, and the file is judged after each: nothing published is ever bad,
 * and nothing acknowledged is ever missing.
 */
static void write_a_little(int dir, atomic_uint *acknowledged)
{
    pnx__ledger *ledger;
    uint32_t resource;
    if (pnx__ledger_open(dir, "ledger", &ledger, NULL) != PNX_OK)
        _exit(2);
    static char name[250];
    memset(name, 'n', sizeof name - 1);
    raise(SIGSTOP); /* from here on step by step */
    if (pnx__ledger_intend(ledger, TREE, name, false, &resource, NULL) != PNX_OK)
        _exit(3);
    atomic_store(acknowledged, 1);
    if (pnx__ledger_bind(ledger, resource, "identity", false, NULL) != PNX_OK)
        _exit(4);
    atomic_store(acknowledged, 2);
    if (pnx__ledger_gone(ledger, resource, "removed", NULL) != PNX_OK)
        _exit(5);
    atomic_store(acknowledged, 3);
    if (pnx__ledger_closed(ledger, NULL) != PNX_OK)
        _exit(6);
    atomic_store(acknowledged, 4);
    _exit(0);
}

static bool count_entry(const struct pnx__ledger_entry *entry, void *context)
{
    unsigned *count = context;
    ++*count;
    assert_int_equal(entry->event, *count); /* INTENT is 1, BOUND 2, GONE 3; CLOSED is 5 */
    if (entry->event == PNX__LEDGER_INTENT)
        assert_int_equal(strlen(entry->text), 249);
    *count += entry->event == PNX__LEDGER_GONE;
    return true;
}

/* A copy of it is adopted, and goes on. */
static void adopt_copy(int dir, const char *bytes, size_t size)
{
    int copy = openat(dir, "copy", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(pwrite(copy, bytes, size, 0), size);
    close(copy);
    pnx_error err = {0};
    pnx__ledger *ledger;
    pnx_status status = pnx__ledger_open(dir, "copy", &ledger, &err);
    if (status != PNX_EALREADY) {
        assert_ok(status, &err);
        note(ledger, "adopted", "yes");
        pnx__ledger_close(ledger);
    }
    struct pnx__ledger_view *view;
    assert_ok(pnx__ledger_load(dir, "copy", &view, &err), &err);
    assert_int_equal(view->damaged, 0);
    assert_false(view->torn);
    assert_int_equal(view->closed, status == PNX_EALREADY);
    pnx__ledger_view_free(view);
}

static void adopt_as_it_is_now(int dir, int fd)
{
    static char bytes[PNX__LEDGER_SIZE_FIRST];
    assert_int_equal(pread(fd, bytes, sizeof bytes, 0), sizeof bytes);
    adopt_copy(dir, bytes, sizeof bytes);
}

static bool start_stepping(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)(long)PTRACE_O_EXITKILL) != 0)
        return false;
    /* Its stop becomes one of ours; then it goes on by single steps. */
    assert_int_equal(ptrace(PTRACE_INTERRUPT, pid, NULL, NULL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    kill(pid, SIGCONT);
    return true;
}

/* One instruction; false: it has ended. */
static bool step(pid_t pid, int *status)
{
    if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0)
        return false;
    assert_int_equal(waitpid(pid, status, 0), pid);
    return WIFSTOPPED(*status);
}

static void a_kill_after_any_instruction_leaves_it_whole(void **state)
{
#if defined(__SANITIZE_THREAD__)
    skip(); /* through the sanitizer's own instructions it takes too long */
#endif
    int dir = open_place(state);
    pnx__ledger_close(make_ledger(dir));
    atomic_uint *acknowledged = shared_memory(sizeof *acknowledged);
    atomic_init(acknowledged, 0);
    pid_t pid = fork();
    if (pid == 0)
        write_a_little(dir, acknowledged);
    if (!start_stepping(pid)) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        unlinkat(dir, "ledger", 0);
        close(dir);
        skip(); /* nobody may be traced here */
    }
    int fd = openat(dir, "ledger", O_RDONLY | O_CLOEXEC), status = 0;
    unsigned steps = 0, torn = 0, most = 0;
    while (step(pid, &status)) {
        unsigned entries = 0;
        struct pnx__ledger_scan scan = scan_fd(fd, count_entry, &entries);
        entries = entries > 3 ? entries - 1 : entries; /* there is no event 4 among them */
        assert_int_equal(scan.damaged, 0);
        assert_true(entries >= atomic_load(acknowledged) && entries >= most);
        most = entries;
        torn += scan.torn;
        if (scan.torn || steps % 64 == 0)
            adopt_as_it_is_now(dir, fd);
        steps++;
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(most, 4);
    assert_true(torn > 0); /* we have seen it half-written */
    printf("# %u instructions, half-written after %u of them\n", steps, torn);
    close(fd);
    unlinkat(dir, "copy", 0);
    unlinkat(dir, "ledger", 0);
    munmap(acknowledged, sizeof *acknowledged);
    close(dir);
}

/* ---- cut and flipped ------------------------------------------------------------------------- */

#define ENTRIES 9

/* A small ledger with everything in it, its bytes and its entries. */
struct sample {
    char bytes[24 * PNX__LEDGER_SLOT];
    unsigned slots, count;
    struct {
        struct pnx__ledger_entry entry;
        char text[300];
        unsigned end; /* the slot after it */
    } entries[ENTRIES];
};

static bool add_to_sample(const struct pnx__ledger_entry *entry, void *context)
{
    struct sample *sample = context;
    assert_true(sample->count < ENTRIES);
    unsigned before = sample->count ? sample->entries[sample->count - 1].end : 1;
    sample->entries[sample->count].entry = *entry;
    sample->entries[sample->count].end = before + pnx__ledger_parts(strlen(entry->text));
    snprintf(sample->entries[sample->count++].text, 300, "%s", entry->text);
    return true;
}

static struct sample *make_sample(int dir)
{
    pnx_error err = {0};
    struct sample *sample = calloc(1, sizeof *sample);
    pnx__ledger *ledger = make_ledger(dir);
    char *text = long_text(250, 1);
    note(ledger, "name", "sample");
    bind_to(ledger, intend(ledger, text), "identity");
    intend(ledger, "/tmp/second");
    note(ledger, "long", text);
    say_gone(ledger, 1);
    bind_to(ledger, 2, text);
    note(ledger, "name", "changed");
    assert_ok(pnx__ledger_closed(ledger, &err), &err);
    pnx__ledger_close(ledger);
    free(text);
    int fd = openat(dir, "ledger", O_RDWR | O_CLOEXEC);
    struct pnx__ledger_scan scan = scan_fd(fd, add_to_sample, sample);
    sample->slots = scan.tail;
    assert_true(sample->slots < 24);
    assert_int_equal(sample->count, ENTRIES);
    assert_int_equal(sample->entries[ENTRIES - 1].end, scan.tail);
    assert_int_equal(pread(fd, sample->bytes, sizeof sample->bytes, 0), sizeof sample->bytes);
    assert_int_equal(ftruncate(fd, sizeof sample->bytes), 0);
    close(fd);
    return sample;
}

static bool is_entry(const struct sample *sample, unsigned at, const struct pnx__ledger_entry *e)
{
    const struct pnx__ledger_entry *original = &sample->entries[at].entry;
    return e->event == original->event && e->kind == original->kind &&
           e->resource == original->resource && e->time == original->time &&
           strcmp(e->text, sample->entries[at].text) == 0;
}

/* What is read of it must be a part of what was written, in its order. */
struct reading {
    const struct sample *sample;
    unsigned next, count;
};

static bool must_be_original(const struct pnx__ledger_entry *entry, void *context)
{
    struct reading *reading = context;
    while (reading->next < ENTRIES && !is_entry(reading->sample, reading->next, entry))
        reading->next++;
    assert_true(reading->next < ENTRIES);
    reading->next++;
    reading->count++;
    return true;
}

static void it_may_be_cut_at_any_byte(void **state)
{
    int dir = open_place(state);
    struct sample *sample = make_sample(dir);
    int fd = openat(dir, "ledger", O_RDWR | O_CLOEXEC);
    for (unsigned size = sizeof sample->bytes; size-- > 0;) {
        assert_int_equal(ftruncate(fd, size), 0);
        struct reading reading = {.sample = sample};
        struct pnx__ledger_scan scan;
        pnx_error err = {0};
        pnx_status status =
            pnx__ledger_scan(fd, size, "ledger", must_be_original, &reading, &scan, &err);
        if (size < PNX__LEDGER_SLOT) {
            assert_int_equal(status, size ? PNX_EINVAL : PNX_ECANCELED);
            continue;
        }
        assert_ok(status, &err);
        unsigned whole = 0;
        while (whole < ENTRIES && sample->entries[whole].end * PNX__LEDGER_SLOT <= size)
            whole++;
        assert_int_equal(reading.count, whole);
        assert_int_equal(scan.damaged, 0);
        /* Cut between two entries nothing shows; within one it does, as soon as a byte is there
         * that is not 0: the first of a record is of its CRC. */
        bool between = scan.tail * PNX__LEDGER_SLOT == size || whole == ENTRIES;
        if (between || size % PNX__LEDGER_SLOT > 16)
            assert_int_equal(scan.torn, !between);
        if (whole < ENTRIES)
            adopt_copy(dir, sample->bytes, size);
    }
    close(fd);
    assert_int_equal(unlinkat(dir, "copy", 0), 0);
    assert_int_equal(unlinkat(dir, "ledger", 0), 0);
    free(sample);
    close(dir);
}

static unsigned entry_of_slot(const struct sample *sample, unsigned slot)
{
    unsigned at = 0;
    while (at < ENTRIES && sample->entries[at].end <= slot)
        at++;
    return at;
}

static void any_bit_of_it_may_flip(void **state)
{
    int dir = open_place(state);
    struct sample *sample = make_sample(dir);
    int fd = openat(dir, "ledger", O_RDWR | O_CLOEXEC);
    for (unsigned bit = 0; bit < sizeof sample->bytes * 8; bit++) {
        const unsigned slot = bit / 8 / PNX__LEDGER_SLOT;
        char flipped = (char)(sample->bytes[bit / 8] ^ (1 << bit % 8));
        assert_int_equal(pwrite(fd, &flipped, 1, bit / 8), 1);
        struct reading reading = {.sample = sample};
        struct pnx__ledger_scan scan;
        pnx_status status = pnx__ledger_scan(fd, sizeof sample->bytes, "ledger", must_be_original,
                                             &reading, &scan, NULL);
        if (slot == 0) {
            assert_true(status == PNX_EINVAL || status == PNX_EUNSUPPORTED);
        } else {
            assert_int_equal(status, PNX_OK);
            bool used = slot < sample->slots;
            assert_int_equal(reading.count, ENTRIES - used);
            assert_true(scan.damaged || scan.torn);
            if (used) /* and nothing but the entry that it is in */
                assert_true(entry_of_slot(sample, slot) < ENTRIES);
        }
        assert_int_equal(pwrite(fd, &sample->bytes[bit / 8], 1, bit / 8), 1);
    }
    close(fd);
    assert_int_equal(unlinkat(dir, "ledger", 0), 0);
    free(sample);
    close(dir);
}

/* ---- read while it is written ---------------------------------------------------------------- */

static void a_reader_never_sees_damage_in_what_is_being_written(void **state)
{
    int dir = open_place(state);
    const unsigned long long enough = by_effort(200000);
    atomic_ullong *acknowledged = shared_memory(sizeof *acknowledged);
    atomic_init(acknowledged, 0);
    pnx__ledger *ledger = make_ledger(dir);
    pid_t pid = fork();
    if (pid == 0) {
        pnx__ledger_close(ledger);
        pnx__ledger *own;
        if (pnx__ledger_open(dir, "ledger", &own, NULL) != PNX_OK)
            _exit(2);
        for (unsigned long long i = 0; i < enough; i++) {
            char text[512];
            text_of(0, i, text);
            if (pnx__ledger_note(own, "k", text, NULL) != PNX_OK)
                _exit(3);
            atomic_store_explicit(acknowledged, i + 1, memory_order_release);
        }
        _exit(0);
    }
    unsigned readings = 0;
    unsigned long long said;
    int fd = openat(dir, "ledger", O_RDONLY | O_CLOEXEC);
    do {
        /* Acquire: partner of the child's release. */
        said = atomic_load_explicit(acknowledged, memory_order_acquire);
        struct check check = {0};
        struct pnx__ledger_scan scan = scan_fd(fd, check_order, &check);
        assert_int_equal(scan.damaged, 0);
        assert_true(check.next[0] >= said);
        readings++;
    } while (said < enough);
    assert_int_equal(status_of_child(pid), 0);
    printf("# read %u times while %llu entries were written\n", readings, enough);
    munmap(acknowledged, sizeof *acknowledged);
    close(fd);
    drop_ledger(dir, ledger);
}

#define placed(test) cmocka_unit_test_setup_teardown(test, make_place, drop_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        placed(nothing_acknowledged_is_lost_by_kill),
        placed(a_kill_after_any_instruction_leaves_it_whole),
        placed(it_may_be_cut_at_any_byte),
        placed(any_bit_of_it_may_flip),
        placed(a_reader_never_sees_damage_in_what_is_being_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
