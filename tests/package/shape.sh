#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The shape of lib/, as doc/design.md has it: only a kind's own folder, kind.h and kinds.h name a kind;
# base/ includes nothing of the other folders; nothing includes api/ but api/; each label of an ordering
# stands at two places at least, so that either end can be found.
set -eu
: "${srcdir:?}"

cd "$srcdir"
bad=0
complain() # what, lines
{
    [ -z "$2" ] || { printf '%s:\n%s\n' "$1" "$2"; bad=1; }
}

files=$(find lib mux -name '*.[ch]' ! -path 'lib/spsc/*' ! -path 'lib/mpmc/*' ! -path 'lib/broadcast/*' \
    ! -name kind.h ! -name kinds.h)
# shellcheck disable=SC2086 # a list of words
complain 'a common file that compares kinds' \
    "$(grep -nE 'SHMRING_(SPSC|MPMC|BROADCAST)|SHMR_(SPSC|MPMC|BROADCAST)\b|->kind\b|->number +[!=]=' $files)"
complain 'base/ knows no queue' "$(grep -nE '#include "(core|wait|spsc|mpmc|broadcast|api)/' lib/base/*.[ch])"
complain 'a file that calls up into api/' \
    "$(find lib -name '*.[ch]' ! -path 'lib/api/*' -exec grep -nE '#include "api/' {} +)"
complain 'a label that stands at one place only' \
    "$(grep -rhoE '(spsc|mpmc|cast|wait|guard|row):[A-Z][0-9]' lib | sort | uniq -c | awk '$1 < 2 { print $2 }')"
exit $bad
