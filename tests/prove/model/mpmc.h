/* SPDX-License-Identifier: MIT */
/*
 * MPMC in small: N entries and blocks, messages of 8 bytes. The messages of the participant of row
 * r are 10 r + 1, 10 r + 2, and so on.
 *
 * Each participant notes what it has sent and received. When all are done, conserved() takes what
 * is left in the queue and compares.
 */
#ifndef MODEL_MPMC_H
#define MODEL_MPMC_H

#include "model.h"

/* The search looks at every block. HINTS: hints at every position, else one at position 0. */
#define SHMR_MPMC_SEARCH 3
#ifdef HINTS
#define SHMR_MPMC_NEARBY     1
#define SHMR_MPMC_HINT_EVERY 1
#else
#define SHMR_MPMC_NEARBY     2
#define SHMR_MPMC_HINT_EVERY 32
#endif

/* The high-water mark is only a figure: no correctness depends on it. */
#define SHMR_MPMC_SAMPLE_LEAST 0

#include "../../../lib/mpmc/participant.h"

#ifndef N
#define N 2
#endif
#define SHIFT (N == 2 ? 1 : 2)
static_assert(N == 1 << SHIFT, "two or four entries");

/* On the way, positions pass 2^64, their 48 bits in a descriptor and the 40 of a cycle wrap. */
#ifndef START
#define START (UINT64_C(0) - 1)
#endif

/* Most shared accesses of a call in these models. */
#ifndef SEND_STEPS
#define SEND_STEPS 30
#endif
#ifndef RECV_STEPS
#define RECV_STEPS 20
#endif
#define RECOVER_STEPS (40 * N)

/* A queue that has been in use up to START: each block was last published in the entry of its own
 * index. */
#define CYCLE(i) ((((START - N + (((i)-START) & (N - 1))) >> SHIFT) + 1) << SHMR_BLOCK_BITS)

static struct {
    struct shmr_block block;
    uint64_t payload;
} blocks[N] = {
    {{.entry = CYCLE(0) | 0}, 0},
    {{.entry = CYCLE(1) | 1}, 0},
#if N == 4
    {{.entry = CYCLE(2) | 2}, 0},
    {{.entry = CYCLE(3) | 3}, 0},
#endif
};
static _Atomic uint64_t origins[N];
static struct shmr_mpmc_page tail_page = {.hint = START};
static struct shmr_mpmc_page head_page = {.hint = START};

#ifndef ROWS
#define ROWS 4
#endif
static struct shmr_row rows[ROWS];

/* A participant and what it has done. */
struct actor {
    struct shmr_mpmc_participant p;
    uint64_t sent;
    uint64_t history;
};

/* Become the participant of a row, whose cached positions are tail and head; those of the first
 * participants are START. */
static inline void attach_at(struct actor *a, uint32_t row, uint64_t tail, uint64_t head)
{
    struct shmr_mpmc_participant *p = &a->p;
    struct shmr_mpmc *q = &p->queue;

    q->blocks = (uint8_t *)blocks;
    q->origins = origins;
    q->mask = N - 1;
    q->shift = SHIFT;
    q->stride = sizeof blocks[0];
    q->max_message = 8;
    q->me = row;
    q->tail_page = &tail_page;
    q->head_page = &head_page;
    q->scan = 0;
    q->sending.pauses = q->receiving.pauses = 0;
    q->sending.misses = q->receiving.misses = 1;
    q->tail = tail;
    q->head = head;
    p->row = &rows[row];
    p->sent = p->sent_twice = p->received = p->received_twice = 0;
    p->full_events = p->empty_events = 0;
    shmr_stream_start(&q->sending.stream, 0, 0);
    shmr_stream_start(&q->receiving.stream, 0, 0);
    p->now = 0;
    p->reserved.count = 0;
    p->taken = 0;
    a->sent = a->history = 0;
}

static inline void attach(struct actor *a, uint32_t row)
{
    attach_at(a, row, START, START);
}

static inline void attach_later(struct actor *a, uint32_t row)
{
    attach_at(a, row, atomic_load_explicit(&tail_page.hint, memory_order_relaxed),
              atomic_load_explicit(&head_page.hint, memory_order_relaxed));
}

/* ---- What each participant notes
 * -------------------------------------------------------------------- */

/* The messages that the participant of each row knows it has sent. */
static uint64_t sent[ROWS];

/* A delivery is counted once, whichever participant dies during it. */
#ifndef DELIVERIES_BEFORE
#define DELIVERIES_BEFORE 1
#endif

/* What a participant has received: a byte for each message, the last one lowest. Bits 0-5 are the
 * message's number, bits 6-7 the number of deliveries before. */
#define AGAIN     64
#define NUMBER(m) ((m) & (AGAIN - 1))
#define BEFORE(m) ((m) / AGAIN)
static uint64_t history[ROWS];

/* At most once: the messages that recovery has dropped. */
static uint64_t dropped;

static inline bool send(struct actor *a)
{
    uint64_t n = 10 * a->p.queue.me + a->sent + 1;
    int r;

    BOUNDED(SEND_STEPS, r = shmr_mpmc_send(&a->p, &n, 8));
    assert(r == 0 || r == -EAGAIN);
    if (r == 0)
        sent[a->p.queue.me] = ++a->sent;
    return r == 0;
}

