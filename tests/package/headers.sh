#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Every public header compiles alone, without a warning, in each C and C++ standard that we promise, with
# gcc and with clang, or with the one of them that is installed.
set -eu
: "${srcdir:?}" "${CC:?}"

warnings='-Wall -Wextra -Wconversion -Wsign-conversion -Wpedantic -Wundef -Wcast-qual -Wshadow
    -Wredundant-decls -Werror'
warnings_c='-Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition'
warnings_cxx='-Wold-style-cast -Wzero-as-null-pointer-constant -Woverloaded-virtual'
status=0

compile() # COMPILER LANGUAGE STANDARD HEADER
{
    case $2 in c) own=$warnings_c ;; *) own=$warnings_cxx ;; esac
    # shellcheck disable=SC2086 # a list of words
    echo "#include <$4>" | $1 -x "$2" -std="$3" $warnings $own -I"$srcdir/include" -fsyntax-only - || {
        echo "$1: $4 does not compile as $3"
        status=1
    }
}

knows() # COMPILER LANGUAGE STANDARD
{
    $1 -x "$2" -std="$3" -fsyntax-only - </dev/null 2>/dev/null
}

# COMPILER LANGUAGE EXTENSION STANDARD...: every header with this extension, in each of the standards
# that the compiler knows
compile_all()
{
    compiler=$1 language=$2 extension=$3
    shift 3
    for header in "$srcdir"/include/shmring/*."$extension"; do
        for standard in "$@"; do
            knows "$compiler" "$language" "$standard" || continue
            compile "$compiler" "$language" "$standard" "shmring/${header##*/}"
        done
    done
}

# Those of these commands that are installed, each once.
each_of() # COMMAND...
{
    for command in "$@"; do
        ! command -v "$command" >/dev/null || echo "$command"
    done | sort -u
}

for compiler in $(each_of "${CC%% *}" gcc clang); do
    compile_all "$compiler" c h c11 c17 gnu11 c2x
done
found=
for compiler in $(each_of "${CXX:-g++}" g++ clang++); do
    found=$compiler
    compile_all "$compiler" c++ h c++11 c++14 c++17 c++20 c++2b
    compile_all "$compiler" c++ hpp c++17 c++20 c++2b
done
[ "$status" -eq 0 ] || exit 1
[ -n "$found" ] || {
    echo "no C++ compiler: only tried as C"
    exit 77
}
