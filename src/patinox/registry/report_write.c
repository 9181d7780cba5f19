/* SPDX-License-Identifier: MIT */
/*
 * The leak report as text for people and as JSON (RFC 8259) for machines; both are explained in
 * docs/leak-report.md. Promise: whatever bytes names, descriptions and metadata hold, the text does
 * nothing to a terminal but show itself, and the JSON is one object on one line, so that a file to
 * which run after run appends is JSON lines. A failure of the stream is told.
 *
 * Survivors are many where one line of code leaks again and again, so people see groups: one for
 * each kind and site, the largest first. Without memory to sort them, they are shown one by one.
 */
#include "base/sys.h"
#include "base/text.h"
#include "monitor/out.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <patinox/registry.h>
#include <stdlib.h>
#include <string.h>

/* More would not be read; the JSON has them all. */
#define GROUPS_MAX 50
/* As much of a survivor's metadata as fits on two or three lines of a terminal. */
#define METADATA_MAX 240
#define FRAMES_MAX (sizeof(((pnx_survivor *)NULL)->frames) / sizeof(void *))

void pnx_report_done(pnx_report *report)
{
    if (report == NULL) {
        return;
    }
    for (size_t i = 0; i < report->survivor_count; i++) {
        pnx__free(report->survivors[i].metadata);
    }
    pnx__free(report->survivors);
    *report = (pnx_report){0};
}

/* ---- text that is safe to look at ------------------------------------------------------------ */

/* Well-formed, yet made to act on the reader instead of being read: C1 controls, line separators,
 * marks that turn the direction of writing (the "Trojan source" ones), the byte order mark. */
static bool acts_on_terminals(const char *character, size_t length)
{
    const unsigned char *b = (const unsigned char *)character;
    if (length == 1) {
        return b[0] < 0x20 || b[0] == 0x7F;
    }
    if (length == 2) {
        return (b[0] == 0xC2 && b[1] < 0xA0) || (b[0] == 0xD8 && b[1] == 0x9C);
    }
    if (length == 3 && b[0] == 0xE2) {
        return (b[1] == 0x80 &&
                ((b[2] >= 0x8B && b[2] <= 0x8F) || (b[2] >= 0xA8 && b[2] <= 0xAE))) ||
               (b[1] == 0x81 && b[2] >= 0xA0 && b[2] <= 0xAF);
    }
    return length == 3 && b[0] == 0xEF && b[1] == 0xBB && b[2] == 0xBF;
}

/* At most `limit` bytes of `text`, with \xNN for each byte that would do more than be seen. */
static void write_safe(FILE *out, const char *text, size_t limit)
{
    const size_t whole = strlen(text);
    const char *end = text + pnx__text_cut(text, whole, limit);
    while (text < end) {
        const size_t length = pnx__out_character(text);
        if (length == 0) {
            fputs(PNX__OUT_REPLACEMENT, out);
            text++;
            continue;
        }
        const bool escape = acts_on_terminals(text, length);
        for (const char *next = text + length; text < next; text++) {
            fprintf(out, escape ? "\\x%02x" : "%c", (unsigned char)*text);
        }
    }
    if (whole > limit) {
        fputs("...", out);
    }
}

/* Rounded down to what people care about at that magnitude. */
static void write_age(FILE *out, pnx_duration age)
{
    static const struct {
        pnx_duration from, unit;
    } rounding[] = {
        {PNX_S(3600), PNX_S(60)}, {PNX_S(10), PNX_S(1)}, {PNX_S(1), PNX_MS(10)},
        {PNX_MS(1), PNX_US(10)},  {0, PNX_NS(1)},
    };
    char text[48];
    size_t i = 0;
    age = age < 0 ? 0 : age;
    while (age < rounding[i].from) {
        i++;
    }
    pnx_span_format(age - age % rounding[i].unit, text, sizeof text);
    fputs(text, out);
}

static void write_bytes(FILE *out, uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned unit = 0;
    uint64_t whole = bytes, rest = 0;
    for (; whole >= 1024; whole /= 1024) {
        rest = whole % 1024;
        unit++;
    }
    if (unit == 0) {
        fprintf(out, "%" PRIu64 " byte%s", bytes, bytes == 1 ? "" : "s");
    } else {
        fprintf(out, "%" PRIu64 ".%" PRIu64 " %s", whole, rest * 10 / 1024, units[unit - 1]);
    }
}

/* ---- frames ---------------------------------------------------------------------------------- */

struct frame {
    const char *symbol; /* NULL: not known; then `offset` is that in the object */
    const char *object; /* NULL: not known either */
    uintptr_t offset;
};

/* Only what dladdr(3) knows: exported functions. The offset in the object leads addr2line(1) to the
 * rest. A frame holds the address that the call returns to, which may belong to the next function
 * already; the call is before it. */
