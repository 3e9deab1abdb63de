/* SPDX-License-Identifier: MIT */
/* Broadcast: what a producer and a consumer know in private memory. The protocol is in ring.h. */
#ifndef SHMR_BROADCAST_STATE_H
#define SHMR_BROADCAST_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <shmring/shmring.h>

#include "base/fetch.h"
#include "broadcast/layout.h"
#include "core/side.h"

/* The terminator's bytes, behind the last record. */
#define SHMR_BROADCAST_SPARE 8

/* What a process must know to read the ring. No byte of it is written after attaching. */
struct shmr_broadcast_ring {
    uint8_t *data; /* mapped twice in a row; only the producer may write to it */
    uint64_t mask; /* capacity - 1 */
    struct shmr_broadcast_page *page;
    uint32_t max_message;
};

/* A reliable consumer's row, as the producer last found it. */
struct shmr_broadcast_holder {
    uint32_t row; /* 0: there was none */
    uint64_t reliable, position;
};

struct shmr_broadcast_producer {
    struct shmr_broadcast_ring ring;
    uint64_t position;    /* the tail */
    uint64_t quick_until; /* a record that ends before this needs no more than its own bytes */
    uint64_t messages, bytes;
    uint64_t fetch_ahead;
    uint64_t horizon;   /* as in the page */
    uint64_t limit;     /* without a scan, the horizon moves at most to this + capacity */
    uint64_t next_mark; /* the next record that starts here or later is the first of its chunk */
    uint64_t next_progress; /* the next record that ends here or later stores the progress */
    uint8_t *table;         /* the participants' rows */
    uint32_t rows;          /* of the table */
    uint32_t quick_most; /* bytes of the longest message that shmr_broadcast_send_quick() takes */
    uint32_t turn, key_turn; /* progress record, and key, to write next */
    bool reserved;           /* a reservation is open */
    uint32_t reservation;
    struct shmr_side side;
    struct shmr_broadcast_holder holder; /* when there was no room: the consumer furthest behind */
    uint64_t wanted;                     /* then: where the horizon had to be */
    uint64_t high_water, full_events;
    struct shmr_sample sampled; /* when fetch_ahead was last chosen */
    uint32_t ticks;             /* of shmr_ticks() in SHMR_BACK_OFF_NS */
    /* For kind.c. */
    uint64_t held_up_at;           /* `messages` when the producer was found to be held up */
    int64_t held_up_since, tested; /* ns, by shmr_wait_now(); tested: a lock of the holder */
};

/* A message that peek has given out. */
struct shmr_broadcast_peeked {
    uint64_t position;
    uint32_t length;
};

/* A reliable consumer misses no message from here on. */
struct shmr_broadcast_promise {
    uint64_t position, number;
};

struct shmr_broadcast_consumer {
    struct shmr_broadcast_ring ring;
    ssize_t usual;                  /* length of the last message, a guess at the next one's */
    uint64_t position;              /* next record to take */
    uint64_t horizon;               /* as last read, and then `position` was whole */
    uint64_t number;                /* of the message at `position` */
    uint64_t bytes, missed, steps;  /* as in struct shmr_broadcast_record */
    struct shmr_broadcast_row *row; /* in the segment, or `own` */
    uint32_t turn;                  /* record to write next */
    bool reliable;                  /* store the position in the row */
    struct shmr_broadcast_promise promised;
    struct shmr_side side;
    uint64_t missed_here; /* by this handle */
    uint64_t missed_now;  /* in the last lap */
    uint64_t lead;        /* after the last lap, how far ahead of the producer it went */
    uint64_t went_on;     /* and to which position; lead 0: it has received all since */
    uint64_t base;
    uint64_t empty_events;
    uint32_t first, held; /* of `peeked`: the oldest message held, and how many */
    struct shmr_broadcast_peeked peeked[SHMRING_PEEKED_MAX];
    struct shmr_broadcast_row own; /* of a consumer without a row */
};

/* In a handle: the roles that it does not have are not used. */
struct shmr_broadcast {
    struct shmr_broadcast_producer producer;
    struct shmr_broadcast_consumer consumer;
};

static inline uint64_t shmr_broadcast_capacity(const struct shmr_broadcast_ring *ring)
{
    return ring->mask + 1;
}

static inline uint64_t shmr_broadcast_chunk(const struct shmr_broadcast_ring *ring)
{
    return shmr_broadcast_capacity(ring) / SHMR_BROADCAST_CHUNKS;
}

#endif
