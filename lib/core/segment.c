/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "core/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "core/allocate.h"
#include "core/file_system.h"
#include "kind.h"

#ifndef MADV_POPULATE_READ /* Linux 5.14 */
#define MADV_POPULATE_READ 22
#endif

static int write_all(int fd, const void *bytes, size_t n, off_t offset)
{
    ssize_t written = pwrite(fd, bytes, n, offset);

    if (written == (ssize_t)n)
        return 0;
    return shmr_fail(written < 0 ? errno : EIO, "writing the header: %s",
                     written < 0 ? strerror(errno) : "cut short");
}

/* hugetlbfs has no write(2): write through a mapping. */
static int write_mapped(int fd, const void *bytes, size_t n, size_t offset)
{
    const size_t page = 2 << 20;
    uint8_t *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (p == MAP_FAILED)
        return shmr_fail(errno, "mapping the header: %s", strerror(errno));
    memcpy(p + offset, bytes, n);
    munmap(p, page);
    return 0;
}

static int write_part(int fd, bool huge, const void *bytes, size_t n, size_t offset)
{
    return huge ? write_mapped(fd, bytes, n, offset) : write_all(fd, bytes, n, (off_t)offset);
}

int shmr_segment_mark(int fd, bool huge, uint64_t magic)
{
    return write_part(fd, huge, &magic, sizeof magic, 0);
}

/*
 * Some file systems give all files one mode. If the file does not get the mode that its creator
 * asked for, creating fails: otherwise users whom the creator excluded could open the queue, or
 * users whom it meant could not.
 */
static int set_mode(int fd, mode_t mode)
{
    struct stat st;
    int error = 0;

    if (fstat(fd, &st) == 0 && (st.st_mode & 0777) == mode)
        return 0;
    if (fchmod(fd, mode) < 0)
        error = errno;
    if (fstat(fd, &st) < 0)
        return shmr_fail(errno, "reading its mode: %s", strerror(errno));
    if ((st.st_mode & 0777) == mode)
        return 0;
    if (error && error != EPERM && error != ENOSYS && error != EINVAL)
        return shmr_fail(error, "setting its mode: %s", strerror(error));
    return shmr_fail(EOPNOTSUPP,
                     "%s makes its mode 0%o, not 0%o: ask for that mode (shmring create --mode), "
                     "mount with options that give modes, or use another file system",
                     shmr_file_system_name(fd), st.st_mode & 0777, (unsigned)mode);
}

int shmr_segment_init(int fd, const struct shmr_name *name, const struct shmr_geometry *g,
                      mode_t mode, struct shmr_header *h)
{
    const size_t after_magic = offsetof(struct shmr_header, layout_version);
    const bool huge = g->flags & SHMRING_HUGE_PAGES;
    int r = set_mode(fd, mode);

    if (r == 0)
        r = shmr_file_system_check(fd);
    if (r == 0)
        r = shmr_allocate_new(fd, g);
    if (r == 0) {
        shmr_header_init(h, g, name->text, name->backend);
        r = write_part(fd, huge, (const char *)h + after_magic, sizeof *h - after_magic,
                       after_magic);
    }
    if (r == 0 && name->backend == SHMR_MEMFD)
        r = shmr_memfd_seal(fd);
    return r;
}

