/* SPDX-License-Identifier: MIT */
/* Expensive answers are kept, shared by all who ask, and given back when there is no room. */
#include <patinox/patinox.h>
#include <stdio.h>
#include <stdlib.h>

struct answer {
    uint64_t question, squared;
};

static unsigned computed;
static _Atomic unsigned freed;

static pnx_status free_answer(struct answer *answer, const pnx_release *why)
{
    freed++;
    free(answer);
    return PNX_OK;
}
PNX_KIND(answer, struct answer *, free_answer);

static pnx_status compute(const void *key, pnx_cache_loaded *ret, void *context, pnx_error *err)
{
    struct answer *answer = malloc(sizeof *answer);
    if (!answer)
        return pnx_fail(err, PNX_ENOMEM, "no memory for an answer");
    answer->question = *(const uint64_t *)key;
    answer->squared = answer->question * answer->question;
    computed++;
    *(struct answer **)ret->value = answer;
    return PNX_OK;
}

int main(void)
{
    pnx_error err = {0};
    pnx_registry *registry = NULL;
    pnx_cache *answers = NULL;
    if (pnx_registry_create(NULL, &registry, &err) != PNX_OK ||
        pnx_cache_create(&(pnx_cache_config){.name = "answers",
                                             .registry = registry,
                                             .kind = answer_kind,
                                             .capacity = 3,
                                             .load = compute},
                         &answers, &err) != PNX_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    for (uint64_t i = 0; i < 30; i++) {
        const uint64_t question = i % 3; /* three questions, ten times each */
        pnx_auto_ref ref = pnx_cache_load(answers, &question, PNX_FOREVER, &err);
        if (!ref.value || pnx_ref_get(&ref, struct answer *)->squared != question * question)
            return 1;
    }
    printf("asked 30 times, computed %u\n", computed);
    for (uint64_t question = 10; question < 20; question++) {
        pnx_auto_ref ref = pnx_cache_load(answers, &question, PNX_FOREVER, &err);
        if (!ref.value)
            return 1;
    }
    pnx_cache_stats stats;
    pnx_cache_stats_get(answers, &stats);
    printf("%u held, %u evicted\n", (unsigned)stats.entries,
           (unsigned)stats.left[PNX_CACHE_EVICTED]);
    if (pnx_cache_destroy(answers, &err) != PNX_OK ||
        pnx_registry_shutdown(registry, NULL, NULL, &err) != PNX_OK ||
        pnx_registry_destroy(registry, &err) != PNX_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    printf("%u computed, %u freed\n", computed, freed);
    return 0;
}

/* Prints:
 *   asked 30 times, computed 3
 *   3 held, 10 evicted
 *   13 computed, 13 freed
 */
