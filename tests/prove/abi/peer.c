/* SPDX-License-Identifier: MIT */
/*
 * peer NAME COMMAND...: one side of a queue that builds of another kind use as well. See README.md.
 *
 *   create:spsc create:mpmc     create the queue, and be its producer and consumer
 *   create:broadcast
 *   producer consumer both      attach to it
 *   observer reliable           reliable: a consumer that the producer waits for
 *   oldest key                  a consumer that starts with the oldest message, or the key message
 *   send:N-M                    send messages N to M; N-M may be N alone
 *   batch:N-M                   the same in one call
 *   key:N                       send message N as a key message
 *   recv:N-M                    receive: these messages must come next
 *   again:N-M                   the same, with the flag that they were delivered before
 *   wait:N-M                    the same, sleeping until they are there
 *   take:N-M                    take them, and do not release them
 *   sent:N                      wait until N messages were sent
 *   await:N                     wait until there are N participants
 *   lapped:N                    receive all of the N messages sent, some of which were missed
 *   skip:N                      skip N messages
 *   reserve                     reserve, and do not commit
 *   full                        send until there is no room, which must happen
 *   empty                       no message must be there
 *   recover:N                   recover N dead participants
 *   depth:N                     N messages must wait
 *   refused:WORD                opening must fail: the detail has WORD in it
 *   die                         be killed by SIGKILL
 *   hex                         print what is not zero in the segment, as the golden files have it
 *   unlink
 *
 * A message's length and bytes follow from its number. Exit status 0: everything was as expected.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <shmring/shmring.h>

#include "numbered.h"

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

static shmring_t *q;
static const char *name;

/* The command that is being carried out. */
static const char *command;

static void check(int holds, int64_t result)
{
    if (holds)
        return;
    printf("peer %s: %s: %" PRId64 " (%s)\n", name, command, result, shmring_strerror_detail());
    exit(1);
}

static void create(uint32_t kind)
{
    const struct shmring_config config = {
        .kind = kind,
        .flags = BOTH,
        .capacity = kind == SHMRING_MPMC ? 16 : 4096,
        .max_message = NUMBERED_LONGEST,
        .max_participants = kind == SHMRING_SPSC ? 0 : 4,
    };
    int r = shmring_create(&q, name, &config);

    check(r == 0, r);
}

static void attach(unsigned role)
{
    shmring_close(&q);
    int r = shmring_open(&q, name, role);
    check(r == 0, r);
}

static void send_one(uint32_t n)
{
    char text[NUMBERED_LONGEST];
    const struct timespec soon = {.tv_sec = 60};
    int r = shmring_send_wait(q, text, numbered(text, n), &soon);

    check(r == 0, r);
}

static void send_key(uint32_t n)
{
    char text[NUMBERED_LONGEST];
    int r = shmring_send_flags(q, text, numbered(text, n), SHMRING_KEY);

    check(r == 0, r);
}

static void send_batch(uint32_t first, uint32_t last)
{
    char text[8][NUMBERED_LONGEST];
    struct iovec batch[8];
    const uint32_t n = last - first + 1;

    check(n <= 8, n);
    for (uint32_t i = 0; i < n; i++)
        batch[i] = (struct iovec){text[i], numbered(text[i], first + i)};
    int r = shmring_send_batch(q, batch, (int)n);
    check(r == (int)n, r);
}

/* Is it the message of that number? */
static void check_message(const void *message, long length, uint32_t n)
{
    char text[NUMBERED_LONGEST];

    check(length == (long)numbered(text, n) && memcmp(message, text, (size_t)length) == 0, length);
}

static void receive(uint32_t n, int again, int wait, int release)
{
    const struct timespec soon = {.tv_sec = 60};
    struct shmring_info info;
    const void *message;
    long r = wait ? shmring_peek_wait(q, &message, &info, &soon) : shmring_peek(q, &message, &info);

    check(r >= 0, r);
    check_message(message, r, n);
    check((info.flags & SHMRING_REDELIVERED) == (again ? SHMRING_REDELIVERED : 0U), info.flags);
    if (release) {
        r = shmring_release(q, message);
        check(r == 0, r);
    }
}

static uint64_t sent_so_far(void)
{
    struct shmring_stat st;
    int r = shmring_stat(q, &st);

    check(r == 0, r);
    return st.sent;
}

/* The first messages were overwritten; those from then on come in order, up to N - 1. */
static void receive_the_rest(uint32_t n)
{
    char text[NUMBERED_LONGEST];
    struct shmring_stat st;
    long r = shmring_recv(q, text, sizeof text);

    check(r == -EOVERFLOW, r);
    r = shmring_stat(q, &st);
    check(r == 0 && st.missed_here > 0 && st.missed_here < n, r);
    for (uint32_t next = (uint32_t)st.missed_here; next < n; next++) {
        r = shmring_recv(q, text, sizeof text);
        check_message(text, r, next);
    }
}

/* Messages of any length, so that the queue is full for all of them */
static void fill(void)
{
    char text[NUMBERED_LONGEST];
    long r, sent = -1;

    do {
        sent++;
        r = shmring_send(q, text, numbered(text, (uint32_t)sent));
    } while (r == 0 && sent < 10000);
    check(r == -EAGAIN && sent > 0, r);
}

