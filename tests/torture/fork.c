/* SPDX-License-Identifier: MIT */
/*
 * Promises about fork(2): the child releases nothing of its parent's, unless the kind says that the
 * child has a copy; what it asks of a registry of its parent's is refused with advice; registries
 * of its own, and a default one, work; its exit cleans up nothing of the parent's; and none of that
 * depends on what other threads of the parent were doing, nor on how many generations there are.
 */
#include "support.h"

#include <pthread.h>
#include <sys/mman.h>

/* Counted in memory that parent and children share. */
static struct counts {
    _Atomic int released, released_by_children, copies;
} * shared;

static pid_t owner;

static pnx_status release(int value, const pnx_release *why)
{
    (void)value;
    (void)why;
    atomic_fetch_add(getpid() == owner ? &shared->released : &shared->released_by_children, 1);
    return PNX_OK;
}
static pnx_status release_copy(int value, const pnx_release *why)
{
    (void)value;
    (void)why;
    atomic_fetch_add(&shared->copies, 1);
    return PNX_OK;
}
PNX_KIND(mine, int, release);
PNX_KIND(copied, int, release_copy, .on_fork = PNX_FORK_RELEASE);

static void prepare(void)
{
    owner = getpid();
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    child_check(shared != MAP_FAILED);
}

static pnx_registry *make(const char *name)
{
    pnx_registry *registry = NULL;
    pnx_error err = {0};
    if (pnx_registry_create(&(pnx_config){.name = name, .workers = 2}, &registry, &err) != PNX_OK) {
        dprintf(STDERR_FILENO, "create: %s\n", err.message);
        _exit(CHILD_BROKEN);
    }
    return registry;
}

static void end(pnx_registry *registry)
{
    child_check(pnx_registry_shutdown(registry, NULL, NULL, NULL) == PNX_OK);
    child_check(pnx_registry_destroy(registry, NULL) == PNX_OK);
}

/* Does any thread but this one run? */
static bool others_run(void)
{
    bool run = false;
    DIR *tasks = opendir("/proc/self/task");
    child_check(tasks != NULL);
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        char path[300], line[256] = "";
        if (task->d_name[0] == '.' || strtol(task->d_name, NULL, 10) == gettid())
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/stat", task->d_name);
        FILE *stat = fopen(path, "re");
        if (stat == NULL)
            continue; /* it has just ended */
        if (fgets(line, sizeof line, stat) != NULL && strstr(line, ") S ") == NULL)
            run = true;
        fclose(stat);
    }
    closedir(tasks);
    return run;
}

/* ASan does not look after the locks of its allocator: whoever allocates while this one forks
 * leaves a child that cannot. */
static pid_t fork_in_peace(void)
{
    unsigned asleep = 0;
    child_check(!UNDER_ASAN || wait_for((asleep = others_run() ? 0 : asleep + 1) == 20));
    return fork();
}

