/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "top.h"

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* A counter's increase a second; 0 for a counter that went back: it is damaged, or was read while
 * it changed. */
static double rate(uint64_t is, uint64_t was, double seconds)
{
    return is > was && seconds > 0 ? (double)(is - was) / seconds : 0;
}

/* Is it the same queue, and not a new one of the same name? */
static bool is_same(const struct entry *a, const struct entry *b)
{
    return strcmp(a->name, b->name) == 0 && a->error == 0 && b->error == 0 &&
           a->file.st_ino == b->file.st_ino && a->file.st_dev == b->file.st_dev &&
           a->view.stat.created_ns == b->view.stat.created_ns;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static const struct entry *find_in(const struct reading *reading, const struct entry *entry)
{
    const struct entry *found = NULL;
    if (reading->list.n > 0)
        found = bsearch(entry, reading->list.entries, reading->list.n, sizeof *entry, by_name);
    return found && is_same(found, entry) ? found : NULL;
}

/* ---- Sorting: what is largest comes first, and then by name ---------------------------------- */

static double held(const struct top_row *row)
{
    const struct shmring_participant *longest = view_longest_holder(&row->entry->view);
    return longest ? (double)longest->held_ns : 0;
}

static double lag(const struct top_row *row)
{
    const struct shmring_participant *furthest = view_furthest_behind(&row->entry->view);
    return furthest ? (double)furthest->lag : 0;
}

static double depth(const struct top_row *row)
{
    return view_fill(&row->entry->view.stat);
}

static double full(const struct top_row *row)
{
    return (double)row->entry->view.stat.full_events;
}

static double empty(const struct top_row *row)
{
    return (double)row->entry->view.stat.empty_events;
}

static double dead(const struct top_row *row)
{
    return row->entry->view.stat.dead;
}

static double messages(const struct top_row *row)
{
    return row->messages;
}

static double bytes(const struct top_row *row)
{
    return row->bytes;
}

static double high(const struct top_row *row)
{
    return (double)row->entry->view.stat.high_water / (double)row->entry->view.stat.capacity;
}

static const struct {
    int key;
    const char *name;
    double (*value)(const struct top_row *row); /* NULL: by name only */
} sorts[] = {
    {'n', "name", NULL}, {'m', "messages", messages}, {'b', "bytes", bytes}, {'d', "depth", depth},
    {'w', "high", high}, {'f', "full", full},         {'e', "empty", empty}, {'x', "dead", dead},
    {'h', "held", held}, {'l', "lag", lag},
};
enum { SORTS = sizeof sorts / sizeof sorts[0] };

const char *sort_name(int key)
{
    for (int i = 0; i < SORTS; i++)
        if (sorts[i].key == key)
            return sorts[i].name;
    return NULL;
}

int sort_key_of(const char *name)
{
    for (int i = 0; i < SORTS; i++)
        if (strcmp(sorts[i].name, name) == 0)
            return sorts[i].key;
    return 0;
}

static int compare(const void *a, const void *b, void *key)
{
    const struct top_row *left = a, *right = b;
    for (int i = 0; i < SORTS; i++) {
        if (sorts[i].key != *(const int *)key || !sorts[i].value)
            continue;
        /* Queues that cannot be opened come last. */
        double l = left->entry->error ? -1 : sorts[i].value(left);
        double r = right->entry->error ? -1 : sorts[i].value(right);
        if (l != r)
            return l < r ? 1 : -1;
    }
    return strcmp(left->entry->name, right->entry->name);
}

/* ---- Gathering ------------------------------------------------------------------------------- */

void gather_again(struct gathering *g, int sort_key, const char *filter)
{
    const struct list *list = &g->readings[0].list;
    g->rows = must(reallocarray(g->rows, list->n + 1, sizeof *g->rows));
    g->n_rows = 0;
    for (size_t i = 0; i < list->n; i++) {
        const struct entry *entry = &list->entries[i];
        const struct shmring_stat *is = &entry->view.stat;
        if (!strstr(entry->name, filter))
            continue;
        struct top_row *row = &g->rows[g->n_rows++];
        *row = (struct top_row){.entry = entry, .before = find_in(&g->readings[1], entry)};
        if (!row->before)
            continue;
        const struct shmring_stat *was = &row->before->view.stat;
        row->messages = rate(is->sent, was->sent, g->seconds);
        row->bytes = rate(is->sent_bytes, was->sent_bytes, g->seconds);
        row->received = rate(is->received, was->received, g->seconds);
    }
    qsort_r(g->rows, g->n_rows, sizeof *g->rows, compare, &sort_key);
}

void gather(struct gathering *g, int sort_key, const char *filter)
{
    list_free(&g->readings[1].list);
    g->readings[1] = g->readings[0];
    g->readings[0] = (struct reading){.list.quiet = true, .moment = now()};
    find(&g->readings[0].list, g->arguments, g->n); /* errors are entries of the list */
    if (g->readings[0].list.n > 0)
        qsort(g->readings[0].list.entries, g->readings[0].list.n, sizeof(struct entry), by_name);
    g->seconds = g->readings[1].moment > 0 ? g->readings[0].moment - g->readings[1].moment : 0;
    gather_again(g, sort_key, filter);
}

void gathering_free(struct gathering *g)
{
    list_free(&g->readings[0].list);
    list_free(&g->readings[1].list);
    free(g->rows);
}

void participant_rates(const struct gathering *g, const struct top_row *row,
                       const struct shmring_participant *who, double *sent, double *received)
{
    *sent = *received = 0;
    for (int i = 0; row->before && i < row->before->view.n; i++) {
        const struct shmring_participant *was = &row->before->view.rows[i];
        if (was->row != who->row || was->generation != who->generation)
            continue;
        *sent = rate(who->sent, was->sent, g->seconds);
        *received = rate(who->received, was->received, g->seconds);
    }
}
