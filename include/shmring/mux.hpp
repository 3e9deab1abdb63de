/* SPDX-License-Identifier: MIT */
/*
 * shmring/mux.h in C++17 and later, beside shmring.hpp: a mux that ends itself. Every call here
 * makes a call of mux.h, which documents its guarantees and errors.
 *
 *   shmr::queue orders("orders", SHMRING_CONSUMER);
 *   shmr::mux mux(shmring_mux_config{});                   throws std::system_error
 *   mux.add(orders, SHMRING_READABLE, &orders);
 *   shmring_mux_event events[16];
 *   while (auto n = mux.wait(events, 1s))                  does not throw
 *       for (int i = 0; i < *n; i++)
 *           while (auto message = static_cast<shmr::queue *>(events[i].data)->peek())
 *               std::cout << message->text() << '\n';
 *
 * A mux does not own its queues: remove() a queue before it is closed, assigned to or destroyed, or
 * end the mux first. The mux does not mind when a queue object is moved, but a pointer to it that
 * was given to add() is then wrong. Release the messages of a borrowed queue before done() or the
 * next wait() gives the queue back.
 *
 * Link with libshmring-mux. With -fno-exceptions use create() in place of the constructor.
 */
#ifndef SHMRING_MUX_HPP
#define SHMRING_MUX_HPP

#include <shmring/mux.h>
#include <shmring/shmring.hpp>

namespace shmr
{

class mux
{
  public:
    mux() noexcept = default; /* no mux: every call fails with -EBADF */

#if defined __cpp_exceptions
    explicit mux(const shmring_mux_config &config)
    {
        const int rc = shmring_mux_create(&mux_, &config);
        if (rc < 0)
            throw std::system_error(-rc, std::generic_category(), "shmring_mux_create");
    }
#endif
    mux(mux &&other) noexcept : mux_(std::exchange(other.mux_, nullptr))
    {
    }
    mux &operator=(mux &&other) noexcept
    {
        if (this != &other) {
            shmring_mux_destroy(&mux_);
            mux_ = std::exchange(other.mux_, nullptr);
        }
        return *this;
    }
    ~mux()
    {
        shmring_mux_destroy(&mux_);
    }

    /* nullptr: the default configuration. It differs from one of all zeroes: spin_ns is 50,000. */
    static result<mux> create(const shmring_mux_config *config = nullptr) noexcept
    {
        mux m;
        const int rc = shmring_mux_create(&m.mux_, config);
        return rc < 0 ? result<mux>::failed(rc) : result<mux>(std::move(m));
    }

    status add(const queue &q, unsigned event, void *data = nullptr) noexcept
    {
        return status(shmring_mux_add(mux_, q.get(), event, data));
    }
    status remove(const queue &q) noexcept
    {
        return status(shmring_mux_remove(mux_, q.get()));
    }
    status done(const queue &q) noexcept
    {
        return status(shmring_mux_done(mux_, q.get()));
    }

    /* Returns the number of events; 0 after wake(). */
    result<int> wait(shmring_mux_event *events, int n, timeout t) noexcept
    {
        const int rc = shmring_mux_wait(mux_, events, n, t.get());
        return rc < 0 ? result<int>::failed(rc) : result<int>(int{rc});
    }
    template <std::size_t N> result<int> wait(shmring_mux_event (&events)[N], timeout t) noexcept
    {
        return wait(events, static_cast<int>(N), t);
    }
    status wake() noexcept
    {
        return status(shmring_mux_wake(mux_));
    }

    shmring_mux_t *get() const noexcept
    {
        return mux_;
    }

  private:
    shmring_mux_t *mux_ = nullptr;
};

} // namespace shmr

#endif
