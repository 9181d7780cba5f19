#!/bin/bash
# SPDX-License-Identifier: MIT
# Every public header compiles alone, in every language of its promise, without a warning; and a C++
# program builds on them.

static_library=$(realpath "$1")
# shellcheck source=tests/packaging/check.sh
. "$(dirname "$0")/check.sh"
strict=(-Wall -Wextra -Wpedantic -Werror "-I$SOURCE/include")

compiles() { # COMPILER -xLANGUAGE -std=STANDARD HEADER
    printf '#include <%s>\n#include <%s>\n' "$4" "$4" |
        "$1" "$2" "$3" "${strict[@]}" -fsyntax-only -
}

cd "$SOURCE/include" || exit 1
headers=(*/*.h)
if ! pkg-config --exists libuv; then
    mapfile -t headers < <(printf '%s\n' "${headers[@]}" | grep -v '/uv\.h$')
fi
cd "$work" || exit 1

for compiler in gcc clang; do
    for standard in c11 c17 c++17 c++20; do
        name="$compiler -std=$standard"
        case $standard in
        c++*) language=c++ ;;
        *) language=c ;;
        esac
        if ! compiles $compiler "-x$language" -std=$standard stddef.h 2>/dev/null; then
            skip "$name" "not installed"
            continue
        fi
        for header in "${headers[@]}"; do
            check "$name $header" compiles $compiler "-x$language" -std=$standard "$header"
        done
        # Designated initializers, which PNX_KIND takes, are in C++ since C++20.
        if [ $standard != c++17 ]; then
            check "$name: a program" \
                $compiler "-x$language" -std=$standard "${strict[@]}" "$here/program.c" -o program \
                -xnone "$static_library" -pthread
            check "$name: it runs" ./program
        fi
    done
done
check "g++ -std=gnu++17: a program" \
    g++ -xc++ -std=gnu++17 "-I$SOURCE/include" "$here/program.c" -o program \
    -xnone "$static_library" -pthread
check "g++ -std=gnu++17: it runs" ./program

finish
