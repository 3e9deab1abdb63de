/* SPDX-License-Identifier: MIT */
/*
 * Broadcast: a byte ring of variable-length records, which one producer writes and any number of
 * consumers read.
 *
 * The bytes are those of an spsc ring (spsc/ring.h): a header of 4 bytes at (p mod capacity) + 4,
 * the payload, and a zero header behind it, the terminator. A message is published by its header.
 * In addition a header has SHMR_BROADCAST_KEY if its message is a key message.
 *
 * The producer goes round and asks no consumer. So a consumer copies a message first, and then
 * finds out whether the producer had begun to overwrite it. For that the page has the horizon: the
 * producer may have written all bytes before it, and no byte behind it. It moves the horizon by
 * chunks, 1/16 of the ring, so that the horizon is in every consumer's cache nearly always.
 *
 *     producer, record p..end                     consumer at q, which is message n
 *     if end + 8 > horizon:                       h = header[q]                    A1
 *         a reliable consumer in the way? J2      copy the payload
 *         horizon = end + 8, rounded up   R7      fence acquire                    C1
 *         fence seq_cst                   W1      whole if horizon - capacity <= q
 *     payload; header[end] = 0                    whole, h != 0: message n; go on behind it
 *     header[p] = length + 1              R1      whole, h == 0: there is none yet
 *     first of its chunk: mark[] = n, p   R2      not whole: lapped; go to a mark that is whole;
 *     progress                            R4          missed += its number - n
 *
 * A record, or what of a batch is published at once, takes at most a quarter of the ring. So there
 * always are marks that are whole. Marks name records that are published: a consumer that goes to
 * one finds a header there.
 *
 * Reliable consumers. A reliable consumer's row has the position up to which it has released
 * (R3). The producer keeps the horizon within a capacity of the least of these positions. It need
 * not read the rows for each chunk: after a scan of all rows its `limit` is the least position that
 * it found, or its own position, if that is less. A consumer that attaches later starts at the
 * tail, which is not before that position, if the scan did not find it (J1, J2).
 *
 * Orderings. Each label stands at the place in the code that it names.
 *
 * cast:R1 -> cast:A1
 *     If a consumer's poll (A1) reads a header that the producer published (R1), then it reads the
 *     payload and the terminator that the producer stored before, or what it stored later.
 * cast:W1 -> cast:C1
 *     If a consumer's copy, or its poll, reads a byte that the producer stored for a later lap,
 *     then its load of the horizon behind its fence (C1) reads the horizon of that lap, which the
 *     producer stored before its fence (W1): both are fences, so a store behind the one that is
 *     read before the other one synchronises them.
 *     A release fence or a release store is not enough for W1: neither keeps later stores behind
 *     earlier ones on x86, where memcpy may use non-temporal stores.
 * cast:R2 -> cast:A2
 *     If a consumer (A2) reads the position of a mark (R2), then it reads the number that belongs
 *     to it, or one of a later lap, which it finds out by W1 -> C1.
 * cast:R3 -> cast:A3
 *     If the producer (A3) reads a position that a reliable consumer stored (R3), then that
 *     consumer has read all payloads before the position, and the producer may overwrite them.
 * cast:R4 -> cast:A4, cast:R5 -> cast:A5
 *     As spsc:R4 and spsc:R5: if a reader of a progress record (A4) reads its position (R4), then
 *     it reads the counters that belong to it. If it reads one that is rewritten (R5), then it
 *     also reads that the other record is the whole one (A5). Likewise for a consumer's records,
 *     and for the places of key messages.
 * cast:R6 -> cast:A6
 *     If a consumer (A6) reads the number of a key message (R6), then it reads its position, and
 *     its header.
 * cast:R7 -> cast:A7
 *     If a consumer that looks for the oldest message (A7) reads a horizon (R7), then it reads the
 *     marks that the producer stored before.
 * cast:J1, cast:J2
 *     Store buffering. A consumer that becomes reliable says so, fences (J1), and then finds the
 *     tail. The producer fences (J2), and then reads the rows. If the producer does not read that
 *     the consumer is reliable, then the consumer's tail is not before the position that the
 *     producer had at its scan.
 *
 * The other side may write anything: each function reads a word of it once and checks it, and no
 * length exceeds the private max_message. Each function returns after a bounded number of steps,
 * makes no system call, and uses nothing but memcpy from libc. It returns 0, a length or a count,
 * or -EAGAIN, -EMSGSIZE, -EINPROGRESS, -EINVAL, -ENOBUFS, -EOVERFLOW, and -EBADMSG when the other
 * side wrote what no producer or consumer writes.
 */
