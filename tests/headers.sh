#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Every public header compiles alone, without a warning, in each C and C++ we promise.
set -eu
: "${srcdir:?}" "${CC:?}"

warnings='-Wall -Wextra -Wconversion -Wpedantic -Werror'
status=0

compile() # COMPILER LANGUAGE STANDARD HEADER
{
    # shellcheck disable=SC2086 # a list of words
    echo "#include <$4>" | $1 -x "$2" -std="$3" $warnings -I"$srcdir/include" -fsyntax-only - || {
        echo "$4 does not compile as $3"
        status=1
    }
}

cxx=${CXX:-g++}
command -v "$cxx" >/dev/null || cxx=
for header in "$srcdir"/include/shmring/*.h; do
    header=shmring/${header##*/}
    for standard in c11 c17 gnu11; do
        compile "$CC" c "$standard" "$header"
    done
    for standard in c++11 c++20; do
        [ -z "$cxx" ] || compile "$cxx" c++ "$standard" "$header"
    done
done
[ "$status" -eq 0 ] || exit 1
[ -n "$cxx" ] || {
    echo "no C++ compiler: only tried as C"
    exit 77
}
