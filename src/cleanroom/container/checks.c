/* SPDX-License-Identifier: MIT */
#include "container/checks.h"

#include "docker/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- copies ---------------------------------------------------------------------------------- */

static void free_one(pnx_check *check)
{
    const char *const texts[] = {check->shell, check->user, check->host,
                                 check->path,  check->text, check->pattern};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free((char *)texts[i]);
    for (const char *const *word = check->argv; word && *word; word++)
        free((char *)*word);
    free((void *)check->argv);
}

void pnx__checks_free(struct pnx__checks *checks)
{
    for (size_t i = 0; i < checks->count; i++)
        free_one(&checks->list[i]);
    free(checks->list);
    *checks = (struct pnx__checks){0};
}

static bool copy_text(const char *text, const char **ret)
{
    *ret = text ? strdup(text) : NULL;
    return !text == !*ret;
}

static bool copy_words(const char *const *words, const char *const **ret)
{
    size_t count = 0;
    *ret = NULL;
    if (!words)
        return true;
    while (words[count])
        count++;
    const char **copy = calloc(count + 1, sizeof *copy);
    *ret = copy;
    bool good = copy != NULL;
    for (size_t i = 0; good && i < count; i++)
        good = copy_text(words[i], &copy[i]);
    return good;
}

/* What it copies, or did before it failed, is freed by free_one. */
static bool copy_one(const pnx_check *check, pnx_check *ret)
{
    *ret = *check;
    bool good = copy_words(check->argv, &ret->argv);
    good = copy_text(check->shell, &ret->shell) && good;
    good = copy_text(check->user, &ret->user) && good;
    good = copy_text(check->host, &ret->host) && good;
    good = copy_text(check->path, &ret->path) && good;
    good = copy_text(check->text, &ret->text) && good;
    return copy_text(check->pattern, &ret->pattern) && good;
}

pnx_status pnx__checks_copy(const pnx_check *checks, size_t count, struct pnx__checks *ret,
                            pnx_error *err)
{
    struct pnx__checks copy = {0};
    if (count > PNX__CHECKS_MAX)
        return pnx_fail(err, PNX_EINVAL, "check_count: %zu: accepted is at most %d", count,
                        PNX__CHECKS_MAX);
    for (size_t i = 0; i < count; i++) {
        pnx_status status = pnx_check_validate(&checks[i], err);
        if (status != PNX_OK)
            return pnx_wrap(err, status, "checks: number %zu is none", i);
    }
    copy.list = count ? calloc(count, sizeof *copy.list) : NULL;
    if (count && !copy.list)
        return pnx__docker_no_memory(err);
    for (; copy.count < count; copy.count++) {
        if (!copy_one(&checks[copy.count], &copy.list[copy.count])) {
            copy.count++;
            pnx__checks_free(&copy);
            return pnx__docker_no_memory(err);
        }
    }
    *ret = copy;
    return PNX_OK;
}

/* ---- looking --------------------------------------------------------------------------------- */

static pnx_status look_once(pnx_engine *engine, const char *container, const pnx_check *check,
                            pnx_duration timeout, const pnx_cancel *cancel, struct pnx__seen *ret)
{
    pnx_error err = {0};
    pnx_call call = pnx_call_within(timeout);
    call.cancel = cancel;
    pnx_status status = pnx_check_once(engine, container, check, &call, &ret->result, &err);
    ret->known = status == PNX_OK || status == PNX_ENOTFOUND;
    ret->gone = status == PNX_ENOTFOUND;
    ret->voided = status == PNX_ECANCELED;
    if (status != PNX_OK) {
        ret->result = (pnx_check_result){.verdict = PNX_VERDICT_FAILS, .ended = ret->gone};
        /* What was asked is known; what was in the way is said by the cause. */
        snprintf(ret->result.reason, sizeof ret->result.reason, "%s",
                 err.cause.code ? err.cause.message : err.message);
    }
    return status;
}

/* As its engine has it; one without a health check is well when it runs. */
static void look_without(pnx_engine *engine, const char *container, pnx_duration timeout,
                         const pnx_cancel *cancel, struct pnx__seen *ret)
{
    const pnx_check own = {.type = PNX_CHECK_ENGINE}, runs = {.type = PNX_CHECK_RUNS};
    if (look_once(engine, container, &own, timeout, cancel, ret) == PNX_EUNSUPPORTED)
        (void)look_once(engine, container, &runs, timeout, cancel, ret);
}

/* Which of them it was. */
static void name_it(const pnx_check *check, pnx_check_result *result)
{
    char text[sizeof result->reason];
    if (!result->running)
        return; /* it is not the check's fault */
    memcpy(text, result->reason, sizeof text);
    snprintf(result->reason, sizeof result->reason, "%s: %.*s", pnx_check_type_name(check->type),
             (int)sizeof text - 16, text);
}

void pnx__checks_look(const struct pnx__checks *checks, pnx_engine *engine, const char *container,
                      pnx_duration timeout, const pnx_cancel *cancel, struct pnx__seen *ret)
{
    pnx_time began = pnx_monotonic_now();
    *ret = (struct pnx__seen){0};
    if (checks->count == 0)
        look_without(engine, container, timeout, cancel, ret);
    for (size_t i = 0; i < checks->count; i++) {
        pnx_status status = look_once(engine, container, &checks->list[i], timeout, cancel, ret);
        if (status == PNX_OK)
            name_it(&checks->list[i], &ret->result);
        if (status != PNX_OK || ret->result.verdict != PNX_VERDICT_PASSES)
            break;
    }
    ret->result.took = pnx_monotonic_now() - began;
}
