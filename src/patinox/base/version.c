/* SPDX-License-Identifier: MIT */
/* The version of the library that is loaded, which may be newer than the header of the program. */
#include <patinox/base.h>

#define TEXT(number) #number
#define VERSION(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)

const char *pnx_version(void)
{
    return VERSION(PNX_VERSION_MAJOR, PNX_VERSION_MINOR, PNX_VERSION_PATCH);
}
