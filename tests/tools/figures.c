/* SPDX-License-Identifier: MIT */
/*
 * Participants are killed at random moments. Then every figure that stat, ls, who, top and
 * OpenMetrics show is compared with the truth: what the participants had noted of themselves, and
 * what a consumer finds in the queue afterwards. tests/prove/crash compares the figures of the
 * calls after a death at every instruction.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "messages.h"
#include "tool.h"

TestSuite(figures, .timeout = 300);

enum {
    ROUNDS = 12,
    SIDE = 2,
    ALL = 2 * SIDE,
    RING_BYTES = 4096,
    MPMC_MESSAGES = 64,
    LONGEST = 100
};

struct content {
    uint64_t producer, number;
    uint8_t more[LONGEST - 16];
};

/* What the calls of participant i have returned. It has sent, or released, `done` messages, or one
 * more. It has missed at least `missed` messages. */
static struct diary {
    _Atomic uint64_t done[ALL], missed[ALL];
} * diary;

static const char *name;
static uint32_t kind;
static unsigned producers, all; /* the first participants are producers, the others consumers */
static bool holding;            /* broadcast: some consumers are reliable */

/* Is the queue's size in messages, not in bytes? */
static bool in_messages(void)
{
    return kind == SHMRING_MPMC;
}

static size_t length_of(uint64_t number)
{
    return 16 + number * 7 % (LONGEST - 15);
}

static bool is_reliable(unsigned i)
{
    return holding && i % 2 == 1;
}

/* ---- The participants ------------------------------------------------------------------------ */

struct child {
    unsigned i;
    int ready;
    pid_t pid;
    bool killed;
};

static int produce(void *argument)
{
    const struct child *me = argument;
    struct content content = {.producer = me->i};
    shmring_t *q;

    child_assert(shmring_open(&q, name, SHMRING_PRODUCER) == 0);
    test_tell(me->ready);
    for (;; content.number++) {
        child_assert(shmring_send_wait(q, &content, length_of(content.number), NULL) == 0);
        diary->done[me->i] = content.number + 1;
    }
}

static int consume(void *argument)
{
    const struct child *me = argument;
    const void *message;
    shmring_t *q;

    child_assert(shmring_open(&q, name, SHMRING_CONSUMER) == 0);
    test_tell(me->ready);
    for (;;) {
        child_assert(shmring_peek_wait(q, &message, NULL, NULL) >= 16);
        child_assert(shmring_release(q, message) == 0);
        diary->done[me->i]++;
    }
}

/* A consumer of a broadcast queue is lapped, or what it holds is overwritten. */
static int consume_broadcast(void *argument)
{
    const struct child *me = argument;
    struct shmring_info info;
    const void *message;
    shmring_t *q;

    child_assert(shmring_open(&q, name,
                              SHMRING_CONSUMER | SHMRING_FROM_OLDEST |
                                  (is_reliable(me->i) ? SHMRING_RELIABLE : 0U)) == 0);
    test_tell(me->ready);
    for (;;) {
        const ssize_t n = shmring_peek_wait(q, &message, &info, NULL);
        child_assert(n >= 16 || (n == -EOVERFLOW && !is_reliable(me->i)));
        if (n < 0)
            continue;
        diary->missed[me->i] = info.missed;
        const int released = shmring_release(q, message);
        child_assert(released == 0 || (released == -EOVERFLOW && !is_reliable(me->i)));
        diary->done[me->i] += released == 0;
    }
}

/* Consumers first, so that those of a broadcast queue start with its first message. */
static void start(struct child children[ALL])
{
    int ends[2];

    test_pipe(ends);
    for (unsigned i = all; i-- > 0;) {
        children[i] = (struct child){.i = i, .ready = ends[1]};
        children[i].pid = test_fork(i < producers               ? produce
                                    : kind == SHMRING_BROADCAST ? consume_broadcast
                                                                : consume,
                                    &children[i]);
        test_hear(ends[0]);
    }
    close(ends[0]);
    close(ends[1]);
}

/* Stop some participants, so that they recover no other; then kill others, at least one. */
static void stop_and_kill(struct child children[ALL], uint64_t *random)
{
    const unsigned always = test_random_below(random, all);
    siginfo_t stopped;

    for (unsigned i = 0; i < all; i++) {
        children[i].killed = i == always || test_random_below(random, 3) > 0;
        if (!children[i].killed)
            kill(children[i].pid, SIGSTOP);
    }
    for (unsigned i = 0; i < all; i++)
        if (!children[i].killed)
            cr_assert(waitid(P_PID, (id_t)children[i].pid, &stopped, WSTOPPED) == 0);
    for (unsigned i = 0; i < all; i++)
        if (children[i].killed)
            test_kill(children[i].pid);
}

