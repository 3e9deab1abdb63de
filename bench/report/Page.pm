# SPDX-License-Identifier: MIT
# The report as one HTML page and as Markdown.
package Page;

use strict;
use warnings;
use utf8;
use Chart;
use File::Basename qw(dirname);

use constant BUSY_LEAST => 1.8;    # processors

sub style {
    my $path = dirname(__FILE__) . '/style.css';
    open my $f, '<', $path or die "$path: $!\n";
    local $/;
    return <$f>;
}

sub e { return Chart::escape($_[0]) }

sub table {
    my ($head, $rows) = @_;
    my $out =
        qq(<div class="scroll"><table>\n<tr>)
      . join('', map { '<th>' . e($_) . '</th>' } @$head)
      . "</tr>\n";
    for my $row (@$rows) {
        $out .= (Rounds::is_ours($row->[0]) ? '<tr class="ours">' : '<tr>') . join(
            '',
            map {
                ref $_ ? qq(<td class="$_->[1]">) . e($_->[0]) . '</td>' : '<td>' . e($_) . '</td>'
            } @$row
        ) . "</tr>\n";
    }
    return "$out</table></div>\n";
}

sub markdown_table {
    my ($head, $rows) = @_;
    my $line = sub {
        '| ' . join(' | ', map { my $t = ref $_ ? $_->[0] : $_; $t =~ s/\|/\\|/g; $t } @_) . " |\n";
    };
    return
        $line->(@$head) . '|---|'
      . '---:|' x (@$head - 1) . "\n"
      . join('', map { $line->(@$_) } @$rows) . "\n";
}

# The summary as a table, without the placements that nothing was measured in.
sub summary_table {
    my (@summary)  = @_;
    my @placements = Rounds::PLACEMENTS;
    my @used       = grep {
        my $i = $_;
        grep { defined $_->{cells}[$i]{ratio} } @summary
    } 0 .. $#placements;
    my @head = ('', map { ("$placements[$_]: ratio", 'shmring', 'best peer') } @used);
    my @rows = map {
        my $row = $_;
        [
            $row->{what},
            map {
                my $c = $row->{cells}[$_];
                defined $c->{ratio}
                  ? (
                    [Chart::figure($c->{ratio}) . ' ×', $c->{ratio} >= 1 ? 'good' : 'bad'],
                    Chart::figure($c->{figure}) . " $row->{unit}",
                    $c->{peer}
                  )
                  : ('–', '–', '–')
            } @used
        ]
    } @summary;
    return (\@head, \@rows);
}

# Two that never sleep use two processors, unless others do: then they wait for each other.
sub disturbance {
    my ($data) = @_;
    my @pairs = grep {
        my $cpus = $data->{runs}[$_->{run}]{options}{cpus};
        $_->{wait} eq 'spin'
          && $_->{mode} =~ /^(throughput|latency|capacity)$/
          && $cpus->[0] != $cpus->[1];
    } @{$data->{rounds}};
    my $disturbed = grep { $_->{cpus_busy} < BUSY_LEAST } @pairs;
    return unless 10 * $disturbed > @pairs;
    return sprintf
'Other work ran meanwhile: in %d of %d measurements two processes that never sleep had less than %.1f processors, and waited for each other. These figures say little.',
      $disturbed, scalar @pairs, BUSY_LEAST;
}

sub facts {
    my ($data) = @_;
    my $run    = $data->{runs}[0];
    my $m      = $run->{machine};
    my %count;
    $count{$_->{placement}}++ for @{$data->{rounds}};
    my @threads =
      Rounds::values_of([grep { $_->{in_one_process} } @{$data->{rounds}}], 'transport');
    return (
"$m->{cpu}, $m->{cpus} processors; $m->{kernel}; $m->{compiler}; shmring $run->{library}; $run->{date}.",
        sprintf(
'%d measurements: %d near (both probes of a bare cache line beside it below %s ns), %d far; %d in between are left out of the charts, as are all but the best seven others.',
            scalar @{$data->{rounds}},
            $count{near} // 0,
            Chart::figure($data->{near_limit}),
            $count{far}   // 0,
            $count{mixed} // 0
        ),
'Medians of interleaved rounds; a ratio is the median of the ratios of what was measured in the same round, and more than 1 is shmring ahead. Every payload is written and checked.',
        disturbance($data),
        @threads ? "Between threads, as they cannot be in shared memory: @threads." : (),
    );
}

