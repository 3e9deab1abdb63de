/* SPDX-License-Identifier: MIT */
/* What is in the pages of an spsc segment. As in core/layout.h: an ABI, byte by byte. */
#ifndef SHMR_SPSC_LAYOUT_H
#define SHMR_SPSC_LAYOUT_H

#include "core/progress.h"

enum { SHMR_ROW_PRODUCER = 0, SHMR_ROW_CONSUMER = 1, SHMR_SPSC_ROWS = 2 };

struct shmr_spsc_producer_page {
    struct shmr_progress progress[2];
    _Atomic uint64_t full_events;
    _Atomic uint64_t high_water; /* bytes */
    uint64_t zero[6];
};

struct shmr_spsc_consumer_page {
    _Atomic uint64_t head; /* position released, published every 1/8 of the ring; the one line the
                              producer polls */
    uint64_t zero0[15];
    struct shmr_progress
        progress[2];        /* exact: for successors, observers, and a producer without room */
    _Atomic uint64_t taken; /* end of the last message given out by peek or in a batch */
    _Atomic uint64_t
        redelivered_until;         /* messages before this position may have been seen before */
    _Atomic uint64_t redeliveries; /* how often they were seen, at most */
    _Atomic uint64_t empty_events;
    uint64_t zero1[4];
};

SHMR_AT(shmr_spsc_producer_page, full_events, 64);
SHMR_AT(shmr_spsc_producer_page, high_water, 72);
static_assert(sizeof(struct shmr_spsc_producer_page) == 128, "shmr_spsc_producer_page");
SHMR_AT(shmr_spsc_consumer_page, progress, 128);
SHMR_AT(shmr_spsc_consumer_page, taken, 192);
SHMR_AT(shmr_spsc_consumer_page, redelivered_until, 200);
SHMR_AT(shmr_spsc_consumer_page, redeliveries, 208);
SHMR_AT(shmr_spsc_consumer_page, empty_events, 216);
static_assert(sizeof(struct shmr_spsc_consumer_page) == 256, "shmr_spsc_consumer_page");

#endif
