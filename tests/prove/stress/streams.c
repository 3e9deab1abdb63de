/* SPDX-License-Identifier: MIT */
/*
 * Streams as fast as they go, of messages with a number and a checksum. Meanwhile participants are
 * killed, stopped and replaced at random moments, and another process takes memory, descriptors and
 * processor time. Every message comes in order: once, or again with the flag.
 *
 * $SHMRING_TEST_MESSAGES says how many messages go through the spsc queue, and a tenth of that
 * through the mpmc queue. See the target soak.
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
#include "support.h"

enum { PRODUCERS = 2, CONSUMERS = 2, MEMBERS = PRODUCERS + CONSUMERS, BATCH = 32, HELD = 8 };
enum { ROUND = 1 << 22 }; /* mpmc: one producer sends so many messages before they are counted */
enum { MOST_QUIET_US = 20000 };
#define USUALLY UINT64_C(10000000)

struct message {
    uint64_t number, checksum;
};

static uint64_t checksum_of(uint64_t number)
{
    return test_random(&number);
}

/* ---- What all processes know
 * --------------------------------------------------------------------------- */

/* What happened to a message. */
enum { PLAIN = 1, FLAGGED = 2, UNSURE = 4 };

static struct journal {
    /* spsc: the messages before to_send may have been sent, those before sent were; those before
     * to_receive may have been received, those before received were. */
    _Atomic uint64_t to_send, sent, to_receive, received;
    /* mpmc: the same for each producer and its successors. */
    struct {
        _Atomic uint32_t begun, acked;
        _Atomic uint8_t what[ROUND + BATCH];
    } from[PRODUCERS];
    _Atomic bool finish; /* consumers end when no more messages come */
} * journal;

static char name[TEST_NAME_SIZE];
static uint64_t state, total;
static unsigned long kills, stops;

static uint64_t messages(uint64_t part)
{
    const char *given = getenv("SHMRING_TEST_MESSAGES");

    return (given ? strtoull(given, NULL, 10) : USUALLY) / part;
}

