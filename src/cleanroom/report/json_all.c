/* SPDX-License-Identifier: MIT */
/* Several sessions for machines. */
#include "report/json.h"
#include "report/summary.h"

#include <inttypes.h>

static pnx_status totals(FILE *out, const struct pnx__summary *summary, pnx_error *err)
{
    const struct pnx__sum *sum = &summary->sum;
    fprintf(out,
            "{\n  \"sessions\": %" PRIu64 ",\n  \"succeeded\": %" PRIu64 ",\n  \"failed\": %" PRIu64
            ",\n  \"timed_out\": %" PRIu64 ",\n  \"retried\": %" PRIu64 ",\n  \"clean\": %" PRIu64,
            summary->sessions, summary->succeeded, summary->failed, summary->timed_out,
            summary->retried, summary->clean);
    fputs(",\n  \"started\": ", out);
    pnx__json_date(out, summary->started);
    fputs(",\n  \"duration_ms\": ", out);
    pnx__json_milliseconds(out, summary->duration);
    fputs(",\n  \"kinds\": ", out);
    pnx_status status = pnx__json_totals(out, &summary->all, err);
    fprintf(out,
            ",\n  \"leftovers\": %" PRIu64 ",\n  \"unremoved\": %" PRIu64
            ",\n  \"foreign\": %" PRIu64 ",\n  \"kept\": %" PRIu64 ",\n  \"unverified\": %" PRIu64
            ",\n  \"unlisted\": %" PRIu64 "\n}",
            sum->leftovers, sum->unremoved + sum->own, sum->foreign, summary->all.kept,
            sum->unverified, summary->unlisted);
    return status;
}

pnx_status pnx__json_of_all(const pnx_session_report *reports, size_t count, FILE *out,
                            pnx_error *err)
{
    struct pnx__summary summary;
    pnx_status status = pnx__summarise(reports, count, &summary, err);
    if (status != PNX_OK)
        return status;
    fprintf(out, "{\"format\": %d,\n\"sessions\": [", PNX__REPORT_FORMAT);
    for (size_t i = 0; i < count && status == PNX_OK; i++) {
        fputs(i ? ",\n" : "\n", out);
        status = pnx__json_of(&reports[i], out, err);
    }
    fputs("\n],\n\"totals\": ", out);
    if (status == PNX_OK)
        status = totals(out, &summary, err);
    fputc('}', out);
    pnx__summary_done(&summary);
    return status;
}