#ifndef SHMR_BROADCAST_RING_H
#define SHMR_BROADCAST_RING_H

#include "broadcast/places.h"
#include "broadcast/racy.h"
#include "broadcast/tuning.h"

static inline uint8_t *shmr_broadcast_payload(const struct shmr_broadcast_ring *ring,
                                              uint64_t position)
{
    return ring->data + (position & ring->mask) + 8;
}

/* ---- The producer's page --------------------------------------------------------------------- */

static inline void shmr_broadcast_store_progress(struct shmr_broadcast_producer *p)
{
    p->next_progress = p->position + shmr_broadcast_progress_step(&p->ring);
    shmr_progress_store(p->ring.page->progress, &p->turn, p->position, p->bytes,
                        p->messages); /* cast:R4 */
}

/* Message `number` at the position is the first of its chunk, and is published. */
static inline void shmr_broadcast_store_mark(struct shmr_broadcast_producer *p, uint64_t position,
                                             uint64_t number)
{
    const uint64_t chunk = (position & p->ring.mask) / shmr_broadcast_chunk(&p->ring);
    struct shmr_broadcast_place *mark = &p->ring.page->mark[chunk];

    atomic_store_explicit(&mark->number, number, memory_order_relaxed);
    /* cast:R2, pairs with cast:A2 in shmr_broadcast_read_marks */
    atomic_store_explicit(&mark->position, position, memory_order_release);
}

/* The same for a key message. */
static inline void shmr_broadcast_store_key(struct shmr_broadcast_producer *p, uint64_t position,
                                            uint64_t number)
{
    struct shmr_broadcast_place *key = &p->ring.page->key[p->key_turn];

    p->key_turn ^= 1;
    atomic_store_explicit(&key->position, position, memory_order_release); /* cast:R5 */
    /* cast:R6, pairs with cast:A6 in shmr_broadcast_key_whole */
    atomic_store_explicit(&key->number, number + 1, memory_order_release);
}

/* ---- Reliable consumers ---------------------------------------------------------------------- */

/* The producer does not wait for that owner of the row any more. False: the word has changed. */
static inline bool shmr_broadcast_strike(struct shmr_broadcast_producer *p, uint32_t row,
                                         uint64_t reliable)
{
    return atomic_compare_exchange_strong_explicit(&shmr_broadcast_row_at(p->table, row)->reliable,
                                                   &reliable, UINT64_C(0), memory_order_relaxed,
                                                   memory_order_relaxed);
}

/* Read one row. False: it has changed meanwhile, so read it again. A row with a position that no
 * consumer can have is struck off, so it does not hold up the producer. */
static inline bool shmr_broadcast_scan_row(struct shmr_broadcast_producer *p, uint32_t index)
{
    const struct shmr_broadcast_row *row = shmr_broadcast_row_at(p->table, index);
    const uint64_t reliable = atomic_load_explicit(&row->reliable, memory_order_acquire);

    if (reliable == 0)
        return true;
    /* cast:A3, pairs with cast:R3 in shmr_broadcast_retire: all before it may be overwritten. */
    const uint64_t position = atomic_load_explicit(&row->position, memory_order_acquire);
    /* A consumer that starts with the oldest message may be lapped once before it is seen. One that
     * has stopped while it attached may be further behind: it finds that it was struck off. */
    if (position % 8 != 0 || p->position - position > 2 * shmr_broadcast_capacity(&p->ring))
        return shmr_broadcast_strike(p, index, reliable);
    if ((int64_t)(position - p->limit) < 0 || p->holder.row == 0) {
        p->holder = (struct shmr_broadcast_holder){index, reliable, position};
        if ((int64_t)(position - p->limit) < 0)
            p->limit = position;
    }
    return true;
}

