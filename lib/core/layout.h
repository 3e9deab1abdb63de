/* SPDX-License-Identifier: MIT */
/*
 * The segment, byte by byte. This is an ABI between programs built at different times, in 32 and 64
 * bits: fixed-width integers, offsets, no pointers, no padding that a compiler may choose.
 *
 *   section          starts at                  written by           mapped for writing by
 *   header           0                          creator, once        no process (pread)
 *   producer page    1 page                     producer             producer
 *   participants     2 pages                    each its own row     producer and consumer
 *   wait words       after the last row         all                  producer and consumer
 *   consumer page    after the table            consumer             consumer
 *   data             after the consumer page    producer             producer
 *
 * (In an mpmc queue every participant writes to every section but the header. In a broadcast queue
 * no participant uses the consumer page.)
 *
 * Every section but the wait words starts on a page (header.page_size: 4096, or 2 MiB with huge
 * pages) and fills whole pages, so that each can have its own protection. The data section of an
 * spsc or broadcast queue is mapped twice in a row, so that a record that runs over its end is
 * still contiguous.
 *
 *     | producer | participants | consumer | data ...... | data again |
 *
 * The data section of an mpmc queue is an array of blocks, one for each entry of the ring. Behind
 * it is an array of one word for each block, its origin.
 *
 * Header, 512 bytes (see struct shmr_header for the meaning of each field)
 *     0  8 magic            28  4 kind            56  8 segment_size      88 16 creator_comm
 *     8  4 layout_version   32  4 flags           64  8 created_ns       104  4 backend
 *    12  4 byte_order       36  4 page_size       72  4 creator_pid      108 20 zero
 *    16 12 struct sizes     40  8 capacity        76  4 creator_uid      128 256 name
 *                           48  4 max_message     80  8 creator_pid_ns   384 124 zero
 *                           52  4 rows                                   508  4 crc
 */
#ifndef SHMR_LAYOUT_H
#define SHMR_LAYOUT_H

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Two lines of 64 bytes: the adjacent-line prefetcher fetches lines in pairs. */
#define SHMR_FALSE_SHARING 128

#define SHMR_MAGIC          UINT64_C(0x31474e49524d4853) /* "SHMRING1", little-endian */
#define SHMR_UNFINISHED     UINT64_C(0x30474e49524d4853) /* "SHMRING0": its creator is at work */
#define SHMR_LAYOUT_VERSION 2
#define SHMR_BYTE_ORDER     UINT32_C(0x01020304)

enum shmr_backend { SHMR_POSIX = 1, SHMR_FILE = 2, SHMR_MEMFD = 3 };

struct shmr_header {
    uint64_t magic; /* stored last; SHMR_UNFINISHED or 0 until then */
    uint32_t layout_version;
    uint32_t byte_order;
    uint16_t header_bytes; /* these six: struct sizes, as a signature of the layout */
    uint16_t row_bytes;
    uint16_t producer_bytes;
    uint16_t consumer_bytes;
    uint16_t false_sharing;
    uint16_t block_bytes;
    uint32_t kind;  /* enum shmr_kind_number, see kind.h */
    uint32_t flags; /* SHMRING_HUGE_PAGES, SHMRING_AT_MOST_ONCE */
    uint32_t page_size;
    uint64_t capacity;
    uint32_t max_message;
    uint32_t rows; /* of the participant table */
    uint64_t segment_size;
    int64_t created_ns; /* CLOCK_REALTIME */
    uint32_t creator_pid;
    uint32_t creator_uid;
    uint64_t creator_pid_ns;
    char creator_comm[16];
    uint32_t backend; /* enum shmr_backend */
    uint32_t zero1[5];
    char name[256]; /* as the creator gave it */
    uint32_t zero2[31];
    uint32_t crc; /* CRC-32C of the bytes from layout_version to here */
};

/* mpmc: how many messages a participant has sent, or received. See lib/mpmc/tally.h. */
struct shmr_tally {
    _Atomic uint64_t pending;
    _Atomic uint64_t messages; /* so far, by all owners of the row */
    _Atomic uint64_t twice;    /* twice the bytes of their payload, plus the messages */
    uint64_t zero;
};

/*
 * Row of a participant. The participant that holds the open-file-description lock on the row's
 * first byte (at its offset in the file) owns the row and is alive. The identity in the row is only
 * for people to read.
 */
enum { SHMR_ROW_FREE = 0, SHMR_ROW_ATTACHED = 1 };
struct shmr_row {
    _Atomic uint32_t state; /* ATTACHED and not locked: its owner died */
    _Atomic uint32_t generation;
    _Atomic uint32_t pid;
    _Atomic uint32_t role;
    _Atomic uint64_t start_time;
    _Atomic uint64_t pid_ns;
    _Atomic uint64_t attached_ns;
    _Atomic uint32_t uid;
    uint32_t zero0;
    _Atomic uint64_t comm[2];
    /* How often the row was taken in that role. Stored after the state: a reader of the count also
     * reads that the participant is there, or that it has left. */
    _Atomic uint64_t producers;
    _Atomic uint64_t consumers;
    _Atomic uint64_t hung_up; /* spsc: the other role's count when the owner last got -EPIPE because
                                 all had left */
    /* Written by the participant that has locked the row of a dead owner: */
    _Atomic uint64_t deaths;    /* bits 0-31: how many were recovered; 32-63: the last generation */
    _Atomic uint64_t recovered; /* mpmc: their messages, published again: lib/mpmc/blocks.h */
    uint64_t zero1[3];
    /* mpmc, the owner's: */
    struct shmr_tally sent;
    struct shmr_tally received;
    _Atomic uint64_t full_events; /* these two: since creation, by all owners of the row */
    _Atomic uint64_t empty_events;
    _Atomic uint64_t
        held_since; /* CLOCK_MONOTONIC, ns: when its first held block was taken; 0: none */
    uint64_t zero2[5];
};

