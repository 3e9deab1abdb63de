/* SPDX-License-Identifier: MIT */
/*
 * shmring in C++17 and later: shmring.h with handles, messages and reservations that clean up after
 * themselves. All of it is in this header. Every call here makes a call of shmring.h, which
 * documents its guarantees and errors.
 *
 *   shmr::queue out("orders", config);                  throws shmr::open_error
 *   shmr::queue in("orders", SHMRING_CONSUMER);
 *   out.send("buy");
 *   if (auto message = in.peek(100ms))                     does not throw
 *       std::cout << message->text() << '\n';              released at the end of the block
 *   else if (message.error() != -ETIMEDOUT)
 *       std::cerr << message.code().message() << '\n';
 *
 * Only the constructors of a queue throw, and only they need exceptions. With -fno-exceptions they
 * are not declared; use queue::create(), queue::open() and queue::open_fd(), which return a result.
 *
 * The namespace is shmr, because shmring is already a struct in C. A queue object here is one
 * participant's handle. Threads and signals as in shmring.h; moving a handle counts as using it.
 */
#ifndef SHMRING_SHMRING_HPP
#define SHMRING_SHMRING_HPP

#include <shmring/shmring.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

namespace shmr
{

/*
 * What a call returned: a value, or a negative errno value as in C. The value is there only if the
 * result converts to true.
 */
template <class T> class [[nodiscard]] result
{
  public:
    result(T &&value) noexcept : value_(std::move(value))
    {
    }

    static result failed(int error) noexcept
    {
        result r{T{}};
        r.error_ = error;
        return r;
    }

    explicit operator bool() const noexcept
    {
        return error_ == 0;
    }

    T &operator*() &noexcept
    {
        return value_;
    }
    const T &operator*() const &noexcept
    {
        return value_;
    }
    T &&operator*() &&noexcept
    {
        return std::move(value_);
    }
    T *operator->() noexcept
    {
        return &value_;
    }
    const T *operator->() const noexcept
    {
        return &value_;
    }

    /* 0, or what the call in C returned, such as -EAGAIN. */
    int error() const noexcept
    {
        return error_;
    }
    /* -EOVERFLOW: the producer of a broadcast queue has overtaken this consumer, which goes on. */
    bool overtaken() const noexcept
    {
        return error_ == -EOVERFLOW;
    }
    std::error_code code() const noexcept
    {
        return {-error_, std::generic_category()};
    }

  private:
    T value_;
    int error_ = 0;
};

template <> class [[nodiscard]] result<void>
{
  public:
    explicit result(int rc) noexcept : error_(rc < 0 ? rc : 0)
    {
    }

    explicit operator bool() const noexcept
    {
        return error_ == 0;
    }
    int error() const noexcept
    {
        return error_;
    }
    bool overtaken() const noexcept
    {
        return error_ == -EOVERFLOW;
    }
    std::error_code code() const noexcept
    {
        return {-error_, std::generic_category()};
    }

  private:
    int error_;
};

using status = result<void>;

/*
 * A view of contiguous bytes that it does not own: like std::span, but for C++17 too. A std::span
 * can be made of it.
 */
template <class Byte> class basic_view
{
  public:
    using value_type = std::remove_cv_t<Byte>;
    using iterator = Byte *;

    constexpr basic_view() noexcept = default;
    constexpr basic_view(Byte *data, std::size_t size) noexcept : data_(data), size_(size)
    {
    }

    constexpr Byte *data() const noexcept
    {
        return data_;
    }
    constexpr std::size_t size() const noexcept
    {
        return size_;
    }
    constexpr bool empty() const noexcept
    {
        return size_ == 0;
    }
    constexpr Byte *begin() const noexcept
    {
        return data_;
    }
    constexpr Byte *end() const noexcept
    {
        return data_ + size_;
    }
    constexpr Byte &operator[](std::size_t i) const noexcept
    {
        return data_[i];
    }

    std::string_view text() const noexcept
    {
        return {reinterpret_cast<const char *>(data_), size_};
    }

    /* Copy the bytes into object. Returns false if the size is not that of object. */
    template <class T> bool read(T &object) const noexcept
    {
        static_assert(std::is_trivially_copyable_v<T>, "bytes are no such object");
        if (size_ != sizeof object)
            return false;
        std::memcpy(&object, data_, sizeof object);
        return true;
    }

  private:
    Byte *data_ = nullptr;
    std::size_t size_ = 0;
};

using mutable_bytes = basic_view<std::byte>;

/* What can be sent: text, or anything contiguous whose elements may be copied as bytes. */
class bytes : public basic_view<const std::byte>
{
  public:
    constexpr bytes() noexcept = default;
    bytes(const void *data, std::size_t size) noexcept
        : basic_view(static_cast<const std::byte *>(data), size)
    {
    }
    bytes(const char *text) noexcept : bytes(text, std::strlen(text))
    {
    }

