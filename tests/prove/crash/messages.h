/* SPDX-License-Identifier: MIT */
/*
 * The messages of the byte rings, spsc.c and broadcast.c. They are those of oracle.h, of one
 * stream, numbered from the queue's creation: so a receiver knows which must come next.
 */
#ifndef CRASH_MESSAGES_H
#define CRASH_MESSAGES_H

#include <shmring/shmring.h>

#include "oracle.h"

enum { LONGEST_MESSAGE = 36 };

static inline size_t message_length(uint64_t n)
{
    return oracle_length(n, LONGEST_MESSAGE);
}

static inline void message_write(uint64_t n, void *to)
{
    oracle_write(n, to, message_length(n));
}

static inline bool message_is(uint64_t n, const void *bytes, size_t length)
{
    uint64_t name;

    return oracle_read(&name, bytes, length, LONGEST_MESSAGE) == ORACLE_RIGHT && name == n;
}

/* Bytes that message n takes in the ring. */
static inline uint64_t record_size(uint64_t n)
{
    return shmring_record_size((uint32_t)message_length(n));
}

#endif
