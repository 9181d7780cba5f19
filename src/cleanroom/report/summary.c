/* SPDX-License-Identifier: MIT */
#include "report/summary.h"

#include "report/figures.h"

#include <stdlib.h>

/* ---- one session ----------------------------------------------------------------------------- */

void pnx__sum_add(struct pnx__sum *sum, const pnx_session_report *report)
{
    sum->leftovers += report->leftovers;
    sum->unverified += report->unverified;
    sum->foreign += report->foreign;
    uint64_t kept = 0, unremoved = 0;
    for (size_t i = 0; i < report->total_count; i++) {
        const uint64_t *found = report->totals[i].found;
        kept += found[PNX_FATE_KEPT];
        unremoved += found[PNX_FATE_HELD] + found[PNX_FATE_STUCK];
    }
    /* For want of memory a total may be missing: no difference may wrap. */
    uint64_t others = kept + unremoved;
    sum->gone += report->leftovers > others ? report->leftovers - others : 0;
    sum->kept += kept;
    sum->unremoved += unremoved;
    sum->own += report->unremoved > unremoved ? report->unremoved - unremoved : 0;
}

bool pnx__left_nothing(const pnx_session_report *report)
{
    return report->leftovers == 0 && report->unremoved == 0 && report->foreign == 0;
}

bool pnx__hook_failed(const pnx_session_hook *hook)
{
    return hook->exit_code != 0 || hook->exit_signal || hook->timed_out;
}

bool pnx__has_details(const pnx_session_report *report)
{
    bool told = report->supervisor_died || report->artifacts_failed > 0 || report->kept > 0 ||
                (report->warnings && report->warnings[0]);
    for (size_t i = 0; i < report->hook_count; i++)
        told = told || pnx__hook_failed(&report->hooks[i]);
    for (size_t i = 0; i < report->limit_count; i++)
        told = told || report->limits[i].hit;
    return told || !pnx__left_nothing(report);
}

/* ---- several --------------------------------------------------------------------------------- */

/* The last attempt at a line of --each. */
struct last {
    unsigned job, attempt;
};

static int compare_last(const void *left, const void *right)
{
    const struct last *one = left, *other = right;
    if (one->job != other->job)
        return one->job < other->job ? -1 : 1;
    return one->attempt < other->attempt ? -1 : one->attempt > other->attempt;
}

static bool mark_superseded(const pnx_session_report *reports, size_t count, bool *superseded)
{
    struct last *all = calloc(count ? count : 1, sizeof *all);
    if (!all)
        return false;
    for (size_t i = 0; i < count; i++)
        all[i] = (struct last){reports[i].job, pnx__attempt_of(&reports[i])};
    qsort(all, count, sizeof *all, compare_last);
    for (size_t i = 0; i < count; i++) {
        struct last own = {reports[i].job, pnx__attempt_of(&reports[i])};
        const struct last *at = bsearch(&own, all, count, sizeof *all, compare_last);
        /* The next with another attempt, if it is at the same line, is a later one. */
        while (at && at < all + count && compare_last(at, &own) == 0)
            at++;
        superseded[i] = own.job > 0 && at < all + count && at->job == own.job;
    }
    free(all);
    return true;
}

static pnx_status add_totals(pnx_session_report *all, const pnx_session_report *report)
{
    pnx_status status = PNX_OK;
    for (size_t i = 0; i < report->total_count; i++) {
        const pnx_session_total *total = &report->totals[i];
        for (int fate = 0; fate < PNX_FATE_COUNT; fate++) {
            pnx_outcome outcome = {.fate = (pnx_fate)fate, .verified = true};
            if (pnx_session_report_count(all, total->kind, PNX_ORIGIN_MADE, &outcome,
                                         total->made[fate]) != PNX_OK ||
                pnx_session_report_count(all, total->kind, PNX_ORIGIN_FOUND, &outcome,
                                         total->found[fate]) != PNX_OK)
                status = PNX_ENOMEM;
        }
    }
    return status;
}

static pnx_status add_session(struct pnx__summary *summary, const pnx_session_report *report,
                              bool superseded)
{
    bool succeeded = pnx__succeeded(report);
    summary->sessions++;
    if (succeeded)
        summary->succeeded++;
    else if (superseded)
        summary->retried++;
    else
        summary->failed++;
    summary->timed_out += !succeeded && !superseded && report->timed_out;
    summary->clean += pnx__left_nothing(report);
    summary->unlisted += report->unlisted;
    pnx__sum_add(&summary->sum, report);
    return add_totals(&summary->all, report);
}

static void measure(const pnx_session_report *reports, size_t count, struct pnx__summary *ret)
{
    int64_t first = 0, last = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t start = reports[i].started;
        int64_t end = start + reports[i].duration + reports[i].cleanup;
        if (start <= 0)
            continue;
        first = first == 0 || start < first ? start : first;
        last = end > last ? end : last;
    }
    ret->started = first;
    ret->duration = last - first;
}

pnx_status pnx__summarise(const pnx_session_report *reports, size_t count, struct pnx__summary *ret,
                          pnx_error *err)
{
    struct pnx__summary summary = {.superseded = calloc(count ? count : 1, sizeof(bool))};
    bool done = summary.superseded && mark_superseded(reports, count, summary.superseded);
    for (size_t i = 0; done && i < count; i++)
        done = add_session(&summary, &reports[i], summary.superseded[i]) == PNX_OK;
    measure(reports, count, &summary);
    if (!done) {
        pnx__summary_done(&summary);
        return pnx_fail(err, PNX_ENOMEM, "no memory for the report of %zu sessions", count);
    }
    *ret = summary;
    return PNX_OK;
}

void pnx__summary_done(struct pnx__summary *summary)
{
    free(summary->superseded);
    pnx_session_report_done(&summary->all);
}