/* How far may the horizon move? Read all rows. */
static inline void shmr_broadcast_scan(struct shmr_broadcast_producer *p)
{
    p->limit = p->position;
    p->holder.row = 0;
    atomic_thread_fence(memory_order_seq_cst); /* cast:J2 */
    for (uint32_t i = SHMR_BROADCAST_FIRST_CONSUMER; i < p->rows; i++)
        for (int try = 0; try < SHMR_BROADCAST_TRIES && !shmr_broadcast_scan_row(p, i); try++)
            ;
    const uint64_t used = p->position - p->limit;
    if (used > p->high_water) {
        p->high_water = used;
        atomic_store_explicit(&p->ring.page->high_water, used, memory_order_relaxed);
    }
}

/* Has the consumer that held the producer up moved, or is it not reliable any more? */
static inline bool shmr_broadcast_holder_has_moved(const struct shmr_broadcast_producer *p)
{
    const struct shmr_broadcast_holder *h = &p->holder;

    if (h->row == 0)
        return true;
    const struct shmr_broadcast_row *row = shmr_broadcast_row_at(p->table, h->row);
    return atomic_load_explicit(&row->reliable, memory_order_relaxed) != h->reliable ||
           atomic_load_explicit(&row->position, memory_order_relaxed) != h->position;
}

/* ---- Producer: room -------------------------------------------------------------------------- */

/* Call this whenever horizon, next_mark or next_progress has changed. */
static inline void shmr_broadcast_renew_quick(struct shmr_broadcast_producer *p)
{
    uint64_t until = p->horizon - SHMR_BROADCAST_SPARE;

    if ((int64_t)(p->next_mark - until) < 0)
        until = p->next_mark;
    if ((int64_t)(p->next_progress - until) < 0)
        until = p->next_progress;
    p->quick_until = until;
}

/* The horizon that a record needs which ends there. */
static inline uint64_t shmr_broadcast_wants(const struct shmr_broadcast_producer *p, uint64_t end)
{
    const uint64_t chunk = shmr_broadcast_chunk(&p->ring);

    return (end + SHMR_BROADCAST_SPARE + chunk - 1) & ~(chunk - 1);
}

/* Store the horizon, before the first store of a byte that was behind the last one. */
static inline void shmr_broadcast_move_horizon(struct shmr_broadcast_producer *p, uint64_t horizon)
{
    p->horizon = horizon;
    /* cast:R7, pairs with cast:A7 in shmr_broadcast_find_oldest */
    atomic_store_explicit(&p->ring.page->horizon, horizon, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst); /* cast:W1, pairs with cast:C1 */
}

static inline bool shmr_broadcast_may_move(const struct shmr_broadcast_producer *p,
                                           uint64_t horizon)
{
    return (int64_t)(p->limit + shmr_broadcast_capacity(&p->ring) - horizon) >= 0;
}

/* Move the horizon, so that a record may end at `end`. 0 or -EAGAIN. patient: without room the
 * caller can do nothing else, so back off once, and count the queue as full. */
