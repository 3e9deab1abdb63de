#!/bin/sh
# SPDX-License-Identifier: MIT
#
# No misspelt word that codespell knows, in what is in git and is text; .codespellrc has the exceptions.
set -eu
: "${srcdir:?}"

command -v codespell >/dev/null || {
    echo 'the spelling was not looked at: no codespell (Debian: apt-get install codespell)'
    exit 77
}
cd "$srcdir"
files=$([ -e .git ] && git ls-files -- . ':!tests/prove/fuzz/corpus' ':!tests/prove/abi/golden') || {
    echo 'the spelling was not looked at: no git checkout'
    exit 77
}
printf '%s\n' "$files" | xargs codespell
