/* SPDX-License-Identifier: MIT */
/*
 * The scribbler: a peer with write permission that damages a queue in every way it can, while three
 * correct processes send, receive, wait, attach, recover and observe. It writes random words
 * everywhere and plausible words at the places that calls read, lies about the places of a
 * broadcast queue (horizon, marks, key messages, positions of reliable consumers), stores into
 * single words again and again, wakes sleepers for nothing, locks rows that are not its own, forges
 * participants, punches holes, and at last truncates the file. Messages may be lost and calls may
 * fail, but
 *
 *   - no process touches memory that is not the queue's: mappings lie between guard pages
 *     (../fuzz/around.c), and so do the buffers that messages are received into;
 *   - no call runs for ever: each one ends within a second of processor time;
 *   - no call returns what it is not documented to return.
 *
 * SHMRING_TEST_WRITES: the number of words that each test writes.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/broadcast/layout.h"
#include "lib/core/handle.h"
#include "lib/wait/waitword.h"
#include "messages.h"
#include "support.h"

enum { VICTIMS = 3, LONGEST = 1000, ROWS = 8, BURST = 4096, LOCKED_ROWS = 3 };

#define BOTH       (SHMRING_PRODUCER | SHMRING_CONSUMER)
#define WRITES     UINT64_C(8000000)
#define A_ROUND    UINT64_C(2000000)
#define A_SECOND   ((struct itimerval){{1, 0}, {1, 0}})
#define SHORT_TIME (&(struct timespec){.tv_nsec = 200000})

/* Memory that the correct processes share, and the scribbler does not touch. */
static struct shared {
    _Atomic bool over;
    _Atomic uint64_t calls[VICTIMS], messages[VICTIMS], corrupt[VICTIMS], attached[VICTIMS];
} * shared;

/* ---- Correct processes ----------------------------------------------------------------------- */

struct victim {
    int number;
    uint32_t kind;
    shmring_t *base; /* the parent's, to attach to */
};

static struct {
    uint64_t state, calls, calls_before, messages;
    shmring_t *q;
    uint8_t *buffer; /* its end is the end of a page */
    const void *peeked;
    void *reserved;
} me;

/* After each second of processor time: is the process still in the same call? */
static void check_the_clock(int number)
{
    static const char words[] = "a call has gone on for a second of processor time\n";

    (void)number;
    if (me.calls == me.calls_before) {
        (void)!write(STDERR_FILENO, words, sizeof words - 1);
        _exit(3);
    }
    me.calls_before = me.calls;
}

static uint8_t *guarded_buffer(void)
{
    uint8_t *p = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    child_assert(p != MAP_FAILED && mprotect(p, 4096, PROT_NONE) == 0 &&
                 mprotect(p + 2 * 4096, 4096, PROT_NONE) == 0);
    return p + 2 * 4096 - LONGEST;
}

/* Of a broadcast queue: its producer, a consumer that can be lapped, and one that is reliable, or
 * an observer. */
static uint32_t broadcast_roles_of(const struct victim *v)
{
    static const uint32_t starts[] = {0, SHMRING_FROM_OLDEST, SHMRING_FROM_KEY};
    const uint32_t start = starts[test_random_below(&me.state, 3)];

    if (v->number == 0)
        return SHMRING_PRODUCER;
    if (v->number == 1)
        return SHMRING_CONSUMER | start;
    return test_random_below(&me.state, 3) ? SHMRING_CONSUMER | SHMRING_RELIABLE | start
                                           : SHMRING_OBSERVER;
}

static uint32_t roles_of(const struct victim *v)
{
    static const uint32_t of[VICTIMS] = {SHMRING_PRODUCER, SHMRING_CONSUMER, SHMRING_OBSERVER};

    if (v->kind == SHMRING_BROADCAST)
        return broadcast_roles_of(v);
    return v->kind == SHMRING_MPMC && v->number < 2 ? (uint32_t)BOTH : of[v->number];
}

