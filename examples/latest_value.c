/* SPDX-License-Identifier: MIT */
/*
 * A value that any process can read at any time, and whose changes it can watch: a setting, a
 * temperature. Each value is sent as a key message. A reader that comes later begins with the last
 * one, and needs no more than permission to read.
 *
 *   ./latest_value set temperature "21 degrees"
 *   ./latest_value get temperature
 *   ./latest_value watch temperature
 */
#include <errno.h>
#include <shmring/shmring.h>
#include <stdio.h>
#include <string.h>

enum { LONGEST = 1000 };

static int fail(const char *what)
{
    fprintf(stderr, "latest_value: %s: %s\n", what, shmring_strerror_detail());
    return 1;
}

static int set(const char *name, const char *value)
{
    /* No consumer has a row, so none can be reliable, and nothing ever makes the producer wait. */
    struct shmring_config config = {.kind = SHMRING_BROADCAST,
                                    .capacity = 4096,
                                    .max_message = LONGEST,
                                    .mode = 0644,
                                    .flags = SHMRING_OPEN_OR_CREATE | SHMRING_PRODUCER};
    shmring_t *q;

    if (shmring_create(&q, name, &config) < 0)
        return fail(name);
    int rc = shmring_send_flags(q, value, strlen(value), SHMRING_KEY);
    shmring_close(&q);
    return rc < 0 ? fail("sending") : 0;
}

/* Receive all that is there, and keep the last. Returns its length, or -EAGAIN: there is none; or
 * another error. */
static ssize_t latest(shmring_t *q, char value[LONGEST])
{
    char next[LONGEST];
    ssize_t length = -EAGAIN, n;

    /* What was overwritten meanwhile (-EOVERFLOW) was older. */
    while ((n = shmring_recv(q, next, sizeof next)) >= 0 || n == -EOVERFLOW)
        if (n >= 0)
            memcpy(value, next, (size_t)(length = n));
    return n == -EAGAIN ? length : n;
}

static int show(const char *name, int watching)
{
    char value[LONGEST];
    shmring_t *q;
    ssize_t n;

    if (shmring_open(&q, name, SHMRING_CONSUMER | SHMRING_FROM_KEY) < 0)
        return fail(name);
    do {
        n = watching ? shmring_wait(q, SHMRING_READABLE, NULL) : 0; /* sleeps until it changes */
        if (n >= 0)
            n = latest(q, value);
        if (n >= 0)
            printf("%.*s\n", (int)n, value);
        fflush(stdout);
    } while (watching && (n >= 0 || n == -EAGAIN || n == -EINTR));
    if (n == -EAGAIN)
        fprintf(stderr, "latest_value: %s: there is none yet\n", name);
    else if (n < 0)
        fail("receiving");
    shmring_close(&q);
    return n < 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "set") == 0)
        return set(argv[2], argv[3]);
    if (argc == 3 && (strcmp(argv[1], "get") == 0 || strcmp(argv[1], "watch") == 0))
        return show(argv[2], strcmp(argv[1], "watch") == 0);
    fputs("usage: latest_value set QUEUE VALUE\n"
          "       latest_value get|watch QUEUE\n",
          stderr);
    return 2;
}
