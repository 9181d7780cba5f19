/* SPDX-License-Identifier: MIT */
/*
 * Spans of time as text. The grammar, without regard to the locale:
 *
 *     text   = [space] ( "forever" | number | part { [space] part } ) [space]
 *     part   = number [space] unit
 *     number = digits [ "." digits ]
 *     unit   = "ns" | "us" | "ms" | "s" | "m" | "h" | "d"
 *
 * A number without a unit is in seconds and stands alone: in "1h30" nobody knows what the 30 are.
 * All arithmetic is exact: what is finer than a nanosecond is refused, not rounded.
 */
#include "base/text.h"

#include <string.h>

/* Longest first: formatting goes from top to bottom. A day has 24 hours on the monotonic clock. */
static const struct unit {
    const char *name;
    pnx_duration length;
} units[] = {
    {"d", PNX_S(86400)}, {"h", PNX_S(3600)}, {"m", PNX_S(60)},  {"s", PNX_S(1)},
    {"ms", PNX_MS(1)},   {"us", PNX_US(1)},  {"ns", PNX_NS(1)},
};
enum { SECOND = 3 };
#define UNIT_COUNT (sizeof(units) / sizeof(units[0]))

/* PNX_FOREVER itself means something else. */
#define LONGEST (PNX_FOREVER - 1)

/*
 * A day has 2^16 * 5^11 * 27 nanoseconds, so that a fraction of more than 16 digits that does not
 * end in 0 is never a whole number of them; 18 are read so as to be sure, and 10^18 fits into 64
 * bits.
 */
#define FRACTION_DIGITS_MAX 18

struct number {
    uint64_t whole;
    uint64_t fraction; /* over `scale` */
    uint64_t scale;
    bool overflow; /* the whole part is above every span */
    bool too_fine;
};

struct parser {
    const char *text; /* from its beginning, for messages */
    const char *at;
    pnx_error *err;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}

static void skip_space(struct parser *parser)
{
    parser->at += strspn(parser->at, " \t\r\n");
}

static pnx_status fail_syntax(const struct parser *parser, const char *problem)
{
    char text[PNX__QUOTE_SIZE];
    char rest[PNX__QUOTE_SIZE];
    pnx__text_quote(text, parser->text);
    if (*parser->at == '\0') {
        memcpy(rest, "its end", sizeof("its end"));
    } else {
        pnx__text_quote(rest, parser->at);
    }
    return pnx_fail(parser->err, PNX_EINVAL,
                    "not a time span: %s: %s at %s (like \"2m30.5s\" or \"forever\")", text,
                    problem, rest);
}

static pnx_status fail_overflow(const struct parser *parser)
{
    char text[PNX__QUOTE_SIZE];
    return pnx_fail(parser->err, PNX_ELIMIT,
                    "time span too long: %s: at most 106751d (292 years), or \"forever\"",
                    pnx__text_quote(text, parser->text));
}

static void read_fraction(struct parser *parser, struct number *number)
{
    const char *end = parser->at + strspn(parser->at, "0123456789");
    const char *last = end;
    while (last > parser->at && last[-1] == '0') {
        last--;
    }
    number->too_fine = last - parser->at > FRACTION_DIGITS_MAX;
    for (; !number->too_fine && parser->at < last; parser->at++) {
        number->fraction = number->fraction * 10 + (uint64_t)(*parser->at - '0');
        number->scale *= 10;
    }
    parser->at = end;
}

static pnx_status read_number(struct parser *parser, struct number *number)
{
    *number = (struct number){.scale = 1};
    if (*parser->at == '-') {
        return fail_syntax(parser, "a span is never negative,");
    }
    if (!is_digit(*parser->at)) {
        return fail_syntax(parser, "expected a number");
    }
    for (; is_digit(*parser->at); parser->at++) {
        uint64_t digit = (uint64_t)(*parser->at - '0');
        number->overflow |= __builtin_mul_overflow(number->whole, 10, &number->whole);
        number->overflow |= __builtin_add_overflow(number->whole, digit, &number->whole);
    }
    if (*parser->at != '.') {
        return PNX_OK;
    }
    parser->at++;
    if (!is_digit(*parser->at)) {
        return fail_syntax(parser, "expected a digit after the point");
    }
    read_fraction(parser, number);
    return PNX_OK;
}

/* NULL: there is a word that is no unit, or none at all. */
static const struct unit *read_unit(struct parser *parser)
{
    size_t length = 0;
    while (is_letter(parser->at[length])) {
        length++;
    }
    for (size_t i = 0; i < UNIT_COUNT; i++) {
        if (strlen(units[i].name) == length && memcmp(units[i].name, parser->at, length) == 0) {
            parser->at += length;
            return &units[i];
        }
    }
    return NULL;
}