__attribute__((noinline)) static int shmr_broadcast_find_room(struct shmr_broadcast_producer *p,
                                                              uint64_t end, bool patient)
{
    const uint64_t horizon = shmr_broadcast_wants(p, end);

    if (p->rows > SHMR_BROADCAST_FIRST_CONSUMER && !shmr_broadcast_may_move(p, horizon)) {
        if (p->side.misses == 0 || shmr_broadcast_holder_has_moved(p))
            shmr_broadcast_scan(p);
        if (!shmr_broadcast_may_move(p, horizon) && patient && p->side.misses == 0) {
            shmr_broadcast_back_off_when_full(p);
            shmr_broadcast_scan(p);
        }
        if (!shmr_broadcast_may_move(p, horizon)) {
            if (!patient)
                return -EAGAIN;
            if (p->side.misses == 0) {
                p->full_events++;
                atomic_store_explicit(&p->ring.page->full_events, p->full_events,
                                      memory_order_relaxed);
            }
            p->wanted = horizon;
            p->side.misses = shmr_missed_again(p->side.misses);
            return -EAGAIN;
        }
    }
    p->fetch_ahead = shmr_choose_ahead(&p->sampled, p->messages, horizon - p->horizon, p->ticks);
    shmr_broadcast_move_horizon(p, horizon);
    shmr_broadcast_renew_quick(p);
    return 0;
}

/* Room for a message of len bytes at p->position + ahead? */
static inline int shmr_broadcast_room(struct shmr_broadcast_producer *p, uint64_t ahead, size_t len)
{
    if (__builtin_expect(len > p->ring.max_message, 0))
        return -EMSGSIZE;

    const uint64_t end = p->position + ahead + shmring_record_size((uint32_t)len);
    return (int64_t)(p->horizon - SHMR_BROADCAST_SPARE - end) >= 0
               ? 0
               : shmr_broadcast_find_room(p, end, ahead == 0);
}

/* ---- Producer: sending ----------------------------------------------------------------------- */

/* Copy a message to a position where there is room. */
static inline void shmr_broadcast_put(const struct shmr_broadcast_producer *p, uint64_t position,
                                      const void *msg, size_t len)
{
    if (len < SHMR_COPY_LONG)
        shmr_fetch(p->ring.data, p->ring.mask, position, shmring_record_size((uint32_t)len),
                   p->fetch_ahead, true);
    shmr_racy_copy_in(shmr_broadcast_payload(&p->ring, position), msg, len);
}

/* Make the records from position to end visible; `header`: that of the first. */
static inline void shmr_broadcast_publish(const struct shmr_broadcast_ring *ring, uint64_t position,
                                          uint32_t header, uint64_t end)
{
    /* The terminator: a consumer that reads the header stored next (cast:R1) will read it. */
    atomic_store_explicit(shmr_broadcast_header(ring, end), 0, memory_order_relaxed);
    /* cast:R1: after the payloads, the later headers and the terminator; pairs with cast:A1 in
     * shmr_broadcast_poll. */
    atomic_store_explicit(shmr_broadcast_header(ring, position), header, memory_order_release);
}

/* Message `number` is to be published at the position: is it the first of its chunk? Then count it
 * among those for which shmr_broadcast_note() stores a mark. */
struct shmr_broadcast_starts {
    struct {
        uint64_t position, number;
    } at[SHMR_BROADCAST_CHUNKS / SHMR_BROADCAST_MOST_FRACTION + 3];
    unsigned count;
    uint64_t next; /* a record that starts here or later is the first of its chunk */
};

static inline void shmr_broadcast_note_start(struct shmr_broadcast_starts *s, uint64_t chunk,
                                             uint64_t position, uint64_t number)
{
    if ((int64_t)(position - s->next) < 0 || s->count == sizeof s->at / sizeof s->at[0])
        return;
    s->at[s->count].position = position;
    s->at[s->count].number = number;
    s->count++;
    s->next = (position | (chunk - 1)) + 1;
}

/* Store the marks of records that were published, and the progress if it is due. */
static inline void shmr_broadcast_note(struct shmr_broadcast_producer *p,
                                       const struct shmr_broadcast_starts *s)
{
    for (unsigned i = 0; i < s->count; i++)
        shmr_broadcast_store_mark(p, s->at[i].position, s->at[i].number);
    p->next_mark = s->next;
    if ((int64_t)(p->position - p->next_progress) >= 0)
        shmr_broadcast_store_progress(p);
    shmr_broadcast_renew_quick(p);
}

