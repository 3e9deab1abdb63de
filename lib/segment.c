/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "error.h"

#ifndef MADV_POPULATE_READ /* Linux 5.14 */
#define MADV_POPULATE_READ 22
#endif

#define MEMORY_FILE_SYSTEM 0x01021994 /* TMPFS_MAGIC, also of memfd */

/* Of this machine's memory, what can still be used without swapping; 0 when it is not known. */
static uint64_t available_memory(void)
{
    char line[128];
    uint64_t kilobytes = 0;
    FILE *f = fopen("/proc/meminfo", "re");

    if (!f)
        return 0;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %" SCNu64 " kB", &kilobytes) == 1)
            break;
    fclose(f);
    return kilobytes * 1024;
}

static uint64_t read_number(const char *path)
{
    uint64_t number = 0;
    FILE *f = fopen(path, "re");

    if (f && fscanf(f, "%" SCNu64, &number) != 1)
        number = 0;
    if (f)
        fclose(f);
    return number;
}

/* Of 2 MiB, and not promised to anybody. */
static uint64_t available_huge_pages(void)
{
    const uint64_t all = read_number("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");

    return all - read_number("/sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages");
}

/*
 * Ask before allocating `more` bytes for a file of `size`: an allocation in memory that is larger
 * than what is left is not refused by the kernel, it ends in the out-of-memory killer; one beyond
 * RLIMIT_FSIZE raises SIGXFSZ.
 */
static int check_room(int fd, uint64_t size, uint64_t more)
{
    struct statvfs vfs;
    struct statfs fs;
    struct rlimit limit;
    uint64_t available = UINT64_MAX;

    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        size > limit.rlim_cur)
        return shmr_fail(EFBIG, "needs %" PRIu64 " bytes: RLIMIT_FSIZE allows %" PRIu64, size,
                         (uint64_t)limit.rlim_cur);
    if (fstatvfs(fd, &vfs) == 0 && vfs.f_blocks != 0)
        available = (uint64_t)vfs.f_bavail * vfs.f_frsize;
    if (fstatfs(fd, &fs) == 0 && fs.f_type == MEMORY_FILE_SYSTEM) {
        uint64_t memory = available_memory();
        if (memory != 0 && memory < available)
            available = memory;
    }
    if (more > available)
        return shmr_fail(ENOSPC,
                         "needs %" PRIu64 " bytes, %" PRIu64
                         " are available: use a smaller capacity, "
                         "remove queues (shmring ls) or enlarge the file system",
                         more, available);
    return 0;
}

/* Interrupted with all signals blocked: a file system in user space can say so for ever. */
#define ALLOCATE_TRIES 100

/*
 * posix_fallocate(), piece by piece, with signals blocked during each: tmpfs may undo what it has
 * done when a signal comes, and under a profiler's timer a large segment would never be finished.
 */
