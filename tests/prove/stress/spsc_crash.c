/* SPDX-License-Identifier: MIT */
/*
 * A producer and a consumer that are killed at random moments, thousands of times, and replaced.
 * Each writes into a diary in shared memory what it is about to do and what it has done. So its
 * successor knows which messages must be in the queue: every message whose send returned, in order,
 * once. Messages that the dead consumer had been given come again, but only with the flag.
 *
 * $SHMRING_TEST_KILLS says how many kills each test makes; see the target soak.
 */
#include <config.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "messages.h"
#include "oracle.h"
#include "support.h"

enum { KILLS = 1000, STOPS = 100, BATCH = 8, LONGEST_EVER = 1 << 14 };

static struct oracle *oracle; /* one stream, whose sender notes there what it sends */
static struct diary {
    struct oracle_span taken;         /* by peek or by receiving; done: what peek has given */
    struct oracle_span retired;       /* by release or by receiving */
    _Atomic uint64_t sends, receives; /* calls that returned, -EAGAIN included */
    _Atomic uint64_t redelivered;
    _Atomic bool finish;
} * diary;

static char name[TEST_NAME_SIZE];
static shmring_t *observer;
static uint64_t random_state;
static uint32_t longest;

static uint32_t length_of(uint64_t number)
{
    return oracle_length(number, longest);
}

/* ---- The producer ---------------------------------------------------------------------------- */

static int send_batch(shmring_t *q, uint64_t number, int n)
{
    static uint8_t bufs[BATCH][LONGEST_EVER];
    struct iovec batch[BATCH];

    for (int i = 0; i < n; i++, number++) {
        batch[i] = (struct iovec){bufs[i], length_of(number)};
        oracle_write(number, bufs[i], batch[i].iov_len);
    }
    return shmring_send_batch(q, batch, n);
}

static int send_one(shmring_t *q, uint64_t number)
{
    static uint8_t buf[LONGEST_EVER];

    oracle_write(number, buf, length_of(number));
    const int r = shmring_send(q, buf, length_of(number));
    return r < 0 ? r : 1;
}

static int send_in_place(shmring_t *q, uint64_t number)
{
    const uint32_t len = length_of(number);
    void *msg;
    const int r = shmring_reserve(q, len, &msg);

    if (r < 0)
        return r;
    oracle_write(number, msg, len);
    child_assert(shmring_commit(q, msg, len) == 0);
    return 1;
}

/* Returns how many messages it sent; 0: the queue was full. */
static uint64_t send_some(shmring_t *q, uint64_t number, uint64_t *random)
{
    const uint32_t kind = test_random_below(random, 3);
    const int n = kind == 1 ? (int)test_random_below(random, BATCH) + 1 : 1;
    int r;

    oracle_begin(&oracle->sent[0], number + (uint64_t)n);
    r = kind == 0   ? send_one(q, number)
        : kind == 1 ? send_batch(q, number, n)
                    : send_in_place(q, number);
    child_assert(r > 0 || r == -EAGAIN);
    diary->sends++;
    return r > 0 ? (uint64_t)r : 0;
}

static int produce(void *arg)
{
    uint64_t random = *(const uint64_t *)arg, number;
    struct shmring_stat st;
    shmring_t *q;

    child_assert(shmring_open(&q, name, SHMRING_PRODUCER) == 0);
    child_assert(shmring_stat(q, &st) == 0);
    child_judge(oracle_resume(&oracle->sent[0], st.sent));
    number = st.sent;
    while (!diary->finish) {
        const uint64_t n = send_some(q, number, &random);
        number += n;
        oracle_settle(&oracle->sent[0], number);
        if (n == 0)
            sched_yield();
    }
    shmring_close(&q);
    return 0;
}

/* ---- The consumer ---------------------------------------------------------------------------- */

struct consumer {
    shmring_t *q;
    struct oracle_reader reader;
    uint64_t given; /* the messages before this one were given to one that died: see peek_some() */
};

static void judge(struct consumer *c, const void *bytes, size_t len, bool flagged)
{
    uint64_t message;

    child_judge(oracle_read(&message, bytes, len, longest));
    child_judge(oracle_receive(oracle, &c->reader, message, flagged));
}

/* It is about to receive the messages before this one, without being told which are flagged. */
static void about_to_receive(struct consumer *c, uint64_t end)
{
    oracle_begin(&diary->taken, end);
    oracle_begin(&diary->retired, end);
    c->reader.must_flag = 0;
}

static uint64_t receive_one(struct consumer *c)
{
    static uint8_t buf[LONGEST_EVER];
    const uint64_t number = c->reader.next[0];

    about_to_receive(c, number + 1);
    const ssize_t len = shmring_recv(c->q, buf, sizeof buf);
    diary->receives++;
    child_assert(len >= 0 || len == -EAGAIN);
    if (len < 0)
        return 0;
    oracle_reach(&diary->retired, number + 1);
    judge(c, buf, (size_t)len, false);
    return 1;
}

