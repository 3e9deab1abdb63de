/* SPDX-License-Identifier: MIT */
/* shmring.hpp in use: compiled and run by tests/package/cxx.sh, for each C++ that it is for. */
#include <shmring/shmring.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <unistd.h>
#include <vector>
#if __cplusplus >= 202002L
#include <span>
#endif

#include "cxx_expect.hpp"

using namespace std::chrono_literals;

static std::string name_of(const char *kind)
{
    /* The name has the time, because process ids are used again and a killed process leaves its
     * names. */
    static const auto now = std::chrono::system_clock::now().time_since_epoch().count();
    return std::string("cxx-") + kind + "-" + std::to_string(getpid()) + "-" + std::to_string(now);
}

static shmring_config config_of(uint32_t kind)
{
    shmring_config c = {};
    c.kind = kind;
    c.capacity = kind == SHMRING_MPMC ? 4 : 4096;
    c.max_message = kind == SHMRING_MPMC ? 100 : 0;
    c.max_participants = kind == SHMRING_BROADCAST ? 2 : 0;
    c.flags = SHMRING_PRODUCER;
    return c;
}

/* Two handles of one queue; the destructor removes its name. */
struct pair {
    explicit pair(const char *test, uint32_t kind)
        : name(name_of(test)), out(name.c_str(), config_of(kind)),
          in(name.c_str(), SHMRING_CONSUMER)
    {
    }
    pair(const pair &) = delete;
    pair &operator=(const pair &) = delete;
    ~pair()
    {
        (void)shmr::queue::unlink(name.c_str());
    }

    std::string name;
    shmr::queue out, in;
};

static void opening()
{
    try {
        shmr::queue none("cxx-none", SHMRING_CONSUMER);
        EXPECT(none.get() == nullptr); /* not reached: there is no such queue */
    } catch (const std::system_error &e) {
        EXPECT(e.code() == std::errc::no_such_file_or_directory);
        EXPECT(std::string(e.what()).find("cxx-none") != std::string::npos);
        /* The sentence, and nothing after it. */
        EXPECT(std::string(e.what()) == shmring_strerror_detail());
    }
    try {
        shmr::queue none("cxx-none", SHMRING_CONSUMER, 1ms);
        EXPECT(none.get() == nullptr); /* not reached: there is no such queue */
    } catch (const std::system_error &e) {
        EXPECT(e.code() == std::errc::timed_out);
    }
    EXPECT(shmr::queue::open("cxx-none", SHMRING_CONSUMER).error() == -ENOENT);
    EXPECT(shmr::queue::open("cxx-none", SHMRING_CONSUMER, 1ms).error() == -ETIMEDOUT);
    EXPECT(shmr::queue::create("", config_of(SHMRING_SPSC)).error() == -EINVAL);
    EXPECT(shmr::queue::open_fd(-1, SHMRING_CONSUMER).code() == std::errc::bad_file_descriptor);
    EXPECT(shmr::queue::unlink("cxx-none").error() == -ENOENT);

    shmr::queue closed;
    EXPECT(closed.get() == nullptr);
    EXPECT(closed.send("x").error() == -EBADF);
    EXPECT(closed.stat().error() == -EBADF);
    EXPECT(closed.dup(SHMRING_OBSERVER).error() == -EBADF);

    shmring_config config = config_of(SHMRING_SPSC);
    auto memfd = shmr::queue::create("memfd:cxx", config);
    EXPECT(memfd);
    auto second = shmr::queue::open_fd(memfd->segment_fd(), SHMRING_CONSUMER);
    EXPECT(second && memfd->send("through a descriptor"));
    EXPECT(second->peek()->text() == "through a descriptor");
    EXPECT(memfd->dup(SHMRING_OBSERVER)->stat()->sent == 1);
}

static void moving()
{
    pair p("moving", SHMRING_SPSC);
    shmr::queue out = std::move(p.out);
    EXPECT(out.send("moved") && p.out.get() == nullptr);

    /* A handle that is assigned to first gives up its own role. */
    auto other = shmr::queue::create("memfd:cxx", config_of(SHMRING_SPSC));
    *other = std::move(out);
    EXPECT(other->send("and again"));
    shmr::queue &same = p.in;
    p.in = std::move(same);
    EXPECT(p.in.peek()->text() == "moved");
    other->close();
    EXPECT(other->send("x").error() == -EBADF);
    EXPECT(shmr::queue::open(p.name.c_str(), SHMRING_PRODUCER)); /* the role is free again */
}

