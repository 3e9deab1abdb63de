# SPDX-License-Identifier: MIT
# Charts as SVG that goes into a page: it takes the page's colours (classes ink, faint, grid, and
# s0, s1, … for the series), and is drawn for the width of a phone.
package Chart;

use strict;
use warnings;
use utf8;

use constant {WIDTH => 360, LEFT => 42, RIGHT => 10, TOP => 24, BOTTOM => 20};

sub escape {
    my ($text) = @_;
    my %entity = ('&' => '&amp;', '<' => '&lt;', '>' => '&gt;', '"' => '&quot;');
    $text =~ s/([&<>"])/$entity{$1}/g;
    return $text;
}

# A scale's number, short.
sub short {
    my ($v) = @_;
    return $v >= 1e6 ? $v / 1e6 . 'M' : $v >= 1e4 ? $v / 1e3 . 'k' : 0 + sprintf '%g', $v;
}

# Three significant digits.
sub figure {
    my ($v) = @_;
    return '–' unless defined $v;
    return sprintf('%.1fM', $v / 1e6) if abs $v >= 1e6;
    return sprintf('%.0f',  $v)       if abs $v >= 99.95;
    return sprintf('%.1f',  $v)       if abs $v >= 9.995;
    return sprintf('%.2f',  $v)       if abs $v >= 0.0995 || $v == 0;
    return sprintf('%.2g',  $v);
}

# A text stays inside the picture: one that would be longer than there is room is drawn narrower.
use constant {LETTER => 6.4, BOLD_LETTER => 7.3, EDGE => 2};

sub text {
    my ($x, $y, $anchor, $class, $text) = @_;
    my $right = WIDTH - $x - EDGE;
    my $left  = $x - EDGE;
    my $room =
      $anchor eq 'start' ? $right : $anchor eq 'end' ? $left : 2 * ($left < $right ? $left : $right);
    my $wide   = length($text) * ($class =~ /bold|heading/ ? BOLD_LETTER : LETTER);
    my $narrow = $wide > $room ? sprintf ' textLength="%.1f" lengthAdjust="spacingAndGlyphs"', $room : '';
    return sprintf qq(<text x="%.1f" y="%.1f" text-anchor="%s" class="%s"%s>%s</text>\n),
      $x, $y, $anchor, $class, $narrow, escape($text);
}

sub line {
    my ($x1, $y1, $x2, $y2, $class) = @_;
    return sprintf qq(<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>\n),
      $x1, $y1, $x2, $y2, $class;
}

sub svg {
    my ($height, $title, $body) = @_;
    return sprintf qq(<svg viewBox="0 0 %d %d" role="img" aria-label="%s">\n%s</svg>\n),
      WIDTH, $height, escape($title), $body;
}

sub log10 { return log($_[0]) / log 10 }

# Round numbers between two others: 1, 2, 5, 10 …, or powers of ten where those are many.
sub ticks {
    my ($low, $high) = @_;
    my @ticks;
    my $decades = log10($high / $low);
    my @steps   = $decades > 3.5 ? (1) : $decades > 1.8 ? (1, 3) : (1, 2, 5);
    for my $e (int(log10($low)) - 1 .. int(log10($high)) + 1) {
        push @ticks, grep { $_ >= $low * 0.999 && $_ <= $high * 1.001 } map { $_ * 10**$e } @steps;
    }
    return @ticks;
}

# Curves over a row of places, with a logarithmic scale; a 0 is on its lower end and says so. series: [{class, strong, points: [value or
# undef for each place]}], places: their labels.
sub curves {
    my (%c) = @_;
    my @values = grep { defined } map { @{$_->{points}} } @{$c{series}};
    return '' unless @values;
    my ($low, $high) = (sort { $a <=> $b } grep { $_ > 0 } @values)[0, -1];
    ($low, $high) = (1, 1) unless defined $low;
    my $margin = $high / $low < 4 ? 2 : 1.25;
    ($low, $high) = ($low / $margin, $high * $margin);
    my ($wide, $tall) = (WIDTH - LEFT - RIGHT, 196);
    my $bottom = TOP + $tall + BOTTOM;
    my $height = $bottom + ($c{across} ? 14 : 0);
    my $n      = @{$c{places}};
    my $x      = sub { LEFT + $wide * ($n > 1 ? 0.04 + 0.92 * $_[0] / ($n - 1) : 0.5) };
    my $y      = sub { TOP + $tall * (1 - log($_[0] / $low) / log($high / $low)) };
    my $out    = text(4, 12, 'start', 'faint', $c{unit});

    for my $tick (ticks($low, $high)) {
        $out .= line(LEFT, $y->($tick), WIDTH - RIGHT, $y->($tick), 'grid');
        $out .= text(LEFT - 5, $y->($tick) + 4, 'end', 'ink', short($tick));
    }
    for my $i (0 .. $n - 1) {
        next if $n > 8 && $i % 2;
        $out .= text($x->($i), $bottom - 4, 'middle', 'ink', $c{places}[$i]);
    }
    $out .= text(LEFT + $wide / 2, $height - 2, 'middle', 'faint', $c{across}) if $c{across};
    for my $s (sort { ($a->{strong} // 0) <=> ($b->{strong} // 0) } @{$c{series}}) {
        my @at    = grep { defined $s->{points}[$_] } 0 .. $n - 1;
        my @xy    = map  { my $v = $s->{points}[$_]; [$x->($_), $y->($v > 0 ? $v : $low)] } @at;
        my $class = $s->{class} . ($s->{strong} ? ' strong' : '');
        $out .= sprintf qq(<g class="%s"><title>%s</title>\n), $class, escape($s->{name});
        $out .= sprintf qq(<polyline points="%s"/>\n), join ' ',
          map { sprintf '%.1f,%.1f', @$_ } @xy;
        $out .= sprintf qq(<circle cx="%.1f" cy="%.1f" r="%s"/>\n), @$_, $s->{strong} ? 4 : 3
          for @xy;
        $out .= text($x->($_) + 6, $y->($low) - 3, 'start', 'ink', '0')
          for grep { $s->{points}[$_] <= 0 } @at;
        $out .= "</g>\n";
    }
    return svg($height, $c{title}, $out);
}

# A bar for each of rows: [{label, class, strong, value, low, high, note}]; a row without a value is
# a heading.
sub bars {
    my (%c) = @_;
    my @values = grep { defined } map { $_->{value} } @{$c{rows}};
    return '' unless @values;
    my $high = (sort { $a <=> $b } @values)[-1] || 1;
    my ($row, $label, $room) = (19, 146, 52);
    my $wide   = WIDTH - $label - $room;
    my $height = TOP + $row * @{$c{rows}} + 4;
    my $y      = TOP;
    my $out    = text(4, 12, 'start', 'faint', $c{unit});

    for my $r (@{$c{rows}}) {
        if (!defined $r->{value}) {
            $out .= text(4, $y + 14, 'start', 'heading', $r->{label});
            $y += $row;
            next;
        }
        my $length = $wide * $r->{value} / $high;
        $out .= text($label - 6, $y + 13, 'end', $r->{strong} ? 'ink bold' : 'ink', $r->{label});
        $out .= sprintf qq(<rect x="%d" y="%d" width="%.1f" height="%d" rx="2" class="%s"/>\n),
          $label, $y + 3, $length > 1 ? $length : 1, $row - 6, $r->{class};
        $out .=
          text($label + $length + 5, $y + 13, 'start', 'ink', $r->{note} // figure($r->{value}));
        $y += $row;
    }
    $out .= line($label, TOP, $label, $height - 4, 'axis');
    return svg($height, $c{title}, $out);
}

1;
