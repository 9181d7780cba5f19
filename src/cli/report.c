/* SPDX-License-Identifier: MIT */
/* cleanroom report: a program of its own, since reading JSON takes a library. */
#include "cli.h"
#include "report_read.h"
#include "report_store.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char usage[] =
    "usage: cleanroom report [OPTION...] [ID...]\n"
    "\n"
    "Shows the report of a session, or of several in one. Without ID, lists what there is.\n"
    "\n"
    "ID is 'last', the id of a session or its beginning, or a file of JSON: a name with a slash "
    "in\n"
    "it, or '-' for stdin.\n"
    "\n"
    "  --format FORMAT      text, json, xml (JUnit) or html [as --output says, else text]\n"
    "  --output FILE        write there, not to stdout\n"
    "  --fail-on-leftovers  in xml, leftovers are failures even if all could be removed\n"
    "  --lines N            list at most N reports; 0: all [20]\n"
    "  --help               this text\n"
    "  --version            the version\n";

struct options {
    bool formatted;
    pnx_report_format format;
    pnx_report_options how;
    const char *output;
    size_t lines;
};

/* ---- several in one -------------------------------------------------------------------------- */

static bool append(struct reports *all, struct reports *more)
{
    size_t count = all->count + more->count;
    pnx_session_report *reports = realloc(all->reports, (count ? count : 1) * sizeof *reports);
    if (!reports)
        return false;
    if (more->count)
        memcpy(reports + all->count, more->reports, more->count * sizeof *reports);
    free(more->reports);
    all->several = all->several || more->several || count > 1;
    all->reports = reports;
    all->count = count;
    return true;
}

static bool is_file(const char *name)
{
    return strchr(name, '/') || strcmp(name, "-") == 0;
}

/* Which file it is, and what is in it. */
static pnx_status fetch(const struct store *store, const char *name, char **ret_text,
                        size_t *ret_size, pnx_error *err)
{
    pnx_id id;
    pnx_status status;
    if (is_file(name)) {
        status = file_read(name, ret_text, ret_size, err);
    } else {
        status = store_find(store, name, &id, err);
        if (status != PNX_OK)
            return status;
        status = store_read(store, id, ret_text, ret_size, err);
    }
    return status == PNX_OK ? status : pnx_wrap(err, status, "cannot read '%s'", name);
}

static pnx_status take(const struct store *store, const char *name, struct reports *all,
                       pnx_error *err)
{
    char *text;
    size_t size;
    struct reports reports;
    pnx_status status = fetch(store, name, &text, &size, err);
    if (status != PNX_OK)
        return status;
    status = reports_read(text, size, &reports, err);
    free(text);
    if (status != PNX_OK)
        return pnx_wrap(err, status, "'%s' is no report that can be read", name);
    if (append(all, &reports))
        return PNX_OK;
    reports_done(&reports);
    return pnx_fail(err, PNX_ENOMEM, "no memory for the reports");
}

/* The state directory is needed only for what is looked up there. */
static bool need_store(int count, char **names)
{
    for (int i = 0; i < count; i++)
        if (!is_file(names[i]))
            return true;
    return count == 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

static pnx_status write_reports(const struct reports *all, const struct options *options, FILE *out,
                                pnx_error *err)
{
    if (all->several)
        return pnx_session_reports_write(all->reports, all->count, options->format, &options->how,
                                         out, err);
    return pnx_session_report_write(all->reports, options->format, &options->how, out, err);
}

static pnx_status show(const struct reports *all, const struct options *options, pnx_error *err)
{
    if (!options->output)
        return write_reports(all, options, stdout, err);
    FILE *out = fopen(options->output, "we");
    if (!out)
        return pnx_fail(err, PNX_EFAILED, "cannot write the report %s: %m", options->output);
    pnx_status status = write_reports(all, options, out, err);
    if (fclose(out) != 0 && status == PNX_OK)
        status = pnx_fail(err, PNX_EFAILED, "cannot write the report %s: %m", options->output);
    return status;
}

static int show_named(const struct store *store, const struct options *options, int count,
                      char **names)
{
    struct reports all = {0};
    pnx_error err = {0};
    pnx_status status = PNX_OK;
    for (int i = 0; i < count && status == PNX_OK; i++)
        status = take(store, names[i], &all, &err);
    if (status == PNX_OK)
        status = show(&all, options, &err);
    if (status != PNX_OK)
        complain_of(&err);
    reports_done(&all);
    return status == PNX_OK ? 0 : EXIT_CLEANROOM;
}

/* ---- the list -------------------------------------------------------------------------------- */

/* The first line of the text report, behind id and date. */
static void print_summary(const pnx_session_report *report)
{
    static const char start[] = "cleanroom: ";
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    if (!memory)
        return;
    bool written = pnx_session_report_write_text(report, memory, NULL) == PNX_OK;
    if (fclose(memory) == 0 && written && strncmp(text, start, sizeof start - 1) == 0) {
        text[strcspn(text, "\n")] = '\0';
        fputs(text + sizeof start - 1, stdout);
    }
    free(text);
    if (report->leftovers)
        printf("  %" PRIu64 " left behind", report->leftovers);
    if (report->unremoved)
        printf("  %" PRIu64 " not removed", report->unremoved);
}

static void print_line(const struct store *store, const struct stored *stored)
{
    char id[PNX_ID_TEXT_SIZE], date[32] = "";
    char *text = NULL;
    size_t size;
    struct tm tm;
    struct reports reports;
    pnx_error err = {0};
    time_t seconds = stored->written / PNX_S(1);
    if (localtime_r(&seconds, &tm))
        strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &tm);
    printf("%s  %s  ", pnx_id_format(stored->id, id), date);
    pnx_status status = store_read(store, stored->id, &text, &size, &err);
    if (status == PNX_OK)
        status = reports_read(text, size, &reports, &err);
    free(text);
    if (status == PNX_OK) {
        if (reports.count == 1)
            print_summary(&reports.reports[0]);
        reports_done(&reports);
    } else {
        printf("cannot be read: %s", err.message);
    }
    putchar('\n');
}

