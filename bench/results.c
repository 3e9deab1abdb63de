/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "results.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broadcast.h"
#include "many.h"
#include "ticks.h"

const char *const mode_names[MODES] = {
    "throughput",           "latency",           "one-way",        "mpmc",
    "uncontended",          "capacity",          "participants",   "stopped",
    "broadcast-throughput", "broadcast-latency", "broadcast-slow", "broadcast-asleep"};
const char *const harm_names[HARMS] = {"producer stopped", "consumer stopped", "producer killed",
                                       "consumer killed"};
const char *const wait_names[WAITS] = {"spin", "block", "yield"};
const char *const wait_words[WAITS] = {"spinning", "blocking", "spinning, then yielding"};
const char *const placement_names[] = {"near", "far", "mixed"};
const char *const metric_names[METRICS] = {"million_messages_per_s",
                                           "million_bytes_per_s",
                                           "p50_ns",
                                           "p90_ns",
                                           "p99_ns",
                                           "p99_9_ns",
                                           "min_ns",
                                           "max_ns",
                                           "mean_ns",
                                           "producer_share_min",
                                           "producer_share_max",
                                           "consumer_share_min",
                                           "consumer_share_max",
                                           "pair_ns",
                                           "compare_exchange_ns",
                                           "cpus_busy",
                                           "message_ns",
                                           "others_before_million_per_s",
                                           "others_during_million_per_s",
                                           "others_after_million_per_s",
                                           "others_kept",
                                           "hangs",
                                           "producer_million_per_s",
                                           "consumer_million_per_s",
                                           "consumer_million_per_s_min",
                                           "consumer_million_per_s_max",
                                           "missed_share",
                                           "missed_share_max",
                                           "first_p50_ns",
                                           "first_p99_ns",
                                           "send_ns"};

bool mode_is_latency(enum mode mode)
{
    return mode == LATENCY || mode == ONE_WAY || mode == BROADCAST_LATENCY;
}

bool mode_is_many(enum mode mode)
{
    return mode == MANY || mode == PARTICIPANTS || mode == STOPPED;
}

enum metric mode_metric(enum mode mode)
{
    switch (mode) {
    case ALONE:
        return M_PAIR;
    case CAPACITY:
    case PARTICIPANTS:
        return M_MESSAGE_NS;
    case STOPPED:
        return M_KEPT;
    case BROADCAST:
        return M_SENT;
    case BROADCAST_SLOW:
        return M_MISSED;
    case BROADCAST_ASLEEP:
        return M_SEND_NS;
    default:
        return mode_is_latency(mode) ? M_P50 : M_MESSAGES;
    }
}

bool mode_has_metric(enum mode mode, enum metric m)
{
    if (m <= M_BYTES)
        return mode == THROUGHPUT || mode == MANY || mode == CAPACITY || mode == PARTICIPANTS;
    if (m <= M_MEAN)
        return mode_is_latency(mode);
    if (m <= M_CONSUMER_HIGH)
        return mode == MANY;
    if (m < M_CPU)
        return mode == ALONE;
    if (m == M_CPU)
        return mode != ALONE && mode != STOPPED;
    if (m <= M_MESSAGE_NS)
        return mode == CAPACITY || mode == PARTICIPANTS;
    if (m <= M_HANGS)
        return mode == STOPPED;
    if (m <= M_MISSED_HIGH)
        return mode == BROADCAST || mode == BROADCAST_SLOW;
    return m == M_SEND_NS ? mode == BROADCAST_ASLEEP : mode == BROADCAST_LATENCY;
}

/* BROADCAST_ASLEEP: how many subscribers there are. */
static const int sleepers[] = {0, 1, 16, SUBSCRIBERS_MAX};

static void *allocate(size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (!p) {
        perror("shmring-bench");
        exit(EXIT_FAILED);
    }
    return p;
}

static bool wanted(const struct options *o, const struct transport *t)
{
    if (!o->patterns[0]) /* without patterns: the transports that need no other library */
        return strcmp(t->group, "peers") != 0;
    for (int i = 0; o->patterns[i]; i++)
        if (transport_matches(t, o->patterns[i]))
            return true;
    return false;
}

