/* SPDX-License-Identifier: MIT */
#include "kind/thing.h"

#include <string.h>

/* One line for each sort of thing; its file is named like it. */
/* clang-format off */
static const pnx_thing_kind *const kinds[] = {
    &pnx__thing_tempdir,
    &pnx__thing_cgroup,
    &pnx__thing_process,
    &pnx__thing_shm,
    &pnx__thing_semaphore,
    &pnx__thing_sysv_shm,
    &pnx__thing_sysv_sem,
    &pnx__thing_sysv_msg,
    &pnx__thing_mqueue,
    &pnx__thing_socket,
    &pnx__thing_abstract,
    &pnx__thing_port,
    &pnx__thing_loop,
    &pnx__thing_mapper,
    &pnx__thing_netns,
    &pnx__thing_link,
    &pnx__thing_mount,
    &pnx__thing_command,
    NULL,
};
/* clang-format on */

const pnx_thing_kind *const *pnx_thing_kinds(void)
{
    return kinds;
}

const pnx_thing_kind *pnx_thing_kind_of(uint16_t code)
{
    for (size_t i = 0; kinds[i]; i++)
        if (kinds[i]->code == code)
            return kinds[i];
    return NULL;
}

const pnx_thing_kind *pnx_thing_kind_named(const char *name)
{
    for (size_t i = 0; kinds[i]; i++)
        if (strcmp(kinds[i]->name, name) == 0)
            return kinds[i];
    return NULL;
}
