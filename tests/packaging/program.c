/* SPDX-License-Identifier: MIT */
/* What a user would write first, in the language that C and C++ share. */

#include <patinox/patinox.h>
#include <stdio.h>
#include <unistd.h>

static pnx_status close_fd(int fd, const pnx_release *why)
{
    (void)why;
    return close(fd) == 0 ? PNX_OK : PNX_EFAILED;
}
PNX_KIND(file, int, close_fd, .priority = PNX_HIGH);

static pnx_status use_a_descriptor(pnx_registry *registry, int *ret_fd, pnx_error *err)
{
    pnx_auto(file) f = pnx_reserve(file, registry, err);
    if (f.status)
        return f.status;
    if (!pnx_arm(&f, dup(STDERR_FILENO)))
        return pnx_fail(err, PNX_EFAILED, "dup");
    *ret_fd = pnx_get(&f);
    return PNX_OK;
}

int main(void)
{
    pnx_registry *registry = NULL;
    pnx_error err;
    char text[512];
    int fd = -1;

    pnx_error_clear(&err);
    if (pnx_registry_create(NULL, &registry, &err) || use_a_descriptor(registry, &fd, &err) ||
        pnx_registry_shutdown(registry, NULL, NULL, &err) || pnx_registry_destroy(registry, &err)) {
        pnx_error_format(&err, text, sizeof text);
        fprintf(stderr, "%s\n", text);
        return 1;
    }
    printf("patinox %s, descriptor %s\n", pnx_version(),
           write(fd, "", 0) < 0 ? "closed" : "leaked");
    return 0;
}
