/* SPDX-License-Identifier: MIT */
/* What follows from a snapshot's figures, and its end. */
#include "base/sys.h"

#include <patinox/monitor.h>

int64_t pnx_counts_imbalance(const pnx_counts *c)
{
    uint64_t accounted =
        c->live + c->queued + c->running + c->waiting + c->done + c->failed + c->abandoned;
    return (int64_t)(accounted - c->registered);
}

double pnx_counts_success_rate(const pnx_counts *c)
{
    uint64_t finished = c->done + c->failed + c->abandoned;
    return finished == 0 ? 1.0 : (double)c->done / (double)finished;
}

void pnx_stats_done(pnx_stats *stats)
{
    pnx__free(stats->kinds);
    stats->kinds = NULL;
    stats->kind_count = 0;
}
