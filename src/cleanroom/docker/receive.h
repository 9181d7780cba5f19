/* SPDX-License-Identifier: MIT */
/** @file receive.h  Taking in an answer, as libcurl hands it over. */
#ifndef CLEANROOM_DOCKER_RECEIVE_H
#define CLEANROOM_DOCKER_RECEIVE_H

#include "docker/engine.h"

#include <curl/curl.h>

struct pnx__receiving {
    struct pnx__docker_exchange *exchange;
    CURL *easy;
    size_t answer_max, room;
    bool too_large, no_memory;
};

/** Makes room for an empty answer. False: no memory. */
bool pnx__docker_receive_begin(struct pnx__receiving *receiving);
/** CURLOPT_HEADERFUNCTION and CURLOPT_WRITEFUNCTION; `context` is the pnx__receiving. */
size_t pnx__docker_take_header(char *data, size_t one, size_t size, void *context);
size_t pnx__docker_take_body(char *data, size_t one, size_t size, void *context);

#endif
