/* SPDX-License-Identifier: MIT */
/*
 * The calls that leave the library, each with its fault point first; see sys.h for what they
 * promise. There is no policy in this file.
 */
#include "base/sys.h"

#include "base/random.h"
#include "base/text.h"

#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* futex(2) is called directly and takes the kernel's `long` seconds. */
_Static_assert(sizeof(time_t) == sizeof(long), "FUTEX_WAIT_BITSET needs SYS_futex_time64 here");

#if PNX_FAULTS
_Atomic(pnx__fault_fn) pnx__fault_hook;
#endif

/* ---- memory ---------------------------------------------------------------------------------- */

void *pnx__alloc(size_t size)
{
    if (pnx__fails(PNX__FAULT_ALLOC)) {
        errno = ENOMEM;
        return NULL;
    }
    return calloc(1, size);
}

void pnx__free(void *memory)
{
    /* Not every libc keeps errno in free(3); POSIX asks for it only since its issue 8. */
    int saved = errno;
    free(memory);
    errno = saved;
}

void *pnx__map_bare(size_t size)
{
    if (pnx__fails(PNX__FAULT_MAP)) {
        errno = ENOMEM;
        return NULL;
    }
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory != MAP_FAILED ? memory : NULL;
}

void pnx__unmap_bare(void *memory, size_t size)
{
    if (!memory) {
        return;
    }
    int saved = errno;
    /* Fails only when it would split a mapping at the limit of mappings: then the addresses are
     * lost, but not the memory. */
    if (munmap(memory, size) != 0) {
        (void)madvise(memory, size, MADV_DONTNEED);
    }
    errno = saved;
}

/*
 * LeakSanitizer does not look into mappings: without these, a program under it that keeps a
 * registry until it exits (every one that uses the default registry) is told that what the registry
 * allocated leaked, and fails. Null where the program is not under it.
 */
__attribute__((weak)) void __lsan_register_root_region(const void *memory, size_t size);
__attribute__((weak)) void __lsan_unregister_root_region(const void *memory, size_t size);

void *pnx__map(size_t size)
{
    void *memory = pnx__map_bare(size);
    if (memory && __lsan_register_root_region) {
        __lsan_register_root_region(memory, size);
    }
    return memory;
}

void pnx__unmap(void *memory, size_t size)
{
    int saved = errno;
    if (memory && __lsan_unregister_root_region) {
        __lsan_unregister_root_region(memory, size);
    }
    errno = saved;
    pnx__unmap_bare(memory, size);
}

/* ---- threads --------------------------------------------------------------------------------- */

/* What Linux keeps of a thread's name: TASK_COMM_LEN without the terminator. */
#define THREAD_NAME_MAX 15

struct thread_start {
    void *(*run)(void *);
    void *argument;
    char name[THREAD_NAME_MAX + 1];
};

/*
 * The thread names itself. Were it named by its creator after pthread_create, the creator would use
 * a pthread_t that somebody else may have joined already.
 */
static void *start_thread(void *memory)
{
    struct thread_start start = *(struct thread_start *)memory;
    pnx__free(memory);
    if (start.name[0]) {
        (void)prctl(PR_SET_NAME, start.name);
    }
    return start.run(start.argument);
}

/* pthread_create with all signals blocked from the thread's first instruction on. */
static int create_blocked(pthread_t *thread, const pthread_attr_t *attributes,
                          struct thread_start *start)
{
    pthread_t created;
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    /* The mask is inherited. libc keeps its own two signals, for setuid(2) and cancellation. */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&created, attributes, start_thread, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0) {
        *thread = created;
    }
    return error;
}

static int set_stack(pthread_attr_t *attributes, size_t stack)
{
    if (stack == 0) {
        return 0;
    }
    /* Not a constant: it grows with the registers that the CPU saves on a signal. */
    long least = sysconf(_SC_THREAD_STACK_MIN);
    if (least > 0 && stack < (size_t)least) {
        stack = (size_t)least;
    }
    return pthread_attr_setstacksize(attributes, stack);
}

int pnx__thread_create(pthread_t *thread, size_t stack, void *(*run)(void *), void *argument,
                       const char *name)
{
    if (pnx__fails(PNX__FAULT_THREAD)) {
        return EAGAIN;
    }
    struct thread_start *start = pnx__alloc(sizeof(*start));
    if (!start) {
        return EAGAIN;
    }
    start->run = run;
    start->argument = argument;
    if (name) {
        size_t length = strnlen(name, sizeof(start->name));
        memcpy(start->name, name, pnx__text_cut(name, length, THREAD_NAME_MAX));
    }
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error == 0) {
        error = set_stack(&attributes, stack);
        if (error == 0) {
            error = create_blocked(thread, &attributes, start);
        }
        pthread_attr_destroy(&attributes);
    }
    if (error != 0) {
        pnx__free(start);
    }
    return error;
}

