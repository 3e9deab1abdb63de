/* SPDX-License-Identifier: MIT */
/*
 * Every public operation on segments whose contents change between any two calls. The input is a
 * program: a segment, and then calls on up to four handles, deaths, and words overwritten.
 *
 * What is checked: results are among the documented ones; no message is longer than max_message or
 * lies outside the handle's mapping; a poisoned handle stays so; no other memory of the process is
 * touched (AddressSanitizer and the guard pages around every mapping detect that).
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include <shmring/shmring.h>

#include "fuzz.h"
#include "lib/core/handle.h"

enum { HANDLES = 4, CALLS = 64, BATCH = 4, HELD = 64 };

static struct slot {
    shmring_t *q;
    void *reserved[SHMRING_RESERVED_MAX];
    size_t reserved_length[SHMRING_RESERVED_MAX];
    unsigned reserved_count;
    const void *held[HELD];
    unsigned held_count;
    bool poisoned; /* a call has said so */
} slots[HANDLES];

static struct world *world;
static bool found_corrupt; /* by the last call */

/* ---- Results --------------------------------------------------------------------------------- */

/* A list of errors that ends with 0; those that every call may return are understood. */
static long checked(const char *call, const int *documented, long result)
{
    found_corrupt = result == -EBADMSG;
    if (result >= 0 || result == -EBADMSG || result == -ESTALE)
        return result;
    for (; *documented; documented++)
        if (result == -*documented)
            return result;
    fuzz_check(false, "%s: %ld (%s)", call, result, shmring_strerror_detail());
    return result;
}
#define CHECKED(Call, ...) checked(#Call, (const int[]){__VA_ARGS__, 0}, (long)(Call))

/* The bytes of a message, all of them in the mapping. */
static void read_message(const shmring_t *q, const void *message, size_t length)
{
    const uint8_t *from = message;
    static volatile uint8_t sum;

    fuzz_check(length <= q->geometry.max_message, "%zu bytes", length);
    fuzz_check(from >= q->map.data && from + length <= q->map.base + q->map.length,
               "at %p, the data at %p", message, (void *)q->map.data);
    for (size_t i = 0; i < length; i++)
        sum = (uint8_t)(sum + from[i]);
}

static void forget(struct slot *s)
{
    *s = (struct slot){0};
}

static bool is_broadcast(void)
{
    return world->geometry.type->number == SHMR_BROADCAST;
}

/* ---- Life ------------------------------------------------------------------------------------ */

static void attach(struct slot *s, struct input *in)
{
    static const unsigned roles[] = {SHMRING_PRODUCER, SHMRING_CONSUMER,
                                     SHMRING_PRODUCER | SHMRING_CONSUMER, SHMRING_OBSERVER};
    static const unsigned starts[] = {
        0,
        SHMRING_RELIABLE,
        SHMRING_FROM_OLDEST,
        SHMRING_FROM_OLDEST | SHMRING_RELIABLE,
        SHMRING_FROM_KEY,
        SHMRING_FROM_KEY | SHMRING_RELIABLE,
        SHMRING_FROM_KEY | SHMRING_FROM_OLDEST,
        SHMRING_FROM_KEY | SHMRING_FROM_OLDEST | SHMRING_RELIABLE,
    };
    const unsigned choice = input_below(in, 128), role = roles[choice % 4];
    const unsigned flags = role | (choice & 4 ? SHMRING_ASYMMETRIC_FENCE : 0) |
                           (choice & 8 ? SHMRING_PREFAULT : 0) |
                           (is_broadcast() && role & SHMRING_CONSUMER ? starts[choice / 16] : 0);

    shmring_close(&s->q);
    forget(s);
    if (CHECKED(shmring_open_fd(&s->q, world->fd, flags), EBUSY, EUSERS) < 0)
        fuzz_check(s->q == NULL, "a handle of a call that failed");
}

/* What kill -9 leaves: a row that says ATTACHED, and no lock. Closed as by a child that inherited
 * it, the handle is gone, and what the segment says stays. */
static void die(struct slot *s)
{
    if (!s->q)
        return;
    shmr_segment_unmap(&s->q->map);
    s->q->mark++;
    shmring_close(&s->q);
    forget(s);
}

/* ---- Sending --------------------------------------------------------------------------------- */

static uint8_t letters[8192];

/* A length near the longest allowed, or a short one. */
static size_t choose_length(const shmring_t *q, struct input *in)
{
    const unsigned n = input_below(in, 256);
    const size_t most = q ? q->geometry.max_message : 8;

    return n < 128 ? n % (most + 2) : n < 250 ? most * (n - 128) / 122 : most + n - 250;
}

