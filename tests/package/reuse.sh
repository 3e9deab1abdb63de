#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Each file says under which licence it is, as https://reuse.software has it. What is in git: a tarball
# has files of autoconf's, automake's and libtool's besides.
set -eu
: "${srcdir:?}"

command -v reuse >/dev/null || {
    echo 'the licences were not looked at: no reuse (Debian: apt-get install reuse)'
    exit 77
}
[ -e "$srcdir/.git" ] || {
    echo 'the licences were not looked at: no git checkout'
    exit 77
}
reuse --root "$srcdir" lint
