/* SPDX-License-Identifier: MIT */
#include "kind/hook.h"

#include "kind/thing.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MARK "hook1"
#define RETRIES_MAX 9
#define TIMEOUT_MAX PNX_S(86400)

/* ---- writing --------------------------------------------------------------------------------- */

struct writer {
    char *to;
    size_t size, used; /* used ≥ size: it did not fit */
};

static void put(struct writer *writer, char byte)
{
    if (writer->used + 1 < writer->size)
        writer->to[writer->used] = byte;
    writer->used++;
}

static void put_plain(struct writer *writer, const char *text)
{
    for (; *text; text++)
        put(writer, *text);
}

/* A word: a blank, a prefix that needs no escapes, and any bytes. */
static void put_word(struct writer *writer, const char *prefix, const char *text)
{
    put(writer, ' ');
    put_plain(writer, prefix);
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte > ' ' && byte < 0x7f && byte != '%') {
            put(writer, *text);
            continue;
        }
        char escaped[4];
        snprintf(escaped, sizeof escaped, "%%%02x", byte);
        put_plain(writer, escaped);
    }
}

static void put_variable(struct writer *writer, const char *name)
{
    const char *value = getenv(name);
    char prefix[16];
    snprintf(prefix, sizeof prefix, "env=%s=", name);
    if (value)
        put_word(writer, prefix, value);
}

static bool is_set_by(const char *const *environment, const char *name)
{
    size_t length = strlen(name);
    for (; environment && *environment; environment++)
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
            return true;
    return false;
}

static void put_environment(struct writer *writer, const pnx_hook *hook)
{
    if (!is_set_by(hook->environment, "PATH"))
        put_variable(writer, "PATH");
    if (!is_set_by(hook->environment, "HOME"))
        put_variable(writer, "HOME");
    for (const char *const *at = hook->environment; at && *at; at++)
        put_word(writer, "env=", *at);
}

static void put_command(struct writer *writer, const pnx_hook *hook)
{
    put_plain(writer, " --");
    if (hook->line) {
        put_plain(writer, " sh -c");
        put_word(writer, "", hook->line);
    }
    for (const char *const *at = hook->argv; at && *at; at++)
        put_word(writer, "", *at);
}

static pnx_status check(const pnx_hook *hook, pnx_error *err)
{
    size_t words = 2;
    bool argv = hook->argv && hook->argv[0] && hook->argv[0][0];
    if (argv == (hook->line != NULL))
        return pnx_fail(err, PNX_EINVAL, "a hook has either a program or a line for the shell");
    if (hook->directory && hook->directory[0] != '/')
        return pnx_fail(err, PNX_EINVAL, "the directory '%s' of a hook is not absolute",
                        hook->directory);
    for (const char *const *at = hook->environment; at && *at; at++, words++)
        if (!strchr(*at, '=') || **at == '=')
            return pnx_fail(err, PNX_EINVAL, "'%s' is not a variable: NAME=value", *at);
    for (const char *const *at = hook->argv; at && *at; at++)
        words++;
    if (words > PNX__HOOK_WORDS_MAX)
        return pnx_fail(err, PNX_ELIMIT, "a hook has at most %d words", PNX__HOOK_WORDS_MAX);
    if (hook->retries > RETRIES_MAX || hook->timeout < 0 || hook->timeout > TIMEOUT_MAX ||
        (unsigned)hook->priority >= PNX_PRIORITY_COUNT)
        return pnx_fail(err, PNX_EINVAL,
                        "a hook has up to %d retries, a day, and one of four priorities",
                        RETRIES_MAX);
    return PNX_OK;
}

