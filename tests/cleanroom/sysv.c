/* SPDX-License-Identifier: MIT */
/* Tests of src/cleanroom/kind/sysv.c, sysv_shm.c, sysv_sem.c and sysv_msg.c. */
#include "sorts.h"

#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

union semun {
    int value;
    unsigned short *values;
    struct semid_ds *about;
};

/* Keys of this process alone: 22 bits of a pid, and 9 that count. */
static const char *new_name(void)
{
    static char name[24];
    static unsigned count;
    unsigned key = ((unsigned)getpid() & 0x3fffff) << 9 | (++count & 0x1ff);
    snprintf(name, sizeof name, "key:0x%08x", key);
    return name;
}

static key_t key_of(const char *name)
{
    return (key_t)strtoul(name + strlen("key:"), NULL, 16);
}

/* ---- the sorts ------------------------------------------------------------------------------- */

static pnx_status make_shm(const char *name, const pnx_keeper *keeper, pnx_thing **ret,
                           pnx_error *err)
{
    return pnx_sysv_shm_create(key_of(name), 4096, keeper, ret, NULL, err);
}

static bool make_foreign_shm(const char *name)
{
    return shmget(key_of(name), 4096, IPC_CREAT | IPC_EXCL | 0600) >= 0;
}

static bool unmake_foreign_shm(const char *name)
{
    return shmctl(shmget(key_of(name), 0, 0), IPC_RMID, NULL) == 0;
}

static bool exists_shm(const char *name)
{
    return shmget(key_of(name), 0, 0) >= 0;
}

static const struct sort sysv_shm = {
    .kind = "sysv-shm",
    .new_name = new_name,
    .make = make_shm,
    .make_foreign = make_foreign_shm,
    .unmake_foreign = unmake_foreign_shm,
    .exists = exists_shm,
};

static pnx_status make_sem(const char *name, const pnx_keeper *keeper, pnx_thing **ret,
                           pnx_error *err)
{
    return pnx_sysv_sem_create(key_of(name), 2, keeper, ret, NULL, err);
}

static bool make_foreign_sem(const char *name)
{
    return semget(key_of(name), 2, IPC_CREAT | IPC_EXCL | 0600) >= 0;
}

static bool unmake_foreign_sem(const char *name)
{
    return semctl(semget(key_of(name), 0, 0), 0, IPC_RMID) == 0;
}

static bool exists_sem(const char *name)
{
    return semget(key_of(name), 0, 0) >= 0;
}

static const struct sort sysv_sem = {
    .kind = "sysv-sem",
    .new_name = new_name,
    .make = make_sem,
    .make_foreign = make_foreign_sem,
    .unmake_foreign = unmake_foreign_sem,
    .exists = exists_sem,
};

static pnx_status make_msg(const char *name, const pnx_keeper *keeper, pnx_thing **ret,
                           pnx_error *err)
{
    return pnx_sysv_msg_create(key_of(name), keeper, ret, NULL, err);
}

static bool make_foreign_msg(const char *name)
{
    return msgget(key_of(name), IPC_CREAT | IPC_EXCL | 0600) >= 0;
}

static bool unmake_foreign_msg(const char *name)
{
    return msgctl(msgget(key_of(name), 0), IPC_RMID, NULL) == 0;
}

static bool exists_msg(const char *name)
{
    return msgget(key_of(name), 0) >= 0;
}

static const struct sort sysv_msg = {
    .kind = "sysv-msg",
    .new_name = new_name,
    .make = make_msg,
    .make_foreign = make_foreign_msg,
    .unmake_foreign = unmake_foreign_msg,
    .exists = exists_msg,
};

static const struct sort *const sorts[] = {&sysv_shm, &sysv_sem, &sysv_msg};
#define SORTS (sizeof sorts / sizeof *sorts)

/* ---- names ----------------------------------------------------------------------------------- */

