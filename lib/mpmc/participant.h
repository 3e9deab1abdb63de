/* SPDX-License-Identifier: MIT */
/*
 * MPMC: the operations of a participant, on top of the algorithm in blocks.h: copying, the blocks
 * that it holds between two calls, and its counters. As there: no system call, bounded. The results
 * are those of the operations in spsc/ring.h.
 */
#ifndef SHMR_MPMC_OPS_H
#define SHMR_MPMC_OPS_H

#include <sys/uio.h>

#include "core/segment.h"
#include "mpmc/recovery.h"

/* Blocks reserved and not committed yet, in no particular order. */
struct shmr_held {
    uint32_t count;
    uint32_t block[SHMRING_RESERVED_MAX];
    uint32_t length[SHMRING_RESERVED_MAX];
};

struct shmr_mpmc_participant {
    struct shmr_mpmc queue;
    struct shmr_row *row; /* mine: its counters */
    uint64_t sent, received;
    uint64_t sent_twice, received_twice; /* see struct shmr_count */
    uint64_t full_events, empty_events;
    uint64_t now; /* CLOCK_MONOTONIC, ns, kept up by the caller: for shmr_row.held_since */
    struct shmr_held reserved;
    uint64_t taken; /* messages given out by peek: their blocks' descriptors say that I own them */
};

/* The queue of a segment as the participant of that row sees it, or as an observer does. */
static inline void shmr_mpmc_init(struct shmr_mpmc *q, const struct shmr_geometry *g,
                                  const struct shmr_map *map, uint32_t row)
{
    *q = (struct shmr_mpmc){
        .blocks = map->data,
        .origins = (_Atomic uint64_t *)(void *)(map->data + g->origins),
        .mask = g->capacity - 1,
        .shift = (uint32_t)__builtin_ctzll(g->capacity),
        .stride = g->stride,
        .max_message = g->max_message,
        .me = row,
        .tail_page = (struct shmr_mpmc_page *)(void *)map->producer,
        .head_page = (struct shmr_mpmc_page *)(void *)map->consumer,
    };
    q->tail = atomic_load_explicit(&q->tail_page->hint, memory_order_acquire); /* mpmc:A5 */
    q->head = atomic_load_explicit(&q->head_page->hint, memory_order_acquire);
}

/* The caller holds the row's lock. */
static inline void shmr_mpmc_participant_init(struct shmr_mpmc_participant *p,
                                              const struct shmr_geometry *g,
                                              const struct shmr_map *map, uint32_t row)
{
    struct shmr_row *mine = (struct shmr_row *)(void *)map->table + row;

    *p = (struct shmr_mpmc_participant){.row = mine};
    shmr_mpmc_init(&p->queue, g, map, row);
    shmr_mpmc_settle(&p->queue, row, mine);
    const struct shmr_count sent = shmr_mpmc_sent(&p->queue, row, &mine->sent);
    const struct shmr_count received = shmr_mpmc_received(&p->queue, row, &mine->received);
    p->sent = sent.messages;
    p->sent_twice = sent.twice;
    p->received = received.messages;
    p->received_twice = received.twice;
    p->full_events = atomic_load_explicit(&mine->full_events, memory_order_relaxed);
    p->empty_events = atomic_load_explicit(&mine->empty_events, memory_order_relaxed);
    shmr_stream_start(&p->queue.sending.stream, p->sent, p->sent * g->stride);
    shmr_stream_start(&p->queue.receiving.stream, p->received, p->received * g->stride);
    p->queue.receiving.misses = 1; /* do not count an empty queue before the first message */
    atomic_store_explicit(&mine->held_since, 0, memory_order_relaxed);
}

static inline bool shmr_mpmc_holds_any(const struct shmr_mpmc_participant *p)
{
    return p->reserved.count + p->taken != 0;
}

static inline uint8_t *shmr_block_payload(struct shmr_block *block)
{
    return (uint8_t *)block + sizeof(struct shmr_block);
}

