#!/bin/bash
# SPDX-License-Identifier: MIT
# Another Meson project builds on Patinox as a subproject, with its own warnings and none of ours.

# shellcheck source=tests/packaging/check.sh
. "$(dirname "$0")/check.sh"

cp -r "$here/outer" .
ln -s "$here/program.c" outer/program.c
mkdir -p outer/subprojects
ln -s "$SOURCE" outer/subprojects/patinox

check "configures" meson setup build outer
check "builds what it uses" ninja -C build outer outer-static
check "runs" ./build/outer
check "runs with the static library" ./build/outer-static
check "takes no test of ours along" [ "$(meson introspect build --tests)" = '[]' ]

finish
