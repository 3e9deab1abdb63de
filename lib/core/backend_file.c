/* SPDX-License-Identifier: MIT */
/* Named segments: files in /dev/shm (posix) or anywhere (file). */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/error.h"
#include "core/segment.h"
#include "wait/notifier.h"

#define HUGE_PAGE_FILE_SYSTEM 0x958458f6 /* HUGETLBFS_MAGIC */
#define NEVER_BLOCK           (O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)

static void directory_of(const struct shmr_name *name, char directory[PATH_MAX])
{
    char *slash;

    strcpy(directory, name->path);
    slash = strrchr(directory, '/');
    slash[slash == directory] = 0;
}

static int check_huge_pages(const char *directory, uint32_t flags)
{
    struct statfs fs;

    if (statfs(directory, &fs) < 0)
        return 0; /* the call that uses the directory reports what is wrong with it */
    /* Cast: f_type is signed on some machines, and has 32 bits on some. */
    bool huge = (uint32_t)fs.f_type == HUGE_PAGE_FILE_SYSTEM;

    if (flags & SHMRING_HUGE_PAGES && !huge)
        return shmr_fail(EOPNOTSUPP,
                         "SHMRING_HUGE_PAGES: only memfd queues and files on hugetlbfs have them");
    if (!(flags & SHMRING_HUGE_PAGES) && huge)
        return shmr_fail(EINVAL, "this is hugetlbfs: create the queue with SHMRING_HUGE_PAGES");
    if (huge && fs.f_bsize != 2 << 20)
        return shmr_fail(EOPNOTSUPP, "hugetlbfs with pages of %ld bytes: only 2 MiB are supported",
                         (long)fs.f_bsize);
    return 0;
}

/*
 * Without O_TMPFILE the name appears before the contents. The creator locks the file's first byte
 * before it writes anything, writes SHMR_UNFINISHED there, then all else, and SHMR_MAGIC last. So a
 * process that finds the file empty or unfinished, and not locked, knows that the creator died, and
 * replaces the file. (A mode bit cannot serve as the mark: not every file system keeps those. Nor
 * can a temporary name that is linked or renamed: for some file systems in user space two names are
 * two files.)
 */
static int lock_unfinished(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};

    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
}

static bool is_at(int fd, const char *path, struct stat *st)
{
    struct stat there;

    return fstat(fd, st) == 0 && lstat(path, &there) == 0 && st->st_ino == there.st_ino &&
           st->st_dev == there.st_dev;
}

/* An empty file may be any program's. It counts as unfinished only where creators leave such files
 * (in_place). */
static bool is_unfinished(int fd, bool in_place)
{
    uint64_t magic = 0;
    const ssize_t n = pread(fd, &magic, sizeof magic, 0);

    return n == (ssize_t)sizeof magic ? magic == SHMR_UNFINISHED : n == 0 && in_place;
}

static bool remove_unfinished(const struct shmr_name *name, bool in_place)
{
    struct stat st;
    bool removed = false;
    int fd = open(name->path, O_RDWR | NEVER_BLOCK);

    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && lock_unfinished(fd) == 0 &&
        is_at(fd, name->path, &st) && is_unfinished(fd, in_place))
        removed = unlink(name->path) == 0;
    close(fd);
    return removed;
}

/* Lock and mark the new file, which is still empty. Returns 0, or -EBUSY: another creator took this
 * file for one that a dead creator had left. */
static int begin_in_place(int fd, const struct shmr_name *name, bool huge)
{
    struct stat st;
    int r = lock_unfinished(fd);

    if (r == -EBUSY || (r == 0 && !is_at(fd, name->path, &st)))
        return -EBUSY;
    if (r < 0)
        r = shmr_fail(-r, "locking %s: %s", name->path, strerror(-r));
    else
        r = shmr_segment_mark(fd, huge, SHMR_UNFINISHED);
    if (r < 0)
        unlink(name->path);
    return r;
}

int shmr_file_create_in_place(const struct shmr_name *name, uint32_t flags)
{
    for (;;) {
        int fd = open(name->path, O_RDWR | O_CREAT | O_EXCL | NEVER_BLOCK, 0600);
        if (fd >= 0) {
            int r = begin_in_place(fd, name, flags & SHMRING_HUGE_PAGES);
            if (r == 0)
                return fd;
            close(fd);
            if (r != -EBUSY)
                return r;
        } else if (errno != EEXIST) {
            return shmr_fail(shmr_not_again(errno, EBUSY), "creating %s: %s", name->path,
                             strerror(errno));
        } else if (!remove_unfinished(name, true)) {
            return shmr_fail(EEXIST, "%s exists: open it, or remove it first", name->path);
        }
    }
}