/* Adds `number` of `unit` to `*sum`. */
static pnx_status add_part(const struct parser *parser, const struct number *number,
                           const struct unit *unit, pnx_duration *sum)
{
    __extension__ typedef unsigned __int128 wide;
    wide fraction = (wide)number->fraction * (uint64_t)unit->length;
    if (number->too_fine || fraction % number->scale != 0) {
        return fail_syntax(parser, "finer than a nanosecond");
    }
    pnx_duration whole;
    bool overflow = number->overflow ||
                    __builtin_mul_overflow(number->whole, unit->length, &whole) ||
                    __builtin_add_overflow(*sum, whole, sum) ||
                    __builtin_add_overflow(*sum, (pnx_duration)(fraction / number->scale), sum);
    return overflow || *sum > LONGEST ? fail_overflow(parser) : PNX_OK;
}

static pnx_status read_parts(struct parser *parser, pnx_duration *sum)
{
    for (bool first = true; first || *parser->at; first = false) {
        const char *start = parser->at;
        struct number number;
        pnx_status status = read_number(parser, &number);
        if (status) {
            return status;
        }
        skip_space(parser);
        const struct unit *unit = read_unit(parser);
        if (!unit && first && *parser->at == '\0') {
            unit = &units[SECOND];
        }
        if (!unit) {
            return fail_syntax(parser, "expected a unit (ns, us, ms, s, m, h, d)");
        }
        const char *next = parser->at;
        parser->at = start;
        status = add_part(parser, &number, unit, sum);
        if (status) {
            return status;
        }
        parser->at = next;
        skip_space(parser);
    }
    return PNX_OK;
}

static bool read_forever(struct parser *parser)
{
    static const char word[] = "forever";
    if (strncmp(parser->at, word, sizeof(word) - 1) != 0) {
        return false;
    }
    struct parser rest = *parser;
    rest.at += sizeof(word) - 1;
    skip_space(&rest);
    return *rest.at == '\0';
}

pnx_status pnx_span_parse(const char *text, pnx_duration *ret, pnx_error *err)
{
    if (!text || !ret) {
        return pnx_fail(err, PNX_EINVAL, "pnx_span_parse: `%s` is NULL", text ? "ret" : "text");
    }
    struct parser parser = {.text = text, .at = text, .err = err};
    skip_space(&parser);
    if (read_forever(&parser)) {
        *ret = PNX_FOREVER;
        return PNX_OK;
    }
    pnx_duration sum = 0;
    pnx_status status = read_parts(&parser, &sum);
    if (status == PNX_OK) {
        *ret = sum;
    }
    return status;
}

/* ---- the other way --------------------------------------------------------------------------- */

/* The longest is "-106751d23h47m16.854775808s". */
#define TEXT_MAX 40

/* Appends `value` as a decimal number of `unit`, without zeros at its end. */
static size_t write_decimal(char *text, uint64_t value, const struct unit *unit)
{
    uint64_t length = (uint64_t)unit->length;
    size_t end = pnx__text_format(text, TEXT_MAX, "%llu", (unsigned long long)(value / length));
    uint64_t rest = value % length;
    if (rest > 0) {
        text[end++] = '.';
    }
    while (rest > 0) {
        length /= 10;
        text[end++] = (char)('0' + rest / length);
        rest %= length;
    }
    return end + pnx__text_copy(text + end, TEXT_MAX, unit->name);
}

size_t pnx_span_format(pnx_duration span, char *buffer, size_t size)
{
    if (span == PNX_FOREVER) {
        return pnx__text_copy(buffer, size, "forever");
    }
    if (span == 0) {
        return pnx__text_copy(buffer, size, "0");
    }
    char text[2 * TEXT_MAX];
    size_t end = 0;
    uint64_t value = (uint64_t)span;
    if (span < 0) {
        text[end++] = '-';
        value = -value;
    }
    for (size_t i = 0; i < UNIT_COUNT && value > 0; i++) {
        const struct unit *unit = &units[i];
        if (value < (uint64_t)unit->length) {
            continue;
        }
        if (unit->length > PNX_S(1)) {
            uint64_t whole = value - value % (uint64_t)unit->length;
            end += write_decimal(text + end, whole, unit);
            value -= whole;
        } else {
            end += write_decimal(text + end, value, unit);
            value = 0;
        }
    }
    return pnx__text_copy(buffer, size, text);
}
