/* SPDX-License-Identifier: MIT */
/* cleanroom completion SHELL: what a shell needs to complete our command lines. */
#include "cli.h"
#include "completion_help.h"

#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: cleanroom completion bash|zsh|fish\n"
    "\n"
    "Writes what the shell needs to complete command lines of cleanroom:\n"
    "\n"
    "  bash: eval \"$(cleanroom completion bash)\"\n"
    "  zsh:  cleanroom completion zsh >DIR/_cleanroom, for a DIR of $fpath\n"
    "  fish: cleanroom completion fish >~/.config/fish/completions/cleanroom.fish\n"
    "\n"
    "  --help    this text\n";

/* ---- bash ------------------------------------------------------------------------------------ */

static void bash_case(const struct help_command *command, const char *value)
{
    const char *separator = "";
    for (size_t i = 0; i < command->option_count; i++) {
        const struct help_option *option = &command->options[i];
        if (strcmp(option->value, value) != 0)
            continue;
        printf("%s--%s", separator, option->name);
        separator = "|";
    }
    fputs(*separator ? "" : "--", stdout);
}

/* The options that take a value, as a pattern of case. */
static void bash_values(const struct help_command *command)
{
    fputs("-?", stdout); /* short ones with a value, of which there is one */
    for (size_t i = 0; i < command->option_count; i++)
        if (*command->options[i].value)
            printf("|--%s", command->options[i].name);
}

static void bash(const struct help *help)
{
    fputs("# bash completion of cleanroom\n"
          "_cleanroom()\n"
          "{\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} i options=\n"
          "    COMPREPLY=()\n"
          "    if ((COMP_CWORD == 1)); then\n"
          "        COMPREPLY=($(compgen -W '",
          stdout);
    for (size_t i = 0; i < help->count; i++)
        printf("%s ", help->commands[i].name);
    fputs("--help --version' -- \"$cur\"))\n"
          "        return\n"
          "    fi\n"
          "    case ${COMP_WORDS[1]} in\n",
          stdout);
    for (size_t i = 0; i < help->count; i++) {
        const struct help_command *command = &help->commands[i];
        printf("    %s)\n", command->name);
        if (strcmp(command->name, "run") == 0) {
            fputs("        for ((i = 2; i < COMP_CWORD; i++)); do\n"
                  "            case ${COMP_WORDS[i]} in\n"
                  "            --) ((i++)); break ;;\n"
                  "            ",
                  stdout);
            bash_values(command);
            fputs(") ((i++)) ;;\n"
                  "            -*) ;;\n"
                  "            *) break ;;\n"
                  "            esac\n"
                  "        done\n"
                  "        if ((i < COMP_CWORD)); then\n"
                  "            COMPREPLY=($(compgen -f -- \"$cur\"))\n"
                  "            return\n"
                  "        elif ((i == COMP_CWORD)) && [[ $cur != -* ]]; then\n"
                  "            COMPREPLY=($(compgen -c -- \"$cur\"))\n"
                  "            return\n"
                  "        fi\n",
                  stdout);
        }
        fputs("        case $prev in\n        ", stdout);
        bash_case(command, "FILE");
        fputs(") COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n        ", stdout);
        bash_case(command, "DIR");
        fputs(") COMPREPLY=($(compgen -d -- \"$cur\")); return ;;\n        ", stdout);
        bash_values(command);
        fputs(") return ;;\n        esac\n        options='", stdout);
        for (size_t j = 0; j < command->option_count; j++)
            printf("--%s ", command->options[j].name);
        fputs("' ;;\n", stdout);
    }
    fputs("    esac\n"
          "    COMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n"
          "}\n"
          "complete -o filenames -F _cleanroom cleanroom\n",
          stdout);
}

/* ---- zsh ------------------------------------------------------------------------------------- */

