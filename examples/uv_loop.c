/* SPDX-License-Identifier: MIT */
/*
 * A relay in a libuv loop: passes messages on from one queue to another, and waits for messages, or
 * for room, by descriptor. Nothing is lost when the relay is killed: it releases a message in the
 * first queue only after it has sent it into the second, so a message may be passed on twice. Ends
 * with SIGINT or SIGTERM.
 *
 *   shmring create --kind mpmc --max-message 1000 inbox
 *   shmring create --kind mpmc --max-message 1000 outbox
 *   ./uv_loop inbox outbox &
 *   echo "a letter" | shmring send inbox
 *   shmring recv outbox
 *
 *   cc -o uv_loop uv_loop.c $(pkg-config --cflags --libs libshmring libuv)
 */
#include <errno.h>
#include <shmring/shmring.h>
#include <signal.h>
#include <stdio.h>
#include <uv.h>

struct relay {
    shmring_t *from, *to;
    uv_poll_t message, room;
    const void *held; /* a message peeked in the first queue, for which the second has no room */
    ssize_t length;
    int failed;
};

static void on_ready(uv_poll_t *poll, int status, int events);

/* Pass on messages until the first queue is empty or the second is full. Returns the error that
 * ended it, and the event to wait for. */
static int pass_on(struct relay *relay, unsigned *event)
{
    for (;;) {
        *event = SHMRING_READABLE;
        if (!relay->held)
            relay->length = shmring_peek(relay->from, &relay->held, NULL);
        if (relay->length < 0) {
            relay->held = NULL;
            return (int)relay->length;
        }
        *event = SHMRING_WRITABLE;
        int rc = shmring_send(relay->to, relay->held, (size_t)relay->length);
        if (rc < 0)
            return rc;
        shmring_release(relay->from, relay->held);
        relay->held = NULL;
    }
}

/* Pass on messages, and then wait for the event that pass_on() has named. */
static void go_on(struct relay *relay)
{
    unsigned event;
    int rc;

    do {
        rc = pass_on(relay, &event);
        if (rc == -EAGAIN)
            rc = shmring_fd_arm(event == SHMRING_READABLE ? relay->from : relay->to, event);
    } while (rc > 0);
    uv_poll_stop(&relay->message);
    uv_poll_stop(&relay->room);
    if (rc < 0) {
        fprintf(stderr, "uv_loop: %s\n", shmring_strerror_detail());
        relay->failed = 1;
        uv_stop(relay->message.loop);
    } else { /* the descriptor becomes readable when the queue becomes writable, too */
        uv_poll_start(event == SHMRING_READABLE ? &relay->message : &relay->room, UV_READABLE,
                      on_ready);
    }
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    go_on(poll->data);
}

static void on_signal(uv_signal_t *signal, int number)
{
    (void)number;
    uv_stop(signal->loop);
}

static int prepare(struct relay *relay, uv_loop_t *loop, char **names)
{
    int message, room;

    if (shmring_open(&relay->from, names[0], SHMRING_CONSUMER) < 0 ||
        shmring_open(&relay->to, names[1], SHMRING_PRODUCER) < 0 ||
        (message = shmring_fd(relay->from, SHMRING_READABLE)) < 0 ||
        (room = shmring_fd(relay->to, SHMRING_WRITABLE)) < 0) {
        fprintf(stderr, "uv_loop: %s\n", shmring_strerror_detail());
        return -1;
    }
    uv_poll_init(loop, &relay->message, message);
    uv_poll_init(loop, &relay->room, room);
    relay->message.data = relay->room.data = relay;
    return 0;
}

int main(int argc, char **argv)
{
    struct relay relay = {0};
    uv_signal_t interrupt, terminate;
    uv_loop_t *loop = uv_default_loop();

    if (argc != 3) {
        fputs("usage: uv_loop FROM TO\n", stderr);
        return 2;
    }
    relay.failed = prepare(&relay, loop, argv + 1) < 0;
    if (!relay.failed) {
        uv_signal_init(loop, &interrupt);
        uv_signal_init(loop, &terminate);
        uv_signal_start(&interrupt, on_signal, SIGINT);
        uv_signal_start(&terminate, on_signal, SIGTERM);
        go_on(&relay);
        if (!relay.failed)
            uv_run(loop, UV_RUN_DEFAULT);
        uv_poll_stop(&relay.message); /* before the descriptors are closed */
        uv_poll_stop(&relay.room);
    }
    shmring_close(&relay.from);
    shmring_close(&relay.to);
    return relay.failed;
}
