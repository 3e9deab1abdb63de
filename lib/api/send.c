/* SPDX-License-Identifier: MIT */
/*
 * Sending: whether the handle may, the kind's operation, and the errors that it stands for. To read
 * a whole send, read this file, the kind's hot.h, its operation (spsc/ring.h, mpmc/participant.h),
 * base/cpu.h and wait/waitword.h.
 */
#include <config.h>

#include <errno.h>

#include <shmring/shmring.h>

#include "api/hot.h"
#include "base/trace.h"

static inline bool may_send(const shmring_t *q)
{
    return likely(q != NULL) && likely(q->send_mark == *q->process);
}

COLD static int refuse_send(const shmring_t *q)
{
    return shmr_refuse(q, "the handle is not a producer's: open the queue with SHMRING_PRODUCER");
}

COLD static int send_failed(shmring_t *q, int r, size_t len, size_t limit)
{
    if (q->lost) /* the call read private pages, so its result means nothing */
        return shmr_handle_check_memory(q);
    switch (r) {
    case -EAGAIN:
        q->waiting.refused = len;
        SHMR_TRACE(full, q, len);
        return shmr_nothing_now(q, q->sending->misses);
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
    default:
        return shmr_handle_poison(q, q->sending->damage);
    }
}

/* ---- One message ----------------------------------------------------------------------------- */

/*
 * Most programs make this call for every message, so a few instructions matter. The kind's quick
 * way is inlined into it, and the rest is reached by a jump, so that only the rest saves registers.
 */
#define SEND_WHOLE(KIND, kind)                                                                     \
    HOT static int send_##kind(shmring_t *q, const void *msg, size_t len)                          \
    {                                                                                              \
        int r = shmr_##kind##_send_whole(shmr_##kind##_sender(q), msg, len);                       \
                                                                                                   \
        if (unlikely(r < 0))                                                                       \
            return send_failed(q, r, len, q->geometry.max_message);                                \
        shmr_##kind##_after_send(q, 1);                                                            \
        return shmr_notify(q, SHMR_READABLE, 1);                                                   \
    }
SHMR_KINDS(SEND_WHOLE)

