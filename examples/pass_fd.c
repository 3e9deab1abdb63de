/* SPDX-License-Identifier: MIT */
/*
 * A queue for peers that do not trust each other: a sealed memfd, passed over a UNIX socket. Only a
 * process that is given the descriptor can reach it, and none can truncate it.
 *
 *   ./pass_fd serve /tmp/ticker.sock &        sends "tick 0", "tick 1", ...
 *   ./pass_fd fetch /tmp/ticker.sock 10       prints ten of them, and may be run again
 *
 * The server passes the same queue to one client after the other. When a client dies, the next one
 * goes on with the messages that it did not release.
 */
#include <errno.h>
#include <pthread.h>
#include <shmring/shmring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Memory for a control message with one descriptor, aligned as struct cmsghdr. */
union control {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
};

static int send_fd(int to, int fd)
{
    char byte = 0; /* a descriptor travels with at least a byte of data */
    struct iovec data = {.iov_base = &byte, .iov_len = 1};
    union control control = {0};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control.room};
    struct cmsghdr *part = CMSG_FIRSTHDR(&message);

    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(part), &fd, sizeof fd);
    return sendmsg(to, &message, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

static int receive_fd(int from)
{
    char byte;
    struct iovec data = {.iov_base = &byte, .iov_len = 1};
    union control control;
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control.room};
    int fd = -1;

    if (recvmsg(from, &message, MSG_CMSG_CLOEXEC) != 1)
        return -1;
    struct cmsghdr *part = CMSG_FIRSTHDR(&message);
    if (part && part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(part), sizeof fd);
    return fd;
}

static int fail(const char *what)
{
    fprintf(stderr, "pass_fd: %s\n", what);
    return 1;
}

struct server {
    int listener;
    int segment; /* the queue's descriptor */
};

/* A thread: passes the queue to each client that connects. It does not use the handle, because a
 * handle is for one thread at a time. */
static void *welcome(void *argument)
{
    const struct server *server = argument;

    for (;;) {
        int client = accept(server->listener, NULL, NULL);
        if (client < 0 && errno != EINTR && errno != ECONNABORTED)
            exit(fail(strerror(errno)));
        if (client < 0)
            continue;
        if (send_fd(client, server->segment) < 0)
            perror("pass_fd: sending the descriptor");
        close(client);
    }
}

static int serve(int listener)
{
    struct shmring_config config = {
        .kind = SHMRING_SPSC, .flags = SHMRING_PRODUCER, .capacity = 4096};
    struct server server = {.listener = listener};
    pthread_t thread;
    shmring_t *q;

    if (shmring_create(&q, "memfd:ticker", &config) < 0)
        return fail(shmring_strerror_detail());
    server.segment = shmring_segment_fd(q);
    int rc = pthread_create(&thread, NULL, welcome, &server);
    if (rc != 0)
        return fail(strerror(rc));
    for (unsigned tick = 0;; tick++) {
        char text[32];
        int n = snprintf(text, sizeof text, "tick %u", tick);
        /* Sleeps while the queue is full, until a client comes. */
        if (shmring_send_wait(q, text, (size_t)n, NULL) < 0)
            return fail(shmring_strerror_detail());
    }
}

static int fetch(int server, long count)
{
    shmring_t *q;
    int fd = receive_fd(server);

    if (fd < 0)
        return fail("no descriptor came");
    /* The library refuses a descriptor of no queue, and a memfd that its sender could truncate. */
    int rc = shmring_open_fd(&q, fd, SHMRING_CONSUMER);
    close(fd);
    if (rc < 0)
        return fail(shmring_strerror_detail());
    while (count > 0) {
        char text[32];
        ssize_t n = shmring_recv_wait(q, text, sizeof text, NULL);
        if (n < 0)
            return fail(shmring_strerror_detail());
        printf("%.*s\n", (int)n, text);
        fflush(stdout);
        count--;
    }
    shmring_close(&q);
    return 0;
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int serving = argc == 3 && strcmp(argv[1], "serve") == 0;
    int fetching = argc == 4 && strcmp(argv[1], "fetch") == 0;

    if ((!serving && !fetching) || strlen(argv[2]) >= sizeof address.sun_path)
        return fail("usage: pass_fd serve SOCKET | pass_fd fetch SOCKET COUNT");
    strcpy(address.sun_path, argv[2]);
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (serving) {
        if (bind(s, (struct sockaddr *)&address, sizeof address) < 0 || listen(s, 8) < 0)
            return fail(strerror(errno));
        return serve(s);
    }
    if (connect(s, (struct sockaddr *)&address, sizeof address) < 0)
        return fail(strerror(errno));
    return fetch(s, strtol(argv[3], NULL, 10));
}
