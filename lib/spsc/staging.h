/* SPDX-License-Identifier: MIT */
/*
 * SPSC: staging, a means of speed for long batches.
 *
 * Where the consumer's cache is far away, taking over a line from it to write costs several times
 * what reading one does. A long memcpy saves that: it has whole lines to write, whatever was in
 * them. So messages that are not short may be put together in private memory first, 17 KiB at a
 * time (SHMR_SPSC_STAGE), and be copied into the ring at once. Where the caches are near the
 * additional copy is not worth it: 4 batches each way in every 1,024 are timed, and the faster way
 * is taken for the others.
 */
#ifndef SHMR_SPSC_STAGING_H
#define SHMR_SPSC_STAGING_H

#include <string.h>

#include "spsc/ring.h"

/* So many bytes at most, and at least: a shorter memcpy saves nothing. Tests have other numbers. */
#ifndef SHMR_SPSC_STAGE
#define SHMR_SPSC_STAGE       (17 * 1024)
#define SHMR_SPSC_STAGE_LEAST (12 * 1024)
#endif

/* Tried out: so many times each way, in so many. */
#define SHMR_SPSC_TRIALS       4
#define SHMR_SPSC_TRIALS_EVERY 1024

/* How many of the messages from here on are to be staged, and the bytes of their records. */
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
    /* Half a ring is too much: neither would ever work while the other does. */
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
    /* All but the first header; the last payload may reach up to the next one. */
    shmr_copy(p->data + (position & p->mask) + 8, p->stage + 8, (size_t)(at - 4));
}

/*
 * Put so many messages of a batch at a position that it takes a while: all but the header of the
 * first. How many: 0 if they are short, or few, or there is not room for all.
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
    if (tried) { /* a KiB; the least, because there are interrupts */
        const uint64_t ticks = (shmr_ticks() - before) * 1024 / records;
        if (ticks < trial->ticks[stage])
            trial->ticks[stage] = ticks;
    }
    return count;
}

#endif
