#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The shared libraries show exactly the functions that their public headers declare, and the mux uses
# nothing of libshmring that is not public.
set -eu
: "${srcdir:?}" "${builddir:?}" "${CC:?}"

declared_in() # HEADER
{
    $CC -E -I"$srcdir/include" "$srcdir/include/shmring/$1" | tr '\n' ' ' |
        grep -o 'visibility("default"))) [^(;]*(' | grep -o 'shmring_[a-z_]*($' | tr -d '(' | sort
}

shown_by() # LIBRARY
{
    nm -D --defined-only "$1" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort
}

check() # LIBRARY DECLARED
{
    shown=$(shown_by "$1")
    [ "$2" = "$shown" ] || {
        printf '%s\ndeclared:\n%s\nshown:\n%s\n' "$1" "$2" "$shown"
        exit 1
    }
}

library=$builddir/lib/.libs/libshmring.so
mux=$builddir/mux/.libs/libshmring-mux.so
[ -e "$library" ] || exit 77

public=$(declared_in shmring.h)
check "$library" "$public"
[ -e "$mux" ] || exit 0
# mux.h includes shmring.h
check "$mux" "$(declared_in mux.h | grep '^shmring_mux_')"
! nm -D --undefined-only "$mux" | grep -q ' shmr_'