int shmr_segment_read(int fd, struct shmr_header *h, struct shmr_geometry *g)
{
    struct stat st;
    ssize_t n;
    int r;

    if (fstat(fd, &st) < 0)
        return shmr_fail(errno, "descriptor %d: %s", fd, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return shmr_fail(EBADMSG, "this is not a regular file, so not a shmring segment");
    n = pread(fd, h, sizeof *h, 0);
    if (n < 0)
        return shmr_fail(errno, "reading the header: %s", strerror(errno));
    if (n == 0)
        return shmr_fail(EAGAIN, "the file is empty: its creator has only begun, or has died, "
                                 "or it is no queue");
    if (n >= (ssize_t)sizeof h->magic &&
        (h->magic == SHMR_UNFINISHED || h->magic == __builtin_bswap64(SHMR_UNFINISHED)))
        return shmr_fail(EAGAIN, "its creator has not finished it yet, or has died");
    if (n < (ssize_t)sizeof *h)
        return shmr_fail(EBADMSG, "%zd bytes are too short for a shmring segment", n);
    /* Read the size again: the creator may have finished the file after the first fstat(). */
    if (fstat(fd, &st) < 0)
        return shmr_fail(errno, "descriptor %d: %s", fd, strerror(errno));
    r = shmr_header_check(h, (uint64_t)st.st_size, g);
    if (r < 0)
        return r;
    if (h->backend != SHMR_POSIX && h->backend != SHMR_FILE && h->backend != SHMR_MEMFD)
        return shmr_fail(EBADMSG, "backend %" PRIu32 " is unknown", h->backend);
    /* Check the file too: a hostile peer's header may hide that it is in a memfd. */
    return h->backend == SHMR_MEMFD || shmr_is_memfd(fd) ? shmr_memfd_check_seals(fd) : 0;
}

int shmr_segment_own(int fd, const struct shmr_geometry *g)
{
    int r = shmr_allocate_rest(fd, g);

    return r == 0 ? shmr_file_system_unshare(fd, g->segment_size) : r;
}

void shmr_fd_path(char path[SHMR_FD_PATH], int fd)
{
    char digits[12], *p = digits + sizeof digits;
    unsigned rest = (unsigned)fd;

    *--p = 0;
    do
        *--p = (char)('0' + rest % 10);
    while ((rest /= 10) != 0);
    strcpy(path, "/proc/self/fd/");
    strcpy(path + strlen(path), p);
}

int shmr_segment_reopen(int fd, int flags)
{
    char path[SHMR_FD_PATH];
    const uint64_t number = (uint64_t)fd;
    struct stat st;
    int again;

    /* The sender of the descriptor may have no permission to open the file, but this process may.
     * Opening a regular file does no harm, opening a device might. */
    if (fstat(fd, &st) < 0)
        return errno == EBADF ? shmr_fail_fast(EBADF, "descriptor %lld is not open", number, 0)
                              : shmr_fail_call(errno, "descriptor %lld", number, 0);
    if (!S_ISREG(st.st_mode))
        return shmr_fail_fast(
            EBADMSG, "descriptor %lld is not a regular file, so not a shmring segment", number, 0);
    shmr_fd_path(path, fd);
    again = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (again >= 0)
        return again;
    if (errno == ENOENT) /* not -ENOENT, which means that there is no queue */
        return shmr_fail_fast(ENOSYS, "/proc/self/fd/%lld cannot be opened: is /proc mounted?",
                              number, 0);
    return shmr_fail_call(
        shmr_not_again(errno, EBUSY),
        flags == O_RDONLY
            ? "opening the segment for reading (through /proc/self/fd/%lld)"
            : "opening the segment for reading and writing (through /proc/self/fd/%lld)",
        number, 0);
}

struct piece {
    uint64_t offset, size;
    unsigned writers; /* roles that write to it */
};

/* Report that mmap() failed. */
static int say_unmapped(int fd, uint64_t size)
{
    const int error = errno;

    if (error == ENODEV)
        return shmr_fail(
            EOPNOTSUPP,
            "%s does not let files be mapped here (FUSE: mounted with direct_io?): use "
            "/dev/shm, or another file system",
            shmr_file_system_name(fd));
    if (error == ENOMEM)
        return shmr_fail(ENOMEM,
                         "mapping %" PRIu64 " bytes: %s: see RLIMIT_AS (ulimit -v), and "
                         "vm.max_map_count, the most mappings of a process: a handle takes up to 5",
                         size, strerror(error));
    return shmr_fail(shmr_not_again(error, ENOMEM), "mapping %" PRIu64 " bytes: %s", size,
                     strerror(error));
}

/* Map the pieces of the segment one after the other into the reserved range. */
static int map_pieces(struct shmr_map *map, int fd, const struct shmr_geometry *g, unsigned roles)
{
    const unsigned any = SHMRING_PRODUCER | SHMRING_CONSUMER;
    const struct piece pieces[] = {
        {g->producer, g->table - g->producer, g->type->writers.producer},
        {g->table, g->consumer - g->table, any},
        {g->consumer, g->data - g->consumer, g->type->writers.consumer},
        {g->data, g->data_size, g->type->writers.data},
        /* the second mapping */
        {g->data, g->type->writers.twice ? g->data_size : 0, g->type->writers.data},
    };
    uint8_t *at = map->base;

    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0] && pieces[i].size != 0; i++) {
        int protection = PROT_READ | (roles & pieces[i].writers ? PROT_WRITE : 0);
        if (mmap(at, (size_t)pieces[i].size, protection, MAP_SHARED | MAP_FIXED, fd,
                 (off_t)pieces[i].offset) == MAP_FAILED)
            return say_unmapped(fd, pieces[i].size);
        at += pieces[i].size;
    }
    return 0;
}