/* One message of len bytes stands at p->position: publish it, and go on behind it. */
static inline void shmr_broadcast_publish_one(struct shmr_broadcast_producer *p, uint32_t len,
                                              uint32_t key)
{
    struct shmr_broadcast_starts starts = {.count = 0, .next = p->next_mark};
    const uint64_t position = p->position, number = p->messages;
    const uint64_t end = position + shmring_record_size(len);

    shmr_broadcast_note_start(&starts, shmr_broadcast_chunk(&p->ring), position, number);
    shmr_broadcast_publish(&p->ring, position, (len + 1) | key, end);
    p->position = end;
    p->messages = number + 1;
    p->bytes += len;
    p->side.misses = 0;
    if (key)
        shmr_broadcast_store_key(p, position, number);
    shmr_broadcast_note(p, &starts);
}

/* key: SHMR_BROADCAST_KEY or 0. */
static inline int shmr_broadcast_send_as(struct shmr_broadcast_producer *p, const void *msg,
                                         size_t len, uint32_t key)
{
    if (__builtin_expect(p->reserved, 0))
        return -EINPROGRESS;

    int r = shmr_broadcast_room(p, 0, len);
    if (__builtin_expect(r < 0, 0))
        return r;
    shmr_broadcast_put(p, p->position, msg, len);
    shmr_broadcast_publish_one(p, (uint32_t)len, key);
    return 0;
}

static inline int shmr_broadcast_send_whole(struct shmr_broadcast_producer *p, const void *msg,
                                            size_t len)
{
    return shmr_broadcast_send_as(p, msg, len, 0);
}

static inline int shmr_broadcast_reserve(struct shmr_broadcast_producer *p, size_t len, void **msg)
{
    if (__builtin_expect(p->reserved, 0))
        return -EINPROGRESS;

    int r = shmr_broadcast_room(p, 0, len);
    if (__builtin_expect(r < 0, 0))
        return r;
    shmr_fetch_some(p->ring.data, p->ring.mask, p->position, shmring_record_size((uint32_t)len),
                    p->fetch_ahead, true);
    p->reserved = true;
    p->reservation = (uint32_t)len;
    *msg = shmr_broadcast_payload(&p->ring, p->position);
    return 0;
}

static inline int shmr_broadcast_check_reservation(const struct shmr_broadcast_producer *p,
                                                   const void *msg)
{
    return p->reserved && msg == shmr_broadcast_payload(&p->ring, p->position) ? 0 : -EINVAL;
}

static inline int shmr_broadcast_commit_as(struct shmr_broadcast_producer *p, const void *msg,
                                           size_t len, uint32_t key)
{
    int r = shmr_broadcast_check_reservation(p, msg);

    if (__builtin_expect(r < 0, 0))
        return r;
    if (__builtin_expect(len > p->reservation, 0))
        return -EMSGSIZE;
    p->reserved = false;
    shmr_broadcast_publish_one(p, (uint32_t)len, key);
    return 0;
}

static inline int shmr_broadcast_commit(struct shmr_broadcast_producer *p, const void *msg,
                                        size_t len)
{
    return shmr_broadcast_commit_as(p, msg, len, 0);
}

static inline int shmr_broadcast_cancel(struct shmr_broadcast_producer *p, const void *msg)
{
    int r = shmr_broadcast_check_reservation(p, msg);

    if (r == 0)
        p->reserved = false;
    return r;
}

/* ---- Consumer: is it whole? ------------------------------------------------------------------ */

/* The horizon is not the one that the consumer has read last, or is not behind the record. 0: the
 * record is whole. Or -EOVERFLOW, -EBADMSG. */
