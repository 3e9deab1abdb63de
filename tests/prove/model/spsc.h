/* SPDX-License-Identifier: MIT */
/*
 * SPSC in small: messages of 8 bytes, so records of 16, whose header words and payloads always have
 * the same places. A ring of RING bytes has RING / 16 records, one of which is never used. Message
 * number n, from 1 on, has the payload n.
 */
#ifndef MODEL_SPSC_H
#define MODEL_SPSC_H

#include "model.h"

#include "../../../lib/spsc/batch.h"
#include "../../../lib/spsc/takeover.h"

#ifndef RING
#define RING 32
#endif

/* Positions start so that they pass 2^64. */
#define START  (UINT64_C(0) - 16)
#define RECORD 16

/* Most shared accesses of a call, whatever the other threads do. */
#define SEND_STEPS     20
#define RECV_STEPS     20
#define TAKEOVER_STEPS 40
#define OBSERVE_STEPS  80

/* A queue that has been in use up to START. */
static uint64_t ring[RING / 8];
static struct shmr_spsc_producer_page producer_page = {
    .progress = {{.position = START}, {.position = START - RECORD}},
};
static struct shmr_spsc_consumer_page consumer_page = {
    .head = START,
    .progress = {{.position = START}, {.position = START - RECORD}},
    .taken = START,
    .redelivered_until = START,
};

/* Private memory starts as the library starts it. */
static inline void become_producer(struct shmr_spsc_producer *p)
{
    p->data = (uint8_t *)ring;
    p->mask = RING - 1;
    p->max_message = 8;
    p->page = &producer_page;
    p->consumer = &consumer_page;
    p->side.misses = 0;
    p->side.pauses = 0;
    p->ticks = 0;
    p->sampled = (struct shmr_sample){.ticks = 0};
    p->reserved = false;
    BOUNDED(TAKEOVER_STEPS, assert(shmr_spsc_resume_producer(p) == 0));
}

static inline void become_consumer(struct shmr_spsc_consumer *c, bool died)
{
    c->data = (const uint8_t *)ring;
    c->mask = RING - 1;
    c->max_message = 8;
    c->page = &consumer_page;
    c->usual = 0;
    c->side.pauses = 0;
    c->held = 0;
    BOUNDED(TAKEOVER_STEPS, assert(shmr_spsc_resume_consumer(c, &producer_page, died) == 0));
}

static inline int send(struct shmr_spsc_producer *p, uint64_t n)
{
    int r;

    BOUNDED(SEND_STEPS, r = shmr_spsc_send(p, &n, sizeof n));
    assert(r == 0 || r == -EAGAIN);
    return r;
}

/* The next message, or 0. */
static inline uint64_t receive(struct shmr_spsc_consumer *c)
{
    uint64_t n = 0;
    ssize_t r;

    BOUNDED(RECV_STEPS, r = shmr_spsc_recv(c, &n, sizeof n));
    assert(r == 8 || r == -EAGAIN);
    return r == 8 ? n : 0;
}

/* The number of messages sent, as an observer finds it while there is no producer. */
static inline uint64_t observed(void)
{
    struct shmr_spsc_view view;

    BOUNDED(OBSERVE_STEPS, shmr_spsc_observe((const uint8_t *)ring, RING - 1, 8, &producer_page,
                                             &consumer_page, &view));
    assert(view.tail.position == START + RECORD * view.tail.messages);
    assert(view.head.position == START + RECORD * view.head.messages);
    assert(view.tail.bytes == 8 * view.tail.messages && view.head.messages <= view.tail.messages);
    return view.tail.messages;
}

/* The count of the producer, or of the consumer, when no call is running. */
static inline uint64_t counted(const struct shmr_progress progress[2])
{
    struct shmr_progress_copy copy;

    assert(shmr_progress_read(progress, &copy));
    assert(copy.position == START + RECORD * copy.messages && copy.bytes == 8 * copy.messages);
    return copy.messages;
}

#endif
