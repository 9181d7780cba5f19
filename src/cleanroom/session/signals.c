/* SPDX-License-Identifier: MIT */
#include "session/session.h"

#include "kind/sys.h"

#include <signal.h>

/* So many of them, and nobody wants to wait any longer. */
#define INTERRUPTS_ENOUGH 2

/* What the handler writes: small enough for a pipe to take it whole or not at all. */
struct message {
    int signal_number;
    pid_t sender;
};

pnx_status pnx_session_catch_sigbus(pnx_error *err)
{
    struct sigaction now;
    if (sigaction(SIGBUS, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
        return PNX_OK; /* a command would no longer inherit that */
    return pnx__ledger_catch_sigbus(err);
}

bool pnx__session_open_signals(pnx_session *session, pnx_error *err)
{
    if (pipe2(session->signals, O_CLOEXEC | O_NONBLOCK) == 0)
        return true;
    pnx_fail(err, PNX_EFAILED, "no pipe for signals: %m");
    return false;
}

void pnx_session_signal(pnx_session *session, int signal_number, pid_t sender)
{
    int saved = errno;
    struct message message = {signal_number, sender};
    /* Pairs with the store in take: whoever clears the mark looks for children after that. */
    if (signal_number != SIGCHLD ||
        !atomic_exchange_explicit(&session->child_told, true, memory_order_acq_rel))
        (void)!write(session->signals[1], &message, sizeof message);
    errno = saved;
}

static bool is_interrupt(int signal_number)
{
    return signal_number == SIGINT || signal_number == SIGTERM || signal_number == SIGHUP ||
           signal_number == SIGQUIT;
}

/*
 * Has the command had this signal too? The terminal signals the whole process group, in which the
 * command is unless it made one of its own. And a `kill 0`, by which scripts end what they started,
 * meets us only because we are in the group: we must not send it back.
 */
static bool command_has_it(const pnx_session *session, const struct message *message)
{
    const struct pnx__process_set *set = &session->set;
    if (message->sender == 0)
        return getpgid(set->command.pid) == getpgrp();
    return message->sender == set->command.pid || pnx__set_has(set, message->sender);
}

static void handle(pnx_session *session, const struct message *message)
{
    if (message->signal_number == SIGCHLD) {
        atomic_store_explicit(&session->child_told, false, memory_order_release);
        pnx__set_reap(&session->set);
        if (!session->set.command_ended)
            pnx__session_stop_with_command(session, false);
        return;
    }
    if (is_interrupt(message->signal_number))
        session->interrupts++;
    if (session->set.command_ended)
        return;
    if (!command_has_it(session, message))
        (void)pnx_process_signal(&session->set.command, message->signal_number);
    if (message->signal_number == SIGTSTP)
        pnx__session_stop_with_command(session, true);
}

bool pnx__session_take_signals(void *context)
{
    pnx_session *session = context;
    struct message message;
    while (read(session->signals[0], &message, sizeof message) == sizeof message)
        handle(session, &message);
    return session->interrupts >= INTERRUPTS_ENOUGH;
}
