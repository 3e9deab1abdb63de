/* SPDX-License-Identifier: MIT */
/*
 * Several queues and the signals of a program in one epoll loop: prints the messages of all queues,
 * until SIGINT or SIGTERM.
 *
 *   ./epoll_loop orders payments &
 *   echo "two apples" | shmring send orders
 *   echo "five euros" | shmring send payments
 *   kill %1
 */
#include <errno.h>
#include <shmring/shmring.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

enum { MOST_QUEUES = 16 };

struct queue {
    const char *name;
    shmring_t *q;
};

static int add(int loop, int fd, void *what)
{
    struct epoll_event readable = {.events = EPOLLIN, .data.ptr = what};

    return epoll_ctl(loop, EPOLL_CTL_ADD, fd, &readable);
}

/* Open the queue, or create it if it does not exist, and add its descriptor to the loop. */
static int watch(int loop, struct queue *queue)
{
    const struct shmring_config config = {.kind = SHMRING_MPMC,
                                          .capacity = 256,
                                          .max_message = 1000,
                                          .flags = SHMRING_OPEN_OR_CREATE | SHMRING_CONSUMER};
    int fd;

    if (shmring_create(&queue->q, queue->name, &config) < 0 ||
        (fd = shmring_fd(queue->q, SHMRING_READABLE)) < 0) {
        fprintf(stderr, "epoll_loop: %s: %s\n", queue->name, shmring_strerror_detail());
        return -1;
    }
    return add(loop, fd, queue);
}

/* The queue's descriptor is readable: print all messages, and arm it again. Returns 0 or an
 * error. */
static int on_readable(const struct queue *queue)
{
    char message[1000];
    ssize_t n;
    int armed;

    do {
        while ((n = shmring_recv(queue->q, message, sizeof message)) >= 0)
            printf("%s: %.*s\n", queue->name, (int)n, message);
        armed = n == -EAGAIN ? shmring_fd_arm(queue->q, SHMRING_READABLE) : (int)n;
    } while (armed > 0); /* a message came before the descriptor was armed */
    fflush(stdout);
    if (armed < 0)
        fprintf(stderr, "epoll_loop: %s: %s\n", queue->name, shmring_strerror_detail());
    return armed;
}

int main(int argc, char **argv)
{
    struct queue queues[MOST_QUEUES] = {0};
    struct epoll_event event;
    sigset_t ends;
    int failed = 0, loop = epoll_create1(EPOLL_CLOEXEC);

    if (argc < 2 || argc > 1 + MOST_QUEUES) {
        fprintf(stderr, "usage: epoll_loop QUEUE...    (%d at the most)\n", MOST_QUEUES);
        return 2;
    }
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    if (add(loop, signalfd(-1, &ends, SFD_CLOEXEC), NULL) < 0) {
        perror("epoll_loop");
        return 1;
    }
    for (int i = 1; !failed && i < argc; i++) {
        queues[i - 1].name = argv[i];
        failed = watch(loop, &queues[i - 1]);
    }
    while (!failed && epoll_wait(loop, &event, 1, -1) == 1 && event.data.ptr)
        failed = on_readable(event.data.ptr);
    for (int i = 0; i < MOST_QUEUES; i++)
        shmring_close(&queues[i].q);
    return failed != 0;
}
