/* SPDX-License-Identifier: MIT */
/* r2d2: one mutex and one condition variable; no order among waiters. Linked in from lib.rs. */
#include "common/bench.h"
#include "pool/peer.h"

void r2d2_open(unsigned size);
void r2d2_cycle(size_t count);
void *r2d2_borrow(void);
void r2d2_give_back(void *handle);
void r2d2_close(void);

static const struct pool_operations operations = {r2d2_open, r2d2_cycle, r2d2_borrow,
                                                  r2d2_give_back, r2d2_close};

static const struct bench_contender contenders[] = {
    {"r2d2", PEER_VERSION, &operations},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return pool_main(argc, argv, contenders);
}