static struct frame frame_of(const void *address)
{
    struct frame frame = {.offset = (uintptr_t)address};
    Dl_info info;
    if (dladdr((const char *)address - 1, &info) == 0 || info.dli_fname == NULL) {
        return frame;
    }
    frame.object = info.dli_fname;
    frame.symbol = info.dli_sname;
    frame.offset -= (uintptr_t)(info.dli_sname != NULL ? info.dli_saddr : info.dli_fbase);
    return frame;
}

static size_t frame_count(const pnx_survivor *survivor)
{
    size_t count = 0;
    while (count < FRAMES_MAX && survivor->frames[count] != NULL) {
        count++;
    }
    return count;
}

/* ---- groups ---------------------------------------------------------------------------------- */

/* Survivors of one kind and site: `count` entries from `first` on, in the sorted list. */
struct group {
    size_t first, count;
};

/* All survivors, by kind and site, and where each group of them begins. */
struct groups {
    const pnx_survivor **survivors;
    struct group *groups; /* the largest first */
    size_t count;
};

static int compare_text(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "", b != NULL ? b : "");
}

static int compare_sites(const pnx_site *a, const pnx_site *b)
{
    if (a == NULL || b == NULL) {
        return (a != NULL) - (b != NULL);
    }
    int order = compare_text(a->file, b->file);
    if (order == 0) {
        order = (a->line > b->line) - (a->line < b->line);
    }
    return order != 0 ? order : compare_text(a->function, b->function);
}

static int compare_groups_of(const pnx_survivor *a, const pnx_survivor *b)
{
    const int order = strcmp(a->kind, b->kind);
    return order != 0 ? order : compare_sites(a->site, b->site);
}

/* The oldest of a group comes first: it is the example, and the first to have gone wrong. */
static int by_kind_site_age(const void *a, const void *b)
{
    const pnx_survivor *left = *(const pnx_survivor *const *)a;
    const pnx_survivor *right = *(const pnx_survivor *const *)b;
    const int order = compare_groups_of(left, right);
    if (order != 0) {
        return order;
    }
    return left->age != right->age ? (left->age < right->age) - (left->age > right->age)
                                   : pnx_id_compare(left->id, right->id);
}

/* Equal counts stay in the order of kinds and sites. */
static int by_count(const void *a, const void *b)
{
    const struct group *left = a, *right = b;
    return left->count != right->count
               ? (left->count < right->count) - (left->count > right->count)
               : (left->first > right->first) - (left->first < right->first);
}

/* `memory` has room for everything at its worst, a group for each survivor. */
static struct groups group_sorted(const pnx_report *report, void *memory)
{
    const size_t count = report->survivor_count;
    struct groups all = {.groups = memory};
    all.survivors = (const pnx_survivor **)(void *)(all.groups + count);
    for (size_t i = 0; i < count; i++) {
        all.survivors[i] = &report->survivors[i];
    }
    qsort(all.survivors, count, sizeof *all.survivors, by_kind_site_age);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || compare_groups_of(all.survivors[i - 1], all.survivors[i]) != 0) {
            all.groups[all.count++] = (struct group){i, 0};
        }
        all.groups[all.count - 1].count++;
    }
    qsort(all.groups, all.count, sizeof *all.groups, by_count);
    return all;
}

/* ---- text: totals ---------------------------------------------------------------------------- */

static const struct {
    pnx_state state;
    const char *word; /* a state, as it is said of something that should be gone */
} left_as[] = {
    {PNX_LIVE, "held"},       {PNX_QUEUED, "queued"}, {PNX_RUNNING, "running"},
    {PNX_WAITING, "waiting"}, {PNX_FAILED, "failed"}, {PNX_ABANDONED, "abandoned"},
};
#define LEFT_AS_COUNT (sizeof left_as / sizeof *left_as)

static void write_totals(FILE *out, const pnx_report *report)
{
    const pnx_counts *c = &report->counts;
    const uint64_t counts[LEFT_AS_COUNT] = {c->live,    c->queued, c->running,
                                            c->waiting, c->failed, c->abandoned};
    uint64_t left = 0;
    for (size_t i = 0; i < LEFT_AS_COUNT; i++) {
        left += counts[i];
    }
    write_safe(out, report->registry, SIZE_MAX);
    fprintf(out, ": %" PRIu64 " registered, %" PRIu64 " given back", c->registered, c->done);
    for (size_t i = 0; i < LEFT_AS_COUNT; i++) {
        if (counts[i] > 0) {
            fprintf(out, ", %" PRIu64 " %s", counts[i], left_as[i].word);
        }
    }
    fprintf(out, "%s, %" PRIu64 " leaked\n", left == 0 ? ", nothing left" : "", c->leaked);
}

