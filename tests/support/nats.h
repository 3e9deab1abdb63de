/* SPDX-License-Identifier: MIT */
/* A nats-server with JetStream on loopback, bridges to it, and the messages in it. */
#ifndef TESTS_NATS_H
#define TESTS_NATS_H

#include <netinet/in.h>

#include "program.h"
#include "support.h"

struct nats {
    struct program program;
    char directory[TEST_NAME_SIZE];
    char config[TEST_NAME_SIZE + 16];
    char url[64]; /* of the server */
    int monitor;  /* its port for HTTP */
};

/* A suite's .init: ends the test as passed if nats-server is not installed. */
void nats_needed(void);

/* A TCP port that is not in use; and its address. */
int nats_free_port(void);
struct sockaddr_in nats_loopback(int port);

/* Start a server; its configuration has these lines besides those that each server needs. */
void nats_start(struct nats *n, const char *lines);
/* Kill the server with SIGKILL; and start it again with all that it had stored. */
void nats_kill(struct nats *n);
void nats_start_again(struct nats *n);
void nats_stop(struct nats *n);

/* Wait until this server's JetStream has all that the other servers have. */
void nats_await_health(const struct nats *n);
/* The number of messages that its streams have stored. */
uint64_t nats_stored(const struct nats *n);

/* Publish a message, as any other client would; 0 bytes of payload are fine. */
void nats_publish(const struct nats *n, const char *subject, const char *payload);

/* Start a bridge with --create-stream and the given arguments, up to NULL. */
struct program bridge_start(const struct nats *n, ...);
/* The same, with words that describe the server, such as "url=...". */
struct program bridge_start_at(const char *url, ...);
/* Wait until the bridge has written this text to its standard error. */
void bridge_await(const struct program *bridge, const char *text);
void bridge_await_times(const struct program *bridge, const char *text, int times);
/* Send SIGTERM; the bridge must end with exit code 0. */
void bridge_stop(struct program *bridge);

#endif
