/* SPDX-License-Identifier: MIT */
/*
 * What is looked at before the parser of YAML is: libfyaml 0.7 does not come back from some texts
 * that are not UTF-8, and from some directives, which nobody needs here.
 */
#include "config_read.h"
#include "utf8.h"

static bool is_control(unsigned char byte)
{
    return (byte < ' ' && byte != '\n' && byte != '\r' && byte != '\t') || byte == 0x7f;
}

pnx_status config_check_text(const char *text, size_t size, pnx_error *err)
{
    const unsigned char *at = (const unsigned char *)text, *end = at + size;
    unsigned line = 1, column = 1;
    if (size > CONFIG_SIZE_MAX)
        return pnx_fail(err, PNX_EINVAL, "1:1: it is too long for a configuration");
    while (at < end) {
        size_t length = utf8_length(at, (size_t)(end - at));
        if (length == 0 || is_control(*at))
            return pnx_fail(err, PNX_EINVAL, "%u:%u: it is no text in UTF-8", line, column);
        if (column == 1 && *at == '%')
            return pnx_fail(err, PNX_EINVAL, "%u:1: directives of YAML are not taken", line);
        column++;
        if (*at == '\n' || *at == '\r') {
            line += *at == '\n';
            column = 1;
        }
        at += length;
    }
    return PNX_OK;
}
