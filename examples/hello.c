/* SPDX-License-Identifier: MIT */
/*
 * One process sends words. Another one prints them, and ends when the sender has detached. Either
 * may start first.
 *
 *   ./hello one two three
 *   ./hello
 */
#include <errno.h>
#include <shmring/shmring.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    struct shmring_config config = {
        .kind = SHMRING_SPSC,
        .capacity = 65536,
        .flags = SHMRING_OPEN_OR_CREATE | (argc > 1 ? SHMRING_PRODUCER : SHMRING_CONSUMER),
    };
    struct shmring_waiting until_the_sender_left = {.flags = SHMRING_WAIT_HANGUP};
    shmring_t *q;
    const void *msg;
    ssize_t n = shmring_create(&q, "hello", &config);

    for (int i = 1; i < argc && n >= 0; i++)
        n = shmring_send_wait(q, argv[i], strlen(argv[i]), NULL);
    if (argc == 1 && n >= 0)
        n = shmring_set_waiting(q, &until_the_sender_left);
    while (argc == 1 && n >= 0 && (n = shmring_peek_wait(q, &msg, NULL, NULL)) >= 0) {
        printf("%.*s\n", (int)n, (const char *)msg);
        shmring_release(q, msg);
    }
    if (n < 0 && n != -EPIPE)
        fprintf(stderr, "hello: %s\n", shmring_strerror_detail());
    shmring_close(&q);
    return n < 0 && n != -EPIPE;
}