/* ---- clocks ---------------------------------------------------------------------------------- */

pnx_time pnx__clock_fallback(clockid_t clock)
{
    struct timespec time;
    if (syscall(SYS_clock_gettime, clock, &time) != 0) {
        return 0;
    }
    return pnx__time_of(time);
}

/* The kernel takes no negative time; what is before the boot is past in any case. */
static struct timespec timespec_of(pnx_time time)
{
    if (time < 0) {
        time = 0;
    }
    return (struct timespec){.tv_sec = time / PNX_S(1), .tv_nsec = time % PNX_S(1)};
}

/* ---- futex ----------------------------------------------------------------------------------- */

int pnx__futex_wait(_Atomic uint32_t *word, uint32_t expected, pnx_time deadline)
{
    if (pnx__fails(PNX__FAULT_FUTEX_WAIT)) {
        return 0;
    }
    int saved = errno;
    struct timespec until = timespec_of(deadline);
    /* Unlike FUTEX_WAIT the bitset form takes an absolute time: a wait that is interrupted and
     * repeated does not grow longer. */
    long result = syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
                          deadline == PNX_FOREVER ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
    int error = result == 0 ? 0 : errno;
    errno = saved;
    return error == ETIMEDOUT ? ETIMEDOUT : 0;
}

void pnx__futex_wake(_Atomic uint32_t *word, unsigned count)
{
    int saved = errno;
    /* The kernel takes an int. */
    int most = count > INT_MAX ? INT_MAX : (int)count;
    (void)syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, most, NULL, NULL, 0);
    errno = saved;
}

/* ---- descriptors ----------------------------------------------------------------------------- */

int pnx__eventfd(void)
{
    if (pnx__fails(PNX__FAULT_EVENTFD)) {
        errno = EMFILE;
        return -1;
    }
    return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

int pnx__timerfd(void)
{
    if (pnx__fails(PNX__FAULT_TIMERFD)) {
        errno = EMFILE;
        return -1;
    }
    return timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
}

int pnx__timerfd_set(int fd, pnx_time when)
{
    if (pnx__fails(PNX__FAULT_TIMERFD_SET)) {
        return EBADF;
    }
    struct itimerspec timer = {0};
    if (when != PNX_FOREVER) {
        /* All zero would disarm it. */
        timer.it_value = timespec_of(when > 0 ? when : 1);
    }
    int saved = errno;
    int error = timerfd_settime(fd, TFD_TIMER_ABSTIME, &timer, NULL) == 0 ? 0 : errno;
    errno = saved;
    return error;
}

/* ---- randomness ------------------------------------------------------------------------------ */

/*
 * Differs from every other call: in this process by the count, in a fork child by the process id,
 * in other processes by their exec's random bytes, on other machines by those and the clocks. Of
 * the 128 bits that an exec gets only 64 go in, so that nobody can compute the stack protector's
 * secret, which is made of them, from an id; and no address goes in at all.
 */
static uint64_t random_fallback(void)
{
    static _Atomic uint64_t calls;
    uint64_t bytes[2] = {0, 0};
    const void *exec_random = (const void *)getauxval(AT_RANDOM); /* NOLINT: it is an address */
    if (exec_random) {
        memcpy(bytes, exec_random, sizeof(bytes));
    }
    struct timespec wall = {0};
    (void)clock_gettime(CLOCK_REALTIME, &wall);

    uint64_t mixed = pnx__mix64(bytes[0]) ^ bytes[1];
    mixed = pnx__mix64(mixed ^ (uint64_t)pnx__time_of(wall));
    mixed = pnx__mix64(mixed ^ (uint64_t)pnx__now());
    mixed = pnx__mix64(mixed ^ (uint64_t)getpid());
    /* Relaxed: only the count itself must not repeat. */
    return pnx__mix64(mixed ^ atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed));
}

uint64_t pnx__random64(void)
{
    int saved = errno;
    uint64_t random;
    bool refused = pnx__fails(PNX__FAULT_RANDOM) ||
                   getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random);
    if (refused) {
        random = random_fallback();
    }
    errno = saved;
    return random;
}
