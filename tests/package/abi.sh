#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Programs that were compiled against the interface stored in abi/ run with the libraries built here.
set -eu
: "${srcdir:?}"

exec "$srcdir/abi/watch" check
