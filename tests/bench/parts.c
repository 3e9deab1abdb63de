/* SPDX-License-Identifier: MIT */
/* The parts of shmring-bench: what they must notice when a transport goes wrong. */
#include <config.h>

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/broadcast.h"
#include "bench/many.h"
#include "bench/report.h"
#include "bench/stopped.h"
#include "bench/ticks.h"
#include "bench/transports/fd.h"
#include "bench/transports/shmring_ends.h"
#include "bench/workers.h"

enum { LONGEST = PAYLOAD_MEDIUM + 40 };

Test(bench_parts, payload_fills_every_byte_and_no_more)
{
    unsigned char a[LONGEST + 1], b[LONGEST + 1];
    payload_init();
    for (size_t size = 1; size <= LONGEST; size++) {
        memset(a, 0x00, sizeof a);
        memset(b, 0xff, sizeof b);
        payload_fill(a, size, 77);
        payload_fill(b, size, 77);
        cr_assert_eq(memcmp(a, b, size), 0, "size %zu", size);
        cr_assert(a[size] == 0x00 && b[size] == 0xff, "size %zu", size);
        cr_assert_eq(payload_check(a, size, 77), 0);
        cr_assert_neq(payload_check(a, size, 78), 0);
    }
}

Test(bench_parts, payload_check_sees_every_flipped_bit)
{
    unsigned char a[LONGEST];
    payload_init();
    for (size_t size = 1; size <= LONGEST; size++) {
        payload_fill(a, size, 1u << 20);
        for (size_t bit = 0; bit < size * 8; bit++) {
            a[bit / 8] ^= (unsigned char)(1u << bit % 8);
            cr_assert_neq(payload_check(a, size, 1u << 20), 0, "size %zu, bit %zu", size, bit);
            a[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
    }
}

Test(bench_parts, histogram_knows_values_to_one_per_cent)
{
    struct histogram *h = malloc(sizeof *h);
    for (uint64_t value = 1; value < UINT64_C(1) << 41; value += value / 3 + 1) {
        histogram_reset(h);
        histogram_record(h, 1);
        histogram_record(h, value);
        histogram_record(h, UINT64_C(1) << 41);
        double found = (double)histogram_quantile(h, 0.6);
        cr_assert_leq(found, (double)value * 1.01);
        cr_assert_geq(found, (double)value * 0.99);
    }
    free(h);
}

Test(bench_parts, histogram_quantiles_are_those_of_the_samples)
{
    struct histogram *h = malloc(sizeof *h), *sum = malloc(sizeof *sum);
    histogram_reset(h);
    histogram_reset(sum);
    cr_assert_eq(histogram_quantile(h, 0.5), 0);
    for (uint64_t value = 1; value <= 100; value++)
        histogram_record(h, value);
    histogram_add(sum, h);
    histogram_add(sum, h);
    cr_assert_eq(sum->samples, 200);
    cr_assert_eq(sum->min, 1);
    cr_assert_eq(sum->max, 100);
    cr_assert_eq(histogram_quantile(sum, 0.5), 50);
    cr_assert_eq(histogram_quantile(sum, 0.99), 99);
    cr_assert_eq(histogram_quantile(sum, 1), 100);
    histogram_record(sum, UINT64_MAX);
    cr_assert_eq(sum->max, UINT64_MAX);
    free(h);
    free(sum);
}

Test(bench_parts, transports_are_named_by_glob_group_and_all)
{
    cr_assert(transport_matches(&pipe_transport, "all"));
    cr_assert(transport_matches(&pipe_transport, "pipes"));
    cr_assert(transport_matches(&pipe_transport, "pi*"));
    cr_assert_not(transport_matches(&pipe_transport, "pip"));
    cr_assert_not(transport_matches(&pipe_transport, "sockets"));
}

/* Measure a transport once, for a few milliseconds. */
static struct fate measure_once(const struct transport *t, enum mode mode, struct shared *s)
{
    static struct options o = {
        .rounds = 1, .seconds = 0.002, .timeout = 10, .batch = 4, .capacity = 65536};
    struct cell c = {.transport = t, .mode = mode, .wait = BLOCK, .size = 64};
    static bool ready;
    if (!ready) {
        payload_init();
        ticks_init();
        workers_init();
        ready = true;
    }
    /* a transport that shall time out does so at once; the others have more time than they need */
    o.timeout = strcmp(t->name, "mute") == 0 ? 0.05 : 10;
    cr_assert_eq(workers_run(&c, s, &o), 0);
    return c.fate;
}

static struct fate measure_modes(const struct transport *t)
{
    struct shared *s = workers_map();
    struct fate throughput = measure_once(t, THROUGHPUT, s);
    struct fate latency = measure_once(t, LATENCY, s);
    cr_assert_eq(throughput.state, latency.state, "%s: %s, but %s", t->name, throughput.error,
                 latency.error);
    return throughput;
}

Test(bench_parts, a_good_transport_is_measured)
{
    struct shared *s = workers_map();
    cr_assert_eq(measure_once(&pipe_transport, THROUGHPUT, s).state, DONE);
    cr_assert_gt(s->messages, 0);
    cr_assert_eq(s->lost, 0);
    cr_assert_gt(s->seconds, 0);
    cr_assert_gt(s->probe_ns[0], 0);
    cr_assert_gt(s->probe_ns[1], 0);
    cr_assert_eq(measure_once(&pipe_transport, LATENCY, s).state, DONE);
    cr_assert_gt(s->histogram.samples, 0);
    cr_assert_leq(s->histogram.min, s->histogram.max);
}

/* A sender that sleeps before its first message, for longer than the measurement lasts. */
static long send_late(struct link *l, uint64_t seq, long n)
{
    if (seq == 0)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    return pipe_transport.send(l, seq, n);
}

Test(bench_parts, a_sender_that_comes_late_is_measured_all_the_same)
{
    struct shared *s = workers_map();
    struct transport t = pipe_transport;
    t.send = send_late;
    cr_assert_eq(measure_once(&t, THROUGHPUT, s).state, DONE);
    cr_assert_gt(s->seconds, 0.0019, "a rate of %g seconds", s->seconds);
}

/* A transport that changes one bit of message 1. */
static long send_wrong(struct link *l, uint64_t seq, long n)
{
    for (long i = 0; i < n; i++, seq++) {
        payload_fill(l->buffer, l->size, seq);
        l->buffer[l->size - 1] ^= (unsigned char)(seq == 1);
        if (write(l->out, l->buffer, l->size) != (ssize_t)l->size)
            return link_errno(l, "write");
    }
    return n;
}

Test(bench_parts, a_wrong_message_is_a_failure)
{
    struct transport t = pipe_transport;
    t.send = send_wrong;
    struct fate fate = measure_modes(&t);
    cr_assert_eq(fate.state, FAILED);
    cr_assert(strstr(fate.error, "message 1 came with other content"), "%s", fate.error);
}

/* A transport that delivers message 0 again in place of message 1. */
static long send_twice(struct link *l, uint64_t seq, long n)
{
    for (long i = 0; i < n; i++, seq++) {
        payload_fill(l->buffer, l->size, seq - (seq == 1));
        if (write(l->out, l->buffer, l->size) != (ssize_t)l->size)
            return link_errno(l, "write");
    }
    return n;
}

Test(bench_parts, a_message_out_of_turn_is_a_failure)
{
    struct transport t = pipe_transport;
    t.send = send_twice;
    struct fate fate = measure_modes(&t);
    cr_assert_eq(fate.state, FAILED);
    cr_assert(strstr(fate.error, "message 1 came with other content"), "%s", fate.error);
}

/* A transport whose packets are a byte short. */
static long send_short(struct link *l, uint64_t seq, long n)
{
    for (long i = 0; i < n; i++, seq++) {
        payload_fill(l->buffer, l->size, seq);
        if (write(l->out, l->buffer, l->size - 1) < 0)
            return link_errno(l, "write");
    }
    return n;
}

Test(bench_parts, a_message_of_another_length_is_a_failure)
{
    struct transport t = unix_seqpacket_transport;
    t.send = send_short;
    struct fate fate = measure_modes(&t);
    cr_assert_eq(fate.state, FAILED);
    cr_assert(strstr(fate.error, "63 bytes, not 64"), "%s", fate.error);
}

/* A transport that delivers no message. */
static long send_nothing(struct link *l, uint64_t seq, long n)
{
    (void)l, (void)seq;
    return n;
}

Test(bench_parts, a_transport_that_hangs_times_out)
{
    struct transport t = pipe_transport;
    t.name = "mute";
    t.send = send_nothing;
    struct fate fate = measure_modes(&t);
    cr_assert_eq(fate.state, FAILED);
    cr_assert(strstr(fate.error, "timed out after"), "%s", fate.error);
    cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1, "a process is left");
}

static long send_and_die(struct link *l, uint64_t seq, long n)
{
    (void)l, (void)seq, (void)n;
    signal(SIGTERM, SIG_DFL);
    raise(SIGTERM);
    return -1;
}

Test(bench_parts, a_process_that_dies_is_a_failure)
{
    struct transport t = pipe_transport;
    t.send = send_and_die;
    struct fate fate = measure_modes(&t);
    cr_assert_eq(fate.state, FAILED);
    cr_assert(strstr(fate.error, "process died: Terminated"), "%s", fate.error);
    cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1, "a process is left");
}