static void names_that_are_none_are_refused(void **state)
{
    (void)state;
    const char *const names[] = {"",
                                 "key:",
                                 "key:0x00000000",
                                 "key:0x1",
                                 "key:1",
                                 "key:0x0000000g",
                                 "key:0x123456789",
                                 "id:",
                                 "id:-1",
                                 "id:01",
                                 "id:1 ",
                                 "id:99999999999",
                                 "KEY:0x00000001",
                                 "17",
                                 "key:0xABCDEF01",
                                 "id:1\n"};
    for (size_t i = 0; i < SORTS; i++)
        for (size_t j = 0; j < sizeof names / sizeof *names; j++) {
            char identity[PNX_THING_IDENTITY_MAX];
            pnx_error err = {0};
            assert_int_equal(kind_of(sorts[i])->find(names[j], identity, sizeof identity, &err),
                             PNX_EINVAL);
        }
}

static void identities_that_are_none_are_refused(void **state)
{
    (void)state;
    const char *const identities[] = {
        "", "1", "1:2:3:4", "x:00000002:3:4", "1:00000002:3:4 ", "-:00000002:3:4"};
    for (size_t i = 0; i < SORTS; i++)
        for (size_t j = 0; j < sizeof identities / sizeof *identities; j++) {
            pnx_error err = {0};
            assert_int_equal(kind_of(sorts[i])->remove("id:1", identities[j], in_seconds(1), &err),
                             PNX_EINVAL);
        }
}

static void who_asks_for_no_key_gets_a_random_one(void **state)
{
    (void)state;
    pnx_error err = {0};
    pnx_thing *first, *second, *third;
    int id = -1;
    assert_ok(pnx_sysv_shm_create(IPC_PRIVATE, 4096, NULL, &first, &id, &err), &err);
    assert_memory_equal(pnx_thing_name(first), "key:0x", 6);
    struct shmid_ds about;
    assert_int_equal(shmctl(id, IPC_STAT, &about), 0);
    assert_int_equal(about.shm_perm.__key, key_of(pnx_thing_name(first)));
    assert_int_not_equal(about.shm_perm.__key, IPC_PRIVATE);
    assert_int_equal(about.shm_perm.mode & 0777, 0600);
    assert_ok(pnx_sysv_shm_create(IPC_PRIVATE, 4096, NULL, &second, NULL, &err), &err);
    assert_string_not_equal(pnx_thing_name(first), pnx_thing_name(second));
    assert_ok(pnx_sysv_sem_create(IPC_PRIVATE, 3, NULL, &third, &id, &err), &err);
    assert_int_equal(semctl(id, 2, GETVAL), 0);
    pnx_thing *const things[] = {first, second, third};
    for (size_t i = 0; i < 3; i++) {
        assert_ok(pnx_thing_remove(things[i], in_seconds(10), NULL, &err), &err);
        pnx_thing_free(things[i]);
    }
}