    template <
        class Range,
        class Element =
            std::remove_reference_t<decltype(*std::data(std::declval<const Range &>()))>,
        class = std::enable_if_t<!std::is_array_v<Range> && std::is_trivially_copyable_v<Element>>>
    bytes(const Range &range) noexcept : bytes(std::data(range), std::size(range) * sizeof(Element))
    {
    }

    /* The bytes of one object. */
    template <class T> static bytes of(const T &object) noexcept
    {
        static_assert(std::is_trivially_copyable_v<T>, "cannot be sent as bytes");
        return {&object, sizeof object};
    }
};

/* How long to wait, from any std::chrono duration. A negative one counts as zero, more than 10^9
 * seconds (31 years) as for ever. */
class timeout
{
  public:
    template <class Rep, class Period> timeout(std::chrono::duration<Rep, Period> d) noexcept
    {
        using namespace std::chrono;
        const double about = duration<double>(d).count();
        if (about > 1e9)
            return;
        forever_ = false;
        if (about <= 0)
            return;
        const auto whole = duration_cast<seconds>(d);
        time_.tv_sec = static_cast<time_t>(whole.count());
        time_.tv_nsec = static_cast<long>(duration_cast<nanoseconds>(d - whole).count());
    }

    static timeout forever() noexcept
    {
        return {};
    }

    const struct timespec *get() const noexcept
    {
        return forever_ ? nullptr : &time_;
    }

  private:
    timeout() noexcept = default;

    bool forever_ = true;
    struct timespec time_ = {};
};

/*
 * A message that was taken. The destructor releases it as done with, also when an exception leaves
 * the scope. If it is not done with, call keep(): it stays held, and is delivered again once the
 * queue is closed. A message must not outlive its queue. Messages of an spsc or broadcast queue
 * must be released in the order in which they were taken.
 *
 * A message of a broadcast queue may be overwritten while it is read, even that of a reliable
 * handle when the producer's patience ends: call release(), and use nothing of the message if the
 * result is overtaken().
 */
class [[nodiscard]] message : public basic_view<const std::byte>
{
  public:
    message() noexcept = default;
    message(shmring_t *q, const void *data, std::size_t size, const shmring_info &info) noexcept
        : basic_view(static_cast<const std::byte *>(data), size), q_(q), info_(info)
    {
    }
    message(message &&other) noexcept
        : basic_view(other), q_(std::exchange(other.q_, nullptr)), info_(other.info_)
    {
    }
    message &operator=(message &&other) noexcept
    {
        if (this != &other) {
            finish();
            basic_view::operator=(other);
            q_ = std::exchange(other.q_, nullptr);
            info_ = other.info_;
        }
        return *this;
    }
    ~message()
    {
        finish();
    }

    unsigned deliveries() const noexcept
    {
        return info_.deliveries;
    }
    std::uint64_t position() const noexcept
    {
        return info_.position;
    }
    bool redelivered() const noexcept
    {
        return (info_.flags & SHMRING_REDELIVERED) != 0;
    }
    bool is_key() const noexcept
    {
        return (info_.flags & SHMRING_KEY) != 0;
    }
    /* Of a broadcast queue: messages sent before this one, and messages that this handle has missed
     * so far. */
    std::uint64_t number() const noexcept
    {
        return info_.number;
    }
    std::uint64_t missed() const noexcept
    {
        return info_.missed;
    }

    /* Release now, as the destructor does, but return the result. */
    status release() noexcept
    {
        return status(shmring_release(std::exchange(q_, nullptr), data()));
    }

    /* Do not release it. To release it later, pass data() to shmring_release(). */
    void keep() noexcept
    {
        q_ = nullptr;
    }

  private:
    void finish() noexcept
    {
        if (q_)
            shmring_release(q_, data());
    }

    shmring_t *q_ = nullptr;
    shmring_info info_ = {};
};

/* Room in the queue, to be written in place. The destructor cancels it unless it was committed. */
class [[nodiscard]] reservation : public mutable_bytes
{
  public:
    reservation() noexcept = default;
    reservation(shmring_t *q, void *data, std::size_t size) noexcept
        : mutable_bytes(static_cast<std::byte *>(data), size), q_(q)
    {
    }
    reservation(reservation &&other) noexcept
        : mutable_bytes(other), q_(std::exchange(other.q_, nullptr))
    {
    }
    reservation &operator=(reservation &&other) noexcept
    {
        if (this != &other) {
            cancel();
            mutable_bytes::operator=(other);
            q_ = std::exchange(other.q_, nullptr);
        }
        return *this;
    }
    ~reservation()
    {
        cancel();
    }