static int see_message(void *sum, const struct shmring_message *m)
{
    child_assert(m->length <= LONGEST);
    for (uint32_t i = 0; i < m->length; i++)
        *(unsigned *)sum += ((const uint8_t *)m->data)[i];
    return 0;
}

static long peek(void)
{
    long r = (long)shmring_peek(me.q, &me.peeked, &(struct shmring_info){0});

    if (r >= 0) {
        child_assert(r <= LONGEST);
        me.messages++;
        memcpy(me.buffer, me.peeked, (size_t)r);
    }
    return r;
}

static long receive(size_t size)
{
    long r = (long)shmring_recv(me.q, me.buffer + LONGEST - size, size);

    child_assert(r <= (long)size);
    me.messages += r >= 0;
    return r;
}

static long reserve(void)
{
    long r = shmring_reserve(me.q, LONGEST, &me.reserved);

    if (r == 0)
        memset(me.reserved, 1, LONGEST);
    return r;
}

static long observe(void)
{
    struct shmring_participant rows[ROWS];
    struct shmring_stat st;
    unsigned sum = 0;
    long r = shmring_stat(me.q, &st);

    child_assert(r < 0 || st.depth_bytes <= st.segment_bytes);
    if (r == 0)
        r = shmring_participants(me.q, rows, ROWS);
    return r < 0 ? r : shmring_dump(me.q, see_message, &sum);
}

static long fall_asleep(void)
{
    const unsigned event = test_random_below(&me.state, 2) ? SHMRING_READABLE : SHMRING_WRITABLE;
    struct shmring_futex futex;

    switch (test_random_below(&me.state, 5)) {
    case 0:
        return shmring_futex_arm(me.q, event, &futex);
    case 1:
        return shmring_fd(me.q, event) < 0 ? 0 : shmring_fd_arm(me.q, event);
    case 2:
        return shmring_send_wait(me.q, me.buffer, LONGEST, SHORT_TIME);
    case 3:
        return (long)shmring_recv_wait(me.q, me.buffer, LONGEST, SHORT_TIME);
    default:
        return shmring_wait(me.q, event, SHORT_TIME);
    }
}

static long operate(void)
{
    struct iovec two[2] = {{me.buffer, 400}, {me.buffer + 400, LONGEST - 400}};
    const size_t size = test_random_below(&me.state, LONGEST + 1);

    switch (test_random_below(&me.state, 32)) {
    case 0:
        return observe();
    case 1:
        return shmring_recover(me.q, NULL);
    case 2:
        return fall_asleep();
    case 3:
    case 4:
        return reserve();
    case 5:
        return shmring_commit(me.q, me.reserved, size);
    case 6:
        return shmring_cancel(me.q, me.reserved);
    case 7:
    case 8:
        return peek();
    case 9:
    case 10:
        return shmring_release(me.q, me.peeked);
    case 11:
        return shmring_send_batch(me.q, two, 2);
    case 12:
        return shmring_recv_batch(me.q, two, 2);
    case 13:
        return shmring_check(me.q);
    case 14:
        return shmring_skip(me.q);
    case 15:
        return shmring_send_flags(me.q, me.buffer, size, SHMRING_KEY);
    default:
        return test_random_below(&me.state, 2) ? shmring_send(me.q, me.buffer, size)
                                               : receive(size);
    }
}

static bool may_be(long r)
{
    static const int errors[] = {
        EAGAIN, EBADMSG, EMSGSIZE, EPERM,  EINVAL, EINPROGRESS,     ENOBUFS,   ETIMEDOUT,
        EINTR,  EUSERS,  EBUSY,    ESTALE, EPIPE,  EPROTONOSUPPORT, EOVERFLOW, EOPNOTSUPP};

    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (r == -errors[i])
            return true;
    return r >= 0;
}

/* Replace a poisoned handle, and at random another one, with all messages that it holds. */
static void attach_anew(const struct victim *v)
{
    shmring_close(&me.q);
    me.peeked = me.reserved = NULL;
    long r = shmring_dup(&me.q, v->base, roles_of(v));
    child_assert(may_be(r));
    shared->attached[v->number] += r == 0;
}

