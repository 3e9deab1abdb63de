/* SPDX-License-Identifier: MIT */
/*
 * SPSC: reading the messages without taking them. Each message is copied first. It is reported only
 * if the consumer's position, which is read after the copy, has not passed it: the producer
 * overwrites a message only after the consumer has passed it. The acquire fence (spsc:F1) puts the
 * read of the position after the copy; the consumer's store of it is a release (spsc:R3 in ring.h).
 */
#include <config.h>

#include "spsc/dump.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "core/handle.h"
#include "core/rows.h"
#include "spsc/takeover.h"

/* A dump copies at most this many times the capacity: a busy consumer may pass each message while
 * it is copied. What is left then is not reported. */
#define DUMP_RINGS 4

static int corrupt(const char *what)
{
    return shmr_fail(EBADMSG, "corrupt: %s", what);
}

static uint64_t consumed(const struct shmr_spsc_consumer_page *page)
{
    return atomic_load_explicit(&shmr_progress_whole(page->progress)->position,
                                memory_order_acquire);
}

/* Is the mark ahead of the position, by at most the capacity? */
static bool is_before(uint64_t position, const _Atomic uint64_t *mark, uint64_t capacity)
{
    uint64_t ahead = atomic_load_explicit(mark, memory_order_relaxed) - position;

    return ahead != 0 && ahead <= capacity;
}

/*
 * Report one message. If a consumer is alive, its page says how often the message was taken before.
 * Otherwise report what a successor of the dead consumer would find: it also counts a delivery of
 * the message that the dead one may have been copying out.
 */
static int tell_record(const struct shmr_dump *d, uint64_t position, uint32_t len, bool alive)
{
    const struct shmr_spsc_consumer_page *page = (const void *)d->q->map.consumer;
    const uint64_t capacity = d->q->geometry.capacity;
    const bool attached = shmr_row_is_attached(shmr_row_at(d->q->map.table, SHMR_ROW_CONSUMER));
    const bool taken = is_before(position, &page->taken, capacity);
    struct shmring_message m = {
        .position = position, .data = d->copy, .length = len, .state = SHMRING_WAITING};

    if (attached && taken) { /* a consumer that detaches gives back what it holds */
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
        const uint32_t header = shmr_spsc_poll(d->q->map.data, capacity - 1, first);
        const struct shmr_spsc_seen seen =
            shmr_spsc_seen_before(page, capacity - 1, first, header, attached);
        m.deliveries = seen.until - position - 1 < capacity ? seen.times : 0;
    }
    return d->each(d->arg, &m);
}

int shmr_spsc_dump(const struct shmr_dump *d)
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
    /* Bounded while both sides go on, too: by the positions of one ring, and by the bytes copied in
     * case the consumer passes each message while it is copied. */
    for (uint64_t position = start;
         position - start < capacity && copied < DUMP_RINGS * capacity;) {
        uint32_t header = shmr_spsc_poll(data, mask, position), len = header - 1;
        if (len <= max_message) {
            memcpy(d->copy, data + (position & mask) + 8, len);
            copied += len;
        }
        atomic_thread_fence(memory_order_acquire); /* spsc:F1 */

        uint64_t head = consumed(page);
        if (head % 8 != 0)
            return corrupt("the consumer's position is not a multiple of 8");
        if ((int64_t)(head - position) > 0) { /* passed: the copy may be of two messages */
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
