#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The report that shmring-bench-report makes is complete: it has a chart and a table of each measurement.
set -eu
: "${srcdir:?}" "${builddir:?}"
perl -MJSON::PP -e 1 2>/dev/null || exit 77

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
report=$srcdir/bench/shmring-bench-report

fail()
{
    echo "$*" >&2
    exit 1
}

# measure NAME OPTION...: rounds so short that their figures mean nothing
measure()
{
    name=$1
    shift
    "$builddir"/bench/shmring-bench -q -r 2 --seconds 0.002 --timeout 100 "$@" \
        --json "$dir/$name.json" >"$dir/out" || fail "shmring-bench $*: $(cat "$dir/out")"
}

measure pairs -t shmring,shmring-batch,pipe,pipe-batch,posix-shm -s 8,64
measure block -t shmring,pipe -s 8,64 -w block
measure mpmc -m mpmc -t shmring-mpmc -s 8 --configs 1x1,2x2
measure uncontended -m uncontended -t shmring,shmring-mpmc -s 8,64
measure capacity -m capacity -t shmring
measure participants -m participants -t shmring-mpmc
measure stopped -m stopped -t shmring-mpmc
measure broadcast -m broadcast -t shmring-broadcast,shmring-spsc-each -s 8 --consumers 1,2 --speeds 250000,2000000

