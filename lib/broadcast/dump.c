/* SPDX-License-Identifier: MIT */
/*
 * Broadcast: reading the messages without receiving them: from the oldest that a mark names to the
 * tail. A message is copied first, and reported only if it was whole then, as a consumer does it.
 */
#include <config.h>

#include "broadcast/dump.h"

#include <errno.h>

#include "base/error.h"
#include "broadcast/ring.h"
#include "core/handle.h"

/* A dump copies at most this many times the capacity: a busy producer may lap it. What is left then
 * is not reported. */
#define DUMP_RINGS 4

static int corrupt(const char *what)
{
    return shmr_fail(EBADMSG, "%s", what);
}

/* Report one message. */
static int tell_record(const struct shmr_dump *d, uint64_t position, uint32_t len)
{
    const struct shmring_message m = {
        .position = position, .data = d->copy, .length = len, .state = SHMRING_WAITING};

    return d->each(d->arg, &m);
}

int shmr_broadcast_dump(const struct shmr_dump *d)
{
    const struct shmr_broadcast_ring ring = {.data = d->q->map.data,
                                             .mask = d->q->geometry.capacity - 1,
                                             .page = (void *)d->q->map.producer,
                                             .max_message = d->q->geometry.max_message};
    const uint64_t capacity = shmr_broadcast_capacity(&ring);
    struct shmr_broadcast_at at;
    int r = shmr_broadcast_find_oldest(&ring, 0, &at);

    /* `passed` bounds the loop also while the producer goes on. */
    for (uint64_t passed = 0; r == 0 && passed < DUMP_RINGS * capacity;) {
        const uint32_t header = shmr_broadcast_poll(&ring, at.position);
        const uint32_t len = shmr_broadcast_length(header);
        const bool good = header != 0 && len <= ring.max_message;
        if (good)
            shmr_racy_copy_out(d->copy, shmr_broadcast_payload(&ring, at.position), len);
        atomic_thread_fence(memory_order_acquire); /* cast:C1 */
        const uint64_t horizon = shmr_broadcast_horizon(&ring);
        if (!shmr_broadcast_is_before(&ring, at.position, horizon)) { /* lapped */
            const uint64_t from = at.position;
            r = shmr_broadcast_find_oldest(&ring, shmr_broadcast_chunk(&ring), &at);
            passed += capacity / SHMR_BROADCAST_CHUNKS;
            if (r == 0 && (int64_t)(at.position - from) <= 0)
                return corrupt("corrupt: the marks have gone back");
            continue;
        }
        if (header == 0)
            return 0;
        if (!good)
            return corrupt("corrupt: a record is longer than max_message");
        const uint64_t end = at.position + shmring_record_size(len);
        if ((int64_t)(horizon - end) < SHMR_BROADCAST_SPARE)
            return corrupt("corrupt: the records are not before the horizon");
        r = tell_record(d, at.position, len);
        if (r != 0)
            return r;
        passed += end - at.position;
        at.position = end;
    }
    return r == -EBADMSG ? corrupt(at.damage) : 0;
}