__attribute__((noinline)) static int shmr_broadcast_judge(struct shmr_broadcast_consumer *c,
                                                          uint64_t horizon, uint64_t position,
                                                          uint64_t end)
{
    c->side.damage = "corrupt: the horizon is not at the end of a chunk";
    if (horizon % shmr_broadcast_chunk(&c->ring) != 0)
        return -EBADMSG;
    c->side.damage = "corrupt: the horizon has gone back";
    if ((int64_t)(horizon - c->horizon) < 0)
        return -EBADMSG;
    if (!shmr_broadcast_is_before(&c->ring, position, horizon))
        return -EOVERFLOW;
    c->side.damage = "corrupt: the next record is not before the horizon";
    if ((int64_t)(horizon - end) < SHMR_BROADCAST_SPARE)
        return -EBADMSG;
    c->horizon = horizon;
    return 0;
}

/* After all reads of the record from c->position to end: was it whole then? As
 * shmr_broadcast_judge(). Without a record, end is c->position - 8. */
static inline int shmr_broadcast_check_whole(struct shmr_broadcast_consumer *c, uint64_t end)
{
    atomic_thread_fence(memory_order_acquire); /* cast:C1, pairs with cast:W1 */
    const uint64_t horizon = shmr_broadcast_horizon(&c->ring);

    return __builtin_expect(
               horizon == c->horizon && (int64_t)(horizon - end) >= SHMR_BROADCAST_SPARE, 1)
               ? 0
               : shmr_broadcast_judge(c, horizon, c->position, end);
}

/* ---- Consumer: what it has done -------------------------------------------------------------- */

static inline void shmr_broadcast_store_record(struct shmr_broadcast_consumer *c)
{
    struct shmr_broadcast_record *mine = &c->row->record[c->turn];

    c->turn ^= 1;
    /* cast:R5, pairs with cast:A5 in shmr_broadcast_read_record */
    atomic_store_explicit(&mine->bytes, c->bytes, memory_order_release);
    atomic_store_explicit(&mine->missed, c->missed, memory_order_release);
    /* cast:R4: this makes the record whole; pairs with cast:A4. */
    atomic_store_explicit(&mine->steps, c->steps, memory_order_release);
}

/* All before this position is released. */
static inline uint64_t shmr_broadcast_released(const struct shmr_broadcast_consumer *c)
{
    return c->held ? c->peeked[c->first].position : c->position;
}

/* A reliable consumer lets the producer overwrite what it has released. */
static inline void shmr_broadcast_store_position(struct shmr_broadcast_consumer *c)
{
    /* cast:R3: after the last read of the payloads before it; pairs with cast:A3 in
     * shmr_broadcast_scan_row. */
    if (c->reliable)
        atomic_store_explicit(&c->row->position, shmr_broadcast_released(c), memory_order_release);
}

/* That many messages are received, and released. */
static inline void shmr_broadcast_retire(struct shmr_broadcast_consumer *c, uint64_t bytes,
                                         uint64_t messages)
{
    c->bytes += bytes;
    c->steps += messages;
    shmr_broadcast_store_record(c);
    shmr_broadcast_store_position(c);
}

static inline void shmr_broadcast_miss(struct shmr_broadcast_consumer *c, uint64_t messages)
{
    c->missed_now = messages;
    c->missed_here += messages;
    c->missed += messages;
    c->steps += messages;
    shmr_broadcast_store_record(c);
    shmr_broadcast_store_position(c);
}

/* A reliable consumer that started before what it was promised was lapped, and the mark is behind
 * that: go there rather. Unless the producer does not wait for it any more, that place is whole. */
static inline void shmr_broadcast_keep_promise(const struct shmr_broadcast_consumer *c,
                                               struct shmr_broadcast_at *at)
{
    if (c->reliable && (int64_t)(c->promised.position - c->position) > 0 &&
        (int64_t)(at->position - c->promised.position) > 0 &&
        shmr_broadcast_is_before(&c->ring, c->promised.position, at->horizon)) {
        at->position = c->promised.position;
        at->number = c->promised.number;
    }
}

