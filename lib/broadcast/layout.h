/* SPDX-License-Identifier: MIT */
/* What is in the pages of a broadcast segment. As in core/layout.h: an ABI, byte by byte. */
#ifndef SHMR_BROADCAST_LAYOUT_H
#define SHMR_BROADCAST_LAYOUT_H

#include "core/progress.h"

/* Row 0 is the producer's. The others are consumers'. */
enum { SHMR_BROADCAST_PRODUCER_ROW = 0, SHMR_BROADCAST_FIRST_CONSUMER = 1 };

/* The ring has this many chunks. The horizon moves by chunks. */
enum { SHMR_BROADCAST_CHUNKS = 16 };

/* A message longer than this fraction of the ring, or such a part of a batch, is not sent. */
enum { SHMR_BROADCAST_MOST_FRACTION = 4 };

/* In a record's header, beside the length + 1: the message is a key message. */
#define SHMR_BROADCAST_KEY UINT32_C(0x80000000)

/* Message `number` starts at `position`. */
struct shmr_broadcast_place {
    _Atomic uint64_t number;
    _Atomic uint64_t position;
};

/* The producer's page. */
struct shmr_broadcast_page {
    _Atomic uint64_t horizon; /* the producer may have written all bytes before this position */
    uint64_t zero0[15];
    struct shmr_progress progress[2];
    /* The last key message, written in turn, `number` last: it is one more than the message's
     * number, and the place with the greater one is whole. 0: there was none. */
    struct shmr_broadcast_place key[2];
    _Atomic uint64_t full_events;
    _Atomic uint64_t high_water; /* bytes */
    uint64_t zero1[2];
    /* The first record that starts in each chunk, `position` last. A place whose position is not in
     * its chunk was not written yet. */
    struct shmr_broadcast_place mark[SHMR_BROADCAST_CHUNKS];
};

/* What one consumer has done, all owners of its row together. It writes two of these in turn,
 * `steps` last: the record with the greater one is whole. */
struct shmr_broadcast_record {
    _Atomic uint64_t bytes;  /* payload received */
    _Atomic uint64_t missed; /* messages */
    _Atomic uint64_t steps;  /* messages received, and messages missed */
    uint64_t zero;
};

/* A consumer's part of its row: the second half of struct shmr_row. */
#define SHMR_BROADCAST_JOINED (UINT64_C(1) << 33) /* in `reliable` */

struct shmr_broadcast_row {
    struct shmr_broadcast_record record[2];
    _Atomic uint64_t position; /* a reliable consumer's: it has released all bytes before */
    /* 0: the producer does not wait for the owner. Else 2^32 + the generation of the row's owner,
     * which may not have attached yet, and 2^33 more when it has joined: its position is one that
     * it has. The producer changes it to 0 as well. */
    _Atomic uint64_t reliable;
    _Atomic uint64_t base; /* number of the owner's next message, minus `steps`; modulo 2^64 */
    _Atomic uint64_t empty_events;
    uint64_t zero[4];
};

SHMR_AT(shmr_broadcast_place, position, 8);
static_assert(sizeof(struct shmr_broadcast_place) == 16, "shmr_broadcast_place");
SHMR_AT(shmr_broadcast_page, progress, 128);
SHMR_AT(shmr_broadcast_page, key, 192);
SHMR_AT(shmr_broadcast_page, full_events, 224);
SHMR_AT(shmr_broadcast_page, high_water, 232);
SHMR_AT(shmr_broadcast_page, mark, 256);
static_assert(sizeof(struct shmr_broadcast_page) == 512, "shmr_broadcast_page");
SHMR_AT(shmr_broadcast_record, missed, 8);
SHMR_AT(shmr_broadcast_record, steps, 16);
static_assert(sizeof(struct shmr_broadcast_record) == 32, "shmr_broadcast_record");
SHMR_AT(shmr_broadcast_row, position, 64);
SHMR_AT(shmr_broadcast_row, reliable, 72);
SHMR_AT(shmr_broadcast_row, base, 80);
SHMR_AT(shmr_broadcast_row, empty_events, 88);
static_assert(sizeof(struct shmr_broadcast_row) == 128, "shmr_broadcast_row");
static_assert(offsetof(struct shmr_row, sent) + sizeof(struct shmr_broadcast_row) ==
                  sizeof(struct shmr_row),
              "the second half of a row");

static inline struct shmr_broadcast_row *shmr_broadcast_row_at(uint8_t *table, uint32_t row)
{
    return (struct shmr_broadcast_row *)(void *)(table + row * sizeof(struct shmr_row) +
                                                 offsetof(struct shmr_row, sent));
}

#endif