static inline uint8_t *shmr_mpmc_payload(const struct shmr_mpmc *q, uint64_t index)
{
    return shmr_block_payload(shmr_mpmc_block(q, index));
}

static inline void shmr_held_add(struct shmr_held *held, int32_t index, uint32_t len)
{
    held->block[held->count] = (uint32_t)index;
    held->length[held->count] = len;
    held->count++;
}

/* Where msg is in the table, or -EINVAL. */
static inline int shmr_held_find(const struct shmr_held *held, const struct shmr_mpmc *q,
                                 const void *msg)
{
    for (uint32_t i = 0; i < held->count; i++)
        if (msg == shmr_mpmc_payload(q, held->block[i]))
            return (int)i;
    return -EINVAL;
}

static inline struct shmr_mine shmr_held_block(const struct shmr_held *held,
                                               const struct shmr_mpmc *q, int at)
{
    return (struct shmr_mine){.block = shmr_mpmc_block(q, held->block[at]),
                              .index = (int32_t)held->block[at],
                              .length = held->length[at]};
}

static inline void shmr_held_remove(struct shmr_held *held, int at)
{
    held->count--;
    held->block[at] = held->block[held->count];
    held->length[at] = held->length[held->count];
}

static inline void shmr_mpmc_note_held(struct shmr_mpmc_participant *p)
{
    uint64_t held = p->reserved.count + p->taken;

    if (held <= 1)
        atomic_store_explicit(&p->row->held_since, held ? p->now : 0, memory_order_relaxed);
}

/* Count a message that is about to be published: see tally.h. */
static inline void shmr_mpmc_count_sent(struct shmr_mpmc_participant *p, struct shmr_mine mine,
                                        uint64_t len)
{
    p->sent++;
    p->sent_twice += 2 * len + 1;
    shmr_tally_begin(&p->row->sent, (struct shmr_count){p->sent, p->sent_twice},
                     (uint32_t)mine.index);
}

/* The message was not published: take it off again. */
static inline void shmr_mpmc_count_unsent(struct shmr_mpmc_participant *p, uint64_t len)
{
    p->sent--;
    p->sent_twice -= 2 * len + 1;
    shmr_tally_store(&p->row->sent, (struct shmr_count){p->sent, p->sent_twice});
    shmr_tally_end(&p->row->sent);
}

static inline void shmr_mpmc_give_back(struct shmr_mpmc_participant *p, struct shmr_mine mine,
                                       uint64_t len)
{
    p->received++;
    p->received_twice += 2 * len + 1;
    shmr_tally_begin(&p->row->received, (struct shmr_count){p->received, p->received_twice},
                     (uint32_t)mine.index);
    shmr_mpmc_free(mine.block);
    shmr_tally_end(&p->row->received);
}

/* ---- Sending -------------------------------------------------------------------------------- */

__attribute__((noinline)) static struct shmr_mine
shmr_mpmc_own_again(struct shmr_mpmc_participant *p)
{
    struct shmr_mine mine = shmr_mine_none(-EAGAIN);

    if (p->queue.sending.misses == 0) { /* full after a success: let the consumers make some room */
        p->full_events++;
        atomic_store_explicit(&p->row->full_events, p->full_events, memory_order_relaxed);
        shmr_mpmc_back_off_stream(&p->queue.sending, p->sent, p->queue.stride, p->queue.mask + 1);
        mine = shmr_mpmc_own(&p->queue);
        if (SHMR_MPMC_SAMPLE_LEAST != 0 && !mine.block)
            shmr_mpmc_sample(&p->queue);
    }
    if (!mine.block)
        p->queue.sending.misses = shmr_missed_again(p->queue.sending.misses);
    return mine;
}

static inline struct shmr_mine shmr_mpmc_claim(struct shmr_mpmc_participant *p, size_t len)
{
    if (__builtin_expect(len > p->queue.max_message, 0))
        return shmr_mine_none(-EMSGSIZE);
    struct shmr_mine mine = shmr_mpmc_own(&p->queue);
    return __builtin_expect(mine.block != NULL, 1) ? mine : shmr_mpmc_own_again(p);
}

