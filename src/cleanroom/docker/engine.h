/* SPDX-License-Identifier: MIT */
/** @file engine.h  One exchange with the engine, and what the files of this room share. */
#ifndef CLEANROOM_DOCKER_ENGINE_H
#define CLEANROOM_DOCKER_ENGINE_H

#include <cleanroom/docker.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

struct pnx__line;

/** Where an engine is. */
struct pnx__address {
    char host[160];   /* as people write it: unix:///run/x.sock, tcp://host:port */
    char base[160];   /* of every URL, without the version */
    char socket[108]; /* of AF_UNIX; empty: TCP */
    char ca[512], certificate[512], key[512]; /* empty: no TLS */
    bool tls, verify;
};

struct pnx_engine {
    struct pnx__address at;
    /* The version that is spoken, 1041 for 1.41, and a pnx_engine_kind. Relaxed: each stands alone;
     * who reads the old one while it changes is told by the engine, and asks for the new one. */
    _Atomic unsigned api;
    _Atomic int kind;
    /* Relaxed: it stands alone. */
    _Atomic bool failed;
    pid_t pid;
    pnx_duration timeout, expires;
    size_t answer_max;
    uint64_t copy_max;
    char session[PNX_ID_TEXT_SIZE];
    const pnx_engine_ledger *ledger;
    pthread_mutex_t mutex; /* of the two below */
    struct pnx__line *idle;
    unsigned idle_count;
};

/** A pnx_call with nothing left to default. */
struct pnx__limit {
    pnx_time deadline;
    int cancel_fd; /* readable: canceled; -1: nobody cancels */
};

struct pnx__limit pnx__docker_limit_of(const pnx_engine *engine, const pnx_call *call);
int pnx__docker_cancel_fd(const pnx_cancel *cancel);
/** PNX_EFORKED in a fork child. */
pnx_status pnx__docker_engine_here(const pnx_engine *engine, pnx_error *err);

/** A request, and then its answer. Zero means none. */
struct pnx__docker_exchange {
    const char *method;       /* NULL: GET */
    const char *path;         /* "/containers/json?all=1" */
    bool unversioned;         /* it is the whole path */
    const char *content_type; /* of the body; NULL: JSON */
    const char *body;
    size_t body_size;
    int body_fd; /* of a regular file that is sent from its beginning, if has_body_fd */
    bool has_body_fd;
    const char *header; /* one more; NULL: none */
    /* Gets the body of a good answer; NULL: it is collected in `answer`. False: enough. */
    bool (*sink)(const void *data, size_t size, void *context);
    void *context;

    long status;  /* HTTP's */
    char *answer; /* terminated; never NULL after PNX_OK; the caller frees it */
    size_t answer_size;
    bool stopped; /* the sink had enough */
    char api_version[16];
    char content[96]; /* the answer's Content-Type */
    bool podman;
};

/** An engine of this address with nothing known about it; ended by pnx_engine_close. */
pnx_status pnx__docker_engine_make(const struct pnx__address *at, const pnx_engine_config *config,
                                   pnx_engine **ret, pnx_error *err);

/**
 * One exchange, without regard to versions. PNX_OK: there was an HTTP answer of any status. What a
 * failed one collected is freed.
 */
pnx_status pnx__docker_transfer(pnx_engine *engine, struct pnx__docker_exchange *exchange,
                                const char *url, const struct pnx__limit *limit, pnx_error *err);
/** Closes idle connections. */
void pnx__docker_lines_close(pnx_engine *engine);
/** An exchange whose URL is `path`, under the version agreed upon, which is agreed upon anew when
 *  the engine does not like it. A status from 300 on is a failure that the engine explains. */
pnx_status pnx__docker_exchange(pnx_engine *engine, struct pnx__docker_exchange *exchange,
                                const struct pnx__limit *limit, pnx_error *err);
/** Asks for the version, and agrees on one. */
pnx_status pnx__docker_negotiate(pnx_engine *engine, const struct pnx__limit *limit,
                                 pnx_error *err);

/** The failure that an answer tells. */
pnx_status pnx__docker_refused(const struct pnx__docker_exchange *exchange, pnx_error *err);
/** Reads the JSON of an answer; NULL for an empty one. */
pnx_status pnx__docker_json_of(const struct pnx__docker_exchange *exchange, struct json_t **ret,
                               pnx_error *err);
/** A whole request by JSON. */
pnx_status pnx__docker_request(pnx_engine *engine, const char *method, const char *path,
                               const struct json_t *body, const struct pnx__limit *limit,
                               struct json_t **ret, pnx_error *err);

/** "no memory …" */
pnx_status pnx__docker_no_memory(pnx_error *err);

/** A raw connection, as attached streams need; ended by pnx__docker_line_free. */
pnx_status pnx__docker_line_connect(pnx_engine *engine, const struct pnx__limit *limit,
                                    struct pnx__line **ret, pnx_error *err);
void pnx__docker_line_free(struct pnx__line *line);
/** Sends or receives what goes at once. PNX_EBUSY: nothing does; PNX_EFAILED: the connection is
 *  broken. Received 0 bytes: it is at its end. */
pnx_status pnx__docker_line_send(struct pnx__line *line, const void *data, size_t size,
                                 size_t *ret);
pnx_status pnx__docker_line_receive(struct pnx__line *line, void *data, size_t size, size_t *ret);
/** Nothing more will be sent; not with TLS. */
void pnx__docker_line_end_sending(struct pnx__line *line);
/** Waits until something can be received, or sent too. */
pnx_status pnx__docker_line_wait(pnx_engine *engine, struct pnx__line *line, bool to_send,
                                 const struct pnx__limit *limit, pnx_error *err);

/** Finds an engine in its places. */
pnx_status pnx__docker_find(const pnx_engine_config *config, const struct pnx__limit *limit,
                            pnx_engine **ret, pnx_error *err);
/** Reads "unix:///…" or "tcp://…". `directory` holds TLS certificates; NULL: no TLS. */
pnx_status pnx__docker_address_parse(const char *host, const char *directory, bool verify,
                                     struct pnx__address *ret, pnx_error *err);

#endif
