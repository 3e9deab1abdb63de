/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "report.h"

static const double BUSY_LEAST = 1.8; /* processors */

void report_list(void)
{
    for (int i = 0; transports[i]; i++) {
        const struct transport *t = transports[i];
        printf("%-19s  %-8s  %-5s  %-5s  %s%s%s%s\n", t->name, t->group,
               t->flags & CAN_SPIN ? "spin" : "-", t->flags & CAN_BLOCK ? "block" : "-", t->what,
               t->flags & IN_ONE_PROCESS ? ", in one process" : "",
               t->flags & IS_UNORDERED ? ", in any order among many" : "",
               t->flags & IS_INEXACT ? ", may lose and repeat among many" : "");
    }
    for (const struct absent *a = absent_transports; a->names; a++)
        printf("not built in: %s (Debian: %s)\n", a->names, a->packages);
}

/* About four significant digits, in seven columns. */
static const char *figure(char *to, size_t room, double value)
{
    int decimals = value >= 999.95 ? 0 : value >= 99.995 ? 1 : value >= 9.9995 ? 2 : 3;
    snprintf(to, room, "%.*f", decimals, value);
    return to;
}

static void print_spread(struct spread s, double unit)
{
    char median[32], low[32], high[32];
    printf(" %7s %7s -%7s", figure(median, sizeof median, s.median / unit),
           figure(low, sizeof low, s.low / unit), figure(high, sizeof high, s.high / unit));
}

static void print_time(double ns)
{
    char text[32];
    printf(" %7s", figure(text, sizeof text, ns / 1e3));
}

/* Print value / by, or "-" when one of them is 0. */
static void print_ratio(double value, double by)
{
    char text[32] = "-";
    if (value > 0 && by > 0)
        figure(text, sizeof text, value / by);
    printf(" %10s", text);
}

/* The medians of the least and the most messages of one member, per cent of the equal share. */
static void print_shares(const struct cell *c, enum metric low, enum metric high)
{
    printf("   %4.0f -%4.0f %%", 100 * cell_spread(c, low).median,
           100 * cell_spread(c, high).median);
}

static double hung_rounds(const struct cell *c)
{
    double n = 0;
    for (int i = 0; i < c->n_rounds; i++)
        n += c->rounds[i].metric[M_HANGS];
    return n;
}

/* The columns of BROADCAST and BROADCAST_SLOW. */
static void print_broadcast(const struct cell *c)
{
    char text[32];
    print_spread(cell_spread(c, M_SENT), 1);
    for (enum metric m = M_RECEIVED; m <= M_RECEIVED_HIGH; m++)
        printf(" %7s", figure(text, sizeof text, cell_spread(c, m).median));
    printf(" %6.1f %% %6.1f %%", 100 * cell_spread(c, M_MISSED).median,
           100 * cell_spread(c, M_MISSED_HIGH).median);
}

