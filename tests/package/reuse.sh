#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Each file names its licence, in the form of https://reuse.software. Only files in git are checked: a
# tarball also has files of autoconf, automake and libtool.
set -eu
: "${srcdir:?}"

command -v reuse >/dev/null || {
    echo 'the licences were not checked: no reuse (Debian: apt-get install reuse)'
    exit 77
}
[ -e "$srcdir/.git" ] || {
    echo 'the licences were not checked: no git checkout'
    exit 77
}
reuse --root "$srcdir" lint
