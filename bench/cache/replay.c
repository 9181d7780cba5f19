/* SPDX-License-Identifier: MIT */
/*
 * Replays a trace through a cache (get; put on a miss) and prints the hit ratio, and that of OPT:
 *
 *   cache-replay --size N [--policy P] [--json FILE] [--concurrent] TRACE.txt.gz
 *
 * P is a policy of ours [adaptive], "arc", or "all". The cache is in deterministic mode, so that
 * the figures are the same in every run; --concurrent takes it as programs use it.
 */
#include "cache/trace.h"

#include <patinox/cache.h>

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    size_t size;
    const char *policy, *json, *trace;
    bool concurrent;
};

struct result {
    const char *policy;
    size_t hits;
};

static size_t replay(const struct trace *trace, const struct options *options,
                     pnx_cache_policy policy)
{
    pnx_error err = {0};
    pnx_cache *cache = NULL;
    size_t hits = 0;
    const pnx_cache_config config = {.name = "replay",
                                     .capacity = options->size,
                                     .policy = policy,
                                     .deterministic = !options->concurrent};
    pnx_status status = pnx_cache_create(&config, &cache, &err);
    for (size_t i = 0; status == PNX_OK && i < trace->count; i++) {
        pnx_auto_ref ref = pnx_cache_get(cache, &trace->keys[i]);
        if (ref.value)
            hits++;
        else
            status = pnx_cache_put(cache, &trace->keys[i], &trace->keys[i], &err);
    }
    if (status != PNX_OK || pnx_cache_destroy(cache, &err) != PNX_OK) {
        fprintf(stderr, "cache-replay: %s\n", err.message);
        exit(1);
    }
    return hits;
}

static void print_usage(FILE *out)
{
    fputs("usage: cache-replay --size N [--policy P] [--json FILE] [--concurrent] TRACE.txt.gz\n"
          "policies:",
          out);
    for (int i = 0; i < PNX_CACHE_POLICY_COUNT; i++)
        fprintf(out, " %s", pnx_cache_policy_name((pnx_cache_policy)i));
    fputs(" arc all\n", out);
}

static _Noreturn void usage(const char *what)
{
    fprintf(stderr, "cache-replay: %s\n", what);
    print_usage(stderr);
    exit(2);
}

static bool is_policy(const char *name)
{
    for (int i = 0; i < PNX_CACHE_POLICY_COUNT; i++)
        if (strcmp(name, pnx_cache_policy_name((pnx_cache_policy)i)) == 0)
            return true;
    return strcmp(name, "arc") == 0 || strcmp(name, "all") == 0;
}

static struct options parse(int argc, char **argv)
{
    static const struct option known[] = {
        {"size", required_argument, NULL, 's'}, {"policy", required_argument, NULL, 'p'},
        {"json", required_argument, NULL, 'j'}, {"concurrent", no_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},       {0},
    };
    struct options options = {.policy = "adaptive"};
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        char *end = NULL;
        switch (option) {
        case 's':
            errno = 0;
            options.size = strtoull(optarg, &end, 10);
            if (errno || *end || !isdigit((unsigned char)*optarg) || options.size == 0)
                usage("--size needs a whole number above 0");
            break;
        case 'p':
            options.policy = optarg;
            break;
        case 'j':
            options.json = optarg;
            break;
        case 'c':
            options.concurrent = true;
            break;
        case 'h':
            print_usage(stdout);
            exit(0);
        default:
            usage("what is meant?");
        }
    }
    if (!is_policy(options.policy))
        usage("unknown policy");
    if (options.size == 0)
        usage("--size is missing");
    if (optind + 1 != argc)
        usage("needs one trace");
    options.trace = argv[optind];
    return options;
}

static double percent(size_t part, size_t all)
{
    return all ? 100.0 * (double)part / (double)all : 0;
}

static size_t run(const struct trace *trace, const struct options *options, struct result *results)
{
    const bool all = strcmp(options->policy, "all") == 0;
    size_t count = 0;
    for (int i = 0; i < PNX_CACHE_POLICY_COUNT; i++) {
        const char *name = pnx_cache_policy_name((pnx_cache_policy)i);
        if (all || strcmp(name, options->policy) == 0)
            results[count++] = (struct result){name, replay(trace, options, (pnx_cache_policy)i)};
    }
    if (all || strcmp(options->policy, "arc") == 0)
        results[count++] = (struct result){"arc", trace_arc(trace, options->size)};
    return count;
}

/* Names of traces come from outside: what JSON would not take as it is becomes \u. */
static void write_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == '"' || *text == '\\')
            fprintf(out, "\\u%04x", (unsigned char)*text);
        else
            fputc(*text, out);
    fputc('"', out);
}

static bool write_json(const char *path, const struct trace *trace, const struct options *options,
                       const struct result *results, size_t count, size_t opt)
{
    FILE *out = fopen(path, "w");
    if (!out)
        return false;
    fputs("{\"trace\": ", out);
    write_text(out, options->trace);
    fprintf(out,
            ", \"size\": %zu, \"requests\": %zu, \"distinct\": %u, \"opt\": {\"hits\": %zu, "
            "\"hit_ratio\": %.6f}, \"results\": [",
            options->size, trace->count, trace->distinct, opt, percent(opt, trace->count) / 100);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "%s{\"policy\": \"%s\", \"hits\": %zu, \"hit_ratio\": %.6f}", i ? ", " : "",
                results[i].policy, results[i].hits, percent(results[i].hits, trace->count) / 100);
    fputs("]}\n", out);
    return fclose(out) == 0;
}

int main(int argc, char **argv)
{
    const struct options options = parse(argc, argv);
    struct result results[PNX_CACHE_POLICY_COUNT + 1];
    struct trace trace;
    if (!trace_read(&trace, options.trace))
        return 1;
    const size_t count = run(&trace, &options, results);
    const size_t opt = trace_opt(&trace, options.size);
    printf("requests  %zu (%u distinct)\nsize      %zu\n", trace.count, trace.distinct,
           options.size);
    for (size_t i = 0; i < count; i++)
        printf("%-10s hits %zu  hit ratio %.2f %%\n", results[i].policy, results[i].hits,
               percent(results[i].hits, trace.count));
    printf("%-10s hits %zu  hit ratio %.2f %%\n", "opt", opt, percent(opt, trace.count));
    const bool written =
        !options.json || write_json(options.json, &trace, &options, results, count, opt);
    if (!written)
        fprintf(stderr, "cache-replay: %s: %s\n", options.json, strerror(errno));
    trace_free(&trace);
    return written ? 0 : 1;
}
