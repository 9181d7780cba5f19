#!/bin/bash
# SPDX-License-Identifier: MIT
# Every public header compiles alone, in every language of its promise, without a warning; and a C++
# program builds on them.

static_library=$(realpath "$1")
# shellcheck source=tests/packaging/check.sh
. "$(dirname "$0")/check.sh"
strict=(-Wall -Wextra -Wpedantic -Werror)

compiles() { # COMPILER STANDARD LANGUAGE HEADER
    # libuv's own header needs POSIX types, which strict ISO C hides.
    local posix=()
    [ "$4" != patinox/uv.h ] || posix=(-D_POSIX_C_SOURCE=200809L)
    # Twice: its include guard works.
    printf '#include <%s>\n#include <%s>\n' "$4" "$4" |
        "$1" "-std=$2" "-x$3" "${strict[@]}" "${posix[@]}" "-I$SOURCE/include" -fsyntax-only -
}
builds() { # COMPILER STANDARD LANGUAGE WARNING...
    "$1" "-std=$2" "-x$3" "${@:4}" "-I$SOURCE/include" "$here/program.c" -o program \
        -xnone "$static_library" -pthread
}

cd "$SOURCE/include" || exit 1
headers=(*/*.h)
if ! pkg-config --exists libuv; then
    mapfile -t headers < <(printf '%s\n' "${headers[@]}" | grep -v '/uv\.h$')
fi
cd "$work" || exit 1

while read -r compiler standard language; do
    name="$compiler -std=$standard"
    if ! command -v "$compiler" >/dev/null; then
        skip "$name" "not installed"
        continue
    fi
    for header in "${headers[@]}"; do
        check "$name $header" compiles "$compiler" "$standard" "$language" "$header"
    done
    # PNX_KIND takes designated initializers. They are in C++ since C++20, and in GNU C++17.
    if [ "$standard" = c++17 ]; then
        check "$name: a program" builds "$compiler" gnu++17 "$language"
    else
        check "$name: a program" builds "$compiler" "$standard" "$language" "${strict[@]}"
    fi
    check "$name: it runs" ./program
done <<'END'
gcc c11 c
gcc c17 c
g++ c++17 c++
g++ c++20 c++
clang c11 c
clang c17 c
clang++ c++17 c++
clang++ c++20 c++
END

finish
