/* SPDX-License-Identifier: MIT */
/*
 * shmring top, in three parts: top_gather.c looks at the queues, top_text.c puts what was seen into
 * lines, and top_screen.c shows lines on a terminal and reads its keys. top.c has the command line.
 */
#ifndef SHMRING_TOP_H
#define SHMRING_TOP_H

#include "tool.h"

/* ---- top_gather.c: what is there, and how fast it goes --------------------------------------- */

/* One look at all queues. Opens each as an observer, and closes it again. */
struct look {
    struct list list;
    double moment; /* CLOCK_MONOTONIC, seconds */
};

/* A queue in the last look, beside itself in the look before. */
struct top_row {
    const struct entry *entry;
    const struct entry *before; /* NULL: it is new, or is another one of the same name */
    double messages, bytes;     /* sent a second; 0 when it is new */
    double received;
};

struct gathering {
    char *const *arguments; /* as for find() */
    int n;
    struct look looks[2]; /* the last one, and the one before */
    double seconds;       /* between them; 0: there was only one */
    struct top_row *rows; /* sorted, and only those that the filter lets through */
    size_t n_rows;
};

/* Look once more, and have the rows. */
void gather(struct gathering *g, int sort_key, const char *filter);
void gather_again(struct gathering *g, int sort_key, const char *filter); /* the rows only */
void gathering_free(struct gathering *g);

/* What to sort by is named by the key to press. */
const char *sort_name(int key);    /* NULL: there is no such key */
int sort_key_of(const char *name); /* 0: there is none of that name */

/* What a participant sends and receives a second, 0 when it is new. */
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

/* What is on the screen. */
struct screen_state {
    int sort_key;
    char filter[64];
    bool typing;    /* the filter is being typed */
    bool detail;    /* one queue, not all */
    char *selected; /* its name; NULL: the first */
    size_t scroll;  /* of the participants, or of the queues */
    int width, height;
};

/* The table without a terminal: every row, no name cut, and who holds blocks. */
void put_table_of(struct page *page, const struct gathering *g);

/* A whole screen, of state->height lines at the most. Moves the scroll to where the selected is. */
void put_screen(struct page *page, const struct gathering *g, struct screen_state *state);

/* Which row is selected: the first one if that is gone, n_rows if there is none. */
size_t selected_row(const struct gathering *g, const struct screen_state *state);

/* ---- top_screen.c: the terminal -------------------------------------------------------------- */

/* Until it is left, or a signal comes. Returns the exit code. */
int run_screen(struct gathering *g, int sort_key, const char *filter, const struct timespec *delay);

#endif
