/* SPDX-License-Identifier: MIT */
/*
 * Receiving: whether the handle may, the kind's operation, and the errors that it stands for. To
 * read a whole receive, read this file, the kind's hot.h, its operation (spsc/ring.h,
 * mpmc/participant.h), base/cpu.h and wait/waitword.h.
 */
#include <config.h>

#include <errno.h>

#include <shmring/shmring.h>

#include "api/hot.h"

static inline bool may_receive(const shmring_t *q)
{
    return likely(q != NULL) && likely(q->receive_mark == *q->process);
}

COLD static int refuse_receive(const shmring_t *q)
{
    return shmr_refuse(q, "the handle is not a consumer's: open the queue with SHMRING_CONSUMER");
}

COLD static int recv_failed(shmring_t *q, int r, size_t size)
{
    if (q->lost)
        return shmr_handle_check_memory(q);
    switch (r) {
    case -EAGAIN:
        return shmr_nothing_now(q, q->receiving->misses);
    case -EMSGSIZE:
        return shmr_fail_fast(EMSGSIZE,
                              "the buffer has %llu bytes: the next message is longer, at most %llu",
                              size, q->geometry.max_message);
    case -EINPROGRESS:
        return shmr_fail_fast(EINPROGRESS,
                              "messages from shmring_peek() are held: release them first", 0, 0);
    case -EINVAL:
        return shmr_fail_fast(EINVAL, q->geometry.type->not_held, 0, 0);
    case -ENOBUFS:
        return shmr_fail_fast(ENOBUFS, "%llu messages are held: release some first",
                              SHMRING_PEEKED_MAX, 0);
    case -EOVERFLOW:
        if (q->geometry.type->lost_patience(q))
            return shmr_fail_fast(EOVERFLOW,
                                  "the producer has lost patience and overtaken this consumer, "
                                  "which has missed %llu messages and is no longer reliable: open "
                                  "the queue again to be reliable",
                                  q->geometry.type->missed_now(q), 0);
        return shmr_fail_fast(EOVERFLOW,
                              "the producer has overtaken this consumer, which has missed %llu "
                              "messages",
                              q->geometry.type->missed_now(q), 0);
    default:
        return shmr_handle_poison(q, q->receiving->damage);
    }
}

/* ---- One message ----------------------------------------------------------------------------- */

/* As in send.c: the kind's quick way is inlined, and the rest is reached by a jump. */
#define RECV_WHOLE(KIND, kind)                                                                     \
    HOT static ssize_t recv_##kind##_whole(shmring_t *q, void *buf, size_t size)                   \
    {                                                                                              \
        ssize_t r = shmr_##kind##_recv_whole(shmr_##kind##_receiver(q), buf, size);                \
                                                                                                   \
        if (unlikely(r < 0))                                                                       \
            return recv_failed(q, (int)r, size);                                                   \
        if (unlikely(shmr_notify(q, SHMR_WRITABLE, 1) < 0))                                        \
            return -EBADMSG;                                                                       \
        shmr_##kind##_after_receive(q, 1);                                                         \
        return r;                                                                                  \
    }
SHMR_KINDS(RECV_WHOLE)

COLD static ssize_t received_and_wake(shmring_t *q, ssize_t r)
{
    return unlikely(shmr_wake(q, SHMR_WRITABLE, 1) < 0) ? -EBADMSG : r;
}

/* A kind whose quick way needs many registers has it here: inlined into shmring_recv(), it would
 * make that function save registers for all kinds. */
