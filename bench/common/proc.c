/* SPDX-License-Identifier: MIT */
#include "proc.h"

#include "bench.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool proc_read(const char *path, char text[PROC_TEXT_MAX])
{
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = -1;

    if (file >= 0) {
        length = read(file, text, PROC_TEXT_MAX - 1);
        close(file);
    }
    text[length > 0 ? length : 0] = '\0';
    return length > 0;
}

bool proc_numbers(const char *text, const char *label, uint64_t *ret, size_t count)
{
    const char *position = strstr(text, label);

    memset(ret, 0, count * sizeof *ret);
    if (!position)
        return false;
    position += strlen(label);
    for (size_t i = 0; i < count; i++) {
        char *end;
        ret[i] = strtoull(position, &end, 10);
        if (end == position)
            return false;
        position = end;
    }
    return true;
}

void proc_each_thread(void (*visit)(int thread, void *context), void *context)
{
    DIR *directory = opendir("/proc/self/task");

    if (!directory)
        bench_give_up("cannot read /proc/self/task: %m");
    for (const struct dirent *entry; (entry = readdir(directory));) {
        const int thread = (int)strtol(entry->d_name, NULL, 10);
        if (thread > 0) /* "." and ".." are 0 */
            visit(thread, context);
    }
    closedir(directory);
}
