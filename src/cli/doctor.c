/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "doctor_places.h"

#include <cleanroom/capability.h>

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const char usage[] =
    "usage: cleanroom doctor [OPTION...]\n"
    "\n"
    "Tries what this machine allows a clean room to do, and says which tier follows, why it is "
    "not\n"
    "higher, and what to change.\n"
    "\n"
    "  --json              as one JSON object\n"
    "  --tier auto|0..3    the tier that is wished for [auto]\n"
    "  --require-tier N    exit with 1 if less than tier N can be had\n"
    "  --help              this text\n"
    "\n"
    "Exit status: 0; 1 if the required tier cannot be had; 125 wrong usage.\n";

enum { JSON = 256, TIER, REQUIRE, HELP };

static const struct option options[] = {
    {"json", no_argument, NULL, JSON},
    {"tier", required_argument, NULL, TIER},
    {"require-tier", required_argument, NULL, REQUIRE},
    {"help", no_argument, NULL, HELP},
    {NULL, 0, NULL, 0},
};

struct doctor {
    bool json;
    int tier;
    unsigned required;
    pnx_tier_choice choice;
    size_t count;
    pnx_capability capabilities[PNX_CAPABILITIES_MAX + PLACES_MAX];
    struct engine_places places; /* whose names the rows of the places have */
};

/* ---- options --------------------------------------------------------------------------------- */

static bool read_tier(const char *option, const char *text, int *ret)
{
    if (text[0] >= '0' && text[0] <= '3' && text[1] == '\0') {
        *ret = text[0] - '0';
        return true;
    }
    complain("--%s '%s': there are the tiers 0, 1, 2 and 3", option, text);
    return false;
}

static bool take(int option, struct doctor *doctor)
{
    int tier;
    switch (option) {
    case JSON:
        return doctor->json = true;
    case TIER:
        if (strcmp(optarg, "auto") == 0)
            return true;
        return read_tier("tier", optarg, &doctor->tier);
    case REQUIRE:
        if (!read_tier("require-tier", optarg, &tier))
            return false;
        doctor->required = (unsigned)tier;
        return true;
    default:
        return false;
    }
}

/* False: there is nothing to do, and `*ret_status` is what to exit with. */
static bool parse(int argc, char **argv, struct doctor *doctor, int *ret_status)
{
    *ret_status = EXIT_CLEANROOM;
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, "+:", options, NULL)) != -1;) {
        if (option == HELP) {
            fputs(usage, stdout);
            *ret_status = 0;
            return false;
        }
        if (option == ':')
            complain("option '%s' needs a value; see 'cleanroom doctor --help'", argv[optind - 1]);
        else if (option == '?')
            complain("no such option: '%s'; see 'cleanroom doctor --help'", argv[optind - 1]);
        if (!take(option, doctor))
            return false;
    }
    if (optind < argc)
        complain("'%s': doctor takes no arguments", argv[optind]);
    return optind >= argc;
}

/* ---- for people ------------------------------------------------------------------------------ */

/* Where the texts of the last column begin, and how wide they may be. */
#define INDENT 24
static int width(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < INDENT + 30)
        return 100 - INDENT;
    return (size.ws_col > 120 ? 120 : size.ws_col) - INDENT;
}

/* Paths may hold any bytes: none of them reaches the terminal as a control character. */
static void put(char byte)
{
    unsigned char c = (unsigned char)byte;
    putchar(c < 0x20 || c == 0x7f ? '?' : c);
}

/* Breaks the text at blanks; what is longer than a line is not broken. */
static void wrap(const char *lead, const char *text, int columns)
{
    int at = printf("%s", lead);
    while (*text) {
        int length = (int)strcspn(text, " ");
        if (at > (int)strlen(lead) && at + 1 + length > columns) {
            printf("\n%*s", INDENT + (int)strlen(lead), "");
            at = (int)strlen(lead);
        } else if (at > (int)strlen(lead)) {
            putchar(' ');
            at++;
        }
        for (int i = 0; i < length; i++)
            put(text[i]);
        at += length;
        text += length + strspn(text + length, " ");
    }
    putchar('\n');
}

