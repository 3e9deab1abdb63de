#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The unit of shmring-bridge as it would be installed: its paths are complete, and systemd accepts it.
set -eu
: "${srcdir:?}" "${builddir:?}"

unit=$builddir/bridge/shmring-bridge@.service
[ -e "$unit" ] || {
    echo 'built without shmring-bridge'
    exit 77
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# The make that runs this test may pass on options by which another make says in which directory it is.
setting() # VARIABLE: its value in make
{
    # shellcheck disable=SC2016 # for make
    printf 'include Makefile\nprint:; @echo $(%s)\n' "$1" |
        (cd "$builddir" && env -u MAKEFLAGS -u MFLAGS "${MAKE:-make}" -s -f - print)
}
grep -n '@[a-z]*@\|{prefix}\|{exec_prefix}' "$unit" && exit 1
expected="ExecStart=$(setting bindir)/shmring-bridge --openmetrics \${RUNTIME_DIRECTORY}/metrics $(setting sysconfdir)/shmring/%i.conf"
grep -qxF "$expected" "$unit" || {
    grep ExecStart "$unit"
    echo "is not $expected"
    exit 1
}
user=$(sed -n 's/^User=//p' "$unit")
grep -q "^u $user " "$srcdir/bridge/shmring-bridge.sysusers"

command -v systemd-analyze >/dev/null || {
    echo 'the unit was not verified: no systemd-analyze'
    exit 0
}
# The program has its path in the build folder. systemd-analyze complains also about other units of this
# machine: those do not count.
sed "s|^ExecStart=[^ ]*|ExecStart=$(cd "$builddir" && pwd)/bridge/shmring-bridge|" "$unit" \
    >"$dir/shmring-bridge@test.service"
systemd-analyze verify --man=no "$dir/shmring-bridge@test.service" >"$dir/said" 2>&1 || :
! grep 'shmring-bridge' "$dir/said"
