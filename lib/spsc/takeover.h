/* SPDX-License-Identifier: MIT */
/*
 * SPSC: taking over. A successor goes on where the last producer or consumer left off, or died; and
 * an observer sees what a successor would find. As in ring.h: no system call, bounded.
 */
#ifndef SHMR_SPSC_TAKEOVER_H
#define SHMR_SPSC_TAKEOVER_H

#include "spsc/ring.h"

/*
 * Become the producer, where the last one left off. That one may have died after it published and
 * before it stored its progress: walk over the records that it published since, to the terminator.
 */
static inline int shmr_spsc_resume_producer(struct shmr_spsc_producer *p)
{
    const struct shmr_progress *last = shmr_progress_whole(p->page->progress);
    uint64_t capacity = shmr_spsc_capacity(p->mask), noted;

    p->position = atomic_load_explicit(&last->position, memory_order_relaxed);
    p->bytes = atomic_load_explicit(&last->bytes, memory_order_relaxed);
    p->messages = noted = atomic_load_explicit(&last->messages, memory_order_relaxed);
    p->turn = last == &p->page->progress[0];
    p->high_water = atomic_load_explicit(&p->page->high_water, memory_order_relaxed);
    p->full_events = atomic_load_explicit(&p->page->full_events, memory_order_relaxed);
    /* Read after the position. The consumer, which polls headers, may have passed that position,
     * but by no more than a ring. */
    p->head = shmr_spsc_exact_head(p);
    p->side.damage = "the producer's page: its position does not fit the consumer's";
    if (p->position % 8 != 0 || p->head % 8 != 0 || p->position - p->head + capacity > 2 * capacity)
        return -EBADMSG;
    for (;;) {
        uint32_t header = shmr_spsc_poll(p->data, p->mask, p->position);
        if (header == 0)
            break;
        if (header - 1 > p->max_message) {
            p->side.damage =
                "the header of one of the producer's last records is longer than max_message";
            return -EBADMSG;
        }
        p->position += shmring_record_size(header - 1);
        if ((int64_t)(p->position + SHMR_SPSC_SPARE - p->head) > (int64_t)capacity) {
            p->side.damage = "the producer's last records are longer than the ring";
            return -EBADMSG;
        }
        p->bytes += header - 1;
        p->messages++;
    }
    if (p->position - p->head > capacity)
        return -EBADMSG;
    p->next_sample = p->position;
    p->quick_most = p->max_message < SHMR_COPY_SHORT ? p->max_message : SHMR_COPY_SHORT;
    shmr_spsc_renew_quick(p);
    shmr_stream_start(&p->side.stream, p->messages, p->position);
    p->side.misses = 1; /* full_events does not count a full queue before the first message */
    if (p->messages != noted)
        shmr_progress_store(p->page->progress, &p->turn, p->position, p->bytes,
                            p->messages); /* spsc:R4 */
    return 0;
}

/* Which messages earlier consumers may have seen: the next consumer flags them. */
struct shmr_spsc_seen {
    uint64_t until; /* all messages before this position */
    uint32_t times; /* how often they were seen, at most; exact for the first of these messages */
};

/*
 * What a successor will say that takes over at a position, where the ring has that header. died:
 * the last consumer did not detach, and may have been copying out the message there.
 */
static inline struct shmr_spsc_seen
shmr_spsc_seen_before(const struct shmr_spsc_consumer_page *page, uint64_t mask, uint64_t position,
                      uint32_t header, bool died)
{
    uint64_t seen = atomic_load_explicit(&page->taken, memory_order_relaxed);
    uint64_t again = atomic_load_explicit(&page->redelivered_until, memory_order_relaxed);
    uint64_t times = atomic_load_explicit(&page->redeliveries, memory_order_relaxed);

    if (seen - position > shmr_spsc_capacity(mask))
        seen = position;
    if (died && header != 0 && seen == position)
        seen += shmring_record_size(header - 1);
    if (again - position > shmr_spsc_capacity(mask))
        again = position;
    if (seen != position)
        times = again != position ? times + 1 : 1;
    if (seen - position > again - position)
        again = seen;
    return (struct shmr_spsc_seen){again,
                                   times < UINT32_MAX - 1 ? (uint32_t)times : UINT32_MAX - 1};
}

/*
 * Become the consumer, behind the last message that the last consumer released. The messages that
 * it may have seen beyond that are flagged: all that it noted as taken and, if it died, the message
 * that it may have been copying out.
 */
