/* SPDX-License-Identifier: MIT */
#include "kind/poll.h"

#include <errno.h>
#include <time.h>

int pnx__poll(struct pollfd *fds, nfds_t count, pnx_time deadline)
{
    for (;;) {
        struct timespec left, *timeout = NULL;
        if (deadline != PNX_FOREVER) {
            pnx_duration span = deadline - pnx_monotonic_now();
            if (span < 0)
                span = 0;
            left = (struct timespec){span / PNX_S(1), span % PNX_S(1)};
            timeout = &left;
        }
        int ready = ppoll(fds, count, timeout, NULL);
        if (ready >= 0 || errno != EINTR)
            return ready;
    }
}