static int print_list(const struct store *store, size_t most)
{
    for (size_t i = 0; i < store->count && i < most; i++)
        print_line(store, &store->reports[i]);
    if (store->count == 0)
        fputs("There are no reports yet; 'cleanroom run' leaves one.\n", stdout);
    if (store->count > most)
        printf("and %zu more; '--lines 0' shows all\n", store->count - most);
    if (fflush(stdout) == 0)
        return 0;
    complain("cannot write the list: %m");
    return EXIT_CLEANROOM;
}

/* ---- options --------------------------------------------------------------------------------- */

enum { FORMAT = 256, OUTPUT, FAIL, LINES, HELP, VERSION };

static const struct option known[] = {
    {"format", required_argument, NULL, FORMAT},
    {"output", required_argument, NULL, OUTPUT},
    {"fail-on-leftovers", no_argument, NULL, FAIL},
    {"lines", required_argument, NULL, LINES},
    {"help", no_argument, NULL, HELP},
    {"version", no_argument, NULL, VERSION},
    {NULL, 0, NULL, 0},
};

static bool take_lines(const char *text, struct options *ret)
{
    char *end;
    unsigned long lines = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end) {
        complain("--lines '%s' is no number", text);
        return false;
    }
    ret->lines = lines ? lines : SIZE_MAX;
    return true;
}

static bool take_option(int option, struct options *ret)
{
    pnx_error err = {0};
    switch (option) {
    case FORMAT:
        ret->formatted = true;
        if (pnx_report_format_named(optarg, &ret->format, &err) == PNX_OK)
            return true;
        complain_of(&err);
        return false;
    case OUTPUT:
        ret->output = optarg;
        return true;
    case FAIL:
        ret->how.fail_on_leftovers = true;
        return true;
    case LINES:
        return take_lines(optarg, ret);
    default:
        return false;
    }
}

static bool parse(int argc, char **argv, struct options *ret, int *ret_status)
{
    opterr = 0;
    *ret_status = EXIT_CLEANROOM;
    for (int option; (option = getopt_long(argc, argv, ":", known, NULL)) != -1;) {
        if (option == HELP || option == VERSION) {
            if (option == HELP)
                fputs(usage, stdout);
            else
                printf("cleanroom %s\n", pnx_version());
            *ret_status = 0;
            return false;
        }
        if (option == ':')
            complain("option '%s' needs a value; see 'cleanroom report --help'", argv[optind - 1]);
        else if (option == '?')
            complain("no such option: '%s'; see 'cleanroom report --help'", argv[optind - 1]);
        if (!take_option(option, ret))
            return false;
    }
    pnx_error err = {0};
    if (ret->formatted || !ret->output ||
        pnx_report_format_of(ret->output, &ret->format, &err) == PNX_OK)
        return true;
    (void)pnx_wrap(&err, PNX_EINVAL, "--output: give --format, or a name that says it");
    complain_of(&err);
    return false;
}

int main(int argc, char **argv)
{
    int status;
    struct options options = {.lines = 20};
    if (!parse(argc, argv, &options, &status))
        return status;
    char **names = argv + optind;
    int count = argc - optind;
    if (count == 0 && (options.formatted || options.output)) {
        complain("which report? give an id, or 'last'");
        return EXIT_CLEANROOM;
    }
    pnx_error err = {0};
    struct store store = {.fd = -1};
    if (need_store(count, names) && store_open(&store, &err) != PNX_OK) {
        complain_of(&err);
        return EXIT_CLEANROOM;
    }
    status = count ? show_named(&store, &options, count, names) : print_list(&store, options.lines);
    store_close(&store);
    return status;
}
