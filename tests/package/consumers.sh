#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Projects that are built with CMake and with meson find what `make install` installed, and run. `make
# uninstall` leaves neither a file nor a folder of ours.
set -eu
: "${srcdir:?}" "${builddir:?}"

unable()
{
    echo "$*"
    exit 77
}

[ -e "$builddir/mux/.libs/libshmring-mux.so" ] || unable 'no shared library of the mux'
command -v "${CXX:-g++}" >/dev/null || unable 'no C++ compiler'
case ${CFLAGS-} in *-fsanitize=*) unable 'a sanitizer is in the libraries' ;; esac
cmake=$(command -v cmake) || echo 'no cmake'
meson=$(command -v meson) || echo 'no meson'

# quietly COMMAND...: show its output only if it fails
quietly()
{
    "$@" >"$dir/log" 2>&1 || {
        cat "$dir/log"
        exit 1
    }
}

source=$(cd "$srcdir/tests/package/consumers" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# The consumers get neither the flags of this build nor the variables of its make.
unset CFLAGS MAKEFLAGS MFLAGS
# Other tests must not run the libraries meanwhile: see tests/support/run-beside.
set --
! flock --version >/dev/null 2>&1 || set -- flock --exclusive --close "$builddir/tests/running"
quietly "$@" make -C "$builddir" install DESTDIR="$dir/root"
# PKG_CONFIG_SYSROOT_DIR would move liburcu as well.
PKG_CONFIG_PATH=$(dirname "$(find "$dir/root" -name libshmring.pc)")
sed -i "s|^\([a-z_]*\)=/|\1=$dir/root/|" "$PKG_CONFIG_PATH"/*.pc
LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH")
export PKG_CONFIG_PATH LD_LIBRARY_PATH

run() # BUILD: run the programs that were built there
{
    version=$(pkg-config --modversion libshmring)
    [ "$("$1/version")" = "$version" ]
    "$1/open"
}

[ -z "$cmake" ] || {
    quietly cmake -S "$source/cmake" -B "$dir/cmake"
    quietly make -C "$dir/cmake"
    run "$dir/cmake"
}
[ -z "$meson" ] || {
    # meson reads no file above its own folder.
    mkdir "$dir/project"
    cp "$source"/*.c* "$source/meson/meson.build" "$dir/project"
    quietly meson setup "$dir/meson" "$dir/project"
    quietly meson compile -C "$dir/meson"
    run "$dir/meson"
}

quietly make -C "$builddir" uninstall DESTDIR="$dir/root"
left=$(find "$dir/root" ! -type d -o -name '*shmring*')
[ -z "$left" ] || {
    printf 'left by make uninstall:\n%s\n' "$left"
    exit 1
}
[ -n "$cmake$meson" ] || exit 77