/* The producer has lapped the consumer: go on with a mark ahead of it. -EOVERFLOW, or -EAGAIN: the
 * producer is too fast at the moment; or -EBADMSG. */
__attribute__((noinline)) static int shmr_broadcast_lapped(struct shmr_broadcast_consumer *c)
{
    struct shmr_broadcast_at at;
    const uint64_t lead = shmr_broadcast_lead(c);
    int r = shmr_broadcast_find_oldest(&c->ring, lead, &at);

    if (r < 0) {
        c->side.damage = at.damage;
        c->side.misses = shmr_missed_again(c->side.misses);
        return r;
    }
    shmr_broadcast_keep_promise(c, &at);
    const uint64_t missed = at.number - c->number, bytes = at.position - c->position;
    c->side.damage = "corrupt: a mark's number does not fit its position";
    if ((int64_t)bytes <= 0 || missed == 0 || missed > bytes / shmring_record_size(0))
        return -EBADMSG;
    c->position = at.position;
    c->number = at.number;
    c->horizon = at.horizon;
    c->lead = lead;
    c->went_on = at.position;
    c->side.misses = 0;
    shmr_broadcast_miss(c, missed);
    return -EOVERFLOW;
}

/* After a check: go on, or not. */
static inline int shmr_broadcast_unless_lapped(struct shmr_broadcast_consumer *c, int r)
{
    return __builtin_expect(r == -EOVERFLOW, 0) ? shmr_broadcast_lapped(c) : r;
}

/* ---- Consumer: receiving --------------------------------------------------------------------- */

/* The ring looks empty: after a success, back off and poll again. The header at the consumer's
 * position, or 0 if the ring is empty. */
__attribute__((noinline)) static uint32_t
shmr_broadcast_poll_again(struct shmr_broadcast_consumer *c)
{
    uint32_t header = 0;

    if (c->side.misses == 0) {
        shmr_broadcast_back_off_when_empty(c);
        header = shmr_broadcast_poll(&c->ring, c->position);
    }
    if (header == 0) {
        if (c->side.misses == 0) {
            c->empty_events++;
            atomic_store_explicit(&c->row->empty_events, c->empty_events, memory_order_relaxed);
        }
        shmr_fetch_second_line(c->ring.data, c->ring.mask, c->position, c->usual);
    }
    return header;
}

/* There is no record at c->position that could be one: -EAGAIN, -EOVERFLOW, or -EBADMSG. The header
 * was read before. */
__attribute__((noinline)) static int shmr_broadcast_no_record(struct shmr_broadcast_consumer *c,
                                                              uint32_t header)
{
    const int r = shmr_broadcast_check_whole(c, c->position - SHMR_BROADCAST_SPARE);

    if (r < 0)
        return shmr_broadcast_unless_lapped(c, r);
    if (header == 0) {
        c->side.misses = shmr_missed_again(c->side.misses);
        c->lead = 0;
        return -EAGAIN;
    }
    c->side.damage = "corrupt: the next record's header is longer than max_message";
    return -EBADMSG;
}

/*
 * The header of the record at c->position, which may be lapped while the caller reads it: so the
 * caller calls shmr_broadcast_check_whole() afterwards. Or -EAGAIN, -EOVERFLOW, -EBADMSG. patient:
 * if the ring looks empty, call shmr_broadcast_poll_again().
 */
static inline ssize_t shmr_broadcast_next(struct shmr_broadcast_consumer *c, bool patient,
                                          uint32_t *header)
{
    *header = shmr_broadcast_poll(&c->ring, c->position);
    if (__builtin_expect(*header == 0, 0) && patient)
        *header = shmr_broadcast_poll_again(c);
    if (__builtin_expect(*header == 0 || shmr_broadcast_length(*header) > c->ring.max_message, 0))
        return shmr_broadcast_no_record(c, *header);

    ssize_t len = shmr_expected_length(&c->usual, (ssize_t)shmr_broadcast_length(*header));
    shmr_fetch_some(c->ring.data, c->ring.mask, c->position, shmring_record_size((uint32_t)len),
                    SHMR_READ_AHEAD, false);
    return len;
}

