/* SPDX-License-Identifier: MIT */
/*
 * What is known of each field of pnx_config, as texts: for messages, and for the test that compares
 * the code with docs/configuration.md. The work itself is pnx_config_complete.
 */
#ifndef PATINOX_REGISTRY_CONFIG_H
#define PATINOX_REGISTRY_CONFIG_H

#include <patinox/registry.h>

typedef struct pnx__config_field {
    const char *name;
    const char *variable; /* NULL: it has none */
    size_t offset, size;  /* in pnx_config */
    char standard[48];    /* its default */
    char accepted[64];    /* "1 to 256", "drain, report or nothing", … */
} pnx__config_field;

size_t pnx__config_field_count(void);
/* The fields are numbered in the order of pnx_config. */
pnx__config_field pnx__config_field_at(size_t index);

#endif
