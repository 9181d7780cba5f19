/* SPDX-License-Identifier: MIT */
/* A guard on a file descriptor: whatever way the function is left, the file is closed. */
#include <fcntl.h>
#include <patinox/patinox.h>
#include <stdio.h>
#include <unistd.h>

static pnx_status close_file(int fd, const pnx_release *why)
{
    (void)why;
    return close(fd) == 0 ? PNX_OK : PNX_EFAILED;
}
static int describe_file(int fd, char *buffer, size_t size)
{
    return snprintf(buffer, size, "fd %d", fd);
}
PNX_KIND(file, int, close_file, .timeout = PNX_S(5), .describe = describe_file);

static pnx_status first_line(pnx_registry *registry, const char *path, char *line, int size,
                             pnx_error *err)
{
    pnx_auto(file) file = pnx_reserve(file, registry, err); /* may fail: nothing is open yet */
    if (file.status)
        return file.status;
    if (!pnx_arm(&file, open(path, O_RDONLY | O_CLOEXEC)))
        return pnx_fail(err, PNX_EFAILED, "cannot open %s: %m", path);
    const ssize_t length = read(pnx_get(&file), line, (size_t)size - 1);
    if (length < 0)
        return pnx_fail(err, PNX_EFAILED, "cannot read %s: %m", path);
    line[length] = '\0';
    return PNX_OK;
} /* here the descriptor goes to the workers; this costs nanoseconds and cannot fail */

int main(void)
{
    pnx_registry *registry = pnx_registry_default();
    pnx_error err = {0};
    char line[100];
    if (first_line(registry, "/proc/sys/kernel/ostype", line, sizeof line, &err) == PNX_OK)
        fputs(line, stdout);
    if (first_line(registry, "/no/such/file", line, sizeof line, &err) != PNX_OK)
        puts(err.message);
    if (pnx_registry_wait_idle(registry, PNX_FOREVER) != PNX_OK)
        return 1;
    pnx_counts counts;
    pnx_registry_counts(registry, &counts);
    printf("%d file held, %d given back\n", (int)counts.live, (int)counts.done);
    return 0;
}

/* Prints:
 *   Linux
 *   cannot open /no/such/file: No such file or directory
 *   0 file held, 1 given back
 */