int shmr_file_create(const struct shmr_name *name, uint32_t flags, bool *in_place)
{
    char directory[PATH_MAX];
    struct stat st;
    const bool exists = lstat(name->path, &st) == 0;
    const bool empty = exists && S_ISREG(st.st_mode) && st.st_size == 0;
    int fd, r;

    /* Find out before a large file is allocated. */
    if (exists && !S_ISREG(st.st_mode))
        return shmr_fail(EEXIST, "%s exists, and is no queue: choose another name", name->path);
    if (exists && !empty && !remove_unfinished(name, false))
        return shmr_fail(EEXIST, "%s exists: open it, or remove it first", name->path);
    directory_of(name, directory);
    r = check_huge_pages(directory, flags);
    if (r < 0)
        return r;
    fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 && !empty)
        return fd;
    if (fd >= 0) {
        close(fd);
        return shmr_fail(EEXIST, "%s exists, and is empty: remove it first", name->path);
    }
    if (errno != EOPNOTSUPP && errno != EISDIR)
        return shmr_fail(shmr_not_again(errno, EBUSY), "creating a file in %s: %s", directory,
                         strerror(errno));
    fd = shmr_file_create_in_place(name, flags);
    *in_place = fd >= 0;
    return fd;
}

int shmr_file_publish(int fd, const struct shmr_name *name)
{
    char from[SHMR_FD_PATH];

    shmr_fd_path(from, fd);
    if (linkat(AT_FDCWD, from, AT_FDCWD, name->path, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    if (errno == EEXIST)
        return shmr_fail(EEXIST, "%s exists: open it, or remove it first", name->path);
    if (errno == ENOENT && access(from, F_OK) < 0) /* the cause is /proc, not the directory */
        return shmr_fail(ENOSYS, "%s cannot be linked: is /proc mounted?", from);
    return shmr_fail(errno, "naming the segment %s (through %s): %s", name->path, from,
                     strerror(errno));
}

void shmr_file_abandon(int fd, const struct shmr_name *name)
{
    struct stat st;

    if (is_at(fd, name->path, &st))
        unlink(name->path);
}

int shmr_file_open(const struct shmr_name *name, int flags)
{
    struct stat st;
    int fd = open(name->path, flags | NEVER_BLOCK);

    if (fd < 0) {
        switch (errno) {
        case ENOENT:
            return shmr_fail(ENOENT, "%s does not exist", name->path);
        case ELOOP:
            return shmr_fail(ELOOP, "%s is a symbolic link: those are not followed", name->path);
        case EISDIR:
            return shmr_fail(EISDIR, "%s is a directory", name->path);
        case ENXIO: /* a FIFO or socket */
            return shmr_fail(EBADMSG, "%s is not a regular file, so not a shmring segment",
                             name->path);
        case EAGAIN: /* not -EAGAIN, which means that its creator is still at work */
            return shmr_fail(EBUSY, "%s is leased by a process (fcntl(2), F_SETLEASE): try again",
                             name->path);
        default:
            return shmr_fail(errno, "opening %s: %s", name->path, strerror(errno));
        }
    }
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        close(fd);
        return shmr_fail(EISDIR, "%s is a directory", name->path);
    }
    return fd;
}

static void remove_notifiers(int fd, int64_t created_ns)
{
    char *path = shmr_notifier_path(fd, created_ns);

    shmr_notifier_remove(path);
    free(path);
}

int shmr_file_unlink(const struct shmr_name *name)
{
    struct shmr_header h = {0};
    struct stat st;
    int fd = shmr_file_open(name, O_RDONLY);
    int error = 0;

    if (fd == -EACCES)
        return shmr_fail(EACCES, "%s cannot be read, so it may be anything: it was left alone",
                         name->path);
    if (fd < 0)
        return fd;
    bool regular = false, ours = false;
    if (fstat(fd, &st) < 0 || (S_ISREG(st.st_mode) && pread(fd, &h, sizeof h, 0) < 0))
        error = errno; /* then it is not known what the file is */
    else
        regular = S_ISREG(st.st_mode);
    ours = regular && (h.magic == SHMR_MAGIC || h.magic == __builtin_bswap64(SHMR_MAGIC) ||
                       h.magic == SHMR_UNFINISHED);
    if (ours && unlink(name->path) < 0)
        error = errno;
    else if (ours)
        remove_notifiers(fd, h.created_ns);
    close(fd);
    if (!ours && !error)
        return shmr_fail(EBADMSG, "%s is not a shmring segment: it was left alone", name->path);
    return error ? shmr_fail(error, "removing %s: %s", name->path, strerror(error)) : 0;
}
