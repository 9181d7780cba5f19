/* SPDX-License-Identifier: MIT */
/*
 * The log hook: three values that belong together, guarded by a version as in a seqlock. Unlike
 * there a reader never waits for a setter: a line that comes while the hook is being changed goes
 * nowhere. So there is nothing that a fork in the middle could leave locked; the next pnx_log_set
 * repairs it.
 */
#include "base/log.h"

#include "base/sys.h"
#include "base/text.h"

#include <string.h>
#include <unistd.h>

struct hook {
    pnx_log_fn log;
    void *context;
    pnx_log_level most;
};

static _Atomic unsigned version; /* odd: being changed */
static _Atomic(pnx_log_fn) hook_log;
static _Atomic(void *) hook_context;
static _Atomic(pnx_log_level) hook_most;

void pnx_log_set(pnx_log_fn log, void *context, pnx_log_level most)
{
    /* Relaxed: there is one setter at a time. */
    unsigned changing = (atomic_load_explicit(&version, memory_order_relaxed) + 1) | 1;
    atomic_store_explicit(&version, changing, memory_order_relaxed);
    /* Release, each: pairs with the acquire of the same value in current_hook(). A reader that got
     * the new value will find the version changed. */
    atomic_store_explicit(&hook_log, log, memory_order_release);
    atomic_store_explicit(&hook_context, context, memory_order_release);
    atomic_store_explicit(&hook_most, most, memory_order_release);
    /* Release: pairs with the acquire of the version in current_hook(). */
    atomic_store_explicit(&version, changing + 1, memory_order_release);
}

static struct hook current_hook(void)
{
    for (;;) {
        /* Acquire: pairs with the last release in pnx_log_set(); none of that hook is missing. */
        unsigned before = atomic_load_explicit(&version, memory_order_acquire);
        if (before & 1) {
            return (struct hook){.log = NULL};
        }
        /* Acquire, each: pairs with the releases in pnx_log_set(); keeps the second look behind. */
        struct hook hook = {
            .log = atomic_load_explicit(&hook_log, memory_order_acquire),
            .context = atomic_load_explicit(&hook_context, memory_order_acquire),
            .most = atomic_load_explicit(&hook_most, memory_order_acquire),
        };
        if (atomic_load_explicit(&version, memory_order_relaxed) == before) {
            return hook;
        }
    }
}

void pnx__log(pnx_log_level level, const char *format, ...)
{
    struct hook hook = current_hook();
    if (!hook.log || (int)level > (int)hook.most) {
        return;
    }
    int saved = errno;
    int cancel_state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);

    char line[PNX__LOG_LINE_MAX];
    va_list args;
    va_start(args, format);
    pnx__text_format_va(line, sizeof(line), format, args);
    va_end(args);
    pnx__text_one_line(line);
    hook.log(level, line, hook.context);

    pthread_setcancelstate(cancel_state, NULL);
    errno = saved;
}

static const char *level_name(pnx_log_level level)
{
    switch (level) {
    case PNX_LOG_ERROR:
        return "error";
    case PNX_LOG_WARNING:
        return "warning";
    case PNX_LOG_INFO:
        return "info";
    case PNX_LOG_DEBUG:
        return "debug";
    }
    return "log";
}

void pnx_log_stderr(pnx_log_level level, const char *message, void *context)
{
    (void)context;
    int saved = errno;
    /* One write(2), so that lines of several threads and processes do not mix. */
    char line[PNX__LOG_LINE_MAX + sizeof("patinox: warning: \n")];
    size_t length = pnx__text_format(line, sizeof(line) - 1, "patinox: %s: %s", level_name(level),
                                     message ? message : "(no message)");
    if (length > sizeof(line) - 2) {
        length = strlen(line);
    }
    line[length++] = '\n';
    while (write(STDERR_FILENO, line, length) < 0 && errno == EINTR) {
    }
    errno = saved;
}
