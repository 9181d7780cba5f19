/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "each.h"

#include <stdlib.h>
#include <string.h>

/* What blanks surround says nothing. */
static bool is_command(const char *line)
{
    line += strspn(line, " \t\r\n\v\f");
    return *line != '\0' && *line != '#';
}

static bool add(struct each_lines *lines, const char *text, unsigned number)
{
    struct each_line *grown = realloc(lines->lines, (lines->count + 1) * sizeof *grown);
    char *copy = strdup(text + strspn(text, " \t"));
    if (grown)
        lines->lines = grown;
    if (!grown || !copy) {
        free(copy);
        complain("no memory for the lines");
        return false;
    }
    copy[strcspn(copy, "\n")] = '\0';
    lines->lines[lines->count++] = (struct each_line){copy, number, 0, -1};
    return true;
}

static bool read_from(FILE *file, const char *path, struct each_lines *ret)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    bool good = true;
    for (unsigned number = 1; good && (length = getline(&line, &size, file)) >= 0; number++) {
        if (strlen(line) != (size_t)length) {
            complain("%s: line %u has a NUL in it", path, number);
            good = false;
        } else if (is_command(line)) {
            good = add(ret, line, number);
        }
    }
    free(line);
    if (good && ferror(file)) {
        complain("cannot read '%s': %m", path);
        good = false;
    }
    return good;
}

bool each_read_lines(const char *path, struct each_lines *ret)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *file = standard ? stdin : fopen(path, "re");
    if (!file) {
        complain("cannot read '%s': %m", path);
        return false;
    }
    bool good = read_from(file, standard ? "stdin" : path, ret);
    if (!standard)
        (void)fclose(file);
    return good;
}

void each_free_lines(struct each_lines *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        free(lines->lines[i].text);
    free(lines->lines);
    *lines = (struct each_lines){0};
}
