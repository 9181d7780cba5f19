/* SPDX-License-Identifier: MIT */
#include "monitor/probes.h"

#if PNX_PROBES
/* Tracers find it by its address in the notes, and write it. */
unsigned short pnx__tracers __attribute__((section(".probes")));
#endif
