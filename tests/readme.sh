#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The program in README.md compiles as it stands there and prints what the README says.
set -eu
: "${srcdir:?}" "${builddir:?}" "${CC:?}"

dir=$(mktemp -d)
queue=readme-$$
trap 'rm -rf "$dir" "/dev/shm/$queue"' EXIT

# With a queue of its own, as somebody may be trying the README just now.
awk '/^```/ { code = /^```c$/; next } code' "$srcdir/README.md" |
    sed "s/\"hello\"/\"$queue\"/" >"$dir/hello.c"
# shellcheck disable=SC2086 # lists of words
"$builddir/libtool" --silent --tag=CC --mode=link $CC ${CFLAGS:-} -I"$srcdir/include" \
    "$dir/hello.c" -o "$dir/hello" "$builddir/lib/libshmring.la"

"$dir/hello" one two three
[ "$("$dir/hello")" = "$(printf 'one\ntwo\nthree')" ]
[ -z "$("$dir/hello")" ]
