/* SPDX-License-Identifier: MIT */
/*
 * SPSC: a byte ring of variable-length records, published in-band.
 *
 * A position counts bytes since the queue's creation and is a multiple of 8. The record at position
 * p is a 4-byte header at (p mod capacity) + 4, then the payload, 8-byte aligned:
 *
 *     p mod capacity       +4             +8                                next p (multiple of 8)
 *     |  end of the last   | length + 1   | payload ...............  pad  |  terminator = 0 ...
 *
 * The producer writes the payload and a zero header behind it (the terminator), then store-releases
 * its own header. The consumer polls the header at its own position: zero means nothing yet.
 * So a message costs the transfer of the line that it stands in, and both sides share no index.
 *
 * Each side keeps its position, and the last position that it read of the other side, in private
 * memory. It stores its progress in its own page: for observers, for its successor if it dies, and
 * for a producer that knows of no room. Why each side has two progress records: see struct
 * shmr_progress.
 *
 * Orderings. Each label stands at the place in the code that it names.
 *
 * spsc:R1 -> spsc:A1
 *     If the consumer's poll (A1) reads a header that the producer published (R1), then it
 *     reads the payload and the terminator that the producer stored before.
 * spsc:R2 -> spsc:A2
 *     If a producer out of room (A2) reads a head that the consumer published (R2), then the
 *     consumer has read all payloads before that head, and the producer may overwrite them.
 * spsc:R3 -> spsc:A3
 *     The same for the consumer's exact position (progress.h), read by a producer that is
 *     still out of room, by a successor, or by an observer.
 * spsc:R4 -> spsc:A4
 *     If a successor or an observer (A4) reads a position that the producer stored (R4), then
 *     it reads the counters that belong to that position.
 * spsc:R5 -> spsc:A5
 *     If an observer (A5) reads a counter of a record that its writer has begun to write again
 *     (R5), then it reads the other record's newer position, too, and starts again.
 * spsc:R3 -> spsc:F1, spsc:F2
 *     If an observer that copies a message (dump.c) reads bytes of a later message in its
 *     place, then after its fence (F1) it reads a position of the consumer (R3) that has
 *     passed the message. F2 in takeover.h is the same for a header.
 *
 * The other side may write anything: each function reads a word of it once and checks it, and no
 * length exceeds the private max_message. Each function returns after a bounded number of steps,
 * makes no system call, and uses nothing but memcpy from libc. It returns 0, a length or a count,
 * or -EAGAIN, -EMSGSIZE, -EINPROGRESS, -EINVAL, and -EBADMSG when the other side wrote what no
 * producer or consumer writes.
 */
#ifndef SHMR_SPSC_H
#define SHMR_SPSC_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <shmring/shmring.h>

#include "base/cpu.h"
#include "core/progress.h"
#include "spsc/tuning.h"

static inline _Atomic uint32_t *shmr_spsc_header(uint8_t *data, uint64_t mask, uint64_t position)
{
    return (_Atomic uint32_t *)(void *)(data + (position & mask) + 4);
}

static inline uint32_t shmr_spsc_poll(const uint8_t *data, uint64_t mask, uint64_t position)
{
    /* spsc:A1, pairs with spsc:R1 in shmr_spsc_publish: the payload is there when its header is. */
    return atomic_load_explicit(
        (const _Atomic uint32_t *)(const void *)(data + (position & mask) + 4),
        memory_order_acquire);
}

/* ---- Producer ------------------------------------------------------------------------------- */

/*
 * Remember the consumer's head if it is newer than the one known here: a published head may be
 * older than the exact position that was read before. False: no consumer can have that head.
 */
static inline bool shmr_spsc_see_head(struct shmr_spsc_producer *p, uint64_t head)
{
    if ((int64_t)(head - p->head) <= 0)
        return true;
    if ((int64_t)(p->position - head) < 0) {
        p->side.damage = "corrupt: the consumer's head is not in the ring";
        return false;
    }
    p->head = head;
    shmr_spsc_renew_quick(p);
    return true;
}

static inline bool shmr_spsc_has_room(const struct shmr_spsc_producer *p, uint64_t need)
{
    return p->position + need - p->head <= shmr_spsc_capacity(p->mask);
}

/* The consumer's exact position. Its successor would start there, so the producer overwrites
 * nothing that will be delivered again. */
static inline uint64_t shmr_spsc_exact_head(const struct shmr_spsc_producer *p)
{
    /* spsc:A3, pairs with spsc:R3 in shmr_progress_store */
    uint64_t a = atomic_load_explicit(&p->consumer->progress[0].position, memory_order_acquire);
    uint64_t b = atomic_load_explicit(&p->consumer->progress[1].position, memory_order_acquire);

    return (int64_t)(a - b) > 0 ? a : b;
}

