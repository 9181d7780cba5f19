/* SPDX-License-Identifier: MIT */
#include "config_read.h"

#include <libfyaml.h>
#include <stdlib.h>
#include <string.h>

/* What a key takes, and how that becomes options. */
enum shape {
    SCALAR,  /* one value */
    LIST,    /* one value or several, each an option of its own */
    WORDS,   /* one value or several, joined by commas */
    PAIRS,   /* a value, or keys with values: "a=1,b=2" */
    SWITCH,  /* true or false */
    COMMAND, /* what is run: words, or a line for sh */
    SERVICES,
};

static const struct key {
    const char *name;
    enum shape shape;
} keys[] = {
    {"artifacts", SCALAR},    {"command", COMMAND}, {"docker", SCALAR},
    {"docker-scope", SCALAR}, {"each", SCALAR},     {"fail-on-leftovers", SWITCH},
    {"grace", SCALAR},        {"isolate", WORDS},   {"jobs", SCALAR},
    {"keep", SCALAR},         {"limit", PAIRS},     {"name", SCALAR},
    {"on-exit", LIST},        {"quiet", SWITCH},    {"report", LIST},
    {"require-tier", SCALAR}, {"retries", SCALAR},  {"save", LIST},
    {"services", SERVICES},   {"tier", SCALAR},     {"timeout", SCALAR},
    {"watch", LIST},
};
#define KEYS (sizeof keys / sizeof *keys)

struct reader {
    FILE *options;
    char *command; /* NUL-ended words */
    size_t command_size;
    const char *services;
    const struct fy_node *at; /* the key at hand */
    bool seen[KEYS];
    pnx_error *err;
};

/* ---- mistakes -------------------------------------------------------------------------------- */

/* What a file says may be shown: all that is not printable ASCII becomes "?". */
static void make_harmless(char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~')
            *text = '?';
}

static pnx_status wrong(struct reader *reader, struct fy_node *node, const char *format, ...)
    PNX_PRINTF(3, 4);

static pnx_status wrong(struct reader *reader, struct fy_node *node, const char *format, ...)
{
    char text[160];
    va_list args;
    struct fy_token *token = node ? fy_node_get_scalar_token(node) : NULL;
    if (!token && reader->at)
        token = fy_node_get_scalar_token((struct fy_node *)reader->at);
    const struct fy_mark *mark = token ? fy_token_start_mark(token) : NULL;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    make_harmless(text);
    return pnx_fail(reader->err, PNX_EINVAL, "%d:%d: %s", mark ? mark->line + 1 : 1,
                    mark ? mark->column + 1 : 1, text);
}

/* The number of letters that have to be changed (Levenshtein), of short names. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[32];
    size_t columns = strlen(b);
    if (columns >= sizeof row / sizeof *row)
        return 99;
    for (unsigned i = 0; i <= columns; i++)
        row[i] = i;
    for (; *a; a++) {
        unsigned diagonal = row[0]++;
        for (size_t i = 1; i <= columns; i++) {
            unsigned change = diagonal + (*a != b[i - 1]);
            unsigned shorter = row[i] < row[i - 1] ? row[i] + 1 : row[i - 1] + 1;
            diagonal = row[i];
            row[i] = change < shorter ? change : shorter;
        }
    }
    return row[columns];
}

static pnx_status unknown(struct reader *reader, struct fy_node *node, const char *name)
{
    const char *nearest = NULL;
    unsigned best = 4; /* further than that is another word */
    for (size_t i = 0; i < KEYS && strlen(name) < 32; i++)
        if (distance(name, keys[i].name) < best) {
            best = distance(name, keys[i].name);
            nearest = keys[i].name;
        }
    if (nearest)
        return wrong(reader, node, "there is no key '%.40s'; do you mean '%s'?", name, nearest);
    return wrong(reader, node, "there is no key '%.40s'; the keys are the options of 'run'", name);
}

/* ---- values ---------------------------------------------------------------------------------- */

/* The text of a scalar. NULL: it is none, or holds a NUL; that was told. */
static const char *text_of(struct reader *reader, struct fy_node *node, const char *what)
{
    size_t length = 0;
    const char *text = NULL;
    if (node && fy_node_is_scalar(node) && !fy_node_is_alias(node))
        text = fy_node_get_scalar0(node);
    if (text)
        (void)fy_node_get_scalar(node, &length);
    if (text && strlen(text) == length && length > 0)
        return text;
    (void)wrong(reader, node, "%s must be a text", what);
    return NULL;
}