static void one_without_a_key_is_known_by_its_id(void **state)
{
    (void)state;
    int id = shmget(IPC_PRIVATE, 8192, IPC_CREAT | 0600);
    assert_true(id >= 0);
    char name[32];
    snprintf(name, sizeof name, "id:%d", id);
    struct wanted wanted = listed(&sysv_shm, name, NULL);
    assert_int_equal(wanted.seen, 1);
    assert_int_equal(wanted.info.creator, getpid());
    assert_int_equal(wanted.info.bytes, 8192);
    pnx_error err = {0};
    pnx_thing *thing;
    assert_ok(pnx_thing_adopt(kind_of(&sysv_shm), name, NULL, &thing, &err), &err);
    pnx_outcome outcome = {0};
    assert_ok(pnx_thing_remove(thing, in_seconds(10), &outcome, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_REMOVED);
    struct shmid_ds about;
    assert_int_equal(shmctl(id, IPC_STAT, &about), -1);
    pnx_thing_free(thing);
}

/* ---- identity -------------------------------------------------------------------------------- */

static void use_does_not_make_it_another_one(void **state)
{
    (void)state;
    pnx_error err = {0};
    char before[PNX_THING_IDENTITY_MAX], after[PNX_THING_IDENTITY_MAX];
    int ids[SORTS];
    pnx_thing *things[SORTS];
    assert_ok(pnx_sysv_shm_create(0, 4096, NULL, &things[0], &ids[0], &err), &err);
    assert_ok(pnx_sysv_sem_create(0, 2, NULL, &things[1], &ids[1], &err), &err);
    assert_ok(pnx_sysv_msg_create(0, NULL, &things[2], &ids[2], &err), &err);

    struct shmid_ds segment;
    assert_int_equal(shmctl(ids[0], IPC_STAT, &segment), 0);
    segment.shm_perm.mode = 0640;
    assert_int_equal(shmctl(ids[0], IPC_SET, &segment), 0);
    assert_int_equal(semctl(ids[1], 0, SETVAL, (union semun){.value = 7}), 0);
    struct msqid_ds queue;
    assert_int_equal(msgctl(ids[2], IPC_STAT, &queue), 0);
    queue.msg_perm.mode = 0640;
    assert_int_equal(msgctl(ids[2], IPC_SET, &queue), 0);
    struct {
        long type;
        char text[100];
    } message = {1, ""};
    assert_int_equal(msgsnd(ids[2], &message, sizeof message.text, 0), 0);
    for (size_t i = 0; i < SORTS; i++) {
        const char *name = pnx_thing_name(things[i]);
        snprintf(before, sizeof before, "%s", pnx_thing_identity(things[i]));
        assert_ok(kind_of(sorts[i])->find(name, after, sizeof after, &err), &err);
        assert_string_equal(before, after);
    }
    assert_int_equal(listed(&sysv_msg, pnx_thing_name(things[2]), NULL).info.bytes, 100);
    for (size_t i = 0; i < SORTS; i++) {
        pnx_outcome outcome = {0};
        assert_ok(pnx_thing_remove(things[i], in_seconds(10), &outcome, &err), &err);
        assert_int_equal(outcome.fate, PNX_FATE_REMOVED);
        pnx_thing_free(things[i]);
    }
}

/* The kernel lets a checkpoint choose the next id: so the same one comes again at once. */
static bool next_id_is(int id)
{
    FILE *file = fopen("/proc/sys/kernel/shm_next_id", "we");
    if (!file)
        return false;
    bool written = fprintf(file, "%d\n", id) > 0;
    return fclose(file) == 0 && written;
}

static void the_same_id_made_by_another_process_is_another_one(void **state)
{
    (void)state;
    expect_apart();
    int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    assert_true(id >= 0);
    char name[32];
    snprintf(name, sizeof name, "id:%d", id);
    pnx_error err = {0};
    pnx_thing *thing;
    assert_ok(pnx_thing_adopt(kind_of(&sysv_shm), name, NULL, &thing, &err), &err);
    assert_int_equal(shmctl(id, IPC_RMID, NULL), 0);
    if (!next_id_is(id)) {
        pnx_thing_free(thing);
        skip();
    }
    pid_t pid = fork();
    if (pid == 0)
        _exit(shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600) == id ? 0 : 1);
    assert_int_equal(status_of_child(pid), 0);
    pnx_outcome outcome = {0};
    assert_ok(pnx_thing_remove(thing, in_seconds(10), &outcome, &err), &err);
    assert_int_equal(outcome.fate, PNX_FATE_ALREADY_GONE);
    struct shmid_ds about;
    assert_int_equal(shmctl(id, IPC_STAT, &about), 0); /* theirs */
    assert_int_equal(shmctl(id, IPC_RMID, NULL), 0);
    pnx_thing_free(thing);
}

