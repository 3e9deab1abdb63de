# SPDX-License-Identifier: MIT
# What the report shows: sections of figures, each a chart and the table it was made of.
package Figures;

use strict;
use warnings;
use utf8;
use Chart;
use List::Util ();
use Rounds;

use constant PEERS_IN_A_CHART => 7;

my %wait_words = (spin => 'spinning', block => 'blocking', yield => 'spinning, then yielding');

sub waits {
    my ($rounds) = @_;
    return grep {
        my $wait = $_;
        grep { $_->{wait} eq $wait } @$rounds
    } 'spin', 'yield', 'block';
}

sub size_words {
    my ($n) = @_;
    return
        $n >= 1 << 20 && $n % (1 << 20) == 0 ? ($n >> 20) . ' MiB'
      : $n >= 1 << 10 && $n % (1 << 10) == 0 ? ($n >> 10) . ' KiB'
      :                                        "$n B";
}

# Classes for each transport, the same in all charts and no other transport's: shades of one colour
# for ours, a colour each for the others; when the colours are used up, again with another line.
use constant {OUR_COLOURS => 6, OTHER_COLOURS => 8};

sub classes {
    my ($data) = @_;
    my (%class, %given);
    for my $name (Rounds::values_of($data->{rounds}, 'transport')) {
        my ($letter, $colours) = Rounds::is_ours($name) ? ('o', OUR_COLOURS) : ('s', OTHER_COLOURS);
        my $n   = $given{$letter}++ // 0;
        my $lap = int($n / $colours);
        $class{$name} = $letter . $n % $colours . ($lap ? " lap$lap" : '');
    }
    return \%class;
}

# Ours, and the best of the others by what rank() says of them; an undef is worst.
sub chosen {
    my ($rank, $higher, @names) = @_;
    my %rank   = map  { $_ => $rank->($_) } @names;
    my @others = sort { ($higher ? -1 : 1) * ($rank{$a} <=> $rank{$b}) || $a cmp $b }
      grep { !Rounds::is_ours($_) && defined $rank{$_} } @names;
    splice @others, PEERS_IN_A_CHART if @others > PEERS_IN_A_CHART;
    return ((grep { Rounds::is_ours($_) && defined $rank{$_} } @names), @others);
}

# Curves of a metric of each transport over the values of a field, and the table of them.
sub curves {
    my ($data, $rounds, %f) = @_;
    my @places = @{$f{places}};
    my @names  = Rounds::values_of($rounds, 'transport');
    my (%points, @rows);
    for my $name (@names) {
        my $its = Rounds::where($rounds, transport => $name);
        $points{$name} = [
            map {
                my $p = $_;
                Rounds::median(
                    $f{value}
                    ? map { $f{value}->($_, $p) } @$its
                    : map { $_->{$f{metric}} } grep { $f{at}->($_) eq $p } @$its
                )
            } @places
        ];
        push @rows, [$name, map { Chart::figure($_) } @{$points{$name}}];
    }
    my @shown = chosen(sub { Rounds::median(@{$points{$_[0]}}) }, $f{higher}, @names);
    my $svg   = Chart::curves(
        title  => $f{title},
        unit   => $f{unit},
        across => $f{across},
        places => [map { $f{label} ? $f{label}->($_) : $_ } @places],
        series => [
            map {
                {
                    name   => $_,
                    class  => $data->{classes}{$_},
                    points => $points{$_},
                    strong => Rounds::is_ours($_)
                }
            } @shown
        ]
    );
    return unless $svg;
    return {
        title  => $f{title},
        svg    => $svg,
        legend => [map { [$data->{classes}{$_}, $_] } @shown],
        head   => ['', map { $f{label} ? $f{label}->($_) : $_ } @places],
        rows   => \@rows,
        note   => $f{unit}
    };
}

# Calls make() with the rounds of each placement that has some; its figures say which it is. Fewer
# than one in twenty are no placement: something else ran then.
sub by_placement {
    my ($data, $rounds, $make) = @_;
    my @figures;
    for my $placement (Rounds::PLACEMENTS) {
        my $its = Rounds::where($rounds, placement => $placement);
        next if 20 * @$its < @$rounds || !@$its;
        my $figure = $make->($its) or next;
        $figure->{placement} = sprintf '%s: probe %s ns, %d measurements', $placement,
          Chart::figure(Rounds::median_of($its, 'probe')), scalar @$its;
        push @figures, $figure;
    }
    return @figures;
}

