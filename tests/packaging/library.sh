#!/bin/bash
# SPDX-License-Identifier: MIT
# What the shared library shows to the world, and what it asks of it.

library=$(realpath "$1")
# shellcheck source=tests/packaging/check.sh
. "$(dirname "$0")/check.sh"

nothing() { # passes when its input is empty, else shows it
    ! grep .
}

needed() {
    readelf -dW "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -v '^ld-linux'
}
has_flags() { # FLAG...: every one of them is among the dynamic flags
    local flag
    for flag in "$@"; do
        readelf -dW "$library" | grep FLAGS | grep -qw "$flag" || { echo "no $flag"; return 1; }
    done
}
foreign_symbols() {
    nm -D --defined-only "$library" | awk '{ print $NF }' | grep -v '^pnx_'
}
# Internal names that are visible all the same: only what the macros of the headers expand to.
unexplained_symbols() {
    nm -D --defined-only "$library" | awk '$NF ~ /^pnx__/ { print $NF }' |
        while read -r symbol; do
            grep -qw "$symbol" "$SOURCE"/include/patinox/*.h || echo "$symbol"
        done
}

check "needs libc only" [ "$(needed)" = libc.so.6 ]
check "exports pnx_ names only" nothing < <(foreign_symbols)
check "exports no internal name that its headers do not use" nothing < <(unexplained_symbols)
check "is never unmapped, and bound at start" has_flags NODELETE NOW
check "has its relocations read-only" grep -q GNU_RELRO <(readelf -lW "$library")
check "has no executable stack" grep -q 'GNU_STACK.* RW ' <(readelf -lW "$library")
check "has its soname" grep -q 'SONAME.*\[libpatinox.so.0\]' <(readelf -dW "$library")

finish
