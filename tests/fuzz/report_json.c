/* SPDX-License-Identifier: MIT */
/*
 * JSON reports that somebody else may have written. Whatever they hold: either a clear mistake, or
 * a value that every writer can write, and that comes out of its own JSON the same.
 */
#include "fuzz.h"

#include "report_read.h"

#include <string.h>

static pnx_status write_as(const struct reports *reports, pnx_report_format format, char **ret_text,
                           size_t *ret_size)
{
    FILE *out = open_memstream(ret_text, ret_size);
    promise(out != NULL);
    pnx_error err = {0};
    pnx_status status =
        reports->several
            ? pnx_session_reports_write(reports->reports, reports->count, format, NULL, out, &err)
            : pnx_session_report_write(reports->reports, format, NULL, out, &err);
    promise(fclose(out) == 0);
    return status;
}

/* No byte that a terminal or a parser of XML would not take as text. */
static void is_text(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)text[i];
        promise(byte >= 0x20 || byte == '\n');
        promise(byte != 0x7f);
        if (byte == 0xc2) /* C1 control characters */
            promise(i + 1 < size && (unsigned char)text[i + 1] >= 0xa0);
    }
}

static void is_the_same_when_read_again(const struct reports *reports)
{
    char *first, *second;
    size_t first_size, second_size;
    struct reports again;
    pnx_error err = {0};
    promise(write_as(reports, PNX_REPORT_JSON, &first, &first_size) == PNX_OK);
    promise(reports_read(first, first_size, &again, &err) == PNX_OK);
    promise(again.count == reports->count && again.several == reports->several);
    promise(write_as(&again, PNX_REPORT_JSON, &second, &second_size) == PNX_OK);
    promise(first_size == second_size && memcmp(first, second, first_size) == 0);
    reports_done(&again);
    free(first);
    free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reports reports;
    pnx_error err = {0};
    pnx_status status = reports_read((const char *)data, size, &reports, &err);
    if (status != PNX_OK) {
        promise(status == PNX_EINVAL || status == PNX_EUNSUPPORTED);
        promise(*err.message != '\0');
        is_text(err.message, strlen(err.message));
        return 0;
    }
    is_the_same_when_read_again(&reports);
    static const pnx_report_format forms[] = {PNX_REPORT_TEXT, PNX_REPORT_XML, PNX_REPORT_HTML};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        char *text;
        size_t length;
        promise(write_as(&reports, forms[i], &text, &length) == PNX_OK);
        is_text(text, length);
        promise(forms[i] == PNX_REPORT_TEXT || !strstr(text, "<script"));
        free(text);
    }
    reports_done(&reports);
    return 0;
}