static void send(struct slot *s, struct input *in)
{
    const size_t len = choose_length(s->q, in);

    CHECKED(shmring_send(s->q, letters, len), EAGAIN, EMSGSIZE, EPERM, EINPROGRESS, EBADF);
}

static void send_batch(struct slot *s, struct input *in)
{
    struct iovec batch[BATCH];
    const int n = (int)input_below(in, BATCH + 1);

    for (int i = 0; i < n; i++)
        batch[i] = (struct iovec){.iov_base = letters, .iov_len = choose_length(s->q, in)};
    long r = CHECKED(shmring_send_batch(s->q, batch, n), EAGAIN, EMSGSIZE, EPERM, EINPROGRESS,
                     EBADF, EINVAL);
    fuzz_check(r <= n, "%ld of %d", r, n);
}

static void reserve(struct slot *s, struct input *in)
{
    const size_t len = choose_length(s->q, in);
    void *place = NULL;

    if (CHECKED(shmring_reserve(s->q, len, &place), EAGAIN, EMSGSIZE, EPERM, EINPROGRESS, EBADF,
                ENOBUFS) < 0)
        return;
    read_message(s->q, place, len);
    memset(place, 'r', len);
    s->reserved[s->reserved_count] = place;
    s->reserved_length[s->reserved_count++] = len;
}

static void commit_or_cancel(struct slot *s, struct input *in, bool commit)
{
    const unsigned at = s->reserved_count ? input_below(in, s->reserved_count) : 0;
    void *place = s->reserved_count ? s->reserved[at] : letters;
    const size_t reserved = s->reserved_count ? s->reserved_length[at] : 0;
    long r;

    if (commit) {
        size_t len = reserved - input_below(in, 3) % (reserved + 1);
        r = CHECKED(shmring_commit(s->q, place, len), EAGAIN, EINVAL, EPERM, EBADF);
    } else {
        r = CHECKED(shmring_cancel(s->q, place), EINVAL, EPERM, EBADF);
    }
    fuzz_check((r == 0) <= (s->reserved_count > 0), "what was not reserved");
    if (r == 0) {
        s->reserved_count--;
        s->reserved[at] = s->reserved[s->reserved_count];
        s->reserved_length[at] = s->reserved_length[s->reserved_count];
    }
}

static void send_key(struct slot *s, struct input *in)
{
    const unsigned flags = input_below(in, 2) ? SHMRING_KEY : 0;

    if (s->reserved_count && input_below(in, 2)) {
        if (CHECKED(shmring_commit_flags(s->q, s->reserved[0], 0, flags), EAGAIN, EINVAL, EPERM,
                    EBADF) == 0) {
            s->reserved_count--;
            s->reserved[0] = s->reserved[s->reserved_count];
            s->reserved_length[0] = s->reserved_length[s->reserved_count];
        }
    } else {
        CHECKED(shmring_send_flags(s->q, letters, choose_length(s->q, in), flags), EAGAIN, EMSGSIZE,
                EPERM, EINPROGRESS, EINVAL, EBADF);
    }
}

/* ---- Receiving ------------------------------------------------------------------------------- */

/* A consumer is lapped in a broadcast queue only. */
static void check_overflow(long r)
{
    fuzz_check(r != -EOVERFLOW || is_broadcast(), "lapped");
}

/* A buffer of exactly that size, so that AddressSanitizer detects an access beyond it. */
static void *new_buffer(size_t size)
{
    void *buffer = malloc(size ? size : 1);

    fuzz_check(buffer, "no memory");
    return buffer;
}

static void recv_with(struct slot *s, struct input *in, bool wait)
{
    const struct timespec timeout = {.tv_nsec = 5000000L * input_below(in, 20)};
    const size_t size = choose_length(s->q, in);
    void *buffer = new_buffer(size);
    long r = wait ? CHECKED(shmring_recv_wait(s->q, buffer, size, &timeout), EMSGSIZE, EPERM,
                            EINPROGRESS, EBADF, ETIMEDOUT, EPIPE, EOVERFLOW)
                  : CHECKED(shmring_recv(s->q, buffer, size), EAGAIN, EMSGSIZE, EPERM, EINPROGRESS,
                            EBADF, EOVERFLOW);
    check_overflow(r);

    fuzz_check(r < 0 || ((size_t)r <= size && (size_t)r <= s->q->geometry.max_message), "%ld bytes",
               r);
    free(buffer);
}