/* ---- What is shown --------------------------------------------------------------------------- */

struct figures {
    uint64_t depth, depth_bytes, high_water, sent, sent_bytes, received, received_bytes,
        redelivered, recovered, missed;
};

static char *output_of(struct outcome outcome)
{
    cr_assert(outcome.status == 0 && *outcome.err == '\0', "exit %d: %s", outcome.status,
              outcome.err);
    free(outcome.err);
    return outcome.out;
}

/* The number that follows this text. */
static uint64_t number(const char *text, const char *before)
{
    const char *at = strstr(text, before);
    uint64_t value;

    cr_assert(at && sscanf(at + strlen(before), "%" SCNu64, &value) == 1,
              "no number behind %s in %s", before, text);
    return value;
}

static unsigned count(const char *text, const char *word)
{
    unsigned n = 0;

    for (; (text = strstr(text, word)); text++)
        n++;
    return n;
}

static struct figures of_stat(void)
{
    char *json = output_of(TOOL("", "stat", "--json", name));
    const struct figures f = {
        .depth = number(json, "\"depth\":"),
        .depth_bytes = number(json, "\"depth_bytes\":"),
        .high_water = number(json, "\"high_water\":"),
        .sent = number(json, "\"sent\":"),
        .sent_bytes = number(json, "\"sent_bytes\":"),
        .received = number(json, "\"received\":"),
        .received_bytes = number(json, "\"received_bytes\":"),
        .redelivered = number(json, "\"redelivered\":"),
        .recovered = number(json, "\"takeovers\":"),
        .missed = kind == SHMRING_BROADCAST ? number(json, "\"missed\":") : 0,
    };

    free(json);
    return f;
}

/* Each of these commands shows the same figures as stat, and this many dead and stopped
 * participants. */

static void check_text(const struct figures *f, unsigned dead, unsigned stopped)
{
    char *text = output_of(TOOL("", "stat", name)), line[5][120];

    snprintf(line[0], sizeof line[0],
             "  waiting          %" PRIu64 " message%s, %" PRIu64 " bytes of the ", f->depth,
             f->depth == 1 ? "" : "s", f->depth_bytes);
    snprintf(line[1], sizeof line[1], "  high water       %" PRIu64 " ", f->high_water);
    snprintf(line[2], sizeof line[2],
             "  sent             %" PRIu64 " message%s, %" PRIu64 " bytes\n", f->sent,
             f->sent == 1 ? "" : "s", f->sent_bytes);
    snprintf(line[3], sizeof line[3],
             "  received         %" PRIu64 " message%s, %" PRIu64 " bytes\n", f->received,
             f->received == 1 ? "" : "s", f->received_bytes);
    snprintf(line[4], sizeof line[4], "  participants     %u alive, %u dead", stopped, dead);
    for (int i = 0; i < 5; i++)
        cr_assert(strstr(text, line[i]), "no %s in %s", line[i], text);
    free(text);
}

static void check_ls(const struct figures *f, unsigned dead, unsigned stopped)
{
    char *table = output_of(TOOL("", "ls", name)), depth[24];

    cr_assert(sscanf(strchr(table, '\n'), "%*s %*s %*s %*s %23s", depth) == 1);
    cr_assert(strtoull(depth, NULL, 10) == f->depth, "%s", table);
    cr_assert(count(table, ") dead") == dead && count(table, ") stopped") == stopped, "%s", table);
    free(table);
}

static uint64_t metric(const char *text, const char *family, const char *state)
{
    char before[300];

    snprintf(before, sizeof before, "\nshmring_%s{queue=\"%s\"%s} ", family, name, state);
    return number(text, before);
}

static void check_openmetrics(const struct figures *f, unsigned dead, unsigned stopped)
{
    char *text = output_of(TOOL("", "stat", "--openmetrics", name));

    cr_assert_eq(metric(text, "depth_messages", ""), f->depth);
    cr_assert_eq(metric(text, "depth_bytes", ""), f->depth_bytes);
    cr_assert_eq(metric(text, in_messages() ? "high_water_messages" : "high_water_bytes", ""),
                 f->high_water);
    cr_assert_eq(metric(text, "sent_messages_total", ""), f->sent);
    cr_assert_eq(metric(text, "sent_bytes_total", ""), f->sent_bytes);
    cr_assert_eq(metric(text, "received_messages_total", ""), f->received);
    cr_assert_eq(metric(text, "received_bytes_total", ""), f->received_bytes);
    cr_assert_eq(metric(text, "recovered_participants_total", ""), f->recovered);
    cr_assert_eq(metric(text, "redelivered_messages_total", ""), f->redelivered);
    cr_assert_eq(metric(text, "participants", ",state=\"alive\""), stopped);
    cr_assert_eq(metric(text, "participants", ",state=\"dead\""), dead);
    free(text);
}

