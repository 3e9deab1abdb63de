#!/bin/sh
# SPDX-License-Identifier: MIT
#
# README.md: its picture shows the figures of its table; its program is the one in examples/, and works as
# the page says: either side may start first, crash and come back.
set -eu
LC_ALL=C # awk writes the decimal point of the locale
export LC_ALL
: "${srcdir:?}" "${builddir:?}" "${CC:?}"

awk -f "$srcdir/doc/comparison.awk" "$srcdir/README.md" | cmp - "$srcdir/doc/comparison.svg" || {
    echo 'the table has other figures: awk -f doc/comparison.awk README.md >doc/comparison.svg'
    exit 1
}

dir=$(mktemp -d)
queue=hello-${dir##*.} # a name that no queue had before
tool=$builddir/tools/shmring
trap '"$tool" rm -f "$queue"; rm -rf "$dir"' EXIT

# shellcheck disable=SC2016 # no command in it
sed -n '/^```c$/,/^```$/{/^```/d;p;}' "$srcdir/README.md" >"$dir/hello.c"
sed '1,/^ \*\/$/d' "$srcdir/examples/hello.c" | diff "$dir/hello.c" - || {
    echo 'README.md has another program than examples/hello.c'
    exit 1
}
library=$builddir/lib/.libs/libshmring.so
[ -e "$library" ] || library=$builddir/lib/.libs/libshmring.a
sed -i "s/\"hello\"/\"$queue\"/" "$dir/hello.c"
# shellcheck disable=SC2086 # a list of words
$CC ${CFLAGS-} -I"$srcdir/include" "$dir/hello.c" -o "$dir/hello" "$library" -pthread \
    -Wl,-rpath,"$(cd "$builddir" && pwd)/lib/.libs"

hello()
{
    timeout 120 "$dir/hello" "$@" || {
        echo "hello: exit code $?"
        return 1
    }
}

attached() # ROLE: wait until a participant of this role is there, and alive
{
    for _ in $(seq 6000); do
        ! "$tool" who "$queue" 2>/dev/null | grep -q "alive *$1" || return 0
        sleep 0.01
    done
    echo "no $1 came"
    exit 1
}

received() # WORD...: what the reader printed
{
    printf '%s\n' "$@" | cmp - "$dir/output"
}

echo 'the sender first, then the reader; and again, on the same queue'
for _ in 1 2; do
    hello one two three
    hello >"$dir/output"
    received one two three
done

echo 'the reader first, on that queue and on a new one'
for _ in 1 2 3; do
    hello >"$dir/output" &
    attached consumer
    hello four five
    wait $!
    received four five
    [ "$_" -lt 2 ] || "$tool" rm "$queue"
done

echo 'a long word, and one that no queue of this size takes'
long=$(head -c 20000 /dev/zero | tr '\0' x)
hello "$long" end
hello >"$dir/output"
received "$long" end
"$dir/hello" "$long$long$long$long" 2>"$dir/error" && exit 1
grep 'hello: the message has 80000 bytes' "$dir/error"

echo 'more than the queue holds: the sender waits for a reader'
hello "$long" "$long" "$long" "$long" end &
attached producer
hello >"$dir/output"
wait $!
received "$long" "$long" "$long" "$long" end

echo 'a sender that is killed while it waits for room, and a reader while it waits for words'
"$dir/hello" "$long" "$long" "$long" "$long" end &
attached producer
for _ in $(seq 6000); do
    ! "$tool" stat --json "$queue" | grep -q '"depth":3,' || break
    sleep 0.01
done
kill -9 $!
wait $! || :
hello >"$dir/output"
received "$long" "$long" "$long"
"$dir/hello" &
attached consumer
kill -9 $!
wait $! || :
hello six
hello >"$dir/output"
received six

echo 'a name that is something else'
"$tool" rm "$queue"
"$tool" create --kind mpmc "$queue"
for words in '' seven; do
    # shellcheck disable=SC2086 # none or one
    "$dir/hello" $words 2>"$dir/error" && exit 1
    grep '^hello: ' "$dir/error"
done
