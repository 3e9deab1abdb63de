/* SPDX-License-Identifier: MIT */
/*
 * All that shmring_stat(), shmring_participants() and shmring_dump() say right after a death, kept
 * to be compared with what becomes of it. In shared memory, of all processes together.
 */
#ifndef FIGURES_H
#define FIGURES_H

#include "crash.h"

enum { FIGURES_MESSAGES = 192, FIGURES_ROWS = 6 };

struct figures_message {
    uint64_t position;
    uint32_t name; /* the kind's, for a message */
    uint32_t length;
    uint32_t deliveries;
    uint16_t state;
    uint16_t row;
};

struct figures {
    bool taken;
    struct shmring_stat st;
    int row_count; /* of rows that are attached */
    struct shmring_participant rows[FIGURES_ROWS];
    unsigned waiting, held; /* of the messages, by their states */
    unsigned count;
    struct figures_message messages[FIGURES_MESSAGES];
};

/* The last ones that were taken; `taken` is false if none were since play_restore(). */
struct figures *figures_of(const struct crash_world *w);

/* Take them; name() tells which message that is, or says that it is none. Returns the handle by
 * which they were taken, for the kind to look further; NULL: that failed. */
shmring_t *figures_take(struct crash_world *w,
                        bool (*name)(const struct shmring_message *m, uint32_t *name));

/* The row of a participant that is attached, or NULL. */
const struct shmring_participant *figures_row(const struct figures *f, uint32_t row);

#endif