/* See lib/wait/waitword.h. While no participant sleeps, none writes to this line. */
struct shmr_waitword {
    _Atomic uint32_t word;
    _Atomic uint32_t settled; /* not 0: every publishing participant sees WATCHED by now */
    uint32_t zero[30];
};

/* Behind the last row, written by all participants: one wait word for each event. */
struct shmr_waitwords {
    struct shmr_waitword readable;
    struct shmr_waitword writable;
};

/* Also used by the layout files of the kinds. */
#define SHMR_AT(type, field, offset)                                                               \
    static_assert(offsetof(struct type, field) == (offset), #type "." #field)
SHMR_AT(shmr_header, layout_version, 8);
SHMR_AT(shmr_header, byte_order, 12);
SHMR_AT(shmr_header, header_bytes, 16);
SHMR_AT(shmr_header, kind, 28);
SHMR_AT(shmr_header, flags, 32);
SHMR_AT(shmr_header, page_size, 36);
SHMR_AT(shmr_header, capacity, 40);
SHMR_AT(shmr_header, max_message, 48);
SHMR_AT(shmr_header, rows, 52);
SHMR_AT(shmr_header, segment_size, 56);
SHMR_AT(shmr_header, created_ns, 64);
SHMR_AT(shmr_header, creator_pid, 72);
SHMR_AT(shmr_header, creator_uid, 76);
SHMR_AT(shmr_header, creator_pid_ns, 80);
SHMR_AT(shmr_header, creator_comm, 88);
SHMR_AT(shmr_header, backend, 104);
SHMR_AT(shmr_header, name, 128);
SHMR_AT(shmr_header, crc, 508);
static_assert(sizeof(struct shmr_header) == 512, "shmr_header");
static_assert(sizeof(struct shmr_tally) == 32, "shmr_tally");
SHMR_AT(shmr_row, generation, 4);
SHMR_AT(shmr_row, pid, 8);
SHMR_AT(shmr_row, role, 12);
SHMR_AT(shmr_row, start_time, 16);
SHMR_AT(shmr_row, pid_ns, 24);
SHMR_AT(shmr_row, attached_ns, 32);
SHMR_AT(shmr_row, uid, 40);
SHMR_AT(shmr_row, comm, 48);
SHMR_AT(shmr_row, producers, 64);
SHMR_AT(shmr_row, consumers, 72);
SHMR_AT(shmr_row, hung_up, 80);
SHMR_AT(shmr_row, deaths, 88);
SHMR_AT(shmr_row, recovered, 96);
SHMR_AT(shmr_row, sent, 128);
SHMR_AT(shmr_row, received, 160);
SHMR_AT(shmr_row, full_events, 192);
SHMR_AT(shmr_row, held_since, 208);
static_assert(sizeof(struct shmr_row) == 256, "shmr_row");
SHMR_AT(shmr_waitwords, writable, 128);
static_assert(sizeof(struct shmr_waitwords) == 256, "shmr_waitwords");
static_assert(sizeof(_Atomic uint64_t) == 8, "atomics are plain words");
static_assert(sizeof(_Atomic uint32_t) == 4, "atomics are plain words");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "atomics are lock-free");
static_assert(ATOMIC_INT_LOCK_FREE == 2, "atomics are lock-free");

struct shmr_kind;

/* Where everything is in the segment. It is computed from header fields after they were checked,
 * and never read from the segment again. */
struct shmr_geometry {
    const struct shmr_kind *type; /* kind.h */
    uint32_t flags;
    uint32_t page_size;
    uint32_t max_message;
    uint32_t rows;
    uint32_t stride; /* mpmc: bytes from block to block */
    uint64_t capacity;
    uint64_t origins;  /* mpmc: offset in the data section */
    uint64_t producer; /* offsets in the segment */
    uint64_t table;
    uint64_t waitwords;
    uint64_t consumer;
    uint64_t data;
    uint64_t data_size;
    uint64_t segment_size;
};

struct shmring_config;

/* Check the parameters and compute the geometry. Returns 0, or -EINVAL or -EFBIG with the detail
 * set. */
int shmr_geometry(struct shmr_geometry *g, const struct shmring_config *config);

/* Check that a configuration's capacity is a power of two from `least` to `most`. Returns 0, or
 * -EINVAL or -EFBIG with the detail set. */
int shmr_check_capacity(uint64_t capacity, uint64_t least, uint64_t most, const char *unit);

/* Fill in a header for g, magic included, with the creator's identity. */
void shmr_header_init(struct shmr_header *h, const struct shmr_geometry *g, const char *name,
                      enum shmr_backend backend);

/*
 * Check a private copy of a header for consistency and against the size of its file, and compute
 * the geometry. Returns 0, -EBADMSG, -EPROTONOSUPPORT or -EFBIG, with the detail set.
 */
int shmr_header_check(const struct shmr_header *h, uint64_t file_size, struct shmr_geometry *g);

/* Has an existing queue the parameters that are wanted? The mode is not compared. Returns 0, or
 * -EEXIST with the difference in the detail. */
int shmr_geometry_same(const struct shmr_geometry *have, const struct shmr_geometry *want);

#endif