static void write_shutdown(FILE *out, const pnx_report *report)
{
    if (report->took > 0 || report->released > 0 || report->leaked > 0) {
        fputs("  the shutdown took ", out);
        write_age(out, report->took);
        fprintf(out, " and gave %" PRIu64 " back", report->released);
        if (report->leaked > 0) {
            fprintf(out, ", %" PRIu64 " of them still held when it began", report->leaked);
        }
        fputs(report->deadline_hit ? "; the grace was not enough\n" : "\n", out);
    }
    if (report->threads_left > 0) {
        fprintf(out, "  %u hung thread%s could not be joined\n", report->threads_left,
                report->threads_left == 1 ? "" : "s");
    }
    if (report->incomplete) {
        fputs("  the list is incomplete, for want of memory; the totals are right\n", out);
    }
}

/* ---- text: groups ---------------------------------------------------------------------------- */

static void write_states(FILE *out, const pnx_survivor *const *survivors, size_t count)
{
    const char *comma = "";
    for (size_t i = 0; i < LEFT_AS_COUNT; i++) {
        size_t same = 0, leaked = 0;
        for (size_t s = 0; s < count; s++) {
            same += survivors[s]->state == left_as[i].state;
            leaked += survivors[s]->state == left_as[i].state && survivors[s]->leaked;
        }
        if (same == 0) {
            continue;
        }
        fputs(comma, out);
        if (same < count) {
            fprintf(out, "%zu ", same);
        }
        fputs(left_as[i].word, out);
        if (leaked > 0 && leaked < same) {
            fprintf(out, " (%zu leaked)", leaked);
        } else if (leaked > 0) {
            fputs(" (leaked)", out);
        }
        comma = ", ";
    }
}

static void write_ages(FILE *out, const pnx_survivor *const *survivors, size_t count)
{
    /* The oldest is first, the youngest last. */
    write_age(out, survivors[count - 1]->age);
    if (survivors[0]->age > survivors[count - 1]->age) {
        fputs(" to ", out);
        write_age(out, survivors[0]->age);
    }
    fputs(" old", out);
}

#define INDENT "        "

static void write_example(FILE *out, const pnx_survivor *survivor, bool one_of_many)
{
    char id[PNX_ID_TEXT_SIZE];
    fputs(one_of_many ? INDENT "e.g. " : INDENT, out);
    if (survivor->description[0] != '\0') {
        write_safe(out, survivor->description, SIZE_MAX);
        fputs(", ", out);
    }
    if (survivor->attempts > 0) {
        fprintf(out, "%s after %u attempt%s, ", pnx_status_name(survivor->status),
                survivor->attempts, survivor->attempts == 1 ? "" : "s");
    }
    fprintf(out, "id %s\n", pnx_id_format(survivor->id, id));
    if (survivor->metadata != NULL) {
        fputs(INDENT, out);
        write_safe(out, survivor->metadata, METADATA_MAX);
        putc('\n', out);
    }
    const size_t frames = frame_count(survivor);
    for (size_t i = 0; i < frames; i++) {
        const struct frame frame = frame_of(survivor->frames[i]);
        fputs(i == 0 ? INDENT "reserved in " : INDENT "         by ", out);
        if (frame.symbol != NULL) {
            write_safe(out, frame.symbol, SIZE_MAX);
        }
        fprintf(out, "%s0x%" PRIxPTR, frame.object != NULL ? "+" : "", frame.offset);
        if (frame.object != NULL) {
            fputs(" of ", out);
            write_safe(out, frame.object, SIZE_MAX);
        }
        putc('\n', out);
    }
}

static uint64_t bytes_of(const pnx_survivor *const *survivors, size_t count)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (__builtin_add_overflow(bytes, survivors[i]->bytes, &bytes)) {
            return UINT64_MAX;
        }
    }
    return bytes;
}

static void write_group(FILE *out, const pnx_survivor *const *survivors, size_t count)
{
    const pnx_site *site = survivors[0]->site;
    fprintf(out, "  %5zu ", count);
    write_safe(out, survivors[0]->kind, SIZE_MAX);
    if (site != NULL) {
        fputs(" from ", out);
        write_safe(out, site->file != NULL ? site->file : "?", SIZE_MAX);
        fprintf(out, ":%d (", site->line);
        write_safe(out, site->function != NULL ? site->function : "?", SIZE_MAX);
        putc(')', out);
    }
    fputs(": ", out);
    write_states(out, survivors, count);
    fputs("; ", out);
    write_ages(out, survivors, count);
    const uint64_t bytes = bytes_of(survivors, count);
    if (bytes > 0) {
        fputs("; ", out);
        write_bytes(out, bytes);
    }
    putc('\n', out);
    write_example(out, survivors[0], count > 1);
}

