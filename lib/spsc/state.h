/* SPDX-License-Identifier: MIT */
/* SPSC: what a producer and a consumer know in private memory. The protocol is in ring.h. */
#ifndef SHMR_SPSC_STATE_H
#define SHMR_SPSC_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/side.h"
#include "spsc/layout.h"

/* Kept free so that the terminator never overwrites a record. */
#define SHMR_SPSC_SPARE 8

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
    uint64_t next_sample; /* position at which to sample the high-water mark */
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

#endif
