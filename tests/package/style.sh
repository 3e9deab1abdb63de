#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Each file that a document, a manual page or a comment names exists, and no line is longer than 100
# columns (C but in abi/, as .clang-format has it) or 110 (documents, but for tables and code). No C file has
# more than 800 lines.
# A name with a folder is a path from the top, from include/ or from the folder of the file that has the
# name; in documents and in lib/ it may be a path from lib/, too. A name without a folder may be that of any
# file in a document; in a comment it is a file of the same folder, of lib/ or tests/support/, or a public
# header.
set -eu
: "${srcdir:?}"

cd "$srcdir"
[ -e .git ] || {
    echo 'the text was not checked: no git checkout'
    exit 77
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
git ls-files -- . ':!tests/prove/fuzz/corpus' ':!tests/prove/abi/golden' ':!*.svg' >"$dir/files"

# What configure, make or a program makes, and what others have: the system, and the peers.
cat >"$dir/others" <<'END'
config.h
ev.h
man/shmring_layout.5
report.md
rte_ring_elem.h
stdio.h
sys/sdt.h
sys/types.h
END

cat >"$dir/names.awk" <<'END'
FILENAME ~ /\/files$/ {
    is_there[$0]
    name = $0
    sub(/.*\//, "", name)
    somewhere[name]
    if ($0 ~ /^(lib|include|tests\/support)\//)
        in_library[name]
    sub(/^lib\//, "")
    below_lib[$0]
    next
}
FILENAME ~ /\/others$/ {
    is_there[$0]
    somewhere[$0]
    in_library[$0]
    next
}
FNR == 1 {
    folder = FILENAME
    if (!sub(/\/[^\/]*$/, "", folder))
        folder = "."
    document = FILENAME ~ /\.(md|[1-8])$/
    from_lib = document || FILENAME ~ /^lib\//
    c = FILENAME ~ /\.(c|h|cc|hh|cpp|hpp|map)$/
    inside = fenced = 0
}
# The comment of a line, or all of it in a document; in a macro of troff \- is a hyphen.
function words(line, start) {
    if (document) {
        gsub(/\\-/, "-", line)
        gsub(/\\f[BIRP]/, " ", line)
        return line
    }
    if (!c)
        return line ~ /^ *#/ && line !~ /^ *#include/ ? line : ""
    if (inside) {
        inside = line !~ /\*\//
        return line
    }
    start = match(line, /\/\*|\/\/ /)
    if (!start)
        return ""
    inside = line ~ /\/\*/ && substr(line, start) !~ /\*\//
    return substr(line, start)
}
# from the folder, with "../" resolved
function path_from(folder, name) {
    while (sub(/^\.\.\//, "", name))
        if (!sub(/\/[^\/]*$/, "", folder))
            folder = "."
    return folder == "." ? name : folder "/" name
}
function known(name) {
    if (name in is_there || from_lib && name in below_lib || path_from(folder, name) in is_there || "include/" name in is_there)
        return 1
    if (name ~ /\//)
        return 0
    return document ? name in somewhere : name in in_library
}
# Characters, not bytes: those after the first of a character in UTF-8 do not count.
function columns(line) {
    gsub(/[\200-\277]/, "", line)
    return length(line)
}
c && FILENAME !~ /^abi\// && columns($0) > 100 {
    print FILENAME ":" FNR ": longer than 100 columns"
}
c && FILENAME !~ /^abi\// && FNR == 801 {
    print FILENAME ": longer than 800 lines"
}
/^```/ {
    fenced = !fenced
}
FILENAME ~ /\.md$/ && !fenced && !/^(\||    )/ && columns($0) > 110 {
    print FILENAME ":" FNR ": longer than 110 columns"
}
{
    text = words($0)
    gsub(/<[^>]*>|https?:[^ )]*/, " ", text) # headers of the system, and addresses
    while (match(text, "(\\.\\./)*([A-Za-z0-9_-]+/)*[A-Za-z_][A-Za-z0-9_-]*" \
        "[.](c|h|cc|hh|cpp|hpp|sh|md|pm|mk|awk|py|map)")) {
        name = substr(text, RSTART, RLENGTH)
        before = RSTART > 1 ? substr(text, RSTART - 1, 1) : " "
        after = substr(text, RSTART + RLENGTH)
        text = after
        # Part of another word, or a placeholder: NAME.c
        if (before ~ /[A-Za-z0-9_.\/$*}~-]/ || after ~ /^[A-Za-z0-9_\/(*]|^\.[A-Za-z]/ ||
            name ~ /(^|_|\/)[A-Z]+[.\/]/)
            continue
        if (!known(name))
            print FILENAME ":" FNR ": there is no " name
    }
}
END
# shellcheck disable=SC2046 # no name has a space
LC_ALL=C awk -f "$dir/names.awk" "$dir/files" "$dir/others" $(cat "$dir/files") >"$dir/wrong"
tests/prove/record --page >"$dir/evidence.md"
cmp "$dir/evidence.md" doc/evidence.md >>"$dir/wrong" || :
cat "$dir/wrong"
[ ! -s "$dir/wrong" ]