static void expect_depth(uint64_t n)
{
    struct shmring_stat st;
    long r = shmring_stat(q, &st);

    check(r == 0 && st.depth == n, r < 0 ? r : (long)st.depth);
}

static void expect_refusal(const char *word)
{
    long r = shmring_open(&q, name, SHMRING_OBSERVER);

    check(r < 0 && strstr(shmring_strerror_detail(), word), r);
}

static void print_hex(void)
{
    uint8_t line[16], zero[16] = {0};
    int fd = shmring_segment_fd(q);

    for (unsigned at = 0; pread(fd, line, sizeof line, at) == sizeof line; at += sizeof line) {
        if (memcmp(line, zero, sizeof line) == 0)
            continue;
        printf("%06x", at);
        for (size_t i = 0; i < sizeof line; i++)
            printf(" %02x", line[i]);
        putchar('\n');
    }
    struct shmring_stat st;
    check(shmring_stat(q, &st) == 0, 0);
    printf("%06" PRIx64 " end\n", st.segment_bytes);
}

static int is_called(const char *word, const char **argument)
{
    const size_t n = strlen(word);

    if (strncmp(command, word, n) != 0 || (command[n] != 0 && command[n] != ':'))
        return 0;
    *argument = command[n] ? command + n + 1 : "";
    return 1;
}

/* Call the function for each number of N-M. */
static void receive_range(const char *range, int again, int wait, int release)
{
    uint32_t first, last;

    numbered_range(range, &first, &last);
    for (uint32_t n = first; n <= last; n++)
        receive(n, again, wait, release);
}

static void run(void)
{
    const char *argument;
    uint32_t first, last;
    void *place;

    if (is_called("create", &argument)) {
        create(strcmp(argument, "spsc") == 0   ? SHMRING_SPSC
               : strcmp(argument, "mpmc") == 0 ? SHMRING_MPMC
                                               : SHMRING_BROADCAST);
    } else if (is_called("producer", &argument)) {
        attach(SHMRING_PRODUCER);
    } else if (is_called("consumer", &argument)) {
        attach(SHMRING_CONSUMER);
    } else if (is_called("both", &argument)) {
        attach(BOTH);
    } else if (is_called("observer", &argument)) {
        attach(SHMRING_OBSERVER);
    } else if (is_called("reliable", &argument)) {
        attach(SHMRING_CONSUMER | SHMRING_RELIABLE);
    } else if (is_called("oldest", &argument)) {
        attach(SHMRING_CONSUMER | SHMRING_FROM_OLDEST);
    } else if (is_called("key", &argument)) {
        if (*argument)
            send_key((uint32_t)atol(argument));
        else
            attach(SHMRING_CONSUMER | SHMRING_FROM_KEY);
    } else if (is_called("lapped", &argument)) {
        receive_the_rest((uint32_t)atol(argument));
    } else if (is_called("sent", &argument)) {
        while (sent_so_far() < (uint64_t)atol(argument))
            usleep(1000);
    } else if (is_called("await", &argument)) {
        while (shmring_participants(q, NULL, 0) < atol(argument))
            usleep(1000);
    } else if (is_called("skip", &argument)) {
        long r = (long)shmring_skip(q);
        check(r == atol(argument), r);
    } else if (is_called("send", &argument)) {
        numbered_range(argument, &first, &last);
        for (uint32_t n = first; n <= last; n++)
            send_one(n);
    } else if (is_called("batch", &argument)) {
        numbered_range(argument, &first, &last);
        send_batch(first, last);
    } else if (is_called("recv", &argument)) {
        receive_range(argument, 0, 0, 1);
    } else if (is_called("again", &argument)) {
        receive_range(argument, 1, 0, 1);
    } else if (is_called("wait", &argument)) {
        receive_range(argument, 0, 1, 1);
    } else if (is_called("take", &argument)) {
        receive_range(argument, 0, 0, 0);
    } else if (is_called("reserve", &argument)) {
        long r = shmring_reserve(q, 20, &place);
        check(r == 0, r);
        memcpy(place, "nobody sees this", 16);
    } else if (is_called("full", &argument)) {
        fill();
    } else if (is_called("empty", &argument)) {
        long r = shmring_recv(q, &first, 0);
        check(r == -EAGAIN, r);
    } else if (is_called("recover", &argument)) {
        long r = shmring_recover(q, NULL);
        check(r == atol(argument), r);
    } else if (is_called("depth", &argument)) {
        expect_depth((uint64_t)atol(argument));
    } else if (is_called("refused", &argument)) {
        expect_refusal(argument);
    } else if (is_called("die", &argument)) {
        kill(getpid(), SIGKILL);
    } else if (is_called("hex", &argument)) {
        print_hex();
    } else if (is_called("unlink", &argument)) {
        long r = shmring_unlink(name);
        check(r == 0, r);
    } else {
        check(0, 0);
    }
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: peer NAME COMMAND...\n");
        return 2;
    }
    name = argv[1];
    for (int i = 2; i < argc; i++) {
        command = argv[i];
        run();
    }
    shmring_close(&q);
    return 0;
}