static inline void shmr_spsc_note_high_water(struct shmr_spsc_producer *p, uint64_t used)
{
    if (used > p->high_water) {
        p->high_water = used;
        atomic_store_explicit(&p->page->high_water, used, memory_order_relaxed);
    }
}

/*
 * The producer knows of no room: read the consumer's page. 0, -EAGAIN or -EBADMSG. patient: without
 * room the caller can do nothing else, so back off once, and count the queue as full.
 */
__attribute__((noinline)) static int shmr_spsc_find_room(struct shmr_spsc_producer *p,
                                                         uint64_t need, bool patient)
{
    /* spsc:A2, pairs with spsc:R2 in shmr_spsc_publish_head: what lies before head may be
     * overwritten. */
    if (!shmr_spsc_see_head(p, atomic_load_explicit(&p->consumer->head, memory_order_acquire)))
        return -EBADMSG;
    if (shmr_spsc_has_room(p, need))
        return 0;
    if (patient && p->side.misses == 0)
        shmr_spsc_back_off_when_full(p);
    if (!shmr_spsc_see_head(p, shmr_spsc_exact_head(p)))
        return -EBADMSG;
    if (shmr_spsc_has_room(p, need))
        return 0;
    if (!patient)
        return -EAGAIN;
    if (p->side.misses == 0) {
        p->full_events++;
        atomic_store_explicit(&p->page->full_events, p->full_events, memory_order_relaxed);
        shmr_spsc_note_high_water(p, p->position - p->head);
    }
    p->side.misses = shmr_missed_again(p->side.misses);
    return -EAGAIN;
}

/* Sample how deep the ring has become, every 1/16 of it: that costs the transfer of the consumer's
 * line. */
__attribute__((noinline)) static void shmr_spsc_sample(struct shmr_spsc_producer *p)
{
    const uint64_t step = shmr_spsc_capacity(p->mask) / SHMR_SPSC_SAMPLE_FRACTION;

    p->fetch_ahead = shmr_choose_ahead(&p->sampled, p->messages, step, p->ticks);
    p->next_sample = p->position + step;
    if (shmr_spsc_see_head(p, shmr_spsc_exact_head(p)))
        shmr_spsc_note_high_water(p, p->position - p->head);
    shmr_spsc_renew_quick(p);
}

/* Room for a message of len bytes at p->position + ahead? */
static inline int shmr_spsc_room(struct shmr_spsc_producer *p, uint64_t ahead, size_t len)
{
    if (__builtin_expect(len > p->max_message, 0))
        return -EMSGSIZE;

    const uint64_t record = shmring_record_size((uint32_t)len);
    if (__builtin_expect(!shmr_spsc_has_room(p, ahead + record + SHMR_SPSC_SPARE), 0)) {
        int r = shmr_spsc_find_room(p, ahead + record + SHMR_SPSC_SPARE, ahead == 0);
        if (r < 0)
            return r;
    }
    return 0;
}

/*
 * Copy a message to a position where there is room, and fetch lines for later messages; but not for
 * a long one: its memcpy writes whole lines, and is faster without.
 */
static inline void shmr_spsc_put(const struct shmr_spsc_producer *p, uint64_t position,
                                 const void *msg, size_t len)
{
    const uint64_t record = shmring_record_size((uint32_t)len);

    if (len < SHMR_COPY_LONG)
        shmr_fetch(p->data, p->mask, position, record, p->fetch_ahead, true);
    shmr_copy(p->data + (position & p->mask) + 8, msg, len);
}

/* Make the records from position to end visible: the first one is len bytes long. */
static inline void shmr_spsc_publish(uint8_t *data, uint64_t mask, uint64_t position, uint32_t len,
                                     uint64_t end)
{
    /* The terminator: a consumer that reads the header stored next (spsc:R1) will read it. */
    atomic_store_explicit(shmr_spsc_header(data, mask, end), 0, memory_order_relaxed);
    /* spsc:R1: after the payloads, the later headers and the terminator; pairs with spsc:A1 in
     * shmr_spsc_poll. */
    atomic_store_explicit(shmr_spsc_header(data, mask, position), len + 1, memory_order_release);
}

