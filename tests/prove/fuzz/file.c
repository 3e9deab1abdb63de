/* SPDX-License-Identifier: MIT */
/*
 * Arbitrary files that are opened as segments. The input has bits that say which parts of the
 * header are repaired after the mutation, so that it passes the checks; then the header; and then
 * the content of the sections, one after the other.
 */
#include <config.h>

#include <string.h>
#include <unistd.h>

#include <shmring/shmring.h>

#include "crc32c.h"
#include "fuzz.h"

enum {
    MAGIC = 1,
    SIGNATURE = 2,
    GEOMETRY = 4,
    CRC = 8,
    LENGTH = 16, /* the file as long as the header says */
    NAME = 32,
    FILE_MOST = 1 << 18
};

/* Make the geometry in the header that which follows from its own numbers. */
static void repair_geometry(struct shmr_header *h)
{
    struct shmring_config config = {.kind = 1 + h->kind % 3, .max_message = h->max_message % 4096};
    struct shmr_geometry g;

    if (config.kind == SHMRING_SPSC) {
        config.capacity = UINT64_C(4096) << h->capacity % 4;
    } else if (config.kind == SHMRING_BROADCAST) {
        config.capacity = UINT64_C(4096) << h->capacity % 3;
        config.max_participants = h->rows % 8;
    } else {
        config.capacity = UINT64_C(2) << h->capacity % 7;
        config.max_message = 1 + config.max_message % 200;
        config.max_participants = 1 + h->rows % 64;
    }
    if (shmr_geometry(&g, &config) < 0) /* max_message: more than the ring is long */
        return;
    h->kind = g.type->number;
    h->flags &= SHMRING_AT_MOST_ONCE;
    if (g.type->number != SHMR_MPMC)
        h->flags = 0;
    h->page_size = g.page_size;
    h->capacity = g.capacity;
    h->max_message = g.max_message;
    h->rows = g.rows;
    h->segment_size = g.segment_size;
}

static void repair(struct shmr_header *h, unsigned what)
{
    if (what & MAGIC)
        h->magic = SHMR_MAGIC;
    if (what & SIGNATURE) {
        h->layout_version = SHMR_LAYOUT_VERSION;
        h->byte_order = SHMR_BYTE_ORDER;
        h->header_bytes = sizeof(struct shmr_header);
        h->row_bytes = sizeof(struct shmr_row);
        h->producer_bytes = sizeof(struct shmr_spsc_producer_page);
        h->consumer_bytes = sizeof(struct shmr_spsc_consumer_page);
        h->false_sharing = SHMR_FALSE_SHARING;
        h->block_bytes = sizeof(struct shmr_block);
    }
    if (what & GEOMETRY)
        repair_geometry(h);
    if (what & NAME) {
        h->name[sizeof h->name - 1] = 0;
        h->creator_comm[sizeof h->creator_comm - 1] = 0;
        h->backend = SHMR_POSIX;
    }
    if (what & CRC)
        h->crc = crc32c((const char *)h + 8, sizeof *h - 12);
}

static void write_at(int fd, const void *bytes, size_t n, uint64_t offset)
{
    fuzz_check(n == 0 || pwrite(fd, bytes, n, (off_t)offset) == (ssize_t)n, "no room in /dev/shm");
}

/* Write bytes of the input into a section. */
static void fill(int fd, struct input *in, uint64_t offset, uint64_t length)
{
    const uint64_t left = (uint64_t)(in->end - in->at), n = length < left ? length : left;

    write_at(fd, in->at, (size_t)n, offset);
    in->at += n;
}

void file_write(int fd, struct input *in, unsigned what)
{
    struct shmr_header h = {0};
    struct shmr_geometry g;
    const uint64_t left = (uint64_t)(in->end - in->at);
    const size_t n = left < sizeof h ? (size_t)left : sizeof h;

    memcpy(&h, in->at, n);
    in->at += n;
    repair(&h, what);
    write_at(fd, &h, what & (MAGIC | SIGNATURE | GEOMETRY | CRC) ? sizeof h : n, 0);
    if (what & LENGTH && h.segment_size <= FILE_MOST) {
        fuzz_check(ftruncate(fd, (off_t)h.segment_size) == 0, "no room in /dev/shm");
        if (shmr_header_check(&h, h.segment_size, &g) == 0) {
            fill(fd, in, g.producer, g.type->number == SHMR_BROADCAST ? 512 : 128);
            fill(fd, in, g.consumer, 256);
            fill(fd, in, g.waitwords, 256);
            fill(fd, in, g.table, 2 * sizeof(struct shmr_row));
            fill(fd, in, g.data, g.data_size);
        }
    }
}
