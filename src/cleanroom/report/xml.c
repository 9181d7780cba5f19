/* SPDX-License-Identifier: MIT */
/*
 * JUnit XML. Its two published schemas, of Ant and of Jenkins, differ; what is written here keeps
 * to what both allow: no attributes of testsuites, properties first, one outcome of a test case,
 * both outputs at the end, dates without a zone.
 */
#include "report/xml.h"

#include "report/escape.h"
#include "report/figures.h"
#include "report/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define NAMED_MAX 20
#define TEXT_MAX 4096
#define COMMAND_COLUMNS 2000

static void attribute(FILE *out, const char *name, const char *value)
{
    fprintf(out, " %s=\"", name);
    pnx__print_markup(out, value, TEXT_MAX);
    fputc('"', out);
}

static void seconds(FILE *out, pnx_duration span)
{
    if (span < 0)
        span = 0;
    fprintf(out, " time=\"%" PRId64 ".%03d\"", span / PNX_S(1), (int)(span % PNX_S(1) / PNX_MS(1)));
}

/* What the schemas want as a name: it must not be empty, or blank. */
static const char *name_of(const pnx_session_report *report)
{
    const char *name = report->name ? report->name : "";
    return name[strspn(name, " ")] ? name : "session";
}

/* ---- kinds ----------------------------------------------------------------------------------- */

enum result { PASSED, FAILED, SKIPPED };

static uint64_t count_found(const pnx_session_total *total, pnx__verdict verdict)
{
    uint64_t count = 0;
    for (int fate = 0; fate < PNX_FATE_COUNT; fate++)
        if (pnx__verdict_of(PNX_ORIGIN_FOUND, (pnx_fate)fate) == verdict)
            count += total->found[fate];
    return count;
}

static uint64_t count_leftovers(const pnx_session_total *total)
{
    return count_found(total, PNX__GONE) + count_found(total, PNX__KEPT) +
           count_found(total, PNX__UNREMOVED);
}

/* Is there anything to say of this kind? */
static bool is_case(const pnx_session_total *total)
{
    return count_leftovers(total) || count_found(total, PNX__FOREIGN) ||
           pnx__count_verdict(total, PNX__UNREMOVED);
}

static enum result judge(const pnx_session_total *total, const pnx_report_options *options)
{
    bool failed = pnx__count_verdict(total, PNX__UNREMOVED) > 0 ||
                  (options->fail_on_leftovers && count_leftovers(total) > 0);
    return failed ? FAILED : PASSED;
}

static bool is_named(const pnx_session_resource *resource, const pnx_session_total *total,
                     bool unremoved)
{
    pnx__verdict verdict = pnx__verdict_of(resource->origin, resource->outcome.fate);
    return strcmp(resource->kind, total->kind) == 0 && pnx__is_told(resource) &&
           (unremoved ? verdict == PNX__UNREMOVED : verdict != PNX__FOREIGN);
}

/* The first few, a line each: what could not be removed, or if that is nothing, what was found. */
static void name_resources(FILE *out, const pnx_session_report *report,
                           const pnx_session_total *total)
{
    uint64_t unremoved = pnx__count_verdict(total, PNX__UNREMOVED);
    uint64_t all = unremoved ? unremoved : count_leftovers(total), named = 0;
    for (size_t i = 0; i < report->resource_count && named < NAMED_MAX; i++) {
        const pnx_session_resource *resource = &report->resources[i];
        if (!is_named(resource, total, unremoved > 0))
            continue;
        named++;
        fprintf(out, "%s: ", pnx_fate_name(resource->outcome.fate));
        pnx__print_markup(out, resource->name, TEXT_MAX);
        if (resource->detail && *resource->detail) {
            fputs(" (", out);
            pnx__print_markup(out, resource->detail, TEXT_MAX);
            fputc(')', out);
        }
        if (*resource->outcome.reason) {
            fputs(": ", out);
            pnx__print_markup(out, resource->outcome.reason, TEXT_MAX);
        }
        fputc('\n', out);
    }
    if (all > named)
        fprintf(out, "and %" PRIu64 " more\n", all - named);
}

static void kind_case(FILE *out, const pnx_session_report *report, const pnx_session_total *total,
                      const pnx_report_options *options)
{
    uint64_t unremoved = pnx__count_verdict(total, PNX__UNREMOVED);
    fputs("    <testcase name=\"left behind: ", out);
    pnx__print_markup(out, total->kind, TEXT_MAX);
    fputc('"', out);
    attribute(out, "classname", name_of(report));
    fputs(" time=\"0.000\"", out);
    if (judge(total, options) == PASSED) {
        fputs("/>\n", out);
        return;
    }
    fputs("><failure message=\"", out);
    if (unremoved)
        fprintf(out, "%" PRIu64 " could not be removed", unremoved);
    else
        fprintf(out, "%" PRIu64 " left behind", count_leftovers(total));
    fprintf(out, "\" type=\"%s\">", unremoved ? "unremoved" : "leftover");
    name_resources(out, report, total);
    fputs("</failure></testcase>\n", out);
}

/* ---- the command ----------------------------------------------------------------------------- */

static enum result judge_command(const pnx_session_report *report, bool superseded)
{
    if (pnx__succeeded(report))
        return PASSED;
    return superseded ? SKIPPED : FAILED;
}

