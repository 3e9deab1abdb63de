/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "wait/fence.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ThreadSanitizer knows nothing of a fence that the kernel makes. */
#if defined __SANITIZE_THREAD__
#define FENCES_SHOW 1
#elif defined __has_feature
#define FENCES_SHOW __has_feature(thread_sanitizer)
#else
#define FENCES_SHOW 0
#endif

/* Any error, such as that of a seccomp filter, means that the kernel makes no fence here. */
bool shmr_fence_register(void)
{
    return !FENCES_SHOW &&
           syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
}

bool shmr_fence_others(void)
{
    return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) == 0;
}