sub throughput {
    my ($data, $all) = @_;
    my @figures;
    for my $wait (waits($all)) {
        for my $batch (0, 1) {
            my $rounds = [grep { $_->{size} > 0 && Rounds::is_batch($_->{transport}) == $batch }
                  @{Rounds::where($all, wait => $wait)}];
            push @figures, by_placement(
                $data, $rounds,
                sub {
                    curves(
                        $data, $_[0],
                        metric => 'million_messages_per_s',
                        higher => 1,
                        title => "Throughput, $wait_words{$wait}" . ($batch ? ', many a call' : ''),
                        unit  => 'million messages a second',
                        places => [Rounds::values_of($rounds, 'size')],
                        at     => sub { $_[0]{size} },
                        label  => \&size_words
                    );
                }
            );
        }
    }
    return @figures;
}

sub latency {
    my ($data, $all) = @_;
    my @figures;
    for my $wait (waits($all)) {
        for my $size (grep { $_ > 0 } Rounds::values_of($all, 'size')) {
            my $rounds = Rounds::where($all, wait => $wait, size => $size);
            push @figures, by_placement(
                $data, $rounds,
                sub {
                    my @quantiles = ('p50_ns', 'p90_ns', 'p99_ns', 'p99_9_ns');
                    my %name      = (
                        p50_ns   => '50 %',
                        p90_ns   => '90 %',
                        p99_ns   => '99 %',
                        p99_9_ns => '99.9 %'
                    );
                    curves(
                        $data, $_[0],
                        places => \@quantiles,
                        label  => sub { $name{$_[0]} },
                        title  => 'Latency of ' . size_words($size) . ", $wait_words{$wait}",
                        unit   => 'nanoseconds',
                        across => 'of the round trips were no longer',
                        value  => sub { $_[0]{$_[1]} }
                    );
                }
            );
        }
    }
    return @figures;
}

sub mpmc {
    my ($data, $all) = @_;
    my @figures;
    my $config = sub { "$_[0]{producers}P$_[0]{consumers}C" };
    my %crew   = map { $config->($_) => [$_->{producers} + $_->{consumers}, $_->{producers}] } @$all;
    my @crews  = sort { $crew{$a}[0] <=> $crew{$b}[0] || $crew{$a}[1] <=> $crew{$b}[1] } keys %crew;
    for my $size (Rounds::values_of($all, 'size')) {
        for my $wait (waits($all)) {
            for my $batch (0, 1) {
                my $rounds = [grep { Rounds::is_batch($_->{transport}) == $batch }
                      @{Rounds::where($all, size => $size, wait => $wait)}];
                push @figures, by_placement(
                    $data, $rounds,
                    sub {
                        curves(
                            $data, $_[0],
                            metric => 'million_messages_per_s',
                            higher => 1,
                            title  => 'One queue, '
                              . size_words($size)
                              . ", $wait_words{$wait}"
                              . ($batch ? ', many a call' : ''),
                            unit   => 'million messages a second',
                            across => 'producers and consumers',
                            places => \@crews,
                            at     => $config
                        );
                    }
                );
            }
        }
    }
    return @figures;
}

# Bars of each transport.
sub bars {
    my ($data, $rounds, %f) = @_;
    my (@rows, @table);
    my %value = map {
        my $its = Rounds::where($rounds, transport => $_);
        $_ => Rounds::median(map { $f{value}->($_) } @$its)
    } Rounds::values_of($rounds, 'transport');
    my @names = grep { defined $value{$_} } keys %value;
    my @shown = chosen(sub { $value{$_[0]} }, $f{higher}, @names);
    my $order = sub { ($f{higher} ? -1 : 1) * ($value{$a} <=> $value{$b}) || $a cmp $b };
    push @rows,
      {
        label  => $_,
        value  => $value{$_},
        class  => $data->{classes}{$_},
        strong => Rounds::is_ours($_)
      }
      for sort $order @shown;
    push @table, [$_, Chart::figure($value{$_})] for sort $order @names;
    my $svg = Chart::bars(title => $f{title}, unit => $f{unit}, rows => \@rows);
    return $svg
      && {title => $f{title},
        svg    => $svg,
        legend => [],
        head   => ['', $f{unit}],
        rows   => \@table,
        note   => ''
      };
}