/* Reserve address space, aligned for huge pages if `alignment` is larger than 4096. */
static uint8_t *reserve_range(size_t length, size_t alignment)
{
    size_t more = alignment > 4096 ? alignment : 0;
    uint8_t *p =
        mmap(NULL, length + more, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    if (more) {
        size_t head = (alignment - (uintptr_t)p % alignment) % alignment;
        if (head)
            munmap(p, head);
        munmap(p + head + length, more - head);
        p += head;
    }
    return p;
}

/*
 * Leave the mapping out of core files, because they shall not contain messages of other processes.
 * With SHMRING_CORE_DUMP leave out only the second mapping of an spsc queue's data. If the kernel
 * refuses, the queue works all the same, so the caller is not told.
 */
static void leave_out_of_core_files(const struct shmr_map *map, const struct shmr_geometry *g,
                                    unsigned flags)
{
    const size_t kept = flags & SHMRING_CORE_DUMP ? (size_t)(g->segment_size - g->producer) : 0;

    if (kept < map->length)
        (void)madvise(map->base + kept, map->length - kept, MADV_DONTDUMP);
}

int shmr_segment_map(struct shmr_map *map, int fd, const struct shmr_geometry *g, unsigned flags)
{
    int r;

    map->length =
        (size_t)(g->segment_size - g->producer + (g->type->writers.twice ? g->data_size : 0));
    map->base = reserve_range(map->length, g->page_size);
    if (!map->base)
        return shmr_fail(ENOMEM,
                         "no address space for %zu bytes: see RLIMIT_AS (ulimit -v), and "
                         "vm.max_map_count, the most mappings of a process",
                         map->length);
    map->producer = map->base;
    map->table = map->base + (g->table - g->producer);
    map->waitwords = (void *)(map->base + (g->waitwords - g->producer));
    map->consumer = map->base + (g->consumer - g->producer);
    map->data = map->base + (g->data - g->producer);
    r = map_pieces(map, fd, g, flags);
    /* A child that inherited the mapping would keep this participant's locks, and hide its
     * death. */
    if (r == 0 && madvise(map->base, map->length, MADV_DONTFORK) < 0)
        r = shmr_fail(shmr_not_again(errno, ENOMEM), "madvise(MADV_DONTFORK): %s", strerror(errno));
    if (r == 0)
        leave_out_of_core_files(map, g, flags);
    if (r < 0)
        shmr_segment_unmap(map);
    return r;
}

void shmr_segment_unmap(struct shmr_map *map)
{
    if (map->base)
        munmap(map->base, map->length);
    map->base = NULL;
}

int shmr_segment_touch(const struct shmr_map *map, uint32_t flags)
{
    if (flags & SHMRING_MLOCK && mlock(map->base, map->length) < 0) {
        struct rlimit limit = {0};
        getrlimit(RLIMIT_MEMLOCK, &limit);
        return shmr_fail(ENOMEM, "SHMRING_MLOCK of %zu bytes: %s (RLIMIT_MEMLOCK is %" PRIu64 ")",
                         map->length, strerror(errno), (uint64_t)limit.rlim_cur);
    }
    if (flags & SHMRING_PREFAULT) {
        if (madvise(map->base, map->length, MADV_POPULATE_READ) == 0)
            return 0;
        if (errno == EFAULT)
            return shmr_fail(EBADMSG, "the queue has no memory there: its file was truncated, or "
                                      "there is no space for its pages");
        if (errno != EINVAL) /* EINVAL: an older kernel, so touch the pages one by one */
            return shmr_fail(shmr_not_again(errno, ENOMEM), "SHMRING_PREFAULT of %zu bytes: %s",
                             map->length, strerror(errno));
        for (size_t i = 0; i < map->length; i += 4096)
            (void)*(volatile uint8_t *)(map->base + i);
    }
    return 0;
}
