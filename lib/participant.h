/* SPDX-License-Identifier: MIT */
/*
 * Membership. A participant owns a row of the table while an open-file-description lock on the
 * row's first byte is held for it. The kernel drops the lock when the participant's mapping goes:
 * at close, at exec, at death after the last store. So a free lock on an ATTACHED row is a death,
 * with no timeout, and nothing that can be reused or faked by a pid.
 */
#ifndef SHMR_PARTICIPANT_H
#define SHMR_PARTICIPANT_H

#include <stdbool.h>

#include "layout.h"

static inline struct shmr_row *shmr_row_at(uint8_t *table, uint32_t row)
{
    return (struct shmr_row *)(void *)(table + row * sizeof(struct shmr_row));
}

/* Lock the row through fd. 0, -EBUSY, or another error with the detail set. Signal-safe, as is
 * shmr_row_is_locked(). */
int shmr_row_lock(int fd, const struct shmr_geometry *g, uint32_t row);

/* Set the detail to who holds the spsc role of that row. Returns -EBUSY. */
int shmr_row_say_who_holds(struct shmr_row *row, uint32_t index);

/* Is the row locked by anybody? fd: any description but the locking one. 1, 0 or -errno. */
int shmr_row_is_locked(int fd, const struct shmr_geometry *g, uint32_t row);

/* Does the row say that it has an owner? If nobody has it locked but the caller, that one died. */
bool shmr_row_is_attached(struct shmr_row *row);

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
