/* SPDX-License-Identifier: MIT */
/*
 * elements.h for queues that are C++ templates. A transport gives a class template Queue<N>, for
 * messages of N bytes, with
 *
 *   long push(element<N> *messages, long n)    up to n of them; returns how many
 *   long pop(element<N> *messages, long n)
 *
 * and is elements_transport<Queue>(name, what, flags): in shared memory if nothing else is said.
 */
#ifndef BENCH_TRANSPORTS_ELEMENTS_HH
#define BENCH_TRANSPORTS_ELEMENTS_HH

#include <cstddef>
#include <new>
#include <type_traits>

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

/* For open() and attach(): what call returns for this size, as a constant of a type of its own; or
 * -1 where queues of that size are not compiled. */
template <class Call> static int elements_by_size(struct link *l, Call call)
{
    if (elements_known_size(l) != 0)
        return -1;
    switch (l->size) {
    case ELEMENT_SMALL:
        return call(std::integral_constant<size_t, ELEMENT_SMALL>());
    case ELEMENT_LINE:
        return call(std::integral_constant<size_t, ELEMENT_LINE>());
    default:
        return call(std::integral_constant<size_t, ELEMENT_LARGE>());
    }
}

/* Queues without pointers to themselves or to a heap, in shared memory. */
template <template <size_t> class Queue> static int elements_open_shared(struct link *l)
{
    return elements_by_size(l, [l](auto size) {
        using sized = Queue<decltype(size)::value>;
        struct elements *e = elements_map(l, sizeof(sized));
        if (!e)
            return -1;
        for (void *queue : e->queue)
            new (queue) sized;
        return 0;
    });
}

/* Queues on the heap, made of the link before the process whose threads use them is forked. */
template <template <size_t> class Queue> static int elements_open_on_heap(struct link *l)
{
    return elements_by_size(l, [l](auto size) {
        using sized = Queue<decltype(size)::value>;
        struct elements *e = elements_new(l);
        if (!e)
            return -1;
        e->destroy = [](struct elements *made) {
            for (void *queue : made->queue)
                delete static_cast<sized *>(queue);
        };
        for (void *&queue : e->queue)
            queue = new sized(*l);
        return 0;
    });
}

/* What a transport does with its Queue. */
template <template <size_t> class Queue> class elements_calls
{
  public:
    static long send(struct link *l, uint64_t seq, long n)
    {
        return elements_send(l, seq, n, push);
    }

    static long send_batch(struct link *l, uint64_t seq, long n)
    {
        return elements_send_batch(l, seq, n, push);
    }

    static long recv(struct link *l, uint64_t seq, long n)
    {
        return elements_recv(l, seq, n, pop);
    }

    static long recv_batch(struct link *l, uint64_t seq, long n)
    {
        return elements_recv_batch(l, seq, n, pop);
    }

    static long try_send(struct link *l, void *messages, long n)
    {
        return elements_try_send(l, messages, n, push);
    }

    static long try_recv(struct link *l, void *messages, long n)
    {
        return elements_try_recv(l, messages, n, pop);
    }

  private:
    /* Where these are called, size is a constant. */
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

/* flags: beside CAN_SPIN, which all can. */
template <template <size_t> class Queue>
constexpr struct transport
elements_transport(const char *name, const char *what, unsigned flags,
                   int (*open)(struct link *l) = elements_open_shared<Queue>,
                   int (*attach)(struct link *l) = nullptr)
{
    using calls = elements_calls<Queue>;
    const bool batch = flags & IS_BATCH;
    return {name,
            "peers",
            what,
            flags | CAN_SPIN,
            open,
            attach,
            batch ? calls::send_batch : calls::send,
            batch ? calls::recv_batch : calls::recv,
            calls::try_send,
            calls::try_recv,
            nullptr,
            elements_close};
}

#endif
