/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "core/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/trace.h"
#include "core/rows.h"
#include "wait/notifier.h"
#include "wait/sleep.h"

/* ---- Mapping, with the locks ------------------------------------------------------------------
 */

int shmr_attach_reopen(int fd, const struct shmr_name *name, int flags)
{
    struct stat mine, there;
    int r = shmr_segment_reopen(fd, flags);

    if (r != -ENOSYS || !name || name->backend == SHMR_MEMFD || !name->text[0])
        return r;
    int named = shmr_file_open(name, flags);
    if (named >= 0 && fstat(named, &there) == 0 && fstat(fd, &mine) == 0 &&
        there.st_ino == mine.st_ino && there.st_dev == mine.st_dev)
        return named;
    if (named >= 0)
        close(named);
    /* To set the detail, which shmr_file_open() has overwritten. */
    return shmr_segment_reopen(fd, flags);
}

static int reopen_own(const void *handle)
{
    const shmring_t *q = handle;
    int fd = shmr_attach_reopen(q->fd, &q->name, O_RDWR);

    if (fd < 0)
        return fd;
    fd = shmr_process_keep_fd(fd);
    return fd < 0 ? shmr_fail(errno, "a descriptor of the segment: %s", strerror(errno)) : fd;
}

/* After this many attempts that were disturbed by a fork, the next one makes forks wait. */
#define FORK_TRIES 20

/*
 * Close the descriptor of the description that holds the locks; the mapping keeps the description.
 * No child may inherit the descriptor, and the fork lock should not be held over close(2), which
 * can block. So dup3() first makes the number stand for another description.
 */
static void close_mapped(const shmring_t *q, struct shmr_kept *mapped, bool held)
{
    if (dup3(q->fd, mapped->fd, O_CLOEXEC) >= 0) {
        close(shmr_kept_take(mapped, held));
        return;
    }
    sigset_t signals;
    if (!held)
        shmr_process_hold_fork(&signals);
    close(shmr_kept_take(mapped, true));
    if (!held)
        shmr_process_let_fork(&signals);
}

/* -EAGAIN: this process was forked meanwhile, and the child may have inherited the descriptor with
 * the locks. */
static int try_map_and_lock(shmring_t *q, unsigned flags, bool held)
{
    const uint32_t forks = shmr_kept_forks(held);
    struct shmr_kept mapped = {.fd = -1};
    int kept, fd, r;

    kept = fd = r = reopen_own(q);
    if (r >= 0)
        r = shmr_locks_hold(q->fd, kept, &q->geometry, reopen_own, q);
    if (r > 0)
        fd = r = reopen_own(q);
    if (r >= 0)
        r = shmr_handle_map(q, fd, flags);
    if (r == 0)
        r = q->geometry.type->claim_row(q, fd);
    if (r == 0 && (!shmr_kept_note(&q->kept, kept, forks, held) ||
                   (fd != kept && !shmr_kept_note(&mapped, fd, forks, held))))
        r = -EAGAIN;
    if (r == 0) {
        if (fd != kept)
            close_mapped(q, &mapped, held);
        return 0;
    }
    /* A failed attempt must not look like a live holder. */
    if (fd >= 0)
        shmr_unlock_all(fd);
    shmr_handle_unmap(q);
    (void)shmr_kept_take(&q->kept, held);
    if (fd >= 0 && fd != kept)
        close(fd);
    if (kept >= 0)
        close(kept);
    return r;
}

/* Map the segment from the description that then holds the locks of the roles: see segment.h. */
static int map_and_lock(shmring_t *q, unsigned flags)
{
    sigset_t signals;
    int r = -EAGAIN;

    if (q->roles == 0 || q->read_only)
        return shmr_handle_map(q, q->fd, flags & ~(unsigned)SHMR_ROLES);
    for (int tries = FORK_TRIES; r == -EAGAIN && tries > 0; tries--)
        r = try_map_and_lock(q, flags, false);
    if (r == -EAGAIN) {
        shmr_process_hold_fork(&signals);
        r = try_map_and_lock(q, flags, true);
        shmr_process_let_fork(&signals);
    }
    return r;
}

int shmr_attach_keep(shmring_t *q)
{
    sigset_t signals;

    for (int tries = FORK_TRIES; q->kept.fd < 0; tries--) {
        const bool held = tries <= 0;
        if (held)
            shmr_process_hold_fork(&signals);
        const uint32_t forks = shmr_kept_forks(held);
        const int fd = reopen_own(q);
        const bool noted = fd >= 0 && shmr_kept_note(&q->kept, fd, forks, held);
        if (held)
            shmr_process_let_fork(&signals);
        if (fd < 0)
            return fd;
        if (!noted)
            close(fd);
    }
    return 0;
}

/* ---- Roles ----------------------------------------------------------------------------------- */

/*
 * A process that removes an unused queue (shmring gc) holds the locks of all rows until the name is
 * gone. So once this handle has locked a row, the name is gone already or stays.
 */
static bool has_lost_its_name(const shmring_t *q)
{
    struct stat mine, there;

    return (fstat(q->fd, &mine) == 0 && mine.st_nlink == 0) ||
           (lstat(q->name.path, &there) < 0 && errno == ENOENT);
}

/* The options of consumers in flags: does the kind know them, and is the handle a consumer? */
static int check_options(const shmring_t *q, unsigned flags)
{
    const unsigned options = flags & SHMR_CONSUMER_OPTIONS;

    if (options & ~q->geometry.type->options)
        return shmr_fail(EINVAL,
                         "only a consumer of a broadcast queue can be reliable, or choose where it "
                         "begins, and this queue is of the kind %s: open it without "
                         "SHMRING_RELIABLE, SHMRING_FROM_OLDEST and SHMRING_FROM_KEY",
                         q->geometry.type->name);
    if (options && !(flags & SHMRING_CONSUMER))
        return shmr_fail(EINVAL, "SHMRING_RELIABLE, SHMRING_FROM_OLDEST and SHMRING_FROM_KEY are "
                                 "for consumers: give SHMRING_CONSUMER as well");
    return 0;
}

int shmr_attach(shmring_t *q, unsigned flags, bool by_name)
{
    int r = check_options(q, flags);

    q->number = q->geometry.type->number;
    q->roles = flags & SHMR_ROLES;
    q->options = flags & SHMR_CONSUMER_OPTIONS;
    q->read_only = flags & SHMR_READ_ONLY;
    if (r == 0 && q->roles && !q->read_only)
        r = shmr_segment_own(q->fd, &q->geometry);
    if (r == 0)
        r = map_and_lock(q, flags);
    if (r == 0 && by_name && q->roles && has_lost_its_name(q))
        r = shmr_fail(ENOENT, "%s was removed just now", q->name.path);
    if (r == 0)
        r = shmr_segment_touch(&q->map, flags);
    if (r == 0 && q->roles) {
        shmr_wait_init(q, flags);
        shmr_notifier_find(q, q->fd);
    }
    if (r == 0 && q->roles)
        r = q->geometry.type->join(q);
    if (r == 0)
        r = shmr_handle_check_memory(q);
    if (r < 0 && q->map.base)
        shmr_attach_leave(q);
    if (r == 0)
        SHMR_TRACE(attach, q, q->roles, q->row);
    return r;
}

void shmr_attach_leave(shmring_t *q)
{
    if (!q->attached || q->lost)
        return;
    q->geometry.type->leave(q);
    /* Sleepers check at once whether a peer is left. */
    for (int e = 0; e < SHMR_EVENTS; e++)
        (void)shmr_wake(q, e, INT_MAX);
}