static int open_not_here(struct link *l)
{
    return link_skip(l, "not on this machine");
}

Test(bench_parts, a_transport_that_does_not_exist_is_skipped)
{
    struct transport t = pipe_transport;
    t.open = open_not_here;
    struct fate fate = measure_modes(&t);
    cr_assert_eq(fate.state, SKIPPED);
    cr_assert_str_eq(fate.error, "not on this machine");
}

/* A transport that loses every third datagram, and the last ones. */
static long send_some(struct link *l, uint64_t seq, long n)
{
    for (long i = 0; i < n; i++, seq++) {
        payload_fill(l->buffer, l->size, seq);
        if (seq % 3 != 0 && write(l->out, l->buffer, l->size) < 0)
            return link_errno(l, "write");
    }
    return n;
}

Test(bench_parts, lost_messages_are_counted)
{
    struct shared *s = workers_map();
    struct transport t = udp_transport;
    t.send = send_some;
    struct fate fate = measure_once(&t, THROUGHPUT, s);
    if (fate.state == SKIPPED)
        cr_skip_test("%s", fate.error);
    cr_assert_eq(fate.state, DONE, "%s", fate.error);
    cr_assert_geq(s->lost, (s->messages + s->lost) / 3);
}

/* What the table says of a pair whose processes used this many processors. */
static char *said_of(double processors, enum wait wait)
{
    static char said[8192];
    const struct options o = {.rounds = 1, .sizes = {8}, .cpus = {0, 1}};
    struct round round = {.number = 1, .metric = {[M_MESSAGES] = 1, [M_CPU] = processors}};
    struct cell c = {.transport = &pipe_transport,
                     .mode = THROUGHPUT,
                     .wait = wait,
                     .size = 8,
                     .rounds = &round,
                     .n_rounds = 1,
                     .fate = {.state = DONE}};
    FILE *to = tmpfile();
    fflush(stdout);
    dup2(fileno(to), STDOUT_FILENO);
    report_table(&(struct results){.options = &o, .cells = &c, .n_cells = 1});
    fflush(stdout);
    rewind(to);
    said[fread(said, 1, sizeof said - 1, to)] = '\0';
    fclose(to);
    return said;
}

