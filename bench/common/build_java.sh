#!/bin/sh
# SPDX-License-Identifier: MIT
#
# build_java.sh JAVAC JAVA NAME JARS OUTPUT SOURCE...: compiles a peer that is written in Java, and
# writes a program that runs it. Its class is named like the first SOURCE; the first of the JARS
# (with colons between them) tells the version of the peer, by its other name with a number; it is
# shown as NAME.

set -eu

javac=$1 java=$2 name=$3 jars=$4 output=$5
shift 5

class=$(basename "$1" .java)
classes=$(dirname "$output")/$class-classes
mkdir -p "$classes"
"$javac" -nowarn -d "$classes" -cp "$jars" "$@"
jar=${jars%%:*}
numbered=$(find "$(dirname "$jar")" -name "$(basename "$jar" .jar)-[0-9]*.jar" | tail -n 1)
version="$name $(basename "$numbered" .jar | sed 's/.*-//')"
cat >"$output" <<END
#!/bin/sh
exec '$java' -Xms2g -Xmx2g -cp '$(realpath "$classes"):$jars' '-Dversion=$version' $class "\$@"
END
chmod +x "$output"
