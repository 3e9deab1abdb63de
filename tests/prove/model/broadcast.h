/* SPDX-License-Identifier: MIT */
/*
 * Broadcast in small: messages of 8 bytes, so records of 16. A ring of 256 bytes has 16 of them,
 * each in a chunk of its own, so the horizon moves and a mark is stored with each message. In a
 * ring of 512 bytes a chunk has two. The queue has been in use: the ring is full of messages, and
 * the next horizon is past the oldest of those that are still whole. Message number n has the
 * payload n.
 */
#ifndef MODEL_BROADCAST_H
#define MODEL_BROADCAST_H

#define SHMR_RACY_WORDS 1

#include "model.h"

/* Every message is one word. */
static inline void copy_word(void *to, const void *from, size_t n)
{
    assert(n == 8);
    *(uint64_t *)to = *(const uint64_t *)from;
}
#define memcpy copy_word

/* One message held by peek: then the consumer's private memory is in registers. */
#define SHMRING_PEEKED_MAX 1

#include "broadcast/batch.h"
#include "broadcast/takeover.h"

#define RECORD 16
#ifndef RING
#define RING 256
#endif
#define CHUNK (RING / SHMR_BROADCAST_CHUNKS)

/* Positions start so that they pass 2^64 with the end of the first chunk. */
#define START  (UINT64_C(0) - CHUNK)
#define NUMBER UINT64_C(1000) /* of the message at START */

/* The horizon at the start, and the oldest message that is whole. */
#define HORIZON       (START + CHUNK)
#define OLDEST        (HORIZON - RING)
#define OLDEST_NUMBER (NUMBER - RING / RECORD + CHUNK / RECORD)

/* Rows: the producer's, and one for each consumer. */
#ifndef ROWS
#define ROWS 2
#endif

/* Most shared accesses of a call, whatever the other threads do. */
#define SEND_STEPS 24
#define RECV_STEPS 600
#define JOIN_STEPS 3000

static struct {
    uint32_t unused;
    _Atomic uint32_t header;
    _Atomic uint64_t payload;
} ring[RING / RECORD];
static struct shmr_broadcast_page page;
static struct shmr_row table[ROWS];

/* main() calls this first. What it writes is there before the threads start. */
static inline void fill_ring(void)
{
    for (uint64_t i = 0; i < RING / RECORD; i++) {
        const uint64_t position = START - RING + i * RECORD;
        const uint64_t place = (position % RING) / RECORD;
        __c11_atomic_store(&ring[place].header, i == 0 ? 0 : 8 + 1, memory_order_relaxed);
        __c11_atomic_store(&ring[place].payload, NUMBER - RING / RECORD + i, memory_order_relaxed);
        if (position % CHUNK == 0) {
            struct shmr_broadcast_place *mark = &page.mark[place * RECORD / CHUNK];
            __c11_atomic_store(&mark->number, NUMBER - RING / RECORD + i, memory_order_relaxed);
            __c11_atomic_store(&mark->position, position, memory_order_relaxed);
        }
    }
    for (int i = 0; i < 2; i++) {
        __c11_atomic_store(&page.progress[i].position, START - (uint64_t)i * RECORD,
                           memory_order_relaxed);
        __c11_atomic_store(&page.progress[i].messages, NUMBER - (uint64_t)i, memory_order_relaxed);
        __c11_atomic_store(&page.progress[i].bytes, 8 * (NUMBER - (uint64_t)i),
                           memory_order_relaxed);
    }
    __c11_atomic_store(&page.horizon, HORIZON, memory_order_relaxed);
}

/* ---- The producer ---------------------------------------------------------------------------- */

static inline struct shmr_broadcast_ring the_ring(void)
{
    return (struct shmr_broadcast_ring){
        .data = (uint8_t *)ring, .mask = RING - 1, .page = &page, .max_message = 8};
}

