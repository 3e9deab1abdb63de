#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Each mutation of the lists can still be made in the sources as they are.
set -eu
: "${srcdir:?}"

exec "$srcdir/tests/prove/mutants/run" --edits