static void a_slot_that_was_used_again_is_not_it(void **state)
{
    (void)state;
    expect_apart();
    for (size_t i = 0; i < SORTS; i++) {
        const char *name = new_name();
        pnx_thing *thing = make_one(sorts[i], name);
        assert_true(sorts[i]->unmake_foreign(name));
        /* Another key, the same slot, the next sequence number. */
        const char *other = new_name();
        assert_true(sorts[i]->make_foreign(other));
        pnx_error err = {0};
        assert_ok(pnx_thing_remove(thing, in_seconds(10), NULL, &err), &err);
        assert_true(sorts[i]->exists(other));
        assert_true(sorts[i]->unmake_foreign(other));
        pnx_thing_free(thing);
    }
    int first = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    assert_int_equal(shmctl(first, IPC_RMID, NULL), 0);
    /* The kernel goes through some slots before it takes the first one again. */
    int second = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    for (unsigned i = 0; i < 100000 && second % 32768 != first % 32768; i++) {
        assert_int_equal(shmctl(second, IPC_RMID, NULL), 0);
        second = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    }
    assert_int_not_equal(first, second);
    assert_int_equal(first % 32768, second % 32768);
    char name[32], identity[PNX_THING_IDENTITY_MAX];
    snprintf(name, sizeof name, "id:%d", first);
    pnx_error err = {0};
    assert_int_equal(kind_of(&sysv_shm)->find(name, identity, sizeof identity, &err),
                     PNX_ENOTFOUND);
    assert_int_equal(shmctl(second, IPC_RMID, NULL), 0);
}

/* ---- in use ---------------------------------------------------------------------------------- */

static void what_is_attached_is_told_until_it_is_let_go(void **state)
{
    (void)state;
    expect_apart();
    pnx_error err = {0};
    pnx_thing *thing;
    int id = -1;
    assert_ok(pnx_sysv_shm_create(0, 4096, NULL, &thing, &id, &err), &err);
    void *attached = shmat(id, NULL, 0);
    assert_ptr_not_equal(attached, (void *)-1);
    for (unsigned tries = 1; tries <= 3; tries++) { /* its key is lost with the first */
        pnx_outcome outcome = {0};
        assert_int_equal(pnx_thing_remove(thing, in_seconds(10), &outcome, &err), PNX_EBUSY);
        assert_int_equal(outcome.fate, PNX_FATE_STUCK);
        assert_false(outcome.verified);
        assert_non_null(strstr(outcome.reason, "still attached by 1 process;"));
        struct shmid_ds about;
        assert_int_equal(shmctl(id, IPC_STAT, &about), 0);
        assert_true(about.shm_perm.mode & SHM_DEST);
    }
    /* What only waits for its last user is nothing that was left behind. */
    char name[32];
    snprintf(name, sizeof name, "id:%d", id);
    assert_int_equal(listed(&sysv_shm, name, NULL).seen, 0);

    assert_int_equal(shmdt(attached), 0);
    pnx_outcome outcome = {0};
    assert_ok(pnx_thing_remove(thing, in_seconds(10), &outcome, &err), &err);
    assert_true(outcome.verified);
    pnx_thing_free(thing);
}

