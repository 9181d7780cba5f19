/* SPDX-License-Identifier: MIT */
/*
 * A fuzz target as an ordinary test: every file of its corpus, and mutations of them, which are the
 * same each time. An input that breaks a promise is written to a file of that name. Arguments: the
 * directory of the corpus, how many mutations (100 per cent of PNX_TEST_EFFORT).
 */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define INPUT_MAX 65536
#define CORPUS_MAX 1024

struct input {
    uint8_t *data;
    size_t size;
};

static struct input corpus[CORPUS_MAX], current;
static size_t corpus_count;

/* ---- the corpus ------------------------------------------------------------------------------ */

static void add_file(const char *directory, const char *name)
{
    char path[4096];
    uint8_t buffer[INPUT_MAX];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "rbe");
    promise(file != NULL);
    struct input input = {.size = fread(buffer, 1, sizeof buffer, file)};
    fclose(file);
    input.data = malloc(input.size + 1);
    promise(input.data != NULL && corpus_count < CORPUS_MAX);
    memcpy(input.data, buffer, input.size);
    corpus[corpus_count++] = input;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void read_corpus(const char *directory)
{
    struct dirent **names;
    int count = scandir(directory, &names, is_visible, alphasort);
    promise(count > 0);
    for (int i = 0; i < count; i++) {
        add_file(directory, names[i]->d_name);
        free(names[i]);
    }
    free(names);
}

/* ---- mutations ------------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static size_t below(uint64_t *random, size_t limit)
{
    return limit ? (size_t)(next_random(random) % limit) : 0;
}

/* Copies a piece of some input over a piece of this one, at multiples of `step`. */
static size_t copy_piece(uint8_t *data, size_t size, uint64_t *random, size_t step)
{
    const struct input *other = &corpus[below(random, corpus_count)];
    size_t from = below(random, other->size / step + 1) * step;
    size_t to = below(random, size / step + 1) * step;
    size_t length = step * (1 + below(random, 4));
    if (from + length > other->size || to + length > INPUT_MAX)
        return size;
    memcpy(data + to, other->data + from, length);
    return to + length > size ? to + length : size;
}

static size_t mutate_once(uint8_t *data, size_t size, uint64_t *random)
{
    switch (below(random, 6)) {
    case 0:
        if (size)
            data[below(random, size)] ^= (uint8_t)(1 << below(random, 8));
        return size;
    case 1:
        if (size)
            data[below(random, size)] = (uint8_t)next_random(random);
        return size;
    case 2:
        return below(random, size + 1);
    case 3:
        return copy_piece(data, size, random, 1);
    case 4:
        return copy_piece(data, size, random, 128);
    default: /* zeros */
        if (size) {
            size_t at = below(random, size), length = below(random, 64);
            memset(data + at, 0, at + length > size ? size - at : length);
        }
        return size;
    }
}

static struct input mutation(uint64_t number)
{
    static uint8_t data[INPUT_MAX];
    uint64_t random = (number + 1) * 0x9E3779B97F4A7C15u;
    const struct input *seed = &corpus[below(&random, corpus_count)];
    struct input input = {data, seed->size};
    memcpy(data, seed->data, seed->size);
    for (size_t i = 1 + below(&random, 8); i > 0; i--)
        input.size = mutate_once(data, input.size, &random);
    return input;
}

/* ---- running --------------------------------------------------------------------------------- */

static void keep_input(int number)
{
    static const char says[] = "# the input is in ./broken-input\n";
    int fd = open("broken-input", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0 && write(fd, current.data, current.size) == (ssize_t)current.size)
        (void)!write(STDERR_FILENO, says, sizeof says - 1);
    signal(number, SIG_DFL);
    raise(number);
}

static void run(struct input input)
{
    current = input;
    LLVMFuzzerTestOneInput(input.data, input.size);
}

int main(int argc, char **argv)
{
    promise(argc == 3);
    const char *effort = getenv("PNX_TEST_EFFORT");
    uint64_t mutations = strtoull(argv[2], NULL, 10);
    if (effort)
        mutations = mutations * strtoull(effort, NULL, 10) / 100;
    signal(SIGABRT, keep_input);
    signal(SIGSEGV, keep_input);
    signal(SIGBUS, keep_input);
    read_corpus(argv[1]);
    printf("1..2\n");
    for (size_t i = 0; i < corpus_count; i++)
        run(corpus[i]);
    printf("ok 1 - the corpus keeps all promises, %zu inputs\n", corpus_count);
    for (uint64_t i = 0; i < mutations; i++)
        run(mutation(i));
    printf("ok 2 - so do mutations of it, %llu of them\n", (unsigned long long)mutations);
    for (size_t i = 0; i < corpus_count; i++)
        free(corpus[i].data);
    return 0;
}
