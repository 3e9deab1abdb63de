/* SPDX-License-Identifier: MIT */
/* The memory of an mpmc queue's segment, for tests that write into it, and a death without a
 * process; needs $(core_test_libs). */
#ifndef TEST_MPMC_PAGES_H
#define TEST_MPMC_PAGES_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/core/handle.h"

struct mpmc_pages {
    struct shmr_mpmc_page *tail; /* the producer page */
    struct shmr_mpmc_page *head; /* the consumer page */
    struct shmr_row *rows;
    uint8_t *data;
    struct shmr_geometry geometry;
    uint8_t *segment;
};

static inline void mpmc_pages_map(struct mpmc_pages *pages, const shmring_t *q)
{
    const int fd = shmring_segment_fd(q);
    struct shmr_header header;
    struct shmr_geometry *g = &pages->geometry;

    cr_assert_eq(shmr_segment_read(fd, &header, g), 0);
    pages->segment = mmap(NULL, (size_t)g->segment_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cr_assert_neq(pages->segment, MAP_FAILED);
    pages->tail = (void *)(pages->segment + g->producer);
    pages->head = (void *)(pages->segment + g->consumer);
    pages->rows = (void *)(pages->segment + g->table);
    pages->data = pages->segment + g->data;
}

static inline void mpmc_pages_unmap(struct mpmc_pages *pages)
{
    munmap(pages->segment, (size_t)pages->geometry.segment_size);
}

static inline struct shmr_block *mpmc_pages_block(const struct mpmc_pages *pages, uint64_t index)
{
    return (void *)(pages->data + index * pages->geometry.stride);
}

/* Set the position of the first message of a queue that was not used yet and has no
 * participants. */
static inline void mpmc_pages_start_at(struct mpmc_pages *pages, uint64_t position)
{
    const uint64_t n = pages->geometry.capacity;

    for (uint64_t before = position - n; before != position; before++) /* the lap before POSITION */
        mpmc_pages_block(pages, before % n)->entry = (before / n + 1) << 24 | (before * 5 + 1) % n;
    pages->tail->hint = position;
    pages->head->hint = position;
}

/* Make of a handle what kill -9 leaves: its row says ATTACHED, and its lock is free. */
static inline void mpmc_kill_handle(shmring_t **q)
{
    const int kept = shmr_kept_take(&(*q)->kept, false);

    shmr_segment_unmap(&(*q)->map);
    if (kept >= 0)
        close(kept);
    close((*q)->fd);
    free((*q)->notifier);
    free(*q);
    *q = NULL;
}

#endif