static int allocate_pieces(int fd, uint64_t size)
{
    const uint64_t piece = UINT64_C(64) << 20;
    sigset_t all, before;
    int error = 0;

    sigfillset(&all);
    for (uint64_t at = 0; at < size && error == 0; at += piece) {
        pthread_sigmask(SIG_SETMASK, &all, &before);
        int tries = ALLOCATE_TRIES;
        do
            error = posix_fallocate(fd, (off_t)at, (off_t)(size - at < piece ? size - at : piece));
        while (error == EINTR && --tries > 0);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    return error;
}

/* Real memory or disk blocks for every page, so that no access raises SIGBUS later. */
static int allocate(int fd, const struct shmr_geometry *g, uint64_t allocated)
{
    const uint64_t size = g->segment_size;
    int error, r = check_room(fd, size, size - allocated);

    if (r < 0)
        return r;
    error = allocate_pieces(fd, size);
    if (error && g->flags & SHMRING_HUGE_PAGES)
        return shmr_fail(ENOSPC,
                         "needs %" PRIu64 " huge pages of 2 MiB, %" PRIu64
                         " are available: see /proc/sys/vm/nr_hugepages",
                         size / g->page_size, available_huge_pages());
    if (error)
        return shmr_fail(error, "allocating %" PRIu64 " bytes: %s", size, strerror(error));
    return 0;
}

static int write_all(int fd, const void *bytes, size_t n, off_t offset)
{
    ssize_t written = pwrite(fd, bytes, n, offset);

    if (written == (ssize_t)n)
        return 0;
    return shmr_fail(written < 0 ? errno : EIO, "writing the header: %s",
                     written < 0 ? strerror(errno) : "cut short");
}

/* hugetlbfs has no write(): go through a mapping. */
static int write_mapped(int fd, const void *bytes, size_t n, size_t page)
{
    void *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (p == MAP_FAILED)
        return shmr_fail(errno, "mapping the header: %s", strerror(errno));
    memcpy(p, bytes, n);
    munmap(p, page);
    return 0;
}

static int write_header(int fd, const struct shmr_header *h)
{
    const size_t after_magic = offsetof(struct shmr_header, layout_version);
    int r;

    if (h->flags & SHMRING_HUGE_PAGES)
        return write_mapped(fd, h, sizeof *h, h->page_size);
    r = write_all(fd, (const char *)h + after_magic, sizeof *h - after_magic, (off_t)after_magic);
    return r < 0 ? r : write_all(fd, h, after_magic, 0);
}

int shmr_segment_init(int fd, const struct shmr_name *name, const struct shmr_geometry *g,
                      mode_t mode, struct shmr_header *h)
{
    int r = allocate(fd, g, 0);

    if (r == 0) {
        shmr_header_init(h, g, name->text, name->backend);
        r = write_header(fd, h);
    }
    if (r == 0 && name->backend == SHMR_MEMFD)
        r = shmr_memfd_seal(fd);
    if (r == 0 && fchmod(fd, mode) < 0)
        r = shmr_fail(errno, "setting its mode: %s", strerror(errno));
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
    if (st.st_mode & SHMR_UNFINISHED)
        return shmr_fail(EAGAIN, "its creator has not finished it yet, or died doing so");
    if (n < (ssize_t)sizeof *h)
        return shmr_fail(EBADMSG, "%zd bytes are too short for a shmring segment", n);
    r = shmr_header_check(h, (uint64_t)st.st_size, g);
    if (r < 0)
        return r;
    if (h->backend != SHMR_POSIX && h->backend != SHMR_FILE && h->backend != SHMR_MEMFD)
        return shmr_fail(EBADMSG, "backend %" PRIu32 " is unknown", h->backend);
    /* A hostile peer's header need not admit that it lies in a memfd. */
    return h->backend == SHMR_MEMFD || shmr_is_memfd(fd) ? shmr_memfd_check_seals(fd) : 0;
}

int shmr_segment_fill_holes(int fd, const struct shmr_geometry *g)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return shmr_fail(errno, "descriptor %d: %s", fd, strerror(errno));
    const uint64_t allocated = (uint64_t)st.st_blocks * 512;
    if (allocated >= g->segment_size || g->flags & SHMRING_HUGE_PAGES)
        return 0;
    return allocate(fd, g, allocated);
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

    /* Whoever passed it on may not be allowed to open what it refers to. To open a regular file
     * does no harm; to open a device might. */
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
    if (errno == ENOENT) /* not -ENOENT, which says that there is no queue */
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

/* Map fd's pieces one after the other into the reserved range, neighbours alike together. */
static int map_pieces(struct shmr_map *map, int fd, const struct shmr_geometry *g, unsigned roles)
{
    const unsigned any = SHMRING_PRODUCER | SHMRING_CONSUMER;
    const bool spsc = g->kind == SHMRING_SPSC;
    const struct piece pieces[] = {
        {g->producer, g->table - g->producer, spsc ? SHMRING_PRODUCER : any},
        {g->table, g->consumer - g->table, any},
        {g->consumer, g->data - g->consumer, spsc ? SHMRING_CONSUMER : any},
        {g->data, g->data_size, spsc ? SHMRING_PRODUCER : any},
        {g->data, spsc ? g->data_size : 0, SHMRING_PRODUCER}, /* again */
    };
    uint8_t *at = map->base;

    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0] && pieces[i].size != 0; i++) {
        int protection = PROT_READ | (roles & pieces[i].writers ? PROT_WRITE : 0);
        if (mmap(at, (size_t)pieces[i].size, protection, MAP_SHARED | MAP_FIXED, fd,
                 (off_t)pieces[i].offset) == MAP_FAILED)
            return shmr_fail(shmr_not_again(errno, ENOMEM), "mapping %" PRIu64 " bytes: %s",
                             pieces[i].size, strerror(errno));
        at += pieces[i].size;
    }
    return 0;
}

/* Address space, aligned for huge pages if need be. */
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

int shmr_segment_map(struct shmr_map *map, int fd, const struct shmr_geometry *g, unsigned roles)
{
    int r;

    map->length =
        (size_t)(g->segment_size - g->producer + (g->kind == SHMRING_SPSC ? g->data_size : 0));
    map->base = reserve_range(map->length, g->page_size);
    if (!map->base)
        return shmr_fail(ENOMEM, "no address space for %zu bytes", map->length);
    map->producer = map->base;
    map->table = map->base + (g->table - g->producer);
    map->bells = (void *)(map->base + (g->bells - g->producer));
    map->consumer = map->base + (g->consumer - g->producer);
    map->data = map->base + (g->data - g->producer);
    r = map_pieces(map, fd, g, roles);
    /* A child that had the mapping would keep this participant's locks, and hide its death. */
    if (r == 0 && madvise(map->base, map->length, MADV_DONTFORK) < 0)
        r = shmr_fail(shmr_not_again(errno, ENOMEM), "madvise(MADV_DONTFORK): %s", strerror(errno));
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
            return shmr_fail(EBADMSG, "truncated: its pages are not there");
        if (errno != EINVAL) /* an older kernel: touch them one by one */
            return shmr_fail(shmr_not_again(errno, ENOMEM), "SHMRING_PREFAULT of %zu bytes: %s",
                             map->length, strerror(errno));
        for (size_t i = 0; i < map->length; i += 4096)
            (void)*(volatile uint8_t *)(map->base + i);
    }
    return 0;
}