    /* Send the first length bytes. If length is more than was reserved, it returns -EMSGSIZE and
     * the reservation stays open. */
    status commit(std::size_t length) noexcept
    {
        return committed(shmring_commit(q_, data(), length));
    }
    status commit() noexcept
    {
        return commit(size());
    }
    /* The same with SHMRING_KEY. If the flags are refused, the reservation stays open. */
    status commit_flags(std::size_t length, unsigned flags) noexcept
    {
        return committed(shmring_commit_flags(q_, data(), length, flags));
    }

    void cancel() noexcept
    {
        if (q_)
            shmring_cancel(std::exchange(q_, nullptr), data());
    }

  private:
    status committed(int rc) noexcept
    {
        if (rc != -EMSGSIZE && rc != -EINVAL)
            q_ = nullptr;
        return status(rc);
    }

    shmring_t *q_ = nullptr;
};

#if defined __cpp_exceptions
/* Why a queue was not opened. what() is the library's sentence alone: std::system_error would
 * append the words for the errno, which the sentence has already. */
class open_error : public std::system_error
{
  public:
    open_error(int error, const char *sentence)
        : std::system_error(error, std::generic_category()), sentence_(sentence)
    {
    }
    const char *what() const noexcept override /* the sentence of shmring_strerror_detail() */
    {
        return sentence_.what();
    }

  private:
    std::runtime_error sentence_; /* a string whose copy never throws */
};
#endif

class queue
{
  public:
    queue() noexcept = default; /* no handle: every call fails with -EBADF */

#if defined __cpp_exceptions
    /* Throw an open_error. */
    queue(const char *name, const shmring_config &config)
    {
        or_throw(shmring_create(&q_, name, &config));
    }
    queue(const char *name, unsigned flags)
    {
        or_throw(shmring_open(&q_, name, flags));
    }
    queue(const char *name, unsigned flags, timeout t)
    {
        or_throw(shmring_open_wait(&q_, name, flags, t.get()));
    }
#endif
    queue(queue &&other) noexcept : q_(std::exchange(other.q_, nullptr))
    {
    }
    queue &operator=(queue &&other) noexcept
    {
        if (this != &other) {
            shmring_close(&q_);
            q_ = std::exchange(other.q_, nullptr);
        }
        return *this;
    }
    ~queue()
    {
        shmring_close(&q_);
    }

    /* As the constructors, without exceptions. */
    static result<queue> create(const char *name, const shmring_config &config) noexcept
    {
        queue q;
        const int rc = shmring_create(&q.q_, name, &config);
        return made(std::move(q), rc);
    }
    static result<queue> open(const char *name, unsigned flags) noexcept
    {
        queue q;
        const int rc = shmring_open(&q.q_, name, flags);
        return made(std::move(q), rc);
    }
    static result<queue> open(const char *name, unsigned flags, timeout t) noexcept
    {
        queue q;
        const int rc = shmring_open_wait(&q.q_, name, flags, t.get());
        return made(std::move(q), rc);
    }
    static result<queue> open_fd(int fd, unsigned flags) noexcept
    {
        queue q;
        const int rc = shmring_open_fd(&q.q_, fd, flags);
        return made(std::move(q), rc);
    }
    result<queue> dup(unsigned flags) const noexcept
    {
        queue q;
        const int rc = shmring_dup(&q.q_, q_, flags);
        return made(std::move(q), rc);
    }
    void close() noexcept
    {
        shmring_close(&q_);
    }
    static status unlink(const char *name) noexcept
    {
        return status(shmring_unlink(name));
    }

    /* The handle, for calls of shmring.h and mux.h that this class does not have. The queue keeps
     * it. */
    shmring_t *get() const noexcept
    {
        return q_;
    }

    /* Sending; with a timeout they wait for room. */
    status send(bytes m) noexcept
    {
        return status(shmring_send(q_, m.data(), m.size()));
    }
    status send(bytes m, timeout t) noexcept
    {
        return status(shmring_send_wait(q_, m.data(), m.size(), t.get()));
    }
    status send_flags(bytes m, unsigned flags) noexcept
    {
        return status(shmring_send_flags(q_, m.data(), m.size(), flags));
    }
    result<int> send_batch(const struct iovec *messages, int n) noexcept
    {
        return counted<int>(shmring_send_batch(q_, messages, n));
    }
    result<reservation> reserve(std::size_t size) noexcept
    {
        void *data = nullptr;
        const int rc = shmring_reserve(q_, size, &data);
        return reserved(rc, data, size);
    }
    result<reservation> reserve(std::size_t size, timeout t) noexcept
    {
        void *data = nullptr;
        const int rc = shmring_reserve_wait(q_, size, &data, t.get());
        return reserved(rc, data, size);
    }

