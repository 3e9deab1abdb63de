/* SPDX-License-Identifier: MIT */
/* What the suites of the bridge share: two queues, and a route from one to a stream and back to the
 * other. */
#ifndef TEST_BRIDGED_H
#define TEST_BRIDGED_H

#include "nats.h"
#include "tool.h"

/* The spsc queues have CAPACITY bytes, the mpmc queues MESSAGES messages of at most LONGEST
 * bytes. */
enum { CAPACITY = 1 << 16, MESSAGES = 512, LONGEST = 200 };

extern struct nats server;
extern const char *from, *to; /* the queues */
extern shmring_t *producer, *consumer;
extern char out_route[400], in_route[400];

/* prepare() creates the queues and describes the routes, with MORE words of configuration for each.
 * finish() removes the queues and ends the server. */
void prepare(uint32_t kind, const char *more_out, const char *more_in);
void finish(void);

/* Remove the queues only, and create them again. */
void remove_queues(void);
void make_queues(uint32_t kind);

/* Send the messages `first` and up; messages are numbers. */
void put(uint64_t first, uint64_t count);
void receive(uint64_t first, uint64_t count);
void assert_nothing_more(void);

/* Receive them, in any order: messages that were under way when a connection broke may have changed
 * places. */
void receive_all(uint64_t first, uint64_t count);

/* A new file for --openmetrics. */
const char *metrics_file(void);

/* The value of the sample of that name; direction NULL: the sample of all routes. */
uint64_t metric(const char *path, const char *name, const char *direction);
void expect_metric(const char *path, const char *name, const char *direction, uint64_t value);

#endif