Test(bench_parts, figures_of_a_busy_machine_are_called_so)
{
    cr_assert(strstr(said_of(0.5, SPIN), "Other work ran"));
    cr_assert_not(strstr(said_of(1.99, SPIN), "Other work ran"));
    cr_assert_not(strstr(said_of(0.5, BLOCK), "Other work ran"));
}

Test(bench_parts, a_round_without_samples_has_no_figures)
{
    struct shared *s = workers_map();
    struct round round;
    struct histogram *h = malloc(sizeof *h);
    struct cell c = {
        .transport = &udp_transport, .mode = ONE_WAY, .rounds = &round, .histogram = h};
    histogram_reset(h);
    histogram_reset(&s->histogram);
    s->lost = 7;
    results_add(&c, s, 1);
    cr_assert_eq(round.lost, 7);
    for (int m = 0; m < METRICS; m++)
        cr_assert(round.metric[m] == 0, "%s is %g", metric_names[m], round.metric[m]);
    free(h);
}

/* Note round k of the cell: its metric is k, and its probes are these. */
static void add_round(struct cell *c, double value, double before, double after)
{
    struct round *r = &c->rounds[c->n_rounds++];
    r->metric[M_MESSAGES] = value;
    r->probe_ns[0] = before;
    r->probe_ns[1] = after;
}