pnx_status pnx_hook_format(const pnx_hook *hook, pnx_id session, uint32_t number, char *ret,
                           size_t size, pnx_error *err)
{
    char id[PNX_ID_TEXT_SIZE], words[192], current[PATH_MAX];
    pnx_status status = check(hook, err);
    if (status != PNX_OK)
        return status;
    const char *directory = hook->directory;
    if (!directory && !(directory = getcwd(current, sizeof current)))
        return pnx_fail(err, PNX_EFAILED, "cannot tell the current directory for a hook: %m");
    pnx_duration timeout = hook->timeout ? hook->timeout : PNX_HOOK_TIMEOUT;
    int64_t milliseconds = (timeout + PNX_MS(1) - 1) / PNX_MS(1);
    snprintf(words, sizeof words, MARK " %s/%u user=%u:%u priority=%s timeout=%lld retries=%u",
             pnx_id_format(session, id), number, geteuid(), getegid(),
             pnx_priority_name(hook->priority), (long long)milliseconds, hook->retries);
    struct writer writer = {.to = ret, .size = size};
    put_plain(&writer, words);
    put_word(&writer, "dir=", directory);
    put_environment(&writer, hook);
    put_command(&writer, hook);
    if (writer.used >= size)
        return pnx_fail(err, PNX_ELIMIT,
                        "a hook of %zu bytes is too long, %zu are possible; put it into a script",
                        writer.used, size - 1);
    ret[writer.used] = '\0';
    return PNX_OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

static int digit(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static bool unescape(char *word)
{
    char *to = word;
    for (const char *from = word; *from; from++) {
        if (*from != '%') {
            *to++ = *from;
            continue;
        }
        int high = digit(from[1]), low = high < 0 ? -1 : digit(from[2]);
        if (low < 0 || (high | low) == 0)
            return false;
        *to++ = (char)(high * 16 + low);
        from += 2;
    }
    *to = '\0';
    return true;
}

static char *next_word(char **rest)
{
    char *word = *rest;
    if (!word)
        return NULL;
    char *end = strchr(word, ' ');
    if (end)
        *end = '\0';
    *rest = end ? end + 1 : NULL;
    return unescape(word) ? word : NULL;
}

static bool read_number(const char **text, const char *prefix, uint64_t max, uint64_t *ret)
{
    size_t length = strlen(prefix);
    char *end;
    if (strncmp(*text, prefix, length) != 0 || digit((*text)[length]) < 0 ||
        digit((*text)[length]) > 9)
        return false;
    *ret = strtoull(*text + length, &end, 10);
    *text = end;
    return *ret <= max;
}

static bool read_only_number(const char *word, const char *prefix, uint64_t max, uint64_t *ret)
{
    return word && read_number(&word, prefix, max, ret) && !*word;
}

static bool read_id(char *word, struct pnx__hook *ret)
{
    char *slash = word ? strchr(word, '/') : NULL;
    uint64_t number;
    if (!slash || !read_only_number(slash, "/", UINT32_MAX, &number))
        return false;
    *slash = '\0';
    ret->number = (uint32_t)number;
    return pnx_id_parse(word, &ret->session, NULL) == PNX_OK;
}

static bool read_user(const char *word, struct pnx__hook *ret)
{
    uint64_t user, group;
    if (!word || !read_number(&word, "user=", UINT32_MAX - 1, &user) ||
        !read_only_number(word, ":", UINT32_MAX - 1, &group))
        return false;
    ret->user = (uid_t)user;
    ret->group = (gid_t)group;
    return true;
}

static bool read_priority(const char *word, struct pnx__hook *ret)
{
    for (int i = 0; word && i < PNX_PRIORITY_COUNT; i++)
        if (strncmp(word, "priority=", 9) == 0 &&
            strcmp(word + 9, pnx_priority_name((pnx_priority)i)) == 0) {
            ret->priority = (pnx_priority)i;
            return true;
        }
    return false;
}

static bool read_head(char **rest, struct pnx__hook *ret)
{
    uint64_t timeout, retries;
    const char *mark = next_word(rest);
    if (!mark || strcmp(mark, MARK) != 0 || !read_id(next_word(rest), ret) ||
        !read_user(next_word(rest), ret) || !read_priority(next_word(rest), ret) ||
        !read_only_number(next_word(rest), "timeout=", TIMEOUT_MAX / PNX_MS(1), &timeout) ||
        !read_only_number(next_word(rest), "retries=", RETRIES_MAX, &retries))
        return false;
    const char *directory = next_word(rest);
    if (!directory || strncmp(directory, "dir=/", 5) != 0)
        return false;
    ret->timeout = PNX_MS((int64_t)timeout);
    ret->retries = (unsigned)retries;
    ret->directory = directory + 4;
    return true;
}

static bool read_words(char *rest, struct pnx__hook *ret)
{
    size_t variables = 0, arguments = 0;
    char *word;
    while ((word = next_word(&rest)) && strncmp(word, "env=", 4) == 0) {
        if (variables == PNX__HOOK_WORDS_MAX)
            return false;
        ret->environment[variables++] = word + 4;
    }
    if (!word || strcmp(word, "--") != 0)
        return false;
    while (rest) {
        word = next_word(&rest);
        if (!word || arguments == PNX__HOOK_WORDS_MAX)
            return false;
        ret->argv[arguments++] = word;
    }
    ret->environment[variables] = ret->argv[arguments] = NULL;
    return arguments > 0 && ret->argv[0][0];
}

pnx_status pnx__hook_parse(const char *name, struct pnx__hook *ret, pnx_error *err)
{
    char *rest = ret->text;
    if (strlen(name) < sizeof ret->text) {
        memcpy(ret->text, name, strlen(name) + 1);
        if (read_head(&rest, ret) && rest && read_words(rest, ret))
            return PNX_OK;
    }
    return pnx_fail(err, PNX_EINVAL, "'%.100s' is not a hook", name);
}

pnx_status pnx_hook_priority(const char *name, pnx_priority *ret, pnx_error *err)
{
    struct pnx__hook hook = {0};
    pnx_status status = pnx__hook_parse(name, &hook, err);
    if (status == PNX_OK)
        *ret = hook.priority;
    return status;
}

pnx_status pnx_hook_user(const char *name, uid_t *ret, pnx_error *err)
{
    struct pnx__hook hook = {0};
    pnx_status status = pnx__hook_parse(name, &hook, err);
    if (status == PNX_OK)
        *ret = hook.user;
    return status;
}

/* As the shell needs it: plain words as they are, all others in single quotes. */
static void put_for_shell(struct writer *writer, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "@%_-+=:,./";
    if (*word && strspn(word, plain) == strlen(word)) {
        put_plain(writer, word);
        return;
    }
    put(writer, '\'');
    for (; *word; word++) {
        if (*word == '\'')
            put_plain(writer, "'\\'");
        put(writer, *word);
    }
    put(writer, '\'');
}

pnx_status pnx_hook_command(const char *name, char *buffer, size_t size, pnx_error *err)
{
    struct pnx__hook hook = {0};
    pnx_status status = pnx__hook_parse(name, &hook, err);
    if (status != PNX_OK || !hook.argv[0])
        return status;
    struct writer writer = {.to = buffer, .size = size};
    /* What was given as a line is shown as one. */
    bool line = strcmp(hook.argv[0], "sh") == 0 && hook.argv[1] &&
                strcmp(hook.argv[1], "-c") == 0 && hook.argv[2] && !hook.argv[3];
    if (line)
        put_plain(&writer, hook.argv[2]);
    for (char **at = hook.argv; !line && *at; at++) {
        if (at > hook.argv)
            put(&writer, ' ');
        put_for_shell(&writer, *at);
    }
    if (size > 0)
        buffer[writer.used < size ? writer.used : size - 1] = '\0';
    return PNX_OK;
}

/* ---- the sort -------------------------------------------------------------------------------- */

/*
 * A hook is there from when it was registered to when it has run: there is nothing in the world to
 * look at. What has run is known by the pnx_thing that ran it (`is_deed`) and, across processes, by
 * what its keeper wrote down.
 */
static pnx_status find_hook(const char *name, char *ret_identity, size_t size, pnx_error *err)
{
    struct pnx__hook hook = {0};
    char id[PNX_ID_TEXT_SIZE];
    pnx_status status = pnx__hook_parse(name, &hook, err);
    if (status == PNX_OK && snprintf(ret_identity, size, "%s/%u", pnx_id_format(hook.session, id),
                                     hook.number) >= (int)size)
        status = pnx_fail(err, PNX_EINVAL, "no room for the identity of a hook");
    return status;
}

static pnx_status run_hook(const char *name, const char *identity, pnx_time deadline,
                           pnx_error *err)
{
    char found[PNX_THING_IDENTITY_MAX];
    pnx_status status = find_hook(name, found, sizeof found, err);
    if (status != PNX_OK)
        return status;
    if (strcmp(found, identity) != 0)
        return PNX_EALREADY;
    return pnx_hook_run(name, deadline, NULL, NULL, err);
}

static pnx_status list_hooks(pnx_thing_visit_fn visit, void *context, pnx_error *err)
{
    return pnx_fail(err, PNX_EUNSUPPORTED, "hooks are known only to who registered them");
}

pnx_status pnx_hook_create(const pnx_hook *hook, pnx_id session, uint32_t number,
                           const pnx_keeper *keeper, pnx_thing **ret, pnx_error *err)
{
    char name[PNX_THING_NAME_MAX];
    pnx_thing *thing;
    pnx_status status = pnx_hook_format(hook, session, number, name, sizeof name, err);
    if (status == PNX_OK)
        status = pnx_thing_intend(&pnx__thing_command, name, keeper, &thing, err);
    if (status == PNX_OK)
        status = pnx_thing_made(thing, err);
    if (status == PNX_OK)
        *ret = thing;
    return status;
}

const pnx_thing_kind pnx__thing_command = {
    .name = "command",
    .kind = &pnx_kind_command,
    .code = PNX__CODE_COMMAND,
    .order = PNX_ORDER_HOOK,
    .survives_reboot = true,
    .is_deed = true,
    .find = find_hook,
    .remove = run_hook,
    .list = list_hooks,
};

const pnx_kind pnx_kind_command = {
    PNX__THING_GUARD("command"), .priority = PNX_HIGH,
    .timeout = PNX_FOREVER, /* its own time is the hook's */
};
