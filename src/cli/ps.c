/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include <cleanroom/reaper.h>

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "usage: cleanroom ps [OPTION...]\n"
    "\n"
    "Lists the sessions of this user: those that live, those whose supervisor is dead, and those\n"
    "that somebody cleans up right now; and what each has.\n"
    "\n"
    "  --json    as a JSON array\n"
    "  --help    this text\n";

enum { JSON = 256, HELP };

static const struct option options[] = {
    {"json", no_argument, NULL, JSON},
    {"help", no_argument, NULL, HELP},
    {NULL, 0, NULL, 0},
};

/* ---- for people ------------------------------------------------------------------------------ */

static void print_age(int64_t created)
{
    int64_t seconds = (nanoseconds_since_1970() - created) / PNX_S(1);
    if (seconds < 60)
        printf("%3" PRId64 " s", seconds < 0 ? 0 : seconds);
    else if (seconds < 3600)
        printf("%3" PRId64 " m", seconds / 60);
    else if (seconds < 86400)
        printf("%3" PRId64 " h", seconds / 3600);
    else
        printf("%3" PRId64 " d", seconds / 86400);
}

void print_session(const pnx_session_info *info)
{
    char id[PNX_ID_TEXT_SIZE];
    printf("%s  %-7s  ", pnx_id_format(info->id, id), pnx_session_life_name(info->life));
    if (info->created)
        print_age(info->created);
    else
        printf("    -");
    printf("  T%u  %6d  ", info->tier, (int)info->supervisor);
    print_name(stdout, info->name ? info->name : "-");
    putchar('\n');
    if (info->problem) {
        printf("  ");
        print_name(stdout, info->problem);
        putchar('\n');
    }
    for (size_t i = 0; i < info->held_count; i++) {
        printf("  %-10s  ", info->held[i].kind);
        print_name(stdout, info->held[i].name);
        printf("%s\n", info->held[i].identity ? "" : "  (intended)");
    }
}

static bool print_row(const pnx_session_info *info, void *context)
{
    size_t *count = context;
    if ((*count)++ == 0)
        printf("%-36s  %-7s  %5s  %2s  %6s  %s\n", "SESSION", "STATE", "AGE", "T", "PID", "NAME");
    print_session(info);
    return true;
}

/* ---- for machines ---------------------------------------------------------------------------- */

static void print_text(const char *key, const char *value)
{
    printf("\"%s\": ", key);
    if (value)
        print_json_string(stdout, value);
    else
        printf("null");
}

static void print_number(const char *key, int64_t value)
{
    printf("\"%s\": %" PRId64, key, value);
}

static bool print_json(const pnx_session_info *info, void *context)
{
    size_t *count = context;
    char id[PNX_ID_TEXT_SIZE];
    printf("%s\n  {", (*count)++ ? "," : "");
    print_text("session", pnx_id_format(info->id, id));
    printf(", ");
    print_text("state", pnx_session_life_name(info->life));
    printf(", ");
    print_text("name", info->name);
    printf(", ");
    print_number("tier", info->tier);
    printf(", ");
    print_number("supervisor", info->supervisor);
    printf(", ");
    print_number("reaper", info->reaper);
    printf(", ");
    print_number("age_ms",
                 info->created ? (nanoseconds_since_1970() - info->created) / PNX_MS(1) : 0);
    printf(", ");
    print_text("problem", info->problem);
    printf(", \"resources\": [");
    for (size_t i = 0; i < info->held_count; i++) {
        printf("%s\n    {", i ? "," : "");
        print_text("kind", info->held[i].kind);
        printf(", ");
        print_text("name", info->held[i].name);
        printf(", ");
        print_text("id", info->held[i].identity);
        printf(", ");
        print_number("age_ms", (nanoseconds_since_1970() - info->held[i].since) / PNX_MS(1));
        printf("}");
    }
    printf("]}");
    return true;
}

int cli_ps(int argc, char **argv)
{
    bool json = false;
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
        if (option == HELP) {
            fputs(usage, stdout);
            return 0;
        }
        if (option != JSON)
            return complain_of_option("ps", option, argv), EXIT_CLEANROOM;
        json = true;
    }
    if (optind < argc) {
        complain("'cleanroom ps' takes no arguments: '%s'", argv[optind]);
        return EXIT_CLEANROOM;
    }
    pnx_error err = {0};
    size_t count = 0;
    if (json)
        printf("[");
    if (pnx_sessions_each(json ? print_json : print_row, &count, &err) != PNX_OK) {
        complain_of(&err);
        return EXIT_CLEANROOM;
    }
    if (json)
        printf("%s]\n", count ? "\n" : "");
    return 0;
}