static uint64_t receive_batch(struct consumer *c)
{
    static uint8_t bufs[BATCH][LONGEST_EVER];
    const uint64_t number = c->reader.next[0];
    struct iovec batch[BATCH];

    for (int i = 0; i < BATCH; i++)
        batch[i] = (struct iovec){bufs[i], LONGEST_EVER};
    about_to_receive(c, number + BATCH);
    const int n = shmring_recv_batch(c->q, batch, BATCH);
    diary->receives++;
    child_assert(n > 0 || n == -EAGAIN);
    if (n < 0)
        return 0;
    oracle_reach(&diary->retired, number + (uint64_t)n);
    for (int i = 0; i < n; i++)
        judge(c, bufs[i], batch[i].iov_len, false);
    return (uint64_t)n;
}

/* Take up to BATCH messages and hold them. Returns their number. */
static int peek_some(struct consumer *c, const void *msgs[BATCH], size_t lengths[BATCH])
{
    int n = 0;

    for (; n < BATCH; n++) {
        const uint64_t number = c->reader.next[0];
        struct shmring_info info;
        oracle_begin(&diary->taken, number + 1);
        const ssize_t len = shmring_peek(c->q, &msgs[n], &info);
        diary->receives++;
        child_assert(len >= 0 || len == -EAGAIN);
        if (len < 0)
            break;
        oracle_reach(&diary->taken, number + 1);
        lengths[n] = (size_t)len;
        child_assert((info.flags == SHMRING_REDELIVERED) == (info.deliveries > 1));
        c->reader.must_flag = c->given;
        judge(c, msgs[n], lengths[n], info.flags);
        diary->redelivered += info.deliveries > 1;
    }
    return n;
}

static uint64_t receive_in_place(struct consumer *c)
{
    const uint64_t number = c->reader.next[0];
    const void *msgs[BATCH];
    size_t lengths[BATCH];
    const int n = peek_some(c, msgs, lengths);

    for (int i = 0; i < n; i++) {
        uint64_t message;
        child_judge(oracle_read(&message, msgs[i], lengths[i], longest)); /* still */
        child_assert(message == number + (uint64_t)i);
        oracle_begin(&diary->retired, number + (uint64_t)i + 1);
        child_assert(shmring_release(c->q, msgs[i]) == 0);
        oracle_reach(&diary->retired, number + (uint64_t)i + 1);
    }
    return (uint64_t)n;
}

static int consume(void *arg)
{
    uint64_t random = *(const uint64_t *)arg;
    struct consumer c = {.reader = oracle_reader(true)};
    struct shmring_stat st;

    child_assert(shmring_open(&c.q, name, SHMRING_CONSUMER) == 0);
    child_assert(shmring_stat(c.q, &st) == 0);
    child_judge(oracle_resume(&diary->retired, st.received));
    c.reader.next[0] = st.received;
    /* The last consumer may have died while it received this message, before it wrote that into the
     * diary. */
    oracle_begin(&diary->taken, st.received + 1);
    c.given = diary->taken.done;
    c.reader.may_flag = diary->taken.begun;
    while (!diary->finish) {
        const uint32_t kind = test_random_below(&random, 6);
        const uint64_t n = kind == 0   ? receive_one(&c)
                           : kind == 1 ? receive_batch(&c)
                                       : receive_in_place(&c);
        if (n == 0)
            sched_yield();
    }
    shmring_close(&c.q);
    return 0;
}

/* ---- The process that kills them ------------------------------------------------------------- */

static pid_t producer, consumer;

static pid_t start(int (*body)(void *))
{
    uint64_t random = test_random(&random_state);

    return test_fork(body, &random);
}

static void finish_off(pid_t pid)
{
    kill(pid, SIGKILL);
    cr_assert_eq(test_wait(pid), -SIGKILL, "it had ended before: see above");
}

static void sleep_at_most(uint32_t microseconds)
{
    const struct timespec pause = {0, (long)test_random_below(&random_state, microseconds) * 1000};

    nanosleep(&pause, NULL);
}

/* Wait until `more` calls of the child have returned. */
static void wait_for_calls(pid_t pid, const _Atomic uint64_t *calls, uint64_t more)
{
    const uint64_t enough = *calls + more;

    while (*calls < enough) {
        siginfo_t ended = {0};
        cr_assert_eq(waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT), 0);
        cr_assert_eq(ended.si_pid, 0, "it has ended: see above");
        sleep_at_most(50);
    }
}

/* Let the child work for a random time, in which it may not even open the queue, or for a random
 * number of calls. */
