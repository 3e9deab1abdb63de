/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "core/file_system.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/error.h"

#if defined __GLIBC__
typedef unsigned long ioctl_request;
#else
typedef int ioctl_request; /* as POSIX has it, and musl */
#endif

enum {
    IN_MEMORY = 1,
    COPIES = 2, /* copies on write, unless the file has the attribute C (chattr(1)), FS_NOCOW_FL */
    UNSHARES = 4,      /* blocks may be shared; FALLOC_FL_UNSHARE_RANGE ends that */
    MAY_COPY = 8,      /* the file system below this one may copy on write */
    NO_QUEUES = 16,    /* always copies on write */
    MAY_BE_MEMORY = 32 /* the file system below this one may be in memory */
};

static const struct file_system {
    uint32_t type; /* statfs.f_type */
    const char *name;
    unsigned traits;
} file_systems[] = {
    {0x01021994, "tmpfs", IN_MEMORY},
    {0x858458f6, "ramfs", IN_MEMORY},
    {0x958458f6, "hugetlbfs", 0},
    {0xef53, "ext4", 0},
    {0x58465342, "xfs", UNSHARES},
    {0x9123683e, "btrfs", COPIES},
    {0x794c7630, "overlayfs", MAY_COPY | MAY_BE_MEMORY},
    {0x65735546, "FUSE", 0},
    {0x4d44, "vfat", 0},
    {0x2011bab0, "exfat", 0},
    {0x7366746e, "ntfs3", 0},
    {0x6969, "NFS", 0},
    {0xff534d42, "CIFS", 0},
    {0xfe534d42, "SMB", 0},
    {0x01021997, "9p", 0},
    {0x00c36400, "ceph", 0},
    {0xf2f52010, "f2fs", 0},
    {0x2fc12fc1, "zfs", 0},
    {0xca451a4e, "bcachefs", NO_QUEUES},
    {0x3434, "nilfs2", NO_QUEUES},
};

static const struct file_system *look_up(int fd)
{
    static const struct file_system unknown = {0, "this file system", 0};
    struct statfs fs;

    if (fstatfs(fd, &fs) == 0)
        for (size_t i = 0; i < sizeof file_systems / sizeof file_systems[0]; i++)
            /* Cast: f_type is signed on some machines, and has 32 bits on some. */
            if (file_systems[i].type == (uint32_t)fs.f_type)
                return &file_systems[i];
    return &unknown;
}

const char *shmr_file_system_name(int fd)
{
    return look_up(fd)->name;
}

/*
 * overlayfs does not say which file system is below it, but it passes on the question where on the
 * disk a file is (FS_IOC_FIEMAP). tmpfs does not know that question. Of the file systems on disk
 * that overlayfs can write to, zfs does not know it either, and counts as memory.
 */
static bool is_on_disk(int fd)
{
    struct fiemap map = {.fm_length = FIEMAP_MAX_OFFSET}; /* room for no extents: count them */

    return ioctl(fd, (ioctl_request)FS_IOC_FIEMAP, &map) == 0 || errno != EOPNOTSUPP;
}

bool shmr_file_system_is_memory(int fd)
{
    const unsigned traits = look_up(fd)->traits;

    return traits & IN_MEMORY || (traits & MAY_BE_MEMORY && !is_on_disk(fd));
}

static int refuse_copies(const struct file_system *fs)
{
    return shmr_fail(
        EOPNOTSUPP,
        "%s copies on write: when it is full, writing to the queue would be a SIGBUS: use "
        "/dev/shm, or a file on tmpfs, ext4 or xfs, or see \"File systems\" in "
        "shmring_create(3)",
        fs->name);
}

/*
 * A file with the attribute C is written in place. But before Linux 6.16 btrfs takes a new block
 * even for such a file when it is written through a mapping.
 */
