/* SPDX-License-Identifier: MIT */
/*
 * boost::lockfree: messages by value, in queues whose capacity is fixed when they are compiled:
 * such ones hold their elements themselves, without pointers, and are in shared memory. spsc_queue
 * also takes and gives arrays of messages (-batch); queue, which is for many, does not.
 */
#include <config.h>

#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>

#include "elements.hh"

template <size_t N> class one_by_one
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

  private:
    boost::lockfree::spsc_queue<element<N>, boost::lockfree::capacity<elements_fixed_count(N)>>
        queue_;
};

template <size_t N> class arrays
{
  public:
    long push(const element<N> *messages, long n)
    {
        return static_cast<long>(queue_.push(messages, static_cast<size_t>(n)));
    }

    long pop(element<N> *messages, long n)
    {
        return static_cast<long>(queue_.pop(messages, static_cast<size_t>(n)));
    }

  private:
    boost::lockfree::spsc_queue<element<N>, boost::lockfree::capacity<elements_fixed_count(N)>>
        queue_;
};

template <size_t N> class many
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

  private:
    boost::lockfree::queue<element<N>, boost::lockfree::capacity<elements_fixed_count(N)>> queue_;
};

ELEMENTS_DEFINE(spsc, elements_of<one_by_one>::push, elements_of<one_by_one>::pop)
ELEMENTS_DEFINE_BATCH(spsc_batch, elements_of<arrays>::push, elements_of<arrays>::pop)
ELEMENTS_DEFINE(mpmc, elements_of<many>::push, elements_of<many>::pop)

const struct transport boost_spsc_transport = {
    .name = "boost-spsc",
    .group = "peers",
    .what = "boost::lockfree::spsc_queue, push and pop",
    .flags = CAN_SPIN | CAN_BE_ALONE | IS_LOCK_FREE,
    .open = elements_of<one_by_one>::open,
    .attach = nullptr,
    .send = spsc_send,
    .recv = spsc_recv,
    .try_send = spsc_try_send,
    .try_recv = spsc_try_recv,
    .close = elements_close,
};

const struct transport boost_spsc_batch_transport = {
    .name = "boost-spsc-batch",
    .group = "peers",
    .what = "boost::lockfree::spsc_queue, push and pop of arrays",
    .flags = CAN_SPIN | IS_BATCH | IS_LOCK_FREE,
    .open = elements_of<arrays>::open,
    .attach = nullptr,
    .send = spsc_batch_send,
    .recv = spsc_batch_recv,
    .try_send = spsc_batch_try_send,
    .try_recv = spsc_batch_try_recv,
    .close = elements_close,
};

const struct transport boost_queue_transport = {
    .name = "boost-queue",
    .group = "peers",
    .what = "boost::lockfree::queue, push and pop",
    .flags = CAN_SPIN | CAN_BE_ALONE | IS_MANY | IS_LOCK_FREE,
    .open = elements_of<many>::open,
    .attach = nullptr,
    .send = mpmc_send,
    .recv = mpmc_recv,
    .try_send = mpmc_try_send,
    .try_recv = mpmc_try_recv,
    .close = elements_close,
};
