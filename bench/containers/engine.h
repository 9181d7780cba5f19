/* SPDX-License-Identifier: MIT */
/** @file engine.h  The least that answers like an engine, and a client of whatever answers. */
#ifndef BENCH_CONTAINERS_ENGINE_H
#define BENCH_CONTAINERS_ENGINE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BULK ((size_t)256 << 20)

/** On all CPUs: a client, an engine and a proxy are three processes. */
void use_all_cpus(void);
/** Listens at `path`, in a process of its own. */
pid_t engine_start(const char *path);
/** Starts the proxy before `host`, listening at `path`; `*ret_control` ends it when closed. */
pid_t proxy_start(const char *host, const char *path, int *ret_control);

int client_connect(const char *path);
/** One small call on a kept connection; nanoseconds. */
int64_t client_call(int fd);
/** Nanoseconds until all of it has gone through. */
int64_t client_down(const char *path, const char *target);
int64_t client_up(const char *path, size_t size);
int64_t client_raw(const char *path, size_t size);

#endif