Test(bench_parts, medians_and_placements)
{
    struct round rounds[4] = {0};
    struct cell c = {.transport = &pipe_transport, .rounds = rounds};
    struct results r = {.cells = &c, .n_cells = 1};
    add_round(&c, 3, 100, 110);
    add_round(&c, 9, 100, 500);
    add_round(&c, 1, 500, 480);
    struct spread s = cell_spread(&c, M_MESSAGES);
    cr_assert(s.median == 3 && s.low == 1 && s.high == 9);
    add_round(&c, 5, 110, 149);
    cr_assert(cell_spread(&c, M_MESSAGES).median == 4);
    results_classify(&r);
    cr_assert(r.near_limit_ns == 150);
    cr_assert_eq(rounds[0].placement, NEAR);
    cr_assert_eq(rounds[1].placement, MIXED);
    cr_assert_eq(rounds[2].placement, FAR);
    cr_assert_eq(rounds[3].placement, NEAR);
    cr_assert_eq(cell_count(&c, NEAR), 2);
    for (int i = 0; i < 4; i++)
        rounds[i].probe_ns[0] = rounds[i].probe_ns[1] = 300 + i;
    results_classify(&r);
    cr_assert_eq(cell_count(&c, FAR), 4, "a run may be far all the time");
}

/* Producer 0 sent three messages. Compare with what two consumers have received. */
static struct fate verify_but(const struct tally got[2], uint64_t unsure)
{
    static const struct crew crew = {1, 2, 0};
    struct shared *s = workers_map();
    struct fate fate = {.state = DONE};
    s->member[0].tally[0] = (struct tally){3, 60};
    s->member[1].tally[0] = got[0];
    s->member[2].tally[0] = got[1];
    many_verify(s, crew, unsure, &fate);
    return fate;
}

static struct fate verify(const struct tally got[2])
{
    return verify_but(got, 0);
}

Test(bench_parts, many_notices_what_was_lost_or_came_twice)
{
    cr_assert_eq(verify((struct tally[]){{1, 10}, {2, 50}}).state, DONE);
    struct fate lost = verify((struct tally[]){{1, 10}, {1, 20}});
    cr_assert_eq(lost.state, FAILED);
    cr_assert_str_eq(lost.error, "producer 0 sent 3 messages, 2 of them arrived");
    cr_assert_eq(verify((struct tally[]){{1, 10}, {3, 70}}).state, FAILED);
    cr_assert_eq(verify_but((struct tally[]){{1, 10}, {1, 20}}, 1).state, DONE, "one may be lost");
    cr_assert_eq(verify_but((struct tally[]){{1, 10}, {3, 70}}, 1).state, DONE, "or come twice");
    cr_assert_eq(verify_but((struct tally[]){{1, 10}, {0, 0}}, 1).state, FAILED);
    cr_assert_eq(verify_but((struct tally[]){{3, 10}, {2, 70}}, 1).state, FAILED);
    struct fate other = verify((struct tally[]){{1, 10}, {2, 40}});
    cr_assert_str_eq(other.error,
                     "producer 0 sent 3 messages, 3 of them arrived, and not the same");
}

