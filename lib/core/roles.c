/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "core/roles.h"

#include <errno.h>
#include <inttypes.h>
#include <time.h>

#include <shmring/shmring.h>

#include "base/error.h"
#include "core/rows.h"

/* Attempts, a millisecond apart, to lock a row that a recoverer or a remover has locked. It may
 * have been stopped, so the caller does not wait for ever. */
#define LOCK_TRIES 200

/* In place of a row: any row of an mpmc queue. */
#define ANY_ROW UINT32_MAX

/* Lock a row of an mpmc queue: one that is free if there is one, else one whose owner died. -EBUSY:
 * each of them is locked already. */
static int try_any_row(shmring_t *q, int fd)
{
    for (int attached = 0; attached <= 1; attached++)
        for (uint32_t row = 0; row < q->geometry.rows; row++) {
            if (shmr_row_is_attached(shmr_row_at(q->map.table, row)) != attached)
                continue;
            int r = shmr_row_lock(fd, &q->geometry, row);
            if (r != -EBUSY) {
                q->row = row;
                return r;
            }
        }
    return -EBUSY;
}

/* The holder of some row's lock that lets go of it soon; SHMR_OWNER: owners have all of them. */
static int find_passing_holder(const shmring_t *q)
{
    for (uint32_t row = 0; row < q->geometry.rows; row++) {
        const int holder = shmr_row_holder(q->fd, &q->geometry, row);
        if (holder != SHMR_OWNER)
            return holder;
    }
    return SHMR_OWNER;
}

/* 0; -EBUSY, and *holder says what has the lock; or another error with the detail. */
static int lock_patiently(shmring_t *q, int fd, uint32_t row, int *holder)
{
    static const struct timespec millisecond = {.tv_nsec = 1000000};
    int r = -EBUSY;

    *holder = SHMR_NOBODY;
    for (int tries = LOCK_TRIES; r == -EBUSY && *holder != SHMR_OWNER && tries > 0; tries--) {
        if (tries < LOCK_TRIES)
            nanosleep(&millisecond, NULL);
        r = row == ANY_ROW ? try_any_row(q, fd) : shmr_row_lock(fd, &q->geometry, row);
        if (r == -EBUSY)
            *holder =
                row == ANY_ROW ? find_passing_holder(q) : shmr_row_holder(q->fd, &q->geometry, row);
        if (*holder < 0)
            return *holder;
    }
    return r;
}

static int say_it_is_being_removed(void)
{
    return shmr_fail(EBUSY, "a process that removes queues nobody is attached to (shmring gc) has "
                            "just locked this one, or was stopped doing so: try again");
}

static int lock_spsc_role(shmring_t *q, int fd, uint32_t row)
{
    int holder, r = lock_patiently(q, fd, row, &holder);

    if (r != -EBUSY)
        return r;
    if (holder == SHMR_REMOVER)
        return say_it_is_being_removed();
    if (holder == SHMR_RECOVERER)
        return shmr_fail(EBUSY,
                         "the %s's role is its dead owner's, and a process that recovers it "
                         "(shmring_recover) has it locked: try again",
                         row == SHMR_ROW_PRODUCER ? "producer" : "consumer");
    return shmr_row_say_who_holds(shmr_row_at(q->map.table, row), row);
}

static int lock_any_row(shmring_t *q, int fd)
{
    int holder, r = lock_patiently(q, fd, ANY_ROW, &holder);

    if (r != -EBUSY)
        return r;
    if (holder == SHMR_REMOVER)
        return say_it_is_being_removed();
    return shmr_fail(EUSERS,
                     holder == SHMR_OWNER
                         ? "all %" PRIu32 " participants' rows are taken: close some handles, or "
                           "create the queue with a larger max_participants"
                         : "all %" PRIu32 " participants' rows are taken, and a process that "
                           "recovers one of a dead participant has it locked: try again",
                     q->geometry.rows);
}

int shmr_roles_lock(shmring_t *q, int fd)
{
    int r = 0;

    if (q->kind == SHMRING_MPMC)
        return lock_any_row(q, fd);
    if (q->roles & SHMRING_PRODUCER)
        r = lock_spsc_role(q, fd, SHMR_ROW_PRODUCER);
    if (r == 0 && q->roles & SHMRING_CONSUMER)
        r = lock_spsc_role(q, fd, SHMR_ROW_CONSUMER);
    return r;
}
