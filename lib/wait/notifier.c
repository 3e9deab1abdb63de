/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "wait/notifier.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/deadline.h"
#include "base/error.h"
#include "core/file_system.h"
#include "core/handle.h"

#define NEVER_BLOCK (O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)

/* A notifier can vanish between two steps, but only if another process removes it each time. */
#define TRIES 100

static const char letters[SHMR_EVENTS] = {[SHMR_READABLE] = 'r', [SHMR_WRITABLE] = 'w'};

char *shmr_notifier_path(int segment, int64_t created_ns)
{
    char link[SHMR_FD_PATH], target[PATH_MAX], *slash, *path;
    struct stat st;
    ssize_t n;

    shmr_fd_path(link, segment);
    n = readlink(link, target, sizeof target - 1);
    if (n <= 0 || target[0] != '/' || fstat(segment, &st) < 0)
        return NULL;
    target[n] = 0;
    slash = strrchr(target, '/');
    *slash = 0;
    if (asprintf(&path, "%s/" SHMR_NOTIFIER_PREFIX "%" PRIx64 "-%" PRIx64 ".?",
                 shmr_is_memfd(segment) ? SHMR_POSIX_DIRECTORY : target, (uint64_t)created_ns,
                 (uint64_t)st.st_ino) < 0)
        return NULL;
    return path;
}

/* Set *st to what the directory of that path is. */
static bool stat_directory(const char *path, struct stat *st)
{
    char directory[PATH_MAX + 1];
    const char *slash = strrchr(path, '/');

    snprintf(directory, sizeof directory, "%.*s", (int)(slash + 1 - path), path);
    return stat(directory, st) == 0;
}

void shmr_notifier_find(shmring_t *q, int segment)
{
    struct stat directory, root;

    q->notifier = shmr_notifier_path(segment, q->header.created_ns);
    if (q->notifier && stat_directory(q->notifier, &directory) && stat("/", &root) == 0)
        q->notifier_in = (struct shmr_place){.device = directory.st_dev,
                                             .inode = directory.st_ino,
                                             .root_device = root.st_dev,
                                             .root_inode = root.st_ino};
}

/*
 * Does the path still lead to the directory that it led to when the handle attached? While the root
 * is the same, only the device is compared: overlayfs may give a directory another inode number,
 * and what is wrong with a directory that is gone, the call that uses it reports.
 */
static bool leads_elsewhere(const shmring_t *q)
{
    const struct shmr_place *then = &q->notifier_in;
    struct stat directory, root;

    if (then->inode == 0)
        return false;
    const bool same_root = stat("/", &root) == 0 && root.st_dev == then->root_device &&
                           root.st_ino == then->root_inode;
    if (!stat_directory(q->notifier, &directory))
        return !same_root;
    return directory.st_dev != then->device || (!same_root && directory.st_ino != then->inode);
}

/* The path of the event's notifier, valid until the next call. */
static const char *path_of(char *path, int event)
{
    path[strlen(path) - 1] = letters[event];
    return path;
}

/* May the FIFO's owner or group write to the segment anyway, and so do worse? */
static bool is_trusted(const struct stat *fifo, const struct stat *segment)
{
    return fifo->st_uid == segment->st_uid || fifo->st_uid == geteuid() || fifo->st_uid == 0 ||
           segment->st_mode & S_IWOTH ||
           (segment->st_mode & S_IWGRP && fifo->st_gid == segment->st_gid);
}

/*
 * Open the file at a path and keep it from being removed. A descriptor or -errno; -EEXIST: it is
 * not a notifier; -EBUSY: it is being removed. Signal-safe.
 */
static int open_there(const char *path, const struct stat *segment)
{
    struct stat st;
    /* To read and to write: so a write raises no SIGPIPE, and poll(2) reports no POLLHUP. */
    int r = 0, fd = shmr_process_keep_fd(open(path, O_RDWR | NEVER_BLOCK));

    if (fd < 0) /* a link, a directory, a socket */
        return errno == ELOOP || errno == EISDIR || errno == ENXIO ? -EEXIST : -errno;
    if (fstat(fd, &st) < 0)
        r = -errno;
    else if (!S_ISFIFO(st.st_mode) || !is_trusted(&st, segment))
        r = -EEXIST;
    else if (flock(fd, LOCK_SH | LOCK_NB) < 0)
        r = errno == EWOULDBLOCK ? -EBUSY : -errno;
    else if (fstat(fd, &st) == 0 && st.st_nlink == 0)
        r = -EBUSY;
    if (r < 0)
        close(fd);
    return r < 0 ? r : fd;
}

/* Give it the segment's owner and group if that is allowed, else the group if that is; else
 * neither: its permission bits still let some processes open it. */
static void give_to_owner(int fd, const struct stat *segment)
{
    if (fchown(fd, segment->st_uid, segment->st_gid) < 0)
        (void)!fchown(fd, (uid_t)-1, segment->st_gid);
}