/* The error that the consumer of one producer reports for these words. */
static int consume_words(struct link *l, const uint64_t *words, int n)
{
    const struct shmring_config config = {.kind = SHMRING_MPMC,
                                          .flags = SHMRING_PRODUCER | SHMRING_CONSUMER,
                                          .capacity = 8,
                                          .max_message = 8};
    static uint64_t buffer;
    struct shared *s = workers_map();
    struct shmring_ends ends = {.in = NULL};
    const struct plan plan = {.mode = MANY}; /* the measurement is over as soon as it begins */
    *l = (struct link){.transport = &shmring_mpmc_transport,
                       .size = 8,
                       .crew = {1, 1, 0},
                       .batch = 1,
                       .buffer = (unsigned char *)&buffer,
                       .state = &ends,
                       .member = 1};
    cr_assert_eq(shmring_create(&ends.in, "memfd:bench", &config), 0);
    for (int i = 0; i < n; i++)
        cr_assert_eq(shmring_send(ends.in, &words[i], sizeof words[i]), 0);
    int result = many_run(l, s, &plan);
    shmring_close(&ends.in);
    return result;
}

Test(bench_parts, many_notices_a_wrong_order)
{
    struct link l;
    ticks_init();
    cr_assert_eq(consume_words(&l, (uint64_t[]){0, 1, 3}, 3), 0, "%s", l.error);
    cr_assert_eq(consume_words(&l, (uint64_t[]){0, 2, 1}, 3), -1);
    cr_assert_str_eq(l.error, "message 1 of producer 0 came after its message 2");
    cr_assert_eq(consume_words(&l, (uint64_t[]){0, 0}, 2), -1);
    cr_assert_str_eq(l.error, "message 0 of producer 0 came after its message 0");
    cr_assert_eq(consume_words(&l, (uint64_t[]){UINT64_C(1) << 48}, 1), -1);
    cr_assert(strstr(l.error, "no producer sent"), "%s", l.error);
}

/* A broadcast consumer's transport that gives these numbers, and says that it missed `told`. */
static struct script {
    const uint64_t *numbers;
    int left;
    uint64_t told;
    bool torn; /* the last message has another content */
} script;

static long recv_script(struct link *l, void *message, long n)
{
    (void)n;
    if (script.left == 0)
        return 0;
    payload_fill(message, l->size, *script.numbers++);
    if (--script.left == 0 && script.torn)
        ((unsigned char *)message)[l->size - 1] ^= 1;
    return 1;
}

static int missed_script(struct link *l, uint64_t *messages)
{
    (void)l;
    *messages = script.told;
    return 0;
}

/* What the consumer of `total` messages reports. */
static int broadcast_consume(struct link *l, unsigned flags, uint64_t total, struct script s)
{
    static uint64_t buffer[2];
    const struct transport t = {.flags = flags, .try_recv = recv_script, .missed = missed_script};
    struct shared *shared = workers_map();
    const struct plan plan = {.mode = BROADCAST};
    script = s;
    *l = (struct link){.transport = &t,
                       .size = sizeof buffer,
                       .crew = {1, 1, 0},
                       .batch = 1,
                       .buffer = (unsigned char *)buffer,
                       .member = 1};
    atomic_store(&shared->total, total);
    return broadcast_run(l, shared, &plan);
}

