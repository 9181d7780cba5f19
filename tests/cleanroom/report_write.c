/* SPDX-License-Identifier: MIT */
/*
 * Writes every sample in every form into a directory: NAME.json, NAME.xml and so on, and `all.*` of
 * all together. `report-write DIR [leftovers]`: with the second, leftovers are failures.
 */
#include "report_samples.h"

#include <stdlib.h>
#include <string.h>

#define SESSIONS_MAX 16

static FILE *create(const char *dir, const char *name, pnx_report_format format)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.%s", dir, name, pnx_report_format_name(format));
    FILE *out = fopen(path, "w");
    if (!out) {
        perror(path);
        exit(1);
    }
    return out;
}

static void finish(pnx_status status, FILE *out, const pnx_error *err)
{
    if (status != PNX_OK || fclose(out) != 0) {
        fprintf(stderr, "%s\n", err->message);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    pnx_report_options options = {.fail_on_leftovers = argc > 2};
    pnx_session_report all[SESSIONS_MAX];
    size_t count = 0;
    for (const struct sample *sample = samples; sample->name; sample++)
        all[count++] = sample->make();
    size_t single = count;
    for (unsigned attempt = 1; attempt <= 3; attempt++)
        all[count++] = sample_attempt(attempt);
    for (int form = PNX_REPORT_TEXT; form <= PNX_REPORT_HTML; form++) {
        pnx_error err = {0};
        pnx_report_format format = (pnx_report_format)form;
        for (size_t i = 0; i < single; i++) {
            FILE *out = create(argv[1], samples[i].name, format);
            finish(pnx_session_report_write(&all[i], format, &options, out, &err), out, &err);
        }
        FILE *out = create(argv[1], "all", format);
        finish(pnx_session_reports_write(all, count, format, &options, out, &err), out, &err);
        out = create(argv[1], "none", format);
        finish(pnx_session_reports_write(NULL, 0, format, &options, out, &err), out, &err);
    }
    for (size_t i = 0; i < count; i++)
        pnx_session_report_done(&all[i]);
    return 0;
}
