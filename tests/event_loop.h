/* SPDX-License-Identifier: MIT */
/* Between the files of tests/test_event_loops.c. */
#ifndef TEST_EVENT_LOOP_H
#define TEST_EVENT_LOOP_H

#include <stdbool.h>

/* What the loop calls when the descriptor is readable. True: that was all. */
bool receive_numbers(void);

/* Wait for the descriptor and receive, in a loop of libev's. */
void run_ev(int fd);

#endif
