/* SPDX-License-Identifier: MIT */
/*
 * Two counters that chase each other: the server sends 0, 2, 4 ..., the client 1, 3, 5 ..., and
 * each sends its next number when it has received the other's.
 *
 *   ./two_counters server chase 1000000 &
 *   ./two_counters client chase 1000000
 *   shmring rm chase.up chase.down        to begin anew
 *
 * With shm_open() and semaphores, the usual way to write this, the server must start first, the
 * client must not start too early, and either one killed at the wrong moment leaves the other
 * waiting for ever. Here either process may start first, be killed with SIGKILL at any instruction,
 * and be started again.
 *
 * Why it works: a process releases a number only after it has sent its answer, so one of the two
 * queues always holds the next number. If a process is killed between the two, its successor finds
 * the number again and answers again. The other process then receives a number that is not larger
 * than the last one, and drops it.
 */
#include <inttypes.h>
#include <shmring/shmring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die(const char *what)
{
    fprintf(stderr, "two_counters: %s: %s\n", what, shmring_strerror_detail());
    exit(1);
}

static shmring_t *attach(const char *chase, const char *direction, uint32_t role)
{
    struct shmring_config config = {
        .kind = SHMRING_SPSC, .flags = role | SHMRING_OPEN_OR_CREATE, .capacity = 4096};
    char name[SHMRING_NAME_MAX + 1];
    shmring_t *q;

    snprintf(name, sizeof name, "%s.%s", chase, direction);
    if (shmring_create(&q, name, &config) < 0)
        die(name);
    return q;
}

static void send_number(shmring_t *q, uint64_t number)
{
    if (shmring_send_wait(q, &number, sizeof number, NULL) < 0)
        die("sending");
}

/* Peek the next number. It stays in the queue until it is released. */
static const void *take_number(shmring_t *q, uint64_t *number)
{
    const void *message;

    /* This sleeps until the other counter has sent a number, however often that process is
     * killed. */
    if (shmring_peek_wait(q, &message, NULL, NULL) != sizeof *number)
        die("receiving");
    memcpy(number, message, sizeof *number);
    return message;
}

int main(int argc, char **argv)
{
    int server = argc == 4 && strcmp(argv[1], "server") == 0;
    int client = argc == 4 && strcmp(argv[1], "client") == 0;

    if (!server && !client) {
        fputs("usage: two_counters server|client NAME LIMIT\n", stderr);
        return 2;
    }
    uint64_t limit = strtoull(argv[3], NULL, 10);
    shmring_t *out = attach(argv[2], server ? "down" : "up", SHMRING_PRODUCER);
    shmring_t *in = attach(argv[2], server ? "up" : "down", SHMRING_CONSUMER);

    /* The server sends the first number, unless an earlier server has. */
    struct shmring_stat stat;
    if (shmring_stat(out, &stat) < 0)
        die("statistics");
    if (server && stat.sent == 0)
        send_number(out, 0);

    uint64_t known = 0; /* numbers below this one were received before */
    for (;;) {
        uint64_t number;
        const void *message = take_number(in, &number);
        if (number >= known) {
            known = number + 2;
            send_number(out, number + 1);
        }
        if (known >= limit)
            break; /* not released: if this process is killed here, its successor finds the number
                      again */
        shmring_release(in, message);
    }

    printf("%s: %" PRIu64 "\n", argv[1], known - 1);
    shmring_close(&in);
    shmring_close(&out);
    return 0;
}
