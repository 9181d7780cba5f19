/* SPDX-License-Identifier: MIT */
#include "completion_help.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Copies what every shell takes in single quotes, up to a sentence's end or `size`. */
static void copy_words(char *to, size_t size, const char *from)
{
    size_t length = 0;
    from += strspn(from, " ");
    for (; *from && *from != '\n' && *from != ';' && length + 1 < size; from++)
        if (*from >= ' ' && *from <= '~' && !strchr("'\"[]\\:`$", *from))
            to[length++] = *from;
    while (length > 0 && strchr(" ,", to[length - 1]))
        length--;
    to[length] = '\0';
}

static size_t copy_name(char *to, size_t size, const char *from)
{
    size_t length = strspn(from, "abcdefghijklmnopqrstuvwxyz-");
    if (length >= size)
        return 0;
    memcpy(to, from, length);
    to[length] = '\0';
    return length;
}

/* "  --name VALUE   about" or "  -n, --name VALUE   about". */
static void take_option(const char *line, struct help_command *command)
{
    struct help_option option = {0};
    if (strncmp(line, "  -", 3) != 0 || command->option_count == HELP_OPTIONS_MAX)
        return;
    line += 2;
    if (line[1] != '-') {
        option.letter = line[1];
        line += 4;
    }
    if (strncmp(line, "--", 2) != 0)
        return;
    line += 2;
    line += copy_name(option.name, sizeof option.name, line);
    if (line[0] == ' ' && line[1] != ' ') {
        size_t length = strcspn(++line, " \n");
        if (length < sizeof option.value)
            memcpy(option.value, line, length);
        line += length;
    }
    copy_words(option.about, sizeof option.about, line);
    if (*option.name)
        command->options[command->option_count++] = option;
}

static void take_command(const char *line, struct help *help, bool *ret_about)
{
    static const char begin[] = "  cleanroom ";
    struct help_command *last = help->count ? &help->commands[help->count - 1] : NULL;
    if (*ret_about && last)
        copy_words(last->about, sizeof last->about, line);
    *ret_about = false;
    if (strncmp(line, begin, sizeof begin - 1) != 0 || help->count == HELP_COMMANDS_MAX)
        return;
    struct help_command *command = &help->commands[help->count];
    line += sizeof begin - 1;
    if (*line == '-' || copy_name(command->name, sizeof command->name, line) == 0)
        return;
    help->count++;
    *ret_about = true;
}

static FILE *ask(const char *tool, const char *command, pid_t *ret_pid)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return NULL;
    *ret_pid = fork();
    if (*ret_pid == 0) {
        if (dup2(ends[1], 1) == 1 && *command)
            execlp(tool, tool, command, "--help", (char *)NULL);
        else
            execlp(tool, tool, "--help", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    FILE *answer = *ret_pid > 0 ? fdopen(ends[0], "r") : NULL;
    if (!answer)
        close(ends[0]);
    return answer;
}

static bool end(FILE *answer, pid_t pid)
{
    int status = -1;
    (void)fclose(answer);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status == 0;
}

/* A sub-command that is not installed has no options. */
static void read_options(const char *tool, struct help_command *command)
{
    char line[256];
    pid_t pid;
    FILE *answer = ask(tool, command->name, &pid);
    while (answer && fgets(line, sizeof line, answer))
        take_option(line, command);
    if (answer)
        (void)end(answer, pid);
}

bool help_read(const char *tool, struct help *ret)
{
    char line[256];
    bool about = false;
    pid_t pid;
    *ret = (struct help){0};
    FILE *answer = ask(tool, "", &pid);
    while (answer && fgets(line, sizeof line, answer))
        take_command(line, ret, &about);
    if (!answer || !end(answer, pid))
        return false;
    for (size_t i = 0; i < ret->count; i++)
        read_options(tool, &ret->commands[i]);
    return ret->count > 0;
}
