/* SPDX-License-Identifier: MIT */
/** @file route.h  What a request asks an engine to do, as far as that matters here. */
#ifndef CLEANROOM_PROXY_ROUTE_H
#define CLEANROOM_PROXY_ROUTE_H

#include "proxy/bytes.h"

#include <cleanroom/docker.h>
#include <http_parser.h>

enum pnx__route_what {
    PNX__ROUTE_OTHER,  /* nothing that matters */
    PNX__ROUTE_CREATE, /* labels are put into its JSON body */
    PNX__ROUTE_BUILD,  /* … into the parameter "labels" */
    PNX__ROUTE_CHANGE, /* … into parameters "changes", as lines of a Dockerfile */
    PNX__ROUTE_LOAD,   /* images that cannot be labelled */
    PNX__ROUTE_UNSEEN, /* makes things that cannot be labelled; `subject` says what */
    PNX__ROUTE_LIST,   /* has a parameter "filters" */
    PNX__ROUTE_PRUNE,  /* likewise */
    PNX__ROUTE_PURGE,  /* prunes what has no labels */
    PNX__ROUTE_LOOK,   /* reads one thing, or uses it; `subject` is its id or name */
    PNX__ROUTE_HARM,   /* removes, ends or changes it */
};

struct pnx__route {
    enum pnx__route_what what;
    pnx_object_type type;
    bool pod;                  /* a pod of Podman, which counts as a container */
    bool libpod;               /* Podman's own API */
    bool hijack;               /* may be answered by a raw stream without an upgrade */
    const char *field;         /* CREATE: where the labels are in the body */
    const char *identity;      /* CREATE: where the id is in the answer */
    const char *answer;        /* PURGE: what is answered instead */
    struct pnx__bytes subject; /* decoded */
};

/** `target` is that of the request, as it was sent. False: no memory, or it has a zero byte. */
bool pnx__route_find(enum http_method method, const char *target, struct pnx__route *ret);
void pnx__route_done(struct pnx__route *route);

#endif
