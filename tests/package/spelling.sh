#!/bin/sh
# SPDX-License-Identifier: MIT
#
# codespell finds no misspelt word in the text files in git; .codespellrc has the exceptions.
set -eu
: "${srcdir:?}"

command -v codespell >/dev/null || {
    echo 'the spelling was not checked: no codespell (Debian: apt-get install codespell)'
    exit 77
}
cd "$srcdir"
files=$([ -e .git ] && git ls-files -- . ':!tests/prove/fuzz/corpus' ':!tests/prove/abi/golden') || {
    echo 'the spelling was not checked: no git checkout'
    exit 77
}
printf '%s\n' "$files" | xargs codespell
