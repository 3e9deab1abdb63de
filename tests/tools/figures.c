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
    SPSC_BYTES = 4096,
    MPMC_MESSAGES = 64,
    LONGEST = 100
};

struct content {
    uint64_t producer, number;
    uint8_t more[LONGEST - 16];
};

/* What participant i has sent, or released, for certain: this many messages, or one more. */
static struct diary {
    _Atomic uint64_t done[ALL];
} * diary;

static const char *name;
static unsigned side; /* half of the participants; the first half are producers */
static bool mpmc;

static size_t length_of(uint64_t number)
{
    return 16 + number * 7 % (LONGEST - 15);
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

static void start(struct child children[ALL])
{
    int ends[2];

    test_pipe(ends);
    for (unsigned i = 0; i < 2 * side; i++) {
        children[i] = (struct child){.i = i, .ready = ends[1]};
        children[i].pid = test_fork(i < side ? produce : consume, &children[i]);
    }
    for (unsigned i = 0; i < 2 * side; i++)
        test_hear(ends[0]);
    close(ends[0]);
    close(ends[1]);
}

/* Stop some participants, so that they recover no other; then kill others, at least one. */
static void stop_and_kill(struct child children[ALL], uint64_t *random)
{
    const unsigned always = test_random_below(random, 2 * side);
    siginfo_t stopped;

    for (unsigned i = 0; i < 2 * side; i++) {
        children[i].killed = i == always || test_random_below(random, 3) > 0;
        if (!children[i].killed)
            kill(children[i].pid, SIGSTOP);
    }
    for (unsigned i = 0; i < 2 * side; i++)
        if (!children[i].killed)
            cr_assert(waitid(P_PID, (id_t)children[i].pid, &stopped, WSTOPPED) == 0);
    for (unsigned i = 0; i < 2 * side; i++)
        if (children[i].killed)
            test_kill(children[i].pid);
}

/* ---- What is shown --------------------------------------------------------------------------- */

struct figures {
    uint64_t depth, depth_bytes, high_water, sent, sent_bytes, received, received_bytes,
        redelivered, recovered;
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
    cr_assert_eq(metric(text, mpmc ? "high_water_messages" : "high_water_bytes", ""),
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
    const double used = (double)(mpmc ? f->depth : f->depth_bytes),
                 room = mpmc ? MPMC_MESSAGES : SPSC_BYTES;
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
        cr_assert(content->producer < side && (size_t)n == length_of(content->number));
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

    for (unsigned i = 0; i < 2 * side; i++) {
        const bool received = i >= side;
        const uint64_t done = diary->done[i], behind = received ? 0 : found->behind[i];
        cr_assert(behind <= done + 1);
        least[received] += behind > done ? behind : done;
        most[received] += behind ? (behind > done ? behind : done) : done + 1;
    }
    /* If a producer's last message is in the queue, its number tells how many were sent. */
    cr_assert(f->sent >= least[0] && f->sent <= most[0] + side, "%" PRIu64, f->sent);
    if (!mpmc && found->behind[0])
        cr_assert_eq(f->sent, found->behind[0]);
    cr_assert(f->received >= least[1] && f->received <= most[1], "%" PRIu64, f->received);
    cr_assert_eq(f->sent - f->received, found->messages);
    cr_assert_eq(f->sent_bytes - f->received_bytes, found->bytes);
    cr_assert(f->high_water <= (mpmc ? MPMC_MESSAGES : SPSC_BYTES));
    if (!mpmc) {
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
    cr_assert(held >= again && held <= again + 2 * side, "%" PRIu64 " blocks, %" PRIu64 " messages",
              held, again);
    cr_assert(found->again >= again && f->high_water >= f->depth);
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
        shmring_t *q = mpmc ? test_create_mpmc(name, SHMRING_OBSERVER, MPMC_MESSAGES, LONGEST)
                            : test_create(name, SHMRING_OBSERVER, SPSC_BYTES);
        shmring_close(&q);
        start(children);
        nanosleep(&(struct timespec){.tv_nsec = test_random_below(&random, 3000000)}, NULL);
        stop_and_kill(children, &random);
        for (unsigned i = 0; i < 2 * side; i++)
            killed += children[i].killed;

        const struct figures f = of_stat();
        /* Before it was killed, a participant may have recovered one that was killed earlier. */
        const unsigned dead = killed - (unsigned)f.recovered, stopped = 2 * side - killed;
        check_text(&f, dead, stopped);
        check_ls(&f, dead, stopped);
        check_openmetrics(&f, dead, stopped);
        check_top(&f, dead, stopped);
        const uint64_t held = check_who(&f, dead, stopped);
        for (unsigned i = 0; i < 2 * side; i++)
            if (!children[i].killed)
                test_kill(children[i].pid);
        const struct found found = drain();
        check_truth(&f, &found);
        if (mpmc)
            check_held(&f, &found, held);
        cr_assert_eq(shmring_unlink(name), 0);
    }
    munmap(diary, sizeof *diary);
}

Test(figures, spsc)
{
    side = 1;
    kill_at_random();
}

Test(figures, mpmc)
{
    mpmc = true;
    side = SIDE;
    kill_at_random();
}