static void check_top(const struct figures *f, unsigned dead, unsigned stopped)
{
    const double used = (double)(in_messages() ? f->depth : f->depth_bytes),
                 room = in_messages() ? MPMC_MESSAGES : RING_BYTES;
    char *table = output_of(TOOL("", "top", "--once", "--delay", "0.1", name)), expected[40],
         shown[40];
    const char *line = strchr(table, '\n') + 1, *percent = strchr(line, '%');
    double fill, high;
    unsigned live, died;

    while (percent[-1] >= '0' && percent[-1] <= '9')
        percent--;
    cr_assert(
        sscanf(percent, "%lf%% %lf%% %*s %*s %*s %*s %*s %u %u", &fill, &high, &live, &died) == 4,
        "%s", table);
    snprintf(shown, sizeof shown, "%.0f%% %.0f%%", fill, high);
    snprintf(expected, sizeof expected, "%.0f%% %.0f%%", 100 * used / room,
             100 * (double)f->high_water / room);
    cr_assert_str_eq(shown, expected);
    cr_assert(live == stopped && died == dead, "%s", table);
    free(table);
}

/* Check who: the participants, and the messages of each, if no row was freed yet. Returns how many
 * blocks they hold. */
static uint64_t check_who(const struct figures *f, unsigned dead, unsigned stopped)
{
    char *table = output_of(TOOL("", "who", name)), state[16], blocks[24];
    uint64_t held = 0, sent = 0, received = 0, of[2];
    unsigned of_state[2] = {0};

    for (char *line = strchr(table, '\n'); line && line[1]; line = strchr(line + 1, '\n')) {
        int n = 0; /* FOR is "-", or a number and "s" */
        cr_assert(sscanf(line + 1, "%*u %*u %15s %*s %23s %n", state, blocks, &n) == 2, "%s", line);
        const char *counters =
            line + 1 + n + (line[1 + n] == '-' ? 1 : (int)strcspn(line + 1 + n, "s") + 1);
        cr_assert(sscanf(counters, "%" SCNu64 " %" SCNu64, &of[0], &of[1]) == 2, "%s", line);
        sent += of[0];
        received += of[1];
        held += strtoull(blocks, NULL, 10); /* "-" for spsc */
        of_state[0] += strcmp(state, "dead") == 0;
        of_state[1] += strcmp(state, "stopped") == 0;
    }
    cr_assert(of_state[0] == dead && of_state[1] == stopped, "%s", table);
    if (f->recovered == 0)
        cr_assert(sent == f->sent && received == f->received, "%s", table);
    free(table);
    return held;
}

/* ---- The truth ------------------------------------------------------------------------------- */

struct found {
    uint64_t messages, bytes, room, again; /* room: bytes that their records take in an spsc ring */
    /* For each producer, the number after its last message; 0: it has none here. */
    uint64_t behind[SIDE];
};

/* Receive all messages. Those of each producer come in order, except those that come again. */
static struct found drain(void)
{
    struct found found = {0};
    const struct content *content;
    struct shmring_info info;
    const void *message;
    shmring_t *q;
    ssize_t n;

    cr_assert_eq(shmring_open(&q, name, SHMRING_CONSUMER), 0, "%s", shmring_strerror_detail());
    while ((n = shmring_peek(q, &message, &info)) >= 16) {
        content = message;
        cr_assert(content->producer < producers && (size_t)n == length_of(content->number));
        if (found.behind[content->producer] <= content->number)
            found.behind[content->producer] = content->number + 1;
        found.messages++;
        found.bytes += (uint64_t)n;
        found.room += shmring_record_size((uint32_t)n);
        found.again += (info.flags & SHMRING_REDELIVERED) != 0;
        cr_assert_eq(shmring_release(q, message), 0);
    }
    cr_assert_eq(n, -EAGAIN);
    shmring_close(&q);
    return found;
}

