/* SPDX-License-Identifier: MIT */
/* A ledger, read and summed up. */
#include "kind/sys.h"
#include "ledger/file.h"
#include "ledger/identity.h"
#include "ledger/scan.h"

#include <stdlib.h>
#include <string.h>

/* A note, until only the last one of each key is left. */
struct note {
    char *text; /* "key=value" */
    size_t key_length, order;
};

struct builder {
    struct pnx__ledger_resource *things; /* by number, with gaps where `kind` is 0 */
    size_t thing_count, thing_room;
    struct note *notes;
    size_t note_count, note_room;
    uint64_t contradictions; /* entries that a writer of ours cannot have written */
    int64_t last;
    bool closed, no_memory;
};

/* ---- while it is read ------------------------------------------------------------------------ */

static bool make_room(void **array, size_t *room, size_t needed, size_t size)
{
    if (needed <= *room)
        return true;
    size_t more = *room ? *room * 2 : 32;
    while (more < needed)
        more *= 2;
    void *grown = realloc(*array, more * size);
    if (!grown)
        return false;
    memset((char *)grown + *room * size, 0, (more - *room) * size);
    *array = grown;
    *room = more;
    return true;
}

static struct pnx__ledger_resource *thing_of(struct builder *builder,
                                             const struct pnx__ledger_entry *entry)
{
    if (!make_room((void **)&builder->things, &builder->thing_room, entry->resource,
                   sizeof *builder->things)) {
        builder->no_memory = true;
        return NULL;
    }
    if (entry->resource > builder->thing_count)
        builder->thing_count = entry->resource;
    struct pnx__ledger_resource *thing = &builder->things[entry->resource - 1];
    if (thing->kind == 0) {
        thing->number = entry->resource;
        thing->kind = entry->kind;
    }
    return thing;
}

static bool keep_text(struct builder *builder, const char **field, const char *text)
{
    char *copy = strdup(text);
    if (!copy) {
        builder->no_memory = true;
        return false;
    }
    free((char *)*field);
    *field = copy;
    return true;
}

/* False: a contradiction to what came before, or no memory. */
static bool apply(struct builder *builder, const struct pnx__ledger_entry *entry)
{
    struct pnx__ledger_resource *thing = thing_of(builder, entry);
    if (!thing || thing->kind != entry->kind || thing->state == PNX__LEDGER_IS_GONE)
        return false;
    if (entry->event == PNX__LEDGER_INTENT) {
        if (thing->intended || thing->bound)
            return false;
        thing->intended = entry->time;
        return keep_text(builder, &thing->name, entry->text);
    }
    if (entry->event == PNX__LEDGER_BOUND) {
        thing->state = PNX__LEDGER_IS_BOUND;
        thing->bound = entry->time;
        return keep_text(builder, &thing->identity, entry->text);
    }
    thing->state = PNX__LEDGER_IS_GONE;
    thing->gone = entry->time;
    return keep_text(builder, &thing->fate, entry->text);
}

static bool add_note(struct builder *builder, const char *text)
{
    if (!make_room((void **)&builder->notes, &builder->note_room, builder->note_count + 1,
                   sizeof *builder->notes))
        return false;
    char *copy = strdup(text);
    if (!copy)
        return false;
    builder->notes[builder->note_count] =
        (struct note){copy, strcspn(copy, "="), builder->note_count};
    builder->note_count++;
    return true;
}

static bool build(const struct pnx__ledger_entry *entry, void *context)
{
    struct builder *builder = context;
    builder->last = entry->time;
    if (entry->event == PNX__LEDGER_CLOSED)
        builder->closed = true;
    else if (entry->event == PNX__LEDGER_NOTE)
        builder->no_memory = !add_note(builder, entry->text);
    else if (!apply(builder, entry) && !builder->no_memory)
        builder->contradictions++;
    return !builder->no_memory;
}

/* ---- when it has been read ------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
    const struct note *left = a, *right = b;
    size_t shorter = left->key_length < right->key_length ? left->key_length : right->key_length;
    int order = memcmp(left->text, right->text, shorter);
    if (order == 0 && left->key_length != right->key_length)
        order = left->key_length < right->key_length ? -1 : 1;
    return order ? order : (left->order > right->order) - (left->order < right->order);
}

static int by_order(const void *a, const void *b)
{
    const struct note *left = a, *right = b;
    return (left->order > right->order) - (left->order < right->order);
}

static bool same_key(const struct note *a, const struct note *b)
{
    return a->key_length == b->key_length && memcmp(a->text, b->text, a->key_length) == 0;
}

/* The last of each key, where its first one was. */
static void settle_notes(struct builder *builder)
{
    size_t kept = 0;
    if (builder->note_count)
        qsort(builder->notes, builder->note_count, sizeof *builder->notes, by_key);
    for (size_t i = 0; i < builder->note_count; i++) {
        struct note *note = &builder->notes[i], *last = &builder->notes[kept ? kept - 1 : 0];
        if (kept && same_key(last, note)) {
            free(last->text);
            last->text = note->text;
        } else {
            builder->notes[kept++] = *note;
        }
    }
    builder->note_count = kept;
    if (kept)
        qsort(builder->notes, kept, sizeof *builder->notes, by_order);
}

