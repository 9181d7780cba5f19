/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "utf8.h"

#include <stdint.h>
#include <stdio.h>
#include <time.h>

void print_json_string(FILE *out, const char *text)
{
    putc('"', out);
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        size_t length = utf8_length(at, SIZE_MAX);
        if (length == 0)
            fprintf(out, "\\ufffd");
        else if (*at < 0x20)
            fprintf(out, "\\u%04x", *at);
        else if (*at == '"' || *at == '\\')
            fprintf(out, "\\%c", *at);
        else
            (void)fwrite(at, 1, length, out);
        at += length ? length : 1;
    }
    putc('"', out);
}

void print_name(FILE *out, const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        size_t length = utf8_length(at, SIZE_MAX);
        bool plain = length > 1 || (length == 1 && *at >= 0x20 && *at != 0x7f);
        /* C1 controls are two bytes: c2 80 … c2 9f */
        if (plain && !(at[0] == 0xc2 && at[1] < 0xa0))
            (void)fwrite(at, 1, length, out);
        else
            for (size_t i = 0; i < (length ? length : 1); i++)
                fprintf(out, "\\x%02x", at[i]);
        at += length ? length : 1;
    }
}

int64_t nanoseconds_since_1970(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * PNX_S(1) + now.tv_nsec;
}