static inline int shmr_mpmc_send(struct shmr_mpmc_participant *p, const void *msg, size_t len)
{
    struct shmr_mine mine = shmr_mpmc_claim(p, len);

    if (__builtin_expect(!mine.block, 0))
        return mine.index;
    shmr_mpmc_fill(mine.block, (uint32_t)len);
    shmr_copy(shmr_block_payload(mine.block), msg, len);
    shmr_mpmc_count_sent(p, mine, len);
    int r = shmr_mpmc_publish(&p->queue, mine, 0);
    if (__builtin_expect(r < 0, 0)) {
        shmr_mpmc_count_unsent(p, len);
        shmr_mpmc_free(mine.block);
        return r;
    }
    shmr_tally_end(&p->row->sent);
    p->queue.sending.misses = 0;
    return 0;
}

static inline int shmr_mpmc_send_batch(struct shmr_mpmc_participant *p, const struct iovec *msgs,
                                       int n)
{
    for (int sent = 0; sent < n; sent++) {
        int r = shmr_mpmc_send(p, msgs[sent].iov_base, msgs[sent].iov_len);
        if (r < 0)
            return sent > 0 ? sent : r;
    }
    return n;
}

static inline int shmr_mpmc_reserve(struct shmr_mpmc_participant *p, size_t len, void **msg)
{
    if (__builtin_expect(p->reserved.count == SHMRING_RESERVED_MAX, 0))
        return -ENOBUFS;
    struct shmr_mine mine = shmr_mpmc_claim(p, len);
    if (__builtin_expect(!mine.block, 0))
        return mine.index;
    shmr_held_add(&p->reserved, mine.index, (uint32_t)len);
    shmr_mpmc_note_held(p);
    *msg = shmr_block_payload(mine.block);
    return 0;
}

static inline int shmr_mpmc_commit(struct shmr_mpmc_participant *p, const void *msg, size_t len)
{
    int at = shmr_held_find(&p->reserved, &p->queue, msg);

    if (__builtin_expect(at < 0, 0))
        return at;
    struct shmr_mine mine = shmr_held_block(&p->reserved, &p->queue, at);
    if (__builtin_expect(len > mine.length, 0))
        return -EMSGSIZE;
    shmr_mpmc_fill(mine.block, (uint32_t)len);
    shmr_mpmc_count_sent(p, mine, len);
    int r = shmr_mpmc_publish(&p->queue, mine, 0);
    if (__builtin_expect(r < 0, 0)) { /* still reserved */
        shmr_mpmc_count_unsent(p, len);
        shmr_mpmc_keep(&p->queue, mine.block);
        return r;
    }
    shmr_tally_end(&p->row->sent);
    p->queue.sending.misses = 0;
    shmr_held_remove(&p->reserved, at);
    shmr_mpmc_note_held(p);
    return 0;
}

static inline int shmr_mpmc_cancel(struct shmr_mpmc_participant *p, const void *msg)
{
    int at = shmr_held_find(&p->reserved, &p->queue, msg);

    if (at < 0)
        return at;
    shmr_mpmc_free(shmr_held_block(&p->reserved, &p->queue, at).block);
    shmr_held_remove(&p->reserved, at);
    shmr_mpmc_note_held(p);
    return 0;
}

/* ---- Receiving ------------------------------------------------------------------------------ */

__attribute__((noinline)) static struct shmr_mine
shmr_mpmc_take_again(struct shmr_mpmc_participant *p, size_t size)
{
    struct shmr_mine mine = shmr_mine_none(-EAGAIN);

    if (p->queue.receiving.misses == 0) {
        p->empty_events++;
        atomic_store_explicit(&p->row->empty_events, p->empty_events, memory_order_relaxed);
        /* Right behind a producer, every poll takes the line that it is writing: back off. */
        shmr_mpmc_back_off_stream(&p->queue.receiving, p->received, p->queue.stride,
                                  p->queue.mask + 1);
        mine = shmr_mpmc_take(&p->queue, size);
    }
    if (!mine.block && mine.index == -EAGAIN)
        p->queue.receiving.misses = shmr_missed_again(p->queue.receiving.misses);
    return mine;
}

