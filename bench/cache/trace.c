/* SPDX-License-Identifier: MIT */
#include "cache/trace.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- reading --------------------------------------------------------------------------------- */

/* With this status the child ends that has said itself what is wrong. */
#define TOLD 127

/* gzip(1) takes plain files too with -f; no library is needed for what happens once. */
static FILE *open_trace(const char *path, pid_t *ret_pid)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return NULL;
    *ret_pid = fork();
    if (*ret_pid == 0) {
        const int in = open(path, O_RDONLY | O_CLOEXEC);
        if (in < 0) {
            fprintf(stderr, "cache-replay: %s: %s\n", path, strerror(errno));
            _exit(TOLD);
        }
        if (dup2(in, 0) == 0 && dup2(ends[1], 1) == 1)
            execlp("gzip", "gzip", "-dcf", (char *)NULL);
        fprintf(stderr, "cache-replay: cannot run gzip, which reads traces: %s\n", strerror(errno));
        _exit(TOLD);
    }
    close(ends[1]);
    if (*ret_pid < 0) {
        close(ends[0]);
        return NULL;
    }
    return fdopen(ends[0], "r");
}

static bool grow(void **array, size_t *room, size_t size)
{
    void *larger = realloc(*array, 2 * *room * size);
    if (!larger)
        return false;
    *array = larger;
    *room *= 2;
    return true;
}

/* A line of digits, and nothing else. */
static bool parse_key(const char *line, uint64_t *ret)
{
    char *end;
    if (!isdigit((unsigned char)*line)) /* strtoull would take "-5", too */
        return false;
    errno = 0;
    *ret = strtoull(line, &end, 10);
    return errno == 0 && (*end == '\n' || *end == '\0' || strcmp(end, "\r\n") == 0);
}

/* Says which line is wrong: its beginning, as far as it is text. */
static void tell_wrong(const struct trace *trace, const char *path, const char *line)
{
    int length = 0;
    while (length < 20 && isprint((unsigned char)line[length]))
        length++;
    fprintf(stderr, "cache-replay: %s: line %zu is not an unsigned 64-bit number: \"%.*s\"\n", path,
            trace->count + 1, length, line);
}

static bool read_keys(struct trace *trace, FILE *in, const char *path)
{
    size_t room = 1 << 16;
    char line[64];
    trace->keys = malloc(room * sizeof *trace->keys);
    while (trace->keys && fgets(line, sizeof line, in)) {
        uint64_t key;
        if (!parse_key(line, &key)) {
            tell_wrong(trace, path, line);
            return false;
        }
        if (trace->count == room && !grow((void **)&trace->keys, &room, sizeof *trace->keys))
            break;
        trace->keys[trace->count++] = key;
    }
    if (!trace->keys || !feof(in)) {
        fprintf(stderr, "cache-replay: %s: no memory, or it could not be read\n", path);
        return false;
    }
    return true;
}

static bool number(struct trace *trace)
{
    size_t slots = 1024;
    while (slots < 2 * trace->count)
        slots *= 2;
    uint32_t *index = calloc(slots, sizeof *index);
    uint64_t *known = malloc((trace->count + 1) * sizeof *known);
    trace->ids = malloc((trace->count + 1) * sizeof *trace->ids);
    if (index && known && trace->ids)
        for (size_t i = 0; i < trace->count; i++) {
            /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): read above */
            size_t at = (trace->keys[i] * UINT64_C(0x9e3779b97f4a7c15)) >> 20 & (slots - 1);
            while (index[at] != 0 && known[index[at] - 1] != trace->keys[i])
                at = (at + 1) & (slots - 1);
            if (index[at] == 0) {
                known[trace->distinct++] = trace->keys[i];
                index[at] = trace->distinct;
            }
            trace->ids[i] = index[at] - 1;
        }
    const bool done = index && known && trace->ids;
    free(index);
    free(known);
    return done;
}

bool trace_read(struct trace *trace, const char *path)
{
    pid_t child;
    int status = 0;
    *trace = (struct trace){0};
    FILE *in = open_trace(path, &child);
    if (!in) {
        fprintf(stderr, "cache-replay: %s: %s\n", path, strerror(errno));
        return false;
    }
    bool done = read_keys(trace, in, path);
    fclose(in);
    waitpid(child, &status, 0);
    if (done && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
        if (!WIFEXITED(status) || WEXITSTATUS(status) != TOLD)
            fprintf(stderr, "cache-replay: %s: gzip -dcf could not read it\n", path);
        done = false;
    }
    if (done && trace->count == 0) {
        fprintf(stderr, "cache-replay: %s: there is no request in it\n", path);
        done = false;
    }
    if (done && !number(trace)) {
        fprintf(stderr, "cache-replay: %s: no memory\n", path);
        done = false;
    }
    if (!done)
        trace_free(trace);
    return done;
}

void trace_free(struct trace *trace)
{
    free(trace->keys);
    free(trace->ids);
    *trace = (struct trace){0};
}

static void *need(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    if (!memory) {
        fputs("cache-replay: no memory\n", stderr);
        exit(1);
    }
    return memory;
}

/* ---- OPT ------------------------------------------------------------------------------------- */

/* A heap of what is cached, the latest next use on top; entries that are out of date are skipped.
 * */
struct heap {
    size_t count;
    struct use {
        size_t next;
        uint32_t id;
    } * uses;
};

static void heap_push(struct heap *heap, struct use use)
{
    size_t at = heap->count++;
    for (; at > 0 && heap->uses[(at - 1) / 2].next < use.next; at = (at - 1) / 2)
        heap->uses[at] = heap->uses[(at - 1) / 2];
    heap->uses[at] = use;
}

