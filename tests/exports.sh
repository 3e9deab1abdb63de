#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The shared library shows exactly the functions that the public headers declare.
set -eu
: "${srcdir:?}" "${builddir:?}" "${CC:?}"

library=$builddir/lib/.libs/libshmring.so
[ -e "$library" ] || exit 77

declared=$($CC -E "$srcdir/include/shmring/shmring.h" | tr '\n' ' ' |
    grep -o 'visibility("default"))) [^(;]*(' | grep -o 'shmring_[a-z_]*($' | tr -d '(' | sort)
shown=$(nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort)

[ "$declared" = "$shown" ] || {
    printf 'declared:\n%s\nshown:\n%s\n' "$declared" "$shown"
    exit 1
}
