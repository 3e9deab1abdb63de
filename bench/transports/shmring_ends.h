/* SPDX-License-Identifier: MIT */
/* The common part of the ways to use a shmring queue: a queue each way. */
#ifndef BENCH_TRANSPORTS_SHMRING_ENDS_H
#define BENCH_TRANSPORTS_SHMRING_ENDS_H

#include <shmring/shmring.h>

#include "../kind.h"
#include "all.h"

struct shmring_ends {
    char name[2][64]; /* of the queue each side sends into; empty: not made */
    unsigned options; /* to open them with */
    bool sleep;       /* with l->block: sleep at once, without spinning first */
    shmring_t *out;
    shmring_t *in;
};

int shmring_ends_open(struct link *l); /* spsc */
int shmring_ends_open_kind(struct link *l, const struct kind *kind);
int shmring_ends_attach(struct link *l);
void shmring_ends_close(struct link *l);

/* shmring_send() and shmring_recv(), or with l->block the calls that wait */
long shmring_ends_send(struct link *l, uint64_t seq, long n);
long shmring_ends_recv(struct link *l, uint64_t seq, long n);

/* likewise, l->batch messages a call */
long shmring_ends_send_batch(struct link *l, uint64_t seq, long n);
long shmring_ends_recv_batch(struct link *l, uint64_t seq, long n);

/* One shmring_send() or shmring_recv() */
long shmring_ends_try_send(struct link *l, void *message, long n);
long shmring_ends_try_recv(struct link *l, void *message, long n);

/* CALL returned result. Returns -1. */
int shmring_ends_fail(struct link *l, const char *call, long result);

static inline shmring_t *shmring_out(const struct link *l)
{
    return ((const struct shmring_ends *)l->state)->out;
}

static inline shmring_t *shmring_in(const struct link *l)
{
    return ((const struct shmring_ends *)l->state)->in;
}

#endif
