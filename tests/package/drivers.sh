#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The scripts that run the suites and add them up count every test that passed, and report every failure.
set -eu
: "${srcdir:?}"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
tests=$(cd "$srcdir/tests" && pwd)

#
# summarise
#

log() # NAME RESULT TEXT
{
    mkdir -p "$(dirname "$dir/$1")"
    printf '%s\n' "$3" >"$dir/$1.log"
    echo ":test-result: $2" >"$dir/$1.trs"
}

adds_up_to() # WORDS LOG...
{
    words=$1
    shift
    (cd "$dir" && "$tests/support/summarise" "$@") >"$dir/said" || :
    grep -qF "$words" "$dir/said" || {
        echo "summarise $*: expected $words"
        cat "$dir/said"
        exit 1
    }
}

# A suite that passed, but whose output has no known summary, is not counted as one test.
log spsc/some PASS '[====] Synthese: Getestet: 3 | Bestanden: 3 | Fehler: 0'
adds_up_to 'Tested: 1 | Passing: 0 | Failing: 0 | Crashing: 1' spsc/some.log
log spsc/some PASS '[====] Synthesis: Tested: 3 | Passing: 3 | Failing: 0 | Crashing: 0'
adds_up_to 'Tested: 3 | Passing: 3 | Failing: 0 | Crashing: 0' spsc/some.log
# A script is one test, in whatever folder it is.
log prove/fuzz/corpus PASS ''
log there/tests/package/abi FAIL 'a difference'
log package/python SKIP 'no python3'
adds_up_to 'Tested: 5 | Passing: 4 | Failing: 1 | Crashing: 0' spsc/some.log \
    prove/fuzz/corpus.log there/tests/package/abi.log package/python.log

#
# run-checked
#

report() # TEXT: a sanitizer has written this when the processes of a suite have ended
{
    printf '%s\n' "$1" >"$dir/report"
}

# shellcheck disable=SC2016 # another shell's
suite='cp "$1" "$REPORTS/asan.1"; exit $2'
passes() # STATUS
{
    sh "$tests/support/run-checked" sh -c "$suite" suite "$dir/report" "$1" >"$dir/said" 2>&1
}

criterions='Direct leak of 48 byte(s) in 1 object(s) allocated from:
    #0 0x7f2a164b83b7 in __interceptor_calloc
    #1 0x7f2a163ef332  (/lib/x86_64-linux-gnu/libcriterion.so.3+0x1a332)'
ours='Direct leak of 8 byte(s) in 1 object(s) allocated from:
    #0 0x7f2a164b83b7 in __interceptor_malloc
    #1 0x55d0c0ffee00 in shmring_open lib/api/open.c:1
    #2 0x7f2a163ef332  (/lib/x86_64-linux-gnu/libcriterion.so.3+0x1a332)'
nobodys='Direct leak of 8 byte(s) in 1 object(s) allocated from:
    #0 0x7f2a164b83b7 in __interceptor_malloc'
leaks='==1==ERROR: LeakSanitizer: detected memory leaks'

report "$leaks
$criterions"
passes 0 || {
    cat "$dir/said"
    exit 1
}
passes 1 && exit 1
for text in "$ours" "$criterions
$ours" "$nobodys" "$criterions
$nobodys"; do
    report "$leaks
$text"
    passes 0 && exit 1
done
report '==1==ERROR: AddressSanitizer: heap-use-after-free
    #1 0x7f2a163ef332  (/lib/x86_64-linux-gnu/libcriterion.so.3+0x1a332)'
passes 0 && exit 1
report 'ThreadSanitizer: data race'
passes 0 && exit 1
rm "$dir/report"
: >"$dir/report"
passes 0
