/* SPDX-License-Identifier: MIT */
/* shmring to many consumers: a broadcast queue, whose consumers may miss messages or are reliable;
 * and an spsc queue for each consumer, which the producer serves in turn. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "shmring_ends.h"

struct queues {
    char name[SUBSCRIBERS_MAX][64]; /* of the queues, by subscriber; one of a broadcast queue */
    int queues;
    shmring_t *out[SUBSCRIBERS_MAX];
    int served; /* of `out`, in the send that goes on */
    shmring_t *in;
};

static const struct timespec nap = {.tv_nsec = NAP_MS * 1000000};

static int make_queues(struct link *l, struct shmring_config config, int queues)
{
    struct queues *f = calloc(1, sizeof *f);
    if (!f)
        return link_errno(l, "calloc");
    l->state = f;
    for (int i = 0; i < queues; i++) {
        shmring_t *q;
        snprintf(f->name[i], sizeof f->name[i], "shmring-bench.%ld.%d", (long)getpid(), i);
        shmring_unlink(f->name[i]); /* left by a killed run that had this process id */
        const int r = shmring_create(&q, f->name[i], &config);
        if (r != 0)
            return shmring_ends_fail(l, "shmring_create", r);
        f->queues++;
        shmring_close(&q);
    }
    return 0;
}

static int open_broadcast(struct link *l)
{
    struct shmring_config config = kind_broadcast.configure(l->size, l->messages, l->capacity);
    config.max_participants = CREW_MAX;
    return make_queues(l, config, 1);
}

static int open_each(struct link *l)
{
    return make_queues(l, kind_spsc.configure(l->size, l->messages, l->capacity),
                       l->crew.consumers + l->crew.idle);
}

static int attach_as(struct link *l, unsigned flags)
{
    struct queues *f = l->state;
    int r = 0;
    if (l->subscriber >= 0)
        r = shmring_open(&f->in, f->name[f->queues > 1 ? l->subscriber : 0],
                         SHMRING_CONSUMER | flags);
    for (int i = 0; i < f->queues && l->subscriber < 0 && r == 0; i++)
        r = shmring_open(&f->out[i], f->name[i], SHMRING_PRODUCER);
    return r == 0 ? 0 : shmring_ends_fail(l, "shmring_open", r);
}

static int attach_lossy(struct link *l)
{
    return attach_as(l, 0);
}

static int attach_reliable(struct link *l)
{
    return attach_as(l, SHMRING_RELIABLE);
}

static void close_queues(struct link *l)
{
    struct queues *f = l->state;
    if (!f)
        return;
    for (int i = 0; i < SUBSCRIBERS_MAX; i++)
        if (f->name[i][0] != '\0')
            shmring_unlink(f->name[i]);
    free(f);
}

static long send_to_all(struct link *l, void *message, long n)
{
    struct queues *f = l->state;
    (void)n;
    for (; f->served < f->queues; f->served++) {
        shmring_t *q = f->out[f->served];
        const int r = l->block ? shmring_send_wait(q, message, l->size, &nap)
                               : shmring_send(q, message, l->size);
        if (r == -EAGAIN || r == -ETIMEDOUT)
            return 0;
        if (r != 0)
            return shmring_ends_fail(l, "shmring_send", r);
    }
    f->served = 0;
    return 1;
}

static long recv_one(struct link *l, void *message, long n)
{
    const struct queues *f = l->state;
    (void)n;
    const ssize_t r = l->block ? shmring_recv_wait(f->in, message, l->size, &nap)
                               : shmring_recv(f->in, message, l->size);
    if (r == (ssize_t)l->size)
        return 1;
    if (r >= 0)
        return link_fail(l, "a message came with %zd bytes, not %zu", r, l->size);
    if (r == -EAGAIN || r == -ETIMEDOUT || r == -EOVERFLOW) /* the next message tells the gap */
        return 0;
    return shmring_ends_fail(l, "shmring_recv", r);
}

static int missed(struct link *l, uint64_t *messages)
{
    const struct queues *f = l->state;
    struct shmring_stat st;
    const int r = shmring_stat(f->in, &st);
    *messages = st.missed_here;
    return r == 0 ? 0 : shmring_ends_fail(l, "shmring_stat", r);
}

const struct transport shmring_broadcast_transport = {
    .name = "shmring-broadcast",
    .group = "broadcast",
    .what = "broadcast: shmring, whose producer waits for no consumer",
    .flags = CAN_SPIN | CAN_BLOCK | IS_BROADCAST | IS_LOSSY | IS_LOCK_FREE,
    .open = open_broadcast,
    .attach = attach_lossy,
    .try_send = send_to_all,
    .try_recv = recv_one,
    .missed = missed,
    .close = close_queues,
};

const struct transport shmring_reliable_transport = {
    .name = "shmring-reliable",
    .group = "broadcast",
    .what = "broadcast: the same queue, whose producer waits for all consumers",
    .flags = CAN_SPIN | CAN_BLOCK | IS_BROADCAST,
    .open = open_broadcast,
    .attach = attach_reliable,
    .try_send = send_to_all,
    .try_recv = recv_one,
    .missed = missed,
    .close = close_queues,
};

const struct transport shmring_spsc_each_transport = {
    .name = "shmring-spsc-each",
    .group = "broadcast",
    .what = "broadcast: a shmring spsc queue for each consumer",
    .flags = CAN_SPIN | CAN_BLOCK | IS_BROADCAST,
    .open = open_each,
    .attach = attach_lossy,
    .try_send = send_to_all,
    .try_recv = recv_one,
    .close = close_queues,
};
