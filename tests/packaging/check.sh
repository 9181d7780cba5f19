# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Sourced by the tests beside it: each check is one line of TAP.

set -uo pipefail

: "${SOURCE:?}" "${BUILD:?}" # the roots of the source and the build tree
here=$SOURCE/tests/packaging
work=$(mktemp -d)
unset LD_LIBRARY_PATH # Meson's, which would find the libraries of the build tree
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
checks=0

check() { # NAME COMMAND...
    local name=$1 output
    shift
    checks=$((checks + 1))
    if output=$("$@" 2>&1); then
        echo "ok $checks - $name"
    else
        echo "not ok $checks - $name"
        echo "  $*"$'\n'"$output" | sed 's/^/# /'
    fi
}

skip() { # NAME WHY
    checks=$((checks + 1))
    echo "ok $checks - $1 # SKIP $2"
}

finish() {
    echo "1..$checks"
}
