/* SPDX-License-Identifier: MIT */
/*
 * Between a bridge and its server: sees what the bridge says, and says more to it than the server
 * does. A process of its own, for one connection.
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
/* From now on, so many messages come to the bridge's inbox before each answer to a ping. */
void tap_say_more(struct tap *t, int count);
/* How many such messages it was given. */
int tap_said(const struct tap *t);
/* Has the bridge said that? */
bool tap_heard(const struct tap *t, const char *text);
void tap_stop(struct tap *t);

#endif