static inline void note(struct actor *a, uint64_t n, uint32_t deliveries_before)
{
    assert(deliveries_before <= DELIVERIES_BEFORE);
    a->history = a->history << 8 | n | deliveries_before * AGAIN;
    history[a->p.queue.me] = a->history;
}

/*
 * Peek and release, or receive, from the same functions as the library's calls. Between the two it
 * checks the delivery count and notes the message. False: the queue is empty.
 */
static inline bool receive(struct actor *a)
{
    struct shmr_mine mine;

    BOUNDED(RECV_STEPS, mine = shmr_mpmc_next(&a->p, 8));
    assert(mine.block ? mine.length == 8 : mine.index == -EAGAIN);
    if (!mine.block)
        return false;
    note(a, *(uint64_t *)(void *)shmr_block_payload(mine.block), mine.block->deliveries);
    shmr_mpmc_give_back(&a->p, mine, 8);
    return true;
}

/* Recover the dead one of a row. */
static inline void recover(struct actor *a, uint32_t dead)
{
    struct shmr_recovered report = {0, 0, 0, 0};

    BOUNDED(RECOVER_STEPS, shmr_mpmc_recover(&a->p.queue, dead, &rows[dead], false, &report));
    assert(report.left == 0);
}

/* ---- What must hold at the end --------------------------------------------------------------- */

/*
 * May a consumer receive message b after a? Not if the same sender sent b before a. This is the
 * rule of tests/support/oracle.h without its notes, each of which would be a step for GenMC to
 * explore.
 */
static inline bool in_order(uint64_t a, uint64_t b)
{
    return BEFORE(a | b) || a / 10 != b / 10 || a < b;
}

/*
 * The tallies when no call is running: each row has sent as many messages as came from it and were
 * dropped; all that came were received; each delivery that a death ended was taken back once.
 */
static inline void tallied(const struct shmr_mpmc *q, const uint64_t came[ROWS], uint64_t ended)
{
    uint64_t all = 0, received = 0, taken_back = 0, missing = 0;

    for (uint32_t row = 0; row < ROWS; row++) {
        struct shmr_count s = shmr_mpmc_sent(q, row, &rows[row].sent);
        struct shmr_count r = shmr_mpmc_received(q, row, &rows[row].received);
        uint64_t from = (uint64_t)__builtin_popcountll(came[row]);

        assert(shmr_count_bytes(s) == 8 * s.messages && shmr_count_bytes(r) == 8 * r.messages);
        assert(s.messages >= from);
        missing += s.messages - from;
        all += s.messages;
        received += r.messages;
        taken_back += shmr_mpmc_taken_back(q, row, &rows[row].recovered);
    }
    assert(missing <= dropped);
    assert(received == all - dropped);
    assert(taken_back == ended + dropped);
}

/*
 * Called when no call is running and the dead have been recovered. No message that was sent is
 * lost; none came that was not sent, or twice without the flag; all came in order; every block is
 * free. The dead, a bit for each row, may have sent one more message than they know. `a` takes what
 * is left.
 */
static inline void conserved(struct actor *a, uint32_t dead)
{
    uint64_t first = 0, again = 0; /* a bit for each message that came unflagged, and flagged */
    uint64_t lost = 0, ended = 0;
    uint64_t from[ROWS], before[AGAIN] = {0}; /* how often each was delivered before */

    while (receive(a))
        ;
    for (int i = 0; i < N; i++)
        assert(atomic_load_explicit(&blocks[i].block.descriptor, memory_order_relaxed) ==
               SHMR_FREE);
    for (uint32_t row = 0; row < ROWS; row++) {
        for (uint64_t h = history[row]; h; h >>= 8) {
            uint64_t m = h & 0xff, n = NUMBER(m);
            assert(BEFORE(m) == 0 || dead);
            assert(BEFORE(m) != 0 || (first >> n & 1) == 0);
            if (BEFORE(m))
                again |= UINT64_C(1) << n;
            else
                first |= UINT64_C(1) << n;
            if (BEFORE(m) > before[n])
                before[n] = BEFORE(m);
            for (uint64_t e = h >> 8; e; e >>= 8)
                assert(in_order(e & 0xff, m));
            for (uint64_t l = row == a->p.queue.me ? 0 : a->history; l; l >>= 8)
                assert(in_order(m, l & 0xff));
        }
    }
    for (uint32_t s = 0; s < ROWS; s++) {
        uint64_t came = (first | again) >> (10 * s + 1) & 0x1ff;
        uint64_t sure = (UINT64_C(1) << sent[s]) - 1;
        lost += (uint64_t)__builtin_popcountll(sure & ~came);
        assert((came & ~sure) == 0 || ((dead >> s & 1) && (came & ~sure) == sure + 1));
        from[s] = came;
    }
    assert(lost <= dropped);
    for (uint32_t n = 0; n < AGAIN; n++)
        ended += before[n];
    tallied(&a->p.queue, from, ended);
}

#endif
