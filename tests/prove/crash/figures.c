/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "figures.h"

#include <assert.h>
#include <inttypes.h>

struct figures *figures_of(const struct crash_world *w)
{
    static_assert(sizeof(struct figures) <= sizeof w->shared->figures, "too many");
    return (void *)w->shared->figures;
}

struct dump {
    struct crash_world *w;
    bool (*name)(const struct shmring_message *m, uint32_t *name);
};

static int note_message(void *argument, const struct shmring_message *m)
{
    const struct dump *dump = argument;
    struct figures *f = figures_of(dump->w);
    struct figures_message *to = &f->messages[f->count];

    if (!crash_check(dump->w, f->count < FIGURES_MESSAGES, "dump: more messages than fit in") ||
        !crash_check(dump->w, dump->name(m, &to->name),
                     "dump: %" PRIu32 " bytes that no process sent", m->length))
        return 1;
    to->position = m->position;
    to->length = m->length;
    to->deliveries = m->deliveries;
    to->state = (uint16_t)m->state;
    to->row = (uint16_t)m->row;
    f->count++;
    f->waiting += m->state == SHMRING_WAITING;
    f->held += m->state == SHMRING_HELD;
    return 0;
}

shmring_t *figures_take(struct crash_world *w,
                        bool (*name)(const struct shmring_message *m, uint32_t *name))
{
    struct figures *f = figures_of(w);
    struct dump dump = {w, name};
    shmring_t *q;

    *f = (struct figures){.taken = true};
    if (!crash_check(w, shmring_open_fd(&q, w->fd, SHMRING_OBSERVER) == 0, "observing: %s",
                     shmring_strerror_detail()))
        return NULL;
    int r = shmring_stat(q, &f->st);
    crash_check(w, r == 0, "stat: %d", r);
    f->row_count = shmring_participants(q, f->rows, FIGURES_ROWS);
    crash_check(w, f->row_count >= 0, "participants: %d", f->row_count);
    r = shmring_dump(q, note_message, &dump);
    crash_check(w, r == 0, "dump: %d", r);
    return q;
}

const struct shmring_participant *figures_row(const struct figures *f, uint32_t row)
{
    for (int i = 0; i < f->row_count; i++)
        if (f->rows[i].row == row)
            return &f->rows[i];
    return NULL;
}
