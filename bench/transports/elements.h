/* SPDX-License-Identifier: MIT */
/*
 * Queues in memory whose elements have a size that is fixed at compile time: one queue each way, or
 * one queue for a crew. A message is an element, by value.
 *
 * A transport has two functions, to push and to pop. The compiler inlines them into the loops here,
 * once for each size, so that header-only queues are measured as their users compile them, without
 * a function call for each message.
 */
#ifndef BENCH_TRANSPORTS_ELEMENTS_H
#define BENCH_TRANSPORTS_ELEMENTS_H

#include "all.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ELEMENT_SMALL = 8, ELEMENT_LINE = 64, ELEMENT_LARGE = 1024 };

struct elements {
    void *queue[2]; /* the queue of A's messages, or of a crew's, and the queue of B's */
    void *mapping;  /* both, inherited by the processes at the same address; or NULL */
    size_t bytes;   /* of the mapping */
    void (*destroy)(struct elements *e); /* undoes what the transport has made besides, or NULL */
};

/* Is l->size one of the sizes? If not, the transport is skipped. */
int elements_known_size(struct link *l);

/*
 * For open(): l->state becomes a struct elements. elements_map() also maps two queues of at most
 * bytes each, zeroed, in memory that is shared with the processes to come.
 */
struct elements *elements_new(struct link *l);
struct elements *elements_map(struct link *l, size_t bytes);
void elements_close(struct link *l);

static inline void *elements_out(const struct link *l)
{
    const struct elements *e = (const struct elements *)l->state;
    return e->queue[l->crew.producers > 0 || l->alone ? 0 : l->side];
}

static inline void *elements_in(const struct link *l)
{
    const struct elements *e = (const struct elements *)l->state;
    return e->queue[l->crew.producers > 0 || l->alone ? 0 : 1 - l->side];
}

/* Push up to n messages of size bytes, which stay as they are, or pop them. Returns how many: 0 if
 * it is full, or empty. */
typedef long elements_push(void *queue, void *messages, size_t size, long n);
typedef long elements_pop(void *queue, void *messages, size_t size, long n);

#define ELEMENTS_INLINE static inline __attribute__((always_inline))

ELEMENTS_INLINE long elements_send_sized(struct link *l, uint64_t seq, long n, size_t size,
                                         elements_push *push)
{
    void *queue = elements_out(l);
    unsigned char message[ELEMENT_LARGE] __attribute__((aligned(64)));
    for (uint64_t end = seq + (uint64_t)n; seq != end; seq++) {
        payload_fill(message, size, seq);
        while (push(queue, message, size, 1) == 0)
            ;
    }
    return n;
}

ELEMENTS_INLINE long elements_recv_sized(struct link *l, uint64_t seq, long n, size_t size,
                                         elements_pop *pop)
{
    void *queue = elements_in(l);
    unsigned char message[ELEMENT_LARGE] __attribute__((aligned(64)));
    for (uint64_t end = seq + (uint64_t)n; seq != end; seq++) {
        while (pop(queue, message, size, 1) == 0)
            ;
        if (__builtin_expect(payload_check(message, size, seq) != 0, 0))
            return link_bad_payload(l, seq, message);
    }
    return n;
}

ELEMENTS_INLINE long elements_send_batch_sized(struct link *l, uint64_t seq, long n, size_t size,
                                               elements_push *push)
{
    void *queue = elements_out(l);
    for (long sent = 0; sent < n;) {
        const long count = n - sent < l->batch ? n - sent : l->batch;
        for (long i = 0; i < count; i++)
            payload_fill(l->buffer + (size_t)i * size, size, seq + (uint64_t)(sent + i));
        for (long done = 0; done < count;)
            done += push(queue, l->buffer + (size_t)done * size, size, count - done);
        sent += count;
    }
    return n;
}

ELEMENTS_INLINE long elements_recv_batch_sized(struct link *l, uint64_t seq, long n, size_t size,
                                               elements_pop *pop)
{
    void *queue = elements_in(l);
    for (long got = 0; got < n;) {
        const long r = pop(queue, l->buffer, size, n - got < l->batch ? n - got : l->batch);
        for (long i = 0; i < r; i++, got++) {
            const unsigned char *message = l->buffer + (size_t)i * size;
            if (__builtin_expect(payload_check(message, size, seq + (uint64_t)got) != 0, 0))
                return link_bad_payload(l, seq + (uint64_t)got, message);
        }
    }
    return n;
}

