/* SPDX-License-Identifier: MIT */
/*
 * What survives us: the session's directory with its ledger, and who keeps it up to date. Nothing
 * that the session makes exists before its intent is written; what survives a reboot, not before
 * the intent is on disk.
 */
#include "session/session.h"

#include "kind/sys.h"
#include "kind/thing.h"
#include "ledger/identity.h"
#include "ledger/state.h"

#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* ---- notes ----------------------------------------------------------------------------------- */

/* "a b", "c\nd": arguments one a line, newlines and backslashes in them escaped. */
char *pnx__words_encode(const char *const *words)
{
    size_t size = 1;
    for (size_t i = 0; words[i]; i++)
        size += 2 * strlen(words[i]) + 1;
    char *text = malloc(size), *to = text;
    if (!text)
        return NULL;
    for (size_t i = 0; words[i]; i++) {
        if (i > 0)
            *to++ = '\n';
        for (const char *from = words[i]; *from; from++) {
            if (*from == '\n' || *from == '\\')
                *to++ = '\\';
            *to++ = *from == '\n' ? 'n' : *from;
        }
    }
    *to = '\0';
    return text;
}

char **pnx__words_decode(const char *text)
{
    size_t count = 1;
    for (const char *at = text; *at; at++)
        count += *at == '\n';
    char **words = calloc(count + 1, sizeof *words);
    for (size_t i = 0; words && i < count; i++) {
        size_t length = strcspn(text, "\n");
        char *to = words[i] = malloc(length + 1);
        if (!to)
            break;
        for (const char *end = text + length; text < end; text++) {
            bool escaped = *text == '\\' && text + 1 < end;
            text += escaped;
            *to++ = (char)(escaped && *text == 'n' ? '\n' : *text);
        }
        *to = '\0';
        text++;
    }
    return words;
}

pnx_status pnx__session_note_number(pnx_session *session, const char *key, int64_t value,
                                    pnx_error *err)
{
    char text[24];
    if (!session->ledger)
        return PNX_OK;
    snprintf(text, sizeof text, "%" PRId64, value);
    return pnx__ledger_note(session->ledger, key, text, err);
}

static pnx_status note_words(pnx_session *session, const char *key, const char *const *words,
                             pnx_error *err)
{
    char *text = pnx__words_encode(words);
    pnx_status status = text ? pnx__ledger_note(session->ledger, key, text, err)
                             : pnx_fail(err, PNX_ENOMEM, "no memory for the ledger");
    free(text);
    return status;
}

pnx_status pnx__session_note_command(pnx_session *session, pnx_error *err)
{
    if (!session->ledger)
        return PNX_OK;
    pnx_status status = note_words(session, "command", (const char *const *)session->command, err);
    if (status == PNX_ELIMIT) { /* its first word must do */
        const char *first[] = {session->command[0], NULL};
        status = note_words(session, "command", first, err);
    }
    if (status == PNX_OK)
        status = pnx__ledger_note(session->ledger, "name", session->config.name, err);
    if (status == PNX_OK)
        status = pnx__session_note_number(session, "started", session->started, err);
    return status;
}

void pnx__session_mounts_id(char ret[PNX__MOUNTS_ID_SIZE])
{
    struct stat about;
    *ret = '\0';
    if (stat("/proc/self/ns/mnt", &about) == 0)
        snprintf(ret, PNX__MOUNTS_ID_SIZE, "%" PRIx64 ":%" PRIu64, (uint64_t)about.st_dev,
                 (uint64_t)about.st_ino);
}

static pnx_status note_who(pnx_session *session, pnx_error *err)
{
    struct pnx__identity self;
    char text[PNX__IDENTITY_TEXT_SIZE], mounts[PNX__MOUNTS_ID_SIZE];
    pnx_status status = pnx__identity_self(&self, err);
    if (status == PNX_OK)
        status =
            pnx__ledger_note(session->ledger, "supervisor", pnx__identity_format(&self, text), err);
    pnx__session_mounts_id(mounts);
    if (status == PNX_OK)
        status = pnx__ledger_note(session->ledger, PNX__NOTE_MOUNTS, mounts, err);
    if (status == PNX_OK)
        status = pnx__session_note_number(session, "grace", session->config.grace, err);
    if (status == PNX_OK)
        status = pnx__session_note_number(session, "patience", session->config.patience, err);
    if (status == PNX_OK)
        status = pnx__session_note_number(session, "keep", session->config.keep, err);
    if (status == PNX_OK && session->config.name)
        status = pnx__ledger_note(session->ledger, "name", session->config.name, err);
    if (status == PNX_OK && session->config.reports)
        status = note_words(session, "reports", session->config.reports, err);
    return status;
}

/* ---- the ledger ------------------------------------------------------------------------------ */