static void check_truth(const struct figures *f, const struct found *found)
{
    uint64_t least[2] = {0}, most[2] = {0}; /* of messages sent, and received */

    for (unsigned i = 0; i < all; i++) {
        const bool received = i >= producers;
        const uint64_t done = diary->done[i], behind = received ? 0 : found->behind[i];
        cr_assert(behind <= done + 1);
        least[received] += behind > done ? behind : done;
        most[received] += behind ? (behind > done ? behind : done) : done + 1;
    }
    /* If a producer's last message is in the queue, its number tells how many were sent. */
    cr_assert(f->sent >= least[0] && f->sent <= most[0] + producers, "%" PRIu64, f->sent);
    if (kind == SHMRING_SPSC && found->behind[0])
        cr_assert_eq(f->sent, found->behind[0]);
    cr_assert(f->received >= least[1] && f->received <= most[1], "%" PRIu64, f->received);
    cr_assert_eq(f->sent - f->received, found->messages);
    cr_assert_eq(f->sent_bytes - f->received_bytes, found->bytes);
    cr_assert(f->high_water <= (in_messages() ? MPMC_MESSAGES : RING_BYTES));
    if (kind == SHMRING_SPSC) {
        cr_assert_eq(f->depth, found->messages);
        cr_assert_eq(f->depth_bytes, found->room);
        cr_assert(f->high_water >= found->room);
    }
}

/* The depth of an mpmc queue does not count messages that were taken; they come again. */
static void check_held(const struct figures *f, const struct found *found, uint64_t held)
{
    const struct figures after = of_stat();
    const uint64_t again = after.redelivered - f->redelivered;

    cr_assert_eq(f->depth + again, found->messages);
    cr_assert(held >= again && held <= again + all, "%" PRIu64 " blocks, %" PRIu64 " messages",
              held, again);
    cr_assert(found->again >= again && f->high_water >= f->depth);
}

/* ---- The truth about a broadcast queue ------------------------------------------------------- */

/* The figures of one consumer. */
struct reader_figures {
    uint64_t received, missed, lag;
    bool reliable;
};

/* As `who` shows them, in both forms. False: the row was freed. */
static bool of_who(pid_t pid, struct reader_figures *f)
{
    char *json = output_of(TOOL("", "who", "--json", name)), *table, word[32], *at, *end;

    snprintf(word, sizeof word, "\"pid\":%d,", (int)pid);
    at = strstr(json, word);
    const bool found = at != NULL;
    if (found) {
        end = strchr(at, '}');
        *end = '\0';
        *f = (struct reader_figures){.received = number(at, "\"received\":"),
                                     .missed = number(at, "\"missed\":"),
                                     .lag = number(at, "\"lag\":"),
                                     .reliable = strstr(at, "\"reliable\":true") != NULL};
        table = output_of(TOOL("", "who", name));
        snprintf(word, sizeof word, " %d ", (int)pid);
        uint64_t lag, missed, received;
        at = strstr(table, word);
        cr_assert(at && (at = strstr(at, " consumer ")), "%s", table);
        cr_assert(sscanf(at, " consumer %" SCNu64 " %" SCNu64 " %*u %" SCNu64, &lag, &missed,
                         &received) == 3,
                  "%s", table);
        cr_assert(lag == f->lag && missed == f->missed && received == f->received, "%s", table);
        free(table);
    }
    free(json);
    return found;
}

/* Bytes of the messages [from, to), and of their records. */
static uint64_t bytes_of(uint64_t from, uint64_t to, bool records)
{
    uint64_t bytes = 0;

    for (; from < to; from++)
        bytes +=
            records ? shmring_record_size((uint32_t)length_of(from)) : (uint64_t)length_of(from);
    return bytes;
}

/* The messages that are still in the ring are the last ones that were sent. */
static void check_ring(const struct figures *f)
{
    const struct content *content;
    struct shmring_info info;
    const void *message;
    uint64_t next = 0;
    shmring_t *q;
    ssize_t n;

    cr_assert_eq(shmring_open(&q, name, SHMRING_CONSUMER | SHMRING_FROM_OLDEST), 0, "%s",
                 shmring_strerror_detail());
    while ((n = shmring_peek(q, &message, &info)) >= 16) {
        content = message;
        cr_assert((size_t)n == length_of(content->number) && content->number == info.number);
        cr_assert(next == 0 || next == info.number);
        next = info.number + 1;
        cr_assert_eq(shmring_release(q, message), 0);
    }
    cr_assert_eq(n, -EAGAIN);
    cr_assert_eq(next, f->sent);
    shmring_close(&q);
}