static void put_option(struct reader *reader, const char *name, const char *value)
{
    fprintf(reader->options, "--%s=%s%c", name, value, '\0');
}

static pnx_status read_scalar(struct reader *reader, const char *name, struct fy_node *value)
{
    const char *text = text_of(reader, value, name);
    if (text)
        put_option(reader, name, text);
    return text ? PNX_OK : PNX_EINVAL;
}

static pnx_status read_list(struct reader *reader, const char *name, struct fy_node *value)
{
    void *position = NULL;
    struct fy_node *item;
    if (!value || !fy_node_is_sequence(value))
        return read_scalar(reader, name, value);
    while ((item = fy_node_sequence_iterate(value, &position)))
        if (read_scalar(reader, name, item) != PNX_OK)
            return PNX_EINVAL;
    return PNX_OK;
}

static pnx_status read_words(struct reader *reader, const char *name, struct fy_node *value)
{
    void *position = NULL;
    struct fy_node *item;
    const char *comma = "";
    if (!value || !fy_node_is_sequence(value))
        return read_scalar(reader, name, value);
    if (fy_node_sequence_is_empty(value))
        return PNX_OK;
    fprintf(reader->options, "--%s=", name);
    for (; (item = fy_node_sequence_iterate(value, &position)); comma = ",") {
        const char *text = text_of(reader, item, name);
        if (!text)
            return PNX_EINVAL;
        fprintf(reader->options, "%s%s", comma, text);
    }
    fputc('\0', reader->options);
    return PNX_OK;
}

static pnx_status read_pairs(struct reader *reader, const char *name, struct fy_node *value)
{
    void *position = NULL;
    struct fy_node_pair *pair;
    const char *comma = "";
    if (!value || !fy_node_is_mapping(value))
        return read_scalar(reader, name, value);
    if (fy_node_mapping_is_empty(value))
        return PNX_OK;
    fprintf(reader->options, "--%s=", name);
    for (; (pair = fy_node_mapping_iterate(value, &position)); comma = ",") {
        const char *key = text_of(reader, fy_node_pair_key(pair), "a key");
        const char *text = key ? text_of(reader, fy_node_pair_value(pair), key) : NULL;
        if (!text)
            return PNX_EINVAL;
        fprintf(reader->options, "%s%s=%s", comma, key, text);
    }
    fputc('\0', reader->options);
    return PNX_OK;
}

static pnx_status read_switch(struct reader *reader, const char *name, struct fy_node *value)
{
    const char *text = text_of(reader, value, name);
    if (!text)
        return PNX_EINVAL;
    if (strcmp(text, "true") == 0)
        fprintf(reader->options, "--%s%c", name, '\0');
    else if (strcmp(text, "false") != 0)
        return wrong(reader, value, "%s is true or false", name);
    return PNX_OK;
}

