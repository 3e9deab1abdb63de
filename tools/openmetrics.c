/* SPDX-License-Identifier: MIT */
/*
 * Queues as OpenMetrics text (version 1.0), for a file that a Prometheus collector reads.
 *
 * Only types that the older Prometheus text format has too are used. Readers of that format take
 * the lines that only OpenMetrics has for comments.
 */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

/* Computes one number of a queue that could be opened; false: this queue has no such number. */
typedef bool number(const struct view *view, double *value);

struct family {
    const char *name;
    const char *type;
    const char *unit; /* "": none; else the name ends with it */
    const char *help;
    enum { UNSIGNED, REAL, STATES } kind;
    size_t member; /* UNSIGNED: of struct shmring_stat, 64 bits */
    enum { ALL, IN_BYTES, IN_MESSAGES, TO_EACH } only; /* queues with that unit; broadcast */
    number *compute;                                   /* REAL */
};

static bool created(const struct view *view, double *value)
{
    *value = (double)view->stat.created_ns * 1e-9;
    return true;
}

static bool held_blocks(const struct view *view, double *value)
{
    *value = 0;
    for (int i = 0; i < view->n; i++)
        *value += (double)view->rows[i].held;
    return kind_view(view->stat.kind)->knows_holders;
}

static bool held_seconds(const struct view *view, double *value)
{
    const struct shmring_participant *longest = view_longest_holder(view);
    *value = longest ? (double)longest->held_ns * 1e-9 : 0;
    return kind_view(view->stat.kind)->knows_holders;
}

static bool lag(const struct view *view, double *value)
{
    const struct shmring_participant *furthest = view_furthest_behind(view);
    *value = furthest ? (double)furthest->lag : 0;
    return kind_view(view->stat.kind)->to_each;
}

#define COUNTER_OF(Name, Unit, Member, Only, Help)                                                 \
    {                                                                                              \
        "shmring_" Name, "counter", Unit, Help, UNSIGNED, offsetof(struct shmring_stat, Member),   \
            Only, NULL                                                                             \
    }
#define COUNTER(Name, Unit, Member, Help) COUNTER_OF(Name, Unit, Member, ALL, Help)
#define GAUGE(Name, Unit, Member, Only, Help)                                                      \
    {                                                                                              \
        "shmring_" Name, "gauge", Unit, Help, UNSIGNED, offsetof(struct shmring_stat, Member),     \
            Only, NULL                                                                             \
    }
#define COMPUTED(Name, Unit, Function, Help)                                                       \
    {                                                                                              \
        "shmring_" Name, "gauge", Unit, Help, REAL, 0, 0, Function                                 \
    }

static const struct family families[] = {
    GAUGE("capacity_bytes", "bytes", capacity, IN_BYTES, "Bytes the ring has for messages."),
    GAUGE("capacity_messages", "messages", capacity, IN_MESSAGES, "Messages there is room for."),
    GAUGE("high_water_bytes", "bytes", high_water, IN_BYTES, "Most of the ring ever in use."),
    GAUGE("high_water_messages", "messages", high_water, IN_MESSAGES,
          "Most messages ever in the queue."),
    GAUGE("depth_messages", "messages", depth, 0,
          "Messages waiting, and of an spsc queue those that its consumer holds; of a broadcast "
          "queue those that the slowest reliable consumer has not received."),
    GAUGE("depth_bytes", "bytes", depth_bytes, 0, "Bytes of the queue that these messages take."),
    GAUGE("segment_bytes", "bytes", segment_bytes, 0, "Memory of the whole segment."),
    COMPUTED("creation_time_seconds", "seconds", created, "When it was created, since 1970."),
    {"shmring_participants", "gauge", "", "Participants, by what the kernel says of them.", STATES,
     0, 0, NULL},
    COMPUTED("held_blocks", "blocks", held_blocks,
             "Blocks being filled, or taken and not released."),
    COMPUTED("held_longest_seconds", "seconds", held_seconds,
             "For how long the participant that holds blocks for longest has held any."),
    COMPUTED("lag_messages", "messages", lag,
             "Messages that the consumer furthest behind has neither received nor missed yet."),
    COUNTER("sent_messages", "messages", sent, "Messages sent."),
    COUNTER("sent_bytes", "bytes", sent_bytes, "Payload sent."),
    COUNTER("received_messages", "messages", received, "Messages received and released."),
    COUNTER("received_bytes", "bytes", received_bytes, "Payload received and released."),
    COUNTER("full_events", "events", full_events, "Times it was found full after a success."),
    COUNTER("empty_events", "events", empty_events, "Times it was found empty after a success."),
    COUNTER("recovered_participants", "participants", takeovers,
            "Dead participants that were recovered, or whose role was taken over."),
    COUNTER("redelivered_messages", "messages", redelivered,
            "Messages published again after their consumer's death."),
    COUNTER("dropped_messages", "messages", dropped,
            "Messages given up after their consumer's death."),
    COUNTER_OF("missed_messages", "messages", missed, TO_EACH,
               "Messages that consumers have missed, because the producer overtook them."),
};

