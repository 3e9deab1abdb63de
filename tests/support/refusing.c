/* SPDX-License-Identifier: MIT */
/*
 * refusing EPERM|ENOSYS COMMAND [ARGUMENT...]: run a program under a filter that refuses the system
 * calls that the library can do without, see doc/system-calls.md. It does not refuse calls that the
 * suites themselves need, such as epoll, ask for by name, such as memfd_create, or wait to see,
 * such as inotify.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "filter.h"

static const long optional[] = {
#if defined SYS_futex_waitv
    SYS_futex_waitv,
#endif
    SYS_membarrier,
};

int main(int argc, char **argv)
{
    const int error = argc > 1 && strcmp(argv[1], "ENOSYS") == 0 ? ENOSYS : EPERM;

    if (argc < 3) {
        fprintf(stderr, "usage: %s EPERM|ENOSYS COMMAND [ARGUMENT...]\n", argv[0]);
        return 2;
    }
    if (!filter_calls(optional, sizeof optional / sizeof optional[0], true, error)) {
        fprintf(stderr, "%s: no seccomp filters here: %s\n", argv[0], strerror(errno));
        return 77;
    }
    execvp(argv[2], argv + 2);
    fprintf(stderr, "%s: %s: %s\n", argv[0], argv[2], strerror(errno));
    return 127;
}