# More processes than processors: the crew of most processes, with either policy.
sub oversubscription {
    my ($data, $all) = @_;
    my ($most) = sort { $b <=> $a } map { $_->{producers} + $_->{consumers} } @$all;
    my @figures;
    for my $size (Rounds::values_of($all, 'size')) {
        for my $wait (waits($all)) {
            my $rounds = [
                grep {
                         $_->{producers} + $_->{consumers} == $most
                      && $_->{size} == $size
                      && !Rounds::is_batch($_->{transport})
                } @{Rounds::where($all, wait => $wait)}
            ];
            push @figures, by_placement(
                $data, $rounds,
                sub {
                    bars(
                        $data, $_[0],
                        title  => "$most processes, " . size_words($size) . ", $wait_words{$wait}",
                        unit   => 'million messages a second',
                        higher => 1,
                        value  => sub { $_[0]{million_messages_per_s} }
                    );
                }
            );
        }
    }
    return @figures;
}

sub cpu {
    my ($data, $all) = @_;
    my @figures;
    for my $wait (waits($all)) {
        for my $size (grep { $_ > 0 } Rounds::values_of($all, 'size')) {
            push @figures, by_placement(
                $data,
                Rounds::where($all, wait => $wait, size => $size),
                sub {
                    bars(
                        $data,
                        $_[0],
                        title => 'CPU time, ' . size_words($size) . ", $wait_words{$wait}",
                        unit  => 'ns of processor time a message, both sides',
                        value => sub {
                            my $rate = $_[0]{million_messages_per_s};
                            $rate ? 1e3 * $_[0]{cpus_busy} / $rate : undef;
                        }
                    );
                }
            );
        }
    }
    return @figures;
}

sub scaling {
    my ($data, $all, $field, $title, $across) = @_;
    my @figures;
    for my $size (Rounds::values_of($all, 'size')) {
        push @figures, by_placement(
            $data,
            Rounds::where($all, size => $size),
            sub {
                curves(
                    $data,
                    $_[0],
                    metric => 'message_ns',
                    title  => "$title, " . size_words($size),
                    unit   => 'nanoseconds a message',
                    across => $across,
                    places => [Rounds::values_of($all, $field)],
                    at     => sub { $_[0]{$field} },
                    label  => sub {
                            $_[0] >= 1 << 20 ? ($_[0] >> 20) . 'M'
                          : $_[0] >= 1024    ? ($_[0] >> 10) . 'K'
                          :                    $_[0];
                    }
                );
            }
        );
    }
    return @figures;
}

# A process by itself is neither near nor far from another one.
sub uncontended {
    my ($data, $all) = @_;
    return grep { $_ } map {
        my $size = $_;
        bars(
            $data,
            Rounds::where($all, size => $size),
            title => 'A send and a receive, ' . size_words($size),
            unit  => 'nanoseconds',
            value => sub { $_[0]{pair_ns} }
        );
    } Rounds::values_of($all, 'size');
}

