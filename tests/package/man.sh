#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The man pages: every public function has one that names it, every page names this release in its
# footer, the checkers that are installed find no fault, and the examples in section 3 compile.
set -eu
: "${srcdir:?}" "${builddir:?}" "${CC:?}"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
header=$srcdir/include/shmring/mux.h # which includes the other one
[ -e "$builddir/mux/libshmring-mux.la" ] || header=$srcdir/include/shmring/shmring.h
status=0

fail()
{
    echo "$*" >&2
    status=1
}

functions=$($CC -E -I"$srcdir/include" "$header" | tr '\n' ' ' | grep -o 'visibility("default"))) [^(;]*(' |
    grep -o 'shmring_[a-z_]*($' | tr -d '(')
[ -n "$functions" ] || fail 'found no public function'

for function in $functions shmring_record_size; do
    page=$srcdir/man/$function.3
    if [ ! -e "$page" ]; then
        alias=$builddir/man/aliases/$function.3
        [ -e "$alias" ] || { fail "$function has no man page"; continue; }
        page=$srcdir/man/$(sed -n 's/^\.so man3\///p' "$alias")
    fi
    grep -q "^\.Nm $function\( ,\)\{0,1\}\$" "$page" || fail "$page does not name $function"
    grep -q "^\.Fn $function " "$page" || fail "$page does not declare $function"
done

written=$(echo "$srcdir"/man/*.[137] "$srcdir/man/shmring-record.5")
functions_pages=$(echo "$srcdir"/man/*.3)
pages="$written $builddir/man/shmring_layout.5"
version=$(sed -n 's/^#define PACKAGE_VERSION "\(.*\)"/\1/p' "$builddir/config.h")
for page in $pages; do
    # The footer: without an operand, .Os is the name of the system that shows the page.
    grep -qx -e "\.Os shmring $version" -e "\.TH .* \"shmring $version\" .*" "$page" ||
        fail "$page: its footer does not say shmring $version"
    if command -v mandoc >/dev/null; then
        # It does not matter which pages are installed here. mandoc wants .Os without an operand, which is
        # right for pages of a BSD only.
        mandoc -T lint "$page" 2>&1 | grep -v -e 'referenced manual not found' -e 'outdated mandoc.db' \
            -e 'operating system explicitly specified' &&
            fail "$page: see above"
    fi
    if command -v man >/dev/null && command -v groff >/dev/null; then
        MANROFFSEQ='' LC_ALL=C.UTF-8 man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>"$dir/lint" \
            >/dev/null || fail "man cannot format $page"
        [ ! -s "$dir/lint" ] || fail "$page: $(cat "$dir/lint")"
    fi
done

# Each page on functions has these parts, and the pages to which our pages refer exist.
for page in $functions_pages; do
    for part in 'Sh NAME' 'Sh SYNOPSIS' 'Sh DESCRIPTION' 'Sh RETURN VALUES' 'Sh EXAMPLES' 'Sh ERRORS' \
        'Sh ATTRIBUTES' 'It Threads' 'It Signals' 'It Fork' 'It Progress' 'It Kernel' 'Sh SEE ALSO'; do
        grep -qx "\.$part" "$page" || fail "$page: no .$part"
    done
done
# shellcheck disable=SC2086 # a list of words
sed -n 's/^\.Xr \(shmring[a-z_-]*\) \([0-9]\).*/\1.\2/p' $written | sort -u >"$dir/referred"
while read -r page; do
    case $page in shmring_mux*) continue ;; esac # built with the mux only
    [ -e "$srcdir/man/$page" ] || [ -e "$builddir/man/$page" ] || [ -e "$builddir/man/aliases/$page" ] ||
        fail "no page $page, and some refer to it"
done <"$dir/referred"

if command -v mandoc >/dev/null; then
    # shellcheck disable=SC2086 # a list of words
    "$srcdir/man/make-html" "$dir/html" $pages >/dev/null
    sed -n 's/.*href="\([^":#]*\.html\)".*/\1/p' "$dir"/html/*.html | sort -u >"$dir/linked"
    while read -r page; do
        [ -s "$dir/html/$page" ] || fail "HTML: no $page, and some link to it"
    done <"$dir/linked"
fi

for page in $functions_pages; do
    example=$dir/$(basename "$page" .3).c
    sed -n '/^\.Sh EXAMPLES/,/^\.Sh SEE/p' "$page" |
        sed -n '/^\.Bd -literal/,/^\.Ed/{/^\.[BE]d/!p}' | sed 's/\\e/\\/g' >"$example"
    [ -s "$example" ] || { fail "$page has no example"; continue; }
    # shellcheck disable=SC2086 # a list of words
    $CC -std=c11 -D_DEFAULT_SOURCE -Wall -Wextra -Werror -I"$srcdir/include" \
        -c "$example" -o "$dir/example.o" || fail "$page: its example does not compile"
done
exit $status