static int be_correct(void *argument)
{
    const struct victim *v = argument;

    me.state = test_seed() + (uint64_t)v->number;
    me.buffer = guarded_buffer();
    child_assert(shmring_guard_sigbus() == 0);
    child_assert(signal(SIGPROF, check_the_clock) != SIG_ERR);
    child_assert(setitimer(ITIMER_PROF, &A_SECOND, NULL) == 0);
    while (!shared->over) {
        if (!me.q || test_random_below(&me.state, 1000) == 0)
            attach_anew(v);
        long r = me.q ? operate() : 0;
        child_assert(may_be(r));
        if (r == -EBADMSG) {
            shared->corrupt[v->number]++;
            attach_anew(v);
        }
        me.calls++;
    }
    shared->calls[v->number] += me.calls;
    shared->messages[v->number] += me.messages;
    shmring_close(&me.q);
    return 0;
}

/* ---- The scribbler --------------------------------------------------------------------------- */

struct scribbler {
    uint64_t state, written;
    struct shmr_geometry g;
    struct shmr_header header;
    _Atomic uint64_t *segment;
    uint8_t *fresh; /* a copy of the segment from when it was created */
    int fd;
};

/* A plausible word: near the old value, or made of the parts that such words have. */
static uint64_t some_word(struct scribbler *s, uint64_t old)
{
    const uint64_t r = test_random(&s->state), little = r >> 8 & 0xff;

    switch (r & 15) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX;
    case 2:
        return old ^ UINT64_C(1) << little % 64;
    case 3:
        return old + 8 * little;
    case 4:
        return old - 8 * little;
    case 5:
        return old + s->g.capacity;
    case 6: /* an entry of the cycle before or after */
        return old + (UINT64_C(1) << SHMR_BLOCK_BITS);
    case 7:
        return old - (UINT64_C(1) << SHMR_BLOCK_BITS);
    case 8: /* a descriptor, of a row that may exist */
        return (r & (SHMR_STATE_MASK | SHMR_M | SHMR_R)) | (little % ROWS) << SHMR_POSITION_BITS |
               (old & SHMR_POSITION_MASK);
    case 9:
        return (r & (SHMR_STATE_MASK | SHMR_M | SHMR_R)) | little << SHMR_POSITION_BITS | r >> 40;
    case 10: /* header of a record: nothing before it, or in the other half of the word */
        return (r >> 16 & 0x7ff) << 32;
    case 11: /* length and deliveries of a block */
        return r >> 16 & 0x7ff;
    case 12: /* a row, free or not */
        return r >> 63;
    case 13:
        return little;
    default:
        return r;
    }
}

static void put(struct scribbler *s, uint64_t index, uint64_t word)
{
    atomic_store_explicit(&s->segment[index], word, memory_order_relaxed);
    s->written++;
}

static uint64_t get(const struct scribbler *s, uint64_t index)
{
    return atomic_load_explicit(&s->segment[index], memory_order_relaxed);
}

/* A word of the section from `from` to `to`, offsets in the segment. */
static uint64_t word_of(struct scribbler *s, uint64_t from, uint64_t to)
{
    return from / 8 + test_random_below(&s->state, (uint32_t)((to - from) / 8));
}

/* The place of a record's header, or of a block's entry, descriptor, length or deliveries. */
static uint64_t some_place_of_a_message(struct scribbler *s)
{
    const struct shmr_geometry *g = &s->g;

    if (g->type->number == SHMR_SPSC)
        return word_of(s, g->data, g->data + g->data_size);
    return (g->data + test_random_below(&s->state, (uint32_t)g->capacity) * g->stride) / 8 +
           test_random_below(&s->state, 3);
}

