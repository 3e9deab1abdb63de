/* SPDX-License-Identifier: MIT */
/*
 * A broadcast queue has one producer. Several producers have a queue each, and a consumer waits for
 * all of them at once, with the mux. Any number of consumers may do so: each gets every message of
 * every feed.
 *
 *   ./many_feeds north south &
 *   ./many_feeds south &
 *   echo from the south | shmring send south
 *
 * Needs libshmring-mux:
 *     cc -o many_feeds many_feeds.c $(pkg-config --cflags --libs libshmring libshmring-mux)
 */
#include <errno.h>
#include <shmring/mux.h>
#include <stdio.h>
#include <string.h>

enum { LONGEST = 1000, EVENTS = 32, AT_A_TIME = 16 };

static int fail(const char *what)
{
    fprintf(stderr, "many_feeds: %s: %s\n", what, shmring_strerror_detail());
    return 1;
}

static int open_feed(shmring_t **q, const char *name)
{
    const struct shmring_config config = {.kind = SHMRING_BROADCAST,
                                          .capacity = 65536,
                                          .max_message = LONGEST,
                                          .max_participants = 16,
                                          .flags = SHMRING_OPEN_OR_CREATE | SHMRING_CONSUMER};

    return shmring_create(q, name, &config);
}

/* Print at most AT_A_TIME messages of one feed. If more remain, the next event reports the feed
 * again. */
static int print(shmring_t *feed, const char *name)
{
    char message[LONGEST];

    for (int i = 0; i < AT_A_TIME; i++) {
        ssize_t n = shmring_recv(feed, message, sizeof message);
        if (n >= 0)
            printf("%s: %.*s\n", name, (int)n, message);
        else if (n == -EOVERFLOW)
            fail(name); /* which says how many messages were missed */
        else
            return n == -EAGAIN ? 0 : (int)n;
    }
    return 0;
}

static int follow(shmring_mux_t *mux)
{
    struct shmring_mux_event events[EVENTS];

    for (;;) {
        int n = shmring_mux_wait(mux, events, EVENTS, NULL);
        if (n < 0 && n != -EINTR)
            return fail("waiting");
        for (int i = 0; i < n; i++)
            if (events[i].error || print(events[i].q, events[i].data) < 0) {
                shmring_t *feed = events[i].q;
                fail(events[i].data);
                shmring_mux_remove(mux, feed); /* the other feeds go on */
                shmring_close(&feed);
            }
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    shmring_mux_t *mux;

    if (argc < 2) {
        fputs("usage: many_feeds QUEUE...\n", stderr);
        return 2;
    }
    int rc = shmring_mux_create(&mux, NULL);
    if (rc < 0) {
        fprintf(stderr, "many_feeds: no mux: %s\n", strerror(-rc));
        return 1;
    }
    for (int i = 1; i < argc; i++) {
        shmring_t *feed;
        if (open_feed(&feed, argv[i]) < 0 ||
            shmring_mux_add(mux, feed, SHMRING_READABLE, argv[i]) < 0)
            return fail(argv[i]);
    }
    return follow(mux);
}