# Whatever this machine did meanwhile, pretend that all processors were equally near and that every process
# had a time slice: otherwise the charts differ.
sed -i 's/"others_before_million_per_s": 0,/"others_before_million_per_s": 1,/' "$dir"/stopped.json
sed -i 's/"probe_ns": \[[^]]*\]/"probe_ns": [100.0, 100.0]/' "$dir"/*.json
"$report" -o "$dir/report" "$dir"/*.json >"$dir/out" 2>&1 || fail "no report: $(cat "$dir/out")"
[ ! -s "$dir/out" ] || fail "it said: $(cat "$dir/out")"

for name in pairs block mpmc uncontended capacity participants stopped broadcast; do
    cmp "$dir/$name.json" "$dir/report/$name.json"
    grep -q "<a href=\"$name.json\">" "$dir/report/index.html" || fail "no link to $name.json"
done

# Every tag is closed, every chart has its data, and no number is missing.
perl -0777 -ne '
    my @open;
    while (/<(\/?)([a-zA-Z0-9]+)[^<>]*?(\/?)>/g) {
        next if $3;
        $1 ? (pop(@open) // "") eq $2 || die "</$2> closes nothing" : push @open, $2;
    }
    die "not closed: @open" if @open;
    for my $figure (/<figure>.*?<\/figure>/sg) {
        my ($title) = $figure =~ /<h3>(.*?)<\/h3>/;
        die "$title: nothing drawn" unless $figure =~ /<circle |<rect /;
        die "$title: no figures" unless $figure =~ /<td>[0-9]/;
    }
    die "a number is missing" if /\b(nan|inf)\b/i;
    die "it refers to the network" if /(src|href)="?[a-z]+:/;
    my $n = () = /<svg /g;
    print "$n\n";
' "$dir/report/index.html" | sed 's/^<!DOCTYPE html>//' >"$dir/charts"
# throughput: spinning, batch, blocking; latency: 2 sizes x 2; mpmc: 2 policies, and their 4 processes;
# CPU: 2 sizes x 2; one process: 2 sizes; participants; capacity; 4 x stopped;
# broadcast: sent, received, first, last, missed, asleep
[ "$(cat "$dir/charts")" = 29 ] || fail "$(cat "$dir/charts") charts, not 29"

for words in 'Throughput by size' Latency 'Many producers and consumers' \
    'More processes than processors' 'CPU cost' 'One process alone' 'number of participants' 'the capacity' \
    Broadcast 'One is stopped or killed' 'Raw data'; do
    grep -q "<h2>.*$words" "$dir/report/index.html" || fail "no $words in the page"
    grep -q "^## .*$words" "$dir/report/report.md" || fail "no $words in report.md"
done
grep -q '^| shmring-mpmc | ' "$dir/report/report.md" || fail "no table in report.md"

# Many transports, one of them with a long name, and the crews in the other order.
perl -MJSON::PP -0777 -e '
    my ($from, $to) = @ARGV;
    open my $f, "<", $from or die "$from: $!";
    my $run = decode_json(<$f>);
    my @rounds = reverse @{$run->{rounds}};
    push @{$run->{rounds}}, map { my $n = $_; map { {%$_, transport => $n} } @rounds }
      map("other-$_", 1 .. 25), "a-name-that-is-longer-than-the-label-is-wide";
    $run->{rounds} = [reverse @{$run->{rounds}}];
    open my $g, ">", $to or die "$to: $!";
    print $g encode_json($run);
' "$dir/mpmc.json" "$dir/many.json"
"$report" -o "$dir/many" "$dir/pairs.json" "$dir/many.json"
# No two series have the same style, nothing is outside of a picture, and the crews are in order.
perl -0777 -ne '
    my (%name, %class, $narrow);
    while (/<(?:li|g|rect) [^>]*class="([os][0-9]+(?: lap[0-9])?)[^"]*"[^>]*>(?:<title>|\s*<title>)?([^<\n]*)/g) {
        my ($class, $name) = ($1, $2);
        next if $name eq "";
        die "$class is $name{$class} and $name\n" if ($name{$class} //= $name) ne $name;
        die "$name is $class{$name} and $class\n" if ($class{$name} //= $class) ne $class;
    }
    die "only " . keys(%name) . " series\n" if keys %name < 8;
    while (/<text x="([0-9.]+)" y="[0-9.]+" text-anchor="(\w+)"([^>]*)>([^<]*)/g) {
        my ($x, $anchor, $rest, $text) = ($1, $2, $3, $4);
        my ($length) = $rest =~ / textLength="([0-9.]+)"/;
        my $wide = $length // 6.4 * length $text;
        my $from = $anchor eq "start" ? $x : $anchor eq "end" ? $x - $wide : $x - $wide / 2;
        die "outside: $text\n" if $from < 0 || $from + $wide > 360;
        $narrow++ if $length && $text =~ /longer-than/;
    }
    die "no name was long\n" unless $narrow;
    my @crews = grep { /2P2C</ } /<svg .*?<\/svg>/sg;
    die "the crews are not in order\n" if !@crews || grep { !/1P1C<.*2P2C</s } @crews;
' "$dir/many/index.html"

# A report that is made again is the same. --results makes a page of one run, which names its source; of
# runs of two versions it makes none.
"$report" -o "$dir/again" "$dir/report/run.json"
grep -v 'json)' "$dir/report/report.md" >"$dir/one.md"
grep -v 'json)' "$dir/again/report.md" >"$dir/two.md"
cmp "$dir/one.md" "$dir/two.md"
"$report" --results "$dir/results.md" --source 'commit 1234567' "$dir/report/run.json"
grep -q '^Made by `make bench-results` of one run, of commit 1234567: ' "$dir/results.md" ||
    fail "results.md does not say of what it was made: $(head "$dir/results.md")"
for words in '## Throughput by size' '    shmring-bench .* -m mpmc' '| shmring-mpmc | '; do
    grep -q "^$words" "$dir/results.md" || fail "no $words in results.md"
done
sed 's/"library": "[^"]*"/"library": "0.0.1"/' "$dir/mpmc.json" >"$dir/older.json"
if "$report" --results "$dir/mixed.md" --source x "$dir/pairs.json" "$dir/older.json" 2>"$dir/out"; then
    fail 'two versions on one page'
fi
grep -q 'not of one run' "$dir/out" && grep -q 'shmring 0.0.1' "$dir/out" || fail "$(cat "$dir/out")"

# A process that had half of a processor was not alone on it, unless the bench put both there.
for cpus in '0, 1' '0, 0'; do
    sed 's/"cpus_busy": [0-9.]*/"cpus_busy": 0.5/; s/"cpus": \[[^]]*\]/"cpus": ['"$cpus"']/' \
        "$dir/pairs.json" >"$dir/busy.json"
    "$report" -o "$dir/busy" "$dir/busy.json"
    if grep -q 'Other work ran' "$dir/busy/report.md"; then said=yes; else said=no; fi
    [ "$cpus $said" = '0, 1 yes' ] || [ "$cpus $said" = '0, 0 no' ] || fail "CPUs $cpus: $said"
done

# Errors.
expect() # STATUS WORDS ARGUMENT...
{
    status=0 expected=$1 words=$2
    shift 2
    "$report" "$@" >"$dir/out" 2>&1 || status=$?
    [ "$status" = "$expected" ] || fail "$*: status $status"
    grep -q "$words" "$dir/out" || fail "$*: $(cat "$dir/out")"
}
echo '{"rounds": 1}' >"$dir/other.json"
expect 0 Usage --help
expect 2 Usage
expect 2 Usage --no-such-option "$dir/pairs.json"
expect 2 Usage --results "$dir/results.md" "$dir/pairs.json"
expect 1 'No such file' "$dir/none.json"
expect 1 'not what shmring-bench' "$dir/other.json"
expect 1 'No such file' -o "$dir/no/such" "$dir/pairs.json"