    /* Receiving; with a timeout they wait for a message. */
    result<std::size_t> recv(void *buffer, std::size_t size) noexcept
    {
        return counted<std::size_t>(shmring_recv(q_, buffer, size));
    }
    result<std::size_t> recv(void *buffer, std::size_t size, timeout t) noexcept
    {
        return counted<std::size_t>(shmring_recv_wait(q_, buffer, size, t.get()));
    }
    result<int> recv_batch(struct iovec *messages, int n) noexcept
    {
        return counted<int>(shmring_recv_batch(q_, messages, n));
    }
    result<message> peek() noexcept
    {
        const void *data = nullptr;
        shmring_info info = {};
        const ssize_t n = shmring_peek(q_, &data, &info);
        return taken(n, data, info);
    }
    result<message> peek(timeout t) noexcept
    {
        const void *data = nullptr;
        shmring_info info = {};
        const ssize_t n = shmring_peek_wait(q_, &data, &info, t.get());
        return taken(n, data, info);
    }

    /* Of a broadcast queue: go to the newest. The value says how many messages are passed over. */
    result<std::uint64_t> skip() noexcept
    {
        return counted<std::uint64_t>(shmring_skip(q_));
    }

    /* Waiting. */
    result<unsigned> wait(unsigned events, timeout t) noexcept
    {
        return counted<unsigned>(shmring_wait(q_, events, t.get()));
    }
    status set_waiting(const shmring_waiting &w) noexcept
    {
        return status(shmring_set_waiting(q_, &w));
    }
    result<int> fd(unsigned event) noexcept
    {
        return counted<int>(shmring_fd(q_, event));
    }
    /* true: the event is there already. */
    result<bool> fd_arm(unsigned event) noexcept
    {
        const int rc = shmring_fd_arm(q_, event);
        return rc < 0 ? result<bool>::failed(rc) : result<bool>(rc > 0);
    }

    /* Inspecting. */
    result<struct shmring_stat> stat() noexcept
    {
        struct shmring_stat st = {};
        const int rc = shmring_stat(q_, &st);
        return rc < 0 ? result<struct shmring_stat>::failed(rc)
                      : result<struct shmring_stat>(std::move(st));
    }
    result<int> participants(shmring_participant *rows, int n) noexcept
    {
        return counted<int>(shmring_participants(q_, rows, n));
    }
    result<int> recover(shmring_recovery *report = nullptr) noexcept
    {
        return counted<int>(shmring_recover(q_, report));
    }
    /* each(const shmring_message &) returns true to go on, and must not throw. */
    template <class Each> status dump(Each &&each) noexcept
    {
        using Function = std::remove_reference_t<Each>;
        const int rc = shmring_dump(
            q_,
            [](void *arg, const shmring_message *m) noexcept -> int {
                return (*static_cast<Function *>(arg))(*m) ? 0 : 1;
            },
            const_cast<void *>(static_cast<const void *>(std::addressof(each))));
        return status(rc);
    }
    status check() const noexcept
    {
        return status(shmring_check(q_));
    }
    int segment_fd() const noexcept
    {
        return shmring_segment_fd(q_);
    }

  private:
#if defined __cpp_exceptions
    static void or_throw(int rc)
    {
        if (rc < 0)
            throw open_error(-rc, shmring_strerror_detail());
    }
#endif
    static result<queue> made(queue &&q, int rc) noexcept
    {
        return rc < 0 ? result<queue>::failed(rc) : result<queue>(std::move(q));
    }
    template <class T, class Count> static result<T> counted(Count n) noexcept
    {
        return n < 0 ? result<T>::failed(static_cast<int>(n)) : result<T>(static_cast<T>(n));
    }
    result<reservation> reserved(int rc, void *data, std::size_t size) noexcept
    {
        return rc < 0 ? result<reservation>::failed(rc)
                      : result<reservation>(reservation(q_, data, size));
    }
    result<message> taken(ssize_t n, const void *data, const shmring_info &info) noexcept
    {
        return n < 0 ? result<message>::failed(static_cast<int>(n))
                     : result<message>(message(q_, data, static_cast<std::size_t>(n), info));
    }

    shmring_t *q_ = nullptr;
};

} // namespace shmr

#endif
