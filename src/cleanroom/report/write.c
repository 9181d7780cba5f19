/* SPDX-License-Identifier: MIT */
/* From a form to its writer. */
#include "report/internal.h"

pnx_status pnx__report_finish(FILE *out, pnx_error *err)
{
    if (fflush(out) != 0 || ferror(out))
        return pnx_fail(err, PNX_EFAILED, "cannot write the report: %m");
    return PNX_OK;
}

pnx_status pnx_session_report_write(const pnx_session_report *report, pnx_report_format format,
                                    const pnx_report_options *options, FILE *out, pnx_error *err)
{
    switch (format) {
    case PNX_REPORT_TEXT:
        return pnx_session_report_write_text(report, out, err);
    case PNX_REPORT_JSON:
        return pnx_session_report_write_json(report, out, err);
    case PNX_REPORT_XML:
    case PNX_REPORT_HTML:
        break;
    }
    return pnx_fail(err, PNX_EINVAL, "no such format of a report: %d", (int)format);
}
