/* SPDX-License-Identifier: MIT */
/* Shared by the files of tests/wait/event_loops.c. */
#ifndef TEST_EVENT_LOOP_H
#define TEST_EVENT_LOOP_H

#include <stdbool.h>

/* The loop calls this when the descriptor is readable. True: all messages were received. */
bool receive_numbers(void);

/* Wait for the descriptor and receive, in a loop of libev. */
void run_ev(int fd);

#endif