/* Go behind the record at c->position. */
static inline void shmr_broadcast_pass(struct shmr_broadcast_consumer *c, uint64_t end)
{
    c->position = end;
    c->number++;
    c->side.misses = 0;
}

/* Receive a message of any length. Not inlined: the quick way would save the registers that this
 * function needs. */
__attribute__((noinline, unused)) static ssize_t
shmr_broadcast_recv_any(struct shmr_broadcast_consumer *c, void *buf, size_t size)
{
    uint32_t header;

    if (__builtin_expect(c->held != 0, 0))
        return -EINPROGRESS;

    const ssize_t len = shmr_broadcast_next(c, true, &header);
    if (__builtin_expect(len < 0, 0))
        return len;
    const uint64_t end = c->position + shmring_record_size((uint32_t)len);
    const bool fits = (size_t)len <= size;
    if (__builtin_expect(fits, 1))
        shmr_racy_copy_out(buf, shmr_broadcast_payload(&c->ring, c->position), (size_t)len);
    const int r = shmr_broadcast_unless_lapped(c, shmr_broadcast_check_whole(c, end));
    if (__builtin_expect(r < 0, 0))
        return r;
    if (__builtin_expect(!fits, 0))
        return -EMSGSIZE;
    shmr_broadcast_pass(c, end);
    shmr_broadcast_retire(c, (uint64_t)len, 1);
    return len;
}

static inline ssize_t shmr_broadcast_peek(struct shmr_broadcast_consumer *c, const void **msg,
                                          struct shmring_info *info)
{
    uint32_t header;

    if (__builtin_expect(c->held == SHMRING_PEEKED_MAX, 0))
        return -ENOBUFS;

    const ssize_t len = shmr_broadcast_next(c, true, &header);
    if (__builtin_expect(len < 0, 0))
        return len;
    const uint64_t end = c->position + shmring_record_size((uint32_t)len);
    const int r = shmr_broadcast_unless_lapped(c, shmr_broadcast_check_whole(c, end));
    if (__builtin_expect(r < 0, 0))
        return r;
    if (info) {
        info->deliveries = 1;
        info->flags = header & SHMR_BROADCAST_KEY ? SHMRING_KEY : 0;
        info->position = c->position;
        info->number = c->number;
        info->missed = c->missed_here;
    }
    *msg = shmr_broadcast_payload(&c->ring, c->position);
    struct shmr_broadcast_peeked *peeked = &c->peeked[(c->first + c->held) % SHMRING_PEEKED_MAX];
    peeked->position = c->position;
    peeked->length = (uint32_t)len;
    c->held++;
    shmr_broadcast_pass(c, end);
    return len;
}

static inline int shmr_broadcast_release(struct shmr_broadcast_consumer *c, const void *msg)
{
    const struct shmr_broadcast_peeked oldest = c->peeked[c->first];

    if (__builtin_expect(c->held == 0 || msg != shmr_broadcast_payload(&c->ring, oldest.position),
                         0))
        return -EINVAL;

    atomic_thread_fence(memory_order_acquire); /* cast:C1: after the caller's reads */
    const bool whole =
        shmr_broadcast_is_before(&c->ring, oldest.position, shmr_broadcast_horizon(&c->ring));
    c->first = (c->first + 1) % SHMRING_PEEKED_MAX;
    c->held--;
    if (__builtin_expect(!whole, 0)) {
        shmr_broadcast_miss(c, 1);
        return -EOVERFLOW;
    }
    shmr_broadcast_retire(c, oldest.length, 1);
    return 0;
}

#endif