pnx_status pnx__session_record(pnx_session *session, pnx_error *err)
{
    pnx_status status;
    if ((status = pnx__state_open(&session->state_fd, session->state_path,
                                  sizeof session->state_path, err)) ||
        (status =
             pnx__state_session_create(session->state_fd, session->id, &session->record_fd, err)))
        return status;
    session->recorded = true;
    status = pnx__ledger_create(session->record_fd, PNX__STATE_LEDGER, session->id,
                                &session->ledger, err);
    return status == PNX_OK ? note_who(session, err) : status;
}

void pnx__session_unrecord(pnx_session *session)
{
    pnx__ledger_close(session->ledger);
    session->ledger = NULL;
    pnx__close(session->record_fd);
    session->record_fd = -1;
    if (session->recorded)
        (void)!pnx__state_session_remove(session->state_fd, session->id, NULL);
    session->recorded = false;
}

/* Memory does not outlive the machine's being switched off. */
static bool is_volatile(const char *path)
{
    struct statfs about;
    return statfs(path, &about) == 0 &&
           (about.f_type == TMPFS_MAGIC || about.f_type == RAMFS_MAGIC);
}

pnx_status pnx__session_intend_path(pnx_session *session, uint16_t code, const char *place,
                                    const char *path, uint32_t *ret, pnx_error *err)
{
    if (!session->ledger)
        return PNX_OK;
    bool durable = code == PNX__CODE_TEMPDIR && !is_volatile(place);
    return pnx__ledger_intend(session->ledger, code, path, durable, ret, err);
}

pnx_status pnx__session_bind(pnx_session *session, uint32_t resource, const char *identity,
                             pnx_error *err)
{
    if (!session->ledger || resource == 0)
        return PNX_OK;
    return pnx__ledger_bind(session->ledger, resource, identity, false, err);
}

void pnx__session_gone(pnx_session *session, uint32_t resource, const pnx_outcome *outcome)
{
    if (session->ledger && resource != 0 && outcome->verified)
        (void)!pnx__ledger_gone(session->ledger, resource, pnx_fate_name(outcome->fate), NULL);
}

/* ---- what users of the library make in the session ------------------------------------------- */

static pnx_status keeper_intend(void *context, const pnx_thing_kind *kind, const char *name,
                                uint32_t *ret_token, pnx_error *err)
{
    pnx_session *session = context;
    pthread_mutex_lock(&session->things_lock);
    struct pnx__session_thing *thing = pnx__session_add_thing(session, kind, name, "");
    pnx_status status = thing ? PNX_OK : pnx_fail(err, PNX_ENOMEM, "no memory for the session");
    if (status == PNX_OK && session->closed)
        status = pnx_fail(err, PNX_ESHUTDOWN, "the session is closed");
    if (status == PNX_OK)
        status = pnx__ledger_intend(session->ledger, kind->code, name, kind->survives_reboot,
                                    &thing->resource, err);
    if (thing && status == PNX_OK) {
        thing->origin = PNX_ORIGIN_MADE;
        thing->ours = thing->intended = true;
        *ret_token = thing->resource;
    } else if (thing) {
        pnx__session_drop_thing(session, thing);
    }
    pthread_mutex_unlock(&session->things_lock);
    return status;
}

static struct pnx__session_thing *thing_of(pnx_session *session, uint32_t resource)
{
    for (size_t i = 0; i < session->thing_count; i++)
        if (session->things[i].resource == resource)
            return &session->things[i];
    return NULL;
}

static pnx_status keeper_bind(void *context, uint32_t token, const char *identity, pnx_error *err)
{
    pnx_session *session = context;
    pthread_mutex_lock(&session->things_lock);
    struct pnx__session_thing *thing = thing_of(session, token);
    char *copy = strdup(identity);
    pnx_status status = copy && thing
                            ? pnx__ledger_bind(session->ledger, token, identity, false, err)
                            : pnx_fail(err, PNX_ENOMEM, "no memory for the session");
    if (thing && status == PNX_OK) {
        free(thing->identity);
        thing->identity = copy;
        thing->intended = false;
        copy = NULL;
    }
    pthread_mutex_unlock(&session->things_lock);
    free(copy);
    return status;
}

static void keeper_gone(void *context, uint32_t token, const pnx_outcome *outcome)
{
    pnx_session *session = context;
    pthread_mutex_lock(&session->things_lock);
    struct pnx__session_thing *thing = thing_of(session, token);
    if (thing) {
        thing->outcome = *outcome;
        thing->removed = pnx__now_since_1970();
        pnx__session_gone(session, token, outcome);
    }
    pthread_mutex_unlock(&session->things_lock);
}

pnx_keeper pnx_session_keeper(pnx_session *session)
{
    return (pnx_keeper){session, keeper_intend, keeper_bind, keeper_gone};
}