# What the others keep of their rate. A stop is placed by one probe only, so all are together.
sub stopped {
    my ($data, $all) = @_;
    my @figures;
    for my $harm (Rounds::values_of($all, 'harm')) {
        my (@rows, @table);
        my $its = Rounds::where($all, harm => $harm);
        for my $name (Rounds::values_of($its, 'transport')) {
            my $rounds = Rounds::where($its, transport => $name);
            my @kept   = sort { $a <=> $b }
              map { 100 * $_ } grep { defined } map { $_->{others_kept} } @$rounds;
            my $hung = grep { $_->{hangs} } @$rounds;
            my $kept = Rounds::median(@kept);
            push @rows,
              {
                label  => $name,
                class  => $data->{classes}{$name},
                strong => Rounds::is_ours($name),
                value  => $kept > 300 ? 300 : $kept,
                note   => Chart::figure($kept) . ' %'
              }
              if defined $kept;
            push @table,
              [
                $name,
                map({ Chart::figure(Rounds::median_of($rounds, "others_${_}_million_per_s")) }
                    'before',
                    'during', 'after'),
                Chart::figure($kept),
                Chart::figure($kept[0]),
                $hung,
                Chart::figure(List::Util::sum0(map { $_->{lost} } @$rounds)),
                scalar @$rounds
              ];
        }
        my $svg = Chart::bars(
            title => ucfirst $harm,
            unit  => 'per cent of their rate before, median',
            rows  => \@rows
        );
        push @figures,
          {
            title     => ucfirst $harm,
            placement => '',
            svg       => $svg,
            legend    => [],
            rows      => \@table,
            head      => [
                '',     'before, M/s', 'during', 'after', 'kept, %', 'lowest, %',
                'hung', 'lost',        'rounds'
            ],
            note => 'million messages a second among the others'
          }
          if $svg;
    }
    return @figures;
}

# A part of --mode broadcast: a metric over the values of a field.
sub broadcast_curves {
    my ($data, $all, %f) = @_;
    my @figures;
    for my $size (Rounds::values_of($all, 'size')) {
        for my $block (0, 1) {
            my $rounds = [grep { ($_->{wait} eq 'block') == $block } @{Rounds::where($all, size => $size)}];
            push @figures, by_placement(
                $data, $rounds,
                sub {
                    curves(
                        $data, $_[0], %f,
                        title  => "$f{title}, " . size_words($size) . ($block ? ', blocking' : ''),
                        places => [Rounds::values_of($all, $f{field})],
                        at     => sub { $_[0]{$f{field}} }
                    );
                }
            );
        }
    }
    return @figures;
}

sub broadcast {
    my ($data, $mode) = @_;
    my @to_all = (field => 'consumers', across => 'consumers');
    my $rate   = 'million messages a second';
    my ($throughput, $latency) = map { $mode->("broadcast-$_") } qw(throughput latency);
    return (
        broadcast_curves($data, $throughput, @to_all, metric => 'producer_million_per_s', higher => 1,
            title => 'Sent by the producer', unit => $rate),
        broadcast_curves($data, $throughput, @to_all, metric => 'consumer_million_per_s', higher => 1,
            title => 'Received by each consumer', unit => $rate),
        broadcast_curves($data, $latency, @to_all, metric => 'first_p50_ns',
            title => 'Until the first consumer has a message', unit => 'nanoseconds, median'),
        broadcast_curves($data, $latency, @to_all, metric => 'p50_ns',
            title => 'Until the last consumer has a message', unit => 'nanoseconds, median'),
        broadcast_curves($data, $mode->('broadcast-slow'), metric => 'missed_share', field => 'speed',
            title => 'Missed by a slow consumer', unit => 'part of what was sent',
            across => 'messages a second that it takes', label => \&Chart::short),
        broadcast_curves($data, $mode->('broadcast-asleep'), metric => 'send_ns', field => 'subscribers',
            title => 'A send while subscribers receive nothing', unit => 'nanoseconds', across => 'subscribers')
    );
}

