/* SPDX-License-Identifier: MIT */
/* Sending and receiving: who may, the algorithm, and what its refusals mean. */
#include <config.h>

#include <errno.h>

#include <shmring/shmring.h>

#include "base/error.h"
#include "base/trace.h"
#include "core/handle.h"
#include "core/recovery.h"
#include "spsc/batch.h"
#include "wait/sleep.h"

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* What is on the way of every message in one piece, and what is not out of its way. */
#define HOT  __attribute__((flatten, noinline, aligned(64)))
#define COLD __attribute__((cold, noinline))

/* The operation of the queue's kind, on the side it belongs to. */
#define SEND_SIDE(q, operation, ...)                                                               \
    ((q)->kind == SHMRING_SPSC ? shmr_spsc_##operation(&(q)->producer, __VA_ARGS__)                \
                               : shmr_mpmc_##operation(&(q)->mpmc, __VA_ARGS__))
#define RECEIVE_SIDE(q, operation, ...)                                                            \
    ((q)->kind == SHMRING_SPSC ? shmr_spsc_##operation(&(q)->consumer, __VA_ARGS__)                \
                               : shmr_mpmc_##operation(&(q)->mpmc, __VA_ARGS__))

/* mpmc: after so many messages, or failures in a row, it is time to think of dead participants. */
#define MESSAGES_PER_SWEEP 4096
#define LOOKS_PER_SWEEP    16

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

COLD static int refuse(const shmring_t *q, const char *role)
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

/* Leaves errno as it is: a signal handler may be running. */
static bool name_is_gone(const shmring_t *q)
{
    const int error = errno;
    const bool gone = shmr_handle_check_name(q) < 0;

    errno = error;
    return gone;
}

/* Full, or empty: is there a queue at all, and is what others held in dead hands? */
static int nothing_now(shmring_t *q, uint32_t misses)
{
    if (misses % LOOKS_PER_NAME_CHECK == 0 && name_is_gone(q))
        return -ESTALE;
    if (q->kind == SHMRING_MPMC && misses % LOOKS_PER_SWEEP == 1)
        shmr_sweep(q, SHMR_SWEEP_BLOCKS);
    return -EAGAIN;
}

COLD static int send_failed(shmring_t *q, int r, size_t len, size_t limit)
{
    if (q->lost) /* what was found there means nothing */
        return shmr_handle_check_memory(q);
    switch (r) {
    case -EAGAIN:
        q->waiting.refused = len;
        SHMR_TRACE(full, q, len);
        return nothing_now(q, q->kind == SHMRING_SPSC ? q->producer.misses
                                                      : q->mpmc.queue.send_misses);
    case -EMSGSIZE:
        return shmr_fail_fast(EMSGSIZE, "the message has %llu bytes: at most %llu", len, limit);
    case -EINPROGRESS:
        return shmr_fail_fast(EINPROGRESS, "a reservation is open: commit or cancel it first", 0,
                              0);
    case -ENOBUFS:
        return shmr_fail_fast(ENOBUFS, "%llu reservations are open: commit or cancel some first",
                              SHMRING_RESERVED_MAX, 0);
    case -EINVAL:
        return shmr_fail_fast(EINVAL, "this is not the open reservation", 0, 0);
    default: /* spsc only */
        return shmr_handle_poison(q, q->producer.damage);
    }
}

COLD static int recv_failed(shmring_t *q, int r, size_t size)
{
    if (q->lost)
        return shmr_handle_check_memory(q);
    switch (r) {
    case -EAGAIN:
        return nothing_now(q, q->kind == SHMRING_SPSC ? q->consumer.misses
                                                      : q->mpmc.queue.receive_misses);
    case -EMSGSIZE:
        return shmr_fail_fast(EMSGSIZE,
                              "the buffer has %llu bytes: the next message is longer, at most %llu",
                              size, q->geometry.max_message);
    case -EINPROGRESS:
        return shmr_fail_fast(EINPROGRESS,
                              "messages from shmring_peek() are held: release them first", 0, 0);
    case -EINVAL:
        return shmr_fail_fast(
            EINVAL,
            q->kind == SHMRING_SPSC
                ? "this is not the oldest message held: released already, or out of turn"
                : "this is not a message held: released already",
            0, 0);
    default:
        return shmr_handle_poison(q, q->kind == SHMRING_SPSC ? q->consumer.damage
                                                             : q->mpmc.queue.damage);
    }
}

/* A success on an mpmc queue: COUNT messages, which make N in all. */
static inline void count_towards_sweep(shmring_t *q, uint64_t n, int count)
{
    if (q->kind == SHMRING_MPMC && unlikely(n % MESSAGES_PER_SWEEP < (uint64_t)count))
        shmr_sweep(q, SHMR_SWEEP_BLOCKS);
}

/* mpmc: whoever holds nothing may be about to, and shmring_participants() says since when. */
static inline void note_time(shmring_t *q)
{
    if (q->kind == SHMRING_MPMC && !shmr_mpmc_holds_any(&q->mpmc))
        q->mpmc.now = shmr_coarse_now();
}

/*
 * The two calls that most programs make for every message: the quick ways of spsc in place, where a
 * few instructions tell, and everything else by a jump, so that registers are saved only where it
 * takes them.
 */
HOT static int send_spsc(shmring_t *q, const void *msg, size_t len)
{
    int r = shmr_spsc_send_whole(&q->producer, msg, len);

    if (unlikely(r < 0))
        return send_failed(q, r, len, q->geometry.max_message);
    return shmr_tell(q, SHMR_READABLE, 1);
}

HOT static int send_mpmc(shmring_t *q, const void *msg, size_t len)
{
    int r = shmr_mpmc_send(&q->mpmc, msg, len);

    if (unlikely(r < 0))
        return send_failed(q, r, len, q->geometry.max_message);
    if (unlikely(q->mpmc.sent % MESSAGES_PER_SWEEP == 0))
        shmr_sweep(q, SHMR_SWEEP_BLOCKS);
    return shmr_tell(q, SHMR_READABLE, 1);
}

static inline int send_any(shmring_t *q, const void *msg, size_t len)
{
    if (!may_send(q))
        return refuse_send(q);
    SHMR_ALONE(q);
    if (q->kind != SHMRING_SPSC)
        return send_mpmc(q, msg, len);
    if (unlikely(!shmr_spsc_send_quick(&q->producer, msg, len)))
        return send_spsc(q, msg, len);
    return shmr_tell(q, SHMR_READABLE, 1);
}

HOT int shmring_send(shmring_t *q, const void *msg, size_t len)
{
    return send_any(q, msg, len);
}

int shmring_send_wait(shmring_t *q, const void *msg, size_t len, const struct timespec *timeout)
{
    int r = send_any(q, msg, len);

    return likely(r != -EAGAIN) ? r : shmr_send_later(q, msg, len, timeout);
}

int shmring_send_batch(shmring_t *q, const struct iovec *msgs, int n)
{
    if (!may_send(q))
        return refuse_send(q);
    SHMR_ALONE(q);
    if (n < 1)
        return shmr_fail_fast(EINVAL, "a batch has at least one message", 0, 0);

    int r = SEND_SIDE(q, send_batch, msgs, n);
    if (unlikely(r < 0))
        return send_failed(q, r, msgs[0].iov_len, q->geometry.max_message);
    if (unlikely(shmr_tell(q, SHMR_READABLE, r) < 0))
        return -EBADMSG;
    count_towards_sweep(q, q->mpmc.sent, r);
    return r;
}

int shmring_reserve(shmring_t *q, size_t len, void **msg)
{
    if (!may_send(q))
        return refuse_send(q);
    SHMR_ALONE(q);

    note_time(q);
    int r = SEND_SIDE(q, reserve, len, msg);
    return likely(r == 0) ? 0 : send_failed(q, r, len, q->geometry.max_message);
}

/* Bytes of an open reservation. */
static size_t reserved_length(const shmring_t *q, const void *msg)
{
    if (q->kind == SHMRING_SPSC)
        return q->producer.reservation;
    return q->mpmc.reserved.length[shmr_held_find(&q->mpmc.reserved, &q->mpmc.queue, msg)];
}

int shmring_commit(shmring_t *q, void *msg, size_t len)
{
    if (!may_send(q))
        return refuse_send(q);
    SHMR_ALONE(q);

    int r = SEND_SIDE(q, commit, msg, len);
    if (unlikely(r < 0))
        return send_failed(q, r, len, r == -EMSGSIZE ? reserved_length(q, msg) : 0);
    count_towards_sweep(q, q->mpmc.sent, 1);
    return shmr_tell(q, SHMR_READABLE, 1);
}

int shmring_cancel(shmring_t *q, void *msg)
{
    if (!may_send(q))
        return refuse_send(q);
    SHMR_ALONE(q);

    int r = SEND_SIDE(q, cancel, msg);
    if (unlikely(r < 0))
        return send_failed(q, r, 0, q->geometry.max_message);
    return shmr_tell(q, SHMR_WRITABLE, 1); /* mpmc: another producer can have the block */
}

HOT static ssize_t recv_spsc(shmring_t *q, void *buf, size_t size)
{
    ssize_t r = shmr_spsc_recv_whole(&q->consumer, buf, size);

    if (unlikely(r < 0))
        return recv_failed(q, (int)r, size);
    if (unlikely(shmr_tell(q, SHMR_WRITABLE, 1) < 0))
        return -EBADMSG;
    return r;
}

HOT static ssize_t recv_mpmc(shmring_t *q, void *buf, size_t size)
{
    ssize_t r = shmr_mpmc_recv(&q->mpmc, buf, size);

    if (unlikely(r < 0))
        return recv_failed(q, (int)r, size);
    if (unlikely(shmr_tell(q, SHMR_WRITABLE, 1) < 0))
        return -EBADMSG;
    if (unlikely(q->mpmc.received % MESSAGES_PER_SWEEP == 0))
        shmr_sweep(q, SHMR_SWEEP_BLOCKS);
    return r;
}

COLD static ssize_t received_and_ring(shmring_t *q, ssize_t r)
{
    return unlikely(shmr_ring(q, SHMR_WRITABLE, 1) < 0) ? -EBADMSG : r;
}

static inline ssize_t recv_any(shmring_t *q, void *buf, size_t size)
{
    if (!may_receive(q))
        return refuse_receive(q);
    SHMR_ALONE(q);
    if (q->kind != SHMRING_SPSC)
        return recv_mpmc(q, buf, size);

    ssize_t r;
    if (unlikely(!shmr_spsc_recv_quick(&q->consumer, buf, size, &r)))
        return recv_spsc(q, buf, size);
    return likely(!shmr_is_heeded(q, SHMR_WRITABLE)) ? r : received_and_ring(q, r);
}

HOT ssize_t shmring_recv(shmring_t *q, void *buf, size_t size)
{
    return recv_any(q, buf, size);
}

ssize_t shmring_recv_wait(shmring_t *q, void *buf, size_t size, const struct timespec *timeout)
{
    ssize_t r = recv_any(q, buf, size);

    return likely(r != -EAGAIN) ? r : shmr_recv_later(q, buf, size, timeout);
}

int shmring_recv_batch(shmring_t *q, struct iovec *msgs, int n)
{
    if (!may_receive(q))
        return refuse_receive(q);
    SHMR_ALONE(q);
    if (n < 1)
        return shmr_fail_fast(EINVAL, "a batch has at least one message", 0, 0);

    int r = RECEIVE_SIDE(q, recv_batch, msgs, n);
    if (unlikely(r < 0))
        return recv_failed(q, r, msgs[0].iov_len);
    if (unlikely(shmr_tell(q, SHMR_WRITABLE, r) < 0))
        return -EBADMSG;
    count_towards_sweep(q, q->mpmc.received, r);
    return r;
}

ssize_t shmring_peek(shmring_t *q, const void **msg, struct shmring_info *info)
{
    if (!may_receive(q))
        return refuse_receive(q);
    SHMR_ALONE(q);

    note_time(q);
    ssize_t r = RECEIVE_SIDE(q, peek, msg, info);
    return likely(r >= 0) ? r : recv_failed(q, (int)r, 0);
}

int shmring_release(shmring_t *q, const void *msg)
{
    if (!may_receive(q))
        return refuse_receive(q);
    SHMR_ALONE(q);

    int r = RECEIVE_SIDE(q, release, msg);
    if (unlikely(r < 0))
        return recv_failed(q, r, 0);
    count_towards_sweep(q, q->mpmc.received, 1);
    return shmr_tell(q, SHMR_WRITABLE, 1);
}
