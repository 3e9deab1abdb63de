/* SPDX-License-Identifier: MIT */
/*
 * Membership. A participant owns a row of the table while an open-file-description lock on the
 * row's first byte is held for it. The kernel drops the lock when the description goes: at close,
 * at exec, at death after the last store. So a free lock on an ATTACHED row is a death, with no
 * timeout, and nothing that can be reused or faked by a pid.
 *
 * What locks a row, and how the kernel tells another process which it is (F_OFD_GETLK)
 *     its owner       for writing, 1 byte      for as long as it lives
 *     a recoverer     for writing, 2 bytes     while it makes good what a dead owner left
 *     a remover       for reading, all rows    while it makes sure that nobody is attached, and
 *                                              until the queue's name is gone
 *
 * What keeps the description: a mapping of the segment, which forked children do not inherit. Some
 * file systems map another file than the one that was opened (overlayfs, FUSE with passthrough):
 * there the description, and the lock, would go with its last descriptor. So it is tested whether
 * the mapping holds, each time that a row is about to be taken; else the handle keeps the
 * descriptor (kept.h).
 */
#ifndef SHMR_PARTICIPANT_H
#define SHMR_PARTICIPANT_H

#include <stdbool.h>

#include <fcntl.h>

#include "core/layout.h"

static inline struct shmr_row *shmr_row_at(uint8_t *table, uint32_t row)
{
    return (struct shmr_row *)(void *)(table + row * sizeof(struct shmr_row));
}

/* Lock the row through fd, as its owner. 0, -EBUSY, or another error with the detail set.
 * Signal-safe, as are the next four. */
int shmr_row_lock(int fd, const struct shmr_geometry *g, uint32_t row);

/* Lock the row of a dead owner, to recover what it left. As shmr_row_lock(). */
int shmr_row_lock_dead(int fd, const struct shmr_geometry *g, uint32_t row);

/* Drop the lock of a row, or all locks of the description. */
void shmr_row_unlock(int fd, const struct shmr_geometry *g, uint32_t row);
void shmr_unlock_all(int fd);

/* Whose lock is on the row? fd: any description but the locking one. Or -errno, with the detail. */
enum shmr_holder { SHMR_NOBODY, SHMR_OWNER, SHMR_RECOVERER, SHMR_REMOVER };
int shmr_row_holder(int fd, const struct shmr_geometry *g, uint32_t row);

/* Is the row locked by its owner: is that one alive? 1, 0 or -errno. */
int shmr_row_is_locked(int fd, const struct shmr_geometry *g, uint32_t row);

/* A remover's lock on the rows of a segment whose header says so. False: somebody has a row. */
static inline bool shmr_rows_lock_all(int fd, const struct shmr_header *h)
{
    struct flock lock = {.l_type = F_RDLCK,
                         .l_whence = SEEK_SET,
                         .l_start = 2 * (off_t)h->page_size, /* see lay_out() in layout.c */
                         .l_len = (off_t)(h->rows * sizeof(struct shmr_row))};

    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

/*
 * Does a mapping keep the locks of the description that it was made from? On this segment, asked
 * for by observing through `watch`, and trying with descriptions from reopen(). 1: it does. 0: only
 * a descriptor does. -EOPNOTSUPP: on this file system no lock is seen by others; other errors; all
 * with the detail set. `held` is a description that stays open.
 */
int shmr_locks_hold(int watch, int held, const struct shmr_geometry *g, int (*reopen)(const void *),
                    const void *arg);

/* Does the row say that it has an owner? If nobody has it locked but the caller, that one died. */
bool shmr_row_is_attached(struct shmr_row *row);

/* The dead owner of a row that the caller has locked is being recovered: counted once. */
void shmr_row_note_death(struct shmr_row *row);

/* How many of its owners died and were recovered or replaced; not one whose name it still bears. */
uint32_t shmr_row_deaths(struct shmr_row *row);

/* Write who holds the row, which the caller has locked; or that nobody does. */
void shmr_row_attach(struct shmr_row *row, uint32_t role);
void shmr_row_detach(struct shmr_row *row);

/* How often the row was taken as SHMRING_PRODUCER or SHMRING_CONSUMER since the queue's creation.
 */
uint64_t shmr_row_taken_as(const struct shmr_row *row, uint32_t role);

struct shmring_participant;

/* What a row says. */
void shmr_row_read(struct shmring_participant *out, struct shmr_row *row);

#endif