/* The records before `end` are published: the producer goes on there. */
static inline void shmr_spsc_advance(struct shmr_spsc_producer *p, uint64_t end, uint64_t bytes,
                                     uint64_t messages)
{
    bytes += p->bytes;
    messages += p->messages;
    p->position = end;
    p->bytes = bytes;
    p->messages = messages;
    p->side.misses = 0;
    shmr_progress_store(p->page->progress, &p->turn, end, bytes, messages); /* spsc:R4 */
}

static inline void shmr_spsc_publish_all(struct shmr_spsc_producer *p, uint32_t len, uint64_t end,
                                         uint64_t bytes, uint64_t messages)
{
    shmr_spsc_publish(p->data, p->mask, p->position, len, end);
    shmr_spsc_advance(p, end, bytes, messages);
    if (__builtin_expect((int64_t)(end - p->next_sample) >= 0, 0))
        shmr_spsc_sample(p);
}

/* The header of a later message of a batch: spsc:R1 makes it visible, with the first message's. */
static inline void shmr_spsc_put_later(uint8_t *data, uint64_t mask, uint64_t position, size_t len)
{
    atomic_store_explicit(shmr_spsc_header(data, mask, position), (uint32_t)len + 1,
                          memory_order_relaxed);
}

static inline uint8_t *shmr_spsc_payload(const struct shmr_spsc_producer *p, uint64_t position)
{
    return p->data + (position & p->mask) + 8;
}

static inline int shmr_spsc_send_whole(struct shmr_spsc_producer *p, const void *msg, size_t len)
{
    if (__builtin_expect(p->reserved, 0))
        return -EINPROGRESS;

    int r = shmr_spsc_room(p, 0, len);
    if (__builtin_expect(r < 0, 0))
        return r;
    shmr_spsc_put(p, p->position, msg, len);
    shmr_spsc_publish_all(p, (uint32_t)len, p->position + shmring_record_size((uint32_t)len), len,
                          1);
    return 0;
}

static inline int shmr_spsc_reserve(struct shmr_spsc_producer *p, size_t len, void **msg)
{
    if (__builtin_expect(p->reserved, 0))
        return -EINPROGRESS;

    int r = shmr_spsc_room(p, 0, len);
    if (__builtin_expect(r < 0, 0))
        return r;
    shmr_fetch_some(p->data, p->mask, p->position, shmring_record_size((uint32_t)len),
                    p->fetch_ahead, true);
    p->reserved = true;
    p->reservation = (uint32_t)len;
    *msg = shmr_spsc_payload(p, p->position);
    return 0;
}

static inline int shmr_spsc_check_reservation(const struct shmr_spsc_producer *p, const void *msg)
{
    return p->reserved && msg == shmr_spsc_payload(p, p->position) ? 0 : -EINVAL;
}

static inline int shmr_spsc_commit(struct shmr_spsc_producer *p, const void *msg, size_t len)
{
    int r = shmr_spsc_check_reservation(p, msg);

    if (__builtin_expect(r < 0, 0))
        return r;
    if (__builtin_expect(len > p->reservation, 0))
        return -EMSGSIZE;
    p->reserved = false;
    shmr_spsc_publish_all(p, (uint32_t)len, p->position + shmring_record_size((uint32_t)len), len,
                          1);
    return 0;
}

static inline int shmr_spsc_cancel(struct shmr_spsc_producer *p, const void *msg)
{
    int r = shmr_spsc_check_reservation(p, msg);

    if (r == 0)
        p->reserved = false;
    return r;
}

/* ---- Consumer ------------------------------------------------------------------------------- */

static inline void shmr_spsc_publish_head(struct shmr_spsc_consumer *c)
{
    c->next_publish = c->released + shmr_spsc_capacity(c->mask) / SHMR_SPSC_PUBLISH_FRACTION;
    /* spsc:R2: after the last read of the payloads before it; pairs with spsc:A2 in
     * shmr_spsc_find_room. */
    atomic_store_explicit(&c->page->head, c->released, memory_order_release);
}

/* The consumer is done with everything before `released`. */
static inline void shmr_spsc_retire(struct shmr_spsc_consumer *c, uint64_t released, uint64_t bytes,
                                    uint64_t messages)
{
    bytes += c->bytes;
    messages += c->messages;
    c->released = released;
    c->bytes = bytes;
    c->messages = messages;
    shmr_progress_store(c->page->progress, &c->turn, released, bytes, messages); /* spsc:R3 */
    if (__builtin_expect((int64_t)(released - c->next_publish) >= 0, 0))
        shmr_spsc_publish_head(c);
}

/* The ring looks empty: after a success, back off and poll again. The header at the consumer's
 * position, or 0 if the ring is empty. */