Test(bench_parts, broadcast_counts_what_a_consumer_missed, .init = ticks_init)
{
    static const uint64_t all[] = {0, 1, 2, 3}, gap[] = {0, 3}, twice[] = {0, 1, 1};
    struct link l;
    cr_assert_eq(broadcast_consume(&l, 0, 4, (struct script){all, 4, 0, false}), 0, "%s", l.error);
    cr_assert_eq(broadcast_consume(&l, 0, 4, (struct script){gap, 2, 2, false}), -1);
    cr_assert_str_eq(l.error, "message 3 came, and 1 did not");
    cr_assert_eq(broadcast_consume(&l, 0, 4, (struct script){twice, 3, 0, false}), -1);
    cr_assert_str_eq(l.error, "message 1 came after message 1");
    cr_assert_eq(broadcast_consume(&l, 0, 4, (struct script){all, 4, 0, true}), -1);
    cr_assert(strstr(l.error, "message 3 came with other content"), "%s", l.error);
    cr_assert_eq(broadcast_consume(&l, IS_LOSSY, 4, (struct script){gap, 2, 2, false}), 0, "%s",
                 l.error);
    cr_assert_eq(broadcast_consume(&l, IS_LOSSY, 4, (struct script){gap, 2, 1, false}), -1);
    cr_assert_str_eq(l.error, "of 4 messages came 2, 2 are missing; the transport says 1");
    /* The last messages never come: the consumer has waited for them. */
    cr_assert_eq(broadcast_consume(&l, IS_LOSSY, 6, (struct script){gap, 2, 4, false}), 0, "%s",
                 l.error);
}

/* The parent's part of --mode stopped, with a process that does not end. */
Test(bench_parts, a_process_that_does_not_end_is_noticed)
{
    static const struct crew crew = {2, 2, 0};
    const struct plan plan = {.mode = STOPPED, .seconds = 0.001, .harm = CONSUMER_STOPPED};
    struct shared *s = workers_map();
    struct stopped t;
    pid_t worker[CREW_MAX] = {0};
    double wait;
    ticks_init();
    stopped_init(&t, crew, &plan);
    cr_assert_eq(t.victim, 3);
    cr_assert_gt(stopped_step(&t, worker[t.victim], s), 0, "they have not begun");
    cr_assert_eq(t.phase, STARTING);
    worker[3] = fork();
    if (worker[3] == 0)
        for (;;)
            pause();
    atomic_store(&s->begin, ticks_now());
    while ((wait = stopped_step(&t, worker[t.victim], s)) >= 0) {
        if (t.phase == DURING)
            s->member[2].tally[1].messages = 1000;
        usleep((useconds_t)(wait * 1e6) + 1);
    }
    cr_assert(s->hangs);
    cr_assert(s->others[0] == 0 && s->others[1] > 0 && s->others[2] == 0);
    cr_assert_eq(kill(worker[3], SIGKILL), 0);
    cr_assert_eq(waitpid(worker[3], NULL, 0), worker[3]);
}

Test(bench_parts, link_slots_hold_the_capacity)
{
    const struct link bytes = {.capacity = 4096}, messages = {.capacity = 4096, .messages = 64};
    cr_assert_eq(link_slots(&bytes, 64), 64);
    cr_assert_eq(link_slots(&bytes, 65), 64);
    cr_assert_eq(link_slots(&bytes, 4096), 8);
    cr_assert_eq(link_slots(&messages, 1), 64);
}

Test(bench_parts, shares_are_parts_of_the_equal_share)
{
    struct shared *s = workers_map();
    struct round round;
    struct cell c = {
        .transport = &shmring_mpmc_transport, .mode = MANY, .crew = {1, 2, 0}, .rounds = &round};
    s->seconds = 1e-6;
    s->member[0].counted = 11;
    s->member[1].counted = 2;
    s->member[2].counted = 6;
    results_add(&c, s, 1);
    cr_assert_eq(round.messages, 8, "what arrived");
    cr_assert(round.metric[M_MESSAGES] == 8);
    cr_assert(round.share[0] == 1 && round.share[1] == 0.5 && round.share[2] == 1.5);
    cr_assert(round.metric[M_PRODUCER_LOW] == 1 && round.metric[M_PRODUCER_HIGH] == 1);
    cr_assert(round.metric[M_CONSUMER_LOW] == 0.5 && round.metric[M_CONSUMER_HIGH] == 1.5);
}
