/* SPDX-License-Identifier: MIT */
/*
 * How long to back off when a participant finds the queue empty, or full, after a success.
 *
 * A consumer that follows a producer closely takes the cache lines that the producer is writing.
 * Then both become slow, and neither gets ahead of the other. The same holds for a producer behind
 * a consumer. So the longer the stream since the last pause, the longer the pause: roughly as long
 * as its messages took. One message at a time, as between request and response, is no stream, and
 * the response may be there after a shorter time.
 *
 * The pause has a limit, which each side learns. If the other side passes a whole capacity
 * meanwhile, it had to wait in turn: the limit is halved. If it passes less than half a capacity,
 * the next collision comes too soon: the limit is doubled.
 */
#ifndef SHMR_BACK_OFF_H
#define SHMR_BACK_OFF_H

#include <stdint.h>

/*
 * About the time in which a line goes to another processor and back. It is a time, not a number of
 * pauses, because one pause takes from 10 to 50 ns, depending on the processor. All times here are
 * multiples of it.
 */
#define SHMR_BACK_OFF_NS 200

#define SHMR_BACK_OFF_MESSAGES 4    /* this many messages take about SHMR_BACK_OFF_NS */
#define SHMR_BACK_OFF_BYTES    1024 /* one message of this length takes about as long */
#define SHMR_BACK_OFF_SINGLE   8    /* divisor: the pause after a single message */
#define SHMR_BACK_OFF_FIRST    16   /* first limit of a pause */
#define SHMR_BACK_OFF_MOST     32   /* largest limit */

/* Count one more -EAGAIN in a row. Zero means that the last call was a success, so the count skips
 * zero after 2^32 - 1. */
static inline uint32_t shmr_missed_again(uint32_t misses)
{
    return misses == UINT32_MAX ? 1 : misses + 1;
}

/* How many messages and bytes had passed, in all, when the queue was last found empty, or full. */
struct shmr_stream {
    uint64_t messages;
    uint64_t bytes;
    uint32_t longest; /* the limit, in SHMR_BACK_OFF_NS */
};

static inline void shmr_stream_start(struct shmr_stream *s, uint64_t messages, uint64_t bytes)
{
    s->messages = messages;
    s->bytes = bytes;
    s->longest = SHMR_BACK_OFF_FIRST;
}

/*
 * `messages` messages and `bytes` bytes of the ring have passed in all, and now the queue is empty,
 * or full. Returns for how many pauses to back off; `pauses` of them last for SHMR_BACK_OFF_NS.
 */
static inline unsigned shmr_back_off(struct shmr_stream *s, unsigned pauses, uint64_t messages,
                                     uint64_t bytes, uint64_t capacity)
{
    const uint64_t streamed = messages - s->messages, length = bytes - s->bytes;
    const uint64_t short_ones = streamed / SHMR_BACK_OFF_MESSAGES;
    const uint64_t long_ones =
        length / SHMR_BACK_OFF_BYTES < streamed ? length / SHMR_BACK_OFF_BYTES : streamed;
    const uint64_t times = short_ones > long_ones ? short_ones : long_ones;

    s->messages = messages;
    s->bytes = bytes;
    if (streamed <= 1)
        return 1 + pauses / SHMR_BACK_OFF_SINGLE;
    if (length > capacity && s->longest > 1)
        s->longest /= 2;
    else if (length < capacity / 2 && times >= s->longest && s->longest < SHMR_BACK_OFF_MOST)
        s->longest *= 2;
    return pauses * (times < 1 ? 1 : times < s->longest ? (unsigned)times : s->longest);
}

#endif