/* The index of a block or an entry that calls are reading. */
static uint64_t some_index(struct scribbler *s)
{
    const struct shmr_geometry *g = &s->g;

    switch (test_random_below(&s->state, 8)) {
    case 0:
        return word_of(s, g->producer,
                       g->producer + (g->type->number == SHMR_BROADCAST
                                          ? sizeof(struct shmr_broadcast_page)
                                          : sizeof(struct shmr_spsc_producer_page)));
    case 1:
        return word_of(s, g->consumer, g->consumer + sizeof(struct shmr_spsc_consumer_page));
    case 2:
        return word_of(s, g->table, g->waitwords);
    case 3:
        return word_of(s, g->waitwords, g->waitwords + sizeof(struct shmr_waitwords));
    default:
        return some_place_of_a_message(s);
    }
}

static void scribble_plausibly(struct scribbler *s)
{
    for (int i = 0; i < BURST; i++) {
        uint64_t index = some_index(s);
        put(s, index, some_word(s, get(s, index)));
    }
}

static void scribble_anywhere(struct scribbler *s)
{
    for (int i = 0; i < BURST; i++)
        put(s, word_of(s, s->g.producer, s->g.segment_size), test_random(&s->state));
}

/* Write the same word again and again: if a call loads it twice, it changes between the two
 * loads. */
static void hammer(struct scribbler *s)
{
    const uint64_t index = some_index(s), old = get(s, index);
    uint64_t other = some_word(s, old);

    for (int i = 0; i < BURST; i++)
        put(s, index, i % 2 ? old : other);
}

/* Write entries, or records, ahead of a call that goes from one to the next, so that it finds no
 * end. */
static void run_ahead(struct scribbler *s)
{
    const struct shmr_geometry *g = &s->g;

    for (uint64_t i = 0; i < BURST; i++)
        if (g->type->number == SHMR_MPMC) {
            uint64_t index = (g->data + i % g->capacity * g->stride) / 8;
            put(s, index, get(s, index) + (UINT64_C(1) << SHMR_BLOCK_BITS));
        } else {
            put(s, (g->data + 8 * i % g->data_size) / 8, UINT64_C(1) << 32);
        }
}

