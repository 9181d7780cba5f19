/* SPDX-License-Identifier: MIT */
#include <cleanroom/report.h>

#include <stdlib.h>
#include <string.h>

const char *pnx_origin_name(pnx_origin origin)
{
    return origin == PNX_ORIGIN_MADE ? "made" : "found";
}

void pnx_session_report_done(pnx_session_report *report)
{
    for (size_t i = 0; i < report->resource_count; i++) {
        free(report->resources[i].id);
        free(report->resources[i].name);
        free(report->resources[i].detail);
    }
    for (size_t i = 0; report->command && report->command[i]; i++)
        free(report->command[i]);
    free(report->resources);
    free(report->command);
    free(report->name);
    memset(report, 0, sizeof *report);
}
