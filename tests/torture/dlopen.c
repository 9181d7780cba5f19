/* SPDX-License-Identifier: MIT */
/*
 * Promises about loading: dlclose(3) of the shared library while it is in use, and the end of
 * threads that used it, crash nothing (it stays mapped: -z nodelete); and two copies of the library
 * in one process, each linked into an object of its own, do not know of each other.
 *
 * The paths of the objects are the arguments after the name of the case.
 */
#include "support.h"

#include <dlfcn.h>
#include <pthread.h>

static const char *shared_library, *copies[2];

/* ---- the shared library ---------------------------------------------------------------------- */

static __typeof__(pnx_registry_create) *create;
static __typeof__(pnx_registry_shutdown) *shut_down;
static __typeof__(pnx_registry_destroy) *destroy;
static __typeof__(pnx_register) *add;
static __typeof__(pnx_release_all) *release_all;
static __typeof__(pnx_registry_wait_idle) *wait_idle;
static __typeof__(pnx_registry_default) *default_one;

#define LOOK_UP(variable, name)                                                                    \
    do {                                                                                           \
        *(void **)(void *)&(variable) = dlsym(library, name);                                      \
        child_check((variable) != NULL);                                                           \
    } while (0)

static void load(void **ret_library)
{
    void *library = dlopen(shared_library, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        dprintf(STDERR_FILENO, "dlopen: %s\n", dlerror());
        _exit(CHILD_BROKEN);
    }
    LOOK_UP(create, "pnx_registry_create");
    LOOK_UP(shut_down, "pnx_registry_shutdown");
    LOOK_UP(destroy, "pnx_registry_destroy");
    LOOK_UP(add, "pnx_register");
    LOOK_UP(release_all, "pnx_release_all");
    LOOK_UP(wait_idle, "pnx_registry_wait_idle");
    LOOK_UP(default_one, "pnx_registry_default");
    *ret_library = library;
}

static _Atomic int released;

static pnx_status release(void *value, const pnx_release *why)
{
    (void)value;
    (void)why;
    atomic_fetch_add(&released, 1);
    return PNX_OK;
}
static const pnx_kind kind = {.name = "thing", .release = release};

static _Atomic int added;
static _Atomic bool closed;

static void *use(void *registry)
{
    for (int i = 0; i < 100; i++)
        if (add(registry, &kind, NULL, PNX_HERE, NULL, NULL) == PNX_OK)
            atomic_fetch_add(&added, 1);
    child_check(wait_for(atomic_load(&closed)));
    for (int i = 0; i < 100; i++)
        if (add(registry, &kind, NULL, PNX_HERE, NULL, NULL) == PNX_OK)
            atomic_fetch_add(&added, 1);
    return NULL; /* its key destructor is the library's */
}

static int closed_while_in_use(void)
{
    void *library;
    pnx_registry *registry = NULL;
    pthread_t threads[3];
    load(&library);
    child_check(create(NULL, &registry, NULL) == PNX_OK);
    child_check(default_one() != NULL); /* left to the exit hook, which is the library's too */
    for (unsigned i = 0; i < 3; i++)
        child_check(pthread_create(&threads[i], NULL, use, registry) == 0);
    child_check(wait_for(atomic_load(&added) >= 300));
    child_check(dlclose(library) == 0);
    atomic_store(&closed, true);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    child_check(add(registry, &kind, NULL, PNX_HERE, NULL, NULL) == PNX_OK);
    child_check(release_all(registry, NULL, PNX_FOREVER, NULL) == PNX_OK);
    child_check(released == added + 1);
    child_check(shut_down(registry, NULL, NULL, NULL) == PNX_OK);
    child_check(destroy(registry, NULL) == PNX_OK);
    return 0;
}

/* Loaded and closed again and again, and the last time for good. */
static int loaded_again_and_again(void)
{
    for (unsigned long i = 0; i < effort(50); i++) {
        void *library;
        pnx_registry *registry = NULL;
        load(&library);
        child_check(create(NULL, &registry, NULL) == PNX_OK);
        child_check(add(registry, &kind, NULL, PNX_HERE, NULL, NULL) == PNX_OK);
        if (i % 2 == 0) {
            child_check(shut_down(registry, NULL, NULL, NULL) == PNX_OK);
            child_check(destroy(registry, NULL) == PNX_OK);
        }
        child_check(dlclose(library) == 0);
    }
    return 0;
}

/* ---- two copies ------------------------------------------------------------------------------ */

/* See dlopen_copy.c. */
typedef void *(*copy_default_fn)(void);
typedef int (*copy_use_fn)(void *registry, int count);

static void *use_copy(void *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        dprintf(STDERR_FILENO, "dlopen: %s\n", dlerror());
        _exit(CHILD_BROKEN);
    }
    copy_default_fn get_default;
    copy_use_fn use_it;
    *(void **)(void *)&get_default = dlsym(library, "copy_default");
    *(void **)(void *)&use_it = dlsym(library, "copy_use");
    child_check(get_default != NULL && use_it != NULL);
    void *registry = get_default();
    child_check(registry != NULL);
    child_check(use_it(registry, 1000) == 1000);
    return registry;
}

static int two_copies(void)
{
    pthread_t threads[2];
    void *registries[2];
    for (unsigned i = 0; i < 2; i++)
        child_check(pthread_create(&threads[i], NULL, use_copy, (void *)copies[i]) == 0);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], &registries[i]);
    child_check(registries[0] != registries[1]);
    /* The same thread, now in both; and each has a child of its own after a fork. */
    child_check(use_copy((void *)copies[0]) == registries[0]);
    child_check(use_copy((void *)copies[1]) == registries[1]);
    if (UNDER_TSAN) /* it cannot start threads in the child of a program that has some */
        return 0;
    const pid_t child = fork();
    if (child == 0) {
        child_check(use_copy((void *)copies[0]) != registries[0]);
        child_check(use_copy((void *)copies[1]) != registries[1]);
        exit(0);
    }
    int status = 0;
    child_check(waitpid(child, &status, 0) == child);
    child_check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return 0;
}

/* ---- the tests ------------------------------------------------------------------------------- */

static const struct child_case cases[] = {
    {"closed_while_in_use", closed_while_in_use},
    {"loaded_again_and_again", loaded_again_and_again},
    {"two_copies", two_copies},
};

static void dlclose_while_in_use(void **state)
{
    (void)state;
    expect_child("closed_while_in_use", NULL, 0);
}

static void dlclose_again_and_again(void **state)
{
    (void)state;
    expect_child("loaded_again_and_again", NULL, 0);
}

static void two_copies_live_together(void **state)
{
    (void)state;
    expect_child("two_copies", NULL, 0);
}

int main(int argc, char **argv)
{
    int status;
    if (argc == 4) { /* children find the paths in the environment */
        setenv("TEST_SHARED_LIBRARY", argv[1], 1);
        setenv("TEST_COPY_1", argv[2], 1);
        setenv("TEST_COPY_2", argv[3], 1);
    }
    shared_library = getenv("TEST_SHARED_LIBRARY");
    copies[0] = getenv("TEST_COPY_1");
    copies[1] = getenv("TEST_COPY_2");
    if (child_ran(argc, argv, cases, sizeof cases / sizeof *cases, &status))
        return status;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dlclose_while_in_use),
        cmocka_unit_test(dlclose_again_and_again),
        cmocka_unit_test(two_copies_live_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
