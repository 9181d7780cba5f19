/* SPDX-License-Identifier: MIT */
/** @file doctor_places.h  Where `cleanroom run --docker` looks for an engine, and what is there. */
#ifndef CLI_DOCTOR_PLACES_H
#define CLI_DOCTOR_PLACES_H

#include <cleanroom/capability.h>

#define PLACES_MAX 12

struct engine_places {
    size_t count;
    char names[PLACES_MAX][96];
    pnx_capability rows[PLACES_MAX];
};

/** Asks cleanroom-docker; no rows where that is not installed. */
void look_for_engines(struct engine_places *ret);

#endif