static inline struct shmr_mine shmr_mpmc_next(struct shmr_mpmc_participant *p, size_t size)
{
    struct shmr_mine mine = shmr_mpmc_take(&p->queue, size);

    if (__builtin_expect(!mine.block && mine.index == -EAGAIN, 0))
        mine = shmr_mpmc_take_again(p, size);
    if (mine.block)
        p->queue.receiving.misses = 0;
    return mine;
}

static inline ssize_t shmr_mpmc_recv(struct shmr_mpmc_participant *p, void *buf, size_t size)
{
    struct shmr_mine mine = shmr_mpmc_next(p, size);

    if (__builtin_expect(!mine.block, 0))
        return mine.index;
    shmr_copy(buf, shmr_block_payload(mine.block), mine.length);
    shmr_mpmc_give_back(p, mine, mine.length);
    return (ssize_t)mine.length;
}

static inline int shmr_mpmc_recv_batch(struct shmr_mpmc_participant *p, struct iovec *msgs, int n)
{
    for (int received = 0; received < n; received++) {
        size_t size = msgs[received].iov_len;
        struct shmr_mine mine =
            received == 0 ? shmr_mpmc_next(p, size) : shmr_mpmc_take(&p->queue, size);
        if (!mine.block)
            return received > 0 ? received : mine.index;
        shmr_copy(msgs[received].iov_base, shmr_block_payload(mine.block), mine.length);
        msgs[received].iov_len = mine.length;
        shmr_mpmc_give_back(p, mine, mine.length);
    }
    return n;
}

static inline ssize_t shmr_mpmc_peek(struct shmr_mpmc_participant *p, const void **msg,
                                     struct shmring_info *info)
{
    struct shmr_mine mine = shmr_mpmc_next(p, SIZE_MAX);
    if (__builtin_expect(!mine.block, 0))
        return mine.index;
    if (info) {
        uint32_t before = shmr_mpmc_deliveries(mine.block);
        info->deliveries = before < UINT32_MAX ? before + 1 : before;
        info->flags = before ? SHMRING_REDELIVERED : 0;
        info->position = p->queue.head - 1;
        if (before)
            info->position = shmr_whole_position(
                atomic_load_explicit(&p->queue.origins[mine.index], memory_order_relaxed),
                p->queue.head);
    }
    p->taken++;
    shmr_mpmc_note_held(p);
    *msg = shmr_block_payload(mine.block);
    return (ssize_t)mine.length;
}

/* The block whose payload msg is, if peek gave it out to this participant; or none. */
static inline struct shmr_mine shmr_mpmc_given_out(const struct shmr_mpmc *q, const void *msg)
{
    const uint64_t offset = (uintptr_t)msg - (uintptr_t)shmr_mpmc_payload(q, 0);

    if (offset / q->stride > q->mask || offset % q->stride != 0)
        return shmr_mine_none(-EINVAL);
    struct shmr_block *block = shmr_mpmc_block(q, offset / q->stride);
    uint64_t d = atomic_load_explicit(&block->descriptor, memory_order_relaxed);
    if (d != shmr_descriptor(SHMR_OWN | SHMR_M, q->me, d))
        return shmr_mine_none(-EINVAL);
    return (struct shmr_mine){.block = block, .index = (int32_t)(offset / q->stride)};
}

static inline int shmr_mpmc_release(struct shmr_mpmc_participant *p, const void *msg)
{
    struct shmr_mine mine = shmr_mpmc_given_out(&p->queue, msg);

    if (__builtin_expect(!mine.block || p->taken == 0, 0)) /* any peer may write it */
        return -EINVAL;
    shmr_mpmc_give_back(p, mine, atomic_load_explicit(&mine.block->length, memory_order_relaxed));
    p->taken--;
    shmr_mpmc_note_held(p);
    return 0;
}

#endif
