/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "core/allocate.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <shmring/shmring.h>

#include "base/error.h"
#include "core/file_system.h"
#include "core/room.h"

/* Attempts after EINTR: a file system in user space can return it for ever, even with all signals
 * blocked. */
#define TRIES 100

static bool is_unsupported(int error)
{
    return error == EOPNOTSUPP || error == ENOSYS;
}

/*
 * Not posix_fallocate(): where the file system does not allocate, glibc writes a zero into each
 * block, over what other processes write at that time, and musl does nothing. The file is allocated
 * in pieces, with signals blocked during each: tmpfs may undo a piece when a signal comes, and
 * under a profiler's timer a large segment would never be finished. Returns 0 or an errno.
 */
static int allocate_pieces(int fd, uint64_t size)
{
    const uint64_t piece = UINT64_C(64) << 20;
    sigset_t all, before;
    int error = 0;

    sigfillset(&all);
    for (uint64_t at = 0; at < size && error == 0; at += piece) {
        const off_t length = (off_t)(size - at < piece ? size - at : piece);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        int tries = TRIES;
        do
            error = fallocate(fd, 0, (off_t)at, length) < 0 ? errno : 0;
        while (error == EINTR && --tries > 0);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    return error;
}

/* Where the file system does not allocate: write zeroes, behind the magic. Returns 0 or an
 * errno. */
static int write_zeroes(int fd, uint64_t size)
{
    static const char zeroes[65536];
    int tries = TRIES;

    for (uint64_t at = sizeof(uint64_t); at < size;) {
        const uint64_t n = size - at < sizeof zeroes ? size - at : sizeof zeroes;
        ssize_t written = pwrite(fd, zeroes, (size_t)n, (off_t)at);
        if (written > 0)
            at += (uint64_t)written;
        else if (written == 0)
            return ENOSPC;
        else if (errno != EINTR || --tries == 0)
            return errno;
    }
    return 0;
}

static int say(int error, int fd, const struct shmr_geometry *g)
{
    if (error == 0)
        return 0;
    if (g->flags & SHMRING_HUGE_PAGES)
        return shmr_fail(ENOSPC,
                         "needs %" PRIu64 " huge pages of 2 MiB, %" PRIu64
                         " are available: see /proc/sys/vm/nr_hugepages, and the limits of the "
                         "hugetlb cgroup and of the mount",
                         g->segment_size / g->page_size, shmr_room_huge_pages());
    return shmr_fail(error, "allocating %" PRIu64 " bytes on %s: %s", g->segment_size,
                     shmr_file_system_name(fd), strerror(error));
}

int shmr_allocate_new(int fd, const struct shmr_geometry *g)
{
    int error, r = shmr_room_check(fd, g->segment_size, g->segment_size);

    if (r < 0)
        return r;
    error = allocate_pieces(fd, g->segment_size);
    if (is_unsupported(error))
        error = write_zeroes(fd, g->segment_size);
    return say(error, fd, g);
}

int shmr_allocate_rest(int fd, const struct shmr_geometry *g)
{
    const off_t size = (off_t)g->segment_size;
    struct stat st;
    int error, r;

    if (fstat(fd, &st) < 0)
        return shmr_fail(errno, "descriptor %d: %s", fd, strerror(errno));
    const uint64_t allocated = (uint64_t)st.st_blocks * 512;
    if (allocated >= g->segment_size || g->flags & SHMRING_HUGE_PAGES)
        return 0;
    r = shmr_room_check(fd, g->segment_size, g->segment_size - allocated);
    if (r < 0)
        return r;
    error = allocate_pieces(fd, g->segment_size);
    if (!is_unsupported(error))
        return say(error, fd, g);
    /* Other processes may write to the file, so this one must not write zeroes. A file system
     * that does not allocate need not count blocks either, so check whether the file has holes
     * at all. */
    const off_t hole = lseek(fd, 0, SEEK_HOLE);
    if (hole < 0 || hole >= size)
        return 0;
    return shmr_fail(EOPNOTSUPP,
                     "the file has holes (the first at byte %" PRIu64 "), and %s cannot fill them: "
                     "copy it with cp --sparse=never",
                     (uint64_t)hole, shmr_file_system_name(fd));
}
