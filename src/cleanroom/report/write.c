/* SPDX-License-Identifier: MIT */
/* From a form to its writer. */
#include "report/html.h"
#include "report/json.h"
#include "report/text.h"
#include "report/xml.h"

static const pnx_report_options defaults;

pnx_status pnx__report_finish(FILE *out, pnx_error *err)
{
    if (fflush(out) != 0 || ferror(out))
        return pnx_fail(err, PNX_EFAILED, "cannot write the report: %m");
    return PNX_OK;
}

static pnx_status no_format(pnx_report_format format, pnx_error *err)
{
    return pnx_fail(err, PNX_EINVAL, "no such format of a report: %d", (int)format);
}

static pnx_status write_one(const pnx_session_report *report, pnx_report_format format,
                            const pnx_report_options *options, FILE *out, pnx_error *err)
{
    pnx_status status;
    switch (format) {
    case PNX_REPORT_TEXT:
        return pnx__text_of(report, out, err);
    case PNX_REPORT_JSON:
        status = pnx__json_of(report, out, err);
        fputc('\n', out);
        return status;
    case PNX_REPORT_XML:
        return pnx__xml_of_all(report, 1, options, out, err);
    case PNX_REPORT_HTML:
        return pnx__html_of(report, out, err);
    }
    return no_format(format, err);
}

static pnx_status write_all(const pnx_session_report *reports, size_t count,
                            pnx_report_format format, const pnx_report_options *options, FILE *out,
                            pnx_error *err)
{
    pnx_status status;
    switch (format) {
    case PNX_REPORT_TEXT:
        return pnx__text_of_all(reports, count, out, err);
    case PNX_REPORT_JSON:
        status = pnx__json_of_all(reports, count, out, err);
        fputc('\n', out);
        return status;
    case PNX_REPORT_XML:
        return pnx__xml_of_all(reports, count, options, out, err);
    case PNX_REPORT_HTML:
        return pnx__html_of_all(reports, count, out, err);
    }
    return no_format(format, err);
}

pnx_status pnx_session_report_write(const pnx_session_report *report, pnx_report_format format,
                                    const pnx_report_options *options, FILE *out, pnx_error *err)
{
    pnx_status status = write_one(report, format, options ? options : &defaults, out, err);
    return status == PNX_OK ? pnx__report_finish(out, err) : status;
}

pnx_status pnx_session_reports_write(const pnx_session_report *reports, size_t count,
                                     pnx_report_format format, const pnx_report_options *options,
                                     FILE *out, pnx_error *err)
{
    pnx_status status = write_all(reports, count, format, options ? options : &defaults, out, err);
    return status == PNX_OK ? pnx__report_finish(out, err) : status;
}

pnx_status pnx_session_report_write_text(const pnx_session_report *report, FILE *out,
                                         pnx_error *err)
{
    return pnx_session_report_write(report, PNX_REPORT_TEXT, NULL, out, err);
}

pnx_status pnx_session_report_write_json(const pnx_session_report *report, FILE *out,
                                         pnx_error *err)
{
    return pnx_session_report_write(report, PNX_REPORT_JSON, NULL, out, err);
}