static void bytes_of_many_kinds()
{
    pair p("kinds", SHMRING_MPMC);
    const struct point {
        int32_t x, y;
    } point = {3, -4};
    const std::vector<uint16_t> numbers = {1, 2, 3};

    EXPECT(p.out.send("four"));
    EXPECT(p.out.send(numbers));
    EXPECT(p.out.send(shmr::bytes::of(point)));
    EXPECT(p.out.send({}));
    EXPECT(p.out.send(std::string("full")).error() == -EAGAIN);
    EXPECT(p.in.peek()->size() == 4);
    auto sixteen = p.in.peek();
    std::array<uint16_t, 3> read;
    EXPECT(sixteen && sixteen->read(read) && read[2] == 3);
    struct point back;
    EXPECT(!sixteen->read(back));
    EXPECT(p.in.peek()->read(back) && back.y == -4);
    EXPECT(p.in.peek()->empty());
    EXPECT(!p.in.peek());
#if __cplusplus >= 202002L
    std::span<const std::byte> span = *sixteen;
    EXPECT(span.size() == 6);
    EXPECT(p.out.send(span));
#endif
}

static void reservations()
{
    pair p("reservations", SHMRING_SPSC);
    {
        auto room = p.out.reserve(8);
        EXPECT(room && room->size() == 8);
        EXPECT(p.out.send("x").error() == -EINPROGRESS);
    }
    EXPECT(!p.in.peek()); /* the message was given back */

    auto room = p.out.reserve(8, 1s);
    for (std::byte &byte : *room)
        byte = std::byte{'r'};
    EXPECT(room->commit(9).error() == -EMSGSIZE);
    shmr::reservation moved = std::move(*room);
    EXPECT(moved.commit(3));
    EXPECT(p.in.peek()->text() == "rrr");
    EXPECT(p.out.reserve(1000000).error() == -EMSGSIZE);
    EXPECT(p.out.reserve(8)->commit());
    moved = *p.out.reserve(16);
    moved.cancel();
    EXPECT(p.in.stat()->depth == 1);
}

static void messages()
{
    pair p("messages", SHMRING_MPMC);
    EXPECT(p.in.peek().code() == std::errc::resource_unavailable_try_again);
    for (const char *word : {"one", "two", "three"})
        EXPECT(p.out.send(word));
    {
        auto one = p.in.peek();
        EXPECT(one && one->deliveries() == 1 && !one->redelivered() && one->position() == 0);
        shmr::message moved = std::move(*one);
        EXPECT(moved.text() == "one");
        moved = *p.in.peek(); /* this releases the first message */
        EXPECT(moved.text() == "two");
        EXPECT(p.in.stat()->received == 1);
        EXPECT(moved.release());
        EXPECT(p.in.stat()->received == 2);
    }
    EXPECT(p.in.stat()->received == 2);
    {
        auto three = p.in.peek();
        three->keep();
    }
    EXPECT(p.in.stat()->received == 2);
    p.in.close();
    p.in = shmr::queue(p.name.c_str(), SHMRING_CONSUMER);
    auto again = p.in.peek();
    EXPECT(again && again->text() == "three" && again->redelivered() && again->deliveries() == 2 &&
           again->position() == 2);
}

static void copies_and_batches()
{
    pair p("batches", SHMRING_SPSC);
    char one[] = "one", two[] = "four";
    struct iovec out[] = {{one, 3}, {two, 4}};
    char buffer[2][8];
    struct iovec in[] = {{buffer[0], 8}, {buffer[1], 8}};

    EXPECT(*p.out.send_batch(out, 2) == 2);
    EXPECT(p.out.send_batch(out, 0).error() == -EINVAL);
    EXPECT(*p.in.recv_batch(in, 2) == 2 && in[1].iov_len == 4);
    EXPECT(p.out.send("abc"));
    EXPECT(p.in.recv(buffer, 2).error() == -EMSGSIZE);
    EXPECT(*p.in.recv(buffer, 8) == 3);
    EXPECT(p.in.recv(buffer, 8).error() == -EAGAIN);
}

