/* SPDX-License-Identifier: MIT */
#include "report_samples.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define START (INT64_C(1769862896) * PNX_S(1)) /* 2026-01-31T12:34:56Z */

const char sample_hostile_text[] =
    "<script>alert(1)</script>]]>&amp;\"'\"><img src=x>\033[31m\n\r\t\x7f\xff\xc3(\xed\xa0\x80"
    "\xef\xbf\xbf\xe2\x80\xae\xc2\x9b--><!--${x}{{y}}%s%n\\u0000 \xe2\x82\xac";

static char *copy(const char *text)
{
    char *own = strdup(text);
    return own ? own : (abort(), NULL);
}

static char *format(const char *text, ...) PNX_PRINTF(1, 2);
static char *format(const char *text, ...)
{
    char *own;
    va_list args;
    va_start(args, text);
    if (vasprintf(&own, text, args) < 0)
        abort();
    va_end(args);
    return own;
}

static char **list(size_t count, const char *const *texts)
{
    char **own = calloc(count + 1, sizeof *own);
    for (size_t i = 0; own && i < count; i++)
        own[i] = copy(texts[i]);
    return own ? own : (abort(), NULL);
}
#define LIST(...)                                                                                  \
    list(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *[]){__VA_ARGS__})

static pnx_session_report start(const char *name, unsigned number)
{
    return (pnx_session_report){
        .session = {UINT64_C(0x0194bd1e3a007000) + number, UINT64_C(0x8000000000000001)},
        .name = copy(name),
        .tier = 3,
        .tier_name = "T3 (cgroup, tracking)",
        .started = START,
        .duration = PNX_MS(1420),
        .cleanup = PNX_MS(23) + PNX_US(417),
    };
}

/* Times are in milliseconds since the start; -1: not known. */
struct thing {
    const char *kind, *type, *name, *detail;
    pnx_origin origin;
    pnx_fate fate;
    const char *reason;
    int64_t created, removed;
    uint64_t bytes;
};

static void add(pnx_session_report *report, const struct thing *thing)
{
    pnx_session_resource row = {
        .kind = thing->kind,
        .type = thing->type,
        .id = format("%s-%zu", thing->kind, report->resource_count),
        .name = copy(thing->name),
        .detail = copy(thing->detail ? thing->detail : ""),
        .owner = 1000,
        .origin = thing->origin,
        .priority = PNX_NORMAL,
        .created = thing->created >= 0 ? report->started + PNX_MS(thing->created) : 0,
        .removed = thing->removed >= 0 ? report->started + PNX_MS(thing->removed) : 0,
        .outcome = {.fate = thing->fate,
                    .verified = thing->removed >= 0,
                    .attempts = thing->fate == PNX_FATE_FOREIGN ? 0 : 1,
                    .took = PNX_US(730),
                    .bytes = thing->bytes},
    };
    if (thing->reason)
        snprintf(row.outcome.reason, sizeof row.outcome.reason, "%s", thing->reason);
    if (pnx_session_report_add(report, &row) != PNX_OK)
        abort();
}

static bool is_gone(pnx_fate fate)
{
    return fate == PNX_FATE_REMOVED || fate == PNX_FATE_ALREADY_GONE || fate == PNX_FATE_GONE_LATE;
}

static void count(pnx_session_report *report, const char *kind, pnx_fate fate, uint64_t more)
{
    pnx_outcome outcome = {.fate = fate, .verified = fate == PNX_FATE_REMOVED};
    if (pnx_session_report_count(report, kind, PNX_ORIGIN_FOUND, &outcome, more) != PNX_OK)
        abort();
}

#define MADE PNX_ORIGIN_MADE
#define FOUND PNX_ORIGIN_FOUND

static void add_own(pnx_session_report *report)
{
    const struct thing own[] = {
        {"process", NULL, "./import-test.sh", "", MADE, PNX_FATE_ALREADY_GONE, NULL, 0, 1420, 0},
        {"tempdir", NULL, "/tmp/cleanroom-0194bd1e", "", MADE, PNX_FATE_REMOVED, NULL, 0, 1441,
         4096},
        {"cgroup", NULL, "/sys/fs/cgroup/cleanroom-0194bd1e", "", MADE, PNX_FATE_REMOVED, NULL, 0,
         1443, 0},
    };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        add(report, &own[i]);
}

pnx_session_report sample_clean(void)
{
    pnx_session_report report = start("import-test.sh", 1);
    report.command = LIST("./import-test.sh", "--all");
    add_own(&report);
    return report;
}

pnx_session_report sample_failed(void)
{
    pnx_session_report report = start("failing", 2);
    report.command = LIST("false");
    report.exit_code = -1;
    report.exit_signal = 11;
    report.tier = 0;
    report.tier_name = NULL;
    snprintf(report.tier_reason, sizeof report.tier_reason,
             "cannot create a cgroup in /sys/fs/cgroup: Permission denied");
    return report;
}

pnx_session_report sample_not_run(void)
{
    return (pnx_session_report){.exit_code = -1};
}

