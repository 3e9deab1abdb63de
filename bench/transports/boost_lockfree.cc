/* SPDX-License-Identifier: MIT */
/*
 * boost::lockfree: messages by value, in queues whose capacity is fixed when they are compiled:
 * such ones hold their elements themselves, without pointers, and are in shared memory. spsc_queue
 * also takes and gives arrays of messages (-batch); queue, which is for many, does not.
 *
 * On a busy machine queue gives some messages twice, and others not at all. What it compares before
 * it changes a pointer is an index and a count of 16 bits, which would explain it: who is
 * interrupted in between while the others make a multiple of 65,536 changes sees none.
 */
#include <config.h>

#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>

#include "elements.hh"

using boost::lockfree::capacity;

template <class Queue, size_t N> class one_by_one
{
  public:
    long push(const element<N> *message, long)
    {
        return queue_.push(*message);
    }

    long pop(element<N> *message, long)
    {
        return queue_.pop(*message);
    }

  protected:
    Queue queue_;
};

template <size_t N>
using spsc_queue = boost::lockfree::spsc_queue<element<N>, capacity<elements_fixed_count(N)>>;

template <size_t N>
using mpmc_queue = boost::lockfree::queue<element<N>, capacity<elements_fixed_count(N)>>;

template <size_t N> class spsc : public one_by_one<spsc_queue<N>, N>
{
};

template <size_t N> class spsc_arrays : public one_by_one<spsc_queue<N>, N>
{
  public:
    long push(const element<N> *messages, long n)
    {
        return static_cast<long>(this->queue_.push(messages, static_cast<size_t>(n)));
    }

    long pop(element<N> *messages, long n)
    {
        return static_cast<long>(this->queue_.pop(messages, static_cast<size_t>(n)));
    }
};

template <size_t N> class mpmc : public one_by_one<mpmc_queue<N>, N>
{
};

const struct transport boost_spsc_transport = elements_transport<spsc>(
    "boost-spsc", "boost::lockfree::spsc_queue, push and pop", CAN_BE_ALONE | IS_LOCK_FREE);

const struct transport boost_spsc_batch_transport = elements_transport<spsc_arrays>(
    "boost-spsc-batch", "boost::lockfree::spsc_queue, push and pop of arrays",
    IS_BATCH | IS_LOCK_FREE);

const struct transport boost_queue_transport =
    elements_transport<mpmc>("boost-queue", "boost::lockfree::queue, push and pop",
                             CAN_BE_ALONE | IS_MANY | IS_LOCK_FREE | IS_INEXACT);
