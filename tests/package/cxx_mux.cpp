/* SPDX-License-Identifier: MIT */
/* mux.hpp in use: compiled and run by tests/package/cxx.sh, for each C++ that it is for. */
#include <shmring/mux.hpp>

#include <cstdio>
#include <thread>
#include <vector>

#include "cxx_expect.hpp"

using namespace std::chrono_literals;

static shmr::queue new_queue()
{
    shmring_config c = {};
    c.kind = SHMRING_SPSC;
    c.capacity = 4096;
    c.flags = SHMRING_PRODUCER;
    return shmr::queue("memfd:cxx-mux", c);
}

static void making()
{
    shmring_mux_config wrong = {};
    wrong.reserved[0] = 1;
    try {
        shmr::mux none(wrong);
        EXPECT(none.get() == nullptr); /* not reached */
    } catch (const std::system_error &e) {
        EXPECT(e.code() == std::errc::invalid_argument);
    }
    EXPECT(shmr::mux::create(&wrong).error() == -EINVAL);

    shmr::mux none;
    shmring_mux_event events[1];
    EXPECT(none.get() == nullptr);
    EXPECT(none.wait(events, 0s).error() == -EBADF);
    EXPECT(none.wake().error() == -EBADF);
    EXPECT(none.add(shmr::queue(), SHMRING_READABLE).error() == -EBADF);

    shmr::mux mux(shmring_mux_config{});
    EXPECT(mux.add(shmr::queue(), SHMRING_READABLE).code() == std::errc::bad_file_descriptor);
    shmr::mux moved = std::move(mux);
    EXPECT(mux.get() == nullptr && moved.wait(events, 0s).error() == -ETIMEDOUT);
    none = std::move(moved);
    shmr::mux &same = none;
    none = std::move(same);
    EXPECT(none.wake() && *none.wait(events, shmr::timeout::forever()) == 0);
}

static void waiting()
{
    auto mux = *shmr::mux::create();
    auto out = new_queue(), other_out = new_queue();
    auto in = *out.dup(SHMRING_CONSUMER), other = *other_out.dup(SHMRING_CONSUMER);
    shmring_mux_event events[4];

    EXPECT(mux.add(in, SHMRING_READABLE, &in) && mux.add(other, SHMRING_READABLE, &other));
    EXPECT(mux.add(in, SHMRING_READABLE).error() == -EEXIST);
    EXPECT(mux.wait(events, 1ms).error() == -ETIMEDOUT);
    EXPECT(other_out.send("first"));
    EXPECT(*mux.wait(events, shmr::timeout::forever()) == 1);
    EXPECT(events[0].data == &other && events[0].q == other.get() && events[0].error == 0);
    EXPECT(static_cast<shmr::queue *>(events[0].data)->peek()->text() == "first");
    EXPECT(mux.done(other) && mux.done(other).error() == -ENOENT);

    std::thread sender([&] { EXPECT(out.send("second")); });
    EXPECT(*mux.wait(events, 1, shmr::timeout::forever()) == 1 && events[0].data == &in);
    sender.join();
    EXPECT(in.peek()->text() == "second");

    EXPECT(mux.remove(in) && mux.remove(in).error() == -ENOENT);
    EXPECT(out.send("unheard"));
    EXPECT(mux.wait(events, 0s).error() == -ETIMEDOUT);
}

int main()
{
    const auto mux = shmr::mux::create();
    if (mux.error() == -ENOSYS) {
        std::puts("this kernel cannot wait for many futexes");
        return 0;
    }
    EXPECT(mux);
    making();
    waiting();
}
