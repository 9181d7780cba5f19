/* SPDX-License-Identifier: MIT */
/* Leaks fail the build: a program that leaks says where, and exits with a status of CI's choice. */
#include <patinox/patinox.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static pnx_status free_buffer(void *buffer, const pnx_release *why)
{
    (void)why;
    free(buffer);
    return PNX_OK;
}
PNX_KIND(buffer, void *, free_buffer);

static int leaking_program(void)
{
    /* What CI sets: PATINOX_AT_EXIT=report PATINOX_LEAK_REPORT=stderr PATINOX_LEAK_EXIT_STATUS=3 */
    setenv("PATINOX_LEAK_EXIT_STATUS", "3", 1);
    setenv("PATINOX_LEAK_REPORT", "stderr", 1);
    setenv("PATINOX_AT_EXIT", "report", 1); /* list what is held, before it is given back */
    pnx_error err = {0};
    buffer_guard buffer = pnx_reserve(buffer, pnx_registry_default(), &err); /* no pnx_auto */
    if (buffer.status || !pnx_arm(&buffer, malloc(100)))
        return 1;
    (void)pnx_resource_set_bytes(pnx_registry_default(), pnx_id_of(&buffer), 100);
    return 0;
}

int main(void)
{
    const pid_t child = fork(); /* only so that this example can see its exit status */
    if (child == 0)
        exit(leaking_program());
    int status;
    if (waitpid(child, &status, 0) != child)
        return 1;
    printf("exit status %d\n", WEXITSTATUS(status));
    return 0;
}

/* Prints:
 *   exit status 3
 *   default: 1 registered, 0 given back, 1 held, 0 leaked
 *   …
 *         1 buffer from leak_report.c:24 (leaking_program): held; … old; 100 bytes
 *   …
 */
