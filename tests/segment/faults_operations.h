/* SPDX-License-Identifier: MIT */
/*
 * The operations in which faults.c lets each call of the library fail: what each one needs, what it
 * calls, and which errors its documentation lists.
 */
#ifndef FAULTS_OPERATIONS_H
#define FAULTS_OPERATIONS_H

#include "support.h"

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

enum { OPERATIONS = 30, DOCUMENTED_MAX = 32 };

struct operation {
    const char *name;
    void (*before)(void); /* creates the queue and the other participants */
    int (*run)(void);
    int documented[DOCUMENTED_MAX];
    void (*on_sleep)(void);
    bool no_tmpfile;
    uint32_t only; /* for this kind of queue; 0: for all */
};

extern const struct operation operations[OPERATIONS];

/* Does its documentation list the error, or is it one that every call may return? */
bool may_return(const struct operation *o, int error);

/* The queue of a round, and its handles, which are closed after it. */
extern char name[TEST_NAME_SIZE + 32];
extern uint32_t kind;
extern shmring_t *q, *other;

struct shmring_config config_with(unsigned flags);
int create(shmring_t **handle, const char *where, unsigned flags);
void must(int r);
void queue(void);
void make_queue(void);
int run_create_memfd(void);
int run_open(void);
int run_open_wait(void);
int run_close(void);
int run_unlink(void);

#endif
