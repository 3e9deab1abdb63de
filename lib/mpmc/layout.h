/* SPDX-License-Identifier: MIT */
/* What is in the pages and blocks of an mpmc segment. As in core/layout.h: an ABI, byte by byte. */
#ifndef SHMR_MPMC_LAYOUT_H
#define SHMR_MPMC_LAYOUT_H

#include "core/layout.h"

/* The producer page has the hint at the tail, the consumer page the one at the head. */
struct shmr_mpmc_page {
    _Atomic uint64_t hint;
    _Atomic uint64_t swept;      /* producer page only: CLOCK_MONOTONIC, ns, of the last sweep */
    _Atomic uint64_t high_water; /* producer page only: messages */
    uint64_t zero[13];
};

/* mpmc: entry i of the ring, and block i. The bits of the first two words: lib/mpmc/blocks.h. */
struct shmr_block {
    _Atomic uint64_t entry;
    _Atomic uint64_t descriptor;
    _Atomic uint32_t length;
    _Atomic uint32_t deliveries; /* how often the message was taken before */
    /* payload */
};

SHMR_AT(shmr_mpmc_page, high_water, 16);
static_assert(sizeof(struct shmr_mpmc_page) == 128, "shmr_mpmc_page");
SHMR_AT(shmr_block, descriptor, 8);
SHMR_AT(shmr_block, length, 16);
SHMR_AT(shmr_block, deliveries, 20);
static_assert(sizeof(struct shmr_block) == 24, "shmr_block");

#endif
