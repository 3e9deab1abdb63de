/* SPDX-License-Identifier: MIT */
/*
 * shmring top, in three parts: top_gather.c reads the queues' figures, top_text.c makes lines of
 * them, and top_screen.c shows the lines on a terminal and reads its keys. top.c has the command
 * line.
 */
#ifndef SHMRING_TOP_H
#define SHMRING_TOP_H

#include "tool.h"

/* ---- top_gather.c: the queues, and their rates --------------------------------------- */

/* The figures of all queues at one moment. Each queue is opened as an observer and closed again. */
struct reading {
    struct list list;
    double moment; /* CLOCK_MONOTONIC, seconds */
};

/* A queue in the last reading, and the same queue in the reading before. */
struct top_row {
    const struct entry *entry;
    const struct entry *before; /* NULL: the queue is new, or the name was another queue's */
    double messages, bytes;     /* sent a second; 0 when it is new */
    double received;
};

struct gathering {
    char *const *arguments; /* as for find() */
    int n;
    struct reading readings[2]; /* the last one, and the one before */
    double seconds;             /* between the two readings; 0: there was only one */
    struct top_row *rows;       /* sorted; only those that match the filter */
    size_t n_rows;
};

/* Take a new reading, and make the rows. */
void gather(struct gathering *g, int sort_key, const char *filter);
void gather_again(struct gathering *g, int sort_key, const char *filter); /* the rows only */
void gathering_free(struct gathering *g);

/* A sort order is named by the key that chooses it. */
const char *sort_name(int key);    /* NULL: the key chooses no order */
int sort_key_of(const char *name); /* 0: no order has that name */

/* Messages that a participant sends and receives a second, 0 when it is new. */
void participant_rates(const struct gathering *g, const struct top_row *row,
                       const struct shmring_participant *who, double *sent, double *received);

/* ---- top_text.c: lines ----------------------------------------------------------------------- */

enum style { PLAIN, TITLE, HEADING, SELECTED, ALARM };

struct page {
    struct {
        char *text;
        enum style style;
    } * lines;
    size_t n, room;
};

void page_free(struct page *page);

/* What the user has chosen to see. */
struct screen_state {
    int sort_key;
    char filter[64];
    bool typing;    /* the filter is being typed */
    bool detail;    /* show one queue, not all */
    char *selected; /* the selected queue's name; NULL: the first queue */
    size_t scroll;  /* the first line shown, of the participants or of the queues */
    int width, height;
};

/* The table without a terminal: every row, no name cut, and the participants that hold blocks. */
void put_table_of(struct page *page, const struct gathering *g);

/* A whole screen, of state->height lines at most. Sets state->scroll so that the selected queue is
 * shown. */
void put_screen(struct page *page, const struct gathering *g, struct screen_state *state);

/* Index of the selected row: 0 if the selected queue is gone, n_rows if there are no rows. */
size_t selected_row(const struct gathering *g, const struct screen_state *state);

/* ---- top_screen.c: the terminal -------------------------------------------------------------- */

/* Show the screen until the user quits, or a signal comes. Returns the exit code. */
int run_screen(struct gathering *g, int sort_key, const char *filter, const struct timespec *delay);

#endif