pnx_session_report sample_leftovers(void)
{
    pnx_session_report report = start("import-test.sh", 3);
    report.command = LIST("./import-test.sh");
    add_own(&report);
    const struct thing found[] = {
        {"process", NULL, "sleep 1000", "pid 4711, daemon", FOUND, PNX_FATE_REMOVED, NULL, 210,
         1428, 0},
        {"process", NULL, "sleep 2000", "pid 4712", FOUND, PNX_FATE_REMOVED, "ignored SIGTERM", 640,
         1436, 0},
        {"container", NULL, "postgres:15 \"db\"", "1 anonymous volume", FOUND, PNX_FATE_REMOVED,
         NULL, 300, 1438, 0},
        {"file", "fifo", "control", "", FOUND, PNX_FATE_REMOVED, NULL, 900, 1440, 0},
    };
    for (size_t i = 0; i < sizeof found / sizeof *found; i++)
        add(&report, &found[i]);
    count(&report, "file", PNX_FATE_REMOVED, 36);
    report.files = (pnx_tree_totals){.files = 31, .directories = 5, .fifos = 1, .bytes = 1258291};
    return report;
}

static void add_extras(pnx_session_report *report)
{
    report->limit_count = 2;
    report->limits[0] = (pnx_limit_told){.limit = "mem",
                                         .by = "cgroup v2",
                                         .hit = true,
                                         .times = 1,
                                         .most = 536870912,
                                         .text = "mem=512M: killed 1 process, 512M used at most"};
    report->limits[1] = (pnx_limit_told){
        .limit = "pids", .by = "cgroup v2", .most = 17, .text = "pids=100: 17 at most"};
    report->hook_count = 2;
    report->hooks = calloc(2, sizeof *report->hooks);
    if (!report->hooks)
        abort();
    report->hooks[0] = (pnx_session_hook){.command = copy("dropdb test"),
                                          .priority = PNX_HIGH,
                                          .exit_code = 1,
                                          .duration = PNX_MS(12),
                                          .output = copy("dropping...\ndatabase is in use\n")};
    report->hooks[1] = (pnx_session_hook){.command = copy("true"), .priority = PNX_LOW};
    report->artifacts_dir = copy("/home/user/artifacts");
    report->artifacts_saved = 3;
    report->artifacts_failed = 1;
    report->artifacts_bytes = 70000;
    report->artifact_count = 2;
    report->artifacts = calloc(2, sizeof *report->artifacts);
    if (!report->artifacts)
        abort();
    report->artifacts[0] = (pnx_session_artifact){
        .path = copy("logs/a.log"), .saved_as = copy("logs/a.log"), .bytes = 65536};
    report->artifacts[1] =
        (pnx_session_artifact){.path = copy("core"), .reason = copy("No space left on device")};
    if (pnx_session_report_warn(report, "tracking lost %d events", 17) != PNX_OK)
        abort();
}

pnx_session_report sample_messy(void)
{
    pnx_session_report report = start("import-test.sh", 4);
    report.command = LIST("./import-test.sh", "--database", "test data", "--jobs=8");
    report.isolate = LIST("tmp", "ipc");
    report.exit_code = 3;
    report.supervisor_died = true;
    report.cleaned_by = "reaper";
    snprintf(report.tier_reason, sizeof report.tier_reason, "fanotify is not permitted");
    add_own(&report);
    const struct thing found[] = {
        {"process", NULL, "sleep 1000", "pid 4711, daemon", FOUND, PNX_FATE_REMOVED, NULL, 210,
         1428, 0},
        {"process", NULL, "python3 -m http.server 8080", "pid 4712, orphan", FOUND,
         PNX_FATE_REMOVED, "ignored SIGTERM", 640, 1436, 0},
        {"process", NULL, "sudo tail -f /var/log/syslog", "pid 4713", FOUND, PNX_FATE_STUCK,
         "it runs as uid 0", 700, -1, 0},
        {"process", NULL, "cat /mnt/hung", "pid 4714", FOUND, PNX_FATE_GONE_LATE,
         "it was in uninterruptible sleep", 800, 1443, 0},
        {"container", NULL, "postgres:15 \"db\"", "1 anonymous volume", FOUND, PNX_FATE_REMOVED,
         NULL, 300, 1438, 0},
        {"volume", NULL, "import-data", "", FOUND, PNX_FATE_KEPT, "--keep on-failure", 300, -1,
         73400320},
        {"shm", NULL, "/import-queue", "", FOUND, PNX_FATE_REMOVED, NULL, 444, 1439, 4194304},
        {"sysv-sem", NULL, "32769", "key 0x51", FOUND, PNX_FATE_REMOVED, NULL, 445, 1439, 0},
        {"mount", "tmpfs", "/tmp/cleanroom-0194bd1e/mnt", "", FOUND, PNX_FATE_STUCK,
         "Device or resource busy", 500, -1, 0},
        {"socket", "abstract", "@import", "", FOUND, PNX_FATE_ALREADY_GONE, NULL, 550, 1430, 0},
        {"port", "tcp", "127.0.0.1:8080", "pid 4712", FOUND, PNX_FATE_ALREADY_GONE, NULL, 650, 1436,
         0},
        {"file", "regular", "/home/user/.cache/import.lock", "", FOUND, PNX_FATE_FOREIGN,
         "new since the start, but others write there too", 910, -1, 312},
        {"file", "fifo", "control", "", FOUND, PNX_FATE_REMOVED, NULL, 900, 1440, 0},
        {"file", "regular", "locked/data", "", FOUND, PNX_FATE_STUCK, "Operation not permitted",
         950, -1, 4096},
        {"wormhole", NULL, "sector 7", "a kind that nobody knows yet", FOUND, PNX_FATE_REMOVED,
         NULL, -1, 1440, 0},
    };
    for (size_t i = 0; i < sizeof found / sizeof *found; i++)
        add(&report, &found[i]);
    count(&report, "file", PNX_FATE_REMOVED, 36);
    report.files =
        (pnx_tree_totals){.files = 31, .directories = 5, .fifos = 1, .bytes = 1258291, .stuck = 1};
    add_extras(&report);
    return report;
}

