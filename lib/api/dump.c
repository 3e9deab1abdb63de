/* SPDX-License-Identifier: MIT */
/*
 * Reading the messages in a queue without taking them, from any handle, an observer's included.
 *
 * A message may be consumed and its place filled anew while it is copied. So each one is copied
 * first, and told of only if what says that it is still there did not change meanwhile: for spsc
 * the consumer's position, which the producer never overtakes, for mpmc the block's descriptor.
 * The acquire fence (F) puts that second look after the copy; whoever overwrites the place does so
 * after the release (R3 in spsc.h, R2 in mpmc.h) of whoever was done with it.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <shmring/shmring.h>

#include "base/error.h"
#include "core/handle.h"
#include "core/rows.h"

/* Copied in vain, in times of an spsc ring, before the rest is not shown. */
#define DUMP_RINGS 4

/* Copies of a message that is being taken, before it is passed over. */
#define COPY_TRIES 3

struct dump {
    const shmring_t *q;
    uint8_t *copy; /* of a message: max_message bytes */
    int (*each)(void *arg, const struct shmring_message *m);
    void *arg;
};

static int corrupt(const char *what)
{
    return shmr_fail(EBADMSG, "corrupt: %s", what);
}

/* ---- spsc ----------------------------------------------------------------------------------- */

static uint64_t consumed(const struct shmr_spsc_consumer_page *page)
{
    return atomic_load_explicit(&shmr_progress_whole(page->progress)->position,
                                memory_order_acquire);
}

/* Does the position lie before a mark that is at most a ring ahead? */
static bool is_before(uint64_t position, const _Atomic uint64_t *mark, uint64_t capacity)
{
    uint64_t ahead = atomic_load_explicit(mark, memory_order_relaxed) - position;

    return ahead != 0 && ahead <= capacity;
}

/*
 * alive: a consumer is. Then it says how often it was taken before; else what a successor would
 * say, the message that a dead one may have been copying out included.
 */
static int tell_record(const struct dump *d, uint64_t position, uint32_t len, bool alive)
{
    const struct shmr_spsc_consumer_page *page = (const void *)d->q->map.consumer;
    const uint64_t capacity = d->q->geometry.capacity;
    const bool attached = shmr_row_is_attached(shmr_row_at(d->q->map.table, SHMR_ROW_CONSUMER));
    const bool taken = is_before(position, &page->taken, capacity);
    struct shmring_message m = {
        .position = position, .data = d->copy, .length = len, .state = SHMRING_WAITING};

    if (attached && taken) { /* by one who is there, or died with it; else it was given back */
        m.state = SHMRING_HELD;
        m.row = SHMR_ROW_CONSUMER;
    }
    if (alive) {
        if (is_before(position, &page->redelivered_until, capacity))
            m.deliveries =
                (uint32_t)atomic_load_explicit(&page->redeliveries, memory_order_relaxed);
        m.deliveries += taken;
    } else {
        const uint64_t first = consumed(page) & ~UINT64_C(7);
        const uint32_t header = shmr_spsc_look(d->q->map.data, capacity - 1, first);
        const struct shmr_spsc_seen seen =
            shmr_spsc_seen_before(page, capacity - 1, first, header, attached);
        m.deliveries = seen.until - position - 1 < capacity ? seen.times : 0;
    }
    return d->each(d->arg, &m);
}

static int dump_spsc(const struct dump *d)
{
    const struct shmr_spsc_consumer_page *page = (const void *)d->q->map.consumer;
    const uint8_t *data = d->q->map.data;
    const uint64_t capacity = d->q->geometry.capacity, mask = capacity - 1;
    const uint32_t max_message = d->q->geometry.max_message;
    const uint64_t start = consumed(page);
    const int alive = shmr_row_is_locked(d->q->fd, &d->q->geometry, SHMR_ROW_CONSUMER);
    uint64_t copied = 0;

    if (alive < 0)
        return alive;

    if (start % 8 != 0)
        return corrupt("the consumer's position is not a multiple of 8");
    /* Also when both sides go on meanwhile, no more than a ring; and where a message is consumed
     * each time that it was copied, no more than so many bytes. */
    for (uint64_t position = start;
         position - start < capacity && copied < DUMP_RINGS * capacity;) {
        uint32_t header = shmr_spsc_look(data, mask, position), len = header - 1;
        if (len <= max_message) {
            memcpy(d->copy, data + (position & mask) + 8, len);
            copied += len;
        }
        atomic_thread_fence(memory_order_acquire); /* F */

        uint64_t head = consumed(page);
        if (head % 8 != 0)
            return corrupt("the consumer's position is not a multiple of 8");
        if ((int64_t)(head - position) > 0) { /* what was read there may be anything */
            position = head;
            continue;
        }
        if (header == 0)
            return 0;
        if (len > max_message)
            return corrupt("a record is longer than max_message");
        uint64_t end = position + shmring_record_size(len);
        if (end + SHMR_SPSC_SPARE - head > capacity)
            return corrupt("the records are longer than the ring");
        int r = tell_record(d, position, len, alive);
        if (r != 0)
            return r;
        position = end;
    }
    return 0;
}