static inline int shmr_spsc_resume_consumer(struct shmr_spsc_consumer *c,
                                            const struct shmr_spsc_producer_page *producer,
                                            bool died)
{
    const struct shmr_progress *last = shmr_progress_whole(c->page->progress);
    const struct shmr_progress *sent = shmr_progress_whole(producer->progress);
    uint64_t capacity = shmr_spsc_capacity(c->mask);
    uint64_t tail = atomic_load_explicit(&sent->position, memory_order_relaxed);

    c->position = atomic_load_explicit(&last->position, memory_order_relaxed);
    c->bytes = atomic_load_explicit(&last->bytes, memory_order_relaxed);
    c->messages = atomic_load_explicit(&last->messages, memory_order_relaxed);
    shmr_stream_start(&c->side.stream, c->messages, c->position);
    c->turn = last == &c->page->progress[0];
    c->empty_events = atomic_load_explicit(&c->page->empty_events, memory_order_relaxed);
    /* The producer stores its position after publishing: the consumer may have passed it. */
    c->side.damage = "the consumer's page: its position does not fit the producer's";
    if (c->position % 8 != 0 || tail - c->position + capacity > 2 * capacity)
        return -EBADMSG;

    uint32_t header = shmr_spsc_poll(c->data, c->mask, c->position);
    c->side.damage = "the next record's header is longer than max_message";
    if (header != 0 && header - 1 > c->max_message)
        return -EBADMSG;
    const struct shmr_spsc_seen seen =
        shmr_spsc_seen_before(c->page, c->mask, c->position, header, died);
    c->redeliveries = seen.times;
    c->redelivered_until = seen.until;
    atomic_store_explicit(&c->page->redeliveries, seen.times, memory_order_relaxed);
    atomic_store_explicit(&c->page->redelivered_until, seen.until, memory_order_relaxed);

    c->released = c->position;
    c->side.misses = 1; /* empty_events does not count an empty queue before the first message */
    shmr_spsc_note_taken(c);
    shmr_spsc_publish_head(c);
    return 0;
}

/* ---- Observing ------------------------------------------------------------------------------ */

/* How far a queue is: what was sent, and what was received. */
struct shmr_spsc_view {
    struct shmr_progress_copy tail, head;
};

/*
 * Exactly what a successor of the producer would find. The producer may have died after it
 * published and before it stored its progress: then the records that it published since stand
 * between its stored position and the terminator, and the consumer may have passed that position.
 * The producer overwrites no header that the consumer has not passed: so a header counts if the
 * consumer's position, read after it, has not passed it (spsc:F2; as in dump.c). If the producer
 * stores its progress during the walk, it is at work, and its progress record is the answer. The
 * walk ends after at most a ring.
 */
static inline void shmr_spsc_observe(const uint8_t *data, uint64_t mask, uint32_t max_message,
                                     const struct shmr_spsc_producer_page *producer,
                                     const struct shmr_spsc_consumer_page *consumer,
                                     struct shmr_spsc_view *v)
{
    shmr_progress_read(consumer->progress, &v->head);
    shmr_progress_read(producer->progress, &v->tail);

    const uint64_t stored = v->tail.position;
    for (;;) {
        if ((int64_t)(v->head.position - v->tail.position) > 0)
            v->tail = v->head;
        if (v->tail.position % 8 != 0 || v->tail.position - stored >= shmr_spsc_capacity(mask))
            return;
        uint32_t header = shmr_spsc_poll(data, mask, v->tail.position), len = header - 1;
        atomic_thread_fence(memory_order_acquire); /* spsc:F2 */
        shmr_progress_read(consumer->progress, &v->head);
        if ((int64_t)(v->head.position - v->tail.position) > 0)
            continue;
        if (header == 0 || len > max_message ||
            v->tail.position + shmring_record_size(len) + SHMR_SPSC_SPARE - v->head.position >
                shmr_spsc_capacity(mask))
            return;
        const struct shmr_progress *now = shmr_progress_whole(producer->progress);
        if (atomic_load_explicit(&now->position, memory_order_relaxed) != stored) {
            shmr_progress_read(producer->progress, &v->tail);
            if ((int64_t)(v->head.position - v->tail.position) > 0)
                v->tail = v->head;
            return;
        }
        v->tail.position += shmring_record_size(len);
        v->tail.bytes += len;
        v->tail.messages++;
    }
}

#endif