sub html {
    my ($data, $summary, @sections) = @_;
    my ($head, $rows) = summary_table(@$summary);
    my $out =
        qq(<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n)
      . qq(<meta name="viewport" content="width=device-width, initial-scale=1"/>\n)
      . "<title>shmring and its peers, measured</title>\n<style>\n"
      . style()
      . "</style>\n</head>\n<body>\n"
      . "<h1>shmring and its peers, measured</h1>\n"
      . join '', map { '<p class="small">' . e($_) . "</p>\n" } facts($data);
    $out .=
      "<h2>Summary</h2>\n<p>shmring beside whichever of the others does best.</p>\n"
      . table($head, $rows)
      if @$rows;
    for my $s (@sections) {
        $out .= '<h2>'
          . e($s->{title})
          . "</h2>\n<p>"
          . e($s->{intro})
          . qq(</p>\n<div class="figures">\n);
        for my $f (@{$s->{figures}}) {
            $out .=
                '<figure><h3>'
              . e($f->{title})
              . "</h3>\n"
              . ($f->{placement} ? '<p class="small">' . e($f->{placement}) . "</p>\n" : '')
              . $f->{svg};
            $out .= qq(<ul class="legend">) . join(
                '',
                map {
                        qq(<li class="$_->[0])
                      . (Rounds::is_ours($_->[1]) ? ' ours' : '') . '">'
                      . e($_->[1]) . '</li>'
                } @{$f->{legend}}
              )
              . "</ul>\n"
              if @{$f->{legend}};
            $out .=
                '<details><summary>The figures'
              . ($f->{note} ? ', ' . e($f->{note}) : '')
              . "</summary>\n"
              . table($f->{head}, $f->{rows})
              . "</details></figure>\n";
        }
        $out .= "</div>\n";
    }
    $out .= "<h2>Raw data</h2>\n<ul>\n" . join(
        '',
        map {
            my $name = e($_->{copy});
            qq(<li><a href="$name">$name</a>: <code>shmring-bench )
              . e($_->{options}{command_line})
              . "</code></li>\n"
        } @{$data->{runs}}
    ) . "</ul>\n";
    my @missing = missing($data);
    $out .=
        "<h2>Not measured</h2>\n<ul>\n"
      . join('', map { '<li>' . e($_) . "</li>\n" } @missing)
      . "</ul>\n"
      if @missing;
    return "$out</body>\n</html>\n";
}

# Each transport and reason once.
sub missing {
    my ($data) = @_;
    my %seen;
    return
      grep { !$seen{$_}++ } map { "$_->{transport}, $_->{mode}: $_->{reason}" } @{$data->{missing}};
}

# Words in lines of at most 110 columns.
sub wrapped {
    my ($text) = @_;
    $text =~ s/(.{1,110})(?: |$)/$1\n/g;
    return $text;
}

sub markdown_body {
    my ($data, $summary, @sections) = @_;
    my ($head, $rows) = summary_table(@$summary);
    my $out = '';
    $out .= "## Summary\n\n" . markdown_table($head, $rows) if @$rows;
    for my $s (@sections) {
        $out .= "## $s->{title}\n\n" . wrapped($s->{intro}) . "\n";
        $out .=
            "### $_->{title}"
          . ($_->{placement} ? " ($_->{placement})" : '') . "\n\n"
          . ($_->{note}      ? "$_->{note}\n\n"     : '')
          . markdown_table($_->{head}, $_->{rows})
          for @{$s->{figures}};
    }
    return $out;
}

sub markdown_missing {
    my ($data) = @_;
    my @missing = missing($data);
    return @missing ? "\n## Not measured\n\n" . join('', map { "- $_\n" } @missing) : '';
}

sub markdown {
    my ($data, @rest) = @_;
    return
        "# shmring and its peers, measured\n\n"
      . join('', map { "$_\n\n" } facts($data))
      . markdown_body($data, @rest)
      . "## Raw data\n\n"
      . join('',
        map { "- [$_->{copy}]($_->{copy}): `shmring-bench $_->{options}{command_line}`\n" }
          @{$data->{runs}})
      . markdown_missing($data);
}

# The page of the project's documents: which run it was made of is its first sentence.
sub results {
    my ($data, $source, @rest) = @_;
    my ($machine, @facts) = facts($data);
    return
        # In two parts: else `reuse lint` takes all of this line for the licence of this file.
        "<!-- SPDX-License-" . "Identifier: MIT -->\n# Results\n\n"
      . wrapped("Made by `make bench-results` of one run, of $source: $machine "
          . 'What the columns mean, and how it is measured, is in [method.md](method.md).')
      . "\n"
      . join('', map { wrapped($_) . "\n" } @facts)
      . markdown_body($data, @rest)
      . "## Commands\n\n"
      . join('', map { "    shmring-bench $_->{options}{command_line}\n" } @{$data->{runs}})
      . markdown_missing($data);
}

1;
