/* SPDX-License-Identifier: MIT */
/*
 * shmring/mux.h in C++17 and later, beside shmring.hpp: a mux that ends itself. Every call is one
 * of mux.h, where its guarantees and errors are told.
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
 * The queues stay their owners': take one out with remove() before it is closed, assigned to or
 * goes out of scope, and end the mux first where both go. Moving one is all right for the mux, but
 * not for a pointer to it in its events. Messages that were taken from a borrowed queue end before
 * it is given back, by done() or the next wait().
 *
 * Link with libshmring-mux. With -fno-exceptions there is only create(), as for a queue.
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
    mux() noexcept = default; /* none: every call fails with -EBADF */

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

    /* nullptr: the usual configuration, which is not that of zeros. */
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

    /* How many events there are; 0 after wake(). */
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
