/* SPDX-License-Identifier: MIT */
/*
 * SPSC: tuning. None of this is needed for a message to arrive, and none of it orders anything: how
 * far ahead lines are fetched, for how long a side backs off, which length is expected next. ring.h
 * calls these functions; with empty ones the protocol is the same. doc/performance.md has what each
 * is worth. The two other means of speed are quick.h and staging.h.
 */
#ifndef SHMR_SPSC_TUNING_H
#define SHMR_SPSC_TUNING_H

#include <shmring/shmring.h>

#include "base/cpu.h"
#include "spsc/state.h"

/* The consumer publishes its head, and the producer samples the high-water mark, every so often. */
#define SHMR_SPSC_PUBLISH_FRACTION 8
#define SHMR_SPSC_SAMPLE_FRACTION  16

/*
 * How far ahead each side fetches lines, and at most how many for a message; in bytes. The
 * producer's are still in the consumer's cache from the lap before; the consumer must keep well
 * clear of the line that is being written.
 */
#define SHMR_SPSC_WRITE_AHEAD 1024
#define SHMR_SPSC_READ_AHEAD  256
#define SHMR_SPSC_FETCH_MOST  2048

/* ---- Backing off ----------------------------------------------------------------------------- */

/* Full after a success: give the consumer time to make more room than for one message. */
static inline void shmr_spsc_back_off_when_full(struct shmr_spsc_producer *p)
{
    shmr_pause(shmr_back_off(&p->side.stream, p->side.pauses, p->messages, p->position,
                             shmr_spsc_capacity(p->mask)));
}

/* Empty after a success: right behind the producer, every poll takes the line that it is writing.
 */
static inline void shmr_spsc_back_off_when_empty(struct shmr_spsc_consumer *c)
{
    shmr_pause(shmr_back_off(&c->side.stream, c->side.pauses, c->messages, c->position,
                             shmr_spsc_capacity(c->mask)));
}

/* ---- Fetching lines -------------------------------------------------------------------------- */

/*
 * Lines are fetched ahead in a stream. In a dialogue the consumer has to wait for the one that it
 * needs while those for later messages are on the way, and polls where they are. Answers take
 * longer than messages of a stream, as back_off.h has it: 50 ns, or a KiB in that time.
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

/* The lines that start within the record at a position: fetch those that are so far ahead of it. */
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
 * The ring is empty: a message that straddles two lines is to arrive in one transfer, not in two.
 * While a long one is written, that line would be taken away again and again.
 */
static inline void shmr_spsc_fetch_second_line(const struct shmr_spsc_consumer *c)
{
    if (c->usual <= SHMR_COPY_SHORT)
        shmr_prefetch(c->data + ((c->position + SHMR_LINE) & c->mask));
}

/* ---- The usual length ------------------------------------------------------------------------ */

/*
 * Where the next record starts depends on this header, which may still be on its way. If the length
 * is the usual one, go on with the number known already: the processor predicts the branch and
 * polls the next record without waiting. The empty asm keeps it a branch.
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

/* To be called when head or next_sample have changed. */
static inline void shmr_spsc_renew_quick(struct shmr_spsc_producer *p)
{
    const uint64_t room = p->head + shmr_spsc_capacity(p->mask) - SHMR_SPSC_SPARE;

    p->quick_until = (int64_t)(room - p->next_sample) < 0 ? room : p->next_sample;
}

#endif
