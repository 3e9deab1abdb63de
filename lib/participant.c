/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "participant.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <shmring/shmring.h>

#include "error.h"
#include "identity.h"

static struct flock row_byte(const struct shmr_geometry *g, uint32_t row)
{
    return (struct flock){.l_type = F_WRLCK,
                          .l_whence = SEEK_SET,
                          .l_start = (off_t)(g->table + row * sizeof(struct shmr_row)),
                          .l_len = 1};
}

static const char *role_name(uint32_t row)
{
    return row == SHMR_ROW_PRODUCER ? "producer" : "consumer";
}

int shmr_row_say_who_holds(struct shmr_row *row, uint32_t index)
{
    struct shmring_participant holder;
    struct shmr_identity me;

    shmr_identity_self(&me);
    shmr_row_read(&holder, row);
    for (char *c = holder.comm; *c; c++) /* somebody may print the detail on a terminal */
        if (*c < ' ' || *c > '~')
            *c = '?';
    if (atomic_load_explicit(&row->state, memory_order_relaxed) != SHMR_ROW_ATTACHED)
        return shmr_fail(EBUSY, "the %s's role is being taken by another process: try again",
                         role_name(index));
    return shmr_fail(EBUSY,
                     "the %s's role is held by pid %u%s (%s): an spsc queue has one of each; "
                     "the role is free when that process closes the queue or ends",
                     role_name(index), holder.pid,
                     holder.pid_namespace == me.pid_ns ? "" : " of another pid namespace",
                     holder.comm);
}

int shmr_row_lock(int fd, const struct shmr_geometry *g, uint32_t row)
{
    struct flock lock = row_byte(g, row);

    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    if (errno == EAGAIN || errno == EACCES)
        return -EBUSY;
    return shmr_fail_call(errno, "locking the participant's row", 0, 0);
}

int shmr_row_is_locked(int fd, const struct shmr_geometry *g, uint32_t row)
{
    struct flock lock = row_byte(g, row);

    if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
        return shmr_fail_call(errno, "testing the lock of a participant's row", 0, 0);
    return lock.l_type != F_UNLCK;
}

bool shmr_row_is_attached(struct shmr_row *row)
{
    /* Acquire: pairs with the release in shmr_row_attach and shmr_row_detach. */
    return atomic_load_explicit(&row->state, memory_order_acquire) == SHMR_ROW_ATTACHED;
}

/* Release: who reads the count by acquire sees the row ATTACHED, or what it said later. */
static void count_one_more(_Atomic uint64_t *count)
{
    uint64_t n = atomic_load_explicit(count, memory_order_relaxed);

    atomic_store_explicit(count, n + 1, memory_order_release); /* the row is locked: one writer */
}

void shmr_row_attach(struct shmr_row *row, uint32_t role)
{
    struct shmr_identity me;
    uint64_t comm[2];
    uint32_t generation = atomic_load_explicit(&row->generation, memory_order_relaxed);

    shmr_identity_self(&me);
    memcpy(comm, me.comm, sizeof comm);
    atomic_store_explicit(&row->generation, generation + 1, memory_order_relaxed);
    atomic_store_explicit(&row->pid, me.pid, memory_order_relaxed);
    atomic_store_explicit(&row->role, role, memory_order_relaxed);
    atomic_store_explicit(&row->start_time, me.start_time, memory_order_relaxed);
    atomic_store_explicit(&row->pid_ns, me.pid_ns, memory_order_relaxed);
    atomic_store_explicit(&row->attached_ns, (uint64_t)me.now_ns, memory_order_relaxed);
    atomic_store_explicit(&row->uid, me.uid, memory_order_relaxed);
    atomic_store_explicit(&row->comm[0], comm[0], memory_order_relaxed);
    atomic_store_explicit(&row->comm[1], comm[1], memory_order_relaxed);
    /* Release: the identity is whole when the row says ATTACHED; pairs with shmr_row_read. */
    atomic_store_explicit(&row->state, SHMR_ROW_ATTACHED, memory_order_release);
    if (role & SHMRING_PRODUCER)
        count_one_more(&row->producers);
    if (role & SHMRING_CONSUMER)
        count_one_more(&row->consumers);
}

uint64_t shmr_row_taken_as(const struct shmr_row *row, uint32_t role)
{
    /* Acquire: pairs with count_one_more(). */
    return atomic_load_explicit(role == SHMRING_PRODUCER ? &row->producers : &row->consumers,
                                memory_order_acquire);
}

void shmr_row_detach(struct shmr_row *row)
{
    /* Release: pairs with shmr_row_is_attached in a successor. */
    atomic_store_explicit(&row->state, SHMR_ROW_FREE, memory_order_release);
}

void shmr_row_read(struct shmring_participant *out, struct shmr_row *row)
{
    uint64_t comm[2];

    memset(out, 0, sizeof *out);
    (void)atomic_load_explicit(&row->state, memory_order_acquire); /* pairs with shmr_row_attach */
    out->generation = atomic_load_explicit(&row->generation, memory_order_relaxed);
    out->pid = atomic_load_explicit(&row->pid, memory_order_relaxed);
    out->role = atomic_load_explicit(&row->role, memory_order_relaxed);
    out->start_time = atomic_load_explicit(&row->start_time, memory_order_relaxed);
    out->pid_namespace = atomic_load_explicit(&row->pid_ns, memory_order_relaxed);
    out->attached_ns = (int64_t)atomic_load_explicit(&row->attached_ns, memory_order_relaxed);
    out->uid = atomic_load_explicit(&row->uid, memory_order_relaxed);
    comm[0] = atomic_load_explicit(&row->comm[0], memory_order_relaxed);
    comm[1] = atomic_load_explicit(&row->comm[1], memory_order_relaxed);
    memcpy(out->comm, comm, sizeof out->comm);
    out->comm[sizeof out->comm - 1] = 0;
}
