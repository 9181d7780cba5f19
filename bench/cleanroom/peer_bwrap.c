/* SPDX-License-Identifier: MIT */
/*
 * bubblewrap: a pid namespace whose end kills all that is in it. No private TMPDIR, no account of
 * what was left, no reaper: --die-with-parent has the kernel do that.
 */
#include "common/bench.h"
#include "peer.h"

#define IN_NAMESPACE "bwrap", "--unshare-pid", "--ro-bind", "/", "/"

static const char *const words[] = {IN_NAMESPACE, NULL};
static const char *const words_with_end[] = {IN_NAMESPACE, "--die-with-parent", NULL};

static const struct run_operations operations = {
    .words = words, .words_by_cgroup = words, .words_with_end = words_with_end};

static const struct bench_contender contenders[] = {
    {"bwrap", PEER_VERSION, &operations},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return run_main(argc, argv, contenders);
}