static void settle_things(struct builder *builder)
{
    size_t kept = 0;
    for (size_t i = 0; i < builder->thing_count; i++)
        if (builder->things[i].kind)
            builder->things[kept++] = builder->things[i];
    builder->thing_count = kept;
}

static pnx_status move_notes(struct builder *builder, struct pnx__ledger_view *view)
{
    if (builder->note_count == 0)
        return PNX_OK;
    view->notes = calloc(builder->note_count, sizeof *view->notes);
    if (!view->notes)
        return PNX_ENOMEM;
    for (size_t i = 0; i < builder->note_count; i++) {
        struct note *note = &builder->notes[i];
        note->text[note->key_length] = '\0';
        view->notes[i] =
            (struct pnx__ledger_note_pair){note->text, note->text + note->key_length + 1};
    }
    view->note_count = builder->note_count;
    builder->note_count = 0;
    return PNX_OK;
}

/* On another machine no pid and no path means what it meant there. Who has no id is taken to be the
 * one machine that there is. */
static void place(struct pnx__ledger_view *view, pnx_id machine, pnx_id boot_here)
{
    pnx_id here = pnx__machine_id();
    view->same_boot = pnx_id_equal(view->boot, boot_here);
    view->elsewhere = !view->same_boot && !pnx_id_is_none(machine) && !pnx_id_is_none(here) &&
                      !pnx_id_equal(machine, here);
}

static pnx_status finish(struct builder *builder, const struct pnx__ledger_scan *scan,
                         struct pnx__ledger_view *view, pnx_error *err)
{
    const struct pnx__ledger_header *header = &scan->header;
    pnx_id boot_here = PNX_ID_NONE;
    pnx_status status = pnx__boot_id(&boot_here, err);
    if (status)
        return status;
    view->session = (pnx_id){header->session[0], header->session[1]};
    view->boot = (pnx_id){header->boot[0], header->boot[1]};
    place(view, (pnx_id){header->machine[0], header->machine[1]}, boot_here);
    view->closed = builder->closed;
    view->torn = scan->torn;
    view->damaged = scan->damaged + builder->contradictions;
    view->records = scan->records;
    view->created = header->created;
    view->last = builder->last ? builder->last : header->created;
    settle_notes(builder);
    if (move_notes(builder, view) != PNX_OK)
        return pnx_fail(err, PNX_ENOMEM, "no memory for the notes of a ledger");
    settle_things(builder);
    view->resources = builder->things;
    view->resource_count = builder->thing_count;
    builder->things = NULL;
    builder->thing_count = 0;
    return PNX_OK;
}

static void free_things(struct pnx__ledger_resource *things, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free((char *)things[i].name);
        free((char *)things[i].identity);
        free((char *)things[i].fate);
    }
    free(things);
}

static void builder_done(struct builder *builder)
{
    free_things(builder->things, builder->thing_count);
    for (size_t i = 0; i < builder->note_count; i++)
        free(builder->notes[i].text);
    free(builder->notes);
}

/* ---- the face -------------------------------------------------------------------------------- */

static pnx_status scan_name(int dir_fd, const char *name, pnx__ledger_visit_fn visit, void *context,
                            struct builder *builder, struct pnx__ledger_scan *scan, pnx_error *err)
{
    int fd = -1;
    uint64_t size = 0;
    pnx_status status = pnx__file_open(dir_fd, name, O_RDONLY, &fd, &size, err);
    if (status)
        return status;
    char path[PNX__PATH_SIZE];
    status =
        pnx__ledger_scan(fd, size, pnx__file_path(dir_fd, name, path), visit, context, scan, err);
    if (status == PNX_OK && builder && builder->no_memory)
        status = pnx_fail(err, PNX_ENOMEM, "no memory for the ledger %s", path);
    pnx__close(fd);
    return status;
}

pnx_status pnx__ledger_load(int dir_fd, const char *name, struct pnx__ledger_view **ret,
                            pnx_error *err)
{
    struct builder builder = {0};
    struct pnx__ledger_scan scan;
    struct pnx__ledger_view *view = calloc(1, sizeof *view);
    if (!view)
        return pnx_fail(err, PNX_ENOMEM, "no memory for the ledger %s", name);
    pnx_status status = scan_name(dir_fd, name, build, &builder, &builder, &scan, err);
    if (status == PNX_OK)
        status = finish(&builder, &scan, view, err);
    builder_done(&builder);
    if (status) {
        pnx__ledger_view_free(view);
        return status;
    }
    *ret = view;
    return PNX_OK;
}

void pnx__ledger_view_free(struct pnx__ledger_view *view)
{
    if (!view)
        return;
    free_things(view->resources, view->resource_count);
    for (size_t i = 0; i < view->note_count; i++)
        free((char *)view->notes[i].key);
    free(view->notes);
    free(view);
}

const char *pnx__ledger_view_note(const struct pnx__ledger_view *view, const char *key)
{
    for (size_t i = 0; i < view->note_count; i++)
        if (strcmp(view->notes[i].key, key) == 0)
            return view->notes[i].value;
    return NULL;
}

pnx_status pnx__ledger_each(int dir_fd, const char *name, pnx__ledger_visit_fn visit, void *context,
                            pnx_error *err)
{
    struct pnx__ledger_scan scan;
    return scan_name(dir_fd, name, visit, context, NULL, &scan, err);
}
