#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The tests choose their locale: with German numbers and words around them they say the same, and are
# all counted.
set -eu
: "${srcdir:?}" "${builddir:?}" "${CC:?}"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
tests=$(cd "$srcdir/tests" && pwd)

# A suite that passed, and did not say so in words that are known, is not taken for one test.
cat >"$dir/test_some.log" <<'END'
[====] Synthese: Getestet: 3 | Bestanden: 3 | Fehler: 0 | Abstürze: 0
END
echo ':test-result: PASS' >"$dir/test_some.trs"
"$tests/summarise" "$dir/test_some.log" && exit 1
sed -i 's/.*/[====] Synthesis: Tested: 3 | Passing: 3 | Failing: 0 | Crashing: 0/' "$dir/test_some.log"
"$tests/summarise" "$dir/test_some.log" | grep 'Tested: 3 | Passing: 3 '

unset LC_ALL LANGUAGE
LOCPATH=$dir LANG=de_DE.UTF-8
export LOCPATH LANG
localedef -i de_DE -f UTF-8 "$dir/de_DE.UTF-8" >"$dir/log" 2>&1 || {
    echo 'no German locale: localedef cannot make one here'
    exit 77
}
sh "$tests/readme.sh"
case ${CFLAGS-} in *-fsanitize=thread*) exit 0 ;; esac # not Criterion
"$tests/run-checked" "$builddir/tests/test_version" 2>&1 | grep 'Synthesis: Tested: [1-9]'