/* ---- mpmc ----------------------------------------------------------------------------------- */

static uint64_t descriptor_of(const struct shmr_mpmc *q, uint64_t index)
{
    return atomic_load_explicit(&shmr_mpmc_block(q, index)->descriptor, memory_order_acquire);
}

/* A message that a recoverer has taken, and not given a position of its own yet. */
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

/* Tell of the message in a block, whose descriptor was read. -EAGAIN: that has changed. */
static int tell_block(const struct dump *d, const struct shmr_mpmc *q, uint64_t index,
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

    if (retaken && (descriptor & SHMR_POSITION_MASK) != 0) /* it may not stand in the block yet */
        m.deliveries = (uint32_t)(descriptor & SHMR_POSITION_MASK);
    m.position = shmr_whole_position(
        m.deliveries == 0 ? descriptor
                          : atomic_load_explicit(&q->origins[index], memory_order_relaxed),
        q->tail);
    if (held && !(descriptor & SHMR_R))
        m.deliveries++;

    if (m.length <= q->max_message)
        memcpy(d->copy, shmr_mpmc_payload(q, index), m.length);
    atomic_thread_fence(memory_order_acquire); /* F */
    if (atomic_load_explicit(&block->descriptor, memory_order_relaxed) != descriptor)
        return -EAGAIN;
    if (m.length > q->max_message)
        return corrupt("a message is longer than max_message");
    return d->each(d->arg, &m);
}

/* Does the ring still lead to the message in that block? */
static bool is_in_ring(const struct shmr_mpmc *q, uint64_t index, uint64_t descriptor)
{
    uint64_t position = shmr_whole_position(descriptor, q->tail);

    return !is_retaken(descriptor) &&
           shmr_mpmc_look(q, position) == shmr_mpmc_entry(q, position, index);
}

/* Messages taken so long ago that the ring has gone round since, or that a recoverer has in hand:
 * delivered before, and no entry names their block. */
static int dump_adrift(const struct dump *d, const struct shmr_mpmc *q)
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

static int dump_position(const struct dump *d, const struct shmr_mpmc *q, uint64_t position)
{
    int r = -EAGAIN;

    for (int tries = 0; r == -EAGAIN && tries < COPY_TRIES; tries++) {
        uint64_t entry = shmr_mpmc_look(q, position), index = entry & SHMR_BLOCK_MASK;
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

static int dump_mpmc(const struct dump *d)
{
    struct shmr_mpmc look;
    uint64_t entry;
    int r;

    shmr_mpmc_init(&look, &d->q->geometry, &d->q->map, 0);
    (void)shmr_mpmc_find_tail(&look, &entry); /* as far as it got */
    r = dump_adrift(d, &look);
    for (uint64_t back = look.mask + 1; r == 0 && back > 0; back--)
        r = dump_position(d, &look, look.tail - back);
    return r;
}

int shmring_dump(shmring_t *q, int (*each)(void *arg, const struct shmring_message *m), void *arg)
{
    struct dump d = {.q = q, .each = each, .arg = arg};
    int r = shmr_handle_check(q);

    if (r < 0 && (r != -EBADMSG || q->lost)) /* one may look at a corrupt queue too */
        return r;
    SHMR_ALONE(q);
    SHMR_NO_CANCEL();
    if (!each)
        return shmr_fail(EINVAL, "the function to tell of messages is NULL");
    d.copy = malloc(q->geometry.max_message);
    if (!d.copy)
        return shmr_fail(ENOMEM, "no memory for a message of max_message bytes");
    r = q->kind == SHMRING_MPMC ? dump_mpmc(&d) : dump_spsc(&d);
    free(d.copy);
    return q->lost ? shmr_handle_check_memory(q) : r;
}