static inline void become_producer(struct shmr_broadcast_producer *p)
{
    p->ring = the_ring();
    p->table = (uint8_t *)table;
    p->rows = ROWS;
    p->side.pauses = 0;
    p->ticks = 0;
    p->fetch_ahead = 0;
    p->sampled = (struct shmr_sample){.ticks = 0};
    p->reserved = false;
    BOUNDED(JOIN_STEPS, assert(shmr_broadcast_resume_producer(p) == 0));
}

/* Send the next message; `who` stands in the upper half of its payload. Returns whether there was
 * room. */
static inline bool send_from(struct shmr_broadcast_producer *p, uint64_t who)
{
    const uint64_t n = p->messages | who << 32;
    int r;

    BOUNDED(SEND_STEPS, r = shmr_broadcast_send(p, &n, sizeof n));
    assert(r == 0 || r == -EAGAIN);
    return r == 0;
}

static inline bool send(struct shmr_broadcast_producer *p)
{
    return send_from(p, 0);
}

static inline bool send_key(struct shmr_broadcast_producer *p)
{
    const uint64_t n = p->messages;
    int r;

    BOUNDED(SEND_STEPS, r = shmr_broadcast_send_as(p, &n, sizeof n, SHMR_BROADCAST_KEY));
    assert(r == 0 || r == -EAGAIN);
    return r == 0;
}

/* ---- Consumers ------------------------------------------------------------------------------- */

static inline void prepare_consumer(struct shmr_broadcast_consumer *c, int index)
{
    c->ring = the_ring();
    c->row = shmr_broadcast_row_at((uint8_t *)table, (uint32_t)(1 + index));
    c->usual = 0;
    c->side.pauses = 0;
    c->reliable = false;
    c->missed_here = 0;
    c->lead = 0;
    c->first = c->held = 0;
}

/* As a consumer that has received all before the position, and last read that horizon. */
static inline void become_consumer_at(struct shmr_broadcast_consumer *c, int index,
                                      uint64_t position, uint64_t number)
{
    prepare_consumer(c, index);
    c->position = position;
    c->number = number;
    c->horizon = HORIZON;
    c->bytes = c->missed = c->steps = 0;
    c->empty_events = 0;
    c->turn = 1;
    shmr_stream_start(&c->side.stream, number, position);
    c->side.misses = 1;
}

/* What a row says while its owner is reliable. */
#define RELIABLE_WORD (UINT64_C(1) << 32 | 1)

/* Attach while the producer is at work. False: the producer lapped each attempt. */
static inline bool join_consumer(struct shmr_broadcast_consumer *c, int index, unsigned flags,
                                 uint64_t reliable)
{
    int r = -EAGAIN;

    prepare_consumer(c, index);
    for (int i = 0; r == -EAGAIN && i < SHMR_BROADCAST_JOIN_TRIES; i++) {
        BOUNDED(JOIN_STEPS, r = shmr_broadcast_start_consumer(c, flags, reliable));
        if (r < 0)
            break;
        if (reliable)
            r = shmr_broadcast_join(c, reliable);
    }
    assert(r == 0 || r == -EAGAIN);
    return r == 0;
}

/*
 * Receive. What comes is the message with the number that the consumer's own count says, whole: its
 * payload is its number, but for the producer's. Returns whether one came. A lap tells the exact
 * number missed: then the consumer's count says so too, and the next message shows that it is
 * right.
 */
static inline bool receive_as(struct shmr_broadcast_consumer *c, uint64_t *payload)
{
    const uint64_t number = c->number;
    uint64_t n = 0;
    ssize_t r;

    BOUNDED(RECV_STEPS, r = shmr_broadcast_recv(c, &n, sizeof n));
    assert(r == 8 || r == -EAGAIN || r == -EOVERFLOW);
    if (r == 8)
        assert((uint32_t)n == number && c->number == number + 1);
    if (r == -EOVERFLOW)
        assert(c->number > number && c->missed_now == c->number - number);
    *payload = n;
    return r == 8;
}

static inline bool receive(struct shmr_broadcast_consumer *c)
{
    uint64_t unused;

    return receive_as(c, &unused);
}

#endif