static void wait_for_child(pid_t child)
{
    int status = 0;
    pid_t ended = 0;
    child_check(child > 0);
    child_check(wait_for((ended = waitpid(child, &status, WNOHANG)) != 0));
    child_check(ended == child);
    child_check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* A registry of this process's own does all that a registry does. */
static void use_own_registry(pnx_registry *registry)
{
    const int before = shared->released + shared->released_by_children;
    pnx_error err = {0};
    mine_guard guard = pnx_reserve(mine, registry, &err);
    child_check(guard.status == PNX_OK);
    child_check(pnx_arm(&guard, 1));
    pnx_drop(&guard);
    child_check(pnx_registry_wait_idle(registry, soon()) == PNX_OK);
    child_check(shared->released + shared->released_by_children > before);
}

static void expect_refusals(pnx_registry *registry, pnx_id id, pnx_token token)
{
    pnx_error err = {0};
    const int value = 1;
    pnx_id ret;
    pnx_stats stats;
    pnx_report report;
    pnx_monitor *monitor;
    mine_guard guard = pnx_reserve(mine, registry, &err);
    child_check(guard.status == PNX_EFORKED);
    child_check(err.code == PNX_EFORKED && strstr(err.message, "child") != NULL);
    child_check(pnx_register(registry, mine_kind, &value, PNX_HERE, &ret, NULL) == PNX_EFORKED);
    child_check(pnx_unregister(registry, id, NULL, NULL) == PNX_EFORKED);
    child_check(pnx_release_later(registry, id, NULL) == PNX_EFORKED);
    child_check(pnx_release_now(registry, id, PNX_FOREVER, NULL) == PNX_EFORKED);
    child_check(pnx_release_batch(registry, &id, 1, NULL, PNX_FOREVER, NULL) == PNX_EFORKED);
    child_check(pnx_release_all(registry, NULL, PNX_FOREVER, NULL) == PNX_EFORKED);
    child_check(pnx_complete(token, PNX_OK) == PNX_EFORKED);
    child_check(pnx_registry_wait_idle(registry, PNX_FOREVER) == PNX_EFORKED);
    child_check(pnx_registry_stats(registry, &stats, NULL) == PNX_EFORKED);
    child_check(pnx_registry_report(registry, &report, NULL) == PNX_EFORKED);
    child_check(pnx_registry_health(registry, NULL, NULL) == PNX_HEALTH_FAILING);
    child_check(pnx_registry_forget_failed(registry) == 0);
    child_check(pnx_registry_step(registry, 1) == 0);
    child_check(pnx_monitor_attach(registry, pnx_monitor_log, NULL, &monitor, NULL) == PNX_EFORKED);
    child_check(pnx_resource_set_metadata(registry, id, "k", "v", NULL) == PNX_EFORKED);
    child_check(pnx_expire_after(registry, id, 1) != PNX_OK);
    child_check(pnx_registry_shutdown(registry, NULL, NULL, NULL) == PNX_EFORKED);
    child_check(pnx_registry_destroy(registry, NULL) == PNX_EFORKED);
}

static int child_disowns(void)
{
    prepare();
    pnx_registry *registry = make("parent");
    mine_guard guard = pnx_reserve(mine, registry, NULL);
    copied_guard copy = pnx_reserve(copied, registry, NULL);
    mine_guard reserved = pnx_reserve(mine, registry, NULL);
    mine_guard taken = pnx_reserve(mine, registry, NULL);
    child_check(pnx_arm(&guard, 1) && pnx_arm(&copy, 2) && pnx_arm(&taken, 4));
    const pid_t child = fork_in_peace();
    if (child == 0) {
        const pnx_id id = pnx_id_of(&guard);
        expect_refusals(registry, id, (pnx_token){.registry = registry, .id = id, .attempt = 1});
        child_check(pnx_take(&taken) == 4); /* its copy is its own */
        child_check(pnx_close(&guard, NULL) == PNX_OK);
        child_check(!pnx_arm(&reserved, 3) || true);
        pnx_drop(&reserved);
        child_check(shared->copies == 0);
        pnx_drop(&copy);
        child_check(shared->copies == 1);
        pnx_drop(&copy);
        child_check(shared->copies == 1);
        child_check(shared->released + shared->released_by_children == 0);
        pnx_registry *own = make("child");
        use_own_registry(own);
        end(own);
        child_check(pnx_registry_default() != NULL);
        use_own_registry(pnx_registry_default());
        exit(0); /* with all exit hooks */
    }
    wait_for_child(child);
    child_check(shared->released_by_children == 2 && shared->released == 0);
    child_check(shared->copies == 1);
    pnx_drop(&guard);
    pnx_drop(&copy);
    pnx_drop(&reserved);
    child_check(pnx_take(&taken) == 4);
    child_check(pnx_registry_wait_idle(registry, soon()) == PNX_OK);
    child_check(shared->released == 1 && shared->copies == 2);
    pnx_counts counts;
    pnx_registry_counts(registry, &counts);
    child_check(counts.registered == 2 && counts.done == 2 && counts.taken == 1);
    end(registry);
    return 0;
}

/* The default registry of parent and child are two. */
static int child_has_its_own_default(void)
{
    prepare();
    pnx_registry *parents = pnx_registry_default();
    mine_guard guard = pnx_reserve(mine, parents, NULL);
    child_check(pnx_arm(&guard, 1));
    const pid_t child = fork_in_peace();
    if (child == 0) {
        child_check(pnx_registry_default() != NULL);
        child_check(pnx_registry_default() != parents);
        use_own_registry(pnx_registry_default());
        exit(0);
    }
    wait_for_child(child);
    child_check(shared->released == 0);
    child_check(pnx_registry_default() == parents);
    child_check(pnx_close(&guard, NULL) == PNX_OK);
    child_check(shared->released == 1);
    return 0;
}

/* What nobody gives back before exit is released by the parent's exit, once, and by no child's. */
static int exit_of_child_cleans_nothing(void)
{
    prepare();
    const int value = 1;
    child_check(pnx_register(pnx_registry_default(), mine_kind, &value, PNX_HERE, NULL, NULL) ==
                PNX_OK);
    const pid_t child = fork_in_peace();
    if (child == 0)
        exit(0);
    wait_for_child(child);
    child_check(shared->released + shared->released_by_children == 0);
    const pid_t again =
        fork_in_peace(); /* the parent's part is played by a child that was the owner */
    if (again == 0)
        return 0;
    wait_for_child(again);
    child_check(shared->released + shared->released_by_children == 0);
    return 0;
}

static void generation(unsigned left)
{
    pnx_registry *registry = make("generation");
    mine_guard guard = pnx_reserve(mine, registry, NULL);
    child_check(pnx_arm(&guard, 1));
    use_own_registry(registry);
    use_own_registry(pnx_registry_default());
    if (left > 0) {
        const pid_t child = fork_in_peace();
        if (child == 0) {
            mine_guard refused = pnx_reserve(mine, registry, NULL);
            child_check(refused.status == PNX_EFORKED);
            pnx_drop(&guard);
            generation(left - 1);
            exit(0);
        }
        wait_for_child(child);
    }
    use_own_registry(registry);
    pnx_drop(&guard);
    end(registry);
}

static int generations(void)
{
    prepare();
    generation(3);
    return 0;
}

/* ---- while others are at it ------------------------------------------------------------------ */

static pnx_registry *hammered;
static _Atomic bool enough;

static void *hammer(void *argument)
{
    (void)argument;
    while (!atomic_load(&enough)) {
        mine_guard guard = pnx_reserve(mine, hammered, NULL);
        if (guard.status != PNX_OK || !pnx_arm(&guard, 1))
            continue;
        (void)pnx_resource_set_metadata(hammered, pnx_id_of(&guard), "k", "v", NULL);
        (void)pnx_expire_after(hammered, pnx_id_of(&guard), PNX_MS(1));
        pnx_stats stats = {0};
        if (pnx_registry_stats(hammered, &stats, NULL) == PNX_OK)
            pnx_stats_done(&stats);
        pnx_drop(&guard);
        pnx_registry *brief = NULL;
        if (pnx_registry_create(&(pnx_config){.executor = PNX_MANUAL}, &brief, NULL) == PNX_OK) {
            (void)pnx_registry_shutdown(brief, NULL, NULL, NULL);
            (void)pnx_registry_destroy(brief, NULL);
        }
    }
    return NULL;
}

static int forks_while_others_work(void)
{
    prepare();
    hammered = make("hammered");
    pnx_monitor *monitor = NULL;
    child_check(pnx_monitor_attach(hammered, pnx_monitor_log, NULL, &monitor, NULL) == PNX_OK);
    pthread_t threads[4];
    for (unsigned i = 0; i < 4; i++)
        child_check(pthread_create(&threads[i], NULL, hammer, NULL) == 0);
    for (unsigned long i = 0; i < effort(200); i++) {
        mine_guard guard = pnx_reserve(mine, hammered, NULL);
        child_check(guard.status == PNX_OK && pnx_arm(&guard, 1));
        const pid_t child = fork();
        if (child == 0) {
            shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                          -1, 0); /* of its own, to count in */
            pnx_drop(&guard);
            mine_guard refused = pnx_reserve(mine, hammered, NULL);
            child_check(refused.status == PNX_EFORKED);
            child_check(shared->released_by_children == 0);
            use_own_registry(pnx_registry_default());
            exit(0);
        }
        wait_for_child(child);
        pnx_drop(&guard);
    }
    atomic_store(&enough, true);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    child_check(pnx_registry_wait_idle(hammered, soon()) == PNX_OK);
    pnx_counts counts;
    pnx_registry_counts(hammered, &counts);
    child_check(counts.done == counts.registered && (int)counts.done == shared->released);
    pnx_monitor_detach(monitor);
    end(hammered);
    return 0;
}

