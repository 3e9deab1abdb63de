/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "core/handle.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/trace.h"
#include "core/file_system.h"
#include "core/guard.h"
#include "core/rows.h"
#include "wait/poll.h"

/* ---- From new to free ------------------------------------------------------------------------ */

int shmr_handle_new(shmring_t **out)
{
    shmring_t *q = NULL;
    int error = posix_memalign((void **)&q, SHMR_FALSE_SHARING, sizeof *q);

    if (error)
        return shmr_fail(error, "%zu bytes for the handle: %s", sizeof *q, strerror(error));
    memset(q, 0, sizeof *q);
    q->fd = q->kept.fd = -1;
    shmr_poll_init(q);
    q->send_mark = q->receive_mark = SHMR_NO_PROCESS;
    int r = shmr_process_mark(&q->process);
    if (r < 0) {
        free(q);
        return r;
    }
    q->mark = *q->process;
    *out = q;
    return 0;
}

int shmr_handle_map(shmring_t *q, int fd, unsigned flags)
{
    int r = shmr_segment_map(&q->map, fd, &q->geometry, flags);

    return r == 0 ? shmr_guard_add(q) : r;
}

void shmr_handle_unmap(shmring_t *q)
{
    shmr_guard_remove(q);
    shmr_segment_unmap(&q->map);
}

void shmr_handle_attached(shmring_t *q, uint32_t role)
{
    q->attached |= role;
    if (role & SHMRING_PRODUCER)
        q->send_mark = q->mark;
    if (role & SHMRING_CONSUMER)
        q->receive_mark = q->mark;
}

/* Take the descriptor out of the list in base/kept.h, and close it. */
static void close_kept(struct shmr_kept *kept)
{
    const int fd = shmr_kept_take(kept, false);

    if (fd >= 0)
        close(fd);
}

void shmr_handle_free(shmring_t *q)
{
    shmr_handle_unmap(q);
    close_kept(&q->kept);
    shmr_poll_close(q);
    if (q->fd >= 0)
        close(q->fd);
    if (q->geometry.type && q->geometry.type->free)
        q->geometry.type->free(q);
    free(q);
}

/* ---- May it be used? ------------------------------------------------------------------------- */

int shmr_handle_check(const shmring_t *q)
{
    if (!q)
        return shmr_fail_fast(EBADF, "the handle is NULL: closed already?", 0, 0);
    if (*q->process != q->mark)
        return shmr_fail_fast(
            ENOTCONN, "the handle was opened by this process's parent: use shmring_dup() to attach",
            0, 0);
    if (q->lost)
        return shmr_handle_check_memory(q);
    if (q->poisoned)
        return shmr_fail_fast(EBADMSG, "the queue was found corrupt before: close the handle", 0,
                              0);
    return 0;
}

int shmr_handle_check_memory(const shmring_t *q)
{
    struct stat st;

    if (!q->lost)
        return 0;
    if (fstat(q->fd, &st) < 0 || (uint64_t)st.st_size < q->geometry.segment_size)
        return shmr_fail_fast(EBADMSG,
                              "the segment's memory is gone: its file was truncated: close the "
                              "handle",
                              0, 0);
    return shmr_fail_fast(EBADMSG,
                          "the segment's memory is gone: there was no space for a page of it: the "
                          "file system or memory is full, and the file had holes punched into it, "
                          "or shares blocks with a snapshot or a copy: close the handle",
                          0, 0);
}

/*
 * overlayfs: when a process first opens a file of the lower layer for writing, the kernel copies it
 * to the upper layer. A mapping that an observer made before that stays with the lower file, which
 * no participant writes to any more. A read through the observer's descriptor reads the upper file.
 * The two differ once a participant has attached, because each attachment counts up its row's
 * generation.
 */
static bool sees_an_old_file(const shmring_t *q)
{
    if (q->roles || strcmp(shmr_file_system_name(q->fd), "overlayfs") != 0)
        return false;
    for (uint32_t i = 0; i < q->geometry.rows; i++) {
        const uint64_t at = q->geometry.table + i * sizeof(struct shmr_row);
        struct shmr_row *row = shmr_row_at(q->map.table, i);
        uint32_t mapped, read = 0;
        int tries = 3; /* a participant may attach between the two reads */
        do {
            mapped = atomic_load_explicit(&row->generation, memory_order_relaxed);
            if (pread(q->fd, &read, sizeof read,
                      (off_t)(at + offsetof(struct shmr_row, generation))) != sizeof read)
                return false;
        } while (read != mapped && --tries > 0);
        if (tries == 0)
            return true;
    }
    return false;
}