static void let_work(pid_t pid, const _Atomic uint64_t *calls)
{
    if (test_random(&random_state) % 2 == 0)
        sleep_at_most(300);
    else
        wait_for_calls(pid, calls, test_random_below(&random_state, 200));
}

static void begin(uint64_t capacity, uint32_t longest_message)
{
    random_state = test_seed();
    longest = longest_message;
    test_name(name);
    diary = mmap(NULL, sizeof *diary, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    oracle = oracle_new(1, 0);
    cr_assert(diary != MAP_FAILED && oracle);
    oracle_receiver_may_die(oracle);
    observer = test_create(name, 0, capacity);
    producer = start(produce);
    consumer = start(consume);
}

/* The last producer and consumer close; then check the content of the queue and its counters. */
static void end(void)
{
    struct shmring_stat st;
    struct consumer c = {.reader = oracle_reader(true)};
    shmring_t *q;

    diary->finish = true;
    cr_assert_eq(test_wait(producer), 0);
    cr_assert_eq(test_wait(consumer), 0);
    diary->finish = false;
    cr_assert_eq(shmring_stat(observer, &st), 0);
    cr_assert_eq(st.sent, oracle->sent[0].done);
    cr_assert_eq(st.received, diary->retired.done);
    cr_assert_eq(st.depth, st.sent - st.received);
    cr_assert_eq(st.dead, 0);

    cr_assert_eq(shmring_open(&q, name, SHMRING_PRODUCER | SHMRING_CONSUMER), 0);
    c.q = q;
    c.reader.next[0] = st.received;
    while (receive_one(&c))
        continue;
    cr_assert_eq(oracle_end(oracle, &c.reader), ORACLE_RIGHT);
    cr_assert_eq(shmring_stat(observer, &st), 0);
    cr_assert_eq(st.depth, 0);
    cr_assert_eq(st.depth_bytes, 0);
    cr_assert_eq(st.sent_bytes, st.received_bytes);
    fprintf(stderr, "%llu messages, %llu redeliveries, %llu takeovers\n",
            (unsigned long long)st.sent, (unsigned long long)diary->redelivered,
            (unsigned long long)st.takeovers);
    shmring_close(&q);
    shmring_close(&observer);
    munmap(diary, sizeof *diary);
    oracle_free(oracle);
}

static void kill_producer(void)
{
    let_work(producer, &diary->sends);
    finish_off(producer);
    producer = start(produce);
}

static void kill_consumer(void)
{
    let_work(consumer, &diary->receives);
    finish_off(consumer);
    consumer = start(consume);
}

static void kill_both(void)
{
    sleep_at_most(500);
    finish_off(producer);
    finish_off(consumer);
    if (test_random(&random_state) % 2 == 0) {
        producer = start(produce);
        consumer = start(consume);
    } else {
        consumer = start(consume);
        producer = start(produce);
    }
}

static void kill_many(void)
{
    for (int i = test_kills(KILLS); i > 0; i--) {
        const uint32_t which = test_random_below(&random_state, 5);
        if (which < 2)
            kill_producer();
        else if (which < 4)
            kill_consumer();
        else
            kill_both();
    }
}

Test(spsc_crash, killed_with_short_messages)
{
    begin(4096, 100);
    kill_many();
    end();
}

Test(spsc_crash, killed_with_long_messages)
{
    begin(1 << 16, LONGEST_EVER);
    kill_many();
    end();
}

/* ---- Stopped --------------------------------------------------------------------------------- */

struct side {
    pid_t *pid;
    int (*body)(void *);
    unsigned role;
    const _Atomic uint64_t *calls;
};

/* While ONE is stopped, calls of the OTHER go on returning, and no process can take ONE's role. */
static void stop(const struct side *one, const struct side *other)
{
    shmring_t *q;

    cr_assert_eq(kill(*one->pid, SIGSTOP), 0);
    wait_for_calls(*other->pid, other->calls, 1000);
    cr_assert_eq(shmring_open(&q, name, one->role), -EBUSY);
    if (test_random(&random_state) % 2 == 0) {
        finish_off(*one->pid);
        *one->pid = start(one->body);
    } else {
        cr_assert_eq(kill(*one->pid, SIGCONT), 0);
    }
}

Test(spsc_crash, stopped, .timeout = 300)
{
    begin(4096, 100);
    const struct side sides[] = {
        {&producer, produce, SHMRING_PRODUCER, &diary->sends},
        {&consumer, consume, SHMRING_CONSUMER, &diary->receives},
    };
    for (int i = 0; i < STOPS; i++) {
        const int one = (int)test_random_below(&random_state, 2);
        for (int j = 0; j < 2; j++)
            wait_for_calls(*sides[j].pid, sides[j].calls, 1);
        stop(&sides[one], &sides[!one]);
    }
    end();
}
