/* SPDX-License-Identifier: MIT */
/*
 * atomic_queue: messages by value, in AtomicQueue where they are words and in AtomicQueue2 where
 * they are longer, as it recommends; in shared memory. Of its kinds there are
 *
 *   atomic-queue            for many; try_push, try_pop
 *   atomic-queue-spsc       for one producer and one consumer
 *   atomic-queue-opt        optimist, for many; push and pop, which wait inside the call
 *   atomic-queue-b          for many; AtomicQueueB and AtomicQueueB2, whose capacity is chosen when
 *                           they are made
 *
 * The elements of the last are allocated: here behind the queue, in the same shared memory, which
 * all inherit at the same address.
 *
 * With several producers or consumers, try_push and try_pop promise no order, and keep none. A
 * consumer takes a ticket for an element. If it is interrupted before it reads the element, it may
 * then find the message that was put there one round of the ring later. The consumer that has the
 * ticket of that round gets the earlier message, late.
 *
 * A word that is all ones means an empty element. No message is: its words begin as counters.
 */
#include <config.h>

#include <atomic_queue/atomic_queue.h>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "elements.hh"

static constexpr uint64_t NIL = UINT64_MAX;

/* A word, or the bytes of a longer message. */
template <size_t N>
using value = typename std::conditional<N == ELEMENT_SMALL, uint64_t, element<N>>::type;

/* Elements from the memory behind a queue. */
static unsigned char *next_free;

template <class T> struct behind_queue {
    using value_type = T;

    behind_queue() = default;
    template <class U> behind_queue(const behind_queue<U> &)
    {
    }

    T *allocate(size_t n)
    {
        unsigned char *p = next_free;
        next_free += (n * sizeof(T) + 63) / 64 * 64;
        return reinterpret_cast<T *>(p);
    }

    void deallocate(T *, size_t)
    {
    }
};

/* All take from next_free: what one allocated another may free. */
template <class T, class U> bool operator==(const behind_queue<T> &, const behind_queue<U> &)
{
    return true;
}

template <class T, class U> bool operator!=(const behind_queue<T> &, const behind_queue<U> &)
{
    return false;
}

template <size_t N, bool SPSC, class = void> struct kind {
    using fixed =
        atomic_queue::AtomicQueue2<value<N>, elements_fixed_count(N), true, true, false, SPSC>;
    using chosen = atomic_queue::AtomicQueueB2<value<N>, behind_queue<value<N>>>;
};

template <bool SPSC> struct kind<ELEMENT_SMALL, SPSC> {
    using fixed = atomic_queue::AtomicQueue<uint64_t, elements_fixed_count(ELEMENT_SMALL), NIL,
                                            true, true, false, SPSC>;
    using chosen = atomic_queue::AtomicQueueB<uint64_t, behind_queue<uint64_t>, NIL>;
};

template <size_t N, class Queue> class trying : public Queue
{
  public:
    using Queue::Queue;

    long push(const element<N> *message, long)
    {
        return this->try_push(*reinterpret_cast<const value<N> *>(message));
    }

    long pop(element<N> *message, long)
    {
        return this->try_pop(*reinterpret_cast<value<N> *>(message));
    }
};

template <size_t N> class for_many : public trying<N, typename kind<N, false>::fixed>
{
};

template <size_t N> class for_two : public trying<N, typename kind<N, true>::fixed>
{
};

template <size_t N> class with_capacity : public trying<N, typename kind<N, false>::chosen>
{
  public:
    using trying<N, typename kind<N, false>::chosen>::trying;
};

template <size_t N> class optimist : public kind<N, false>::fixed
{
    using queue = typename kind<N, false>::fixed;

  public:
    long push(const element<N> *message, long)
    {
        queue::push(*reinterpret_cast<const value<N> *>(message));
        return 1;
    }

    long pop(element<N> *message, long)
    {
        *reinterpret_cast<value<N> *>(message) = queue::pop();
        return 1;
    }
};

static int open_with_capacity(struct link *l)
{
    return elements_by_size(l, [l](auto size) {
        using sized = with_capacity<decltype(size)::value>;
        const size_t slots = link_slots(l, size),
                     count = slots < 4096 ? 4096 : slots; /* its least */
        struct elements *e = elements_map(l, sizeof(sized) + count * (size + 1) + 192);
        if (!e)
            return -1;
        for (void *queue : e->queue) {
            next_free = static_cast<unsigned char *>(queue) + (sizeof(sized) + 63) / 64 * 64;
            new (queue) sized(static_cast<unsigned>(slots));
        }
        return 0;
    });
}

const struct transport atomic_queue_transport = elements_transport<for_many>(
    "atomic-queue", "atomic_queue, try_push and try_pop", CAN_BE_ALONE | IS_MANY | IS_UNORDERED);

const struct transport atomic_queue_spsc_transport = elements_transport<for_two>(
    "atomic-queue-spsc", "atomic_queue for one producer and one consumer, try_push and try_pop",
    CAN_BE_ALONE);

const struct transport atomic_queue_optimist_transport = elements_transport<optimist>(
    "atomic-queue-opt", "atomic_queue, push and pop, which wait inside the call", CAN_BE_ALONE);

const struct transport atomic_queue_b_transport = elements_transport<with_capacity>(
    "atomic-queue-b", "atomic_queue with a capacity chosen at run time, try_push and try_pop",
    CAN_BE_ALONE | IS_MANY | HAS_CAPACITY | IS_UNORDERED, open_with_capacity);