static void command_case(FILE *out, const pnx_session_report *report, bool superseded)
{
    char end[PNX__EXIT_TEXT_SIZE];
    enum result result = judge_command(report, superseded);
    fputs("    <testcase name=\"command\"", out);
    attribute(out, "classname", name_of(report));
    seconds(out, report->duration);
    if (result == PASSED) {
        fputs("/>\n", out);
        return;
    }
    const char *element = result == SKIPPED ? "skipped" : "failure";
    fprintf(out, "><%s message=\"%s%s\"", element, pnx__exit_text(report, end),
            result == SKIPPED ? ", tried again" : "");
    if (result == FAILED)
        fprintf(out, " type=\"%s\"",
                report->timed_out     ? "timeout"
                : report->exit_signal ? "signal"
                                      : "exit");
    fputs("/></testcase>\n", out);
}

/* ---- a session ------------------------------------------------------------------------------- */

static void property(FILE *out, const char *name, const char *value)
{
    fprintf(out, "      <property name=\"%s\"", name);
    attribute(out, "value", value);
    fputs("/>\n", out);
}

static void property_count(FILE *out, const char *name, uint64_t value)
{
    fprintf(out, "      <property name=\"%s\" value=\"%" PRIu64 "\"/>\n", name, value);
}

static void command_property(FILE *out, const pnx_session_report *report)
{
    fputs("      <property name=\"command\" value=\"", out);
    pnx__print_markup_command(out, report->command, COMMAND_COLUMNS);
    fputs("\"/>\n", out);
}

static void properties(FILE *out, const pnx_session_report *report)
{
    char id[PNX_ID_TEXT_SIZE];
    fputs("    <properties>\n", out);
    property(out, "session", pnx_id_format(report->session, id));
    command_property(out, report);
    property_count(out, "attempt", pnx__attempt_of(report));
    property(out, "tier", pnx__tier_text(report));
    property(out, "tier_reason", report->tier_reason);
    property(out, "cleaned_by", pnx__cleaner(report));
    property_count(out, "leftovers", report->leftovers);
    property_count(out, "unremoved", report->unremoved);
    property_count(out, "foreign", report->foreign);
    property_count(out, "kept", report->kept);
    fputs("    </properties>\n", out);
}

/* The text report, as the output of the suite. */
static pnx_status output(FILE *out, const pnx_session_report *report, pnx_error *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    if (!memory)
        return pnx_fail(err, PNX_ENOMEM, "no memory for the report");
    pnx_status status = pnx__text_of(report, memory, err);
    bool whole = !ferror(memory);
    if (fclose(memory) != 0 || !whole)
        status = pnx_fail(err, PNX_ENOMEM, "no memory for the report");
    if (status == PNX_OK) {
        fputs("    <system-out>", out);
        pnx__print_markup_lines(out, text, SIZE_MAX);
        fputs("</system-out>\n    <system-err></system-err>\n", out);
    }
    free(text);
    return status;
}

static void suite_start(FILE *out, const pnx_session_report *report, size_t number, size_t tests,
                        size_t failures, size_t skipped)
{
    char date[PNX__DATE_SIZE];
    fputs("  <testsuite name=\"", out);
    pnx__print_markup(out, name_of(report), TEXT_MAX);
    if (pnx__attempt_of(report) > 1)
        fprintf(out, " (attempt %u)", pnx__attempt_of(report));
    fprintf(out, "\" package=\"cleanroom\" id=\"%zu\" hostname=\"localhost\" timestamp=\"%s\"",
            number, pnx__date_text(report->started, date) ? date : "1970-01-01T00:00:00");
    fprintf(out, " tests=\"%zu\" failures=\"%zu\" errors=\"0\" skipped=\"%zu\"", tests, failures,
            skipped);
    seconds(out, report->duration);
    fputs(">\n", out);
}

static pnx_status suite(FILE *out, const pnx_session_report *report, size_t number, bool superseded,
                        const pnx_report_options *options, pnx_error *err)
{
    const pnx_session_total **kinds = pnx__totals_in_order(report);
    if (!kinds && report->total_count)
        return pnx_fail(err, PNX_ENOMEM, "no memory for the report");
    size_t tests = 1, failures = judge_command(report, superseded) == FAILED;
    for (size_t i = 0; i < report->total_count; i++) {
        tests += is_case(kinds[i]);
        failures += is_case(kinds[i]) && judge(kinds[i], options) == FAILED;
    }
    suite_start(out, report, number, tests, failures, judge_command(report, superseded) == SKIPPED);
    properties(out, report);
    command_case(out, report, superseded);
    for (size_t i = 0; i < report->total_count; i++)
        if (is_case(kinds[i]))
            kind_case(out, report, kinds[i], options);
    free(kinds);
    pnx_status status = output(out, report, err);
    fputs("  </testsuite>\n", out);
    return status;
}

pnx_status pnx__xml_of_all(const pnx_session_report *reports, size_t count,
                           const pnx_report_options *options, FILE *out, pnx_error *err)
{
    struct pnx__summary summary;
    pnx_status status = pnx__summarise(reports, count, &summary, err);
    if (status != PNX_OK)
        return status;
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n", out);
    for (size_t i = 0; i < count && status == PNX_OK; i++)
        status = suite(out, &reports[i], i, summary.superseded[i], options, err);
    fputs("</testsuites>\n", out);
    pnx__summary_done(&summary);
    return status;
}
