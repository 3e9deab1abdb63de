#!/bin/sh
# SPDX-License-Identifier: MIT
#
# shmring.hpp, and mux.hpp where there is a mux, with each C++ standard that they are for, with the built
# libraries, and also without exceptions.
set -eu
: "${srcdir:?}" "${builddir:?}"

cxx=${CXX:-g++}
command -v "$cxx" >/dev/null || {
    echo "no C++ compiler"
    exit 77
}
library=$builddir/lib/.libs
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# The sanitizers must be the same as in the library.
flags='-Wall -Wextra -Wconversion -Wpedantic -Werror -g -O1'
for flag in ${CFLAGS-}; do
    case $flag in -fsanitize* | -fno-sanitize*) flags="$flags $flag" ;; esac
done

compile() # STANDARD FLAG...
{
    standard=$1
    shift
    # shellcheck disable=SC2086 # a list of words
    "$cxx" $flags -std="$standard" -I"$srcdir/include" "$@"
}

urcu=$(sed -n 's/^URCU_LIBS = //p' "$builddir/Makefile")
for standard in c++17 c++20; do
    compile $standard "$srcdir/tests/package/cxx.cpp" -o "$dir/cxx" -L"$library" -lshmring -pthread
    LD_LIBRARY_PATH=$library "$dir/cxx"
    [ -e "$builddir/mux/libshmring-mux.la" ] || continue
    # shellcheck disable=SC2086 # a list of words
    compile $standard "$srcdir/tests/package/cxx_mux.cpp" -o "$dir/cxx_mux" \
        -L"$builddir/mux/.libs" -lshmring-mux -L"$library" -lshmring $urcu -pthread
    LD_LIBRARY_PATH=$library:$builddir/mux/.libs "$dir/cxx_mux"
done

echo '#include <shmring/mux.hpp>
bool use(shmr::queue &q) { return q.send("") && q.reserve(1, shmr::timeout::forever()); }
bool use(shmr::mux &m, shmr::queue &q) { return m.add(q, SHMRING_READABLE) && shmr::mux::create(); }' >"$dir/plain.cpp"
compile c++17 -fno-exceptions -fno-rtti -c "$dir/plain.cpp" -o "$dir/plain.o"
