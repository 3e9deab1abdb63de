/* SPDX-License-Identifier: MIT */
/* A nats-server with JetStream on loopback, bridges to it, and what goes through them. */
#ifndef TESTS_NATS_H
#define TESTS_NATS_H

#include <netinet/in.h>

#include "program.h"
#include "support.h"

struct nats {
    struct program program;
    char directory[TEST_NAME_SIZE];
    char config[TEST_NAME_SIZE + 16];
    char url[64]; /* of the one server */
    int monitor;  /* its other port, for HTTP */
};

/* End the test, as passed, if there is no nats-server; a suite's .init. */
void nats_needed(void);

/* A TCP port that nobody uses; and its address. */
int nats_free_port(void);
struct sockaddr_in nats_loopback(int port);

/* Start a server whose configuration has these lines besides what it needs. */
void nats_start(struct nats *n, const char *lines);
/* kill -9; and start it again, with what it had stored. */
void nats_kill(struct nats *n);
void nats_start_again(struct nats *n);
void nats_stop(struct nats *n);

/* Wait until JetStream has caught up with what the other servers have. */
void nats_await_health(const struct nats *n);
/* How many messages its streams have stored. */
uint64_t nats_stored(const struct nats *n);

/* Publish a message, as any other client would; 0 bytes of payload are fine. */
void nats_publish(const struct nats *n, const char *subject, const char *payload);

/* Start a bridge with --create-stream and the given arguments, up to NULL. */
struct program bridge_start(const struct nats *n, ...);
/* The same, with "url=..." or whatever words the server is described by. */
struct program bridge_start_at(const char *url, ...);
/* Wait until it has written that to its standard error. */
void bridge_await(const struct program *bridge, const char *text);
void bridge_await_times(const struct program *bridge, const char *text, int times);
/* SIGTERM: it must end with 0. */
void bridge_stop(struct program *bridge);

#endif
