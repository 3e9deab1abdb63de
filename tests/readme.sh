#!/bin/sh
# SPDX-License-Identifier: MIT
#
# README.md: its picture shows the figures of its table.
set -eu
: "${srcdir:?}"

awk -f "$srcdir/doc/comparison.awk" "$srcdir/README.md" | cmp - "$srcdir/doc/comparison.svg" || {
    echo 'the table has other figures: awk -f doc/comparison.awk README.md >doc/comparison.svg'
    exit 1
}
