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
 * its own header. The consumer looks at the header at its own position: zero means nothing yet.
 * So a message costs the transfer of the line it lives in, and no index is shared on the way.
 *
 * Each side keeps its position, and what it last saw of the other's, in private memory. What it
 * tells about itself goes to its own page: for observers, for its successor if it dies, and for a
 * producer that thinks the ring is full. Why two progress records a side: see struct shmr_progress.
 *
 * Pairs of release and acquire
 *   R1  producer publishes a header            A1  consumer reads the header
 *   R2  consumer publishes head, now and then  A2  producer out of room reads it
 *   R3  consumer stores its exact position     A3  producer still out of room, successor, observer
 *   R4  producer stores its exact position     A4  successor, observer
 *   R5  either writes over its older record    A5  observer
 *
 * The other side may write anything: its words are read once, checked, and lengths never exceed the
 * private max_message. Each function returns after a bounded number of steps. No system call;
 * nothing but memcpy from libc. The functions return 0, a length or a count, or -EAGAIN, -EMSGSIZE,
 * -EINPROGRESS, -EINVAL, and -EBADMSG when the other side wrote what no producer or
 * consumer writes.
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
#include "core/side.h"
#include "spsc/layout.h"
#include "spsc/progress.h"

/* Kept free so that the terminator never overwrites a record. */
#define SHMR_SPSC_SPARE 8

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

/* Two ways to put a long batch into the ring, staged or not: see spsc_batch.h. */
struct shmr_spsc_trial {
    uint64_t ticks[2]; /* a KiB took of late */
    uint32_t turn;     /* batches so far */
};

struct shmr_spsc_producer {
    uint8_t *data;
    uint64_t mask; /* capacity - 1 */
    uint64_t position;
    uint64_t head; /* of what the consumer has released, the most that is known here */
    uint64_t bytes;
    uint64_t messages;
    uint64_t next_sample; /* position at which to look at the high-water mark */
    uint64_t quick_until; /* as far as this there is room, and no sample is due */
    uint64_t fetch_ahead; /* SHMR_SPSC_WRITE_AHEAD, or 0: only what is about to be written */
    struct shmr_spsc_producer_page *page;
    const struct shmr_spsc_consumer_page *consumer;
    uint32_t max_message;
    uint32_t quick_most; /* bytes of the longest message that shmr_spsc_send_quick() takes */
    uint32_t turn;       /* progress record to write next */
    bool reserved;       /* a reservation is open */
    uint32_t reservation;
    struct shmr_side side;
    /* When the high-water mark was last looked at. */
    uint64_t sampled_ticks, sampled_messages;
    uint32_t ticks; /* that SHMR_BACK_OFF_NS lasts for */
    /* For batches. */
    uint8_t *stage; /* SHMR_SPSC_STAGE bytes */
    struct shmr_spsc_trial trial;
    uint64_t high_water;
    uint64_t full_events;
};

struct shmr_spsc_consumer {
    const uint8_t *data;
    uint64_t mask;
    ssize_t usual;     /* length of the last message, a guess at the next one's */
    uint64_t position; /* next record to take */
    uint64_t released; /* behind position by the messages held */
    uint64_t bytes;
    uint64_t messages;
    uint64_t next_publish; /* released position at which to publish head */
    struct shmr_spsc_consumer_page *page;
    uint32_t max_message;
    uint32_t turn;
    struct shmr_side side;
    uint64_t held; /* messages given out by peek: those from released to position */
    uint32_t redeliveries;
    uint64_t redelivered_until;
    uint64_t empty_events;
};

/* A handle's part: of the roles that it has. */
struct shmr_spsc {
    struct shmr_spsc_producer producer;
    struct shmr_spsc_consumer consumer;
};

static inline uint64_t shmr_spsc_capacity(uint64_t mask)
{
    return mask + 1;
}

static inline _Atomic uint32_t *shmr_spsc_header(uint8_t *data, uint64_t mask, uint64_t position)
{
    return (_Atomic uint32_t *)(void *)(data + (position & mask) + 4);
}