static inline int send_any(shmring_t *q, const void *msg, size_t len)
{
    if (!may_send(q))
        return refuse_send(q);
    SHMR_ALONE(q);
#define SEND(KIND, kind)                                                                           \
    case SHMR_##KIND:                                                                              \
        if (likely(shmr_##kind##_send_quick(shmr_##kind##_sender(q), msg, len)))                   \
            return shmr_notify(q, SHMR_READABLE, 1);                                               \
        return send_##kind(q, msg, len);
    SHMR_SWITCH(q, SEND);
}

HOT int shmring_send(shmring_t *q, const void *msg, size_t len)
{
    return send_any(q, msg, len);
}

/* shmring_send_wait() after the first -EAGAIN: wait, and try again. */
COLD static int send_later(shmring_t *q, const void *msg, size_t len,
                           const struct timespec *timeout)
{
    struct shmr_attempts a = {.timeout = timeout, .event = SHMRING_WRITABLE};
    ssize_t r = -EAGAIN;

    while (shmr_try_again(q, &a, &r))
        r = shmring_send(q, msg, len);
    return (int)r;
}

/* Can a message be sent with those flags? `can`: the kind has the operation. */
static int check_flags(unsigned flags, bool can)
{
    if (flags & ~(unsigned)SHMRING_KEY)
        return shmr_fail_fast(EINVAL, "flags 0x%llx: only SHMRING_KEY", flags, 0);
    if (flags && !can)
        return shmr_fail_fast(
            EINVAL, "only a broadcast queue has key messages: send without SHMRING_KEY", 0, 0);
    return 0;
}

int shmring_send_flags(shmring_t *q, const void *msg, size_t len, unsigned flags)
{
    if (!may_send(q))
        return refuse_send(q);
    int r = check_flags(flags, q->geometry.type->send_key != NULL);
    if (r < 0 || flags == 0)
        return r < 0 ? r : send_any(q, msg, len);
    SHMR_ALONE(q);
    r = q->geometry.type->send_key(q, msg, len);
    return likely(r == 0) ? shmr_notify(q, SHMR_READABLE, 1)
                          : send_failed(q, r, len, q->geometry.max_message);
}

int shmring_send_wait(shmring_t *q, const void *msg, size_t len, const struct timespec *timeout)
{
    int r = send_any(q, msg, len);

    return likely(r != -EAGAIN) ? r : send_later(q, msg, len, timeout);
}

/* ---- A batch --------------------------------------------------------------------------------- */

static inline int send_batch(shmring_t *q, const struct iovec *msgs, int n)
{
#define SEND_BATCH(KIND, kind)                                                                     \
    case SHMR_##KIND:                                                                              \
        return shmr_##kind##_send_batch(shmr_##kind##_sender(q), msgs, n);
    SHMR_SWITCH(q, SEND_BATCH);
}

static inline void after_send(shmring_t *q, int count)
{
#define AFTER_SEND(KIND, kind)                                                                     \
    case SHMR_##KIND:                                                                              \
        shmr_##kind##_after_send(q, count);                                                        \
        return;
    SHMR_SWITCH(q, AFTER_SEND);
}

int shmring_send_batch(shmring_t *q, const struct iovec *msgs, int n)
{
    if (!may_send(q))
        return refuse_send(q);
    SHMR_ALONE(q);
    if (n < 1)
        return shmr_fail_fast(EINVAL, "a batch has at least one message", 0, 0);

    int r = send_batch(q, msgs, n);
    if (unlikely(r < 0))
        return send_failed(q, r, msgs[0].iov_len, q->geometry.max_message);
    if (unlikely(shmr_notify(q, SHMR_READABLE, r) < 0))
        return -EBADMSG;
    after_send(q, r);
    return r;
}

/* ---- Zero-copy ------------------------------------------------------------------------------- */

static inline int reserve(shmring_t *q, size_t len, void **msg)
{
#define RESERVE(KIND, kind)                                                                        \
    case SHMR_##KIND:                                                                              \
        shmr_##kind##_before_hold(q);                                                              \
        return shmr_##kind##_reserve(shmr_##kind##_sender(q), len, msg);
    SHMR_SWITCH(q, RESERVE);
}

int shmring_reserve(shmring_t *q, size_t len, void **msg)
{
    if (!may_send(q))
        return refuse_send(q);
    SHMR_ALONE(q);

    int r = reserve(q, len, msg);
    return likely(r == 0) ? 0 : send_failed(q, r, len, q->geometry.max_message);
}

int shmring_reserve_wait(shmring_t *q, size_t len, void **msg, const struct timespec *timeout)
{
    struct shmr_attempts a = {.timeout = timeout, .event = SHMRING_WRITABLE};
    ssize_t r;

    do
        r = shmring_reserve(q, len, msg);
    while (shmr_try_again(q, &a, &r));
    return (int)r;
}

static inline int commit(shmring_t *q, const void *msg, size_t len)
{
#define COMMIT(KIND, kind)                                                                         \
    case SHMR_##KIND:                                                                              \
        return shmr_##kind##_commit(shmr_##kind##_sender(q), msg, len);
    SHMR_SWITCH(q, COMMIT);
}

int shmring_commit(shmring_t *q, void *msg, size_t len)
{
    if (!may_send(q))
        return refuse_send(q);
    SHMR_ALONE(q);

    int r = commit(q, msg, len);
    if (unlikely(r < 0))
        return send_failed(q, r, len, r == -EMSGSIZE ? q->geometry.type->reserved(q, msg) : 0);
    after_send(q, 1);
    return shmr_notify(q, SHMR_READABLE, 1);
}

int shmring_commit_flags(shmring_t *q, void *msg, size_t len, unsigned flags)
{
    if (!may_send(q))
        return refuse_send(q);
    int r = check_flags(flags, q->geometry.type->commit_key != NULL);
    if (r < 0 || flags == 0)
        return r < 0 ? r : shmring_commit(q, msg, len);
    SHMR_ALONE(q);
    r = q->geometry.type->commit_key(q, msg, len);
    if (unlikely(r < 0))
        return send_failed(q, r, len, r == -EMSGSIZE ? q->geometry.type->reserved(q, msg) : 0);
    return shmr_notify(q, SHMR_READABLE, 1);
}

static inline int cancel(shmring_t *q, const void *msg)
{
#define CANCEL(KIND, kind)                                                                         \
    case SHMR_##KIND:                                                                              \
        return shmr_##kind##_cancel(shmr_##kind##_sender(q), msg);
    SHMR_SWITCH(q, CANCEL);
}

int shmring_cancel(shmring_t *q, void *msg)
{
    if (!may_send(q))
        return refuse_send(q);
    SHMR_ALONE(q);

    int r = cancel(q, msg);
    if (unlikely(r < 0))
        return send_failed(q, r, 0, q->geometry.max_message);
    return shmr_notify(q, SHMR_WRITABLE, 1); /* mpmc: another producer can take the block */
}
