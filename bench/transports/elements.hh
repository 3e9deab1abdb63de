/* SPDX-License-Identifier: MIT */
/*
 * elements.h for queues that are C++ templates. A transport gives a class template Queue<N>, for
 * messages of N bytes, with
 *
 *   long push(element<N> *messages, long n)    up to n of them; returns how many
 *   long pop(element<N> *messages, long n)
 */
#ifndef BENCH_TRANSPORTS_ELEMENTS_HH
#define BENCH_TRANSPORTS_ELEMENTS_HH

#include <cstddef>
#include <new>

#include "elements.h"

template <size_t N> struct alignas(N < 64 ? N : 64) element {
    unsigned char bytes[N];
};

/* How many elements a queue has whose capacity is fixed when it is compiled: 256 KiB of them, what
 * --capacity is if it is not given. */
constexpr size_t elements_fixed_count(size_t size)
{
    return (256 << 10) / size;
}

template <template <size_t> class Queue> struct elements_of {
    /* Queues without pointers to themselves or to a heap, in shared memory. */
    static int open(struct link *l)
    {
        if (elements_known_size(l) != 0)
            return -1;
        switch (l->size) {
        case ELEMENT_SMALL:
            return construct<Queue<ELEMENT_SMALL>>(l);
        case ELEMENT_LINE:
            return construct<Queue<ELEMENT_LINE>>(l);
        default:
            return construct<Queue<ELEMENT_LARGE>>(l);
        }
    }

    __attribute__((always_inline)) static inline long push(void *queue, void *messages, size_t size,
                                                           long n)
    {
        switch (size) {
        case ELEMENT_SMALL:
            return push_sized<ELEMENT_SMALL>(queue, messages, n);
        case ELEMENT_LINE:
            return push_sized<ELEMENT_LINE>(queue, messages, n);
        default:
            return push_sized<ELEMENT_LARGE>(queue, messages, n);
        }
    }

    __attribute__((always_inline)) static inline long pop(void *queue, void *messages, size_t size,
                                                          long n)
    {
        switch (size) {
        case ELEMENT_SMALL:
            return pop_sized<ELEMENT_SMALL>(queue, messages, n);
        case ELEMENT_LINE:
            return pop_sized<ELEMENT_LINE>(queue, messages, n);
        default:
            return pop_sized<ELEMENT_LARGE>(queue, messages, n);
        }
    }

  private:
    template <class Sized> static int construct(struct link *l)
    {
        struct elements *e = elements_map(l, sizeof(Sized));
        if (!e)
            return -1;
        for (void *queue : e->queue)
            new (queue) Sized;
        return 0;
    }

    template <size_t N>
    __attribute__((always_inline)) static inline long push_sized(void *queue, void *messages,
                                                                 long n)
    {
        return static_cast<Queue<N> *>(queue)->push(static_cast<element<N> *>(messages), n);
    }

    template <size_t N>
    __attribute__((always_inline)) static inline long pop_sized(void *queue, void *messages, long n)
    {
        return static_cast<Queue<N> *>(queue)->pop(static_cast<element<N> *>(messages), n);
    }
};

template <class Queue> static void elements_destroy(struct elements *e)
{
    for (void *queue : e->queue)
        delete static_cast<Queue *>(queue);
}

template <class Queue> static int elements_open_two(struct link *l)
{
    struct elements *e = elements_new(l);
    if (!e)
        return -1;
    e->destroy = elements_destroy<Queue>;
    for (void *&queue : e->queue)
        queue = new Queue(*l);
    return 0;
}

/* Queues on the heap, made of the link before the process whose threads use them is forked. */
template <template <size_t> class Queue> static int elements_open_on_heap(struct link *l)
{
    if (elements_known_size(l) != 0)
        return -1;
    switch (l->size) {
    case ELEMENT_SMALL:
        return elements_open_two<Queue<ELEMENT_SMALL>>(l);
    case ELEMENT_LINE:
        return elements_open_two<Queue<ELEMENT_LINE>>(l);
    default:
        return elements_open_two<Queue<ELEMENT_LARGE>>(l);
    }
}

#endif
