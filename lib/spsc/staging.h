/* SPDX-License-Identifier: MIT */
/*
 * SPSC: staging, a means of speed for long batches.
 *
 * Where the consumer's cache is far away, the producer pays several times as much to take over a
 * line for writing as to read one. A long memcpy saves that: it writes whole lines, and does not
 * need what was in them. So the producer may put messages that are not short together in private
 * memory first, up to 17 KiB (SHMR_SPSC_STAGE), and copy them into the ring at once. Where the
 * caches are near, the additional copy is not worth it. So of every 1,024 long batches the
 * producer measures 4 in each way, and puts the others in the faster way.
 */
#ifndef SHMR_SPSC_STAGING_H
#define SHMR_SPSC_STAGING_H

#include <string.h>

#include "spsc/ring.h"

/* The most and the least bytes to stage: a shorter memcpy saves nothing. Tests set other numbers.
 */
#ifndef SHMR_SPSC_STAGE
#define SHMR_SPSC_STAGE       (17 * 1024)
#define SHMR_SPSC_STAGE_LEAST (12 * 1024)
#endif

/* In every SHMR_SPSC_TRIALS_EVERY long batches, SHMR_SPSC_TRIALS are timed each way. */
#define SHMR_SPSC_TRIALS       4
#define SHMR_SPSC_TRIALS_EVERY 1024

/* How many messages from the first on can be staged, and the bytes of their records. 0: they are
 * not worth it, or take too much of the ring. */
static inline int shmr_spsc_stageable(const struct shmr_spsc_producer *p, const struct iovec *msgs,
                                      int n, uint64_t *records)
{
    const size_t most = p->max_message < SHMR_COPY_LONG ? p->max_message : SHMR_COPY_LONG - 1;
    int count;

    *records = 0;
    for (count = 0; count < n; count++) {
        const size_t len = msgs[count].iov_len;
        if (len <= SHMR_COPY_SHORT || len > most ||
            *records + shmring_record_size((uint32_t)len) + SHMR_SPSC_SPARE > SHMR_SPSC_STAGE)
            break;
        *records += shmring_record_size((uint32_t)len);
    }
    /* More than half a ring is too much: producer and consumer would only work in turn. */
    return *records < SHMR_SPSC_STAGE_LEAST || *records > shmr_spsc_capacity(p->mask) / 2 ? 0
                                                                                          : count;
}

static inline void shmr_spsc_put_one_by_one(const struct shmr_spsc_producer *p, uint64_t position,
                                            const struct iovec *msgs, int n)
{
    for (int i = 0; i < n; i++) {
        const uint32_t len = (uint32_t)msgs[i].iov_len;
        if (i > 0)
            shmr_spsc_put_later(p->data, p->mask, position, len);
        shmr_spsc_put(p, position, msgs[i].iov_base, len);
        position += shmring_record_size(len);
    }
}

static inline void shmr_spsc_put_staged(const struct shmr_spsc_producer *p, uint64_t position,
                                        const struct iovec *msgs, int n)
{
    uint64_t at = 0;

    for (int i = 0; i < n; i++) {
        const uint32_t len = (uint32_t)msgs[i].iov_len, header = len + 1;
        const uint64_t next = at + shmring_record_size(len);
        memcpy(p->stage + at + 4, &header, sizeof header);
        memset(p->stage + next - 4, 0, 8); /* behind the payload */
        shmr_copy(p->stage + at + 8, msgs[i].iov_base, len);
        at = next;
    }
    /* All but the first header. The last payload may reach up to the header behind it. */
    shmr_copy(p->data + (position & p->mask) + 8, p->stage + 8, (size_t)(at - 4));
}

/*
 * Put at a position those messages of a batch that can be staged, either staged or one by one: all
 * but the header of the first. Returns their number; 0: none can be staged, or there is not room
 * for all.
 */
static inline int shmr_spsc_put_many(struct shmr_spsc_producer *p, uint64_t position,
                                     const struct iovec *msgs, int n)
{
    struct shmr_spsc_trial *trial = &p->trial;
    uint64_t records;
    const int count = shmr_spsc_stageable(p, msgs, n, &records);
    const uint64_t need = position - p->position + records + SHMR_SPSC_SPARE;

    if (count == 0 || (!shmr_spsc_has_room(p, need) && shmr_spsc_find_room(p, need, false) < 0))
        return 0;

    const uint32_t turn = trial->turn++ % SHMR_SPSC_TRIALS_EVERY;
    const bool tried = turn < 2 * SHMR_SPSC_TRIALS;
    const bool stage = tried ? turn % 2 != 0 : trial->ticks[true] < trial->ticks[false];
    if (turn == 0)
        trial->ticks[false] = trial->ticks[true] = UINT64_MAX;
    const uint64_t before = tried ? shmr_ticks() : 0;
    if (stage)
        shmr_spsc_put_staged(p, position, msgs, count);
    else
        shmr_spsc_put_one_by_one(p, position, msgs, count);
    if (tried) { /* keep the fewest ticks for a KiB: interrupts add to some trials */
        const uint64_t ticks = (shmr_ticks() - before) * 1024 / records;
        if (ticks < trial->ticks[stage])
            trial->ticks[stage] = ticks;
    }
    return count;
}

#endif
