/* SPDX-License-Identifier: MIT */
/* The memory of an spsc queue's segment, for tests that write into it; needs $(core_test_libs). */
#ifndef TEST_SPSC_PAGES_H
#define TEST_SPSC_PAGES_H

#include <criterion/criterion.h>
#include <sys/mman.h>

#include "lib/core/segment.h"
#include "lib/spsc/layout.h"

struct pages {
    struct shmr_spsc_producer_page *producer;
    struct shmr_spsc_consumer_page *consumer;
    uint8_t *data;
    uint8_t *segment;
    size_t segment_size;
};

static inline void pages_map(struct pages *pages, const shmring_t *q)
{
    const int fd = shmring_segment_fd(q);
    struct shmr_header header;
    struct shmr_geometry g;

    cr_assert_eq(shmr_segment_read(fd, &header, &g), 0);
    pages->segment_size = (size_t)g.segment_size;
    pages->segment = mmap(NULL, pages->segment_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cr_assert_neq(pages->segment, MAP_FAILED);
    pages->producer = (void *)(pages->segment + g.producer);
    pages->consumer = (void *)(pages->segment + g.consumer);
    pages->data = pages->segment + g.data;
}

static inline void pages_unmap(struct pages *pages)
{
    munmap(pages->segment, pages->segment_size);
}

/* Set the position of the first message of a queue that was not used yet. */
static inline void pages_start_at(struct pages *pages, uint64_t position)
{
    for (int i = 0; i < 2; i++) {
        pages->producer->progress[i].position = position;
        pages->consumer->progress[i].position = position;
    }
    pages->consumer->head = position;
    pages->consumer->taken = position;
    pages->consumer->redelivered_until = position;
}

#endif
