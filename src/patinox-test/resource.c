/* SPDX-License-Identifier: MIT */
/* A resource whose release does as the test says. No lock is held while it hangs or completes. */
#include "support.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pnx_test_resource {
    char name[32];
    pnx_test_log *log;
    pnx_test_clock *clock;
    pnx__test_lock lock; /* guards all that follows */
    pnx_test_step *plan;
    size_t plan_count;
    pnx_test_step fallback_plan;
    unsigned hanging;     /* attempts that wait to be let go */
    unsigned long let_go; /* counts up: whoever began to hang before may go */
    bool never_hang;
    pnx_test_record record;
    pnx_token *tokens; /* of each attempt, in order */
    size_t token_count, token_room;
    size_t pended; /* number of the token that pended last, from 1 on; 0: none */
};

pnx_test_resource *pnx_test_resource_new(const char *name, pnx_test_log *log)
{
    pnx_test_resource *resource = pnx__test_alloc(sizeof *resource);
    (void)snprintf(resource->name, sizeof resource->name, "%s", name);
    resource->log = log;
    pnx__test_lock_init(&resource->lock);
    pnx_test_plan(resource, &(pnx_test_step){.action = PNX_TEST_ANSWER}, 1);
    return resource;
}

void pnx_test_resource_clock(pnx_test_resource *resource, pnx_test_clock *clock)
{
    resource->clock = clock;
}

void pnx_test_resource_free(pnx_test_resource *resource)
{
    if (resource == NULL)
        return;
    pnx_test_let_go(resource);
    while (pnx_test_wait_running(resource, 0, PNX_FOREVER) != PNX_OK)
        continue;
    pnx__test_lock_done(&resource->lock);
    free(resource->plan);
    free(resource->tokens);
    free(resource);
}

/* ---- plans ----------------------------------------------------------------------------------- */

void pnx_test_plan(pnx_test_resource *resource, const pnx_test_step *steps, size_t count)
{
    pnx_test_step *plan = pnx__test_alloc(count * sizeof *plan);
    memcpy(plan, steps, count * sizeof *plan);
    pnx__test_acquire(&resource->lock);
    free(resource->plan);
    resource->plan = plan;
    resource->plan_count = count;
    pnx__test_release(&resource->lock);
}

void pnx_test_plan_fallback(pnx_test_resource *resource, pnx_test_step step)
{
    pnx__test_acquire(&resource->lock);
    resource->fallback_plan = step;
    pnx__test_release(&resource->lock);
}

void pnx_test_fail(pnx_test_resource *resource, unsigned times, pnx_status status)
{
    const pnx_test_step failure = {.status = status};
    if (times == UINT_MAX) {
        pnx_test_plan(resource, &failure, 1);
        return;
    }
    pnx_test_step *steps = pnx__test_alloc((times + 1) * sizeof *steps);
    for (unsigned i = 0; i < times; i++)
        steps[i] = failure;
    pnx_test_plan(resource, steps, times + 1);
    free(steps);
}

void pnx_test_always(pnx_test_resource *resource, pnx_test_action action)
{
    pnx_test_plan(resource, &(pnx_test_step){.action = action}, 1);
}

/* ---- an attempt ------------------------------------------------------------------------------ */

/* Notes that it begins; answers what it shall do, and the number of its token from 1 on. */
static pnx_test_step begin(pnx_test_resource *resource, const pnx_release *why, size_t *ret_number)
{
    pnx__test_acquire(&resource->lock);
    pnx_test_record *record = &resource->record;
    resource->tokens = pnx__test_grow(resource->tokens, resource->token_count,
                                      &resource->token_room, sizeof *resource->tokens);
    resource->tokens[resource->token_count++] = pnx_release_token(why);
    *ret_number = resource->token_count;
    pnx_test_step step = resource->fallback_plan;
    if (!why->fallback) {
        const size_t last = resource->plan_count - 1;
        step = resource->plan[record->attempts < last ? record->attempts : last];
        record->attempts++;
    } else {
        record->fallbacks++;
    }
    record->last = *why;
    if (++record->running > record->running_max)
        record->running_max = record->running;
    pnx__test_tell(&resource->lock);
    pnx__test_release(&resource->lock);
    return step;
}

/* After the last unlock the resource may be gone. */
static void end(pnx_test_resource *resource, bool success)
{
    pnx__test_acquire(&resource->lock);
    resource->record.successes += success;
    resource->record.running--;
    pnx__test_tell(&resource->lock);
    pnx__test_release(&resource->lock);
}

static void hang(pnx_test_resource *resource)
{
    pnx__test_acquire(&resource->lock);
    const unsigned long then = resource->let_go;
    resource->hanging++;
    while (!resource->never_hang && resource->let_go == then)
        (void)pnx__test_wait(&resource->lock, PNX_FOREVER);
    resource->hanging--;
    pnx__test_release(&resource->lock);
}

