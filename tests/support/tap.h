/* SPDX-License-Identifier: MIT */
/*
 * A process between a bridge and its server, for one connection: it records what the bridge sends,
 * and sends the bridge messages of its own besides the server's.
 */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

#include "nats.h"

struct tap_shared;

struct tap {
    pid_t pid;
    char url[64]; /* for the bridge, instead of the server's */
    struct tap_shared *shared;
};

void tap_start(struct tap *t, const struct nats *n);
/* From now on send count messages to the bridge's inbox before each answer to a ping. */
void tap_say_more(struct tap *t, int count);
/* The number of such messages sent so far. */
int tap_said(const struct tap *t);
/* Has the bridge sent this text? */
bool tap_heard(const struct tap *t, const char *text);
void tap_stop(struct tap *t);

#endif
