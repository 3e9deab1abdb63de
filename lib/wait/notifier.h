/* SPDX-License-Identifier: MIT */
/*
 * Notifiers: how those who wait in poll(2) and its kin are woken. A notifier is a FIFO with a name,
 * one for each event of a queue, made when somebody asks for a descriptor (lib/wait/poll.c).
 *
 *     the one who waits                            the one who publishes
 *     empty the FIFO                               publish
 *     announce: set POLLED (waitword.h)                see POLLED in the wait word: clear it,
 *     look at the queue: still nothing?            and put a byte into the FIFO
 *     poll
 *
 * All who wait for the event poll the same FIFO. At any time it has a byte in it, so that nobody
 * sleeps, or POLLED is set, or somebody is between two of these steps; who is killed there is made
 * good by the others' timed looks. So it takes nothing from the others to empty it.
 *
 * Name
 *     DIRECTORY/.shmring-bell-CREATED-INODE.r (readable) and .w (writable), in hexadecimal: when
 *     the segment was created and its inode. The directory is the segment's own, for memfd
 *     /dev/shm. The FIFO has the segment's owner (where its maker may do that), group and
 *     permission bits, from the moment that it has this name.
 *
 * Removal
 *     Everybody who has a notifier open holds a shared flock(2) on it; who removes it holds an
 *     exclusive one meanwhile. So none is removed that is in use, and who opens one that is just
 *     being removed finds that it has no name any more, and tries again. It is removed by
 *     shmring_unlink(), by the last to close a queue that has no name (any more), and by
 *     `shmring gc`. Where somebody removes it by hand, or by a program that clears /dev/shm, while
 * it is in use, the next to arm makes a new one, and the next to ring finds that.
 */
#ifndef SHMR_NOTIFIER_H
#define SHMR_NOTIFIER_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <shmring/shmring.h>

#define SHMR_NOTIFIER_PREFIX ".shmring-bell-"

/* Where a segment's notifiers are, less the last letter; malloc()ed. NULL: nobody can tell. */
char *shmr_notifier_path(int segment, int64_t created_ns);

/* The event's notifier, made if there is none. A descriptor or -errno with the detail set. */
int shmr_notifier_open(shmring_t *q, int event);

/* Has somebody removed this one? Those who come later cannot find it. Signal-safe. */
bool shmr_notifier_is_removed(int fd);

/* Put a byte into the event's notifier, if it is there. Signal-safe. */
void shmr_notifier_write(shmring_t *q, int event);

/* Remove the notifiers at a path from shmr_notifier_path() that nobody has open. */
void shmr_notifier_remove(char *path);

/* The same for one, wherever it is: true if it was removed, or would be. */
static inline bool shmr_notifier_remove_idle(int directory, const char *file, bool dry_run)
{
    struct stat st;
    bool removed = false;
    int fd = openat(directory, file, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return false;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) &&
        st.st_nlink > 0)
        removed = dry_run || unlinkat(directory, file, 0) == 0;
    close(fd);
    return removed;
}

#endif
