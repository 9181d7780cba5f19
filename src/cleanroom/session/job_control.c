/* SPDX-License-Identifier: MIT */
/*
 * Stopping and going on. We stay in the process group that the shell put us into, and so does the
 * command: the terminal signals both, and neither has to be handed the terminal. What is left to do
 * is to stop with the command when it alone was stopped, because the shell watches us, not it.
 */
#include "session/session.h"

#include "kind/sys.h"

#include <signal.h>
#include <sys/wait.h>

void pnx__session_stop(pnx_session *session)
{
    if (!session->config.job_control)
        return;
    /* The default action, not SIGSTOP: the kernel refuses it where no shell could continue us. */
    struct sigaction stop = {.sa_handler = SIG_DFL}, before;
    if (sigaction(SIGTSTP, &stop, &before) != 0)
        return;
    (void)kill(getpid(), SIGTSTP);
    session->continued = pnx_monotonic_now();
    (void)sigaction(SIGTSTP, &before, NULL);
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

void pnx__session_stop_with_command(pnx_session *session)
{
    /* With a timeout somebody has to stay awake for it. */
    if (!session->config.job_control || session->config.timeout != PNX_FOREVER)
        return;
    siginfo_t info = {0};
    id_t command = (id_t)session->set.command.pid;
    if (waitid(P_PID, command, &info, WSTOPPED | WNOHANG) == 0 && info.si_pid != 0 &&
        in_foreground(session))
        pnx__session_stop(session);
}
