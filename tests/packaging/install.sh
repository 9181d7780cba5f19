#!/bin/bash
# SPDX-License-Identifier: MIT
# What is installed is enough to build on: headers, pkg-config files, shared and static libraries.

# shellcheck source=tests/packaging/check.sh
. "$(dirname "$0")/check.sh"

check "installs into DESTDIR" meson install -C "$BUILD" --no-rebuild --destdir "$work/root"

# The prefix that the build was configured with, below our root.
pc=$(find root -name patinox.pc)
export PKG_CONFIG_PATH=${pc%/*}
export PKG_CONFIG_SYSROOT_DIR=$work/root
libdir=$work/root$(PKG_CONFIG_SYSROOT_DIR='' pkg-config --variable=libdir patinox)
export LD_LIBRARY_PATH=$libdir

flags() { # what pkg-config answers, as an array
    read -ra flags <<<"$(pkg-config "$@")"
}

expected="patinox $(pkg-config --modversion patinox), descriptor closed"
answers() { # PROGRAM
    local answer
    answer=$("$1") && [ "$answer" = "$expected" ] || { echo "answered '$answer'"; return 1; }
}

flags --cflags --libs patinox
check "compiles with the shared library" cc "$here/program.c" -o shared "${flags[@]}"
check "runs with the shared library" answers ./shared
check "is found by its soname" grep -q 'libpatinox\.so\.0\]' <(readelf -d shared)

flags --static --cflags --libs patinox
check "compiles with the static library" \
    cc "$here/program.c" -o static -Wl,-Bstatic "${flags[@]}" -Wl,-Bdynamic
check "does not need the shared one then" \
    bash -c '! readelf -d static | grep -q "NEEDED.*patinox"'
check "runs with the static library" answers ./static

for library in patinox-test patinox-uv cleanroom cleanroom-docker; do
    if [ -e "$PKG_CONFIG_PATH/$library.pc" ]; then
        flags --cflags --libs "$library"
        echo 'int main(void) { return 0; }' >empty.c
        check "links $library by its pkg-config file" \
            cc empty.c -o empty -Wl,--no-as-needed "${flags[@]}"
        check "starts with $library" ./empty
    else
        skip "links $library by its pkg-config file" "not part of this build"
    fi
done

for header in "$SOURCE"/include/*/*.h; do
    name=${header#"$SOURCE"/include/}
    [ "$name" = patinox/uv.h ] && [ ! -e "$PKG_CONFIG_PATH/patinox-uv.pc" ] && continue
    # Those of libcleanroom-docker are that of the engine and what includes it.
    { [ "$name" = cleanroom/docker.h ] || grep -q '^#include <cleanroom/docker.h>' "$header"; } &&
        [ ! -e "$PKG_CONFIG_PATH/cleanroom-docker.pc" ] && continue
    check "installs $name" cmp "$header" "$(find root -path "*/include/$name")"
done

for page in "$SOURCE"/docs/man/*.[15]; do
    name=${page##*/}
    check "installs the page $name" \
        grep -q . "$(find root -path "*/man${name##*.}/$name*" | head -n 1)"
done

for manager in system user; do
    unit=$(find root -path "*/systemd/$manager/cleanroom-reap.service")
    tool=$(sed -n 's/^ExecStart=\([^ ]*\) .*/\1/p' "$unit")
    check "installs units of the $manager manager that run the tool" test -x "root$tool" -a \
        -e "${unit%.service}.timer"
done

tool=$(find root -path '*/bin/cleanroom')
check "finds its helpers where they are installed" \
    bash -c '"$1" completion bash | grep -q -- --timeout' -- "$tool"
check "runs itself from there" \
    env CLEANROOM_STATE_DIR="$PWD/state" \
    bash -c '"$1" run --each - --quiet <<<"echo each" | grep -qx each' -- "$tool"

finish
