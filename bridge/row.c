/* SPDX-License-Identifier: MIT */
/* The row of this bridge in the queue, and what a dead owner of a row has sent from it. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "../lib/kinds.h"
#include "bridge.h"

/* Has a queue of that kind one producer at a time? */
enum {
    SPSC_HAS_ONE_PRODUCER = true,
    MPMC_HAS_ONE_PRODUCER = false,
    BROADCAST_HAS_ONE_PRODUCER = true
};

#define ROW_KIND(KIND, kind) {SHMRING_##KIND, KIND##_HAS_ONE_PRODUCER},
static const struct {
    uint32_t kind;
    bool one_producer;
} kinds[] = {SHMR_KINDS(ROW_KIND)};
#undef ROW_KIND

struct list {
    struct shmring_participant *rows;
    int count;
};

static int read_list(struct list *list, shmring_t *q)
{
    list->rows = calloc(SHMRING_PARTICIPANTS_MAX, sizeof *list->rows);
    list->count =
        list->rows ? shmring_participants(q, list->rows, SHMRING_PARTICIPANTS_MAX) : -ENOMEM;
    return list->count;
}

static const struct shmring_participant *find(const struct list *list, uint32_t index)
{
    for (int i = 0; i < list->count; i++)
        if (list->rows[i].row == index)
            return &list->rows[i];
    return NULL;
}

static bool is_new(const struct shmring_participant *p, const struct list *before)
{
    const struct shmring_participant *old = find(before, p->row);

    return !old || old->generation != p->generation;
}

/* -EPROTONOSUPPORT: of a kind that is not in the table. */
static int has_one_producer(shmring_t *q, const char *name, bool *answer)
{
    struct shmring_stat st;
    const int r = shmring_stat(q, &st);

    if (r < 0)
        return r;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i].kind == st.kind) {
            *answer = kinds[i].one_producer;
            return 0;
        }
    say(LOG_ERROR, "%s: a queue of kind %u: this bridge knows none", name, st.kind);
    return -EPROTONOSUPPORT;
}

int row_open(shmring_t **q, const char *name, struct row *row)
{
    struct list before = {0}, after = {0};
    const uint32_t me = (uint32_t)getpid();
    shmring_t *observer;
    int found = 0, r = shmring_open(&observer, name, SHMRING_OBSERVER);

    if (r < 0)
        return r;
    *row = (struct row){0};
    r = read_list(&before, observer);
    shmring_close(&observer);
    if (r >= 0)
        r = shmring_open(q, name, SHMRING_PRODUCER);
    if (r == 0)
        r = has_one_producer(*q, name, &row->only_producer);
    if (r == 0)
        r = read_list(&after, *q);
    for (int i = 0; i < after.count; i++) {
        const struct shmring_participant *p = &after.rows[i];
        if (p->pid != me || !is_new(p, &before))
            continue;
        row->index = p->row;
        row->generation = p->generation;
        row->sent = p->sent;
        found++;
    }
    if (found != 1) /* none, or a process of another namespace has the same pid */
        *row = (struct row){.only_producer = row->only_producer};
    free(before.rows);
    free(after.rows);
    return r < 0 ? r : 0;
}

/* Is the count still the dead owner's? Yes, if the row is still its own, or if the next owner has
 * sent nothing: this process, which has not sent yet, or a consumer. */
static bool is_as_left(const struct shmring_participant *p, uint32_t generation)
{
    if (p->generation == generation)
        return !p->alive;
    return p->generation == generation + 1 &&
           (p->pid == (uint32_t)getpid() || (p->role & SHMRING_PRODUCER) == 0);
}

bool row_of_dead(shmring_t *q, const char *name, struct row *row)
{
    enum { MORE = 64 };
    shmring_t *more[MORE];
    int count = 0;
    bool known = false;

    /* A row without an owner is not listed: take rows until this one is listed. */
    for (bool again = row->generation != 0; again;) {
        struct list list;
        again = false;
        if (read_list(&list, q) >= 0) {
            const struct shmring_participant *p = find(&list, row->index);
            known = p && is_as_left(p, row->generation);
            if (known)
                row->sent = p->sent;
            else if (!p && count < MORE && shmring_open(&more[count], name, SHMRING_PRODUCER) == 0)
                again = ++count > 0;
        }
        free(list.rows);
    }
    while (count > 0)
        shmring_close(&more[--count]);
    return known;
}
