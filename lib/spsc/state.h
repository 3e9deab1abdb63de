/* SPDX-License-Identifier: MIT */
/* SPSC: what a producer and a consumer know in private memory. The protocol is in ring.h. */
#ifndef SHMR_SPSC_STATE_H
#define SHMR_SPSC_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/fetch.h"
#include "core/side.h"
#include "spsc/layout.h"

/* Bytes kept free so that the terminator never overwrites a record. */
#define SHMR_SPSC_SPARE 8

/* Two ways to put a long batch into the ring, staged or not: see staging.h. */
struct shmr_spsc_trial {
    uint64_t ticks[2]; /* that a KiB took in the last trials: [0] not staged, [1] staged */
    uint32_t turn;     /* long batches so far */
};

struct shmr_spsc_producer {
    uint8_t *data;
    uint64_t mask; /* capacity - 1 */
    uint64_t position;
    uint64_t head; /* end of what the consumer has released, as far as is known here */
    uint64_t bytes;
    uint64_t messages;
    uint64_t next_sample; /* position at which to sample the high-water mark */
    uint64_t quick_until; /* up to this position there is room, and no sample is due */
    uint64_t fetch_ahead; /* SHMR_WRITE_AHEAD; 0: fetch only what is about to be written */
    struct shmr_spsc_producer_page *page;
    const struct shmr_spsc_consumer_page *consumer;
    uint32_t max_message;
    uint32_t quick_most; /* bytes of the longest message that shmr_spsc_send_quick() takes */
    uint32_t turn;       /* progress record to write next */
    bool reserved;       /* a reservation is open */
    uint32_t reservation;
    struct shmr_side side;
    struct shmr_sample sampled; /* at the last sample of the high-water mark */
    uint32_t ticks;             /* of shmr_ticks() in SHMR_BACK_OFF_NS */
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
    uint64_t released; /* the messages from here to position are held */
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

/* In a handle: the roles that it does not have are not used. */
struct shmr_spsc {
    struct shmr_spsc_producer producer;
    struct shmr_spsc_consumer consumer;
};

static inline uint64_t shmr_spsc_capacity(uint64_t mask)
{
    return mask + 1;
}

#endif
