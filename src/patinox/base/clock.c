/* SPDX-License-Identifier: MIT */
/* The two clocks of base.h, for those outside; the library itself uses them inline (sys.h). */
#include "base/sys.h"

pnx_time pnx_monotonic_now(void)
{
    return pnx__now();
}

pnx_time pnx_monotonic_coarse(void)
{
    return pnx__coarse();
}
