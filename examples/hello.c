/* SPDX-License-Identifier: MIT */
/*
 * One process sends words, another prints them. Either may start first.
 *
 *   ./hello one two three
 *   ./hello
 */
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
    shmring_t *q;
    char msg[100];
    ssize_t n;

    if (shmring_create(&q, "hello", &config) < 0)
        return fprintf(stderr, "hello: %s\n", shmring_strerror_detail()), 1;
    for (int i = 1; i < argc; i++)
        if (shmring_send(q, argv[i], strlen(argv[i])) < 0)
            fprintf(stderr, "hello: not sent: %s\n", argv[i]);
    while (argc == 1 && (n = shmring_recv(q, msg, sizeof msg)) >= 0)
        printf("%.*s\n", (int)n, msg);
    shmring_close(&q);
}
