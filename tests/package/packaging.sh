#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The change log and the packages have the version and the symbols of what is built.
set -eu
: "${srcdir:?}" "${builddir:?}"

fail()
{
    echo "$*" >&2
    exit 1
}

version=$(sed -n 's/^#define PACKAGE_VERSION "\(.*\)"/\1/p' "$builddir/config.h")
newest=$(sed -n 's/^## \([0-9.]*\).*/\1/p' "$srcdir/CHANGELOG.md" | head -n 1)
[ "$newest" = "$version" ] || fail "CHANGELOG.md is about $newest, not $version"
debian=$(sed -n '1s/^shmring (\(.*\)-[^-]*) .*/\1/p' "$srcdir/debian/changelog")
[ "$debian" = "$version" ] || fail "debian/changelog is about $debian, not $version"

symbols_of_map() # FILE
{
    awk '/^SHMRING.*{$/ { node = $1; print node "@" node }
        /^    shmring_/ { sub(/;/, ""); print $1 "@" node }' "$1" | sort
}

symbols_of_debian() # FILE
{
    awk '/^ / { print $1 }' "$1" | sort
}

for library in shmring shmring-mux; do
    map=$(symbols_of_map "$srcdir"/*/lib$library.map)
    symbols=$(symbols_of_debian "$srcdir/debian/lib${library}0.symbols")
    [ -n "$map" ] || fail "found no symbols for lib$library"
    [ "$map" = "$symbols" ] ||
        fail "debian/lib${library}0.symbols and lib$library.map differ; the latter has
$map"
done