__attribute__((noinline)) static uint32_t shmr_spsc_poll_again(struct shmr_spsc_consumer *c)
{
    uint32_t header = 0;

    if (c->side.misses == 0) {
        shmr_spsc_publish_head(c);
        shmr_spsc_back_off_when_empty(c);
        header = shmr_spsc_poll(c->data, c->mask, c->position);
    }
    if (header == 0) {
        if (c->side.misses == 0) {
            c->empty_events++;
            atomic_store_explicit(&c->page->empty_events, c->empty_events, memory_order_relaxed);
        }
        c->side.misses = shmr_missed_again(c->side.misses);
        shmr_fetch_second_line(c->data, c->mask, c->position, c->usual);
    }
    return header;
}

/* Length of the record at c->position, or -EAGAIN, -EBADMSG. patient: if the ring looks empty, call
 * shmr_spsc_poll_again(). */
static inline ssize_t shmr_spsc_next(struct shmr_spsc_consumer *c, bool patient)
{
    uint32_t header = shmr_spsc_poll(c->data, c->mask, c->position);

    if (__builtin_expect(header == 0, 0)) {
        if (!patient)
            return -EAGAIN;
        header = shmr_spsc_poll_again(c);
        if (header == 0)
            return -EAGAIN;
    }
    if (__builtin_expect(header - 1 > c->max_message, 0)) {
        c->side.damage = "corrupt: the next record's header is longer than max_message";
        return -EBADMSG;
    }
    c->side.misses = 0;

    ssize_t len = shmr_expected_length(&c->usual, (ssize_t)(header - 1));
    shmr_fetch_some(c->data, c->mask, c->position, shmring_record_size((uint32_t)len),
                    SHMR_READ_AHEAD, false);
    return len;
}

static inline const uint8_t *shmr_spsc_message(const struct shmr_spsc_consumer *c,
                                               uint64_t position)
{
    return c->data + (position & c->mask) + 8;
}

static inline ssize_t shmr_spsc_recv_whole(struct shmr_spsc_consumer *c, void *buf, size_t size)
{
    if (__builtin_expect(c->held != 0, 0))
        return -EINPROGRESS;

    ssize_t len = shmr_spsc_next(c, true);
    if (__builtin_expect(len < 0, 0))
        return len;
    if (__builtin_expect((size_t)len > size, 0))
        return -EMSGSIZE;
    shmr_copy(buf, shmr_spsc_message(c, c->position), (size_t)len);
    c->position += shmring_record_size((uint32_t)len);
    shmr_spsc_retire(c, c->position, (uint64_t)len, 1);
    return len;
}

/* Called before the caller gets messages: note for a successor that all messages before c->position
 * were given out. The signal fence keeps the compiler from moving what follows before the store.
 * The processor needs no fence: at a death, all instructions before the last one are complete. */
static inline void shmr_spsc_note_taken(struct shmr_spsc_consumer *c)
{
    atomic_store_explicit(&c->page->taken, c->position, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

static inline ssize_t shmr_spsc_peek(struct shmr_spsc_consumer *c, const void **msg,
                                     struct shmring_info *info)
{
    ssize_t len = shmr_spsc_next(c, true);
    if (__builtin_expect(len < 0, 0))
        return len;
    if (info) {
        bool again = (int64_t)(c->redelivered_until - c->position) > 0;
        info->deliveries = again ? c->redeliveries + 1 : 1;
        info->flags = again ? SHMRING_REDELIVERED : 0;
        info->position = c->position;
    }
    *msg = shmr_spsc_message(c, c->position);
    c->held++;
    c->position += shmring_record_size((uint32_t)len);
    shmr_spsc_note_taken(c);
    return len;
}

static inline int shmr_spsc_release(struct shmr_spsc_consumer *c, const void *msg)
{
    if (__builtin_expect(c->held == 0 || msg != shmr_spsc_message(c, c->released), 0))
        return -EINVAL;

    /* Read the length again: no producer but a hostile one has written there since. */
    uint32_t header = shmr_spsc_poll(c->data, c->mask, c->released);
    uint64_t next = c->released + shmring_record_size(header - 1);
    /* The last message held is the one that ends at my position. */
    if (__builtin_expect(header - 1 > c->max_message || (int64_t)(c->position - next) < 0 ||
                             (c->held == 1) != (next == c->position),
                         0)) {
        c->side.damage = "corrupt: the header of a message held was overwritten";
        return -EBADMSG;
    }
    c->held--;
    shmr_spsc_retire(c, next, header - 1, 1);
    return 0;
}

#endif
