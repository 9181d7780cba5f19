#!/bin/sh
# SPDX-License-Identifier: MIT
#
# build_java.sh JAVAC JAVA JAR SOURCE OUTPUT: compiles the peer, and writes a program that runs it.

set -eu

classes=$(dirname "$5")/caffeine-classes
mkdir -p "$classes"
"$1" -nowarn -d "$classes" -cp "$3" "$4"
version="Caffeine $(basename "$(readlink -f "$3")" .jar | sed 's/^caffeine-//')"
cat >"$5" <<END
#!/bin/sh
exec '$2' -Xms2g -Xmx2g -cp '$(realpath "$classes"):$3' '-Dversion=$version' CaffeineBench "\$@"
END
chmod +x "$5"
