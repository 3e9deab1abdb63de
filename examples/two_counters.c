/* SPDX-License-Identifier: MIT */
/*
 * Two counters that chase each other: the server counts 0, 2, 4 ..., the client 1, 3, 5 ..., and
 * each counts on when it has seen the other's number.
 *
 *   ./two_counters server chase 1000000 &
 *   ./two_counters client chase 1000000
 *   shmring rm chase.up chase.down        to begin anew
 *
 * With shm_open() and semaphores, the usual way to write this, the server must start first, the
 * client must not start too early, and either one killed at the wrong moment leaves the other
 * waiting for ever. Here either may start first, be killed with SIGKILL at any instruction, and
 * come back.
 *
 * Why it works: a number is released only after its answer was sent, so one of the two queues
 * always holds the next number. Who is killed in between finds it again and answers again; the
 * other side then sees a number that is not larger than what it knows, and drops it.
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

/* The next number, which stays in the queue until it is released. */
static const void *take_number(shmring_t *q, uint64_t *number)
{
    const void *message;

    /* It sleeps until the other counter has sent one, however often that is killed meanwhile. */
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

    /* The server makes the first move, unless one who ran before it has. */
    struct shmring_stat stat;
    if (shmring_stat(out, &stat) < 0)
        die("statistics");
    if (server && stat.sent == 0)
        send_number(out, 0);

    uint64_t known = 0; /* numbers below are old */
    for (;;) {
        uint64_t number;
        const void *message = take_number(in, &number);
        if (number >= known) {
            known = number + 2;
            send_number(out, number + 1);
        }
        if (known >= limit)
            break; /* and keep the message: who is killed now and comes back finds it again */
        shmring_release(in, message);
    }

    printf("%s: %" PRIu64 "\n", argv[1], known - 1);
    shmring_close(&in);
    shmring_close(&out);
    return 0;
}
