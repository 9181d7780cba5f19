/* SPDX-License-Identifier: MIT */
/*
 * Stopping and going on. We stay in the process group that the shell put us into, and so does the
 * command: the terminal signals both, and neither has to be handed the terminal. The shell watches
 * us, not the command, so we stop when the command has stopped, for whatever reason, and not when
 * it chose to take no notice. Going on needs nothing: SIGCONT is forwarded like other signals.
 */
#include "session/session.h"

#include "kind/sys.h"

#include <signal.h>
#include <sys/wait.h>

static bool command_is_stopped(const pnx_session *session)
{
    siginfo_t info = {0};
    id_t command = (id_t)session->set.command.pid;
    return waitid(P_PID, command, &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
}

/* Is there a terminal that we, or the command, have the use of? */
static bool in_foreground(const pnx_session *session)
{
    int terminal = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
    if (terminal < 0)
        return false;
    pid_t group = tcgetpgrp(terminal);
    close(terminal);
    return group == getpgrp() || group == getpgid(session->set.command.pid);
}

static void stop(void)
{
    /* The default action, not SIGSTOP: the kernel refuses it where no shell could continue us. */
    struct sigaction stop = {.sa_handler = SIG_DFL}, before;
    if (sigaction(SIGTSTP, &stop, &before) != 0)
        return;
    (void)kill(getpid(), SIGTSTP);
    (void)sigaction(SIGTSTP, &before, NULL);
}

void pnx__session_stop_with_command(pnx_session *session, bool asked)
{
    session->stop_asked = session->stop_asked || asked;
    if (!session->config.job_control || session->set.interrupted || !command_is_stopped(session))
        return;
    /* Unasked, with a timeout, somebody has to stay awake for it. */
    bool may_sleep = session->config.timeout == PNX_FOREVER && in_foreground(session);
    if (!session->stop_asked && !may_sleep)
        return;
    session->stop_asked = false;
    stop();
}
