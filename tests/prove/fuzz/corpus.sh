#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The corpus of each fuzz target, through the target; and archives that replay has to refuse.
set -u
: "${srcdir:?}" "${builddir:?}"

corpus=$srcdir/tests/prove/fuzz/corpus
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
status=0
for target in open operations recordings rings tools; do
    log=$dir/$target.log
    if "$builddir/tests/prove/fuzz/replay_$target" "$corpus/$target.tar" >"$log" 2>&1; then
        printf '%s: ' "$target"
        tail -n 1 "$log"
    else
        tail -n 30 "$log"
        echo "$target: the last input above fails"
        status=1
    fi
done

# Replay refuses an archive that is not whole, before it tries an input: exit status 2.
refuses() # ARCHIVE, WORDS
{
    "$builddir/tests/prove/fuzz/replay_rings" "$1" >"$dir/log" 2>&1
    got=$?
    if [ "$got" -ne 2 ] || ! grep -q "$2" "$dir/log"; then
        echo "$1: exit status $got, and these are not the words \"$2\":"
        tail -n 3 "$dir/log"
        status=1
    fi
}

whole=$corpus/rings.tar
bytes=$(wc -c <"$whole")
refuses "$dir/missing.tar" 'cannot be read'
: >"$dir/empty.tar"
refuses "$dir/empty.tar" 'ends in the middle'
head -c 1024 /dev/zero >"$dir/no-members.tar"
refuses "$dir/no-members.tar" 'has no members'
head -c $((bytes - 1024)) "$whole" >"$dir/no-end.tar"
refuses "$dir/no-end.tar" 'ends in the middle'
head -c $((bytes - 512)) "$whole" >"$dir/half-an-end.tar"
refuses "$dir/half-an-end.tar" 'two blocks of zeroes'
head -c $((bytes - 1025)) "$whole" >"$dir/half-a-member.tar"
refuses "$dir/half-a-member.tar" 'in the middle of a member'
{ printf x && tail -c +2 "$whole"; } >"$dir/damaged.tar"
refuses "$dir/damaged.tar" 'a header is damaged'
exit $status