static void check_broadcast(const struct figures *f, const struct child children[ALL])
{
    uint64_t received = 0, missed = 0, depth = 0, bytes = 0;
    bool all_there = true;

    cr_assert(f->sent == diary->done[0] || f->sent == diary->done[0] + 1, "%" PRIu64, f->sent);
    cr_assert_eq(f->sent_bytes, bytes_of(0, f->sent, false));
    for (unsigned i = producers; i < all; i++) {
        struct reader_figures reader;
        const uint64_t done = diary->done[i];
        if (!of_who(children[i].pid, &reader)) {
            all_there = false;
            continue;
        }
        cr_assert(reader.received == done || reader.received == done + 1, "%" PRIu64,
                  reader.received);
        cr_assert_geq(reader.missed, diary->missed[i]);
        cr_assert_eq(reader.received + reader.missed + reader.lag, f->sent);
        cr_assert(!reader.reliable || (is_reliable(i) && reader.missed == 0));
        if (reader.reliable && reader.lag > depth)
            depth = reader.lag;
        received += reader.received;
        missed += reader.missed;
        bytes += bytes_of(0, reader.received, false);
    }
    if (all_there) {
        cr_assert(f->received == received && f->missed == missed);
        cr_assert(f->missed > 0 || f->received_bytes == bytes);
        cr_assert_eq(f->depth, depth);
        cr_assert_eq(f->depth_bytes, bytes_of(f->sent - depth, f->sent, true));
    }
    cr_assert(f->high_water >= f->depth_bytes && f->high_water <= RING_BYTES);
    char *text = output_of(TOOL("", "stat", "--openmetrics", name));
    cr_assert_eq(metric(text, "missed_messages_total", ""), f->missed);
    free(text);
}

/* What is in the queue when all participants are dead. */
static void check_content(const struct figures *f, uint64_t held)
{
    if (kind == SHMRING_BROADCAST) {
        check_ring(f);
        return;
    }
    const struct found found = drain();
    check_truth(f, &found);
    if (kind == SHMRING_MPMC)
        check_held(f, &found, held);
}

static shmring_t *create(void)
{
    const struct shmring_config config = {
        .kind = SHMRING_BROADCAST, .capacity = RING_BYTES, .max_participants = ALL};
    shmring_t *q;

    if (kind == SHMRING_MPMC)
        return test_create_mpmc(name, SHMRING_OBSERVER, MPMC_MESSAGES, LONGEST);
    if (kind == SHMRING_SPSC)
        return test_create(name, SHMRING_OBSERVER, RING_BYTES);
    cr_assert_eq(shmring_create(&q, name, &config), 0, "%s", shmring_strerror_detail());
    return q;
}

static void kill_at_random(void)
{
    uint64_t random = test_seed();

    name = queue_name();
    diary = mmap(NULL, sizeof *diary, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert(diary != MAP_FAILED);
    for (int round = 0; round < test_kills(ROUNDS); round++) {
        struct child children[ALL];
        unsigned killed = 0;
        memset(diary, 0, sizeof *diary);
        holding = round % 2 == 0;
        shmring_t *q = create();
        shmring_close(&q);
        start(children);
        nanosleep(&(struct timespec){.tv_nsec = test_random_below(&random, 3000000)}, NULL);
        stop_and_kill(children, &random);
        for (unsigned i = 0; i < all; i++)
            killed += children[i].killed;

        const struct figures f = of_stat();
        /* Before it was killed, a participant may have recovered one that was killed earlier. */
        const unsigned dead = killed - (unsigned)f.recovered, stopped = all - killed;
        check_text(&f, dead, stopped);
        check_ls(&f, dead, stopped);
        check_openmetrics(&f, dead, stopped);
        check_top(&f, dead, stopped);
        const uint64_t held = kind == SHMRING_BROADCAST ? 0 : check_who(&f, dead, stopped);
        if (kind == SHMRING_BROADCAST)
            check_broadcast(&f, children);
        for (unsigned i = 0; i < all; i++)
            if (!children[i].killed)
                test_kill(children[i].pid);
        check_content(&f, held);
        cr_assert_eq(shmring_unlink(name), 0);
    }
    munmap(diary, sizeof *diary);
}

static void kill_at_random_in(uint32_t of_kind, unsigned producers_of_it, unsigned consumers)
{
    kind = of_kind;
    producers = producers_of_it;
    all = producers + consumers;
    kill_at_random();
}

Test(figures, spsc)
{
    kill_at_random_in(SHMRING_SPSC, 1, 1);
}

Test(figures, mpmc)
{
    kill_at_random_in(SHMRING_MPMC, SIDE, SIDE);
}

Test(figures, broadcast)
{
    kill_at_random_in(SHMRING_BROADCAST, 1, ALL - 1);
}
