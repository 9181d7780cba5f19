/* SPDX-License-Identifier: MIT */
/*
 * A creation that failed in the engine may have left something or nothing: a look by its mark
 * tells. Without it whoever sweeps would have to wait for what will never come.
 */
#include "proxy/connection.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE PNX_S(10)

struct doubt {
    uv_work_t work;
    struct pnx__proxy *proxy;
    pnx_object_type type;
    uint32_t token;
    char mark[PNX_ID_TEXT_SIZE];
    bool nothing;
};

static void look(uv_work_t *work)
{
    struct doubt *doubt = work->data;
    const pnx_call call = pnx_call_within(PATIENCE);
    char label[sizeof PNX_LABEL_ID + 1 + PNX_ID_TEXT_SIZE];
    json_t *list = NULL;
    snprintf(label, sizeof label, PNX_LABEL_ID "=%s", doubt->mark);
    const char *const labels[] = {label, NULL};
    doubt->nothing =
        pnx_engine_list(doubt->proxy->engine, doubt->type, labels, &call, &list, NULL) == PNX_OK &&
        json_array_size(list) == 0;
    json_decref(list);
}

static void looked(uv_work_t *work, int status)
{
    struct doubt *doubt = work->data;
    pnx_error err = {0};
    if (status == 0 && doubt->nothing &&
        pnx__record_gone(doubt->proxy->record, doubt->token, "failed, and left nothing", &err) !=
            PNX_OK)
        pnx__tell_message(doubt->proxy->tell, "cannot write down what became of a %s: %s",
                          pnx_object_type_name(doubt->type), err.message);
    free(doubt);
}

void pnx__creation_doubt(struct pnx__connection *connection)
{
    const struct pnx__creation *creation = &connection->creation;
    struct doubt *doubt = connection->route.pod ? NULL : calloc(1, sizeof *doubt);
    if (!doubt) /* then the intent stays */
        return;
    doubt->proxy = connection->proxy;
    doubt->type = connection->route.type;
    doubt->token = creation->token;
    memcpy(doubt->mark, creation->mark, sizeof doubt->mark);
    doubt->work.data = doubt;
    (void)uv_queue_work(connection->proxy->loop, &doubt->work, look, looked);
}
