#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What bash completes after shmring.
set -eu
: "${srcdir:?}" "${builddir:?}"

source "$srcdir/tools/completion/shmring"
tool=$(cd "$builddir" && pwd)/tools/shmring
queue=completion-$$
dir=$(mktemp -d)
trap '"$tool" rm -f "$queue"; rm -rf "$dir"' EXIT
"$tool" create --capacity 4096 "$queue"
: >"$dir/spool"

expect() # EXPECTED WORD...: completing the last of the words
{
    local expected=$1
    shift
    COMP_WORDS=("$tool" "$@") COMP_CWORD=$#
    _shmring || : # outside of a completion compopt fails
    [ "${COMPREPLY[*]}" = "$expected" ] || {
        echo "after $*: ${COMPREPLY[*]}; expected $expected" >&2
        exit 1
    }
}

expect 'create' cr
expect 'stat send' s
expect '--help --version' --
expect 'spsc mpmc' create --kind ''
expect '64K' create --capacity 6
expect '--kind --capacity --max-message --max-participants --at-most-once --mode --huge-pages --prefault --or-open --help' create --
expect '--json --help' ls --
expect '--json --openmetrics --watch --help' stat --
expect '--once --delay --filter --sort --help' top --
expect 'depth dead' top --sort de
expect '' top --filter ''
expect '--length-prefixed --wait-open --timeout --no-wait --help' send --
expect '--length-prefixed --count --eof --wait-open --timeout --no-wait --help' recv --
expect '--force --help' rm --
expect '--json --help' who --
expect '--hex --json --help' dump --
expect '--json --help' recover --
expect '--all --dry-run --help' gc --
expect '' send --timeout ''
expect '' create "$queue"
for command in ls stat top who send recv dump recover rm gc; do
    expect "$queue" $command "$queue"
done
expect "$dir/spool" recv file : "$dir/s"

bridge=$builddir/bridge/shmring-bridge
[ -x "$bridge" ] || exit 0
source "$srcdir/tools/completion/shmring-bridge"
expect_bridge() # EXPECTED WORD...
{
    local expected=$1
    shift
    COMP_WORDS=("$bridge" "$@") COMP_CWORD=$#
    _shmring_bridge || :
    [ "${COMPREPLY[*]}" = "$expected" ] || {
        echo "after $*: ${COMPREPLY[*]}; expected $expected" >&2
        exit 1
    }
}
expect_bridge '--route --server --create-stream --openmetrics --log-level --check --help --version' --
expect_bridge 'error' --log-level e