static void heap_pop(struct heap *heap)
{
    const struct use last = heap->uses[--heap->count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < heap->count; at = child) {
        if (child + 1 < heap->count && heap->uses[child + 1].next > heap->uses[child].next)
            child++;
        if (heap->uses[child].next <= last.next)
            break;
        heap->uses[at] = heap->uses[child];
    }
    heap->uses[at] = last;
}

size_t trace_opt(const struct trace *trace, size_t size)
{
    size_t *next = need(trace->count, sizeof *next);  /* request: when its key comes again */
    size_t *due = need(trace->distinct, sizeof *due); /* id: its next use */
    bool *cached = need(trace->distinct, sizeof *cached);
    struct heap heap = {0, need(trace->count + 1, sizeof *heap.uses)};
    size_t hits = 0, held = 0;
    for (uint32_t i = 0; i < trace->distinct; i++)
        due[i] = SIZE_MAX;
    for (size_t i = trace->count; i-- > 0;) {
        next[i] = due[trace->ids[i]];
        due[trace->ids[i]] = i;
    }
    for (size_t i = 0; i < trace->count; i++) {
        const uint32_t id = trace->ids[i];
        due[id] = next[i];
        if (cached[id]) {
            hits++;
            heap_push(&heap, (struct use){next[i], id});
            continue;
        }
        if (next[i] == SIZE_MAX || size == 0)
            continue;
        while (heap.count > 0 &&
               (!cached[heap.uses[0].id] || due[heap.uses[0].id] != heap.uses[0].next))
            heap_pop(&heap);
        if (held == size) {
            if (heap.uses[0].next <= next[i])
                continue;
            cached[heap.uses[0].id] = false;
            heap_pop(&heap);
            held--;
        }
        cached[id] = true;
        held++;
        heap_push(&heap, (struct use){next[i], id});
    }
    free(next);
    free(due);
    free(cached);
    free(heap.uses);
    return hits;
}

/* ---- ARC ------------------------------------------------------------------------------------- */

enum { NOWHERE, T1, T2, B1, B2, LISTS };

struct arc {
    struct link {
        uint32_t newer, older;
        uint8_t list;
    } * links; /* by id; the heads of the lists come behind */
    uint32_t heads;
    size_t count[LISTS], size;
    double target; /* of T1 */
};

static void arc_unlink(struct arc *arc, uint32_t id)
{
    struct link *link = &arc->links[id];
    arc->links[link->newer].older = link->older;
    arc->links[link->older].newer = link->newer;
    arc->count[link->list]--;
    link->list = NOWHERE;
}

static void arc_push(struct arc *arc, uint32_t id, uint8_t list)
{
    const uint32_t head = arc->heads + list;
    if (arc->links[id].list != NOWHERE)
        arc_unlink(arc, id);
    arc->links[id] = (struct link){head, arc->links[head].older, list};
    arc->links[arc->links[head].older].newer = id;
    arc->links[head].older = id;
    arc->count[list]++;
}

static uint32_t arc_oldest(const struct arc *arc, uint8_t list)
{
    return arc->links[arc->heads + list].newer;
}

static void arc_replace(struct arc *arc, bool in_b2)
{
    const double t1 = (double)arc->count[T1];
    if (arc->count[T1] > 0 && (t1 > arc->target || (in_b2 && t1 == arc->target)))
        arc_push(arc, arc_oldest(arc, T1), B1);
    else
        arc_push(arc, arc_oldest(arc, T2), B2);
}

/* The paper's figure 4, case by case. */
static bool arc_access(struct arc *arc, uint32_t id)
{
    const double b1 = (double)arc->count[B1], b2 = (double)arc->count[B2];
    const double size = (double)arc->size;
    switch (arc->links[id].list) {
    case T1:
    case T2:
        arc_push(arc, id, T2);
        return true;
    case B1:
        arc->target += b2 > b1 ? b2 / b1 : 1;
        arc->target = arc->target > size ? size : arc->target;
        arc_replace(arc, false);
        arc_push(arc, id, T2);
        return false;
    case B2:
        arc->target -= b1 > b2 ? b1 / b2 : 1;
        arc->target = arc->target < 0 ? 0 : arc->target;
        arc_replace(arc, true);
        arc_push(arc, id, T2);
        return false;
    default:
        break;
    }
    const size_t first = arc->count[T1] + arc->count[B1];
    if (first == arc->size) {
        if (arc->count[T1] < arc->size) {
            arc_unlink(arc, arc_oldest(arc, B1));
            arc_replace(arc, false);
        } else {
            arc_unlink(arc, arc_oldest(arc, T1));
        }
    } else {
        const size_t all = first + arc->count[T2] + arc->count[B2];
        if (all >= arc->size) {
            if (all == 2 * arc->size)
                arc_unlink(arc, arc_oldest(arc, B2));
            arc_replace(arc, false);
        }
    }
    arc_push(arc, id, T1);
    return false;
}

size_t trace_arc(const struct trace *trace, size_t size)
{
    struct arc arc = {.heads = trace->distinct, .size = size};
    size_t hits = 0;
    arc.links = need(trace->distinct + LISTS, sizeof *arc.links);
    for (uint32_t i = 0; i < LISTS; i++)
        arc.links[arc.heads + i].newer = arc.links[arc.heads + i].older = arc.heads + i;
    for (size_t i = 0; i < trace->count && size > 0; i++)
        hits += arc_access(&arc, trace->ids[i]);
    free(arc.links);
    return hits;
}