static void wake_all(struct scribbler *s)
{
    for (int i = 0; i < BURST; i++) {
        const uint64_t waitword = i % 2 ? offsetof(struct shmr_waitwords, writable) : 0;
        const uint64_t index = (s->g.waitwords + waitword) / 8;
        put(s, index, get(s, index) + SHMR_WAITWORD_STEP);
        if (i % 64 < 2)
            syscall(SYS_futex, &s->segment[index], FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    }
}

/* Make all rows look like those of dead participants, or of processes that never existed. */
static void forge_participants(struct scribbler *s)
{
    for (uint32_t row = 0; row < s->g.rows; row++)
        for (uint64_t word = 0; word < 8; word++)
            put(s, (s->g.table + row * sizeof(struct shmr_row)) / 8 + word,
                word == 0 ? SHMR_ROW_ATTACHED : test_random(&s->state));
}

/* One of the numbers by which the participants of a broadcast queue find places in the ring. */
static uint64_t some_place_of_broadcast(struct scribbler *s)
{
    const uint64_t page = s->g.producer / 8;
    const uint32_t row = SHMR_BROADCAST_FIRST_CONSUMER + test_random_below(&s->state, ROWS);

    switch (test_random_below(&s->state, 6)) {
    case 0:
    case 1:
        return page; /* the horizon */
    case 2:
        return page + offsetof(struct shmr_broadcast_page, key) / 8 +
               test_random_below(&s->state, 4);
    case 3:
        return page + offsetof(struct shmr_broadcast_page, mark) / 8 +
               test_random_below(&s->state, 2 * SHMR_BROADCAST_CHUNKS);
    default:
        return (s->g.table + row * sizeof(struct shmr_row) + offsetof(struct shmr_row, sent) +
                offsetof(struct shmr_broadcast_row, position)) /
                   8 +
               test_random_below(&s->state, 2); /* or the word that says whether it is reliable */
    }
}

/* Not at the end of a chunk, or not a multiple of 8; back, or ahead, by chunks or by rings; one
 * that belongs to another place; and in one of eight cases 0. */
static uint64_t some_position(struct scribbler *s, uint64_t old)
{
    const uint64_t chunk = s->g.capacity / SHMR_BROADCAST_CHUNKS;
    const uint64_t n = test_random_below(&s->state, 3 * SHMR_BROADCAST_CHUNKS);

    switch (test_random_below(&s->state, 8)) {
    case 0:
        return old + 1 + n % 8;
    case 1:
        return old + 8 * n;
    case 2:
        return old - n * chunk;
    case 3:
    case 4:
        return old + n * chunk;
    case 5:
        return get(s, some_place_of_broadcast(s));
    case 6:
        return UINT64_C(1) << 32 | n;
    default:
        return 0;
    }
}

static void lie_about_places(struct scribbler *s)
{
    for (int i = 0; i < BURST; i++) {
        const uint64_t index = some_place_of_broadcast(s);
        put(s, index, some_position(s, get(s, index)));
        if (i % 64 == 0)
            usleep(20); /* so that calls go on with some of it */
    }
}

/* Lock rows, to disturb processes that attach or recover. */
static void grab_locks(struct scribbler *s)
{
    for (int i = 0; i < LOCKED_ROWS; i++) {
        struct flock lock = {.l_type = test_random_below(&s->state, 2) ? F_WRLCK : F_UNLCK,
                             .l_start =
                                 (off_t)(s->g.table + test_random_below(&s->state, s->g.rows) *
                                                          sizeof(struct shmr_row)),
                             .l_len = 1};
        (void)!fcntl(s->fd, F_OFD_SETLK, &lock);
    }
}

/*
 * Restore the queue as it was created, and change single words of messages at random: calls get
 * deeper where most messages are intact.
 */
static void scribble_lightly(struct scribbler *s)
{
    memcpy((uint8_t *)(uintptr_t)s->segment + s->g.producer, s->fresh + s->g.producer,
           (size_t)(s->g.segment_size - s->g.producer));
    for (int i = 0; i < 64; i++) {
        const uint64_t index = some_place_of_a_message(s);
        usleep(20);
        for (int again = 0; again < 4; again++)
            put(s, index, some_word(s, get(s, index)));
    }
}

static void damage_header(struct scribbler *s)
{
    for (int i = 0; i < BURST; i++)
        put(s, test_random_below(&s->state, sizeof s->header / 8), test_random(&s->state));
    memcpy((void *)(uintptr_t)s->segment, &s->header, sizeof s->header);
}

static void punch(struct scribbler *s)
{
    (void)!fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                     (off_t)test_random_below(&s->state, (uint32_t)s->g.segment_size),
                     (off_t)test_random_below(&s->state, (uint32_t)s->g.segment_size) + 1);
    memcpy((void *)(uintptr_t)s->segment, &s->header, sizeof s->header);
}

static void scribble(struct scribbler *s)
{
    switch (test_random_below(&s->state, 64)) {
    case 0:
        grab_locks(s);
        break;
    case 1:
        damage_header(s);
        break;
    case 2:
        punch(s);
        break;
    case 3:
    case 4:
        forge_participants(s);
        break;
    case 5:
    case 6:
        wake_all(s);
        break;
    case 7:
    case 8:
    case 9:
        run_ahead(s);
        break;
    case 10:
    case 11:
        scribble_anywhere(s);
        break;
    case 12:
    case 13:
    case 14:
    case 15:
        scribble_lightly(s);
        break;
    default:
        if (s->g.type->number == SHMR_BROADCAST && test_random_below(&s->state, 4) == 0)
            lie_about_places(s);
        else if (test_random_below(&s->state, 2))
            hammer(s);
        else
            scribble_plausibly(s);
    }
}

/* ---- The scribbler and the correct processes together ---------------------------------------- */