/* Can the transport be measured in this mode? */
static bool suits(const struct transport *t, enum mode mode)
{
    if (mode_is_broadcast(mode) || t->flags & IS_BROADCAST)
        return mode_is_broadcast(mode) && t->flags & IS_BROADCAST;
    switch (mode) {
    case THROUGHPUT:
        return !(t->flags & ONLY_ROUND_TRIP);
    case LATENCY:
        return !(t->flags & IS_BATCH);
    case ONE_WAY:
        return !(t->flags & (IS_BATCH | ONLY_ROUND_TRIP));
    case MANY:
        return t->flags & IS_MANY;
    case PARTICIPANTS:
        return (t->flags & (IS_MANY | IS_BATCH)) == IS_MANY;
    case STOPPED: /* threads die together */
        return (t->flags & (IS_MANY | IS_BATCH | IN_ONE_PROCESS)) == IS_MANY;
    case CAPACITY:
        return (t->flags & (HAS_CAPACITY | IS_BATCH | ONLY_ROUND_TRIP)) == HAS_CAPACITY;
    default:
        return t->flags & CAN_BE_ALONE;
    }
}

static struct cell *plan_cell(struct results *r, const struct transport *t, enum mode mode,
                              enum wait wait, size_t size, struct crew crew)
{
    struct cell *c = &r->cells[r->n_cells++];
    c->transport = t;
    c->mode = mode;
    c->wait = wait;
    c->crew = crew;
    c->size = size;
    c->rate = r->options->rate;
    c->rounds = allocate((size_t)r->options->rounds, sizeof *c->rounds);
    if (mode_is_latency(mode)) {
        c->histogram = allocate(1, sizeof *c->histogram);
        histogram_reset(c->histogram);
    }
    if (!(t->flags & (wait == BLOCK ? CAN_BLOCK : CAN_SPIN))) {
        c->fate.state = SKIPPED;
        snprintf(c->fate.error, sizeof c->fate.error, "cannot %s", wait_names[wait]);
    } else if (mode == BROADCAST_ASLEEP && !(t->flags & IS_LOSSY)) {
        c->fate.state = SKIPPED;
        snprintf(c->fate.error, sizeof c->fate.error,
                 "a subscriber that receives nothing holds it up");
    } else if (mode_is_broadcast(mode) && size < BROADCAST_SIZE_MIN) {
        c->fate.state = SKIPPED;
        snprintf(c->fate.error, sizeof c->fate.error, "a message has no room for its number");
    } else if (mode_is_many(mode) && size < MANY_SIZE_MIN) {
        c->fate.state = SKIPPED;
        snprintf(c->fate.error, sizeof c->fate.error, "a message has no room for its producer");
    }
    return c;
}

/* How many tables --mode broadcast makes of a part, a way to wait and a size. */
static int broadcast_tables(const struct options *o, enum mode mode)
{
    return mode == BROADCAST_SLOW     ? o->n_speeds
           : mode == BROADCAST_ASLEEP ? (int)(sizeof sleepers / sizeof *sleepers)
                                      : o->n_consumers;
}

/* The k-th of them: all transports beside each other. */
static void plan_broadcast(struct results *r, enum mode mode, enum wait wait, size_t size, int k)
{
    const struct options *o = r->options;
    struct crew crew = {1, 1, 0};
    if (mode == BROADCAST_ASLEEP)
        crew = (struct crew){1, 0, sleepers[k]};
    else if (mode != BROADCAST_SLOW)
        crew.consumers = o->consumers[k];
    /* Consumers that share a processor do not spin only: they yield. */
    if (wait != BLOCK && (wait == YIELD) != (crew.consumers > 1))
        return;
    for (int i = 0; transports[i]; i++) {
        if (!wanted(o, transports[i]) || !suits(transports[i], mode))
            continue;
        struct cell *c = plan_cell(r, transports[i], mode, wait, size, crew);
        if (mode == BROADCAST_LATENCY && c->rate == 0.0)
            c->rate = BROADCAST_LATENCY_RATE;
        if (mode == BROADCAST_SLOW && c->rate == 0.0)
            c->rate = BROADCAST_SLOW_RATE;
        if (mode == BROADCAST_SLOW)
            c->speed = (double)o->speeds[k];
    }
}