pnx_session_report sample_many(void)
{
    pnx_session_report report = start("storm", 5);
    report.command = LIST("./fork-storm", "1000");
    report.cleanup = PNX_MS(180);
    add_own(&report);
    for (int i = 0; i < 1000; i++) {
        char name[64], file[64];
        snprintf(name, sizeof name, "worker --number %d", i);
        snprintf(file, sizeof file, "spool/%03d/message-%d", i % 100, i);
        add(&report, &(struct thing){"process", NULL, name, "orphan", FOUND, PNX_FATE_REMOVED, NULL,
                                     i, 1420 + i / 12, 0});
        add(&report, &(struct thing){"file", "regular", file, "", FOUND,
                                     i == 500 ? PNX_FATE_STUCK : PNX_FATE_REMOVED,
                                     i == 500 ? "Read-only file system" : NULL, 300 + i,
                                     i == 500 ? -1 : 1510 + i / 15, 8192});
    }
    count(&report, "process", PNX_FATE_REMOVED, 250);
    count(&report, "file", PNX_FATE_REMOVED, 98765);
    report.files = (pnx_tree_totals){
        .files = 99664, .directories = 100, .bytes = UINT64_C(817000000), .stuck = 1};
    return report;
}

pnx_session_report sample_hostile(void)
{
    const char *bad = sample_hostile_text;
    pnx_session_report report = start(bad, 6);
    report.command = LIST(bad, "", bad);
    report.isolate = LIST(bad);
    report.tier_name = pnx_session_report_text(&report, bad);
    report.cleaned_by = report.tier_name;
    snprintf(report.tier_reason, sizeof report.tier_reason, "%s", bad);
    for (int fate = 0; fate < PNX_FATE_COUNT; fate++)
        add(&report,
            &(struct thing){report.tier_name, report.tier_name, bad, bad, FOUND, (pnx_fate)fate,
                            bad, 100, is_gone((pnx_fate)fate) ? 1430 : -1, 1});
    add(&report, &(struct thing){"process", NULL, bad, bad, FOUND, PNX_FATE_STUCK, bad, 1, -1, 0});
    add_extras(&report);
    for (size_t i = 0; i < 2; i++) {
        free(report.hooks[i].command);
        free(report.hooks[i].output);
        report.hooks[i].command = copy(bad);
        report.hooks[i].output = copy(bad);
        report.hooks[i].reason = copy(bad);
        free(report.artifacts[i].path);
        free(report.artifacts[i].reason);
        report.artifacts[i].path = copy(bad);
        report.artifacts[i].reason = copy(bad);
        report.limits[i].limit = report.limits[i].by = report.tier_name;
        snprintf(report.limits[i].text, sizeof report.limits[i].text, "%s", bad);
    }
    free(report.artifacts_dir);
    report.artifacts_dir = copy(bad);
    if (pnx_session_report_warn(&report, "%s", bad) != PNX_OK)
        abort();
    return report;
}

pnx_session_report sample_bytes(void)
{
    pnx_session_report report = start("bytes", 7);
    report.command = LIST("bytes");
    for (int byte = 1; byte < 256; byte++) {
        char name[] = {'<', (char)byte, '>', (char)byte, '\0'};
        add(&report, &(struct thing){"file", "regular", name, name, FOUND, PNX_FATE_STUCK, name,
                                     byte, -1, 0});
    }
    return report;
}

pnx_session_report sample_attempt(unsigned attempt)
{
    pnx_session_report report = start("flaky", 7 + attempt);
    report.command = LIST("./flaky");
    report.job = 4;
    report.attempt = attempt;
    report.exit_code = attempt < 3;
    report.started += PNX_S(2 * (int64_t)attempt);
    return report;
}

const struct sample samples[] = {
    {"clean", sample_clean},   {"leftovers", sample_leftovers}, {"messy", sample_messy},
    {"many", sample_many},     {"hostile", sample_hostile},     {"bytes", sample_bytes},
    {"failed", sample_failed}, {"not-run", sample_not_run},     {NULL, NULL},
};
