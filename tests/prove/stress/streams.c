/* SPDX-License-Identifier: MIT */
/*
 * Streams as fast as they go, of messages with a name and its checksum. Meanwhile participants are
 * killed, stopped and replaced at random moments, and another process takes memory, descriptors and
 * processor time. Every message comes in order: once, or again with the flag. Consumers of a
 * broadcast queue are lapped again and again: they get whole messages, in order, and exactly the
 * number of those missed.
 *
 * $SHMRING_TEST_MESSAGES says how many messages go through the spsc queue, and how many the
 * consumers of a broadcast queue receive together. A tenth of that goes through the mpmc queue, and
 * comes to the consumers of a broadcast queue with longer messages that holds up its producer
 * never. See the target soak.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "messages.h"
#include "oracle.h"
#include "support.h"

enum { PRODUCERS = 2, CONSUMERS = 2, MEMBERS = PRODUCERS + CONSUMERS, BATCH = 32, HELD = 8 };
enum { ROUND = 1 << 22 }; /* mpmc: one producer sends so many messages before they are counted */
enum { MOST_QUIET_US = 20000 };
#define USUALLY UINT64_C(10000000)

struct message {
    uint64_t name, checksum; /* as oracle_write() makes them */
};

/* ---- What all processes know ----------------------------------------------------------------- */

static struct oracle *oracle;
static struct journal {
    struct oracle_span received;         /* spsc */
    _Atomic bool finish;                 /* consumers end when no more messages come; not spsc */
    _Atomic uint64_t came, missed, laps; /* broadcast: for all consumers together */
} * journal;

static char name[TEST_NAME_SIZE];
static uint64_t state, total;
static unsigned long kills, stops;

static uint64_t messages(uint64_t part)
{
    const char *given = getenv("SHMRING_TEST_MESSAGES");

    return (given ? strtoull(given, NULL, 10) : USUALLY) / part;
}