#define RECV_APART(KIND, kind)                                                                     \
    HOT static ssize_t recv_##kind(shmring_t *q, void *buf, size_t size)                           \
    {                                                                                              \
        ssize_t r;                                                                                 \
                                                                                                   \
        if (unlikely(!shmr_##kind##_recv_apart(shmr_##kind##_receiver(q), buf, size, &r)))         \
            return recv_##kind##_whole(q, buf, size);                                              \
        return likely(!shmr_must_notify(q, SHMR_WRITABLE)) ? r : received_and_wake(q, r);          \
    }
SHMR_KINDS(RECV_APART)

static inline ssize_t recv_any(shmring_t *q, void *buf, size_t size)
{
    ssize_t r;

    if (!may_receive(q))
        return refuse_receive(q);
    SHMR_ALONE(q);
#define RECV(KIND, kind)                                                                           \
    case SHMR_##KIND:                                                                              \
        if (unlikely(!shmr_##kind##_recv_quick(shmr_##kind##_receiver(q), buf, size, &r)))         \
            return recv_##kind(q, buf, size);                                                      \
        return likely(!shmr_must_notify(q, SHMR_WRITABLE)) ? r : received_and_wake(q, r);
    SHMR_SWITCH(q, RECV);
}

HOT ssize_t shmring_recv(shmring_t *q, void *buf, size_t size)
{
    return recv_any(q, buf, size);
}

/* shmring_recv_wait() after the first -EAGAIN: wait, and try again. */
COLD static ssize_t recv_later(shmring_t *q, void *buf, size_t size, const struct timespec *timeout)
{
    struct shmr_attempts a = {.timeout = timeout, .event = SHMRING_READABLE};
    ssize_t r = -EAGAIN;

    while (shmr_try_again(q, &a, &r))
        r = shmring_recv(q, buf, size);
    return r;
}

ssize_t shmring_recv_wait(shmring_t *q, void *buf, size_t size, const struct timespec *timeout)
{
    ssize_t r = recv_any(q, buf, size);

    return likely(r != -EAGAIN) ? r : recv_later(q, buf, size, timeout);
}

/* ---- A batch --------------------------------------------------------------------------------- */

static inline int recv_batch(shmring_t *q, struct iovec *msgs, int n)
{
#define RECV_BATCH(KIND, kind)                                                                     \
    case SHMR_##KIND:                                                                              \
        return shmr_##kind##_recv_batch(shmr_##kind##_receiver(q), msgs, n);
    SHMR_SWITCH(q, RECV_BATCH);
}

static inline void after_receive(shmring_t *q, int count)
{
#define AFTER_RECEIVE(KIND, kind)                                                                  \
    case SHMR_##KIND:                                                                              \
        shmr_##kind##_after_receive(q, count);                                                     \
        return;
    SHMR_SWITCH(q, AFTER_RECEIVE);
}

int shmring_recv_batch(shmring_t *q, struct iovec *msgs, int n)
{
    if (!may_receive(q))
        return refuse_receive(q);
    SHMR_ALONE(q);
    if (n < 1)
        return shmr_fail_fast(EINVAL, "a batch has at least one message", 0, 0);

    int r = recv_batch(q, msgs, n);
    if (unlikely(r < 0))
        return recv_failed(q, r, msgs[0].iov_len);
    if (unlikely(shmr_notify(q, SHMR_WRITABLE, r) < 0))
        return -EBADMSG;
    after_receive(q, r);
    return r;
}

/* ---- Zero-copy ------------------------------------------------------------------------------- */

static inline ssize_t peek(shmring_t *q, const void **msg, struct shmring_info *info)
{
#define PEEK(KIND, kind)                                                                           \
    case SHMR_##KIND:                                                                              \
        shmr_##kind##_before_hold(q);                                                              \
        return shmr_##kind##_peek(shmr_##kind##_receiver(q), msg, info);
    SHMR_SWITCH(q, PEEK);
}

ssize_t shmring_peek(shmring_t *q, const void **msg, struct shmring_info *info)
{
    if (!may_receive(q))
        return refuse_receive(q);
    SHMR_ALONE(q);

    ssize_t r = peek(q, msg, info);
    return likely(r >= 0) ? r : recv_failed(q, (int)r, 0);
}

ssize_t shmring_peek_wait(shmring_t *q, const void **msg, struct shmring_info *info,
                          const struct timespec *timeout)
{
    struct shmr_attempts a = {.timeout = timeout, .event = SHMRING_READABLE};
    ssize_t r;

    do
        r = shmring_peek(q, msg, info);
    while (shmr_try_again(q, &a, &r));
    return r;
}

static inline int release(shmring_t *q, const void *msg)
{
#define RELEASE(KIND, kind)                                                                        \
    case SHMR_##KIND:                                                                              \
        return shmr_##kind##_release(shmr_##kind##_receiver(q), msg);
    SHMR_SWITCH(q, RELEASE);
}

int shmring_release(shmring_t *q, const void *msg)
{
    if (!may_receive(q))
        return refuse_receive(q);
    SHMR_ALONE(q);

    int r = release(q, msg);
    if (unlikely(r < 0))
        return recv_failed(q, r, 0);
    after_receive(q, 1);
    return shmr_notify(q, SHMR_WRITABLE, 1);
}

int64_t shmring_skip(shmring_t *q)
{
    if (!may_receive(q))
        return refuse_receive(q);
    SHMR_ALONE(q);
    if (!q->geometry.type->skip)
        return shmr_fail_fast(EOPNOTSUPP, "only the consumers of a broadcast queue can skip", 0, 0);

    const int64_t skipped = q->geometry.type->skip(q);
    if (unlikely(skipped < 0))
        return recv_failed(q, (int)skipped, 0);
    const int r = shmr_notify(q, SHMR_WRITABLE, 1);
    return unlikely(r < 0) ? r : skipped;
}
