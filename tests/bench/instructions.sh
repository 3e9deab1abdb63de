#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Each call of the library takes at most 5 % more instructions than bench/instructions.counts says. The
# count is the same each time, whatever else runs on the machine. --renew writes that file. Skipped where
# the counts are not comparable: no valgrind, a sanitizer or the library's checks, another compiler or other
# CFLAGS.
set -eu
: "${srcdir:?}" "${builddir:?}" "${CC:?}"

counts=$srcdir/bench/instructions.counts
renew=${1:-}
command -v valgrind >/dev/null || exit 77
grep -q 'define SHMRING_CHECKS' "$builddir/config.h" && exit 77
# shellcheck disable=SC2086 # a list of words
flags=$(printf '%s\n' ${CFLAGS:-} | grep -v '^-W' | tr '\n' ' ')
built="# $($CC -dumpmachine | cut -d- -f1) $($CC --version | sed -n '1s/ .*//p') $($CC -dumpversion) $flags"
built=${built% }
[ "$renew" ] || grep -qxF -e "$built" "$counts" || {
    echo "counted with $(sed -n 2p "$counts"), this is $built"
    exit 77
}

now=$(mktemp)
trap 'rm -f "$now"' EXIT
"$srcdir"/bench/count-instructions "$builddir" >"$now"
if [ "$renew" ]; then
    {
        echo '# SPDX-License-''Identifier: MIT'
        echo "$built"
        echo '# kind, bytes a message, call, instructions; 32 messages a call of a batch. make bench-instructions'
        cat "$now"
    } >"$counts"
    exit 0
fi

awk '
    /^#/ { next }
    { key = $1 " " $2 " " $3 }
    NR == FNR { kept[key] = $4; next }
    !(key in kept) { print key ": not in bench/instructions.counts"; bad = 1; next }
    { seen[key] = 1 }
    $4 > kept[key] * 1.05 + 1 { print key ": " $4 " instructions, not " kept[key]; bad = 1 }
    $4 < kept[key] * 0.95 - 1 { print key ": only " $4 " instructions, not " kept[key] ": make bench-instructions" }
    END {
        for (key in kept) if (!(key in seen)) { print key ": not called"; bad = 1 }
        exit bad
    }' "$counts" "$now"
