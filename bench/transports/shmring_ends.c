/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "shmring_ends.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int shmring_ends_fail(struct link *l, const char *call, long result)
{
    return link_fail(l, "%s: %s: %s", call, strerror((int)-result), shmring_strerror_detail());
}

int shmring_ends_open(struct link *l)
{
    return shmring_ends_open_kind(l, &kind_spsc);
}

int shmring_ends_open_kind(struct link *l, const struct kind *kind)
{
    const struct shmring_config config = kind->configure(l->size, l->messages, l->capacity);
    struct shmring_ends *s = calloc(1, sizeof *s);
    if (!s)
        return link_errno(l, "calloc");
    l->state = s;
    for (int side = 0; side < 2; side++) {
        char name[sizeof s->name[0]];
        shmring_t *q;
        snprintf(name, sizeof name, "shmring-bench.%ld.%c", (long)getpid(), 'a' + side);
        shmring_unlink(name); /* left by a killed run that had this process id */
        int r = shmring_create(&q, name, &config);
        if (r != 0)
            return shmring_ends_fail(l, "shmring_create", r);
        memcpy(s->name[side], name, sizeof name);
        shmring_close(&q);
    }
    return 0;
}

/* A pair: a queue each way. */
static int attach_end(struct link *l)
{
    const struct shmring_waiting at_once = {.spin_ns = 0};
    struct shmring_ends *s = l->state;
    int r = shmring_open(&s->out, s->name[l->side], SHMRING_PRODUCER | s->options);
    if (r == 0)
        r = shmring_open(&s->in, s->name[1 - l->side], SHMRING_CONSUMER | s->options);
    if (r == 0 && s->sleep)
        r = shmring_set_waiting(s->out, &at_once);
    return r == 0 && s->sleep ? shmring_set_waiting(s->in, &at_once) : r;
}

/* Side A has both roles; B only takes part in the probe. */
static int attach_alone(struct link *l)
{
    struct shmring_ends *s = l->state;
    int r = 0;
    if (l->side == SIDE_A)
        r = shmring_open(&s->out, s->name[SIDE_A], SHMRING_PRODUCER | SHMRING_CONSUMER);
    s->in = s->out;
    return r;
}

/* All members attach to one queue; idle members have both roles. */
static int attach_member(struct link *l)
{
    struct shmring_ends *s = l->state;
    if (l->member < l->crew.producers)
        return shmring_open(&s->out, s->name[0], SHMRING_PRODUCER);
    if (l->member < l->crew.producers + l->crew.consumers)
        return shmring_open(&s->in, s->name[0], SHMRING_CONSUMER);
    return shmring_open(&s->in, s->name[0], SHMRING_PRODUCER | SHMRING_CONSUMER);
}

int shmring_ends_attach(struct link *l)
{
    int r = l->alone ? attach_alone(l) : l->crew.producers > 0 ? attach_member(l) : attach_end(l);
    return r == 0 ? 0 : shmring_ends_fail(l, "shmring_open", r);
}

long shmring_ends_send(struct link *l, uint64_t seq, long n)
{
    shmring_t *q = shmring_out(l);
    for (uint64_t end = seq + (uint64_t)n; seq != end; seq++) {
        int r;
        payload_fill(l->buffer, l->size, seq);
        while ((r = l->block ? shmring_send_wait(q, l->buffer, l->size, NULL)
                             : shmring_send(q, l->buffer, l->size)) == -EAGAIN)
            ;
        if (r != 0)
            return shmring_ends_fail(l, "shmring_send", r);
    }
    return n;
}

long shmring_ends_recv(struct link *l, uint64_t seq, long n)
{
    shmring_t *q = shmring_in(l);
    for (uint64_t end = seq + (uint64_t)n; seq != end; seq++) {
        ssize_t r;
        while ((r = l->block ? shmring_recv_wait(q, l->buffer, l->size, NULL)
                             : shmring_recv(q, l->buffer, l->size)) == -EAGAIN)
            ;
        if (r < 0)
            return shmring_ends_fail(l, "shmring_recv", r);
        if (r != (ssize_t)l->size)
            return link_bad_length(l, seq, (long)r);
        if (!link_check(l, l->buffer, seq))
            return -1;
    }
    return n;
}

static const struct timespec nap = {.tv_nsec = NAP_MS * 1000000};

/* Was there no room, or no message? */
static bool in_vain(long r)
{
    return r == -EAGAIN || r == -ETIMEDOUT;
}

long shmring_ends_try_send(struct link *l, void *message, long n)
{
    (void)n;
    const int r = l->block ? shmring_send_wait(shmring_out(l), message, l->size, &nap)
                           : shmring_send(shmring_out(l), message, l->size);
    if (r == 0)
        return 1;
    return in_vain(r) ? 0 : shmring_ends_fail(l, "shmring_send", r);
}

long shmring_ends_try_recv(struct link *l, void *message, long n)
{
    (void)n;
    const ssize_t r = l->block ? shmring_recv_wait(shmring_in(l), message, l->size, &nap)
                               : shmring_recv(shmring_in(l), message, l->size);
    if (r == (ssize_t)l->size)
        return 1;
    if (r >= 0)
        return link_fail(l, "a message came with %zd bytes, not %zu", r, l->size);
    return in_vain(r) ? 0 : shmring_ends_fail(l, "shmring_recv", r);
}

/* Fill the iovecs of the messages in l->buffer. */
static void describe(const struct link *l, struct iovec *messages)
{
    for (int i = 0; i < l->batch; i++)
        messages[i] = (struct iovec){l->buffer + (size_t)i * l->size, l->size};
}

/* The number of messages of the next call. */
static int part(const struct link *l, long left)
{
    return left < l->batch ? (int)left : l->batch;
}

long shmring_ends_send_batch(struct link *l, uint64_t seq, long n)
{
    shmring_t *q = shmring_out(l);
    struct iovec messages[BATCH_MAX];
    describe(l, messages);
    for (long sent = 0; sent < n;) {
        int count = part(l, n - sent), done = 0;
        for (int i = 0; i < count; i++)
            payload_fill(messages[i].iov_base, l->size, seq + (uint64_t)(sent + i));
        while (done < count) {
            int r = shmring_send_batch(q, messages + done, count - done);
            if (r > 0)
                done += r;
            else if (r != -EAGAIN)
                return shmring_ends_fail(l, "shmring_send_batch", r);
        }
        sent += count;
    }
    return n;
}

long shmring_ends_recv_batch(struct link *l, uint64_t seq, long n)
{
    shmring_t *q = shmring_in(l);
    struct iovec messages[BATCH_MAX];
    describe(l, messages);
    for (long got = 0; got < n;) {
        int r;
        while ((r = shmring_recv_batch(q, messages, part(l, n - got))) == -EAGAIN)
            ;
        if (r <= 0)
            return shmring_ends_fail(l, "shmring_recv_batch", r);
        for (int i = 0; i < r; i++, got++) {
            if (messages[i].iov_len != l->size)
                return link_bad_length(l, seq + (uint64_t)got, (long)messages[i].iov_len);
            if (!link_check(l, messages[i].iov_base, seq + (uint64_t)got))
                return -1;
        }
    }
    return n;
}

void shmring_ends_close(struct link *l)
{
    struct shmring_ends *s = l->state;
    if (!s)
        return;
    for (int side = 0; side < 2; side++)
        if (s->name[side][0] != '\0')
            shmring_unlink(s->name[side]);
    free(s);
}