/* The cells of one transport in one table. */
static void plan_transport(struct results *r, const struct transport *t, enum mode mode,
                           enum wait wait, size_t size)
{
    const struct options *o = r->options;
    switch (mode) {
    case MANY:
        for (int k = 0; k < o->n_configs; k++)
            plan_cell(r, t, mode, wait, size, o->configs[k]);
        break;
    case CAPACITY:
        for (int bits = CAPACITY_BITS_MIN; bits <= CAPACITY_BITS_MAX; bits += CAPACITY_BITS_STEP)
            plan_cell(r, t, mode, wait, size, (struct crew){0})->messages = (size_t)1 << bits;
        break;
    case PARTICIPANTS:
        for (int n = 2; n <= CREW_MAX; n *= 2)
            plan_cell(r, t, mode, wait, size, (struct crew){1, 1, n - 2});
        break;
    case STOPPED:
        for (int harm = 0; harm < HARMS; harm++)
            plan_cell(r, t, mode, wait, size, (struct crew){2, 2, 0})->harm = (enum harm)harm;
        break;
    default:
        plan_cell(r, t, mode, wait, size, (struct crew){0});
    }
}

/* One table, or in --mode broadcast some: all transports in one mode, waiting one way, at one
 * size. */
static void plan_table(struct results *r, enum mode mode, enum wait wait, int size)
{
    const struct options *o = r->options;
    if (mode_is_broadcast(mode)) {
        for (int k = 0; k < broadcast_tables(o, mode); k++)
            plan_broadcast(r, mode, wait, o->sizes[size], k);
        return;
    }
    for (int i = 0; transports[i]; i++) {
        const struct transport *t = transports[i];
        if (!wanted(o, t) || !suits(t, mode))
            continue;
        if (!(t->flags & IS_SIGNAL))
            plan_transport(r, t, mode, wait, o->sizes[size]);
        else if (size == 0)
            plan_cell(r, t, mode, wait, 0, (struct crew){0});
    }
}

static bool waits_so(const struct options *o, enum mode mode, enum wait wait)
{
    switch (mode) {
    case MANY:
        return wait == BLOCK ? o->block : o->spin && (wait == SPIN ? o->many_spin : o->many_yield);
    case ALONE: /* mode ALONE never waits */
    case CAPACITY:
    case PARTICIPANTS:
        return wait == SPIN;
    case STOPPED: /* more processes than CPUs */
        return wait == YIELD;
    case BROADCAST:
    case BROADCAST_LATENCY:
        return wait == BLOCK ? o->block : o->spin;
    case BROADCAST_SLOW: /* what takes the time is not the waiting */
    case BROADCAST_ASLEEP:
        return wait == SPIN;
    default:
        return wait == SPIN ? o->spin : wait == BLOCK && o->block;
    }
}

void results_plan(struct results *r, const struct options *o, const struct machine *machine)
{
    const bool modes[MODES] = {o->throughput,
                               o->latency && o->rate == 0.0,
                               o->latency && o->rate > 0,
                               o->many,
                               o->alone,
                               o->by_capacity,
                               o->participants,
                               o->stopped,
                               o->broadcast[BROADCAST - BROADCAST],
                               o->broadcast[BROADCAST_LATENCY - BROADCAST],
                               o->broadcast[BROADCAST_SLOW - BROADCAST],
                               o->broadcast[BROADCAST_ASLEEP - BROADCAST]};
    int n = 0;
    while (transports[n])
        n++;
    *r = (struct results){.options = o, .machine = machine};
    r->cells =
        allocate((size_t)(n * o->n_sizes * (MODES + 4 * CONFIGS_MAX) * WAITS), sizeof *r->cells);
    for (int mode = 0; mode < MODES; mode++)
        for (int wait = 0; wait < WAITS; wait++)
            for (int size = 0;
                 size < o->n_sizes && modes[mode] && waits_so(o, (enum mode)mode, (enum wait)wait);
                 size++)
                plan_table(r, (enum mode)mode, (enum wait)wait, size);
}

