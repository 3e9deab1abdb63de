/* SPDX-License-Identifier: MIT */
/*
 * Broadcast: tuning. How far ahead a side fetches lines, for how long it backs off, and which
 * length it expects next. No message needs this to arrive, and none of it orders anything: with
 * empty functions the protocol is the same. The figures are those of spsc/tuning.h, where the same
 * lines travel; doc/performance.md has what each is worth there.
 */
#ifndef SHMR_BROADCAST_TUNING_H
#define SHMR_BROADCAST_TUNING_H

#include <shmring/shmring.h>

#include "base/cpu.h"
#include "broadcast/state.h"

/* In bytes: how far ahead the producer fetches lines, and a consumer, and how much each fetches for
 * a message at most. A consumer must not fetch the line that the producer is writing. */
#define SHMR_BROADCAST_WRITE_AHEAD 1024
#define SHMR_BROADCAST_READ_AHEAD  256
#define SHMR_BROADCAST_FETCH_MOST  2048

/* In a smaller ring a consumer that backs off for longer than once would be overtaken. */
#define SHMR_BROADCAST_PATIENT_CAPACITY (UINT64_C(64) << 10)

/* ---- Backing off ----------------------------------------------------------------------------- */

/* A reliable consumer holds the producer up after a success: give it time to release several
 * messages. */
static inline void shmr_broadcast_back_off_when_full(struct shmr_broadcast_producer *p)
{
    shmr_pause(shmr_back_off(&p->side.stream, p->side.pauses, p->messages, p->position,
                             shmr_broadcast_capacity(&p->ring)));
}

/* The ring is empty after a success: at every poll, a consumer right behind the producer takes the
 * line that the producer is writing. */
static inline void shmr_broadcast_back_off_when_empty(struct shmr_broadcast_consumer *c)
{
    const uint64_t capacity = shmr_broadcast_capacity(&c->ring);
    const unsigned pauses =
        shmr_back_off(&c->side.stream, c->side.pauses, c->number, c->position, capacity);

    shmr_pause(capacity < SHMR_BROADCAST_PATIENT_CAPACITY && pauses > c->side.pauses
                   ? c->side.pauses
                   : pauses);
}

/* ---- Fetching lines -------------------------------------------------------------------------- */

/* Fetch lines ahead only in a stream: one message or one KiB in every 50 ns since the last choice.
 * See shmr_spsc_choose_ahead(). `bytes` were written since then. */
static inline void shmr_broadcast_choose_ahead(struct shmr_broadcast_producer *p, uint64_t bytes)
{
    const uint64_t now = shmr_ticks(), messages = p->messages - p->sampled_messages;
    const uint64_t kib = bytes / 1024;
    const uint64_t stream = (messages > kib ? messages : kib) * p->ticks / SHMR_BACK_OFF_MESSAGES;

    p->fetch_ahead = now - p->sampled_ticks <= stream ? SHMR_BROADCAST_WRITE_AHEAD : 0;
    p->sampled_ticks = now;
    p->sampled_messages = p->messages;
}

/* For each line that starts within the record, fetch the one that is `ahead` bytes further. */
static inline void shmr_broadcast_fetch(const uint8_t *data, uint64_t mask, uint64_t position,
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

static inline uint64_t shmr_broadcast_fetch_most(uint64_t record)
{
    return record < SHMR_BROADCAST_FETCH_MOST ? record : SHMR_BROADCAST_FETCH_MOST;
}

static inline void shmr_broadcast_fetch_to_write(const struct shmr_broadcast_producer *p,
                                                 uint64_t record)
{
    shmr_broadcast_fetch(p->ring.data, p->ring.mask, p->position, shmr_broadcast_fetch_most(record),
                         p->fetch_ahead, true);
}

static inline void shmr_broadcast_fetch_to_read(const struct shmr_broadcast_consumer *c,
                                                uint64_t record)
{
    shmr_broadcast_fetch(c->ring.data, c->ring.mask, c->position, shmr_broadcast_fetch_most(record),
                         SHMR_BROADCAST_READ_AHEAD, false);
}

/* The ring is empty: fetch the line behind the one polled, as shmr_spsc_fetch_second_line(). */
static inline void shmr_broadcast_fetch_second_line(const struct shmr_broadcast_consumer *c)
{
    if (c->usual <= SHMR_COPY_SHORT)
        shmr_prefetch(c->ring.data + ((c->position + SHMR_LINE) & c->ring.mask));
}

/* ---- The usual length ------------------------------------------------------------------------ */

/* Go on with a length that is known before the header has arrived: as shmr_spsc_expected(). */
static inline ssize_t shmr_broadcast_expected(struct shmr_broadcast_consumer *c, ssize_t len)
{
    if (__builtin_expect(len == c->usual, 1)) {
        len = c->usual;
        __asm__("" : "+r"(len));
    } else {
        c->usual = len;
    }
    return len;
}

#endif