# The rows of the summary: what, shmring's figure, and in each placement the best peer.
sub summary {
    my ($data) = @_;
    my (@rows, %kinds);
    for my $r (@{$data->{rounds}}) {
        next unless $r->{mode} =~ /^(throughput|latency|mpmc)$/ && $r->{size} > 0;
        my $crew  = $r->{mode} eq 'mpmc'              ? "$r->{producers}P$r->{consumers}C" : '';
        my $batch = Rounds::is_batch($r->{transport}) ? 1                                  : 0;
        push @{$kinds{join "\t", $r->{mode}, $r->{wait}, $batch, $r->{size}, $crew}}, $r;
    }
    my %ours  = (throughput => 'shmring', latency => 'shmring', mpmc => 'shmring-mpmc');
    my %order = (throughput => 0, latency => 1, mpmc => 2, spin => 0, yield => 1, block => 2);
    my %what  = (throughput => 'throughput', latency => 'round trip', mpmc => 'one queue');
    for my $kind (
        map { $_->[0] } sort { $a->[1] cmp $b->[1] } map {
            my ($mode, $wait, $batch, $size, $crew) = split /\t/, $_, -1;
            [$_, sprintf '%d%d%d%08d%s', $order{$mode}, $order{$wait}, $batch, $size, $crew]
        } keys %kinds
      )
    {
        my ($mode, $wait, $batch, $size, $crew) = split /\t/, $kind, -1;
        my $metric = $mode eq 'latency' ? 'p50_ns' : 'million_messages_per_s';
        my $name   = $ours{$mode} . ($batch ? '-batch' : '');
        my @cells;
        for my $placement (Rounds::PLACEMENTS) {
            my $its = Rounds::where($kinds{$kind}, placement => $placement);
            my ($peer, $ratio) = Rounds::best_peer($its, $metric, $name,
                grep { Rounds::is_peer($_) } Rounds::values_of($its, 'transport'));
            push @cells,
              {
                figure => Rounds::median_of(Rounds::where($its, transport => $name), $metric),
                peer   => $peer,
                ratio  => $ratio
              };
        }
        next unless grep { defined $_->{ratio} } @cells;
        push @rows,
          {
            what => join(', ',
                $what{$mode} . ($crew && " $crew"), size_words($size),
                $wait_words{$wait},                 $batch ? 'many a call' : ()),
            unit  => $mode eq 'latency' ? 'ns' : 'M/s',
            cells => \@cells
          };
    }
    return @rows;
}

sub sections {
    my ($data) = @_;
    $data->{classes} = classes($data);
    my $mode     = sub { Rounds::where($data->{rounds}, mode => $_[0]) };
    my @sections = (
        [
            'Throughput by size',
            'One process sends as fast as it can, another one receives.',
            throughput($data, $mode->('throughput'))
        ],
        [
            'Latency',
            'A message there and one back; how long the quickest half of these took, and '
              . 'the quickest 90 %, 99 % and 99.9 %.',
            latency($data, $mode->('latency'))
        ],
        [
            'Many producers and consumers',
            'All on one queue, on two processors: with more than two '
              . 'processes these take turns.',
            mpmc($data, $mode->('mpmc'))
        ],
        [
            'More processes than processors',
            'What is left when most of the processes that should go on are ' . 'not running.',
            oversubscription($data, $mode->('mpmc'))
        ],
        [
            'CPU cost',
            'What one message costs both sides together. A process that spins uses all it gets.',
            cpu($data, $mode->('throughput'))
        ],
        [
            'One process alone',
            'One process that sends and receives in turn: what a message costs when no line has to '
              . 'come from another processor. Making and checking it is in the figure.',
            uncontended($data, $mode->('uncontended'))
        ],
        [
            'Scaling with the number of participants',
            'Two are active, the others have joined and ' . 'sleep. Flat is good.',
            scaling($data, $mode->('participants'), 'participants', 'Participants', 'participants')
        ],
        [
            'Scaling with the capacity',
            'Flat is good, as long as the ring fits into the caches.',
            scaling(
                $data, $mode->('capacity'), 'ring_messages', 'Capacity', 'messages a ring holds'
            )
        ],
        [
            'Broadcast',
            'One producer, and each consumer gets every message. The producer has one processor, all '
              . 'consumers share the other one. A consumer that is too slow misses messages, or holds '
              . 'the producer up: shmring-reliable, and those with a queue for each consumer.',
            broadcast($data, $mode)
        ],
        [
            'One is stopped or killed',
            'One of two producers or of two consumers, anywhere in its '
              . 'operation. What the others pass on among themselves then, in per cent of what they '
              . 'did before; they have its processor too. 0 is a queue that hangs with it. Bars end '
              . 'at 300.',
            stopped($data, $mode->('stopped'))
        ],
    );
    return map {
        my ($title, $intro, @figures) = @$_;
        @figures ? {title => $title, intro => $intro, figures => \@figures} : ()
    } @sections;
}

1;
