/* SPDX-License-Identifier: MIT */
/*
 * MPMC: reading the messages without taking them. Each message is copied first. It is reported only
 * if its block's descriptor, which is read again after the copy, has not changed. The acquire fence
 * (mpmc:F1) puts that second read after the copy; a producer overwrites the block only after the
 * release (mpmc:R2 in blocks.h) of the participant that was done with it.
 */
#include <config.h>

#include "mpmc/dump.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "core/handle.h"

/* Copies of a message, at most: if its descriptor changes each time, it is not reported. */
#define COPY_TRIES 3

static uint64_t descriptor_of(const struct shmr_mpmc *q, uint64_t index)
{
    return atomic_load_explicit(&shmr_mpmc_block(q, index)->descriptor, memory_order_acquire);
}

/* A message that a recoverer has taken, and not given a new position yet. */
static bool is_retaken(uint64_t descriptor)
{
    return (descriptor & SHMR_STATE_MASK) == SHMR_OWN && descriptor & SHMR_R;
}

/* Held: by the consumer that took it, or by a recoverer about to publish it again. */
static bool is_held(const struct shmr_mpmc *q, uint64_t index, uint64_t descriptor)
{
    return (descriptor & SHMR_STATE_MASK) == SHMR_OWN ||
           !shmr_mpmc_is_published(q, index, descriptor);
}

/* Report the message in a block. -EAGAIN: its descriptor has changed since it was read. */
static int tell_block(const struct shmr_dump *d, const struct shmr_mpmc *q, uint64_t index,
                      uint64_t descriptor)
{
    const struct shmr_block *block = shmr_mpmc_block(q, index);
    const bool retaken = is_retaken(descriptor), held = is_held(q, index, descriptor);
    struct shmring_message m = {
        .data = d->copy,
        .length = atomic_load_explicit(&block->length, memory_order_acquire),
        .state = held ? SHMRING_HELD : SHMRING_WAITING,
        .row = held ? shmr_owner(descriptor) : 0,
        .deliveries = shmr_mpmc_deliveries(block),
    };

    if (retaken &&
        (descriptor & SHMR_POSITION_MASK) != 0) /* the block may still have the earlier count */
        m.deliveries = (uint32_t)(descriptor & SHMR_POSITION_MASK);
    m.position = shmr_whole_position(
        m.deliveries == 0 ? descriptor
                          : atomic_load_explicit(&q->origins[index], memory_order_relaxed),
        q->tail);
    if (held && !(descriptor & SHMR_R))
        m.deliveries++;

    if (m.length <= q->max_message)
        memcpy(d->copy, shmr_mpmc_payload(q, index), m.length);
    atomic_thread_fence(memory_order_acquire); /* mpmc:F1 */
    if (atomic_load_explicit(&block->descriptor, memory_order_relaxed) != descriptor)
        return -EAGAIN;
    if (m.length > q->max_message)
        return shmr_fail(EBADMSG, "corrupt: a message is longer than max_message");
    return d->each(d->arg, &m);
}

/* Does the ring still lead to the message in that block? */
static bool is_in_ring(const struct shmr_mpmc *q, uint64_t index, uint64_t descriptor)
{
    uint64_t position = shmr_whole_position(descriptor, q->tail);

    return !is_retaken(descriptor) &&
           shmr_mpmc_poll(q, position) == shmr_mpmc_entry(q, position, index);
}

/* Report the messages that were delivered and whose block no entry names: the ring has gone round
 * since they were taken, or a recoverer has taken them. */
static int dump_adrift(const struct shmr_dump *d, const struct shmr_mpmc *q)
{
    for (uint64_t i = 0; i <= q->mask; i++) {
        uint64_t descriptor = descriptor_of(q, i);
        if ((descriptor & SHMR_STATE_MASK) == SHMR_FREE || !(descriptor & SHMR_M) ||
            is_in_ring(q, i, descriptor))
            continue;
        int r = tell_block(d, q, i, descriptor);
        if (r != 0 && r != -EAGAIN)
            return r;
    }
    return 0;
}

static int dump_position(const struct shmr_dump *d, const struct shmr_mpmc *q, uint64_t position)
{
    int r = -EAGAIN;

    for (int tries = 0; r == -EAGAIN && tries < COPY_TRIES; tries++) {
        uint64_t entry = shmr_mpmc_poll(q, position), index = entry & SHMR_BLOCK_MASK;
        if (index > q->mask || shmr_mpmc_laps(q, entry, position) != 0)
            return 0;
        uint64_t descriptor = descriptor_of(q, index), state = descriptor & SHMR_STATE_MASK;
        if (((descriptor ^ position) & SHMR_POSITION_MASK) != 0 || is_retaken(descriptor) ||
            (state != SHMR_RDY && (state != SHMR_OWN || !(descriptor & SHMR_M))))
            return 0;
        r = tell_block(d, q, index, descriptor);
    }
    return r == -EAGAIN ? 0 : r;
}

int shmr_mpmc_dump(const struct shmr_dump *d)
{
    struct shmr_mpmc observer;
    uint64_t entry;
    int r;

    shmr_mpmc_init(&observer, &d->q->geometry, &d->q->map, 0);
    (void)shmr_mpmc_find_tail(&observer,
                              &entry); /* false: the budget ended before the tail was found */
    r = dump_adrift(d, &observer);
    for (uint64_t back = observer.mask + 1; r == 0 && back > 0; back--)
        r = dump_position(d, &observer, observer.tail - back);
    return r;
}