static pnx_status read_command(struct reader *reader, struct fy_node *value)
{
    void *position = NULL;
    struct fy_node *item;
    FILE *out = open_memstream(&reader->command, &reader->command_size);
    if (!out)
        return pnx_fail(reader->err, PNX_ENOMEM, "no memory for the configuration");
    pnx_status status = PNX_OK;
    if (value && fy_node_is_sequence(value)) {
        while (status == PNX_OK && (item = fy_node_sequence_iterate(value, &position))) {
            const char *text = text_of(reader, item, "a word of command");
            status = text ? PNX_OK : PNX_EINVAL;
            if (text)
                fprintf(out, "%s%c", text, '\0');
        }
    } else {
        const char *text = text_of(reader, value, "command");
        status = text ? PNX_OK : PNX_EINVAL;
        if (text)
            fprintf(out, "sh%c-c%c%s%c", '\0', '\0', text, '\0');
    }
    if (fclose(out) != 0)
        return pnx_fail(reader->err, PNX_ENOMEM, "no memory for the configuration");
    return status;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static pnx_status read_value(struct reader *reader, const struct key *key, struct fy_node *value)
{
    switch (key->shape) {
    case SCALAR:
        return read_scalar(reader, key->name, value);
    case LIST:
        return read_list(reader, key->name, value);
    case WORDS:
        return read_words(reader, key->name, value);
    case PAIRS:
        return read_pairs(reader, key->name, value);
    case SWITCH:
        return read_switch(reader, key->name, value);
    case COMMAND:
        return read_command(reader, value);
    case SERVICES:
        if (!reader->services)
            return wrong(reader, NULL, "services: needs libcleanroom-docker, which is not there");
        fprintf(reader->options, "%s%c", reader->services, '\0');
        return PNX_OK;
    }
    return PNX_EINVAL;
}

static pnx_status read_pair(struct reader *reader, struct fy_node_pair *pair)
{
    struct fy_node *key = fy_node_pair_key(pair);
    reader->at = key && fy_node_is_scalar(key) ? key : reader->at;
    const char *name = text_of(reader, key, "a key");
    if (!name)
        return PNX_EINVAL;
    for (size_t i = 0; i < KEYS; i++) {
        if (strcmp(name, keys[i].name) != 0)
            continue;
        if (reader->seen[i])
            return wrong(reader, key, "%s is there twice", name);
        reader->seen[i] = true;
        return read_value(reader, &keys[i], fy_node_pair_value(pair));
    }
    return unknown(reader, key, name);
}

static pnx_status read_root(struct reader *reader, struct fy_node *root)
{
    void *position = NULL;
    struct fy_node_pair *pair;
    if (!root) /* nothing but comments */
        return PNX_OK;
    if (!fy_node_is_mapping(root))
        return wrong(reader, root, "a configuration is a list of 'key: value'");
    while ((pair = fy_node_mapping_iterate(root, &position))) {
        pnx_status status = read_pair(reader, pair);
        if (status != PNX_OK)
            return status;
    }
    return PNX_OK;
}

/* The parser's own first complaint. */
static pnx_status not_yaml(struct fy_diag *diag, pnx_error *err)
{
    char text[160] = "it is not YAML";
    void *position = NULL;
    const struct fy_diag_error *error = fy_diag_errors_iterate(diag, &position);
    if (error && error->msg)
        snprintf(text, sizeof text, "%s", error->msg);
    make_harmless(text);
    return pnx_fail(err, PNX_EINVAL, "%d:%d: %s", error && error->line > 0 ? error->line : 1,
                    error && error->column > 0 ? error->column : 1, text);
}

/* Aliases would let a small file grow without end; nobody needs them here. They stay what they are,
 * and are not a text. */
static struct fy_document *parse(const char *text, size_t size, pnx_error *err)
{
    struct fy_diag_cfg about;
    fy_diag_cfg_default(&about);
    about.fp = NULL;
    struct fy_diag *diag = fy_diag_create(&about);
    if (!diag) {
        pnx_fail(err, PNX_ENOMEM, "no memory for the configuration");
        return NULL;
    }
    fy_diag_set_collect_errors(diag, true);
    struct fy_parse_cfg how = {.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG, .diag = diag};
    struct fy_document *document = fy_document_build_from_string(&how, text, size);
    if (!document)
        (void)not_yaml(diag, err);
    fy_diag_destroy(diag);
    return document;
}

static bool is_empty(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '#')
            while (i < size && text[i] != '\n')
                i++;
        else if (text[i] != ' ' && text[i] != '\n' && text[i] != '\r')
            return false;
    }
    return true;
}

static void write_out(const struct reader *reader, const char *options, size_t size, FILE *out)
{
    (void)fwrite(options, 1, size, out);
    if (reader->command_size == 0)
        return;
    (void)fwrite("--", 1, 3, out);
    (void)fwrite(reader->command, 1, reader->command_size, out);
}

pnx_status config_read(const char *text, size_t size, const char *services, FILE *out,
                       pnx_error *err)
{
    char *options = NULL;
    size_t options_size = 0;
    struct reader reader = {.services = services, .err = err};
    pnx_status text_status = config_check_text(text, size, err);
    if (text_status != PNX_OK || is_empty(text, size))
        return text_status;
    reader.options = open_memstream(&options, &options_size);
    struct fy_document *document = reader.options ? parse(text, size, err) : NULL;
    pnx_status status = document ? read_root(&reader, fy_document_root(document)) : PNX_EINVAL;
    fy_document_destroy(document);
    if (!reader.options || fclose(reader.options) != 0)
        status = pnx_fail(err, PNX_ENOMEM, "no memory for the configuration");
    if (status == PNX_OK)
        write_out(&reader, options, options_size, out);
    free(options);
    free(reader.command);
    return status;
}
