#!/bin/sh
# SPDX-License-Identifier: MIT
#
# bench/check, with rounds that this test makes up.
set -eu
: "${srcdir:?}"
perl -MJSON::PP -e 1 2>/dev/null || exit 77

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# rounds FILE NEAR FAR: three rounds in each placement, shmring this many times as fast as the best
# peer, and a batch peer and a pipe that are faster still; ten messages a ring more cost 10 ns more.
rounds()
{
    perl -MJSON::PP -e '
        my ($near, $far) = @ARGV;
        my @rounds;
        for my $n (1 .. 6) {
            my $probe = $n % 2 ? 100 : 400;
            my @same = (round => $n, mode => "throughput", wait => "spin", size => 8,
                        probe_ns => [$probe, $probe]);
            my $rate = 10 * $n;
            my $ours = $rate * ($n % 2 ? $near : $far);
            push @rounds, map { {@same, transport => $$_[0], group => $$_[1],
                                 million_messages_per_s => $$_[2]} }
                ["shmring", "rings", $ours], ["slow", "peers", $rate / 2], ["fast", "peers", $rate],
                ["fast-batch", "peers", 9 * $ours], ["pipe", "pipes", 9 * $ours];
            push @rounds, map { {@same, mode => "capacity", transport => "shmring", group => "rings",
                                 ring_messages => $_, message_ns => 90 + $_} } 10, 20, 30;
        }
        print encode_json({machine => {}, missing => [], rounds => \@rounds,
            transports => [{name => "slow", lock_free => JSON::PP::true},
                           {name => "fast", in_one_process => JSON::PP::true}]});
    ' "$2" "$3" >"$dir/$1.json"
}

goals() # LINE...
{
    printf '%s\n' "$@" >"$dir/goals"
}

expect() # STATUS WORDS FILE
{
    status=0
    "$srcdir"/bench/check "$dir/goals" "$dir/$3" >"$dir/out" 2>&1 || status=$?
    if [ "$status" != "$1" ] || ! grep -q "$2" "$dir/out"; then
        echo "status $status, not $1, or not '$2': $(cat "$dir/out")" >&2
        exit 1
    fi
}

spsc='spsc mode=throughput,size=8 million_messages_per_s shmring'
rounds better 2 1.6
rounds worse 2 1.2

goals "$spsc best 1.5 - - 0.1"
expect 0 '^spsc  *near  *2.00 of 1.5  *(fast): reached' better.json
expect 0 '^spsc  *far  *1.60 of 1.5  *(fast): reached' better.json
expect 1 '^spsc  *far  *1.20 of 1.5  *(fast): MISSED by 11 %' worse.json
expect 1 '1 missed: spsc (far)' worse.json
goals "$spsc best 1.5 - - 0.25"
expect 0 'far  *1.20 .*: within the margin' worse.json
goals "$spsc best 1.5 - 1.25 0.1"
expect 0 'far  *1.20 .*: not reached yet, was 1.25' worse.json
goals "$spsc best 1.5 - 1.4 0.1"
expect 1 'far  *1.20 .*: MISSED by 5 %' worse.json
goals "$spsc lock-free 2 - - 0.1"
expect 0 'far  *2.40 of 2  *(slow): reached' worse.json
goals "$spsc best-batch 1 - - 0.1"
expect 1 'near  *0.11 of 1  *(fast-batch): MISSED' worse.json
goals "$spsc =slow 2 - - 0.1"
expect 0 'far  *2.40 of 2  *(slow): reached' worse.json
goals "$spsc =slow 3 - - 0.1"
expect 1 'far  *2.40 of 3  *(slow): MISSED' worse.json
goals "$spsc =none 3 - - 0.1"
expect 77 'skipped.*: spsc' worse.json
goals 'flat mode=capacity,ring_messages<=20 message_ns shmring first@ring_messages 0.9 - - 0.01'
expect 0 '0.91 of 0.9  *(ring_messages 10; worst 20): reached' worse.json
goals 'flat mode=capacity,ring_messages>=20 message_ns shmring first@ring_messages 0.9 - - 0.01'
expect 0 '0.92 of 0.9  *(ring_messages 20; worst 30): reached' better.json
goals 'flat mode=capacity message_ns shmring first@ring_messages 0.9 - - 0.01'
expect 1 '0.83 of 0.9  *(ring_messages 10; worst 30): MISSED' worse.json
goals 'none mode=latency p50_ns shmring best 1 - - 0.1'
expect 77 'skipped.*: none' worse.json
goals 'short of columns'
expect 2 'goals, line 1: not name' worse.json
goals "$spsc best 1 - - 0.1"
expect 2 'No such file' none.json

goals '# a comment' "$spsc best 1.5   -     0.70  0.1"
"$srcdir"/bench/check --renew "$dir/goals" "$dir/worse.json" >"$dir/out"
printf '%s\n' '# a comment' "$spsc best 1.5   2.00  1.20  0.1" | diff - "$dir/out"

goals '# a comment' "$spsc best 1.5   -     0.70  0.1" 'none mode=latency p50_ns shmring best 1 - - 0.1'
"$srcdir"/bench/check --table "$dir/goals" "$dir/worse.json" >"$dir/out"
printf '%s\n' '| | goal | near | far |' '|---|---:|---|---|' \
    '| spsc | 1.5 | **2.00, fast** (threads); 4.00, slow | 1.20, fast (threads); 2.40, slow |' '| none | 1 |  |  |' | diff - "$dir/out"

# bench/check can read all goals in bench/goals.
status=0
"$srcdir"/bench/check "$srcdir/bench/goals" "$dir/better.json" >"$dir/out" 2>&1 || status=$?
[ "$status" = 0 ] || { cat "$dir/out" >&2; exit 1; }
grep -q '^spsc-8 .*reached' "$dir/out"