/* A release that forks: the child is inside a release of a registry that it does not have. */
static pnx_status fork_inside(int value, const pnx_release *why)
{
    (void)value;
    const pid_t child = fork_in_peace();
    if (child == 0) {
        pnx_registry *own = NULL;
        mine_guard refused = pnx_reserve(mine, why->registry, NULL);
        child_check(refused.status == PNX_EFORKED);
        child_check(pnx_registry_create(NULL, &own, NULL) == PNX_OK);
        use_own_registry(own);
        end(own);
        _exit(0);
    }
    wait_for_child(child);
    return PNX_OK;
}
PNX_KIND(forking, int, fork_inside);

static int fork_in_a_release(void)
{
    prepare();
    pnx_registry *registry = make("forking");
    forking_guard guard = pnx_reserve(forking, registry, NULL);
    child_check(pnx_arm(&guard, 1));
    child_check(pnx_close(&guard, NULL) == PNX_OK);
    end(registry);
    return 0;
}

/* ---- the tests ------------------------------------------------------------------------------- */

static const struct child_case cases[] = {
#define CASE(function)                                                                             \
    {                                                                                              \
#function, function                                                                        \
    }
    CASE(child_disowns), CASE(child_has_its_own_default), CASE(exit_of_child_cleans_nothing),
    CASE(generations),   CASE(forks_while_others_work),   CASE(fork_in_a_release),
};

#define TEST(NAME)                                                                                 \
    static void test_##NAME(void **state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
        if (UNDER_TSAN) /* it cannot start threads in the child of a program that has some */      \
            skip();                                                                                \
        expect_child(#NAME, NULL, 0);                                                              \
    }
TEST(child_disowns)
TEST(child_has_its_own_default)
TEST(exit_of_child_cleans_nothing)
TEST(generations)
static void test_forks_while_others_work(void **state)
{
    (void)state;
    if (UNDER_TSAN || UNDER_ASAN) /* see fork_in_peace */
        skip();
    expect_child("forks_while_others_work", NULL, 0);
}
TEST(fork_in_a_release)

int main(int argc, char **argv)
{
    int status;
    if (child_ran(argc, argv, cases, sizeof cases / sizeof *cases, &status))
        return status;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_child_disowns),
        cmocka_unit_test(test_child_has_its_own_default),
        cmocka_unit_test(test_exit_of_child_cleans_nothing),
        cmocka_unit_test(test_generations),
        cmocka_unit_test(test_forks_while_others_work),
        cmocka_unit_test(test_fork_in_a_release),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
