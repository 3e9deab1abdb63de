#!/bin/sh
# SPDX-License-Identifier: MIT
#
# make installcheck: the program in README.md and every example compile against what was installed,
# as README.md says, and the README's program hands three words from one process to another.
set -eu
: "${srcdir:?}" "${CC:?}" "${LD_LIBRARY_PATH:?}"

[ -n "${PKG_CONFIG-}" ] || {
    echo 'not checked: what was installed is found by pkg-config, and that is not here'
    exit 0
}

dir=$(mktemp -d)
# If there are only static libraries, pkg-config must also name the libraries that they need.
static=--static
[ ! -e "$LD_LIBRARY_PATH/libshmring.so" ] || static=
queue=readme-${dir##*.} # a name that no queue had before
trap 'rm -rf "$dir" "/dev/shm/$queue"' EXIT

# With a queue of its own: another user may be trying the README just now.
awk '/^```/ { code = /^```c$/; next } code' "$srcdir/README.md" |
    sed "s/\"hello\"/\"$queue\"/" >"$dir/readme.c"

find "$srcdir/examples" -name '*.[ch]' -exec cp {} "$dir" ';'

for source in "$dir"/*.c; do
    # An example that needs another library names it in its first comment.
    modules=$(sed -n 's/.*pkg-config --cflags --libs \(libshmring .*\))$/\1/p' "$source")
    modules=${modules:-libshmring}
    # shellcheck disable=SC2086 # a list of words
    if [ "$modules" != libshmring ] && ! $PKG_CONFIG --exists $modules; then
        echo "not compiling ${source##*/}: of $modules something is not installed"
        continue
    fi
    echo "compiling ${source##*/}"
    # shellcheck disable=SC2046,SC2086 # lists of words
    $CC ${CFLAGS:-} "$source" -o "${source%.c}" $($PKG_CONFIG $static --cflags --libs $modules)
done

"$dir/readme" one two three
[ "$("$dir/readme")" = "$(printf 'one\ntwo\nthree')" ]
# The queue is empty: a receiver that starts first waits, and prints the words when they come.
"$dir/readme" >"$dir/next" &
receiver=$!
"$dir/readme" four
wait $receiver
[ "$(cat "$dir/next")" = four ]

# examples/hello.c is the same program, below a comment.
sed '1,/^ \*\//d' "$dir/hello.c" | sed "s/\"hello\"/\"$queue\"/" | cmp - "$dir/readme.c"
