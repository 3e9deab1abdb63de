#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Each function of the C library that lib/ calls is either allowed in a signal handler or replaced by
# tests/segment/signal_safe, which fails when a call that is allowed in signal handlers reaches it.
set -eu
: "${srcdir:?}" "${builddir:?}"

library=$builddir/lib/.libs/libshmring-core.a
[ -e "$library" ] || library=$builddir/lib/libshmring-core.a
case ${CFLAGS-} in *-fsanitize=* | *--coverage* | *-flto*)
    echo 'the objects call more than the sources do, or are none'
    exit 77
    ;;
esac
command -v nm >/dev/null || exit 77

# POSIX.1-2024, 2.4.3 Signal Actions; then functions that are a bare system call in glibc and in musl, or
# that only write to the thread's own memory; then functions that the compiler calls by itself.
allowed='
access chmod clock_gettime close fchmod fchown fcntl fstat geteuid getpid link linkat lstat memchr
memcmp memcpy memmove memset mkfifo open openat ppoll pthread_self pthread_sigmask raise read
readlink sigaction sigaddset sigdelset sigemptyset sigfillset stat strchr strcmp strcpy strcspn strlen
strncmp strncpy strnlen strrchr strspn strstr sysconf unlink unlinkat write
clock_nanosleep epoll_wait flock madvise mmap munmap prctl pthread_setcancelstate syscall
_GLOBAL_OFFSET_TABLE_ __errno_location __stack_chk_fail __memcpy_chk __strcpy_chk __open_2
fcntl64 fstat64 lstat64 open64 openat64 stat64 mmap64 __fcntl_time64 __fstat64_time64
__lstat64_time64 __stat64_time64 __clock_gettime64
'

nm -u "$library" | awk '$1 == "U" { print $2 }' | grep -v '^shmr' | sort -u |
    awk -v allowed="$allowed" '
        BEGIN {
            n = split(allowed, names, /[ \n]+/)
            for (i = 1; i <= n; i++) known[names[i]] = 1
        }
        NR == FNR {
            while (match($0, /--wrap=[a-z0-9_]+/)) {
                known[substr($0, RSTART + 7, RLENGTH - 7)] = 1
                $0 = substr($0, RSTART + RLENGTH)
            }
            next
        }
        !($1 in known) {
            print $1 "() is not for signal handlers: let tests/segment/signal_safe replace it"
            bad = 1
        }
        END { exit bad }' "$srcdir/tests/segment/local.mk" -
