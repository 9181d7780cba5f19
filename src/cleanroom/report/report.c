/* SPDX-License-Identifier: MIT */
/* The value: its memory, and the texts that live as long as it. */
#include <cleanroom/report.h>

#include <stdlib.h>
#include <string.h>

const char *pnx_origin_name(pnx_origin origin)
{
    return origin == PNX_ORIGIN_MADE ? "made" : "found";
}

/* ---- texts ----------------------------------------------------------------------------------- */

const char *pnx_session_report_text(pnx_session_report *report, const char *text)
{
    for (size_t i = 0; i < report->text_count; i++)
        if (strcmp(report->texts[i], text) == 0)
            return report->texts[i];
    char **texts = realloc(report->texts, (report->text_count + 1) * sizeof *texts);
    if (!texts)
        return NULL;
    report->texts = texts;
    char *copy = strdup(text);
    if (copy)
        texts[report->text_count++] = copy;
    return copy;
}

pnx_status pnx_session_report_warn(pnx_session_report *report, const char *format, ...)
{
    size_t count = 0;
    while (report->warnings && report->warnings[count])
        count++;
    char **warnings = realloc(report->warnings, (count + 2) * sizeof *warnings);
    if (!warnings)
        return PNX_ENOMEM;
    report->warnings = warnings;
    warnings[count] = NULL;
    warnings[count + 1] = NULL;
    va_list args;
    va_start(args, format);
    char *text;
    int length = vasprintf(&text, format, args);
    va_end(args);
    if (length < 0)
        return PNX_ENOMEM;
    warnings[count] = text;
    return PNX_OK;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void free_list(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

static void free_hooks(pnx_session_report *report)
{
    for (size_t i = 0; i < report->hook_count; i++) {
        free(report->hooks[i].command);
        free(report->hooks[i].output);
        free(report->hooks[i].reason);
    }
    free(report->hooks);
}

static void free_artifacts(pnx_session_report *report)
{
    for (size_t i = 0; i < report->artifact_count; i++) {
        free(report->artifacts[i].path);
        free(report->artifacts[i].saved_as);
        free(report->artifacts[i].reason);
    }
    free(report->artifacts);
    free(report->artifacts_dir);
}

void pnx_session_report_done(pnx_session_report *report)
{
    for (size_t i = 0; i < report->resource_count; i++) {
        free(report->resources[i].id);
        free(report->resources[i].name);
        free(report->resources[i].detail);
    }
    free(report->resources);
    free(report->totals);
    free_hooks(report);
    free_artifacts(report);
    free_list(report->isolate);
    free_list(report->command);
    free_list(report->warnings);
    for (size_t i = 0; i < report->text_count; i++)
        free(report->texts[i]);
    free(report->texts);
    free(report->name);
    memset(report, 0, sizeof *report);
}
