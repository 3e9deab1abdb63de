/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "core/claim.h"

#include <errno.h>
#include <time.h>

#include <shmring/shmring.h>

#include "base/error.h"
#include "base/identity.h"
#include "core/rows.h"

/* Attempts, a millisecond apart, to lock a row that a recoverer or a remover has locked. There is a
 * limit because that process may have been stopped. */
#define LOCK_TRIES 200

/* Lock a free row if there is one, else one whose owner died. -EBUSY: every row is locked
 * already. */
static int try_any_row(shmring_t *q, int fd)
{
    for (int attached = 0; attached <= 1; attached++)
        for (uint32_t row = q->geometry.type->first_row; row < q->geometry.rows; row++) {
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

/* Find a row that no owner holds. Returns its holder: SHMR_RECOVERER, SHMR_REMOVER, SHMR_NO_HOLDER;
 * or -errno. SHMR_OWNER: owners hold all rows. */
static int find_passing_holder(const shmring_t *q)
{
    for (uint32_t row = q->geometry.type->first_row; row < q->geometry.rows; row++) {
        const int holder = shmr_row_holder(q->fd, &q->geometry, row);
        if (holder != SHMR_OWNER)
            return holder;
    }
    return SHMR_OWNER;
}

int shmr_claim(shmring_t *q, int fd, uint32_t row, int *holder)
{
    static const struct timespec millisecond = {.tv_nsec = 1000000};
    const bool any = row == SHMR_ANY_ROW;
    int r = -EBUSY;

    *holder = SHMR_NO_HOLDER;
    for (int tries = LOCK_TRIES; r == -EBUSY && *holder != SHMR_OWNER && tries > 0; tries--) {
        if (tries < LOCK_TRIES)
            nanosleep(&millisecond, NULL);
        r = any ? try_any_row(q, fd) : shmr_row_lock(fd, &q->geometry, row);
        if (r == -EBUSY)
            *holder = any ? find_passing_holder(q) : shmr_row_holder(q->fd, &q->geometry, row);
        if (*holder < 0)
            return *holder;
    }
    return r;
}

/* -EBUSY; the detail names the participant that has the role of that row. */
static int say_who_holds(shmring_t *q, uint32_t index, const char *role)
{
    struct shmr_row *row = shmr_row_at(q->map.table, index);
    struct shmring_participant holder;
    struct shmr_identity me;

    shmr_identity_self(&me);
    shmr_row_read(&holder, row);
    for (char *c = holder.comm; *c; c++) /* a caller may print the detail on a terminal */
        if (*c < ' ' || *c > '~')
            *c = '?';
    if (atomic_load_explicit(&row->state, memory_order_relaxed) != SHMR_ROW_ATTACHED)
        return shmr_fail(EBUSY, "the %s's role is being taken by another process: try again", role);
    return shmr_fail(EBUSY,
                     "the %s's role is held by pid %u%s (%s): this kind of queue (%s) has one %s; "
                     "the role is free when that process closes the queue or ends",
                     role, holder.pid,
                     holder.pid_namespace == me.pid_ns ? "" : " of another pid namespace",
                     holder.comm, q->geometry.type->name, role);
}

int shmr_claim_role(shmring_t *q, int fd, uint32_t row, const char *role)
{
    int holder, r = shmr_claim(q, fd, row, &holder);

    if (r != -EBUSY)
        return r;
    if (holder == SHMR_REMOVER)
        return shmr_claim_say_removed();
    if (holder == SHMR_RECOVERER)
        return shmr_fail(EBUSY,
                         "the %s's role is its dead owner's, and a process that recovers it "
                         "(shmring_recover) has it locked: try again",
                         role);
    return say_who_holds(q, row, role);
}

int shmr_claim_say_removed(void)
{
    return shmr_fail(EBUSY, "a process that removes queues without participants (shmring gc) has "
                            "just locked this one, or was stopped while it had: try again");
}
