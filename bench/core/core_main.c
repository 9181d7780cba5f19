/* SPDX-License-Identifier: MIT */
#include "peer.h"
#include "workloads.h"

static const struct bench_workload *const workloads[] = {
    &workload_scope,
    &workload_drop,
    &workload_drop_flood,
    &workload_end_to_end_1,
    &workload_end_to_end_2,
    &workload_registry_path,
    &workload_burst,
    &workload_idle_drop,
    &workload_lookup_1,
    &workload_lookup_2,
    &workload_lookup_2_writes,
    &workload_replace,
    &workload_memory,
    &workload_life,
    &workload_clock,
    &workload_timers,
    &workload_timer_wakeups,
    &workload_shutdown_trivial,
    &workload_shutdown_slow,
    &workload_idle_wakeups,
    NULL,
};

int core_main(int argc, char **argv, const struct bench_contender *contenders)
{
    return bench_main(argc, argv,
                      &(struct bench_program){
                          .subject = "core",
                          .workloads = workloads,
                          .contenders = contenders,
                      });
}
