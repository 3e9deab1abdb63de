/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "tap.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK = 1 << 16, HEARD_MAX = 1 << 20 };

struct tap_shared {
    _Atomic int more, said;
    _Atomic size_t length;
    char heard[HEARD_MAX];
};

struct ends {
    struct tap_shared *shared;
    int listener;
    struct sockaddr_in server;
};

static void pass_on(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t written = send(fd, bytes, n, MSG_NOSIGNAL);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            _exit(0); /* the client has gone, and this connection ends with it */
        bytes += written;
        n -= (size_t)written;
    }
}

static void keep(struct tap_shared *shared, const char *bytes, size_t n)
{
    const size_t length = shared->length;

    if (n > HEARD_MAX - length)
        n = HEARD_MAX - length;
    memcpy(shared->heard + length, bytes, n);
    shared->length = length + n;
}

/* Send messages to the subscription of the one inbox whose name is no pattern. */
static void say_more(struct tap_shared *shared, int bridge)
{
    const char *at = shared->heard, *end = at + shared->length;
    char inbox[128], message[256];
    int id;

    while ((at = memmem(at, (size_t)(end - at), "SUB _INBOX.", 11)) != NULL) {
        if (sscanf(at, "SUB %127s %d", inbox, &id) == 2 && !strchr(inbox, '*'))
            break;
        at++;
    }
    if (!at)
        return;
    int length = snprintf(message, sizeof message, "MSG %s %d 5\r\nhello\r\n", inbox, id);
    for (int i = 0; i < shared->more; i++)
        pass_on(bridge, message, (size_t)length);
    shared->said += shared->more;
}

/* Pass on what one end has sent to the other end. */
static void forward(struct tap_shared *shared, int from, int to, bool answers)
{
    static char bytes[CHUNK];
    ssize_t n = recv(from, bytes, sizeof bytes, 0);

    if (n < 0 && errno == EINTR)
        return;
    if (n <= 0)
        _exit(0);
    if (!answers)
        keep(shared, bytes, (size_t)n);
    else if (shared->more > 0 && memmem(bytes, (size_t)n, "PONG\r\n", 6))
        say_more(shared, to);
    pass_on(to, bytes, (size_t)n);
}

static int tap(void *argument)
{
    const struct ends *ends = argument;
    int bridge = accept(ends->listener, NULL, NULL);
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    child_assert(bridge >= 0);
    child_assert(connect(server, (const void *)&ends->server, sizeof ends->server) == 0);
    for (;;) {
        struct pollfd fds[] = {{bridge, POLLIN, 0}, {server, POLLIN, 0}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return 1;
        if (fds[0].revents)
            forward(ends->shared, bridge, server, false);
        if (fds[1].revents)
            forward(ends->shared, server, bridge, true);
    }
}

void tap_start(struct tap *t, const struct nats *n)
{
    const int port = atoi(strrchr(n->url, ':') + 1);
    struct sockaddr_in here = nats_loopback(0);
    socklen_t size = sizeof here;
    struct ends ends = {.server = nats_loopback(port)};

    t->shared =
        mmap(NULL, sizeof *t->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(t->shared, MAP_FAILED);
    ends.shared = t->shared;
    ends.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(ends.listener, (void *)&here, size), 0);
    cr_assert_eq(listen(ends.listener, 1), 0);
    cr_assert_eq(getsockname(ends.listener, (void *)&here, &size), 0);
    snprintf(t->url, sizeof t->url, "url=nats://127.0.0.1:%d", ntohs(here.sin_port));
    t->pid = test_fork(tap, &ends);
    close(ends.listener);
}

void tap_say_more(struct tap *t, int count)
{
    t->shared->more = count;
}

int tap_said(const struct tap *t)
{
    return t->shared->said;
}

bool tap_heard(const struct tap *t, const char *text)
{
    return memmem(t->shared->heard, t->shared->length, text, strlen(text)) != NULL;
}

void tap_stop(struct tap *t)
{
    cr_assert_eq(test_wait(t->pid), 0);
    munmap(t->shared, sizeof *t->shared);
}
