/* SPDX-License-Identifier: MIT */
/*
 * moodycamel's readerwriterqueue: messages by value. It allocates blocks from the heap, so its ends
 * are threads of one process, and every figure of it is marked so. It is made with room for all
 * messages and then only tries: it allocates nothing while time counts, and says when it is full.
 */
#include <config.h>

#include <readerwriterqueue/readerwriterqueue.h>

#include "elements.hh"

template <size_t N> class reader_writer
{
  public:
    explicit reader_writer(const struct link &l) : queue_(link_slots(&l, N))
    {
    }

    long push(const element<N> *message, long)
    {
        return queue_.try_enqueue(*message);
    }

    long pop(element<N> *message, long)
    {
        return queue_.try_dequeue(*message);
    }

  private:
    moodycamel::ReaderWriterQueue<element<N>> queue_;
};

const struct transport moodycamel_rwq_transport = elements_transport<reader_writer>(
    "moodycamel-rwq", "moodycamel::ReaderWriterQueue, try_enqueue and try_dequeue",
    CAN_BE_ALONE | HAS_CAPACITY | IN_ONE_PROCESS | IS_LOCK_FREE,
    elements_open_on_heap<reader_writer>);
