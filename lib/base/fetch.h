/* SPDX-License-Identifier: MIT */
/*
 * Byte rings: which lines a side fetches before it needs them, and which length it expects next. No
 * message needs this to arrive, and none of it orders anything: with empty functions the protocols
 * are the same. The kinds call these functions from their ring.h and quick.h. doc/performance.md
 * has what each is worth.
 */
#ifndef SHMR_FETCH_H
#define SHMR_FETCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/back_off.h"
#include "base/cpu.h"

/*
 * In bytes: how far ahead a producer fetches lines, and a consumer, and how much each fetches for a
 * message at most. The producer's lines are still in the consumer's cache from the lap before. A
 * consumer must not fetch the line that the producer is writing.
 */
#define SHMR_WRITE_AHEAD 1024
#define SHMR_READ_AHEAD  256
#define SHMR_FETCH_MOST  2048

/* When a producer has chosen how far ahead it fetches lines, and how many messages it had sent. */
struct shmr_sample {
    uint64_t ticks, messages;
};

/*
 * How far ahead a producer fetches lines: SHMR_WRITE_AHEAD in a stream, else 0. In request-response
 * traffic the consumer would wait longer for the line that it needs, while lines for later messages
 * are on the way, and its polls would take those back. A stream has one message or one KiB in every
 * 50 ns (SHMR_BACK_OFF_NS / SHMR_BACK_OFF_MESSAGES) on average since the last choice. `bytes` were
 * sent since then, and `messages` in all; `ticks` of shmr_ticks() last for SHMR_BACK_OFF_NS.
 */
static inline uint64_t shmr_choose_ahead(struct shmr_sample *last, uint64_t messages,
                                         uint64_t bytes, uint32_t ticks)
{
    const uint64_t now = shmr_ticks(), passed = now - last->ticks;
    const uint64_t sent = messages - last->messages, kib = bytes / 1024;
    const uint64_t stream = (sent > kib ? sent : kib) * ticks / SHMR_BACK_OFF_MESSAGES;

    last->ticks = now;
    last->messages = messages;
    return passed <= stream ? SHMR_WRITE_AHEAD : 0;
}

/* For each line that starts within the record, fetch the one that is `ahead` bytes further. */
static inline void shmr_fetch(const uint8_t *data, uint64_t mask, uint64_t position,
                              uint64_t record, uint64_t ahead, bool to_write)
{
    const uint64_t end = position + record;

    for (uint64_t line = (position + SHMR_LINE - 1) & ~(uint64_t)(SHMR_LINE - 1);
         (int64_t)(line - end) < 0; line += SHMR_LINE) {
        if (to_write)
            shmr_prefetch_to_write(data + ((line + ahead) & mask));
        else
            shmr_prefetch(data + ((line + ahead) & mask));
    }
}

/* The same for at most SHMR_FETCH_MOST bytes of the record. */
static inline void shmr_fetch_some(const uint8_t *data, uint64_t mask, uint64_t position,
                                   uint64_t record, uint64_t ahead, bool to_write)
{
    shmr_fetch(data, mask, position, record < SHMR_FETCH_MOST ? record : SHMR_FETCH_MOST, ahead,
               to_write);
}

/*
 * The ring is empty: fetch the line behind the one polled, so that a message that straddles both
 * arrives in the time of one transfer, not of two. Not if messages are long (`usual`): while the
 * producer writes a long one, each poll would take that line away from it.
 */
static inline void shmr_fetch_second_line(const uint8_t *data, uint64_t mask, uint64_t position,
                                          ssize_t usual)
{
    if (usual <= SHMR_COPY_SHORT)
        shmr_prefetch(data + ((position + SHMR_LINE) & mask));
}

/*
 * Where the next record starts depends on this header, which may still be on its way. If the length
 * is the last message's (*usual), go on with that number, which is known: the processor predicts
 * the branch and polls the next record without waiting. The empty asm makes the compiler keep the
 * branch.
 */
static inline ssize_t shmr_expected_length(ssize_t *usual, ssize_t len)
{
    if (__builtin_expect(len == *usual, 1)) {
        len = *usual;
        __asm__("" : "+r"(len));
    } else {
        *usual = len;
    }
    return len;
}

#endif