static inline uint32_t shmr_spsc_look(const uint8_t *data, uint64_t mask, uint64_t position)
{
    /* A1, pairs with R1 in shmr_spsc_publish: the payload is there when its header is. */
    return atomic_load_explicit(
        (const _Atomic uint32_t *)(const void *)(data + (position & mask) + 4),
        memory_order_acquire);
}

/* ---- Producer ------------------------------------------------------------------------------- */

/* To be called when head or next_sample have changed. */
static inline void shmr_spsc_renew_quick(struct shmr_spsc_producer *p)
{
    const uint64_t room = p->head + shmr_spsc_capacity(p->mask) - SHMR_SPSC_SPARE;

    p->quick_until = (int64_t)(room - p->next_sample) < 0 ? room : p->next_sample;
}

/*
 * Take note of how far the consumer is, if that is news: what it publishes now and then may be
 * older than its exact position. False: it cannot be there.
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

/* The consumer's exact position: where its successor would start, so that nothing is overwritten
 * that will be delivered again. */
static inline uint64_t shmr_spsc_exact_head(const struct shmr_spsc_producer *p)
{
    /* A3, pairs with R3 in shmr_progress_store */
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
 * Out of room as far as is known here: ask the consumer's page. 0, -EAGAIN or -EBADMSG. Patient:
 * nothing else is to be done if there is no room.
 */
__attribute__((noinline)) static int shmr_spsc_find_room(struct shmr_spsc_producer *p,
                                                         uint64_t need, bool patient)
{
    /* A2, pairs with R2 in shmr_spsc_publish_head: what lies before head may be overwritten. */
    if (!shmr_spsc_see_head(p, atomic_load_explicit(&p->consumer->head, memory_order_acquire)))
        return -EBADMSG;
    if (shmr_spsc_has_room(p, need))
        return 0;
    /* The first time, give the consumer time to make more room than for one message. */
    if (patient && p->side.misses == 0)
        shmr_pause(shmr_back_off(&p->side.stream, p->side.pauses, p->messages, p->position,
                                 shmr_spsc_capacity(p->mask)));
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

/* How deep has the ring become? Looked at now and then: it costs the consumer's line. */
__attribute__((noinline)) static void shmr_spsc_sample(struct shmr_spsc_producer *p)
{
    shmr_spsc_choose_ahead(p);
    p->next_sample = p->position + shmr_spsc_capacity(p->mask) / SHMR_SPSC_SAMPLE_FRACTION;
    if (shmr_spsc_see_head(p, shmr_spsc_exact_head(p)))
        shmr_spsc_note_high_water(p, p->position - p->head);
    shmr_spsc_renew_quick(p);
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
 * Copy a message to where there is room for it, and fetch lines of later ones; but a long copy
 * writes whole lines, and gets them faster by itself.
 */
static inline void shmr_spsc_put(const struct shmr_spsc_producer *p, uint64_t position,
                                 const void *msg, size_t len)
{
    const uint64_t record = shmring_record_size((uint32_t)len);

    if (len < SHMR_COPY_LONG)
        shmr_spsc_fetch(p->data, p->mask, position, record, p->fetch_ahead, true);
    shmr_copy(p->data + (position & p->mask) + 8, msg, len);
}

/* Make the records from position to end visible: the first one is len bytes long. */
static inline void shmr_spsc_publish(uint8_t *data, uint64_t mask, uint64_t position, uint32_t len,
                                     uint64_t end)
{
    /* The terminator stands before the header that leads to it (R1) is visible. */
    atomic_store_explicit(shmr_spsc_header(data, mask, end), 0, memory_order_relaxed);
    /* R1: payloads, later headers and terminator before it; pairs with A1 in shmr_spsc_look. */
    atomic_store_explicit(shmr_spsc_header(data, mask, position), len + 1, memory_order_release);
}

/* They are published: go on after them. */
static inline void shmr_spsc_advance(struct shmr_spsc_producer *p, uint64_t end, uint64_t bytes,
                                     uint64_t messages)
{
    bytes += p->bytes;
    messages += p->messages;
    p->position = end;
    p->bytes = bytes;
    p->messages = messages;
    p->side.misses = 0;
    shmr_progress_store(p->page->progress, &p->turn, end, bytes, messages); /* R4 */
}

static inline void shmr_spsc_publish_all(struct shmr_spsc_producer *p, uint32_t len, uint64_t end,
                                         uint64_t bytes, uint64_t messages)
{
    shmr_spsc_publish(p->data, p->mask, p->position, len, end);
    shmr_spsc_advance(p, end, bytes, messages);
    if (__builtin_expect((int64_t)(end - p->next_sample) >= 0, 0))
        shmr_spsc_sample(p);
}

static inline uint8_t *shmr_spsc_payload(const struct shmr_spsc_producer *p, uint64_t position)
{
    return p->data + (position & p->mask) + 8;
}

/*
 * Put a message at a position as nearly every one is put: it is short, and there is room as far as
 * is known here. False: it takes shmr_spsc_room(). No call in it and few registers, and data and
 * mask are the caller's copies, which no store can change: this is what a message costs.
 */
static inline bool shmr_spsc_put_quick(const struct shmr_spsc_producer *p, uint8_t *data,
                                       uint64_t mask, uint64_t position, const void *msg,
                                       size_t len)
{
    if (__builtin_expect(len > p->quick_most, 0))
        return false;

    const uint64_t record = shmring_record_size((uint32_t)len);
    if (__builtin_expect((int64_t)(p->quick_until - position - record) < 0, 0))
        return false;
    shmr_spsc_fetch(data, mask, position, record, p->fetch_ahead, true);
    shmr_copy_short(data + (position & mask) + 8, msg, len);
    return true;
}

/* False: it takes shmr_spsc_send_whole(). */
static inline bool shmr_spsc_send_quick(struct shmr_spsc_producer *p, const void *msg, size_t len)
{
    uint8_t *const data = p->data;
    const uint64_t mask = p->mask, position = p->position;
    const uint64_t end = position + shmring_record_size((uint32_t)len);

    if (__builtin_expect(p->reserved, 0) || !shmr_spsc_put_quick(p, data, mask, position, msg, len))
        return false;
    shmr_spsc_publish(data, mask, position, (uint32_t)len, end);
    shmr_spsc_advance(p, end, len, 1);
    return true;
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

static inline int shmr_spsc_send(struct shmr_spsc_producer *p, const void *msg, size_t len)
{
    return shmr_spsc_send_quick(p, msg, len) ? 0 : shmr_spsc_send_whole(p, msg, len);
}

static inline int shmr_spsc_reserve(struct shmr_spsc_producer *p, size_t len, void **msg)
{
    if (__builtin_expect(p->reserved, 0))
        return -EINPROGRESS;

    int r = shmr_spsc_room(p, 0, len);
    if (__builtin_expect(r < 0, 0))
        return r;
    shmr_spsc_fetch(p->data, p->mask, p->position,
                    shmr_spsc_fetch_most(shmring_record_size((uint32_t)len)), p->fetch_ahead, true);
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
    /* R2: after the last look at the payloads before it; pairs with A2 in shmr_spsc_find_room. */
    atomic_store_explicit(&c->page->head, c->released, memory_order_release);
}

/* Done with everything before `released`. */
static inline void shmr_spsc_retire(struct shmr_spsc_consumer *c, uint64_t released, uint64_t bytes,
                                    uint64_t messages)
{
    bytes += c->bytes;
    messages += c->messages;
    c->released = released;
    c->bytes = bytes;
    c->messages = messages;
    shmr_progress_store(c->page->progress, &c->turn, released, bytes, messages); /* R3 */
    if (__builtin_expect((int64_t)(released - c->next_publish) >= 0, 0))
        shmr_spsc_publish_head(c);
}

/* The ring looks empty: the header at the consumer's position, or 0 if it is. */
__attribute__((noinline)) static uint32_t shmr_spsc_look_again(struct shmr_spsc_consumer *c)
{
    uint32_t header = 0;

    if (c->side.misses == 0) {
        shmr_spsc_publish_head(c);
        /* Right behind the producer, every look takes the line it is writing: fall back. */
        shmr_pause(shmr_back_off(&c->side.stream, c->side.pauses, c->messages, c->position,
                                 shmr_spsc_capacity(c->mask)));
        header = shmr_spsc_look(c->data, c->mask, c->position);
    }
    if (header == 0) {
        if (c->side.misses == 0) {
            c->empty_events++;
            atomic_store_explicit(&c->page->empty_events, c->empty_events, memory_order_relaxed);
        }
        c->side.misses = shmr_missed_again(c->side.misses);
        /* A message that straddles two lines is to arrive in one transfer, not in two. While a long
         * one is written, that line would be taken away again and again. */
        if (c->usual <= SHMR_COPY_SHORT)
            shmr_prefetch(c->data + ((c->position + SHMR_LINE) & c->mask));
    }
    return header;
}

/* Length of the record at c->position, or -EAGAIN, -EBADMSG. Patient: worth waiting a moment for.
 */
static inline ssize_t shmr_spsc_next(struct shmr_spsc_consumer *c, bool patient)
{
    uint32_t header = shmr_spsc_look(c->data, c->mask, c->position);

    if (__builtin_expect(header == 0, 0)) {
        if (!patient)
            return -EAGAIN;
        header = shmr_spsc_look_again(c);
        if (header == 0)
            return -EAGAIN;
    }
    if (__builtin_expect(header - 1 > c->max_message, 0)) {
        c->side.damage = "corrupt: the next record's header is longer than max_message";
        return -EBADMSG;
    }
    c->side.misses = 0;

    ssize_t len = (ssize_t)(header - 1);
    /*
     * Where the next record starts depends on this header, which may still be on its way. If the
     * length is the usual one, go on with the number known already: the processor predicts the
     * branch and looks at the next record without waiting. The empty asm keeps it a branch.
     */
    if (__builtin_expect(len == c->usual, 1)) {
        len = c->usual;
        __asm__("" : "+r"(len));
    } else {
        c->usual = len;
    }
    shmr_spsc_fetch(c->data, c->mask, c->position,
                    shmr_spsc_fetch_most(shmring_record_size((uint32_t)len)), SHMR_SPSC_READ_AHEAD,
                    false);
    return len;
}

static inline const uint8_t *shmr_spsc_message(const struct shmr_spsc_consumer *c,
                                               uint64_t position)
{
    return c->data + (position & c->mask) + 8;
}

/*
 * Look for a message as nearly every one is found: it is there, as long as the last one, short, and
 * fits. False: it takes shmr_spsc_next(). The other half of shmr_spsc_put_quick().
 */
static inline bool shmr_spsc_next_quick(const struct shmr_spsc_consumer *c, const uint8_t *data,
                                        uint64_t mask, uint64_t position, size_t size, size_t *len)
{
    const size_t usual = (size_t)c->usual;

    if (__builtin_expect(shmr_spsc_look(data, mask, position) != (uint32_t)usual + 1, 0))
        return false;
    if (__builtin_expect(usual > SHMR_COPY_SHORT || usual > size, 0))
        return false;
    shmr_spsc_fetch(data, mask, position, shmring_record_size((uint32_t)usual),
                    SHMR_SPSC_READ_AHEAD, false);
    *len = usual;
    return true;
}

/* False: it takes shmr_spsc_recv_whole(). */
static inline bool shmr_spsc_recv_quick(struct shmr_spsc_consumer *c, void *buf, size_t size,
                                        ssize_t *received)
{
    const uint8_t *const data = c->data;
    const uint64_t mask = c->mask, position = c->position;
    size_t len;

    if (__builtin_expect(c->held != 0, 0) ||
        !shmr_spsc_next_quick(c, data, mask, position, size, &len))
        return false;
    shmr_copy_short(buf, data + (position & mask) + 8, len);
    c->position = position + shmring_record_size((uint32_t)len);
    c->side.misses = 0;
    shmr_spsc_retire(c, c->position, len, 1);
    *received = (ssize_t)len;
    return true;
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

static inline ssize_t shmr_spsc_recv(struct shmr_spsc_consumer *c, void *buf, size_t size)
{
    ssize_t len;

    return shmr_spsc_recv_quick(c, buf, size, &len) ? len : shmr_spsc_recv_whole(c, buf, size);
}

/* Tell a successor that the messages before c->position were given out. Before they are: the
 * compiler must not put what follows first; the processor completes one instruction after the
 * other. */
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

    /* The length again, from where nobody but a hostile producer has written since. */
    uint32_t header = shmr_spsc_look(c->data, c->mask, c->released);
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
