/* SPDX-License-Identifier: MIT */
/* Which forms there are, by name and by file. */
#include <cleanroom/report.h>

#include <string.h>
#include <strings.h>

static const struct {
    const char *name;
    pnx_report_format format;
} names[] = {
    {"text", PNX_REPORT_TEXT}, {"txt", PNX_REPORT_TEXT},  {"json", PNX_REPORT_JSON},
    {"xml", PNX_REPORT_XML},   {"junit", PNX_REPORT_XML}, {"html", PNX_REPORT_HTML},
    {"htm", PNX_REPORT_HTML},
};

const char *pnx_report_format_name(pnx_report_format format)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].format == format)
            return names[i].name;
    return "unknown";
}

static bool find(const char *name, pnx_report_format *ret)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcasecmp(names[i].name, name) == 0) {
            *ret = names[i].format;
            return true;
        }
    }
    return false;
}

pnx_status pnx_report_format_named(const char *name, pnx_report_format *ret, pnx_error *err)
{
    if (find(name, ret))
        return PNX_OK;
    return pnx_fail(err, PNX_EINVAL,
                    "no such format of a report: '%s'; it can be text, json, xml "
                    "(JUnit) or html",
                    name);
}

pnx_status pnx_report_format_of(const char *file, pnx_report_format *ret, pnx_error *err)
{
    const char *slash = strrchr(file, '/');
    const char *last = slash ? slash + 1 : file;
    const char *dot = strrchr(last, '.');
    if (dot && dot != last && find(dot + 1, ret))
        return PNX_OK;
    return pnx_fail(err, PNX_EINVAL,
                    "'%s' does not say the format of the report: its name must "
                    "end in .txt, .json, .xml (JUnit) or .html",
                    file);
}
