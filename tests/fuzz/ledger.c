/* SPDX-License-Identifier: MIT */
/*
 * The reader of ledgers, and whoever goes on with one. The first byte of an input says what is
 * repaired before it is read, because no fuzzer guesses a CRC: 1 the header, 2 the CRCs of the
 * records, 4 their sequence. The rest is the file.
 */
#include "fuzz.h"

#include "ledger/format.h"
#include "ledger/ledger.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX 32768
enum { REPAIR_HEADER = 1, REPAIR_CRC = 2, REPAIR_SEQUENCE = 4 };

/* ---- the file -------------------------------------------------------------------------------- */

static char place[] = "/dev/shm/fuzz-ledger-XXXXXX";
static int dir = -1;

static void leave(void)
{
    unlinkat(dir, "ledger", 0);
    rmdir(place);
}

static void open_place(void)
{
    if (dir >= 0)
        return;
    promise(mkdtemp(place) != NULL);
    dir = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    promise(dir >= 0);
    atexit(leave);
}

static void repair(char *file, size_t size, unsigned what)
{
    struct pnx__ledger_header *header = (void *)file;
    if (size < sizeof *header)
        return;
    if (what & REPAIR_HEADER) {
        memcpy(header->magic, PNX__LEDGER_MAGIC, sizeof header->magic);
        header->version = PNX__LEDGER_VERSION;
        header->slot_size = PNX__LEDGER_SLOT;
        header->crc = pnx__ledger_header_crc(header);
    }
    for (size_t at = sizeof *header; at + PNX__LEDGER_SLOT <= size; at += PNX__LEDGER_SLOT) {
        struct pnx__ledger_record *record = (void *)(file + at);
        if (record->crc == 0)
            continue;
        if (what & REPAIR_SEQUENCE)
            record->sequence = (uint32_t)(at / PNX__LEDGER_SLOT);
        if (what & REPAIR_CRC)
            record->crc = pnx__ledger_record_crc(header->crc, record);
    }
}

static void write_file(const uint8_t *data, size_t size)
{
    _Alignas(8) static char file[FILE_MAX];
    size_t length = size - 1 < sizeof file ? size - 1 : sizeof file;
    memcpy(file, data + 1, length);
    repair(file, length, data[0]);
    int fd = openat(dir, "ledger", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    promise(fd >= 0);
    promise(write(fd, file, length) == (ssize_t)length);
    close(fd);
}

/* ---- what is promised ------------------------------------------------------------------------ */

static void check_resource(const struct pnx__ledger_resource *resource)
{
    promise(resource->kind != 0 && resource->number != 0);
    promise((resource->state == PNX__LEDGER_IS_GONE) == (resource->fate != NULL));
    promise(resource->state != PNX__LEDGER_IS_BOUND || resource->identity);
    promise(resource->state != PNX__LEDGER_INTENDED || resource->name);
    const char *const texts[] = {resource->name, resource->identity, resource->fate};
    for (unsigned i = 0; i < 3; i++)
        promise(!texts[i] || strlen(texts[i]) <= PNX__LEDGER_TEXT_MAX);
}

static void check_view(const struct pnx__ledger_view *view)
{
    promise(view->records <= FILE_MAX / PNX__LEDGER_SLOT + 1024);
    for (size_t i = 0; i < view->resource_count; i++) {
        check_resource(&view->resources[i]);
        promise(i == 0 || view->resources[i - 1].number < view->resources[i].number);
    }
    for (size_t i = 0; i < view->note_count; i++) {
        promise(view->notes[i].key[0] && !strchr(view->notes[i].key, '='));
        promise(pnx__ledger_view_note(view, view->notes[i].key) == view->notes[i].value);
    }
}

static bool count_records(const struct pnx__ledger_entry *entry, void *context)
{
    *(uint64_t *)context += pnx__ledger_parts(strlen(entry->text));
    promise((entry->event <= PNX__LEDGER_GONE) == (entry->resource != 0));
    return true;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* All that was there before somebody went on with it still is. */
static void check_kept(const struct pnx__ledger_view *before, const struct pnx__ledger_view *after)
{
    promise(!after->torn);
    promise(after->resource_count == before->resource_count + 1);
    for (size_t i = 0; i < before->resource_count; i++) {
        const struct pnx__ledger_resource *old = &before->resources[i], *new = &after->resources[i];
        promise(old->number == new->number && old->kind == new->kind);
        promise(old->state == new->state);
        promise(same_text(old->name, new->name) && same_text(old->identity, new->identity) &&
                same_text(old->fate, new->fate));
    }
    for (size_t i = 0; i < before->note_count; i++)
        promise(
            same_text(before->notes[i].value, pnx__ledger_view_note(after, before->notes[i].key)) ||
            strcmp(before->notes[i].key, "adopted") == 0);
}

static void go_on(const struct pnx__ledger_view *before)
{
    pnx__ledger *ledger = NULL;
    pnx_error err = {0};
    uint32_t resource = 0;
    pnx_status status = pnx__ledger_open(dir, "ledger", &ledger, &err);
    promise(before->closed == (status == PNX_EALREADY));
    if (status)
        return;
    promise(pnx__ledger_note(ledger, "adopted", "yes", &err) == PNX_OK);
    promise(pnx__ledger_intend(ledger, 7, "new", false, &resource, &err) == PNX_OK);
    promise(pnx__ledger_bind(ledger, resource, "bound", false, &err) == PNX_OK);
    pnx__ledger_close(ledger);
    struct pnx__ledger_view *after = NULL;
    promise(pnx__ledger_load(dir, "ledger", &after, &err) == PNX_OK);
    check_view(after);
    check_kept(before, after);
    promise(same_text(pnx__ledger_view_note(after, "adopted"), "yes"));
    promise(after->resources[after->resource_count - 1].number == resource);
    pnx__ledger_view_free(after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    open_place();
    write_file(data, size);
    struct pnx__ledger_view *view = NULL;
    pnx_error err = {0};
    uint64_t records = 0;
    pnx_status status = pnx__ledger_load(dir, "ledger", &view, &err);
    promise((status == PNX_OK) == (view != NULL));
    promise(pnx__ledger_each(dir, "ledger", count_records, &records, NULL) == status);
    if (status) {
        promise(strstr(err.message, "ledger"));
        return 0;
    }
    promise(records == view->records);
    check_view(view);
    go_on(view);
    pnx__ledger_view_free(view);
    return 0;
}
