#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The corpus of each fuzz target, through the target.
set -u
: "${srcdir:?}" "${builddir:?}"

status=0
for target in open operations rings tools; do
    log=$(mktemp)
    if "$builddir/tests/fuzz/replay_$target" "$srcdir/tests/fuzz/corpus/$target" >"$log" 2>&1; then
        printf '%s: ' "$target"
        tail -n 1 "$log"
    else
        tail -n 30 "$log"
        echo "$target: the last input above fails"
        status=1
    fi
    rm -f "$log"
done
exit $status
