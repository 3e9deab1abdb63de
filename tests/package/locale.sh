#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The tests choose their locale: if the environment asks for German numbers and words, the output is the
# same, and all tests are counted.
set -eu
: "${srcdir:?}" "${builddir:?}" "${CC:?}"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
tests=$(cd "$srcdir/tests" && pwd)

unset LC_ALL LANGUAGE
LOCPATH=$dir LANG=de_DE.UTF-8
export LOCPATH LANG
localedef -i de_DE -f UTF-8 "$dir/de_DE.UTF-8" >"$dir/log" 2>&1 || {
    echo 'no German locale: localedef cannot make one here'
    exit 77
}
sh "$tests/package/readme.sh"
case ${CFLAGS-} in *-fsanitize=thread*) exit 0 ;; esac # not Criterion
"$tests/support/run-checked" "$builddir/tests/package/version" 2>&1 | grep 'Synthesis: Tested: [1-9]'