static int check_written_in_place(const struct file_system *fs, int fd)
{
    struct utsname kernel;
    unsigned major = 0, minor = 0;
    int attributes = 0;

    if (ioctl(fd, (ioctl_request)FS_IOC_GETFLAGS, &attributes) < 0 || !(attributes & FS_NOCOW_FL))
        return refuse_copies(fs);
    if (uname(&kernel) < 0 || sscanf(kernel.release, "%u.%u", &major, &minor) != 2 || major > 6 ||
        (major == 6 && minor >= 16))
        return 0;
    return shmr_fail(
        EOPNOTSUPP,
        "%s of Linux %u.%u: when it is full, writing to the queue would be a SIGBUS, in "
        "spite of the attribute C (from 6.16 on not): use /dev/shm, or a file on tmpfs, "
        "ext4 or xfs",
        fs->name, major, minor);
}

/* overlayfs does not say which file system is below it. But only if that one copies on write can a
 * file take the attribute C. */
static bool takes_attribute(int fd)
{
    int attributes = 0;

    if (ioctl(fd, (ioctl_request)FS_IOC_GETFLAGS, &attributes) < 0 || attributes & FS_NOCOW_FL)
        return false;
    attributes |= FS_NOCOW_FL;
    return ioctl(fd, (ioctl_request)FS_IOC_SETFLAGS, &attributes) == 0;
}

static int check_copies(const struct file_system *fs, int fd)
{
    if (fs->traits & NO_QUEUES || (fs->traits & MAY_COPY && takes_attribute(fd)))
        return refuse_copies(fs);
    return fs->traits & COPIES ? check_written_in_place(fs, fd) : 0;
}

int shmr_file_system_check(int fd)
{
    return check_copies(look_up(fd), fd);
}

/* Returns how many of the file's first `size` bytes are in blocks that another file shares. */
static uint64_t shared_bytes(int fd, uint64_t size)
{
    enum { EXTENTS = 32 };
    union {
        struct fiemap map;
        char bytes[sizeof(struct fiemap) + EXTENTS * sizeof(struct fiemap_extent)];
    } u;
    uint64_t at = 0, shared = 0;

    while (at < size) {
        memset(&u, 0, sizeof u);
        u.map.fm_start = at;
        u.map.fm_length = size - at;
        u.map.fm_extent_count = EXTENTS;
        if (ioctl(fd, (ioctl_request)FS_IOC_FIEMAP, &u.map) < 0 || u.map.fm_mapped_extents == 0)
            break;
        for (uint32_t i = 0; i < u.map.fm_mapped_extents; i++) {
            const struct fiemap_extent *e = &u.map.fm_extents[i];
            if (e->fe_flags & FIEMAP_EXTENT_SHARED)
                shared += e->fe_length;
            at = e->fe_flags & FIEMAP_EXTENT_LAST ? size : e->fe_logical + e->fe_length;
        }
    }
    return shared;
}

int shmr_file_system_unshare(int fd, uint64_t size)
{
    const struct file_system *fs = look_up(fd);
    struct statvfs vfs;
    uint64_t shared;

    int r = fs->traits & MAY_COPY ? 0 : check_copies(fs, fd);

    if (r < 0 || !(fs->traits & (COPIES | UNSHARES)))
        return r;
    shared = shared_bytes(fd, size);
    if (shared == 0)
        return 0;
    if (fs->traits & UNSHARES) {
        if (fallocate(fd, FALLOC_FL_UNSHARE_RANGE, 0, (off_t)size) == 0)
            return 0;
        if (errno != ENOSPC)
            return shmr_fail(errno, "copying the %" PRIu64 " bytes that the file shares: %s",
                             shared, strerror(errno));
    }
    if (fstatvfs(fd, &vfs) < 0 || (uint64_t)vfs.f_bavail * vfs.f_frsize >= shared)
        return 0;
    return shmr_fail(ENOSPC,
                     "%" PRIu64 " bytes of the queue are shared with a snapshot or a copy, and "
                     "writing to them takes as much: %" PRIu64 " are available on this %s",
                     shared, (uint64_t)vfs.f_bavail * vfs.f_frsize, fs->name);
}