static shmring_t *create_queue(uint32_t kind, uint64_t round)
{
    static const uint64_t sizes[] = {16, 64, 1024};
    static char name[TEST_NAME_SIZE];
    const struct shmring_config config = {
        .kind = kind,
        .flags = kind == SHMRING_MPMC && round % 5 == 4 ? SHMRING_AT_MOST_ONCE : 0,
        .capacity = kind == SHMRING_MPMC ? sizes[round % 3] : 4096 * sizes[round % 2] / 16,
        .max_message = LONGEST,
        .max_participants = kind == SHMRING_SPSC ? 0 : ROWS,
    };
    shmring_t *q;

    if (!name[0])
        test_name(name);
    cr_assert_eq(shmring_create(&q, round % 2 ? "memfd:test" : name, &config), 0, "%s",
                 shmring_strerror_detail());
    if (round % 2 == 0)
        shmring_unlink(name);
    return q;
}

static void scribble_round(struct scribbler *s, uint32_t kind, uint64_t round)
{
    shmring_t *q = create_queue(kind, round);
    pid_t pid[VICTIMS];
    struct victim victim[VICTIMS];

    s->g = q->geometry;
    s->header = q->header;
    s->fd = shmr_segment_reopen(shmring_segment_fd(q), O_RDWR);
    s->segment =
        mmap(NULL, (size_t)s->g.segment_size, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    s->fresh = malloc((size_t)s->g.segment_size);
    cr_assert(s->fd >= 0 && s->segment != MAP_FAILED && s->fresh);
    memcpy(s->fresh, (void *)(uintptr_t)s->segment, (size_t)s->g.segment_size);
    shared->over = false;
    for (int i = 0; i < VICTIMS; i++) {
        victim[i] = (struct victim){i, kind, q};
        pid[i] = test_fork(be_correct, &victim[i]);
    }
    for (uint64_t until = s->written + A_ROUND; s->written < until;)
        scribble(s);
    if (round % 2 == 0)
        cr_assert_eq(ftruncate(s->fd, (off_t)test_random_below(&s->state, 20) * 1024), 0);
    usleep(2000);
    shared->over = true;
    for (int i = 0; i < VICTIMS; i++) {
        const int how = test_wait(pid[i]);
        cr_assert_eq(how, 0, "victim %d of kind %u in round %llu: %d", i, kind,
                     (unsigned long long)round, how);
    }
    munmap((void *)(uintptr_t)s->segment, (size_t)s->g.segment_size);
    free(s->fresh);
    close(s->fd);
    shmring_close(&q);
}

static void scribble_over(uint32_t kind)
{
    const char *given = getenv("SHMRING_TEST_WRITES");
    const uint64_t writes = given ? strtoull(given, NULL, 10) : WRITES;
    struct scribbler s = {.state = test_seed()};
    uint64_t calls = 0, messages = 0, corrupt = 0, attached = 0;

    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(shared, MAP_FAILED);
    for (uint64_t round = 0; s.written < writes; round++)
        scribble_round(&s, kind, round);
    for (int i = 0; i < VICTIMS; i++) {
        calls += shared->calls[i];
        messages += shared->messages[i];
        corrupt += shared->corrupt[i];
        attached += shared->attached[i];
    }
    fprintf(
        stderr,
        "%s: %llu words written; %llu calls, %llu messages, %llu times corrupt, %llu attached\n",
        shmr_kind_of(kind)->name, (unsigned long long)s.written, (unsigned long long)calls,
        (unsigned long long)messages, (unsigned long long)corrupt, (unsigned long long)attached);
    cr_assert(messages > 0 && corrupt > 0, "nothing came through, or nothing was noticed");
}

Test(scribble, spsc, .timeout = 86400)
{
    scribble_over(SHMRING_SPSC);
}

Test(scribble, mpmc, .timeout = 86400)
{
    scribble_over(SHMRING_MPMC);
}

Test(scribble, broadcast, .timeout = 86400)
{
    scribble_over(SHMRING_BROADCAST);
}