static void waiting()
{
    using hours = std::chrono::hours;
    EXPECT(shmr::timeout::forever().get() == nullptr);
    EXPECT(shmr::timeout(hours::max()).get() == nullptr);
    EXPECT(shmr::timeout(hours(24)).get()->tv_sec == 86400);
    EXPECT(shmr::timeout(1500ms).get()->tv_sec == 1);
    EXPECT(shmr::timeout(1500ms).get()->tv_nsec == 500000000);
    EXPECT(shmr::timeout(-1s).get()->tv_sec == 0 && shmr::timeout(-1s).get()->tv_nsec == 0);
    EXPECT(shmr::timeout(std::chrono::duration<double>(0.25)).get()->tv_nsec == 250000000);

    pair p("waiting", SHMRING_SPSC);
    char buffer[8];
    EXPECT(p.in.peek(0s).error() == -ETIMEDOUT);
    EXPECT(p.in.recv(buffer, 8, 1ms).error() == -ETIMEDOUT);
    EXPECT(p.in.wait(SHMRING_READABLE, 1ms).error() == -ETIMEDOUT);
    EXPECT(p.out.send("now", shmr::timeout::forever()));
    EXPECT(*p.in.wait(SHMRING_READABLE, 1s) == SHMRING_READABLE);
    EXPECT(p.in.peek(1s)->text() == "now");
    EXPECT(*p.in.fd(SHMRING_READABLE) >= 0);
    EXPECT(!*p.in.fd_arm(SHMRING_READABLE));
    EXPECT(p.out.send("now"));
    EXPECT(*p.in.fd_arm(SHMRING_READABLE));
    EXPECT(p.out.fd_arm(SHMRING_READABLE).error() == -EPERM);

    shmring_waiting w = {};
    w.flags = SHMRING_WAIT_PEERS;
    EXPECT(p.in.set_waiting(w));
    EXPECT(p.in.peek());
    p.out.close();
    EXPECT(p.in.peek(shmr::timeout::forever()).code() == std::errc::broken_pipe);
}

static void looking()
{
    pair p("looking", SHMRING_SPSC);
    shmring_participant rows[2];
    std::vector<std::string> seen;

    EXPECT(p.out.send("first") && p.out.send("second"));
    EXPECT(*p.in.participants(rows, 2) == 2);
    EXPECT(*p.in.recover() == 0);
    EXPECT(p.in.dump([&](const shmring_message &m) {
        seen.push_back({static_cast<const char *>(m.data), m.length});
        return true;
    }));
    EXPECT(seen.size() == 2 && seen[1] == "second");
    EXPECT(p.in.dump([&](const shmring_message &) { return seen.clear(), false; }));
    EXPECT(seen.empty());
    EXPECT(p.in.check() && shmr::queue::unlink(p.name.c_str()));
    EXPECT(p.in.check().error() == -ESTALE);
}

static void everyone_gets_it()
{
    pair p("everyone", SHMRING_BROADCAST);
    auto other = p.in.dup(SHMRING_CONSUMER);

    EXPECT(other && p.out.send("first") && p.out.send_flags("snapshot", SHMRING_KEY));
    EXPECT(p.out.send_flags("x", SHMRING_KEY << 1).error() == -EINVAL);
    auto seen = p.in.peek();
    EXPECT(seen && seen->text() == "first" && !seen->is_key() && seen->number() == 0);
    EXPECT(seen->release());
    seen = p.in.peek();
    EXPECT(seen && seen->text() == "snapshot" && seen->is_key() && seen->number() == 1);
    EXPECT(seen->missed() == 0 && seen->release() && p.in.peek().error() == -EAGAIN);
    auto late = p.in.dup(SHMRING_CONSUMER | SHMRING_FROM_KEY);
    EXPECT(late && late->peek()->text() == "snapshot");

    auto skipped = other->skip();
    EXPECT(skipped && *skipped == 2 && other->peek().error() == -EAGAIN);
    pair spsc("not-everyone", SHMRING_SPSC);
    EXPECT(spsc.in.skip().error() == -EOPNOTSUPP);

    auto room = p.out.reserve(100);
    EXPECT(room && room->commit_flags(5, SHMRING_KEY << 1).error() == -EINVAL);
    std::memcpy(room->data(), "third", 5);
    EXPECT(room->commit_flags(5, SHMRING_KEY));
    EXPECT(late->peek()->text() == "third");
}

static void overtaken()
{
    pair p("overtaken", SHMRING_BROADCAST);
    char buffer[1000] = {};
    const shmr::bytes large(buffer, sizeof buffer);

    EXPECT(p.out.send("first"));
    auto held = p.in.peek();
    for (int i = 0; i < 10; i++)
        EXPECT(p.out.send(large));
    EXPECT(held && held->release().overtaken());
    EXPECT(p.in.recv(buffer, sizeof buffer).overtaken());
    auto next = p.in.peek();
    EXPECT(next && next->missed() == next->number() && next->missed() > 0);
    EXPECT(next->release());
    EXPECT(p.in.stat()->missed_here == p.in.stat()->missed);

    auto reliable = p.in.dup(SHMRING_CONSUMER | SHMRING_RELIABLE);
    EXPECT(reliable);
    int sent = 0;
    while (p.out.send(large))
        sent++;
    EXPECT(sent > 0);
    for (int i = 0; i < sent; i++)
        EXPECT(reliable->recv(buffer, sizeof buffer));
    EXPECT(reliable->recv(buffer, sizeof buffer).error() == -EAGAIN && p.out.send(large));
}

int main()
{
    opening();
    moving();
    bytes_of_many_kinds();
    reservations();
    messages();
    copies_and_batches();
    waiting();
    looking();
    everyone_gets_it();
    overtaken();
}
