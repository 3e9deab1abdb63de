/* SPDX-License-Identifier: MIT */
/* Sending and receiving: who may, the algorithm, and what its refusals mean. */
#include <config.h>

#include <errno.h>

#include <shmring/shmring.h>

#include "error.h"
#include "handle.h"

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* So many -EAGAIN in a row before the kernel is asked whether the queue still has its name. */
#define LOOKS_PER_NAME_CHECK 65536

static inline bool may_send(const shmring_t *q)
{
    return likely(q != NULL) && likely(q->send_mark == *q->process);
}

static inline bool may_receive(const shmring_t *q)
{
    return likely(q != NULL) && likely(q->receive_mark == *q->process);
}

__attribute__((cold)) static int refuse(const shmring_t *q, const char *role)
{
    int r = shmr_handle_check(q);

    return r < 0 ? r : shmr_fail_fast(EPERM, role, 0, 0);
}

static int refuse_send(const shmring_t *q)
{
    return refuse(q, "the handle is not a producer's: open the queue with SHMRING_PRODUCER");
}

static int refuse_receive(const shmring_t *q)
{
    return refuse(q, "the handle is not a consumer's: open the queue with SHMRING_CONSUMER");
}

__attribute__((cold)) static int send_failed(shmring_t *q, int r, size_t len)
{
    switch (r) {
    case -EAGAIN:
        if (q->producer.misses % LOOKS_PER_NAME_CHECK == 0 && shmr_handle_check_name(q) < 0)
            return -ESTALE;
        return -EAGAIN;
    case -EMSGSIZE:
        return shmr_fail_fast(EMSGSIZE, "the message has %llu bytes: at most %llu", len,
                              q->producer.reserved ? q->producer.reservation
                                                   : q->producer.max_message);
    case -EINPROGRESS:
        return shmr_fail_fast(EINPROGRESS, "a reservation is open: commit or cancel it first", 0,
                              0);
    case -EINVAL:
        return shmr_fail_fast(EINVAL, "this is not the open reservation", 0, 0);
    default:
        return shmr_handle_poison(q, "corrupt: the consumer's head is not in the ring");
    }
}

__attribute__((cold)) static int recv_failed(shmring_t *q, int r, size_t size)
{
    switch (r) {
    case -EAGAIN:
        if (q->consumer.misses % LOOKS_PER_NAME_CHECK == 0 && shmr_handle_check_name(q) < 0)
            return -ESTALE;
        return -EAGAIN;
    case -EMSGSIZE:
        return shmr_fail_fast(EMSGSIZE,
                              "the buffer has %llu bytes: the next message is longer, at most %llu",
                              size, q->consumer.max_message);
    case -EINPROGRESS:
        return shmr_fail_fast(EINPROGRESS,
                              "messages from shmring_peek() are held: release them first", 0, 0);
    case -ENOBUFS:
        return shmr_fail_fast(ENOBUFS, "%llu messages are held: release some first",
                              SHMRING_HELD_MAX, 0);
    case -EINVAL:
        return shmr_fail_fast(
            EINVAL, "this is not the oldest message held: released already, or out of turn", 0, 0);
    default:
        return shmr_handle_poison(q, "corrupt: a record is longer than max_message");
    }
}

int shmring_send(shmring_t *q, const void *msg, size_t len)
{
    if (!may_send(q))
        return refuse_send(q);

    int r = shmr_spsc_send(&q->producer, msg, len);
    return likely(r == 0) ? 0 : send_failed(q, r, len);
}

int shmring_send_batch(shmring_t *q, const struct iovec *msgs, int n)
{
    if (!may_send(q))
        return refuse_send(q);
    if (n < 1)
        return shmr_fail_fast(EINVAL, "a batch has at least one message", 0, 0);

    int r = shmr_spsc_send_batch(&q->producer, msgs, n);
    return likely(r > 0) ? r : send_failed(q, r, msgs[0].iov_len);
}

int shmring_reserve(shmring_t *q, size_t len, void **msg)
{
    if (!may_send(q))
        return refuse_send(q);

    int r = shmr_spsc_reserve(&q->producer, len, msg);
    return likely(r == 0) ? 0 : send_failed(q, r, len);
}

int shmring_commit(shmring_t *q, void *msg, size_t len)
{
    if (!may_send(q))
        return refuse_send(q);

    int r = shmr_spsc_commit(&q->producer, msg, len);
    return likely(r == 0) ? 0 : send_failed(q, r, len);
}

int shmring_cancel(shmring_t *q, void *msg)
{
    if (!may_send(q))
        return refuse_send(q);

    int r = shmr_spsc_cancel(&q->producer, msg);
    return likely(r == 0) ? 0 : send_failed(q, r, 0);
}

ssize_t shmring_recv(shmring_t *q, void *buf, size_t size)
{
    if (!may_receive(q))
        return refuse_receive(q);

    ssize_t r = shmr_spsc_recv(&q->consumer, buf, size);
    return likely(r >= 0) ? r : recv_failed(q, (int)r, size);
}

int shmring_recv_batch(shmring_t *q, struct iovec *msgs, int n)
{
    if (!may_receive(q))
        return refuse_receive(q);
    if (n < 1)
        return shmr_fail_fast(EINVAL, "a batch has at least one message", 0, 0);

    int r = shmr_spsc_recv_batch(&q->consumer, msgs, n);
    return likely(r > 0) ? r : recv_failed(q, r, msgs[0].iov_len);
}

ssize_t shmring_peek(shmring_t *q, const void **msg, struct shmring_info *info)
{
    if (!may_receive(q))
        return refuse_receive(q);

    ssize_t r = shmr_spsc_peek(&q->consumer, msg, info);
    return likely(r >= 0) ? r : recv_failed(q, (int)r, 0);
}

int shmring_release(shmring_t *q, const void *msg)
{
    if (!may_receive(q))
        return refuse_receive(q);

    int r = shmr_spsc_release(&q->consumer, msg);
    return likely(r == 0) ? 0 : recv_failed(q, r, 0);
}