/*
 * The name leads nowhere. Can this process still reach the segment's file at another path? If /proc
 * is not there, or the path that it gives does not lead to the file (another root directory,
 * another mount namespace), the missing name proves nothing.
 */
static bool is_elsewhere(const shmring_t *q, const struct stat *mine)
{
    char link[SHMR_FD_PATH], path[PATH_MAX];
    struct stat there;
    ssize_t n;

    shmr_fd_path(link, q->fd);
    n = readlink(link, path, sizeof path - 1);
    if (n <= 0 || path[0] != '/')
        return false;
    path[n] = 0;
    return strcmp(path, q->name.path) != 0 && stat(path, &there) == 0 &&
           there.st_ino == mine->st_ino && there.st_dev == mine->st_dev;
}

int shmr_handle_check_name(const shmring_t *q)
{
    struct stat mine, there;

    if (q->header.backend == SHMR_MEMFD || fstat(q->fd, &mine) < 0)
        return 0;
    if (mine.st_nlink == 0)
        return shmr_fail_fast(ESTALE,
                              "the queue was removed: no other process can open it any more", 0, 0);
    if (sees_an_old_file(q))
        return shmr_fail_fast(ESTALE,
                              "overlayfs has copied the queue's file up since this observer opened "
                              "it, and it sees the old one: open the queue again",
                              0, 0);
    if (!q->name.text[0])
        return 0;
    if (stat(q->name.path, &there) == 0)
        return (there.st_ino == mine.st_ino && there.st_dev == mine.st_dev) ||
                       shmr_name_has_another_root(&q->name)
                   ? 0
                   : shmr_fail_fast(ESTALE, "the queue's name now leads to another queue or file",
                                    0, 0);
    if ((errno == ENOENT || errno == ENOTDIR) && is_elsewhere(q, &mine))
        return shmr_fail_fast(ESTALE,
                              "the queue was moved: its name leads nowhere any more, and no other "
                              "process can open it by that name",
                              0, 0);
    return 0;
}

int shmr_handle_poison(shmring_t *q, const char *what)
{
    if (q->lost)
        return shmr_handle_check_memory(q);
    q->poisoned = true;
    q->send_mark = q->receive_mark = SHMR_NO_PROCESS;
    SHMR_TRACE(corrupt, q, what);
    return shmr_fail_fast(EBADMSG, what, 0, 0);
}

#ifdef SHMRING_CHECKS
/* The address of this variable identifies the thread. */
static _Thread_local char thread SHMR_SIGNAL_SAFE_TLS;

int shmr_handle_enter(shmring_t *q, shmring_t **entered)
{
    const void *user = NULL;

    if (atomic_compare_exchange_strong_explicit(&q->user, &user, &thread, memory_order_relaxed,
                                                memory_order_relaxed))
        *entered = q;
    else if (user != &thread)
        return shmr_fail_fast(EDEADLK,
                              "another thread is in a call on this handle: "
                              "give each thread its own by shmring_dup()",
                              0, 0);
    return 0;
}

void shmr_handle_leave(shmring_t **entered)
{
    if (*entered)
        atomic_store_explicit(&(*entered)->user, NULL, memory_order_relaxed);
}

bool shmr_handle_is_idle(const shmring_t *q)
{
    if (atomic_load_explicit(&q->user, memory_order_relaxed) == NULL)
        return true;
    (void)shmr_fail_fast(EDEADLK, "a call on this handle has not returned: it stays open", 0, 0);
    return false;
}
#endif

int shmring_check(shmring_t *q)
{
    int r = shmr_handle_check(q);

    if (r < 0)
        return r;
    SHMR_ALONE(q);
    return shmr_handle_check_name(q);
}

int shmring_segment_fd(const shmring_t *q)
{
    int r = shmr_handle_check(q);

    return r < 0 && r != -EBADMSG ? r : q->fd; /* the descriptor of a corrupt queue is still good */
}
