/* SPDX-License-Identifier: MIT */
#include "track/evidence.h"

#include "kind/hash.h"
#include "kind/sys.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Open addressing over what was seen: a million names fit, and what does not is not proved. */
#define SIGHTINGS_MAX (1u << 20)

struct pnx__sighting {
    char what;  /* lower-case: by a member; upper-case: by a stranger */
    char *text; /* NULL: a free slot */
};

static bool is_same_sort(char a, char b)
{
    return (a | 0x20) == (b | 0x20);
}

static size_t hash_of(char what, const char *text)
{
    uint64_t hash = pnx__hash_number(PNX__HASH_START, (unsigned char)(what | 0x20));
    hash = pnx__hash_text(hash, text);
    return (size_t)(hash ^ hash >> 32);
}

static struct pnx__sighting *slot_of(const struct pnx__evidence *evidence, char what,
                                     const char *text)
{
    size_t at = hash_of(what, text) & (evidence->sighting_room - 1);
    while (evidence->sightings[at].text && !(is_same_sort(evidence->sightings[at].what, what) &&
                                             strcmp(evidence->sightings[at].text, text) == 0))
        at = (at + 1) & (evidence->sighting_room - 1);
    return &evidence->sightings[at];
}

static bool grow(struct pnx__evidence *evidence)
{
    struct pnx__evidence grown = {0};
    grown.sighting_room = evidence->sighting_room ? 2 * evidence->sighting_room : 64;
    if (grown.sighting_room > 2 * SIGHTINGS_MAX)
        return false;
    grown.sightings = calloc(grown.sighting_room, sizeof *grown.sightings);
    if (!grown.sightings)
        return false;
    for (size_t i = 0; i < evidence->sighting_room; i++)
        if (evidence->sightings[i].text)
            *slot_of(&grown, evidence->sightings[i].what, evidence->sightings[i].text) =
                evidence->sightings[i];
    free(evidence->sightings);
    evidence->sightings = grown.sightings;
    evidence->sighting_room = grown.sighting_room;
    return true;
}

static void note_sighting(struct pnx__evidence *evidence, char what, const char *text)
{
    if (2 * (evidence->sighting_count + 1) > evidence->sighting_room && !grow(evidence)) {
        snprintf(evidence->lost, sizeof evidence->lost, "more was made than can be remembered");
        return;
    }
    struct pnx__sighting *slot = slot_of(evidence, what, text);
    if (!slot->text) {
        if (what >= 'A' && what <= 'Z') /* of strangers only what contradicts is of interest */
            return;
        slot->text = strdup(text);
        if (!slot->text)
            return;
        evidence->sighting_count++;
    }
    slot->what = what;
}

/* Where things would be seen, and what was missed, is true all the same. */
static void forget(struct pnx__evidence *evidence)
{
    struct pnx__evidence kept = {.tracked = evidence->tracked};
    memcpy(kept.lost, evidence->lost, sizeof kept.lost);
    for (size_t i = 0; i < evidence->sighting_room; i++) {
        const struct pnx__sighting *seen = &evidence->sightings[i];
        if (seen->text && seen->what == 'p')
            note_sighting(&kept, 'p', seen->text);
    }
    pnx__evidence_done(evidence);
    *evidence = kept;
}

static void take(struct pnx__evidence *evidence, char what, const char *text)
{
    switch (what) {
    case '0':
        forget(evidence);
        return;
    case '+':
        (void)pnx__members_add(&evidence->members, (pid_t)strtol(text, NULL, 10));
        return;
    case '-':
        pnx__members_remove(&evidence->members, (pid_t)strtol(text, NULL, 10));
        return;
    case '!':
        snprintf(evidence->lost, sizeof evidence->lost, "%s", text);
        return;
    case 'c':
    case 'C':
    case 'w':
    case 'W':
    case 'm':
    case 'p':
        note_sighting(evidence, what, text);
        return;
    default:
        return; /* of a later version */
    }
}

pnx_status pnx__evidence_load(int fd, struct pnx__evidence *ret, pnx_error *err)
{
    char buffer[16384];
    size_t kept = 0;
    off_t offset = 0;
    *ret = (struct pnx__evidence){0};
    for (;;) {
        ssize_t got = pread(fd, buffer + kept, sizeof buffer - kept, offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return pnx_fail(err, PNX_EFAILED, "cannot read what was tracked: %m");
        if (got == 0)
            return PNX_OK;
        ret->tracked = true;
        offset += got;
        size_t filled = kept + (size_t)got, begin = 0;
        char *end;
        while ((end = memchr(buffer + begin, '\0', filled - begin))) {
            take(ret, buffer[begin], buffer + begin + 1);
            begin = (size_t)(end - buffer) + 1;
        }
        kept = filled - begin;
        memmove(buffer, buffer + begin, kept);
        if (kept == sizeof buffer) /* no record is as long as that: it is not ours */
            return pnx_fail(err, PNX_EFAILED, "what was tracked is damaged");
    }
}

void pnx__evidence_done(struct pnx__evidence *evidence)
{
    for (size_t i = 0; i < evidence->sighting_room; i++)
        free(evidence->sightings[i].text);
    free(evidence->sightings);
    pnx__members_done(&evidence->members);
    *evidence = (struct pnx__evidence){0};
}

bool pnx__evidence_has(const struct pnx__evidence *evidence, pid_t pid)
{
    return pnx__members_has(&evidence->members, pid);
}

bool pnx__evidence_saw(const struct pnx__evidence *evidence, char what, const char *text)
{
    if (evidence->sighting_room == 0)
        return false;
    const struct pnx__sighting *slot = slot_of(evidence, what, text);
    return slot->text && slot->what == what;
}

bool pnx__evidence_would_see(const struct pnx__evidence *evidence, const char *path)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!slash || !evidence->tracked || evidence->lost[0])
        return false;
    int length = snprintf(dir, sizeof dir, "%.*s", (int)(slash - path), path);
    return length < (int)sizeof dir && pnx__evidence_saw(evidence, 'p', dir);
}