/* The label that names the queue, and the other labels. No two names give the same text. */
static void put_labels(const char *name, const char *label, const char *value)
{
    fputs("{queue=\"", stdout);
    put_label_value(stdout, name);
    fputc('"', stdout);
    if (label)
        printf(",%s=\"%s\"", label, value);
    fputs("} ", stdout);
}

static void put_head(const char *name, const char *type, const char *unit, const char *help)
{
    printf("# TYPE %s %s\n", name, type);
    if (*unit)
        printf("# UNIT %s %s\n", name, unit);
    printf("# HELP %s %s\n", name, help);
}

static void put_states(const char *name, const char *metric, const struct shmring_stat *st)
{
    fputs(metric, stdout);
    put_labels(name, "state", "alive");
    printf("%" PRIu32 "\n%s", st->participants, metric);
    put_labels(name, "state", "dead");
    printf("%" PRIu32 "\n", st->dead);
}

static bool concerns(const struct family *family, const struct kind_view *kind)
{
    switch (family->only) {
    case IN_BYTES:
        return !kind->in_messages;
    case IN_MESSAGES:
        return kind->in_messages;
    case TO_EACH:
        return kind->to_each;
    case ALL:
        break;
    }
    return true;
}

static void put_sample(const struct family *family, const struct entry *entry)
{
    const struct shmring_stat *st = &entry->view.stat;
    double value = 0;
    if (!concerns(family, kind_view(st->kind)))
        return;
    if (family->compute && !family->compute(&entry->view, &value))
        return;
    if (family->kind == STATES) {
        put_states(entry->name, family->name, st);
        return;
    }
    printf("%s%s", family->name, strcmp(family->type, "counter") == 0 ? "_total" : "");
    put_labels(entry->name, NULL, NULL);
    if (family->kind == REAL)
        printf("%.9g\n", value);
    else
        printf("%" PRIu64 "\n",
               *(const uint64_t *)(const void *)((const char *)st + family->member));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

/* The same series twice would make the whole text invalid: a queue that is named twice is written
 * once. */
static bool is_repeated(const struct list *list, size_t i)
{
    return i > 0 && by_name(&list->entries[i - 1], &list->entries[i]) == 0;
}

void put_openmetrics(struct list *list)
{
    if (list->n > 0)
        qsort(list->entries, list->n, sizeof *list->entries, by_name);

    put_head("shmring_readable", "gauge", "", "1 if the queue could be read, else 0.");
    for (size_t i = 0; i < list->n; i++) {
        const struct entry *entry = &list->entries[i];
        if (is_repeated(list, i))
            continue;
        fputs("shmring_readable", stdout);
        put_labels(entry->name, "kind",
                   entry->error ? error_name(entry->error)
                                : kind_view(entry->view.stat.kind)->name);
        puts(entry->error ? "0" : "1");
    }
    for (size_t f = 0; f < sizeof families / sizeof families[0]; f++) {
        put_head(families[f].name, families[f].type, families[f].unit, families[f].help);
        for (size_t i = 0; i < list->n; i++)
            if (!list->entries[i].error && !is_repeated(list, i))
                put_sample(&families[f], &list->entries[i]);
    }
    puts("# EOF");
}
