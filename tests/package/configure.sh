#!/bin/sh
# SPDX-License-Identifier: MIT
#
# configure refuses a source folder, and a build folder, with a space in its name: its error names the
# folder.
set -eu
: "${srcdir:?}"

source=$(cd "$srcdir" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
spaced="$dir/with a space"
mkdir -p "$spaced/source/include/shmring" "$dir/build"
cp "$source/configure" "$spaced/source"
cp -r "$source/build-aux" "$spaced/source"
cp "$source/include/shmring/shmring.h" "$spaced/source/include/shmring"

refuses() # BUILD CONFIGURE
{
    status=0
    (cd "$1" && "$2" >/dev/null 2>"$dir/errors") || status=$?
    if [ "$status" -ne 1 ] || ! grep -q 'the name of a folder has a space in it' "$dir/errors" ||
        ! grep -qF "\"$spaced" "$dir/errors"; then
        echo "configured $2 in $1, exit status $status:"
        cat "$dir/errors"
        exit 1
    fi
}

refuses "$dir/build" "$spaced/source/configure"
refuses "$spaced" "$source/configure"