/* The umask may have taken the owner's permission from a new FIFO: give it back. */
static bool allow_owner(const char *path)
{
    char link[SHMR_FD_PATH];
    struct stat st;
    bool done = false;
    int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return false;
    shmr_fd_path(link, fd);
    if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) && st.st_uid == geteuid())
        done = chmod(link, 0600) == 0;
    close(fd);
    return done;
}

/* Make it under another name, so that no process opens it unfinished. As open_there(). */
static int make(const char *path, const struct stat *segment)
{
    char own[PATH_MAX];
    int fd;

    if ((size_t)snprintf(own, sizeof own, "%s.%x.%" PRIx64, path, (unsigned)getpid(),
                         (uint64_t)shmr_now()) >= sizeof own)
        return -ENAMETOOLONG;
    if (mkfifo(own, 0600) < 0)
        return errno == EEXIST ? -EBUSY : -errno;
    fd = open_there(own, segment);
    if (fd == -EACCES && allow_owner(own))
        fd = open_there(own, segment);
    if (fd >= 0) {
        give_to_owner(fd, segment);
        if (fchmod(fd, segment->st_mode & 0666) < 0 || link(own, path) < 0) {
            int error = errno;
            close(fd);
            fd = error == EEXIST ? -EBUSY : -error;
        }
    } else if (fd == -ENOENT) {
        fd = -EBUSY; /* before this process locked it, another one took it for a dead maker's and
                        removed it */
    }
    unlink(own);
    return fd;
}

int shmr_notifier_open(shmring_t *q, int event)
{
    struct stat segment;
    const char *path;
    int fd = -EBUSY;

    if (!q->notifier)
        return shmr_fail(ENOENT,
                         "the queue's directory is not known here: no place for a notifier");
    path = path_of(q->notifier, event);
    if (leads_elsewhere(q))
        return shmr_fail(ENOENT,
                         "%s is not in the queue's directory any more (chroot(2), or a mount), and "
                         "no peer would find a notifier there: call shmring_fd() before that, or "
                         "use shmring_wait()",
                         path);
    if (fstat(q->fd, &segment) < 0)
        return shmr_fail(errno, "the segment: %s", strerror(errno));
    for (int tries = TRIES; fd == -EBUSY && tries > 0; tries--) {
        fd = open_there(path, &segment);
        if (fd == -ENOENT)
            fd = make(path, &segment);
    }
    if (fd == -EEXIST)
        return shmr_fail(EEXIST, "%s is not a notifier that can be trusted: remove it", path);
    if (fd == -EBUSY)
        return shmr_fail(EBUSY, "%s is being removed: try again", path);
    if (fd == -EPERM || fd == -ENOSYS || fd == -EOPNOTSUPP)
        return shmr_fail(
            EOPNOTSUPP,
            "the notifier %s: %s (has %s no FIFOs or links?): use shmring_wait() in place "
            "of a descriptor",
            path, strerror(-fd), shmr_file_system_name(q->fd));
    if (fd < 0)
        return shmr_fail(shmr_not_again(-fd, EBUSY), "the notifier %s: %s", path, strerror(-fd));
    return fd;
}

bool shmr_notifier_is_removed(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && st.st_nlink == 0;
}

/* Put a byte into the FIFO. Where it is for all that wait, first empty it: see notifier.h. */
static void write_byte(const shmring_t *q, int fd)
{
    char bytes[64];

    if (q->geometry.type->wake_all)
        (void)!read(fd, bytes, sizeof bytes);
    (void)!write(fd, "", 1);
}

/*
 * A full FIFO is readable all the same. Where there is no FIFO, no participant waits, or one waits
 * that cannot be reached, and rechecks.
 *
 * Another process may have removed the FIFO that this handle has open. The waiting participants
 * that have not noticed still poll that FIFO, and those that have noticed poll a new one: both get
 * a byte.
 */
void shmr_notifier_write(shmring_t *q, int event)
{
    struct shmr_polled *p = &q->polled[event];
    struct stat segment;
    int fd = -1;

    SHMR_NO_CANCEL();
    if (p->fifo >= 0) {
        write_byte(q, p->fifo);
        if (!shmr_notifier_is_removed(p->fifo))
            return;
    }
    if (q->notifier && fstat(q->fd, &segment) == 0)
        fd = open_there(path_of(q->notifier, event), &segment);
    if (fd < 0)
        return;
    write_byte(q, fd);
    if (p->fd >= 0) { /* this handle waits by the old one, until it arms the next time */
        close(fd);
        return;
    }
    if (p->fifo >= 0)
        close(p->fifo);
    p->fifo = fd;
}

void shmr_notifier_remove(char *path)
{
    for (int e = 0; path && e < SHMR_EVENTS; e++)
        (void)shmr_notifier_remove_idle(AT_FDCWD, path_of(path, e), false);
}