static void write_groups(FILE *out, const struct groups *all, size_t survivor_count)
{
    const size_t shown = all->count < GROUPS_MAX ? all->count : GROUPS_MAX;
    size_t rest = survivor_count;
    for (size_t i = 0; i < shown; i++) {
        const struct group *group = &all->groups[i];
        write_group(out, all->survivors + group->first, group->count);
        rest -= group->count;
    }
    if (rest > 0) {
        fprintf(out, "  and %zu more, of %zu other kinds or places\n", rest, all->count - shown);
    }
}

static void write_one_by_one(FILE *out, const pnx_report *report)
{
    const size_t count = report->survivor_count;
    for (size_t i = 0; i < count && i < GROUPS_MAX; i++) {
        const pnx_survivor *survivor = &report->survivors[i];
        write_group(out, &survivor, 1);
    }
    if (count > GROUPS_MAX) {
        fprintf(out, "  and %zu more\n", count - GROUPS_MAX);
    }
}

pnx_status pnx_report_write_text(const pnx_report *report, FILE *out, pnx_error *err)
{
    const size_t count = report->survivor_count;
    /* Whatever writes to the same stream meanwhile does not come between our lines. */
    flockfile(out);
    write_totals(out, report);
    write_shutdown(out, report);
    void *memory =
        count > 0 ? pnx__alloc(count * (sizeof(struct group) + sizeof(pnx_survivor *))) : NULL;
    if (memory != NULL) {
        const struct groups all = group_sorted(report, memory);
        write_groups(out, &all, count);
        pnx__free(memory);
    } else {
        write_one_by_one(out, report);
    }
    pnx_status status = pnx__out_finish(out, "the leak report", err);
    funlockfile(out);
    return status;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void json_frames(FILE *out, const pnx_survivor *survivor)
{
    const size_t count = frame_count(survivor);
    fputs(",\"frames\":[", out);
    for (size_t i = 0; i < count; i++) {
        const struct frame frame = frame_of(survivor->frames[i]);
        fprintf(out, "%s{\"address\":\"0x%" PRIxPTR "\"", i > 0 ? "," : "",
                (uintptr_t)survivor->frames[i]);
        fputs(",\"symbol\":", out);
        pnx_json_string(out, frame.symbol);
        fputs(",\"object\":", out);
        pnx_json_string(out, frame.object);
        fprintf(out, ",\"offset\":\"0x%" PRIxPTR "\"}", frame.offset);
    }
    putc(']', out);
}

static void json_survivor(FILE *out, const pnx_survivor *survivor)
{
    const pnx_site none = {0};
    const pnx_site *site = survivor->site != NULL ? survivor->site : &none;
    char id[PNX_ID_TEXT_SIZE];
    fprintf(out, "{\"id\":\"%s\",\"kind\":", pnx_id_format(survivor->id, id));
    pnx_json_string(out, survivor->kind);
    fprintf(out, ",\"state\":\"%s\",\"status\":\"%s\",\"leaked\":%s,\"attempts\":%u",
            pnx_state_name(survivor->state), pnx_status_name(survivor->status),
            survivor->leaked ? "true" : "false", survivor->attempts);
    fprintf(out, ",\"age_ns\":%" PRId64 ",\"bytes\":%" PRIu64 ",\"description\":", survivor->age,
            survivor->bytes);
    pnx_json_string(out, survivor->description);
    fputs(",\"metadata\":", out);
    pnx_json_string(out, survivor->metadata);
    fputs(",\"file\":", out);
    pnx_json_string(out, site->file);
    fprintf(out, ",\"line\":%d,\"function\":", site->line);
    pnx_json_string(out, site->function);
    json_frames(out, survivor);
    putc('}', out);
}

pnx_status pnx_report_write_json(const pnx_report *report, FILE *out, pnx_error *err)
{
    flockfile(out);
    fputs("{\"registry\":", out);
    pnx_json_string(out, report->registry);
    fputs(",\"counts\":", out);
    pnx__out_json_counts(out, &report->counts);
    fprintf(out, ",\"released\":%" PRIu64 ",\"leaked\":%" PRIu64 ",\"took_ns\":%" PRId64,
            report->released, report->leaked, report->took);
    fprintf(out, ",\"deadline_hit\":%s,\"incomplete\":%s,\"threads_left\":%u",
            report->deadline_hit ? "true" : "false", report->incomplete ? "true" : "false",
            report->threads_left);
    fputs(",\"survivors\":[", out);
    for (size_t i = 0; i < report->survivor_count; i++) {
        fputs(i > 0 ? "," : "", out);
        json_survivor(out, &report->survivors[i]);
    }
    fputs("]}\n", out);
    pnx_status status = pnx__out_finish(out, "the leak report as JSON", err);
    funlockfile(out);
    return status;
}
