/* SPDX-License-Identifier: MIT */
#include "proxy/record.h"

#include "kind/thing.h"
#include "ledger/ledger.h"

#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A name that is longer is cut: things are found by their mark. */
#define NAME_MAX_KEPT 255

struct pnx__record {
    pnx__ledger *ledger;
};

static const uint16_t codes[PNX_OBJECT_TYPE_COUNT] = {
    [PNX_CONTAINER] = PNX__CODE_CONTAINER,
    [PNX_NETWORK] = PNX__CODE_NETWORK,
    [PNX_VOLUME] = PNX__CODE_VOLUME,
    [PNX_IMAGE] = PNX__CODE_IMAGE,
};

/* ---- opening --------------------------------------------------------------------------------- */

static pnx_status check_session(int dir, const char *name, pnx_id id, pnx_error *err)
{
    struct pnx__ledger_view *view;
    pnx_status status = pnx__ledger_load(dir, name, &view, err);
    if (status != PNX_OK)
        return status;
    bool same = pnx_id_compare(view->session, id) == 0;
    pnx__ledger_view_free(view);
    return same ? PNX_OK : pnx_fail(err, PNX_EINVAL, "the ledger %s is another session's", name);
}

static pnx_status open_in(int dir, const char *name, pnx_id id, pnx__ledger **ret, pnx_error *err)
{
    if (faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        return pnx__ledger_create(dir, name, id, ret, err);
    pnx_status status = check_session(dir, name, id, err);
    return status == PNX_OK ? pnx__ledger_open(dir, name, ret, err) : status;
}

pnx_status pnx__record_open(const char *path, const char *session, struct pnx__record **ret,
                            pnx_error *err)
{
    pnx_id id;
    pnx_status status = pnx_id_parse(session, &id, err);
    char *parent = strdup(path), *file = strdup(path);
    struct pnx__record *record = calloc(1, sizeof *record);
    int dir = -1;
    if (status == PNX_OK && (!parent || !file || !record))
        status = pnx_fail(err, PNX_ENOMEM, "no memory for the ledger %s", path);
    if (status == PNX_OK) {
        dir = open(dirname(parent), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        status = dir < 0 ? pnx_fail(err, PNX_EFAILED, "cannot open the directory of %s: %m", path)
                         : open_in(dir, basename(file), id, &record->ledger, err);
    }
    if (dir >= 0)
        close(dir);
    free(parent);
    free(file);
    if (status != PNX_OK) {
        free(record);
        return status;
    }
    *ret = record;
    return PNX_OK;
}

void pnx__record_close(struct pnx__record *record)
{
    if (record)
        pnx__ledger_close(record->ledger);
    free(record);
}

/* ---- writing --------------------------------------------------------------------------------- */

pnx_status pnx__record_intend(struct pnx__record *record, pnx_object_type type, const char *mark,
                              const char *name, uint32_t *ret_token, pnx_error *err)
{
    char text[PNX_ID_TEXT_SIZE + 1 + NAME_MAX_KEPT + 1];
    *ret_token = 0;
    if (!record)
        return PNX_OK;
    snprintf(text, sizeof text, "%.36s%s%.*s", mark, *name ? " " : "", NAME_MAX_KEPT, name);
    return pnx__ledger_intend(record->ledger, codes[type], text, true, ret_token, err);
}

pnx_status pnx__record_bind(struct pnx__record *record, uint32_t token, const char *id,
                            pnx_error *err)
{
    /* Not durable: after a power cut the intent is there, and by its mark the thing is found. */
    return record ? pnx__ledger_bind(record->ledger, token, id, false, err) : PNX_OK;
}

pnx_status pnx__record_gone(struct pnx__record *record, uint32_t token, const char *fate,
                            pnx_error *err)
{
    return record ? pnx__ledger_gone(record->ledger, token, fate, err) : PNX_OK;
}
