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
# reuse 6 takes whatever follows on such a line for a part of the licence's name.
word=SPDX-"License-Identifier"
strange=$(git -C "$srcdir" grep -n "$word:" -- ':!CONTRIBUTING.md' |
    grep -v "$word: MIT\( -->\| \*/\)\{0,1\}\$") || :
[ -z "$strange" ] || {
    echo "nothing may follow the licence in its line: $strange"
    exit 1
}
reuse --root "$srcdir" lint
