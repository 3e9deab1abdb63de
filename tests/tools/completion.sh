#!/bin/bash
# SPDX-License-Identifier: MIT
#
# bash completes the options and arguments of shmring and the other programs.
set -eu
: "${srcdir:?}" "${builddir:?}"

source "$srcdir/tools/completion/shmring"
tool=$(cd "$builddir" && pwd)/tools/shmring
dir=$(mktemp -d)
queue=completion-${dir##*.} # a name that no queue had before
trap '"$tool" rm -f "$queue"; rm -rf "$dir"' EXIT
"$tool" create --capacity 4096 "$queue"
: >"$dir/spool"

completes() # FUNCTION PROGRAM EXPECTED WORD...: completing the last of the words
{
    local function=$1 program=$2 expected=$3
    shift 3
    COMP_WORDS=("$program" "$@") COMP_CWORD=$#
    $function || : # outside of a completion compopt fails
    [ "${COMPREPLY[*]}" = "$expected" ] || {
        echo "${program##*/}, after $*: ${COMPREPLY[*]}; expected $expected" >&2
        exit 1
    }
}

expect() # EXPECTED WORD...
{
    completes _shmring "$tool" "$@"
}

expect 'create' cr
expect 'stat send' s
expect '--help --version' --
expect 'spsc mpmc broadcast' create --kind ''
expect '64K' create --capacity 6
expect '--kind --capacity --max-message --max-participants --at-most-once --mode --huge-pages --prefault --or-open --help' create --
expect '--json --help' ls --
expect '--json --openmetrics --watch --help' stat --
expect '--once --delay --filter --sort --help' top --
expect 'depth dead' top --sort de
expect 'lag' top --sort la
expect '' top --filter ''
expect '--length-prefixed --key --wait-open --timeout --no-wait --help' send --
expect '--length-prefixed --count --eof --new-producer --from --reliable --wait-open --timeout --no-wait --help' recv --
expect '--count --eof --new-producer --from --reliable --wait-open --timeout --no-wait --help' record --
expect '--speed --fast --wait-open --timeout --no-wait --help' replay --
expect 'newest oldest key' recv --from ''
expect 'oldest' record -f o
expect '' replay -s ''
expect '' replay --speed ''
expect '--force --help' rm --
expect '--json --help' who --
expect '--hex --json --help' dump --
expect '--json --help' recover --
expect '--all --dry-run --help' gc --
expect '' send --timeout ''
expect '-l --length-prefixed -k --key -w --wait-open -t --timeout -n --no-wait -h --help' send -
expect '-f --force -h --help' rm -
expect '-j --json -o --openmetrics -w --watch -h --help' stat -
expect '-h' create -h
expect '' send -t ''
expect '' recv -c ''
expect '' stat -w ''
expect '' top -f ''
expect 'depth dead' top -s de
expect "$queue" rm -f "$queue"
expect "$queue" recv -w "$queue"
expect '' create "$queue"
for command in ls stat top who send recv record replay dump recover rm gc; do
    expect "$queue" $command "$queue"
done
expect "$dir/spool" recv file : "$dir/s"
expect "$dir/spool" record "$queue" "$dir/s"
expect "$dir/spool" replay --fast "$queue" "$dir/s"

bench=$builddir/bench/shmring-bench
source "$srcdir/tools/completion/shmring-bench"
expect_bench() # EXPECTED WORD...
{
    completes _shmring_bench "$bench" "$@"
}
expect_bench '--list --transports --sizes --mode --wait --rate --configs --consumers --speeds --policy --batch --capacity --rounds --seconds --timeout --cpus --no-pin --json --csv --plots --quiet --help --version' --
expect_bench 'pipe pipe-batch pipe-each' -t pip
expect_bench 'shmring,tcp' --transports shmring,tc
expect_bench 'mpmc' --mode mp
expect_bench 'spin' --policy s
expect_bench 'block' -w bl
expect_bench "$dir/spool" --json "$dir/s"
mkdir "$dir/pictures"
expect_bench "$dir/pictures" --plots "$dir/"
expect_bench '' --sizes ''
expect_bench '-q' -q
# Each mode is completed, and shmring-bench knows each.
COMP_WORDS=("$bench" --mode '') COMP_CWORD=2
_shmring_bench || :
[ "${#COMPREPLY[@]}" -gt 10 ]
for mode in "${COMPREPLY[@]}"; do
    "$bench" --quiet --mode "$mode" --list >/dev/null
done

source "$srcdir/tools/completion/shmring-bench-report"
expect_report() # EXPECTED WORD...
{
    completes _shmring_bench_report "$srcdir/bench/shmring-bench-report" "$@"
}
expect_report '--output --results --source --help' --
expect_report '-o --output -r --results -s --source -h --help' -
expect_report "$dir/pictures" -o "$dir/"
expect_report "$dir/spool" "$dir/s"

bridge=$builddir/bridge/shmring-bridge
[ -x "$bridge" ] || exit 0
source "$srcdir/tools/completion/shmring-bridge"
expect_bridge() # EXPECTED WORD...
{
    completes _shmring_bridge "$bridge" "$@"
}
expect_bridge '--route --server --create-stream --openmetrics --log-level --check --help --version' --
expect_bridge 'error' --log-level e
expect_bridge 'error' -l e
expect_bridge '-r --route -s --server --create-stream --openmetrics -l --log-level -c --check -h --help -V --version' -