static void zsh_option(const struct help_option *option)
{
    const char *how = strcmp(option->value, "FILE") == 0  ? "_files"
                      : strcmp(option->value, "DIR") == 0 ? "_files -/"
                                                          : "";
    if (option->letter)
        printf(" \\\n            '*-%c[%s]:%s:'", option->letter, option->about, option->value);
    if (*option->value)
        printf(" \\\n            '*--%s=[%s]:%s:%s'", option->name, option->about, option->value,
               how);
    else
        printf(" \\\n            '--%s[%s]'", option->name, option->about);
}

static void zsh(const struct help *help)
{
    fputs("#compdef cleanroom\n"
          "_cleanroom()\n"
          "{\n"
          "    local -a commands\n"
          "    if ((CURRENT == 2)); then\n"
          "        commands=(\n",
          stdout);
    for (size_t i = 0; i < help->count; i++)
        printf("            '%s:%s'\n", help->commands[i].name, help->commands[i].about);
    fputs("        )\n"
          "        _describe command commands\n"
          "        return\n"
          "    fi\n"
          "    local command=$words[2]\n"
          "    shift words\n"
          "    ((CURRENT--))\n"
          "    case $command in\n",
          stdout);
    for (size_t i = 0; i < help->count; i++) {
        const struct help_command *command = &help->commands[i];
        printf("    %s)\n        _arguments -S", command->name);
        for (size_t j = 0; j < command->option_count; j++)
            zsh_option(&command->options[j]);
        if (strcmp(command->name, "run") == 0)
            fputs(" \\\n            '(-):command: _command_names -e' '*::arguments:_normal'",
                  stdout);
        else
            fputs(" \\\n            '*: :_files'", stdout);
        fputs("\n        ;;\n", stdout);
    }
    fputs("    esac\n"
          "}\n"
          "if [ \"$funcstack[1]\" = _cleanroom ]; then _cleanroom \"$@\"; "
          "else compdef _cleanroom cleanroom; fi\n",
          stdout);
}

/* ---- fish ------------------------------------------------------------------------------------ */

static void fish_option(const char *command, const struct help_option *option)
{
    printf("complete -c cleanroom -n '__fish_seen_subcommand_from %s' -l %s", command,
           option->name);
    if (option->letter)
        printf(" -s %c", option->letter);
    if (strcmp(option->value, "FILE") == 0)
        fputs(" -r -F", stdout);
    else if (strcmp(option->value, "DIR") == 0)
        fputs(" -x -a '(__fish_complete_directories)'", stdout);
    else if (*option->value)
        fputs(" -x", stdout);
    printf(" -d '%s'\n", option->about);
}

static void fish(const struct help *help)
{
    fputs("# fish completion of cleanroom\n"
          "complete -c cleanroom -f\n",
          stdout);
    for (size_t i = 0; i < help->count; i++)
        printf("complete -c cleanroom -n __fish_use_subcommand -a %s -d '%s'\n",
               help->commands[i].name, help->commands[i].about);
    for (size_t i = 0; i < help->count; i++)
        for (size_t j = 0; j < help->commands[i].option_count; j++)
            fish_option(help->commands[i].name, &help->commands[i].options[j]);
    fputs("complete -c cleanroom -n '__fish_seen_subcommand_from run'"
          " -a '(__fish_complete_subcommand --fcs-skip=2)'\n",
          stdout);
}

int main(int argc, char **argv)
{
    static const struct shell {
        const char *name;
        void (*write)(const struct help *help);
    } shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};
    static struct help help;
    const char *tool = getenv("CLEANROOM_SELF"), *name = argc == 2 ? argv[1] : "";
    if (strcmp(name, "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        if (strcmp(name, shells[i].name) != 0)
            continue;
        if (!help_read(tool && *tool ? tool : "cleanroom", &help)) {
            complain("cannot ask cleanroom for its options");
            return EXIT_CLEANROOM;
        }
        shells[i].write(&help);
        return fflush(stdout) == 0 ? 0 : EXIT_CLEANROOM;
    }
    complain("'completion' takes the name of a shell: bash, zsh or fish");
    return EXIT_CLEANROOM;
}