void results_free(struct results *r)
{
    for (int i = 0; i < r->n_cells; i++) {
        free(r->cells[i].rounds);
        free(r->cells[i].histogram);
    }
    free(r->cells);
}

/* Add the messages of each of n members, in parts of the equal share. Returns the messages of
 * all. */
static uint64_t add_shares(const struct member *members, int n, double *share, double *low,
                           double *high)
{
    uint64_t all = 0;
    for (int i = 0; i < n; i++)
        all += members[i].counted;
    for (int i = 0; i < n; i++) {
        share[i] = all > 0 ? (double)members[i].counted * n / (double)all : 0;
        *low = i == 0 || share[i] < *low ? share[i] : *low;
        *high = i == 0 || share[i] > *high ? share[i] : *high;
    }
    return all;
}

static void add_many(struct round *to, const struct cell *c, const struct shared *s)
{
    const int producers = c->crew.producers;
    double *m = to->metric;
    add_shares(s->member, producers, to->share, &m[M_PRODUCER_LOW], &m[M_PRODUCER_HIGH]);
    to->messages = add_shares(s->member + producers, c->crew.consumers, to->share + producers,
                              &m[M_CONSUMER_LOW], &m[M_CONSUMER_HIGH]);
}

/* What one producer and its consumers did. */
static void add_broadcast(struct round *to, const struct cell *c, const struct shared *s)
{
    const double sent = (double)s->member[0].counted, in_millions = 1 / s->seconds / 1e6;
    const int n = c->crew.consumers;
    double *m = to->metric;
    m[M_SENT] = sent * in_millions;
    if (c->mode == BROADCAST_ASLEEP) {
        to->messages = s->member[0].counted;
        m[M_SEND_NS] = sent > 0 ? 1e9 * s->seconds / sent : 0;
        return;
    }
    for (int i = 0; i < n; i++) {
        const struct member *member = &s->member[1 + i];
        const uint64_t all = member->counted + member->missed;
        const double received = (double)member->counted * in_millions;
        const double missed = all > 0 ? (double)member->missed / (double)all : 0;
        to->messages += member->counted;
        to->lost += member->missed;
        to->received[i] = received;
        to->missed[i] = missed;
        m[M_RECEIVED] += received / n;
        m[M_RECEIVED_LOW] = i == 0 || received < m[M_RECEIVED_LOW] ? received : m[M_RECEIVED_LOW];
        m[M_RECEIVED_HIGH] = received > m[M_RECEIVED_HIGH] ? received : m[M_RECEIVED_HIGH];
        m[M_MISSED] += missed / n;
        m[M_MISSED_HIGH] = missed > m[M_MISSED_HIGH] ? missed : m[M_MISSED_HIGH];
    }
}

/* The quantiles of the time until the first consumer had a message; leaves those until the last one
 * had it in the histogram. */
static void add_arrivals(struct round *to, const struct cell *c, struct histogram *last)
{
    static struct histogram first; /* too large for a stack */
    broadcast_arrivals(c->crew, &first, last);
    to->metric[M_FIRST_P50] = ticks_to_ns(histogram_quantile(&first, 0.5));
    to->metric[M_FIRST_P99] = ticks_to_ns(histogram_quantile(&first, 0.99));
}

static double cpus_busy(const struct cell *c, const struct shared *s)
{
    const int n = cell_processes(c);
    double used = 0, seconds = 0;
    for (int i = 0; i < n; i++) {
        used += s->cpu_seconds[i];
        seconds = s->run_seconds[i] > seconds ? s->run_seconds[i] : seconds;
    }
    return seconds > 0 ? used / seconds : 0;
}

