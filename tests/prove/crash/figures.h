/* SPDX-License-Identifier: MIT */
/*
 * All that shmring_stat(), shmring_participants() and shmring_dump() say right after a death, kept
 * to be compared with what is received later. It is in memory that all processes share.
 */
#ifndef FIGURES_H
#define FIGURES_H

#include "crash.h"

enum { FIGURES_MESSAGES = 192, FIGURES_ROWS = 6 };

struct figures_message {
    uint64_t position;
    uint32_t name; /* the kind's number for a message */
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

/* The last figures taken; `taken` is false if none were taken since play_restore(). */
struct figures *figures_of(const struct crash_world *w);

/* Take the figures. name() finds out which message it is given; false: its bytes are no message.
 * Returns the observer's handle, so that the kind can read more; NULL: that failed. */
shmring_t *figures_take(struct crash_world *w,
                        bool (*name)(const struct shmring_message *m, uint32_t *name));

/* The row of a participant that is attached, or NULL. */
const struct shmring_participant *figures_row(const struct figures *f, uint32_t row);

#endif