static void open_journal(uint32_t streams, uint64_t numbers)
{
    journal =
        mmap(NULL, sizeof *journal, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    oracle = oracle_new(streams, numbers);
    cr_assert(journal != MAP_FAILED && oracle);
    oracle_receiver_may_die(oracle);
}

static void close_journal(void)
{
    munmap(journal, sizeof *journal);
    oracle_free(oracle);
}

static void fill_batch(struct message m[BATCH], struct iovec batch[BATCH], uint64_t first)
{
    for (uint64_t i = 0; i < BATCH; i++) {
        oracle_write(first + i, &m[i], sizeof m[i]);
        batch[i] = (struct iovec){&m[i], sizeof m[i]};
    }
}

/* ---- Pressure -------------------------------------------------------------------------------- */

/* A process that has no descriptor left cannot attach, and harms no other process. */
static void be_refused(void)
{
    const struct rlimit few = {16, 16};
    shmring_t *q;
    int fd, taken[16], n = 0;

    child_assert(setrlimit(RLIMIT_NOFILE, &few) == 0);
    while (n < 16 && (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        taken[n++] = fd;
    child_assert(shmring_open(&q, name, SHMRING_OBSERVER) == -EMFILE);
    while (n > 0)
        close(taken[--n]);
}

static int press(void *unused)
{
    enum { MEMORY = 64 << 20, ROUNDS = 2000000 };
    volatile unsigned work;

    (void)unused;
    for (;;) {
        char *memory =
            mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        child_assert(memory != MAP_FAILED);
        for (size_t i = 0; i < MEMORY; i += 4096)
            memory[i] = 1;
        be_refused();
        for (work = 0; work < ROUNDS; work++)
            continue;
        munmap(memory, MEMORY);
        nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    }
}

/* ---- Disturbing the processes ---------------------------------------------------------------- */

static struct member {
    int (*body)(void *);
    pid_t pid; /* 0: the process has exited */
} members[MEMBERS];

static void start(int i)
{
    members[i].pid = test_fork(members[i].body, &i);
}

static void nap(void)
{
    const long ns = (long)test_random_below(&state, MOST_QUIET_US) * 1000;

    nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

static void bury(int i)
{
    const int how = test_wait(members[i].pid);

    cr_assert(how == 0 || how == -SIGKILL, "%d: see above", how);
    members[i].pid = 0;
    if (oracle->numbers && i < PRODUCERS)
        oracle_sender_died(oracle, (uint32_t)i);
    if (how != 0)
        start(i);
}

static void disturb(int i)
{
    if (test_random_below(&state, 4) == 0) {
        stops++;
        kill(members[i].pid, SIGSTOP);
        nap();
        kill(members[i].pid, SIGCONT);
    } else {
        kills++;
        kill(members[i].pid, SIGKILL);
        bury(i);
    }
}

static bool has_ended(int i)
{
    siginfo_t info = {0};

    return waitid(P_PID, (id_t)members[i].pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid != 0;
}

/* Disturb members [0, all) at random until members [from, to) have exited. */
static void disturb_until_ended(int from, int to, int all)
{
    for (int left = 1; left > 0;) {
        const int chosen = (int)test_random_below(&state, (uint32_t)all);
        nap();
        if (members[chosen].pid)
            disturb(chosen);
        left = 0;
        for (int i = 0; i < all; i++)
            if (members[i].pid && has_ended(i))
                bury(i);
        for (int i = from; i < to; i++)
            left += members[i].pid != 0;
    }
}

static void report(uint64_t count)
{
    fprintf(stderr, "%llu messages, %lu kills, %lu stops\n", (unsigned long long)count, kills,
            stops);
}

/* ---- SPSC ------------------------------------------------------------------------------------ */

static int spsc_produce(void *unused)
{
    struct message m[BATCH];
    struct iovec batch[BATCH];
    struct shmring_stat st;
    shmring_t *q;

    (void)unused;
    child_assert(shmring_open(&q, name, SHMRING_PRODUCER) == 0);
    child_assert(shmring_stat(q, &st) == 0);
    child_judge(oracle_resume(&oracle->sent[0], st.sent));
    for (uint64_t number = st.sent; number < total;) {
        fill_batch(m, batch, oracle_name(0, number));
        oracle_begin(&oracle->sent[0], number + BATCH);
        const int n = shmring_send_batch(q, batch, BATCH);
        child_assert(n > 0 || n == -EAGAIN);
        if (n < 0)
            sched_yield();
        else
            number += (uint64_t)n;
        oracle_settle(&oracle->sent[0], number);
    }
    shmring_close(&q);
    return 0;
}

static int spsc_consume(void *unused)
{
    struct oracle_reader reader = oracle_reader(true);
    struct message m[BATCH];
    struct iovec batch[BATCH];
    struct shmring_stat st;
    uint64_t message;
    shmring_t *q;

    (void)unused;
    child_assert(shmring_open(&q, name, SHMRING_CONSUMER) == 0);
    child_assert(shmring_stat(q, &st) == 0);
    child_judge(oracle_resume(&journal->received, st.received));
    reader.next[0] = st.received;
    while (reader.next[0] < total) {
        for (int i = 0; i < BATCH; i++)
            batch[i] = (struct iovec){&m[i], sizeof m[i]};
        oracle_begin(&journal->received, reader.next[0] + BATCH);
        const int n = shmring_recv_batch(q, batch, BATCH);
        child_assert(n > 0 || n == -EAGAIN);
        if (n < 0)
            sched_yield();
        for (int i = 0; i < n; i++) {
            child_judge(oracle_read(&message, &m[i], batch[i].iov_len, 0));
            child_judge(oracle_receive(oracle, &reader, message, false));
        }
        oracle_settle(&journal->received, reader.next[0]);
    }
    shmring_close(&q);
    return 0;
}

Test(streams, spsc)
{
    struct shmring_stat st;

    state = test_seed();
    total = messages(1);
    test_name(name);
    open_journal(1, 0);
    shmring_t *observer = test_create(name, 0, 1 << 18);
    const pid_t pressure = test_fork(press, NULL);
    members[0].body = spsc_produce;
    members[1].body = spsc_consume;
    start(0);
    start(1);
    disturb_until_ended(0, 2, 2);
    test_kill(pressure);
    cr_assert_eq(shmring_stat(observer, &st), 0);
    cr_assert_geq(st.sent, total);
    cr_assert_geq(st.received, total);
    report(st.received);
    shmring_close(&observer);
    close_journal();
}

/* ---- MPMC ------------------------------------------------------------------------------------ */

static int mpmc_produce(void *which)
{
    const uint32_t producer = *(const uint32_t *)which;
    struct message m[BATCH];
    struct iovec batch[BATCH];
    shmring_t *q;

    child_assert(shmring_open(&q, name, SHMRING_PRODUCER) == 0);
    struct oracle_span *sent = &oracle->sent[producer];
    for (uint64_t number = sent->begun; number < ROUND;) {
        fill_batch(m, batch, oracle_name(producer, number));
        oracle_begin(sent, number + BATCH);
        const int n = shmring_send_batch(q, batch, BATCH);
        child_assert(n > 0 || n == -EAGAIN);
        number += n > 0 ? (uint64_t)n : 0;
        oracle_settle(sent, number);
        if (n < 0)
            sched_yield();
    }
    shmring_close(&q);
    return 0;
}

/* Have the messages judged that have come, and release them. False: the queue is empty. */
static bool consume_some(shmring_t *q, struct oracle_reader *reader)
{
    const void *held[HELD];
    struct shmring_info info;
    uint64_t message;
    ssize_t len = 0;
    int n = 0;

    for (; n < HELD && (len = shmring_peek(q, &held[n], &info)) >= 0; n++) {
        child_judge(oracle_read(&message, held[n], (size_t)len, 0));
        child_judge(oracle_receive(oracle, reader, message, info.flags));
    }
    child_assert(len >= 0 || len == -EAGAIN);
    for (int i = 0; i < n; i++)
        child_assert(shmring_release(q, held[i]) == 0);
    return n > 0;
}

static int mpmc_consume(void *unused)
{
    struct oracle_reader reader = oracle_reader(false);
    shmring_t *q;

    (void)unused;
    child_assert(shmring_open(&q, name, SHMRING_CONSUMER) == 0);
    for (;;) {
        const bool finish = journal->finish; /* read before the queue is polled for the last time */
        if (!consume_some(q, &reader)) {
            if (finish)
                break;
            sched_yield();
        }
    }
    shmring_close(&q);
    return 0;
}

static uint64_t play_round(void)
{
    struct oracle_reader reader = oracle_reader(false);
    uint64_t lost, count;
    shmring_t *q;

    open_journal(PRODUCERS, ROUND + BATCH);
    for (int i = 0; i < MEMBERS; i++) {
        members[i].body = i < PRODUCERS ? mpmc_produce : mpmc_consume;
        start(i);
    }
    disturb_until_ended(0, PRODUCERS, MEMBERS);
    journal->finish = true;
    disturb_until_ended(PRODUCERS, MEMBERS, MEMBERS);
    cr_assert_eq(shmring_open(&q, name, SHMRING_CONSUMER), 0);
    cr_assert_geq(shmring_recover(q, NULL), 0);
    while (consume_some(q, &reader))
        continue;
    shmring_close(&q);
    cr_assert_eq(oracle_end_all(oracle, &lost, &count), ORACLE_RIGHT,
                 "message %u of producer %u was lost", (unsigned)oracle_number(lost),
                 oracle_stream(lost));
    close_journal();
    return count;
}

Test(streams, mpmc)
{
    uint64_t count = 0;

    state = test_seed();
    total = messages(10);
    test_name(name);
    shmring_t *observer = test_create_mpmc(name, 0, 1024, sizeof(struct message));
    const pid_t pressure = test_fork(press, NULL);
    while (count < total)
        count += play_round();
    test_kill(pressure);
    report(count);
    shmring_close(&observer);
}

/* ---- Broadcast ------------------------------------------------------------------------------- */

enum { CAST_RING = 1 << 16, CAST_CONSUMERS = MEMBERS - 1, CAST_LONGEST = 1000 };

static struct {
    uint32_t longest; /* of the messages */
    bool reliable;    /* the first consumer is */
} cast;

static uint32_t cast_length(uint64_t message)
{
    return cast.longest == sizeof(struct message) ? cast.longest
                                                  : oracle_length(message, cast.longest);
}

/* Send some messages from this number on, in one way or another. Returns how many. */
static int cast_send(shmring_t *q, uint64_t first)
{
    static uint8_t bytes[BATCH][CAST_LONGEST];
    struct iovec batch[BATCH];
    const uint64_t message = oracle_name(0, first);
    const uint32_t way = test_random_below(&state, 64);
    const int n = way > 1 ? BATCH : 1;
    void *place;
    int r;

    for (int i = 0; i < n && way != 0; i++) {
        batch[i] = (struct iovec){bytes[i], cast_length(message + (uint64_t)i)};
        oracle_write(message + (uint64_t)i, bytes[i], batch[i].iov_len);
    }
    oracle_begin(&oracle->sent[0], first + (uint64_t)n);
    if (way > 1) {
        r = shmring_send_batch(q, batch, n);
    } else if (way == 1) {
        r = shmring_send_flags(q, bytes[0], batch[0].iov_len, SHMRING_KEY);
    } else if ((r = shmring_reserve(q, cast.longest, &place)) == 0) {
        oracle_write(message, place, cast_length(message));
        child_assert(shmring_commit(q, place, cast_length(message)) == 0);
    }
    child_assert(r >= 0 || r == -EAGAIN);
    return r < 0 ? 0 : r > 0 ? r : 1;
}

static int cast_produce(void *unused)
{
    struct shmring_stat st;
    shmring_t *q;

    (void)unused;
    child_assert(shmring_open(&q, name, SHMRING_PRODUCER) == 0);
    child_assert(shmring_stat(q, &st) == 0);
    child_judge(oracle_resume(&oracle->sent[0], st.sent));
    for (uint64_t number = st.sent; atomic_load(&journal->came) < total;) {
        const int n = cast_send(q, number);
        number += (uint64_t)n;
        oracle_settle(&oracle->sent[0], number);
        if (n == 0)
            sched_yield();
    }
    journal->finish = true;
    shmring_close(&q);
    return 0;
}

struct cast_consumer {
    shmring_t *q;
    struct oracle_reader reader;
    uint64_t missed; /* as the queue has said */
    bool reliable, started;
};

static void cast_judge(struct cast_consumer *c, enum oracle_verdict whole, uint64_t message)
{
    child_judge(whole);
    child_judge(oracle_receive(oracle, &c->reader, message, false));
    child_assert(c->reader.missed == 0); /* as many as the queue has said, and no fewer */
}

/* A call has returned -EOVERFLOW: how many messages has the consumer missed? */
static void cast_lapped(struct cast_consumer *c)
{
    struct shmring_stat st;

    child_assert(!c->reliable);
    child_assert(shmring_stat(c->q, &st) == 0 && st.missed_here > c->missed);
    if (c->started)
        oracle_missed(&c->reader, st.missed_here - c->missed);
    atomic_fetch_add(&journal->missed, st.missed_here - c->missed);
    atomic_fetch_add(&journal->laps, 1);
    c->missed = st.missed_here;
}

/* What is peeked may be overwritten before its release, which tells: then it counts as missed. */
static int cast_release(struct cast_consumer *c, const void *held, enum oracle_verdict whole,
                        uint64_t message)
{
    const int r = shmring_release(c->q, held);

    child_assert(r == 0 || (r == -EOVERFLOW && !c->reliable));
    if (r == 0) {
        cast_judge(c, whole, message);
        return 1;
    }
    oracle_missed(&c->reader, 1);
    atomic_fetch_add(&journal->missed, 1);
    c->missed++;
    return 0;
}

/* Returns how many messages have come; 0: the queue is empty, or the consumer was lapped. */
static int cast_peek(struct cast_consumer *c, ssize_t *last)
{
    const void *held[HELD];
    enum oracle_verdict whole[HELD];
    uint64_t message[HELD];
    struct shmring_info info;
    int n = 0, came = 0;

    for (; n < HELD && (*last = shmring_peek(c->q, &held[n], &info)) >= 0; n++) {
        if (!c->started)
            c->reader.next[0] = info.number;
        c->started = true;
        whole[n] = oracle_read(&message[n], held[n], (size_t)*last,
                               cast.longest == sizeof(struct message) ? 0 : cast.longest);
        if (whole[n] == ORACLE_RIGHT && oracle_number(message[n]) != info.number)
            whole[n] = ORACLE_NOWHERE;
    }
    for (int i = 0; i < n; i++)
        came += cast_release(c, held[i], whole[i], message[i]);
    return came;
}

static int cast_receive(struct cast_consumer *c, ssize_t *last)
{
    static uint8_t bytes[BATCH][CAST_LONGEST];
    struct iovec batch[BATCH];
    uint64_t message;

    for (int i = 0; i < BATCH; i++)
        batch[i] = (struct iovec){bytes[i], CAST_LONGEST};
    const int n = shmring_recv_batch(c->q, batch, BATCH);
    *last = n;
    for (int i = 0; i < n; i++) {
        const enum oracle_verdict whole =
            oracle_read(&message, bytes[i], batch[i].iov_len,
                        cast.longest == sizeof(struct message) ? 0 : cast.longest);
        cast_judge(c, whole, message);
    }
    return n > 0 ? n : 0;
}

/* Attach, unless the producer laps each attempt. A reliable consumer starts with the next message,
 * and misses none. */
static void cast_attach(struct cast_consumer *c)
{
    static const unsigned starts[] = {0, SHMRING_FROM_OLDEST, SHMRING_FROM_KEY};
    const unsigned how = c->reliable ? SHMRING_RELIABLE : starts[test_random_below(&state, 3)];
    int r;

    do
        r = shmring_open(&c->q, name, SHMRING_CONSUMER | how);
    while (r == -EBUSY);
    child_assert(r == 0);
}

static int cast_consume(void *which)
{
    struct cast_consumer c = {.reader = oracle_reader(true),
                              .reliable = cast.reliable && *(const int *)which == 1};

    cast_attach(&c);
    for (;;) {
        const bool finish = journal->finish; /* read before the queue is polled for the last time */
        ssize_t last = 0;
        const int came = !c.started || test_random_below(&state, 8) == 0 ? cast_peek(&c, &last)
                                                                         : cast_receive(&c, &last);
        child_assert(last >= 0 || last == -EAGAIN || last == -EOVERFLOW);
        atomic_fetch_add(&journal->came, (uint64_t)came);
        if (last == -EOVERFLOW)
            cast_lapped(&c);
        else if (last == -EAGAIN && finish)
            break;
        else if (last == -EAGAIN)
            sched_yield();
    }
    if (c.started)
        child_judge(oracle_end(oracle, &c.reader));
    shmring_close(&c.q);
    return 0;
}

static void broadcast(uint32_t longest, bool reliable)
{
    const struct shmring_config config = {.kind = SHMRING_BROADCAST,
                                          .capacity = CAST_RING,
                                          .max_message = longest,
                                          .max_participants = CAST_CONSUMERS};
    shmring_t *observer;

    cast.longest = longest;
    cast.reliable = reliable;
    state = test_seed();
    test_name(name);
    open_journal(1, 0);
    cr_assert_eq(shmring_create(&observer, name, &config), 0, "%s", shmring_strerror_detail());
    const pid_t pressure = test_fork(press, NULL);
    for (int i = 0; i < MEMBERS; i++) {
        members[i].body = i == 0 ? cast_produce : cast_consume;
        start(i);
    }
    disturb_until_ended(0, MEMBERS, MEMBERS);
    test_kill(pressure);
    cr_assert_gt(journal->laps, 0, "no consumer was lapped");
    fprintf(stderr, "%llu missed in %llu laps; ", (unsigned long long)journal->missed,
            (unsigned long long)journal->laps);
    report(journal->came);
    shmring_close(&observer);
    close_journal();
}

Test(streams, broadcast)
{
    total = messages(1);
    broadcast(sizeof(struct message), true);
}

/* No consumer is reliable: nothing ever holds up the producer. */
Test(streams, broadcast_at_full_speed)
{
    total = messages(10);
    broadcast(CAST_LONGEST, false);
}
