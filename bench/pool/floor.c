/* SPDX-License-Identifier: MIT */
/* Strict first come, first served: a mutex, a queue with a futex per waiter, direct hand-over. */
#include "common/bench.h"
#include "peer.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

struct waiter {
    struct waiter *next;
    _Atomic int served;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned idle;
static struct waiter *first, **last = &first;

static void open_queue(unsigned size)
{
    idle = size;
}

static void *borrow(void)
{
    struct waiter waiter = {0};
    pthread_mutex_lock(&lock);
    const int at_once = idle > 0 && first == NULL;
    if (at_once) {
        idle--;
    } else {
        *last = &waiter;
        last = &waiter.next;
    }
    pthread_mutex_unlock(&lock);
    while (!at_once && !atomic_load(&waiter.served))
        syscall(SYS_futex, &waiter.served, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    /* NOLINTNEXTLINE(clang-analyzer-core.StackAddressEscape): who serves it takes it out */
    return &idle;
}

static void give_back(void *thing)
{
    (void)thing;
    pthread_mutex_lock(&lock);
    struct waiter *head = first;
    if (head == NULL) {
        idle++;
    } else {
        first = head->next;
        if (first == NULL)
            last = &first;
    }
    pthread_mutex_unlock(&lock);
    if (head != NULL) {
        atomic_store(&head->served, 1);
        syscall(SYS_futex, &head->served, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

static void cycle(size_t count)
{
    for (size_t i = 0; i < count; i++)
        give_back(borrow());
}

static void close_queue(void)
{
}

static const struct pool_operations operations = {open_queue, cycle, borrow, give_back,
                                                  close_queue};

static const struct bench_contender contenders[] = {
    {"strict FIFO", PEER_VERSION, &operations},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return pool_main(argc, argv, contenders);
}
