/* SPDX-License-Identifier: MIT */
#include "each.h"
#include "report_read.h"
#include "report_store.h"

#include <cleanroom/reaper.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How long another one's clean-up is waited for; it has a patience of its own. */
#define ADOPTION_WITHIN PNX_S(60)

static char *read_all(int fd, size_t *ret_size)
{
    struct stat about;
    if (fstat(fd, &about) != 0 || about.st_size <= 0 || (size_t)about.st_size > REPORT_SIZE_MAX)
        return NULL;
    size_t size = (size_t)about.st_size, done = 0;
    char *text = malloc(size);
    while (text && done < size) {
        ssize_t got = pread(fd, text + done, size - done, (off_t)done);
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    *ret_size = done;
    return text;
}

/* Somebody else was faster, its reaper perhaps: it has kept the report. */
static char *read_kept(pnx_id id, size_t *ret_size, pnx_error *err)
{
    struct store store;
    char *text = NULL;
    if (store_open(&store, err) != PNX_OK)
        return NULL;
    if (store_read(&store, id, &text, ret_size, err) != PNX_OK)
        text = NULL;
    store_close(&store);
    return text;
}

/* It was killed, and has left the id of its session, which we adopt. */
static char *read_adopted(pnx_id id, size_t *ret_size, pnx_error *err)
{
    pnx_error why = {0};
    pnx_time deadline = pnx_time_after(pnx_monotonic_now(), ADOPTION_WITHIN);
    (void)pnx_session_reap(id, "adopter", deadline, NULL, &why); /* its report tells what failed */
    char *text = read_kept(id, ret_size, err);
    if (!text && why.message[0])
        *err = why;
    return text;
}

static char *read_text(int fd, size_t *ret_size, pnx_error *err)
{
    char id_text[PNX_ID_TEXT_SIZE] = "";
    pnx_id id;
    char *text = read_all(fd, ret_size);
    if (!text) {
        pnx_fail(err, PNX_EFAILED, "cleanroom ended before it had written one");
        return NULL;
    }
    if (*ret_size != sizeof id_text - 1)
        return text;
    memcpy(id_text, text, sizeof id_text - 1);
    if (pnx_id_parse(id_text, &id, NULL) != PNX_OK)
        return text;
    free(text);
    return read_adopted(id, ret_size, err);
}

static bool read_report(int fd, pnx_session_report *ret, pnx_error *err)
{
    size_t size;
    struct reports read;
    char *text = read_text(fd, &size, err);
    if (!text)
        return false;
    bool good = reports_read(text, size, &read, err) == PNX_OK;
    free(text);
    if (!good)
        return false;
    if (read.count == 1) {
        *ret = read.reports[0];
        free(read.reports);
        return true;
    }
    reports_done(&read);
    pnx_fail(err, PNX_EFAILED, "there is not one of one session");
    return false;
}

/* A line that was run is never missing. */
static void make_up(pnx_session_report *ret, const struct each_line *line, const pnx_error *why)
{
    char **command = calloc(4, sizeof *command);
    *ret = (pnx_session_report){.name = strdup(line->text), .command = command};
    ret->exit_code = line->status < 128 ? line->status : -1;
    ret->exit_signal = line->status < 128 ? 0 : line->status - 128;
    if (command) {
        command[0] = strdup("sh");
        command[1] = strdup("-c");
        command[2] = strdup(line->text);
    }
    (void)pnx_session_report_warn(ret, "there is no report: %s", why->message);
}

void each_add_report(struct each_reports *reports, int fd, const struct each_line *line)
{
    pnx_error why = {0};
    pnx_session_report report;
    if (!read_report(fd, &report, &why))
        make_up(&report, line, &why);
    report.job = line->number;
    report.attempt = line->attempts;
    if (reports->count == reports->room) {
        size_t room = reports->room ? 2 * reports->room : 16;
        pnx_session_report *grown = realloc(reports->reports, room * sizeof *grown);
        if (!grown) {
            pnx_session_report_done(&report);
            return;
        }
        reports->reports = grown;
        reports->room = room;
    }
    reports->reports[reports->count++] = report;
}

static int compare(const void *a, const void *b)
{
    const pnx_session_report *x = a, *y = b;
    if (x->job != y->job)
        return x->job < y->job ? -1 : 1;
    return (x->attempt > y->attempt) - (x->attempt < y->attempt);
}

void each_sort_reports(struct each_reports *reports)
{
    if (reports->count > 0)
        qsort(reports->reports, reports->count, sizeof *reports->reports, compare);
}

void each_free_reports(struct each_reports *reports)
{
    for (size_t i = 0; i < reports->count; i++)
        pnx_session_report_done(&reports->reports[i]);
    free(reports->reports);
    *reports = (struct each_reports){0};
}
