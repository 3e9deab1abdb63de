# SPDX-License-Identifier: MIT
# The rounds that shmring-bench wrote as JSON: read, grouped, compared.
package Rounds;

use strict;
use warnings;
use JSON::PP ();

use constant PLACEMENTS => ('near', 'far');

sub median {
    my @v = sort { $a <=> $b } grep { defined } @_;
    return undef unless @v;    # also in a list
    return ($v[$#v >> 1] + $v[@v >> 1]) / 2;
}

sub text_of {
    my ($file) = @_;
    open my $f, '<:raw', $file or die "$file: $!\n";
    local $/;
    return <$f>;
}

# Several files in one, as load() takes it.
sub join_files {
    return '{"parts": [' . join(",\n", map { text_of($_) } @_) . "]}\n";
}

# Add one part, or all parts of a file that has several.
sub add {
    my ($data, $file, $run) = @_;
    if (ref $run eq 'HASH' && ref $run->{parts} eq 'ARRAY') {
        add($data, $file, $_) for @{$run->{parts}};
        return;
    }
    die "$file: not what shmring-bench --json writes\n"
      unless ref $run eq 'HASH' && ref $run->{rounds} eq 'ARRAY' && $run->{machine};
    $_->{run} = @{$data->{runs}} for @{$run->{rounds}};
    push @{$data->{rounds}},  @{delete $run->{rounds}};
    push @{$data->{missing}}, @{$run->{missing}};
    push @{$data->{runs}}, {%$run, file => $file};
    return;
}

# Returns { runs => [what each file says about itself], rounds => [those of all files], near_limit }.
sub load {
    my @files = @_;
    my %data  = (runs => [], rounds => [], missing => []);
    for my $file (@files) {
        my $text = text_of($file);
        add(\%data, $file, scalar eval { JSON::PP::decode_json($text) });
    }

    # If they passed no message before, there is nothing to compare with.
    for (@{$data{rounds}}) {
        delete $_->{others_kept}
          if defined $_->{others_before_million_per_s} && !$_->{others_before_million_per_s};
    }
    place(\%data);
    return \%data;
}

# Dies unless all parts are of one version on one machine, made by one compiler.
sub must_be_one_run {
    my ($data) = @_;
    my %of;
    for my $run (@{$data->{runs}}) {
        my $what = join '; ', "shmring $run->{library}", @{$run->{machine}}{qw(cpu kernel compiler)};
        $of{$what} //= $run->{options}{command_line};
    }
    die join("\n", 'not of one run:', map { "  $_ (shmring-bench $of{$_})" } sort keys %of) . "\n"
      if keys %of > 1;
    return;
}

# Processors farther apart than this do not share a cache: NEAR_NS_MAX in bench/results.h.
use constant NEAR_NS_MAX => 250;

# Near and far as shmring-bench tells them apart, but for all files together.
sub place {
    my ($data) = @_;
    my @probes = sort { $a <=> $b } map { @{$_->{probe_ns}} } @{$data->{rounds}};
    my $low    = @probes                                   ? $probes[@probes / 10] : 0;
    my $limit  = $data->{near_limit} = $low <= NEAR_NS_MAX ? 1.5 * $low            : NEAR_NS_MAX;
    for my $round (@{$data->{rounds}}) {
        my $near = grep { $_ <= $limit } @{$round->{probe_ns}};
        $round->{placement} = $near == 2 ? 'near' : $near == 0 ? 'far' : 'mixed';
        $round->{probe}     = median(@{$round->{probe_ns}});
    }
}

# Those whose fields have these values.
sub where {
    my ($rounds, %wanted) = @_;
    my @found = @$rounds;
    while (my ($field, $value) = each %wanted) {
        @found = grep { defined $_->{$field} && $_->{$field} eq $value } @found;
    }
    return \@found;
}

# The values that a field has, in order.
sub values_of {
    my ($rounds, $field) = @_;
    my %seen;
    my @values = grep { !$seen{$_}++ } map { $_->{$field} // () } @$rounds;
    return (grep { !/^\d+$/ } @values) ? @values : sort { $a <=> $b } @values;
}

sub median_of {
    my ($rounds, $metric) = @_;
    return median(map { $_->{$metric} } @$rounds);
}

sub is_ours  { return $_[0] =~ /^shmring/ ? 1 : 0 }
sub is_batch { return $_[0] =~ /-batch$/  ? 1 : 0 }

# Is it a queue of messages of another project? A mailbox has room for one message, an eventfd for none,
# and a stream is bare memory.
sub is_peer { return !is_ours($_[0]) && $_[0] !~ /^(mailbox|stream|eventfd)$/ }

# How many times one number is as good as another: more is better, except of times.
sub times {
    my ($metric, $ours, $theirs) = @_;
    return undef unless defined $ours && defined $theirs;
    ($ours, $theirs) = ($theirs, $ours) if $metric =~ /_ns$/;
    return $theirs > 0 ? $ours / $theirs : undef;
}

# One against another: the median of the ratios of what was measured in the same round of the same
# run and in the same placement, and how many there were.
sub ratio {
    my ($rounds, $metric, $ours, $theirs) = @_;
    my %of;
    $of{"$_->{run} $_->{round} $_->{placement}"} = $_->{$metric}
      for @{where($rounds, transport => $theirs)};
    my @ratios =
      grep { defined }
      map  { Rounds::times($metric, $_->{$metric}, $of{"$_->{run} $_->{round} $_->{placement}"}) }
      @{where($rounds, transport => $ours)};
    return (median(@ratios), scalar @ratios);
}

# Whichever of the peers does best against us. Returns its name, the ratio and how many rounds.
sub best_peer {
    my ($rounds, $metric, $ours, @peers) = @_;
    my @best;
    for my $peer (@peers) {
        my ($ratio, $n) = ratio($rounds, $metric, $ours, $peer);
        @best = ($peer, $ratio, $n) if defined $ratio && (!@best || $ratio < $best[1]);
    }
    return @best;
}

1;