static void print_row(const struct results *r, const struct cell *c)
{
    const struct cell *reference = results_reference(r, c);
    const enum metric metric = mode_metric(c->mode);
    const struct spread s = cell_spread(c, metric), probe = cell_probe(c);
    const double ours = reference ? cell_spread(reference, metric).median : 0;
    double lost;
    char name[32];
    printf("%-19s", cell_label(c, name, sizeof name));
    switch (c->mode) {
    case MANY:
        print_spread(s, 1);
        print_shares(c, M_PRODUCER_LOW, M_PRODUCER_HIGH);
        print_shares(c, M_CONSUMER_LOW, M_CONSUMER_HIGH);
        print_ratio(s.median, ours); /* of rates: the other way round than vs shmring */
        break;
    case ALONE:
        print_spread(s, 1);
        printf(" %7s", figure(name, sizeof name, cell_spread(c, M_EXCHANGE).median));
        print_ratio(s.median, cell_spread(c, M_EXCHANGE).median);
        break;
    case CAPACITY:
    case PARTICIPANTS:
        print_spread(s, 1);
        printf(" %7s", figure(name, sizeof name, cell_spread(c, M_MESSAGES).median));
        print_ratio(s.median, ours);
        break;
    case STOPPED:
        for (enum metric m = M_BEFORE; m <= M_AFTER; m++)
            printf(" %7s", figure(name, sizeof name, cell_spread(c, m).median));
        printf(" %7.0f %% %6.0f %% %6.0f", 100 * s.median, 100 * s.low, hung_rounds(c));
        break;
    case THROUGHPUT:
        print_spread(s, 1);
        printf(" %7.0f", cell_spread(c, M_BYTES).median);
        print_ratio(ours, s.median);
        break;
    case BROADCAST:
        print_broadcast(c);
        print_ratio(ours, s.median);
        break;
    case BROADCAST_SLOW:
        print_broadcast(c);
        break;
    case BROADCAST_ASLEEP:
        print_spread(s, 1);
        printf(" %7s", figure(name, sizeof name, cell_spread(c, M_SENT).median));
        print_ratio(s.median, ours);
        break;
    case BROADCAST_LATENCY:
        print_time(cell_spread(c, M_FIRST_P50).median);
        print_time(cell_spread(c, M_FIRST_P99).median);
        __attribute__((fallthrough));
    default:
        print_spread(s, 1e3);
        for (enum metric m = M_P90; m <= M_P999; m++)
            print_time(cell_spread(c, m).median);
        print_time(cell_spread(c, M_MAX).high);
        print_ratio(s.median, ours);
        print_ratio(s.median, probe.median);
    }
    if (mode_has_metric(c->mode, M_CPU))
        printf(" %5.0f", 100 * cell_spread(c, M_CPU).median);
    printf(" %6.0f %3d/%d", probe.median, cell_count(c, NEAR), c->n_rounds);
    if (cell_lost(c, &lost) > 0 && !mode_has_metric(c->mode, M_MISSED))
        printf("  %.2g %% lost", 100 * lost);
    if (c->transport->flags & IS_SIGNAL)
        printf("  signal only");
    if (c->transport->flags & IN_ONE_PROCESS)
        printf("  in one process");
    if (c->rounds[c->n_rounds - 1].stuck)
        printf("  stuck");
    putchar('\n');
}

