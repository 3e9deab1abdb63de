#!/bin/sh
# SPDX-License-Identifier: MIT
#
# examples/words.py, with the command shmring at the other end; its structures are those of the header.
set -eu
: "${srcdir:?}" "${builddir:?}" "${CC:?}"

command -v python3 >/dev/null || {
    echo 'no python3'
    exit 77
}
[ -e "$builddir/lib/.libs/libshmring.so.0" ] || {
    echo 'no shared library'
    exit 77
}
case ${CFLAGS-} in *-fsanitize=*)
    echo 'a sanitizer is in the library and not in python3'
    exit 77
    ;;
esac

dir=$(mktemp -d)
queue=words-${dir##*.} # a name that no queue had before
trap 'exit 1' HUP INT TERM # runs the trap of EXIT, too
trap '"$builddir/tools/shmring" rm -f "$queue"; rm -rf "$dir"' EXIT
LD_LIBRARY_PATH=$builddir/lib/.libs
PYTHONDONTWRITEBYTECODE=1
export LD_LIBRARY_PATH PYTHONDONTWRITEBYTECODE

words()
{
    timeout 120 python3 "$srcdir/examples/words.py" "$@"
}

words "$queue" one 'two words'
[ "$(words "$queue")" = "$(printf 'one\ntwo words')" ]
printf 'three\n' | "$builddir/tools/shmring" send "$queue"
[ "$(words "$queue")" = three ]
words "$queue" four
[ "$("$builddir/tools/shmring" recv --count 1 "$queue")" = four ]

attached() # ROLE: wait until a participant of this role is there, and alive
{
    for _ in $(seq 6000); do
        ! "$builddir/tools/shmring" who "$queue" 2>/dev/null | grep -q "alive *$1" || return 0
        sleep 0.01
    done
    echo "no $1 came"
    exit 1
}

# The reader starts first: on a queue that it makes, and on one that was used.
"$builddir/tools/shmring" rm "$queue"
for _ in 1 2; do
    words "$queue" >"$dir/output" &
    attached consumer
    words "$queue" five six
    wait $!
    printf 'five\nsix\n' | cmp - "$dir/output"
done
"$builddir/tools/shmring" rm "$queue"

# Queues that another program made, of each kind and of several sizes, and messages of any length.
long=$(head -c 20000 /dev/zero | tr '\0' x)
for kind in spsc mpmc; do
    "$builddir/tools/shmring" create --kind $kind --capacity 4096 --max-message 3000 "$queue"
    words "$queue" seven
    printf '%.3000s\n' "$long" | "$builddir/tools/shmring" send "$queue"
    words "$queue" >"$dir/output"
    printf 'seven\n%.3000s\n' "$long" | cmp - "$dir/output"
    words "$queue" "$long" 2>"$dir/error" && exit 1
    grep 'the message has 20000 bytes' "$dir/error"
    "$builddir/tools/shmring" rm "$queue"
done

words not/a/name 2>"$dir/error" && exit 1
grep '^words.py: .' "$dir/error"
words 2>"$dir/error" && exit 1
grep '^usage' "$dir/error"

# What ctypes and the compiler say about each field.
cat >"$dir/fields.py" <<'END'
import words
for structure in words.Config, words.Waiting:
    for name, _ in structure._fields_:
        field = getattr(structure, name)
        print(name, field.offset, field.size)
for name in "PRODUCER CONSUMER OPEN_OR_CREATE SPSC WAIT_HANGUP".split():
    print(name, getattr(words, name))
END
cat >"$dir/fields.c" <<'END'
#include <shmring/shmring.h>
#include <stdio.h>
#define FIELD(structure, name) \
    printf("%s %zu %zu\n", #name, offsetof(struct structure, name), \
           sizeof((struct structure *)NULL)->name)
#define CONSTANT(name) printf("%s %d\n", #name, SHMRING_##name)
int main(void)
{
    FIELD(shmring_config, kind);
    FIELD(shmring_config, flags);
    FIELD(shmring_config, capacity);
    FIELD(shmring_config, max_message);
    FIELD(shmring_config, mode);
    FIELD(shmring_config, max_participants);
    FIELD(shmring_config, reserved);
    FIELD(shmring_waiting, spin_ns);
    FIELD(shmring_waiting, recheck_ms);
    FIELD(shmring_waiting, flags);
    FIELD(shmring_waiting, patience_ms);
    FIELD(shmring_waiting, reserved);
    CONSTANT(PRODUCER);
    CONSTANT(CONSUMER);
    CONSTANT(OPEN_OR_CREATE);
    CONSTANT(SPSC);
    CONSTANT(WAIT_HANGUP);
}
END
$CC -I"$srcdir/include" "$dir/fields.c" -o "$dir/fields"
"$dir/fields" >"$dir/expected"
PYTHONPATH=$srcdir/examples python3 "$dir/fields.py" | diff "$dir/expected" -