static void recv_batch(struct slot *s, struct input *in)
{
    struct iovec batch[BATCH];
    size_t size[BATCH];
    const int n = (int)input_below(in, BATCH + 1);

    for (int i = 0; i < n; i++) {
        size[i] = choose_length(s->q, in);
        batch[i] = (struct iovec){.iov_base = new_buffer(size[i]), .iov_len = size[i]};
    }
    long r = CHECKED(shmring_recv_batch(s->q, batch, n), EAGAIN, EMSGSIZE, EPERM, EINPROGRESS,
                     EBADF, EINVAL, EOVERFLOW);
    check_overflow(r);
    fuzz_check(r <= n, "%ld of %d", r, n);
    for (int i = 0; i < n; i++) {
        fuzz_check(i >= r || batch[i].iov_len <= size[i], "%zu bytes", batch[i].iov_len);
        free(batch[i].iov_base);
    }
}

static void peek(struct slot *s)
{
    struct shmring_info info = {0};
    const void *message = NULL;

    if (s->held_count == HELD)
        return;
    long r = CHECKED(shmring_peek(s->q, &message, &info), EAGAIN, EPERM, EBADF, ENOBUFS, EOVERFLOW);
    check_overflow(r);
    fuzz_check(r != -ENOBUFS || is_broadcast(), "no room for what is held");
    if (r < 0)
        return;
    read_message(s->q, message, (size_t)r);
    fuzz_check(info.deliveries >= 1, "never delivered");
    fuzz_check(info.flags == 0 ||
                   info.flags == (is_broadcast() ? SHMRING_KEY : SHMRING_REDELIVERED),
               "flags %x", info.flags);
    s->held[s->held_count++] = message;
}

static void release(struct slot *s, struct input *in)
{
    const unsigned at = s->held_count ? input_below(in, s->held_count) : 0;
    long r = CHECKED(shmring_release(s->q, s->held_count ? s->held[at] : letters), EINVAL, EPERM,
                     EBADF, EOVERFLOW);
    const bool released = r == 0 || r == -EOVERFLOW;

    check_overflow(r);
    fuzz_check(released <= (s->held_count > 0), "what was not taken");
    if (released)
        memmove(&s->held[at], &s->held[at + 1], (--s->held_count - at) * sizeof s->held[0]);
}

static void skip(struct slot *s)
{
    CHECKED(shmring_skip(s->q), EAGAIN, EINPROGRESS, EOPNOTSUPP, EPERM, EBADF);
}

/* ---- Waiting --------------------------------------------------------------------------------- */

static void send_wait(struct slot *s, struct input *in)
{
    const struct timespec timeout = {.tv_nsec = 5000000L * input_below(in, 20)};
    const size_t len = choose_length(s->q, in);

    CHECKED(shmring_send_wait(s->q, letters, len, &timeout), EMSGSIZE, EPERM, EINPROGRESS, EBADF,
            ETIMEDOUT, EPIPE);
}

static void wait_for(struct slot *s, struct input *in)
{
    const unsigned events = input_below(in, 4);
    const struct timespec timeout = {.tv_nsec = 5000000L * input_below(in, 20)};
    long r = CHECKED(shmring_wait(s->q, events, &timeout), EINVAL, EPERM, EBADF, ETIMEDOUT, EPIPE);

    fuzz_check(r < 0 || ((unsigned)r & ~events) == 0, "events %lx of %x", (unsigned long)r, events);
}

static void arm(struct slot *s, struct input *in)
{
    const unsigned choice = input_below(in, 6), event = 1 + choice % 2;
    struct shmring_futex futex;

    switch (choice / 2) {
    case 0:
        CHECKED(shmring_fd(s->q, event), EPERM, EBADF, EBUSY, EPIPE);
        break;
    case 1:
        CHECKED(shmring_fd_arm(s->q, event), EPERM, EBADF, EBUSY, EPIPE);
        break;
    default:
        if (CHECKED(shmring_futex_arm(s->q, event, &futex), EPERM, EBADF, EPIPE) == 0)
            fuzz_check((const uint8_t *)futex.word > s->q->map.base &&
                           (const uint8_t *)futex.word < s->q->map.base + s->q->map.length,
                       "at %p", (const void *)futex.word);
    }
}

static void set_waiting(struct slot *s, struct input *in)
{
    const struct shmring_waiting w = {.spin_ns = 1000 * input_below(in, 100),
                                      .recheck_ms = input_below(in, 100),
                                      .patience_ms = input_below(in, 20),
                                      .flags = input_below(in, 2)};

    CHECKED(shmring_set_waiting(s->q, &w), EBADF);
}

/* ---- Looking --------------------------------------------------------------------------------- */

static int each(void *arg, const struct shmring_message *m)
{
    const shmring_t *q = arg;
    static volatile uint8_t sum;

    fuzz_check(m->length <= q->geometry.max_message, "%u bytes", m->length);
    for (uint32_t i = 0; i < m->length; i++)
        sum = (uint8_t)(sum + ((const uint8_t *)m->data)[i]);
    fuzz_check(m->state == SHMRING_WAITING || m->state == SHMRING_HELD, "state %u", m->state);
    return 0;
}

