/* SPDX-License-Identifier: MIT */
/*
 * How long to fall back when the queue is found empty, or full, after a success.
 *
 * One who follows a stream closely takes the lines that the other is writing; then both become
 * slow, and neither gets away. So the longer the stream, the longer the pause: roughly as long as
 * its messages took. One message at a time, as in a dialogue, is no stream, and the answer may be
 * there in less than that.
 *
 * The pause has a limit, which is learned: if the other one fills the ring meanwhile, or empties
 * it, it has to wait in turn; if it does not get half as far, the next collision comes too soon.
 */
#ifndef SHMR_BACK_OFF_H
#define SHMR_BACK_OFF_H

#include <stdint.h>

/*
 * About the transfer of a line there and back. In time, not in pauses: one pause takes from 10 to
 * 50 ns, depending on the processor. All times here are multiples of it.
 */
#define SHMR_BACK_OFF_NS 200

#define SHMR_BACK_OFF_MESSAGES 4    /* take about that long; */
#define SHMR_BACK_OFF_BYTES    1024 /* one does, if it is so long */
#define SHMR_BACK_OFF_DIALOGUE 8    /* a part of it */
#define SHMR_BACK_OFF_FIRST    16   /* limit */
#define SHMR_BACK_OFF_MOST     32

/* One more -EAGAIN in a row. Zero means that the last call was a success: not after 2^32 either. */
static inline uint32_t shmr_missed_again(uint32_t misses)
{
    return misses == UINT32_MAX ? 1 : misses + 1;
}

/* What had passed, in all, when the queue was last found so. */
struct shmr_stream {
    uint64_t messages;
    uint64_t bytes;
    uint32_t longest; /* limit */
};

static inline void shmr_stream_start(struct shmr_stream *s, uint64_t messages, uint64_t bytes)
{
    s->messages = messages;
    s->bytes = bytes;
    s->longest = SHMR_BACK_OFF_FIRST;
}

/*
 * So many messages, so many bytes of the ring have passed in all, and now it is empty, or full: how
 * many pauses to fall back for, where `pauses` last for SHMR_BACK_OFF_NS.
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
        return 1 + pauses / SHMR_BACK_OFF_DIALOGUE;
    if (length > capacity && s->longest > 1)
        s->longest /= 2;
    else if (length < capacity / 2 && times >= s->longest && s->longest < SHMR_BACK_OFF_MOST)
        s->longest *= 2;
    return pauses * (times < 1 ? 1 : times < s->longest ? (unsigned)times : s->longest);
}

#endif
