/* SPDX-License-Identifier: MIT */
/** @file image.h  How an image is made. */
#ifndef CLEANROOM_DOCKER_IMAGE_H
#define CLEANROOM_DOCKER_IMAGE_H

#include "docker/engine.h"

enum pnx__image_source { PNX__IMAGE_IMPORT, PNX__IMAGE_BUILD, PNX__IMAGE_COMMIT };

/** A pnx_image_config of its own, with our labels. */
struct pnx__image {
    enum pnx__image_source source;
    char *name; /* may be empty */
    char *from; /* a path, or a container */
    char *dockerfile;
    struct json_t *arguments, *labels; /* objects of texts */
    struct json_t *changes;            /* an array of texts */
    pnx_sink log;
    void *log_context;
};

/** Makes it; `ret_id` is "sha256:…". */
pnx_status pnx__docker_image_make(pnx_engine *engine, const struct pnx__image *image,
                                  const struct pnx__limit *limit, char *ret_id, size_t size,
                                  pnx_error *err);

#endif
