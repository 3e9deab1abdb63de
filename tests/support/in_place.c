/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "in_place.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

void forget_tmpfile(void)
{
    const unsigned tmpfile_bit = O_TMPFILE & ~O_DIRECTORY;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_openat, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, tmpfile_bit, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        cr_skip_test("no seccomp: %s", strerror(errno));
    cr_assert(open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) < 0 && errno == EOPNOTSUPP);
}

void make_site(struct site *site)
{
    test_directory(site->directory);
    snprintf(site->name, sizeof site->name, "file:%s/queue", site->directory);
    site->path = site->name + 5;
    cr_assert_eq(shmr_name_parse(&site->parsed, site->name), 0);
}

struct creation {
    struct site *site;
    int started;
};

static int create_half(void *argument)
{
    const struct creation *creation = argument;

    child_assert(shmr_file_create_in_place(&creation->site->parsed, 0) >= 0);
    test_tell(creation->started);
    pause();
    return 1;
}

pid_t start_creation(struct site *site)
{
    struct creation creation = {.site = site};
    int ends[2];

    test_pipe(ends);
    creation.started = ends[1];
    pid_t pid = test_fork(create_half, &creation);
    test_hear(ends[0]);
    close(ends[0]);
    close(ends[1]);
    return pid;
}
