/* SPDX-License-Identifier: MIT */
/* The memory of a broadcast queue's segment, for tests that write into it; needs
 * $(core_test_libs). */
#ifndef TEST_BROADCAST_PAGES_H
#define TEST_BROADCAST_PAGES_H

#include <criterion/criterion.h>
#include <sys/mman.h>

#include "lib/broadcast/layout.h"
#include "lib/core/segment.h"

struct pages {
    struct shmr_broadcast_page *page;
    uint8_t *table;
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
    pages->page = (void *)(pages->segment + g.producer);
    pages->table = pages->segment + g.table;
    pages->data = pages->segment + g.data;
}

static inline void pages_unmap(struct pages *pages)
{
    munmap(pages->segment, pages->segment_size);
}

/* Set the position of the first message of a queue that was not used yet: the end of a chunk. */
static inline void pages_start_at(struct pages *pages, uint64_t position, uint64_t capacity)
{
    const uint64_t chunk = capacity / SHMR_BROADCAST_CHUNKS;

    cr_assert_eq(position % chunk, 0);
    for (int i = 0; i < 2; i++)
        pages->page->progress[i].position = position;
    pages->page->horizon = position;
    pages->page->mark[position % capacity / chunk].position = position;
}

#endif
