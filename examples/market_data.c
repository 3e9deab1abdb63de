/* SPDX-License-Identifier: MIT */
/*
 * Market data: one feed sends prices, and each of any number of subscribers gets every one of them.
 * Start the subscribers first.
 *
 *   ./market_data watch ticks &       a subscriber that is too slow misses prices
 *   ./market_data slow ticks &        this one is: it pauses after each price
 *   ./market_data reliable ticks &    misses none: the feed waits for this one
 *   ./market_data feed ticks 100000
 *   shmring who ticks                 who lags by how much, and who has missed prices
 *
 * The feed waits for no subscriber but the reliable one, and for that one only while it lives.
 */
#include <errno.h>
#include <inttypes.h>
#include <shmring/shmring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct price {
    uint64_t number;
    int64_t cents;
};

static int fail(const char *what)
{
    fprintf(stderr, "market_data: %s: %s\n", what, shmring_strerror_detail());
    return 1;
}

static int feed(shmring_t *q, uint64_t prices)
{
    struct price price = {.cents = 10000};

    for (; price.number < prices; price.number++) {
        price.cents += price.number % 7 < 3 ? 1 : -1;
        /* Sleeps only while the reliable subscriber has not received the oldest price yet. */
        if (shmring_send_wait(q, &price, sizeof price, NULL) < 0)
            return fail("sending");
    }
    return 0;
}

static int subscribe(shmring_t *q, int slow)
{
    struct shmring_waiting until_the_feed_left = {.flags = SHMRING_WAIT_HANGUP};
    struct shmring_stat stat;
    struct price price = {0};
    uint64_t received = 0;
    ssize_t n;

    if (shmring_set_waiting(q, &until_the_feed_left) < 0)
        return fail("waiting");
    /* After -EOVERFLOW the next call returns one of the oldest prices that are still there. */
    while ((n = shmring_recv_wait(q, &price, sizeof price, NULL)) >= 0 || n == -EOVERFLOW) {
        received += n >= 0;
        if (slow)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    if (n != -EPIPE || shmring_stat(q, &stat) < 0)
        return fail("receiving");
    printf("received %" PRIu64 ", missed %" PRIu64 ", the last one was %" PRId64 ".%02" PRId64 "\n",
           received, stat.missed_here, price.cents / 100, price.cents % 100);
    return 0;
}

int main(int argc, char **argv)
{
    struct shmring_config config = {.kind = SHMRING_BROADCAST,
                                    .capacity = 16384,
                                    .max_message = sizeof(struct price),
                                    .max_participants = 8};
    const char *what = argc > 2 ? argv[1] : "";
    const int feeding = argc == 4 && strcmp(what, "feed") == 0;
    const int slow = strcmp(what, "slow") == 0, reliable = strcmp(what, "reliable") == 0;
    shmring_t *q;

    if (!feeding && (argc != 3 || (!slow && !reliable && strcmp(what, "watch") != 0))) {
        fputs("usage: market_data feed QUEUE PRICES\n"
              "       market_data watch|slow|reliable QUEUE\n",
              stderr);
        return 2;
    }
    config.flags = SHMRING_OPEN_OR_CREATE | (feeding ? SHMRING_PRODUCER : SHMRING_CONSUMER) |
                   (reliable ? SHMRING_RELIABLE : 0);
    if (shmring_create(&q, argv[2], &config) < 0)
        return fail(argv[2]);
    int status = feeding ? feed(q, strtoull(argv[3], NULL, 10)) : subscribe(q, slow);
    shmring_close(&q);
    return status;
}