void results_add(struct cell *c, struct shared *s, int round)
{
    static const double quantiles[] = {
        [M_P50] = 0.5, [M_P90] = 0.9, [M_P99] = 0.99, [M_P999] = 0.999};
    struct round *to = &c->rounds[c->n_rounds++];
    *to = (struct round){.number = round, .lost = s->lost, .stuck = c->fate.state == STUCK};
    memcpy(to->probe_ns, s->probe_ns, sizeof to->probe_ns);
    to->messages = s->messages;
    to->metric[M_CPU] = mode_has_metric(c->mode, M_CPU) ? cpus_busy(c, s) : 0;
    if (c->mode == STOPPED) {
        memcpy(&to->metric[M_BEFORE], s->others, sizeof s->others);
        to->metric[M_KEPT] = s->others[0] > 0 ? s->others[1] / s->others[0] : 0;
        to->metric[M_HANGS] = s->hangs;
        return;
    }
    if (mode_is_many(c->mode))
        add_many(to, c, s);
    if (mode_has_metric(c->mode, M_MESSAGES)) {
        to->seconds = s->seconds;
        if (s->seconds > 0) /* 0: all messages may have been lost */
            to->metric[M_MESSAGES] = (double)to->messages / s->seconds / 1e6;
        to->metric[M_BYTES] = to->metric[M_MESSAGES] * (double)c->size;
        if (mode_has_metric(c->mode, M_MESSAGE_NS) && to->metric[M_MESSAGES] > 0)
            to->metric[M_MESSAGE_NS] = 1e3 / to->metric[M_MESSAGES];
        return;
    }
    if (c->mode == ALONE) {
        to->metric[M_PAIR] = s->pair_ns;
        to->metric[M_EXCHANGE] = s->exchange_ns;
        return;
    }
    if (c->mode == BROADCAST_LATENCY)
        add_arrivals(to, c, &s->histogram);
    else if (mode_is_broadcast(c->mode)) {
        to->seconds = s->seconds;
        add_broadcast(to, c, s);
        return;
    }
    const struct histogram *h = &s->histogram;
    to->messages = h->samples;
    if (h->samples == 0) /* all lost */
        return;
    for (enum metric m = M_P50; m <= M_P999; m++)
        to->metric[m] = ticks_to_ns(histogram_quantile(h, quantiles[m]));
    to->metric[M_MIN] = ticks_to_ns(h->min);
    to->metric[M_MAX] = ticks_to_ns(h->max);
    to->metric[M_MEAN] = ticks_to_ns(h->sum) / (double)h->samples;
    histogram_add(c->histogram, h);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts the values. */
static struct spread spread_of(double *values, int n)
{
    if (n == 0)
        return (struct spread){0};
    qsort(values, (size_t)n, sizeof *values, compare);
    return (struct spread){(values[(n - 1) / 2] + values[n / 2]) / 2, values[0], values[n - 1]};
}

struct spread cell_spread(const struct cell *c, enum metric metric)
{
    double *values = allocate((size_t)c->n_rounds + 1, sizeof *values);
    for (int i = 0; i < c->n_rounds; i++)
        values[i] = c->rounds[i].metric[metric];
    struct spread s = spread_of(values, c->n_rounds);
    free(values);
    return s;
}

struct spread cell_probe(const struct cell *c)
{
    double *values = allocate((size_t)c->n_rounds * 2 + 1, sizeof *values);
    for (int i = 0; i < c->n_rounds * 2; i++)
        values[i] = c->rounds[i / 2].probe_ns[i % 2];
    struct spread s = spread_of(values, c->n_rounds * 2);
    free(values);
    return s;
}

const char *cell_label(const struct cell *c, char *to, size_t room)
{
    switch (c->mode) {
    case MANY:
        snprintf(to, room, "%dP%dC", c->crew.producers, c->crew.consumers);
        return to;
    case CAPACITY:
        snprintf(to, room, "%zu messages", c->messages);
        return to;
    case PARTICIPANTS:
        snprintf(to, room, "%d participants", cell_processes(c));
        return to;
    case STOPPED:
        return harm_names[c->harm];
    default:
        return c->transport->name;
    }
}

int cell_processes(const struct cell *c)
{
    if (mode_is_broadcast(c->mode)) /* one of them without any subscriber, for the probe */
        return 1 + c->crew.consumers + c->crew.idle + (c->mode == BROADCAST_ASLEEP);
    return mode_is_many(c->mode) ? c->crew.producers + c->crew.consumers + c->crew.idle : 2;
}

int cell_count(const struct cell *c, enum placement placement)
{
    int n = 0;
    for (int i = 0; i < c->n_rounds; i++)
        n += c->rounds[i].placement == placement;
    return n;
}

uint64_t cell_lost(const struct cell *c, double *share)
{
    uint64_t lost = 0, all = 0;
    for (int i = 0; i < c->n_rounds; i++) {
        lost += c->rounds[i].lost;
        all += c->rounds[i].lost + c->rounds[i].messages;
    }
    *share = all > 0 ? (double)lost / (double)all : 0;
    return lost;
}

void results_classify(struct results *r)
{
    int n = 0, room = 1;
    for (int i = 0; i < r->n_cells; i++)
        room += 2 * r->cells[i].n_rounds;
    double *probes = allocate((size_t)room, sizeof *probes);
    for (int i = 0; i < r->n_cells; i++)
        for (int k = 0; k < 2 * r->cells[i].n_rounds; k++)
            probes[n++] = r->cells[i].rounds[k / 2].probe_ns[k % 2];
    qsort(probes, (size_t)n, sizeof *probes, compare);
    const double low = n > 0 ? probes[n / 10] : 0;
    r->near_limit_ns = low <= (double)NEAR_NS_MAX ? 1.5 * low : (double)NEAR_NS_MAX;
    free(probes);
    for (int i = 0; i < r->n_cells; i++)
        for (int k = 0; k < r->cells[i].n_rounds; k++) {
            struct round *round = &r->cells[i].rounds[k];
            int near =
                (round->probe_ns[0] <= r->near_limit_ns) + (round->probe_ns[1] <= r->near_limit_ns);
            round->placement = near == 2 ? NEAR : near == 1 ? MIXED : FAR;
        }
}

/* Of two cells of the same mode and size: is d what c is compared with? */
static bool is_reference(const struct cell *d, const struct cell *c)
{
    switch (c->mode) {
    case MANY:
        return d->transport == c->transport && d->wait == c->wait && d->crew.producers == 1 &&
               d->crew.consumers == 1;
    case CAPACITY:
        return d->transport == c->transport && d->messages == (size_t)1 << CAPACITY_BITS_MIN;
    case PARTICIPANTS:
        return d->transport == c->transport && d->crew.idle == 0;
    case STOPPED:
        return false;
    case BROADCAST:
    case BROADCAST_LATENCY:
    case BROADCAST_SLOW:
    case BROADCAST_ASLEEP:
        return strcmp(d->transport->name, "shmring-broadcast") == 0 && d->wait == c->wait &&
               d->crew.consumers == c->crew.consumers && d->crew.idle == c->crew.idle &&
               d->speed == c->speed;
    default:
        return strcmp(d->transport->name, "shmring") == 0;
    }
}

const struct cell *results_reference(const struct results *r, const struct cell *c)
{
    const struct cell *found = NULL;
    for (int i = 0; i < r->n_cells; i++) {
        const struct cell *d = &r->cells[i];
        if (d->n_rounds == 0 || d->mode != c->mode ||
            d->size != (c->size > 0 ? c->size : r->options->sizes[0]))
            continue;
        if (!is_reference(d, c))
            continue;
        if (!found || d->wait == c->wait)
            found = d;
    }
    return found;
}

bool results_failed(const struct results *r)
{
    for (int i = 0; i < r->n_cells; i++)
        if (r->cells[i].fate.state == FAILED)
            return true;
    return false;
}
