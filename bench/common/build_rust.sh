#!/bin/sh
# SPDX-License-Identifier: MIT
#
# build_rust.sh CARGO CRATES MANIFEST OUTPUT: builds the library from the crates in the directory
# CRATES, without network. Cargo writes its lock file and everything else next to MANIFEST.

set -eu

target=$(dirname "$3")/target
"$1" build --quiet --release --offline --manifest-path "$3" --target-dir "$target" \
    --config 'source.crates-io.replace-with = "debian"' \
    --config "source.debian.directory = '$2'"
cp "$target/release/libpeers.a" "$4"