/* Lets go of those that hang now. */
static void let_go_now(pnx_test_resource *resource)
{
    pnx__test_acquire(&resource->lock);
    resource->let_go++;
    pnx__test_tell(&resource->lock);
    pnx__test_release(&resource->lock);
}

static void pend(pnx_test_resource *resource, size_t number)
{
    pnx__test_acquire(&resource->lock);
    resource->pended = number;
    pnx__test_release(&resource->lock);
}

static pnx_status attempt(pnx_test_resource *resource, const pnx_release *why)
{
    size_t number;
    const pnx_test_step step = begin(resource, why, &number);
    if (step.takes > 0 && resource->clock != NULL)
        pnx_test_clock_advance(resource->clock, step.takes);
    pnx_status answer = step.status;
    bool success = answer == PNX_OK;
    switch (step.action) {
    case PNX_TEST_ANSWER:
        break;
    case PNX_TEST_HANG:
        hang(resource);
        break;
    case PNX_TEST_EXIT_THREAD:
        end(resource, false);
        pthread_exit(NULL);
    case PNX_TEST_PEND:
        pend(resource, number);
        answer = PNX_PENDING;
        success = false;
        break;
    case PNX_TEST_PEND_COMPLETED:
        pend(resource, number);
        success = pnx_complete(pnx_release_token(why), step.status) == PNX_OK && success;
        answer = PNX_PENDING;
        break;
    case PNX_TEST_LET_GO:
        let_go_now(resource);
        break;
    }
    end(resource, success);
    return answer;
}

pnx_status pnx_test_release(pnx_test_resource *resource, const pnx_release *why)
{
    pnx_test_log_add(resource->log, "release %s", resource->name);
    return attempt(resource, why);
}

pnx_status pnx_test_fallback(pnx_test_resource *resource, const pnx_release *why)
{
    pnx_test_log_add(resource->log, "fallback %s", resource->name);
    return attempt(resource, why);
}

int pnx_test_describe(pnx_test_resource *resource, char *buffer, size_t size)
{
    return snprintf(buffer, size, "%s", resource->name);
}

/* ---- from outside ---------------------------------------------------------------------------- */

void pnx_test_let_go(pnx_test_resource *resource)
{
    pnx__test_acquire(&resource->lock);
    resource->never_hang = true;
    pnx__test_tell(&resource->lock);
    pnx__test_release(&resource->lock);
}

pnx_status pnx_test_complete(pnx_test_resource *resource, pnx_status status)
{
    pnx__test_acquire(&resource->lock);
    const size_t number = resource->pended;
    const pnx_token token = number > 0 ? resource->tokens[number - 1] : (pnx_token){0};
    pnx__test_release(&resource->lock);
    if (number == 0)
        return PNX_ENOTFOUND;
    const pnx_status answer = pnx_complete(token, status);
    pnx__test_acquire(&resource->lock);
    resource->record.successes += answer == PNX_OK && status == PNX_OK;
    pnx__test_release(&resource->lock);
    return answer;
}

bool pnx_test_token(pnx_test_resource *resource, unsigned attempt_number, pnx_token *ret)
{
    pnx__test_acquire(&resource->lock);
    const bool begun = attempt_number >= 1 && attempt_number <= resource->token_count;
    if (begun)
        *ret = resource->tokens[attempt_number - 1];
    pnx__test_release(&resource->lock);
    return begun;
}

pnx_test_record pnx_test_recorded(pnx_test_resource *resource)
{
    pnx__test_acquire(&resource->lock);
    const pnx_test_record record = resource->record;
    pnx__test_release(&resource->lock);
    return record;
}

pnx_status pnx_test_wait_begun(pnx_test_resource *resource, unsigned attempts,
                               pnx_duration patience)
{
    const pnx_time deadline = pnx_time_after(pnx_monotonic_now(), patience);
    pnx__test_acquire(&resource->lock);
    while (resource->token_count < attempts && pnx__test_wait(&resource->lock, deadline))
        continue;
    const bool there = resource->token_count >= attempts;
    pnx__test_release(&resource->lock);
    return there ? PNX_OK : PNX_ETIMEOUT;
}

pnx_status pnx_test_wait_running(pnx_test_resource *resource, unsigned running,
                                 pnx_duration patience)
{
    const pnx_time deadline = pnx_time_after(pnx_monotonic_now(), patience);
    pnx__test_acquire(&resource->lock);
    while (resource->record.running > running && pnx__test_wait(&resource->lock, deadline))
        continue;
    const bool there = resource->record.running <= running;
    pnx__test_release(&resource->lock);
    return there ? PNX_OK : PNX_ETIMEOUT;
}