static void open_journal(void)
{
    journal = mmap(NULL, sizeof *journal, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    cr_assert_neq(journal, MAP_FAILED);
}

static void fill_batch(struct message m[BATCH], struct iovec batch[BATCH], uint64_t number)
{
    for (uint64_t i = 0; i < BATCH; i++) {
        m[i] = (struct message){number + i, checksum_of(number + i)};
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

/* ---- Disturbing the processes
 * ---------------------------------------------------------------------------- */

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

/* mpmc: mark the messages that the killed producer was sending: they may or may not have been
 * sent. */
static void note_what_is_unsure(int i)
{
    if (i >= PRODUCERS)
        return;
    const uint32_t begun = journal->from[i].begun;
    for (uint32_t n = journal->from[i].acked; n < begun; n++)
        journal->from[i].what[n] |= UNSURE;
    journal->from[i].acked = begun;
}

static void bury(int i)
{
    const int how = test_wait(members[i].pid);

    cr_assert(how == 0 || how == -SIGKILL, "%d: see above", how);
    members[i].pid = 0;
    note_what_is_unsure(i);
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
    child_assert(st.sent >= journal->sent && st.sent <= journal->to_send);
    for (uint64_t number = st.sent; number < total;) {
        fill_batch(m, batch, number);
        journal->to_send = number + BATCH;
        const int n = shmring_send_batch(q, batch, BATCH);
        child_assert(n > 0 || n == -EAGAIN);
        if (n < 0)
            sched_yield();
        else
            number += (uint64_t)n;
        atomic_store_explicit(&journal->sent, number, memory_order_release);
    }
    shmring_close(&q);
    return 0;
}

static int spsc_consume(void *unused)
{
    struct message m[BATCH];
    struct iovec batch[BATCH];
    struct shmring_stat st;
    shmring_t *q;

    (void)unused;
    child_assert(shmring_open(&q, name, SHMRING_CONSUMER) == 0);
    child_assert(shmring_stat(q, &st) == 0);
    child_assert(st.received >= journal->received && st.received <= journal->to_receive);
    for (uint64_t number = st.received; number < total;) {
        for (int i = 0; i < BATCH; i++)
            batch[i] = (struct iovec){&m[i], sizeof m[i]};
        journal->to_receive = number + BATCH;
        const int n = shmring_recv_batch(q, batch, BATCH);
        child_assert(n > 0 || n == -EAGAIN);
        if (n < 0)
            sched_yield();
        for (int i = 0; i < n; i++, number++) {
            child_assert(batch[i].iov_len == sizeof m[i] && m[i].number == number);
            child_assert(m[i].checksum == checksum_of(number));
        }
        atomic_store_explicit(&journal->received, number, memory_order_release);
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
    open_journal();
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
    munmap(journal, sizeof *journal);
}

/* ---- MPMC ------------------------------------------------------------------------------------ */

/* The upper half of a message's number names its producer. */
static uint64_t numbered(uint32_t producer, uint32_t number)
{
    return (uint64_t)producer << 32 | number;
}

static int mpmc_produce(void *which)
{
    const uint32_t producer = *(const uint32_t *)which;
    struct message m[BATCH];
    struct iovec batch[BATCH];
    shmring_t *q;

    child_assert(shmring_open(&q, name, SHMRING_PRODUCER) == 0);
    for (uint32_t number = journal->from[producer].begun; number < ROUND;) {
        fill_batch(m, batch, numbered(producer, number));
        journal->from[producer].begun = number + BATCH;
        const int n = shmring_send_batch(q, batch, BATCH);
        child_assert(n > 0 || n == -EAGAIN);
        number += n > 0 ? (uint32_t)n : 0;
        journal->from[producer].begun = number;
        atomic_store_explicit(&journal->from[producer].acked, number, memory_order_release);
        if (n < 0)
            sched_yield();
    }
    shmring_close(&q);
    return 0;
}

/* Note the messages received, and release them. False: the queue is empty. */
static bool consume_some(shmring_t *q, int64_t last[PRODUCERS])
{
    const void *held[HELD];
    struct shmring_info info;
    ssize_t len = 0;
    int n = 0;

    for (; n < HELD && (len = shmring_peek(q, &held[n], &info)) >= 0; n++) {
        const struct message *m = held[n];
        child_assert(len == sizeof *m && m->checksum == checksum_of(m->number));
        const uint32_t producer = (uint32_t)(m->number >> 32), number = (uint32_t)m->number;
        child_assert(producer < PRODUCERS && number < journal->from[producer].begun);
        const uint8_t before =
            atomic_fetch_or_explicit(&journal->from[producer].what[number],
                                     info.flags ? FLAGGED : PLAIN, memory_order_relaxed);
        child_assert(info.flags || (!(before & PLAIN) && number > last[producer]));
        if (!info.flags)
            last[producer] = number;
    }
    child_assert(len >= 0 || len == -EAGAIN);
    for (int i = 0; i < n; i++)
        child_assert(shmring_release(q, held[i]) == 0);
    return n > 0;
}

static int mpmc_consume(void *unused)
{
    int64_t last[PRODUCERS] = {-1, -1};
    shmring_t *q;

    (void)unused;
    child_assert(shmring_open(&q, name, SHMRING_CONSUMER) == 0);
    for (;;) {
        const bool finish = journal->finish; /* read before the queue is polled for the last time */
        if (!consume_some(q, last)) {
            if (finish)
                break;
            sched_yield();
        }
    }
    shmring_close(&q);
    return 0;
}

/* Check that each message came, or may not have been sent. Returns how many came. */
static uint64_t count_round(void)
{
    uint64_t count = 0;

    for (int p = 0; p < PRODUCERS; p++)
        for (uint32_t n = 0; n < journal->from[p].begun; n++) {
            const uint8_t what = journal->from[p].what[n];
            cr_assert(what, "message %u of producer %d was lost", n, p);
            count += (what & (PLAIN | FLAGGED)) != 0;
        }
    return count;
}

static uint64_t play_round(void)
{
    int64_t last[PRODUCERS] = {-1, -1};
    shmring_t *q;

    open_journal();
    for (int i = 0; i < MEMBERS; i++) {
        members[i].body = i < PRODUCERS ? mpmc_produce : mpmc_consume;
        start(i);
    }
    disturb_until_ended(0, PRODUCERS, MEMBERS);
    journal->finish = true;
    disturb_until_ended(PRODUCERS, MEMBERS, MEMBERS);
    cr_assert_eq(shmring_open(&q, name, SHMRING_CONSUMER), 0);
    cr_assert_geq(shmring_recover(q, NULL), 0);
    while (consume_some(q, last))
        continue;
    shmring_close(&q);
    const uint64_t count = count_round();
    munmap(journal, sizeof *journal);
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
