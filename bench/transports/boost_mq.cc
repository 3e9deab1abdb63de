/* SPDX-License-Identifier: MIT */
/*
 * boost::interprocess::message_queue: named, in POSIX shared memory, with a process-shared mutex
 * and condition variables around each operation; priorities, which are all the same here. Its name
 * is removed after both processes have opened it.
 */
#include <config.h>

#include <boost/date_time/posix_time/posix_time_types.hpp>
#include <boost/interprocess/ipc/message_queue.hpp>
#include <cstdio>
#include <exception>
#include <new>
#include <unistd.h>

#include "all.h"

using boost::interprocess::message_queue;

struct queues {
    char name[2][64]; /* of the queue each side sends into; empty: not made */
    message_queue *out, *in;
};

static int open_queues(struct link *l)
{
    struct queues *q = new (std::nothrow) queues();
    if (!q)
        return link_fail(l, "not enough memory");
    l->state = q;
    for (int side = 0; side < 2; side++) {
        char name[sizeof q->name[0]];
        snprintf(name, sizeof name, "shmring-bench.%ld.boost-mq.%c", static_cast<long>(getpid()),
                 'a' + side);
        try {
            message_queue::remove(name); /* left by a killed run that had this process id */
            message_queue made(boost::interprocess::create_only, name, link_slots(l, l->size),
                               l->size);
        } catch (const std::exception &e) {
            return link_fail(l, "message_queue: %s", e.what());
        }
        memcpy(q->name[side], name, sizeof name);
    }
    return 0;
}

/* A pair has a queue each way, a crew the first one. */
static int attach(struct link *l)
{
    struct queues *q = static_cast<struct queues *>(l->state);
    const bool one = l->crew.producers > 0 || l->alone;
    try {
        q->out = new message_queue(boost::interprocess::open_only, q->name[one ? 0 : l->side]);
        q->in =
            one ? q->out : new message_queue(boost::interprocess::open_only, q->name[1 - l->side]);
    } catch (const std::exception &e) {
        return link_fail(l, "message_queue: %s", e.what());
    }
    return 0;
}

static void close_queues(struct link *l)
{
    struct queues *q = static_cast<struct queues *>(l->state);
    if (!q)
        return;
    for (const char *name : q->name)
        if (name[0] != '\0')
            message_queue::remove(name);
    delete q;
}

static boost::posix_time::ptime end_of_nap()
{
    return boost::posix_time::microsec_clock::universal_time() +
           boost::posix_time::milliseconds(static_cast<int>(NAP_MS));
}

static long try_send_one(struct link *l, void *message, long)
{
    struct queues *q = static_cast<struct queues *>(l->state);
    return q->out->try_send(message, l->size, 0) ||
           (l->block && q->out->timed_send(message, l->size, 0, end_of_nap()));
}

/* Returns 1, or -1 when the length is wrong. */
static long received(struct link *l, size_t length)
{
    if (length == l->size)
        return 1;
    return link_fail(l, "a message came with %zu bytes, not %zu", length, l->size);
}

static long try_recv_one(struct link *l, void *message, long)
{
    struct queues *q = static_cast<struct queues *>(l->state);
    message_queue::size_type length;
    unsigned priority;
    return q->in->try_receive(message, l->size, length, priority) ||
                   (l->block &&
                    q->in->timed_receive(message, l->size, length, priority, end_of_nap()))
               ? received(l, length)
               : 0;
}

static long send_messages(struct link *l, uint64_t seq, long n)
{
    struct queues *q = static_cast<struct queues *>(l->state);
    for (long i = 0; i < n; i++) {
        payload_fill(l->buffer, l->size, seq + static_cast<uint64_t>(i));
        if (l->block)
            q->out->send(l->buffer, l->size, 0);
        else
            while (!q->out->try_send(l->buffer, l->size, 0))
                ;
    }
    return n;
}

static long recv_messages(struct link *l, uint64_t seq, long n)
{
    struct queues *q = static_cast<struct queues *>(l->state);
    for (long i = 0; i < n; i++) {
        message_queue::size_type length;
        unsigned priority;
        if (l->block)
            q->in->receive(l->buffer, l->size, length, priority);
        else
            while (!q->in->try_receive(l->buffer, l->size, length, priority))
                ;
        if (received(l, length) < 0 || !link_check(l, l->buffer, seq + static_cast<uint64_t>(i)))
            return -1;
    }
    return n;
}

const struct transport boost_mq_transport = {
    .name = "boost-mq",
    .group = "peers",
    .what = "boost::interprocess::message_queue",
    .flags = CAN_SPIN | CAN_BLOCK | CAN_BE_ALONE | IS_MANY | HAS_CAPACITY,
    .open = open_queues,
    .attach = attach,
    .send = send_messages,
    .recv = recv_messages,
    .try_send = try_send_one,
    .try_recv = try_recv_one,
    .missed = nullptr,
    .close = close_queues,
};