/* One call for each size: elements_known_size() has refused all others. */
ELEMENTS_INLINE long elements_send(struct link *l, uint64_t seq, long n, elements_push *push)
{
    switch (l->size) {
    case ELEMENT_SMALL:
        return elements_send_sized(l, seq, n, ELEMENT_SMALL, push);
    case ELEMENT_LINE:
        return elements_send_sized(l, seq, n, ELEMENT_LINE, push);
    default:
        return elements_send_sized(l, seq, n, ELEMENT_LARGE, push);
    }
}

ELEMENTS_INLINE long elements_send_batch(struct link *l, uint64_t seq, long n, elements_push *push)
{
    switch (l->size) {
    case ELEMENT_SMALL:
        return elements_send_batch_sized(l, seq, n, ELEMENT_SMALL, push);
    case ELEMENT_LINE:
        return elements_send_batch_sized(l, seq, n, ELEMENT_LINE, push);
    default:
        return elements_send_batch_sized(l, seq, n, ELEMENT_LARGE, push);
    }
}

ELEMENTS_INLINE long elements_recv(struct link *l, uint64_t seq, long n, elements_pop *pop)
{
    switch (l->size) {
    case ELEMENT_SMALL:
        return elements_recv_sized(l, seq, n, ELEMENT_SMALL, pop);
    case ELEMENT_LINE:
        return elements_recv_sized(l, seq, n, ELEMENT_LINE, pop);
    default:
        return elements_recv_sized(l, seq, n, ELEMENT_LARGE, pop);
    }
}

ELEMENTS_INLINE long elements_recv_batch(struct link *l, uint64_t seq, long n, elements_pop *pop)
{
    switch (l->size) {
    case ELEMENT_SMALL:
        return elements_recv_batch_sized(l, seq, n, ELEMENT_SMALL, pop);
    case ELEMENT_LINE:
        return elements_recv_batch_sized(l, seq, n, ELEMENT_LINE, pop);
    default:
        return elements_recv_batch_sized(l, seq, n, ELEMENT_LARGE, pop);
    }
}

ELEMENTS_INLINE long elements_try_send(struct link *l, void *messages, long n, elements_push *push)
{
    void *queue = elements_out(l);
    switch (l->size) {
    case ELEMENT_SMALL:
        return push(queue, messages, ELEMENT_SMALL, n);
    case ELEMENT_LINE:
        return push(queue, messages, ELEMENT_LINE, n);
    default:
        return push(queue, messages, ELEMENT_LARGE, n);
    }
}

ELEMENTS_INLINE long elements_try_recv(struct link *l, void *messages, long n, elements_pop *pop)
{
    void *queue = elements_in(l);
    switch (l->size) {
    case ELEMENT_SMALL:
        return pop(queue, messages, ELEMENT_SMALL, n);
    case ELEMENT_LINE:
        return pop(queue, messages, ELEMENT_LINE, n);
    default:
        return pop(queue, messages, ELEMENT_LARGE, n);
    }
}

/* The functions of a transport that pushes and pops one message a call, or up to l->batch. */
#define ELEMENTS_DEFINE(NAME, PUSH, POP)       ELEMENTS_DEFINE_(NAME, PUSH, POP, )
#define ELEMENTS_DEFINE_BATCH(NAME, PUSH, POP) ELEMENTS_DEFINE_(NAME, PUSH, POP, _batch)
#define ELEMENTS_DEFINE_(NAME, PUSH, POP, BATCH)                                                   \
    static long NAME##_send(struct link *l, uint64_t seq, long n)                                  \
    {                                                                                              \
        return elements_send##BATCH(l, seq, n, PUSH);                                              \
    }                                                                                              \
    static long NAME##_recv(struct link *l, uint64_t seq, long n)                                  \
    {                                                                                              \
        return elements_recv##BATCH(l, seq, n, POP);                                               \
    }                                                                                              \
    static long NAME##_try_send(struct link *l, void *messages, long n)                            \
    {                                                                                              \
        return elements_try_send(l, messages, n, PUSH);                                            \
    }                                                                                              \
    static long NAME##_try_recv(struct link *l, void *messages, long n)                            \
    {                                                                                              \
        return elements_try_recv(l, messages, n, POP);                                             \
    }

#ifdef __cplusplus
}
#endif

#endif