static void print_group(const struct doctor *doctor, const char *group, int columns)
{
    const char *change = "";
    printf("\n  %s\n", group);
    for (size_t i = 0; i < doctor->count; i++) {
        const pnx_capability *it = &doctor->capabilities[i];
        char text[512];
        if (strcmp(it->group, group) != 0)
            continue;
        printf("    %-3s %-*s", it->ok ? "yes" : "no", INDENT - 8, it->name);
        snprintf(text, sizeof text, "%s%s%s%s", it->ok ? "" : "for: ", it->gives,
                 it->ok && it->gives[0] ? ": " : "", it->ok ? it->detail : "");
        if (it->ok) {
            wrap("", text, columns);
            continue;
        }
        wrap("", it->detail, columns);
        if (it->gives[0]) {
            printf("%*s", INDENT, "");
            wrap("", text, columns);
        }
        if (!it->change[0])
            continue;
        bool again = strcmp(it->change, change) == 0;
        change = it->change;
        printf("%*s", INDENT, "");
        wrap("do:  ", again ? "the same" : it->change, columns);
    }
}

static void print(const struct doctor *doctor)
{
    int columns = width();
    printf("tier %s\n", pnx_tier_name(doctor->choice.tier));
    if (doctor->choice.reason[0])
        printf("not higher: %s\n", doctor->choice.reason);
    const char *group = "";
    for (size_t i = 0; i < doctor->count; i++) {
        if (strcmp(doctor->capabilities[i].group, group) == 0)
            continue;
        group = doctor->capabilities[i].group;
        print_group(doctor, group, columns);
    }
}

/* ---- for machines ---------------------------------------------------------------------------- */

static void print_member(const char *key, const char *text, const char *after)
{
    printf("\"%s\": ", key);
    if (*text)
        print_json_string(stdout, text);
    else
        printf("null");
    printf("%s", after);
}

static void print_json(const struct doctor *doctor, bool met)
{
    printf("{\n  \"tier\": %u,\n  ", doctor->choice.tier);
    print_member("tier_name", pnx_tier_name(doctor->choice.tier), ",\n  ");
    print_member("tier_reason", doctor->choice.reason, ",\n  ");
    printf("\"required_tier\": %u,\n  \"required_tier_met\": %s,\n  ", doctor->required,
           met ? "true" : "false");
    print_member("version", pnx_version(), ",\n  ");
    printf("\"capabilities\": [");
    for (size_t i = 0; i < doctor->count; i++) {
        const pnx_capability *it = &doctor->capabilities[i];
        printf("%s\n    {", i ? "," : "");
        print_member("group", it->group, ", ");
        print_member("name", it->name, ", ");
        printf("\"ok\": %s,\n     ", it->ok ? "true" : "false");
        print_member("gives", it->gives, ",\n     ");
        print_member("detail", it->detail, ",\n     ");
        print_member("change", it->change, "}");
    }
    printf("\n  ]\n}\n");
}

/* ---- the whole ------------------------------------------------------------------------------- */

int cli_doctor(int argc, char **argv)
{
    static struct doctor doctor = {.tier = PNX_TIER_AUTO};
    pnx_error err = {0};
    int status;
    if (!parse(argc, argv, &doctor, &status))
        return status;
    if (pnx_tier_choose(doctor.tier, 0, 0, &doctor.choice, &err) != PNX_OK) {
        complain_of(&err);
        return EXIT_CLEANROOM;
    }
    bool met = doctor.choice.tier >= doctor.required;
    doctor.count = pnx_capabilities_probe(NULL, NULL, doctor.capabilities);
    look_for_engines(&doctor.places);
    for (size_t i = 0; i < doctor.places.count; i++)
        doctor.capabilities[doctor.count++] = doctor.places.rows[i];
    if (doctor.json)
        print_json(&doctor, met);
    else
        print(&doctor);
    bool written = fflush(stdout) == 0 && !ferror(stdout);
    if (!met)
        complain("tier T%u is required, but only T%u can be had: %s", doctor.required,
                 doctor.choice.tier, doctor.choice.reason);
    if (!written) {
        complain("cannot write what was found: %m");
        return EXIT_CLEANROOM;
    }
    return met ? 0 : 1;
}
