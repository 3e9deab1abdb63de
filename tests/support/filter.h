/* SPDX-License-Identifier: MIT */
/* A seccomp filter that refuses system calls, for this process and those that it starts. */
#ifndef TEST_FILTER_H
#define TEST_FILTER_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>

enum { FILTER_MOST = 200 };

/* From now on each listed call, or each call that is not listed, returns this error. */
static inline bool filter_calls(const long *calls, unsigned n, bool refuse_listed, int error)
{
    struct sock_filter code[FILTER_MOST + 3];
    unsigned at = 0;

    if (n > FILTER_MOST)
        return false;
    code[at++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (unsigned i = 0; i < n; i++)
        code[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i],
                                                  (unsigned char)(n - i), 0);
    const unsigned refuse = SECCOMP_RET_ERRNO | (unsigned)error, allow = SECCOMP_RET_ALLOW;
    code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, refuse_listed ? allow : refuse);
    code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, refuse_listed ? refuse : allow);
    const struct sock_fprog program = {(unsigned short)at, code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

#endif