static void a_guard_tries_again_until_the_last_one_lets_go(void **state)
{
    (void)state;
    pnx_error err = {0};
    pnx_registry *registry;
    assert_ok(pnx_registry_create(&(pnx_config){.workers = 1}, &registry, &err), &err);
    pnx_thing *thing;
    pnx_outcome outcome = {0};
    int id = -1;
    assert_ok(pnx_sysv_shm_create(0, 4096, NULL, &thing, &id, &err), &err);
    void *attached = shmat(id, NULL, 0);
    assert_ptr_not_equal(attached, (void *)-1);
    {
        pnx_auto(sysv_shm) guard = pnx_reserve(sysv_shm, registry, &err);
        assert_int_equal(guard.status, PNX_OK);
        pnx_thing_watch_by(thing, &outcome);
        assert_true(pnx_arm(&guard, thing));
    }
    struct shmid_ds about = {0};
    pnx_time deadline = in_seconds(20);
    while (!(about.shm_perm.mode & SHM_DEST) && pnx_monotonic_now() < deadline)
        assert_int_equal(shmctl(id, IPC_STAT, &about), 0);
    assert_true(about.shm_perm.mode & SHM_DEST); /* the first attempt has come so far */
    assert_int_equal(shmdt(attached), 0);
    assert_int_equal(pnx_registry_wait_idle(registry, deadline), PNX_OK);
    assert_true(outcome.verified);
    assert_ok(pnx_registry_shutdown(registry, NULL, NULL, &err), &err);
    assert_ok(pnx_registry_destroy(registry, &err), &err);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void impossible_sizes_leave_nothing_and_the_keeper_is_told(void **state)
{
    (void)state;
    const char *name = new_name();
    struct told_keeper told = {0};
    pnx_keeper keeper = keeper_that_tells(&told);
    pnx_error err = {0};
    pnx_thing *thing = NULL;
    assert_int_equal(pnx_sysv_shm_create(key_of(name), 0, &keeper, &thing, NULL, &err), PNX_EINVAL);
    assert_string_equal(told.events, "ig");
    assert_int_equal(told.outcome.fate, PNX_FATE_ALREADY_GONE);
    assert_int_equal(pnx_sysv_sem_create(key_of(name), 0, NULL, &thing, NULL, &err), PNX_EINVAL);
    assert_int_equal(pnx_sysv_sem_create(key_of(name), UINT32_MAX, NULL, &thing, NULL, &err),
                     PNX_EINVAL);
    assert_null(thing);
    assert_false(exists_shm(name));
    assert_false(exists_sem(name));
}

static void limits_of_the_system_are_named(void **state)
{
    (void)state;
    expect_apart();
    FILE *file = fopen("/proc/sys/kernel/shmmni", "we");
    if (!file)
        skip();
    fprintf(file, "2\n");
    if (fclose(file) != 0)
        skip();
    pnx_error err = {0};
    pnx_thing *things[3] = {NULL};
    for (size_t i = 0; i < 2; i++)
        assert_ok(pnx_sysv_shm_create(0, 1, NULL, &things[i], NULL, &err), &err);
    assert_int_equal(pnx_sysv_shm_create(0, 1, NULL, &things[2], NULL, &err), PNX_ELIMIT);
    assert_non_null(strstr(err.message, "ipcs -l"));
    for (size_t i = 0; i < 2; i++) {
        assert_ok(pnx_thing_remove(things[i], in_seconds(10), NULL, &err), &err);
        pnx_thing_free(things[i]);
    }
}

static void many_are_listed(void **state)
{
    (void)state;
    expect_apart();
    unsigned made = 0;
    static int ids[32000];
    while (made < 32000 && (ids[made] = msgget(IPC_PRIVATE, 0600)) >= 0)
        made++;
    assert_true(made >= 1000);
    assert_int_equal(count_of("sysv-msg"), made);
    for (unsigned i = 0; i < made; i++)
        assert_int_equal(msgctl(ids[i], IPC_RMID, NULL), 0);
    assert_int_equal(count_of("sysv-msg"), 0);
}

#define apart(test) cmocka_unit_test_setup_teardown(test, enter_apart, leave_apart)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EVERY_SORT(sysv_shm),
        EVERY_SORT(sysv_sem),
        EVERY_SORT(sysv_msg),
        cmocka_unit_test(names_that_are_none_are_refused),
        cmocka_unit_test(identities_that_are_none_are_refused),
        cmocka_unit_test(who_asks_for_no_key_gets_a_random_one),
        cmocka_unit_test(one_without_a_key_is_known_by_its_id),
        cmocka_unit_test(use_does_not_make_it_another_one),
        apart(the_same_id_made_by_another_process_is_another_one),
        apart(a_slot_that_was_used_again_is_not_it),
        cmocka_unit_test(what_is_attached_is_told_until_it_is_let_go),
        apart(what_is_attached_is_told_until_it_is_let_go),
        cmocka_unit_test(a_guard_tries_again_until_the_last_one_lets_go),
        cmocka_unit_test(impossible_sizes_leave_nothing_and_the_keeper_is_told),
        apart(limits_of_the_system_are_named),
        apart(many_are_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
