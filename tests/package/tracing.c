/* SPDX-License-Identifier: MIT */
/*
 * tracing NAME: passes each tracepoint of doc/tracing.md, and prints which of them a tracer must
 * see, with their arguments from the second on. For tests/package/tracing.sh.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <shmring/shmring.h>

#include "lib/core/handle.h"

static void must(long r, const char *what)
{
    if (r < 0) {
        fprintf(stderr, "tracing: %s: %s\n", what, shmring_strerror_detail());
        exit(1);
    }
}

static void must_not(long r, int error, const char *what)
{
    if (r != -error) {
        fprintf(stderr, "tracing: %s: %ld, not %s\n", what, r, strerror(error));
        exit(1);
    }
}

/* A participant that dies while it holds a message of an mpmc queue. */
static pid_t die_in_debt(const char *name)
{
    pid_t pid = fork();

    if (pid == 0) {
        shmring_t *q;
        const void *msg;

        must(shmring_open(&q, name, SHMRING_CONSUMER), "child: open");
        must(shmring_peek(q, &msg, NULL), "child: peek");
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    return pid;
}

static void spsc(const char *name)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    struct shmring_config config = {
        .kind = SHMRING_SPSC, .capacity = 4096, .flags = SHMRING_PRODUCER | SHMRING_CONSUMER};
    char msg[1000] = {0};
    shmring_t *q;
    long r;

    must(shmring_create(&q, name, &config), "create");
    printf("attach %s 3 0\n", name);
    while ((r = shmring_send(q, msg, sizeof msg)) == 0)
        ;
    must_not(r, EAGAIN, "send");
    printf("full %s 1000\n", name);
    must_not(shmring_wait(q, SHMRING_WRITABLE, &moment), ETIMEDOUT, "wait");
    printf("sleep %s 2\n", name);
    printf("sleep_end %s 2 %d\n", name, -ETIMEDOUT);
    must(shmring_recv(q, msg, sizeof msg),
         "recv"); /* the wait word still says that a participant sleeps */
    printf("wake %s 2 1\n", name);
    shmring_close(&q);
    printf("close %s 3 0\n", name);
    must(shmring_unlink(name), "unlink");
}

static void mpmc(const char *name)
{
    struct shmring_config config = {
        .kind = SHMRING_MPMC, .capacity = 8, .max_message = 16, .flags = SHMRING_PRODUCER};
    shmring_t *q;
    pid_t pid;

    must(shmring_create(&q, name, &config), "create");
    printf("attach %s 1 0\n", name);
    must(shmring_send(q, "x", 1), "send");
    pid = die_in_debt(name);
    must(shmring_recover(q, NULL), "recover");
    printf("recovery %s %d 0 1 0\n", name, (int)pid);
    shmring_close(&q);
    printf("close %s 1 0\n", name);
    must(shmring_unlink(name), "unlink");
}

/* Found corrupt when a message is received, and when the queue is opened. */
static void corrupt(const char *name)
{
    struct shmring_config config = {
        .kind = SHMRING_SPSC, .capacity = 4096, .flags = SHMRING_PRODUCER | SHMRING_CONSUMER};
    shmring_t *q, *other;

    must(shmring_create(&q, name, &config), "create");
    printf("attach %s 3 0\n", name);
    must(shmring_send(q, "x", 1), "send");
    memset(q->map.data, 0xff, 16);
    must_not(shmring_recv(q, NULL, 0), EBADMSG, "recv");
    printf("corrupt %s %s\n", name, shmring_strerror_detail());
    must(pwrite(q->fd, "nonsense", 8, 0) == 8 ? 0 : -1, "pwrite");
    must_not(shmring_dup(&other, q, SHMRING_OBSERVER), EBADMSG, "dup");
    printf("corrupt %s %s\n", name, shmring_strerror_detail());
    shmring_close(&q);
    printf("close %s 3 0\n", name);
}

static void lost(const char *name)
{
    struct shmring_config config = {
        .kind = SHMRING_MPMC, .capacity = 8, .max_message = 16, .flags = SHMRING_PRODUCER};
    shmring_t *q;

    must(shmring_guard_sigbus(), "guard");
    must(shmring_create(&q, name, &config), "create");
    printf("attach %s 1 0\n", name);
    must(unlink(q->name.path), "unlink");
    must(ftruncate(q->fd, 0), "ftruncate");
    must_not(shmring_send(q, "x", 1), EBADMSG, "send");
    printf("corrupt %s the segment's memory is gone\n", name);
    shmring_close(&q);
    printf("close %s 1 0\n", name);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    spsc(argv[1]);
    mpmc(argv[1]);
    corrupt("memfd:corrupt");
    lost(argv[1]);
}
