/* SPDX-License-Identifier: MIT */
/*
 * A router: it passes the messages of many queues on into one, in the order in which it finds them.
 * Each source has a queue of its own, so a source that is slow, or is killed and comes back, does
 * not hold up the others.
 *
 *   ./router all north south west &
 *   echo from the north | shmring send north
 *   shmring recv all
 *
 * Needs libshmring-mux:
 *     cc -o router router.c $(pkg-config --cflags --libs libshmring libshmring-mux)
 */
#include <errno.h>
#include <shmring/mux.h>
#include <stdio.h>
#include <string.h>

enum { LONGEST = 1000, EVENTS = 32, AT_A_TIME = 16 };

static int fail(const char *what)
{
    fprintf(stderr, "router: %s: %s\n", what, shmring_strerror_detail());
    return 1;
}

static int open_queue(shmring_t **q, const char *name, unsigned role)
{
    struct shmring_config config = {.kind = SHMRING_MPMC,
                                    .capacity = 256,
                                    .max_message = LONGEST,
                                    .flags = SHMRING_OPEN_OR_CREATE | role};

    return shmring_create(q, name, &config);
}

/* Pass on at most AT_A_TIME messages of one source. If more remain, the next event reports the
 * queue again. */
static int pass_on(shmring_t *from, shmring_t *to)
{
    for (int i = 0; i < AT_A_TIME; i++) {
        const void *msg;
        ssize_t n = shmring_peek(from, &msg, NULL);
        if (n < 0)
            return n == -EAGAIN ? 0 : (int)n;
        int rc;
        while ((rc = shmring_send_wait(to, msg, (size_t)n, NULL)) == -EINTR)
            continue;
        if (rc < 0)
            return rc;
        shmring_release(from, msg); /* only now it leaves the source */
    }
    return 0;
}

static int route(shmring_mux_t *mux, shmring_t *to)
{
    struct shmring_mux_event events[EVENTS];

    for (;;) {
        int n = shmring_mux_wait(mux, events, EVENTS, NULL);
        if (n < 0 && n != -EINTR)
            return fail("waiting");
        for (int i = 0; i < n; i++)
            if (events[i].error || pass_on(events[i].q, to) < 0) {
                shmring_t *source = events[i].q;
                fail(events[i].data);
                shmring_mux_remove(mux, source); /* the other sources go on */
                shmring_close(&source);
            }
    }
}

int main(int argc, char **argv)
{
    shmring_mux_t *mux;
    shmring_t *to;

    if (argc < 3) {
        fputs("usage: router TO FROM...\n", stderr);
        return 2;
    }
    if (open_queue(&to, argv[1], SHMRING_PRODUCER) < 0)
        return fail(argv[1]);
    int rc = shmring_mux_create(&mux, NULL);
    if (rc < 0) {
        fprintf(stderr, "router: no mux: %s\n", strerror(-rc));
        return 1;
    }
    for (int i = 2; i < argc; i++) {
        shmring_t *from;
        if (open_queue(&from, argv[i], SHMRING_CONSUMER) < 0 ||
            shmring_mux_add(mux, from, SHMRING_READABLE, argv[i]) < 0)
            return fail(argv[i]);
    }
    return route(mux, to);
}
