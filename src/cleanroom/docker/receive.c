/* SPDX-License-Identifier: MIT */
#include "docker/receive.h"

#include <stdlib.h>
#include <string.h>

/* Of an answer that tells a failure no more is read. */
#define REFUSAL_MAX ((size_t)64 << 10)

/* The value of a header of that name, without the space around it. */
static bool header_is(const char *data, size_t size, const char *name, char *ret, size_t ret_size)
{
    size_t length = strlen(name);
    if (size <= length || strncasecmp(data, name, length) != 0 || data[length] != ':')
        return false;
    data += length + 1;
    size -= length + 1;
    while (size && (*data == ' ' || *data == '\t'))
        data++, size--;
    while (size && strchr(" \t\r\n", data[size - 1]))
        size--;
    if (size >= ret_size)
        size = ret_size - 1;
    memcpy(ret, data, size);
    ret[size] = '\0';
    return true;
}

size_t pnx__docker_take_header(char *data, size_t one, size_t size, void *context)
{
    struct pnx__docker_exchange *exchange = ((struct pnx__receiving *)context)->exchange;
    char value[96];
    if (header_is(data, size, "Api-Version", exchange->api_version, sizeof exchange->api_version) ||
        header_is(data, size, "Content-Type", exchange->content, sizeof exchange->content))
        return one * size;
    if (header_is(data, size, "Libpod-Api-Version", value, sizeof value) ||
        (header_is(data, size, "Server", value, sizeof value) && strncmp(value, "Libpod", 6) == 0))
        exchange->podman = true;
    return one * size;
}

/* Memory grows by half, so that a large answer is copied a few times only. */
static bool reserve(struct pnx__receiving *receiving, size_t wanted)
{
    if (wanted <= receiving->room)
        return true;
    size_t room = wanted + wanted / 2 + 256;
    char *grown = realloc(receiving->exchange->answer, room);
    if (!grown) {
        receiving->no_memory = true;
        return false;
    }
    receiving->exchange->answer = grown;
    receiving->room = room;
    return true;
}

static bool collect(struct pnx__receiving *receiving, const char *data, size_t size, size_t most)
{
    struct pnx__docker_exchange *exchange = receiving->exchange;
    if (size > most - exchange->answer_size) {
        receiving->too_large = true;
        return false;
    }
    if (!reserve(receiving, exchange->answer_size + size + 1))
        return false;
    memcpy(exchange->answer + exchange->answer_size, data, size);
    exchange->answer_size += size;
    exchange->answer[exchange->answer_size] = '\0';
    return true;
}

size_t pnx__docker_take_body(char *data, size_t one, size_t size, void *context)
{
    struct pnx__receiving *receiving = context;
    struct pnx__docker_exchange *exchange = receiving->exchange;
    long status = 0;
    size *= one;
    curl_easy_getinfo(receiving->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 300) {
        bool all = collect(receiving, data, size, REFUSAL_MAX);
        exchange->stopped = !all && receiving->too_large;
        return all ? size : 0;
    }
    if (!exchange->sink)
        return collect(receiving, data, size, receiving->answer_max) ? size : 0;
    exchange->stopped = !exchange->sink(data, size, exchange->context);
    return exchange->stopped ? 0 : size;
}

bool pnx__docker_receive_begin(struct pnx__receiving *receiving)
{
    return reserve(receiving, 1);
}
