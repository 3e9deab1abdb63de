/* SPDX-License-Identifier: MIT */
/*
 * SPSC: tuning. How far ahead a side fetches lines, for how long it backs off, and which length it
 * expects next. No message needs this to arrive, and none of it orders anything: ring.h calls these
 * functions, and with empty ones the protocol is the same. doc/performance.md has what each is
 * worth. The two other means of speed are quick.h and staging.h.
 */
#ifndef SHMR_SPSC_TUNING_H
#define SHMR_SPSC_TUNING_H

#include <shmring/shmring.h>

#include "base/cpu.h"
#include "spsc/state.h"

/* The consumer publishes its head every 1/8 of the ring, and the producer samples the high-water
 * mark every 1/16. */
#define SHMR_SPSC_PUBLISH_FRACTION 8
#define SHMR_SPSC_SAMPLE_FRACTION  16

/*
 * In bytes: how far ahead the producer fetches lines, and the consumer, and how much each fetches
 * for a message at most. The producer's lines are still in the consumer's cache from the lap
 * before. The consumer must not fetch the line that the producer is writing.
 */
#define SHMR_SPSC_WRITE_AHEAD 1024
#define SHMR_SPSC_READ_AHEAD  256
#define SHMR_SPSC_FETCH_MOST  2048

/* ---- Backing off ----------------------------------------------------------------------------- */

/* The ring is full after a success: give the consumer time to make room for several messages. */
static inline void shmr_spsc_back_off_when_full(struct shmr_spsc_producer *p)
{
    shmr_pause(shmr_back_off(&p->side.stream, p->side.pauses, p->messages, p->position,
                             shmr_spsc_capacity(p->mask)));
}

/* The ring is empty after a success: at every poll, a consumer right behind the producer takes the
 * line that the producer is writing. */
static inline void shmr_spsc_back_off_when_empty(struct shmr_spsc_consumer *c)
{
    shmr_pause(shmr_back_off(&c->side.stream, c->side.pauses, c->messages, c->position,
                             shmr_spsc_capacity(c->mask)));
}

/* ---- Fetching lines -------------------------------------------------------------------------- */

/*
 * Fetch lines ahead only in a stream. In request-response traffic the consumer would wait longer
 * for the line that it needs, while lines for later messages are on the way, and its polls would
 * take those back. A stream has, since the last sample, one message or one KiB in every 50 ns
 * (SHMR_BACK_OFF_NS / SHMR_BACK_OFF_MESSAGES) on average.
 */
static inline void shmr_spsc_choose_ahead(struct shmr_spsc_producer *p)
{
    const uint64_t now = shmr_ticks(), messages = p->messages - p->sampled_messages;
    const uint64_t kib = shmr_spsc_capacity(p->mask) / SHMR_SPSC_SAMPLE_FRACTION / 1024;
    const uint64_t stream = (messages > kib ? messages : kib) * p->ticks / SHMR_BACK_OFF_MESSAGES;

    p->fetch_ahead = now - p->sampled_ticks <= stream ? SHMR_SPSC_WRITE_AHEAD : 0;
    p->sampled_ticks = now;
    p->sampled_messages = p->messages;
}

/* For each line that starts within the record, fetch the one that is `ahead` bytes further. */
static inline void shmr_spsc_fetch(const uint8_t *data, uint64_t mask, uint64_t position,
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

static inline uint64_t shmr_spsc_fetch_most(uint64_t record)
{
    return record < SHMR_SPSC_FETCH_MOST ? record : SHMR_SPSC_FETCH_MOST;
}

static inline void shmr_spsc_fetch_to_write(const struct shmr_spsc_producer *p, uint32_t len)
{
    shmr_spsc_fetch(p->data, p->mask, p->position, shmr_spsc_fetch_most(shmring_record_size(len)),
                    p->fetch_ahead, true);
}

static inline void shmr_spsc_fetch_to_read(const struct shmr_spsc_consumer *c, uint32_t len)
{
    shmr_spsc_fetch(c->data, c->mask, c->position, shmr_spsc_fetch_most(shmring_record_size(len)),
                    SHMR_SPSC_READ_AHEAD, false);
}

/*
 * The ring is empty: fetch the line behind the one polled, so that a message that straddles both
 * arrives in the time of one transfer, not of two. Not if messages are long: while the producer
 * writes a long one, each poll would take that line away from it.
 */
static inline void shmr_spsc_fetch_second_line(const struct shmr_spsc_consumer *c)
{
    if (c->usual <= SHMR_COPY_SHORT)
        shmr_prefetch(c->data + ((c->position + SHMR_LINE) & c->mask));
}

/* ---- The usual length ------------------------------------------------------------------------ */

/*
 * Where the next record starts depends on this header, which may still be on its way. If the length
 * is the last message's, go on with that number, which is known: the processor predicts the branch
 * and polls the next record without waiting. The empty asm makes the compiler keep the branch.
 */
static inline ssize_t shmr_spsc_expected(struct shmr_spsc_consumer *c, ssize_t len)
{
    if (__builtin_expect(len == c->usual, 1)) {
        len = c->usual;
        __asm__("" : "+r"(len));
    } else {
        c->usual = len;
    }
    return len;
}

/* ---- How far the quick way goes (quick.h) ---------------------------------------------------- */

/* Call this whenever head or next_sample has changed. */
static inline void shmr_spsc_renew_quick(struct shmr_spsc_producer *p)
{
    const uint64_t room = p->head + shmr_spsc_capacity(p->mask) - SHMR_SPSC_SPARE;

    p->quick_until = (int64_t)(room - p->next_sample) < 0 ? room : p->next_sample;
}

#endif