static void print_head(const struct results *r, const struct cell *c)
{
    static const char *const titles[MODES] = {
        "Throughput, million messages a second",
        "Round trip, microseconds",
        "One way from the moment a message was due, microseconds",
        "Many to many, million messages a second",
        "A send and a receive in one process, nanoseconds",
        "One message by the messages a ring holds, nanoseconds",
        "One message by the participants of which two do anything, nanoseconds",
        "One of two producers or consumers stopped or killed; others, million messages a second",
        "To each of some consumers, million messages a second",
        "From when a message was due until the first and the last consumer had it, microseconds",
        "To a slow consumer, million messages a second",
        "The producer's time for a message while subscribers receive nothing, nanoseconds"};
    char size[32];
    printf("\n%s: %s, %s", titles[c->mode],
           report_size(size, sizeof size, c->size > 0 ? c->size : r->options->sizes[0]),
           wait_words[c->wait]);
    if (c->mode == BROADCAST || c->mode == BROADCAST_LATENCY)
        printf(", consumers: %d", c->crew.consumers);
    if (c->mode == BROADCAST_ASLEEP)
        printf(", subscribers: %d", c->crew.idle);
    if (c->mode == BROADCAST_LATENCY)
        printf(", %.0f a second", c->rate);
    if (c->mode == BROADCAST_SLOW)
        printf(", which takes %.0f of %.0f a second", c->speed, c->rate);
    putchar('\n');
    switch (c->mode) {
    case MANY:
        printf("%-19s %7s %7s -%7s %15s %15s %10s %5s %6s %5s\n", c->transport->name, "median",
               "min", "max", "producers' share", "consumers' share", "vs 1P1C", "CPU", "probe",
               "near");
        break;
    case CAPACITY:
    case PARTICIPANTS:
        printf("%-19s %7s %7s -%7s %7s %10s %5s %6s %5s\n", c->transport->name, "median", "min",
               "max", "M/s", "vs first", "CPU", "probe", "near");
        break;
    case STOPPED:
        printf("%-19s %7s %7s %7s %9s %8s %6s %6s %5s\n", c->transport->name, "before", "during",
               "after", "kept", "lowest", "hung", "probe", "near");
        break;
    case ALONE:
        printf("%-19s %7s %7s -%7s %7s %10s %6s %5s\n", "transport", "median", "min", "max",
               "cmpxchg", "vs cmpxchg", "probe", "near");
        break;
    case THROUGHPUT:
        printf("%-19s %7s %7s -%7s %7s %10s %5s %6s %5s\n", "transport", "median", "min", "max",
               "MB/s", "vs shmring", "CPU", "probe", "near");
        break;
    case BROADCAST:
    case BROADCAST_SLOW:
        printf("%-19s %7s %7s -%7s %7s %7s %7s %8s %8s", "transport", "sent", "min", "max", "got",
               "least", "most", "missed", "most");
        printf(c->mode == BROADCAST ? " %10s %5s %6s %5s\n" : "%.0s %5s %6s %5s\n", "vs shmring",
               "CPU", "probe", "near");
        break;
    case BROADCAST_ASLEEP:
        printf("%-19s %7s %7s -%7s %7s %10s %5s %6s %5s\n", "transport", "median", "min", "max",
               "M/s", "to shmring", "CPU", "probe", "near");
        break;
    case BROADCAST_LATENCY:
        printf("%-19s %7s %7s %7s %7s -%7s %7s %7s %7s %7s %10s %10s %5s %6s %5s\n", "transport",
               "first", "p99", "last", "min", "max", "p90", "p99", "p99.9", "max", "to shmring",
               "vs probe", "CPU", "probe", "near");
        break;
    default:
        printf("%-19s %7s %7s -%7s %7s %7s %7s %7s %10s %10s %5s %6s %5s\n", "transport", "p50",
               "min", "max", "p90", "p99", "p99.9", "max", "vs shmring", "vs probe", "CPU", "probe",
               "near");
    }
}

static bool same_table(const struct cell *a, const struct cell *b)
{
    const bool by_transport = mode_is_many(a->mode) || a->mode == CAPACITY;
    return a->mode == b->mode && a->wait == b->wait &&
           (!by_transport || a->transport == b->transport) &&
           (a->size == b->size || a->size == 0 || b->size == 0) &&
           (!mode_is_broadcast(a->mode) || (a->crew.consumers == b->crew.consumers &&
                                            a->crew.idle == b->crew.idle && a->speed == b->speed));
}

#define BROADCAST_NOTE                                                                             \
    "sent: by the producer.\ngot: by each consumer, the average, the least and the most. missed: " \
    "the part of all messages, likewise.\nvs shmring: the rate sent by shmring-broadcast divided " \
    "by this one."

/* The meaning of columns that only one mode has. */
static const char *const column_notes[MODES] = {
    [MANY] =
        "share: what the slowest and the fastest\nof them did, where 100 % is the same for all. "
        "vs 1P1C: this rate divided by that of 1P1C.",
    [ALONE] = "cmpxchg: a locked compare-exchange\non a line of its own, measured in turn with the "
              "messages.",
    [CAPACITY] = "M/s: million messages a second.\nvs first: divided by the first line's.",
    [PARTICIPANTS] = "M/s: million messages a second.\nvs first: divided by the first line's.",
    [STOPPED] =
        "before, during, after: what the\nothers passed on among themselves. kept: during "
        "divided by before, median of the rounds; lowest: of all\nrounds. hung: rounds after "
        "which a process did not end. A process that is killed is not replaced.",
    [BROADCAST] = BROADCAST_NOTE,
    [BROADCAST_SLOW] = BROADCAST_NOTE,
    [BROADCAST_LATENCY] =
        "first, last: p50 of the first\nand of the last consumer; the first p99 is "
        "the first one's, the others are the last one's.",
    [BROADCAST_ASLEEP] = "M/s: million messages a second.\nto shmring: divided by the figure of "
                         "shmring-broadcast."};