static void observe(struct slot *s, struct input *in)
{
    struct shmring_stat st;
    struct shmring_participant rows[4];
    long r;

    switch (input_below(in, 5)) {
    case 0:
        if (CHECKED(shmring_stat(s->q, &st), EBADF) == 0) {
            fuzz_check(st.depth <= st.capacity, "%llu messages", (unsigned long long)st.depth);
            fuzz_check(st.participants + st.dead <= st.max_participants, "%u and %u",
                       st.participants, st.dead);
        }
        break;
    case 1:
        r = CHECKED(shmring_participants(s->q, rows, 4), EBADF);
        fuzz_check(r <= (long)world->geometry.rows, "%ld rows", r);
        for (int i = 0; i < r && i < 4; i++)
            fuzz_check(memchr(rows[i].comm, 0, sizeof rows[i].comm) && rows[i].held_ns >= 0,
                       "row %d", i);
        break;
    case 2:
        CHECKED(shmring_dump(s->q, each, s->q), EBADF);
        break;
    case 3:
        CHECKED(shmring_check(s->q), EBADF);
        break;
    default:
        r = CHECKED(shmring_segment_fd(s->q), EBADF);
        fuzz_check(r >= 0 || !s->q, "no descriptor");
    }
}

static void recover(struct slot *s)
{
    struct shmring_recovery report;
    long r = CHECKED(shmring_recover(s->q, &report), EPERM, EBADF);

    fuzz_check(r < 0 || report.participants == (uint32_t)r, "%ld, %u in the report", r,
               report.participants);
}

static void duplicate(struct slot *s, struct slot *to, struct input *in)
{
    shmring_t *copy;
    const unsigned role = 1U << input_below(in, 3);

    if (CHECKED(shmring_dup(&copy, s->q, role), EBUSY, EUSERS, EBADF) < 0)
        return;
    shmring_close(&to->q);
    forget(to);
    to->q = copy;
}

/* ---- A program ------------------------------------------------------------------------------- */

/* The numbers of the operations that the program names. */
enum { LOOK = 14, RECOVER, ATTACH, CLOSE = 18, DIE, DUPLICATE, KEY, SKIP, OPERATIONS = 32 };

static void call(struct slot *s, unsigned operation, struct input *in)
{
    switch (operation) {
    case 0:
        send(s, in);
        break;
    case 1:
        send_batch(s, in);
        break;
    case 2:
        reserve(s, in);
        break;
    case 3:
        commit_or_cancel(s, in, true);
        break;
    case 4:
        commit_or_cancel(s, in, false);
        break;
    case 5:
        recv_with(s, in, false);
        break;
    case 6:
        recv_batch(s, in);
        break;
    case 7:
        peek(s);
        break;
    case 8:
        release(s, in);
        break;
    case 9:
        send_wait(s, in);
        break;
    case 10:
        recv_with(s, in, true);
        break;
    case 11:
        wait_for(s, in);
        break;
    case 12:
        arm(s, in);
        break;
    case 13:
        set_waiting(s, in);
        break;
    case LOOK:
        observe(s, in);
        break;
    default:
        recover(s);
    }
}

/* One step. A poisoned handle must refuse every call. */
static void step(struct input *in)
{
    const unsigned byte = input_below(in, 256), operation = byte / HANDLES % OPERATIONS;
    struct slot *s = &slots[byte % HANDLES];
    const bool poisoned = s->poisoned;
    char byte_received;

    found_corrupt = false;
    if (operation < ATTACH)
        call(s, operation, in);
    else if (operation < CLOSE)
        attach(s, in);
    else if (operation == CLOSE)
        shmring_close(&s->q), forget(s);
    else if (operation == DIE)
        die(s);
    else if (operation == DUPLICATE)
        duplicate(s, &slots[input_below(in, HANDLES)], in);
    else if (operation == KEY)
        send_key(s, in);
    else if (operation == SKIP)
        skip(s);
    else
        world_scribble(world, in);
    if (found_corrupt && (operation < LOOK || operation == KEY || operation == SKIP))
        s->poisoned = true;
    if (poisoned && operation < ATTACH) {
        fuzz_check(shmring_send(s->q, "", 0) == -EBADMSG, "a poisoned handle sends");
        fuzz_check(shmring_recv(s->q, &byte_received, 1) == -EBADMSG, "a poisoned handle receives");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input in = {bytes, bytes + size};

    world = world_choose(&in);
    for (int i = 0; i < CALLS && in.at < in.end; i++)
        step(&in);
    for (int i = 0; i < HANDLES; i++) {
        shmring_close(&slots[i].q);
        forget(&slots[i]);
    }
    return 0;
}
