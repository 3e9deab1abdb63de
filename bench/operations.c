/* SPDX-License-Identifier: MIT */
/*
 * operations KIND SIZE: the operations whose instructions bench/count-instructions counts, each
 * TIMES times. One process fills a queue, then empties it, so nothing depends on time or on another
 * processor. Each operation is called in a function of its own, so that a profile has its name.
 */
#include <config.h>

#include <shmring/shmring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kind.h"

enum { TIMES = 1024, BATCH = 32, SIZE_MAX_HERE = 64 /* bytes */ };

#if defined __clang__ /* which clones none */
#define SEPARATE __attribute__((noinline))
#else
#define SEPARATE __attribute__((noinline, noclone))
#endif

static shmring_t *q;
static size_t size;
static unsigned char message[BATCH * SIZE_MAX_HERE];

static void check(long result, long expected)
{
    if (result == expected)
        return;
    fprintf(stderr, "operations: %ld, not %ld: %s\n", result, expected, shmring_strerror_detail());
    exit(1);
}

SEPARATE static void send_all(void)
{
    for (int i = 0; i < TIMES; i++)
        check(shmring_send(q, message, size), 0);
}

SEPARATE static void recv_all(void)
{
    for (int i = 0; i < TIMES; i++)
        check(shmring_recv(q, message, sizeof message), (long)size);
}

SEPARATE static void reserve_all(void)
{
    for (int i = 0; i < TIMES; i++) {
        void *p;
        check(shmring_reserve(q, size, &p), 0);
        memcpy(p, message, size);
        check(shmring_commit(q, p, size), 0);
    }
}

SEPARATE static void peek_all(void)
{
    for (int i = 0; i < TIMES; i++) {
        const void *p;
        check(shmring_peek(q, &p, NULL), (long)size);
        check(shmring_release(q, p), 0);
    }
}

static void describe(struct iovec part[BATCH])
{
    for (int i = 0; i < BATCH; i++)
        part[i] = (struct iovec){message + (size_t)i * SIZE_MAX_HERE, size};
}

SEPARATE static void send_batch_all(void)
{
    struct iovec part[BATCH];
    describe(part);
    for (int i = 0; i < TIMES; i += BATCH)
        check(shmring_send_batch(q, part, BATCH), BATCH);
}

SEPARATE static void recv_batch_all(void)
{
    struct iovec part[BATCH];
    for (int i = 0; i < TIMES; i += BATCH) {
        describe(part);
        check(shmring_recv_batch(q, part, BATCH), BATCH);
    }
}

int main(int argc, char **argv)
{
    const struct kind *kind = argc == 3 ? kind_named(argv[1]) : NULL;

    if (!kind || (size = (size_t)atoi(argv[2])) == 0 || size > SIZE_MAX_HERE) {
        fputs("usage: operations spsc|mpmc|broadcast SIZE\n", stderr);
        return 2;
    }
    struct shmring_config config = kind->configure(size, 2 * TIMES, 0);
    config.flags = SHMRING_PRODUCER | SHMRING_CONSUMER;
    check(shmring_create(&q, "memfd:operations", &config), 0);
    send_all();
    recv_all();
    reserve_all();
    peek_all();
    send_batch_all();
    recv_batch_all();
    shmring_close(&q);
    return 0;
}
