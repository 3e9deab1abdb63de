/* SPDX-License-Identifier: MIT */
/*
 * moodycamel's concurrentqueue: messages by value. It allocates blocks from the heap, so its ends
 * are threads of one process, and every figure of it is marked so. It is made with room for all
 * messages and then only tries: it allocates nothing while time counts, and says when it is full; a
 * producer is then at most a thousand messages ahead. A token for each end, as it recommends. It
 * keeps the order of each producer, not that of all. -batch: its bulk calls.
 */
#include <config.h>

#include CONCURRENTQUEUE_H /* configure found where it is */

#include "elements.hh"

template <size_t N> struct concurrent {
    moodycamel::ConcurrentQueue<element<N>> queue;

    explicit concurrent(const struct link &l)
        : queue(link_slots(&l, N), l.crew.producers > 0 ? static_cast<size_t>(l.crew.producers) : 1,
                0)
    {
    }
};

/* A queue as one thread uses it: with the tokens of what it does with it. */
template <size_t N> class one_by_one
{
  public:
    one_by_one(void *queue, bool sends, bool receives)
        : queue_(static_cast<concurrent<N> *>(queue)->queue),
          producer_(sends ? new moodycamel::ProducerToken(queue_) : nullptr),
          consumer_(receives ? new moodycamel::ConsumerToken(queue_) : nullptr)
    {
    }

    long push(const element<N> *message, long)
    {
        return queue_.try_enqueue(*producer_, *message);
    }

    long pop(element<N> *message, long)
    {
        return queue_.try_dequeue(*consumer_, *message);
    }

  protected:
    moodycamel::ConcurrentQueue<element<N>> &queue_;
    moodycamel::ProducerToken *producer_; /* until the process ends */
    moodycamel::ConsumerToken *consumer_;
};

template <size_t N> class in_bulk : public one_by_one<N>
{
  public:
    using one_by_one<N>::one_by_one;

    long push(const element<N> *messages, long n)
    {
        return this->queue_.try_enqueue_bulk(*this->producer_, messages, static_cast<size_t>(n))
                   ? n
                   : 0;
    }

    long pop(element<N> *messages, long n)
    {
        return static_cast<long>(
            this->queue_.try_dequeue_bulk(*this->consumer_, messages, static_cast<size_t>(n)));
    }
};

template <class End> static int take_ends(struct link *l)
{
    const struct elements *queues = static_cast<struct elements *>(l->state);
    const bool one = l->crew.producers > 0 || l->alone;
    const bool sends = l->crew.producers == 0 || l->member < l->crew.producers;
    const bool receives = l->crew.producers == 0 || !sends;
    struct elements *ends = elements_new(l); /* this thread's */
    if (!ends)
        return -1;
    for (int i = 0; i < 2; i++)
        ends->queue[i] = new End(queues->queue[i], sends && i == (one ? 0 : l->side),
                                 receives && i == (one ? 0 : 1 - l->side));
    return 0;
}

template <template <size_t> class End> static int attach_to_heap(struct link *l)
{
    return elements_by_size(l, [l](auto size) { return take_ends<End<decltype(size)::value>>(l); });
}

const struct transport moodycamel_cq_transport = elements_transport<one_by_one>(
    "moodycamel-cq", "moodycamel::ConcurrentQueue, try_enqueue and try_dequeue with tokens",
    CAN_BE_ALONE | IS_MANY | IN_ONE_PROCESS | IS_LOCK_FREE, elements_open_on_heap<concurrent>,
    attach_to_heap<one_by_one>);

const struct transport moodycamel_cq_batch_transport = elements_transport<in_bulk>(
    "moodycamel-cq-batch",
    "moodycamel::ConcurrentQueue, try_enqueue_bulk and try_dequeue_bulk with tokens",
    IS_BATCH | IS_MANY | IN_ONE_PROCESS | IS_LOCK_FREE, elements_open_on_heap<concurrent>,
    attach_to_heap<in_bulk>);