/* Printed after the tables of modes that have notes of their own. */
static void print_short_legend(const struct results *r, enum mode mode)
{
    printf(
        "\nMedians of %d interleaved rounds of %g s; min and max of the rounds. %s\nprobe: round "
        "trip of one cache line between the first two processes just before and after, ns.\n"
        "near: rounds whose probes were below %.0f ns.\n",
        r->options->rounds, r->options->seconds, column_notes[mode], r->near_limit_ns);
}

static void print_legend(const struct results *r)
{
    printf(
        "\nMedians of %d interleaved rounds of %g s; min and max of the rounds' rates or p50s; "
        "p90 to p99.9 are\nmedians of the rounds, the last max is that of all samples. vs shmring: "
        "how many times better shmring is.\nvs probe: p50 divided by the probe's. CPU: per cent of "
        "one processor, all processes. "
        "probe: round "
        "trip of one cache line between the two processes just\nbefore and after, ns. near: "
        "rounds whose probes were below %.0f ns.\n",
        r->options->rounds, r->options->seconds, r->near_limit_ns);
}

/* Two processes that never sleep use two processors. If they used less, other programs were
 * running, and the two waited for each other. */
static void print_disturbance(const struct results *r)
{
    int rounds = 0, disturbed = 0;
    for (int i = 0; i < r->n_cells; i++) {
        const struct cell *c = &r->cells[i];
        if (c->wait != SPIN || !mode_has_metric(c->mode, M_CPU) || mode_is_many(c->mode) ||
            c->mode == BROADCAST_ASLEEP)
            continue;
        rounds += c->n_rounds;
        for (int k = 0; k < c->n_rounds; k++)
            disturbed += c->rounds[k].metric[M_CPU] < BUSY_LEAST;
    }
    if (r->options->cpus[0] != r->options->cpus[1] && disturbed * 10 > rounds)
        printf(
            "Other work ran meanwhile: in %d of %d rounds two processes that never sleep had less "
            "than %.1f processors,\nand waited for each other. These figures say little; "
            "`chrt -f 10 shmring-bench` (as root) keeps others away.\n",
            disturbed, rounds, BUSY_LEAST);
}

/* Why cells have no figures; each reason once for each transport. */
static void print_missing(const struct results *r)
{
    for (int i = 0; i < r->n_cells; i++) {
        const struct cell *c = &r->cells[i];
        char size[32];
        bool said = c->fate.state == DONE || c->fate.state == STUCK;
        for (int k = 0; k < i && !said; k++)
            said = r->cells[k].transport == c->transport && c->fate.state == SKIPPED &&
                   strcmp(r->cells[k].fate.error, c->fate.error) == 0;
        if (!said)
            printf("%s: %s, %s, %s, %s: %s\n", c->fate.state == SKIPPED ? "skipped" : "FAILED",
                   c->transport->name, mode_names[c->mode], wait_names[c->wait],
                   report_size(size, sizeof size, c->size), c->fate.error);
    }
}

void report_table(const struct results *r)
{
    const struct cell *head = NULL;
    for (int i = 0; i < r->n_cells; i++) {
        const struct cell *c = &r->cells[i];
        if (c->n_rounds == 0)
            continue;
        if (!head || !same_table(head, c)) {
            if (head && head->mode != c->mode && mode_is_broadcast(head->mode))
                print_short_legend(r, head->mode);
            print_head(r, c);
            head = c;
        }
        print_row(r, c);
    }
    if (head && column_notes[head->mode])
        print_short_legend(r, head->mode);
    else if (head)
        print_legend(r);
    print_disturbance(r);
    print_missing(r);
}
