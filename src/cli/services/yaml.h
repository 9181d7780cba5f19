/* SPDX-License-Identifier: MIT */
/** @file yaml.h  What the readers of services need of YAML: places, mistakes, texts. */
#ifndef CLI_SERVICES_YAML_H
#define CLI_SERVICES_YAML_H

#include "services.h"

#include <libfyaml.h>

struct reader {
    struct services *services;
    const char *directory;
    char where[128];    /* "services.db.healthcheck" */
    struct fy_node *at; /* the key at hand */
    char *message;      /* SERVICES_MESSAGE_MAX; the first mistake */
};

/** One key of a mapping: what reads it into what is being filled. False: a mistake was told. */
struct key {
    const char *name;
    bool (*read)(struct reader *reader, struct fy_node *value, void *into);
};

/** Tells a mistake; always false. `node` may be NULL: the key at hand. */
bool wrong(struct reader *reader, struct fy_node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** The text of a scalar; NULL: it is none, and that was told. */
const char *text_of(struct reader *reader, struct fy_node *node);
bool is_null(struct fy_node *node);
bool read_bool(struct reader *reader, struct fy_node *node, bool *ret);
bool read_span(struct reader *reader, struct fy_node *node, pnx_duration *ret);
bool read_number(struct reader *reader, struct fy_node *node, double least, double most,
                 double *ret);
/** A text, or a list of them. NULL-terminated; NULL: a mistake was told. */
const char *const *read_texts(struct reader *reader, struct fy_node *node);
/** A list of "NAME=value", or a mapping; a name without a value takes it from our own environment
 *  if `inherit`. */
const char *const *read_pairs(struct reader *reader, struct fy_node *node, bool inherit);
/** Reads a mapping by its keys (`count` of them); `what` is put to `where` meanwhile. */
bool read_mapping(struct reader *reader, struct fy_node *node, const char *what,
                  const struct key *keys, size_t count, void *into);

/** What makes a service ready, in wait.c. */
bool read_wait(struct reader *reader, struct fy_node *node, pnx_wait *ret,
               pnx_duration *ret_within);

#endif
