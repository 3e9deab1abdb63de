/* SPDX-License-Identifier: MIT */
/* memfd segments: no name, sealed, passed on by descriptor. For peers that do not trust each
 * other. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "core/segment.h"

int shmr_memfd_create(const struct shmr_name *name, uint32_t flags)
{
    unsigned huge = flags & SHMRING_HUGE_PAGES ? MFD_HUGETLB | MFD_HUGE_2MB : 0;
    int fd = memfd_create(name->path, MFD_CLOEXEC | MFD_ALLOW_SEALING | huge);

    if (fd < 0 && huge && (errno == EINVAL || errno == ENODEV))
        return shmr_fail(EOPNOTSUPP, "SHMRING_HUGE_PAGES: this kernel has no huge pages for memfd");
    if (fd < 0)
        return shmr_fail(errno, "memfd_create: %s", strerror(errno));
    return fd;
}

int shmr_memfd_seal(int fd)
{
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return shmr_fail(errno, "sealing the memfd: %s", strerror(errno));
    return 0;
}

bool shmr_is_memfd(int fd)
{
    static const char prefix[] = "/memfd:"; /* no path of another file begins so, except in / */
    char path[SHMR_FD_PATH], target[sizeof prefix];

    shmr_fd_path(path, fd);
    ssize_t n = readlink(path, target, sizeof target);
    return n >= (ssize_t)sizeof prefix - 1 && memcmp(target, prefix, sizeof prefix - 1) == 0;
}

int shmr_memfd_check_seals(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals < 0 || !(seals & F_SEAL_SHRINK))
        return shmr_fail(EPERM,
                         "the segment is not a memfd sealed against shrinking (F_SEAL_SHRINK): "
                         "a process that has it open could make this process die of SIGBUS");
    return 0;
}
