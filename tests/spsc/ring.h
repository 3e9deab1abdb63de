/* SPDX-License-Identifier: MIT */
/*
 * The memory of an spsc queue without segment, roles and handles: for tests of the algorithm. The
 * data is mapped twice in a row, as in a queue.
 */
#ifndef TEST_SPSC_RING_H
#define TEST_SPSC_RING_H

#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/spsc/batch.h"
#include "lib/spsc/takeover.h"

enum { RING_PAGE = 4096 };

struct ring {
    uint64_t capacity;
    uint8_t *data;
    struct shmr_spsc_producer_page *producer_page;
    struct shmr_spsc_consumer_page *consumer_page;
};

/* An empty ring whose first message will be at POSITION. */
static inline void ring_make(struct ring *ring, size_t capacity, uint64_t position)
{
    int fd = memfd_create("ring", MFD_CLOEXEC);
    uint8_t *base =
        mmap(NULL, 2 * RING_PAGE + 2 * capacity, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    cr_assert(fd >= 0 && base != MAP_FAILED);
    cr_assert_eq(ftruncate(fd, (off_t)(2 * RING_PAGE + capacity)), 0);
    cr_assert_neq(
        mmap(base, 2 * RING_PAGE + capacity, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0),
        MAP_FAILED);
    cr_assert_neq(mmap(base + 2 * RING_PAGE + capacity, capacity, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_FIXED, fd, 2 * RING_PAGE),
                  MAP_FAILED);
    close(fd);
    *ring = (struct ring){
        .capacity = capacity,
        .data = base + 2 * RING_PAGE,
        .producer_page = (void *)base,
        .consumer_page = (void *)(base + RING_PAGE),
    };
    for (int i = 0; i < 2; i++) {
        atomic_init(&ring->producer_page->progress[i].position, position);
        atomic_init(&ring->consumer_page->progress[i].position, position);
    }
    atomic_init(&ring->consumer_page->head, position);
    atomic_init(&ring->consumer_page->taken, position);
    atomic_init(&ring->consumer_page->redelivered_until, position);
}

static inline void ring_free(struct ring *ring)
{
    munmap(ring->producer_page, 2 * RING_PAGE + 2 * ring->capacity);
}

static inline int ring_resume_producer(const struct ring *ring, struct shmr_spsc_producer *p)
{
    static uint8_t stage[SHMR_SPSC_STAGE];

    *p = (struct shmr_spsc_producer){
        .data = ring->data,
        .mask = ring->capacity - 1,
        .max_message = (uint32_t)ring->capacity - 16,
        .page = ring->producer_page,
        .consumer = ring->consumer_page,
        .stage = stage,
    };
    return shmr_spsc_resume_producer(p);
}

static inline int ring_resume_consumer(const struct ring *ring, struct shmr_spsc_consumer *c,
                                       bool died)
{
    *c = (struct shmr_spsc_consumer){
        .data = ring->data,
        .mask = ring->capacity - 1,
        .max_message = (uint32_t)ring->capacity - 16,
        .page = ring->consumer_page,
    };
    return shmr_spsc_resume_consumer(c, ring->producer_page, died);
}

#endif
