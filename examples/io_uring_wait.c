/* SPDX-License-Identifier: MIT */
/*
 * A queue and a socket in one io_uring: it waits for the queue by its futex, without a descriptor.
 * Prints each message of the queue and the socket, until one is "quit".
 *
 *   ./io_uring_wait orders /tmp/orders.socket &
 *   echo "two apples" | shmring send orders
 *   echo -n "five pears" | socat - UNIX-SENDTO:/tmp/orders.socket
 *   echo quit | shmring send orders
 *
 *   cc -o io_uring_wait io_uring_wait.c $(pkg-config --cflags --libs libshmring liburing)
 *
 * Needs Linux 6.7. On an older kernel it says so and exits with 77.
 */
#include <errno.h>
#include <liburing.h>
#include <shmring/shmring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The headers of many systems do not have these constants yet. */
enum { FUTEX_WAIT_OPERATION = 51, FUTEX_32_BITS = 2 };

enum { SOCKET = 1, QUEUE, LIMIT }; /* user_data: which request a completion is of */

static int kernel_can(struct io_uring *ring)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    int can = probe && io_uring_opcode_supported(probe, FUTEX_WAIT_OPERATION);

    io_uring_free_probe(probe);
    return can;
}

static int open_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        perror(path);
        exit(1);
    }
    return fd;
}

static void wait_for_socket(struct io_uring *ring, int fd, char *buf, size_t size)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

    io_uring_prep_recv(sqe, fd, buf, size, 0);
    sqe->user_data = SOCKET;
}

/* Request a completion when a notifying participant wakes the futex, its word has changed already,
 * or the time limit is over. */
static void wait_for_queue(struct io_uring *ring, const struct shmring_futex *futex,
                           struct __kernel_timespec *limit)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

    io_uring_prep_rw(FUTEX_WAIT_OPERATION, sqe, FUTEX_32_BITS, futex->word, 0, futex->value);
    sqe->addr3 = UINT32_MAX;
    sqe->flags = IOSQE_IO_LINK;
    sqe->user_data = QUEUE;

    limit->tv_sec = futex->limit_ns / 1000000000;
    limit->tv_nsec = futex->limit_ns % 1000000000;
    sqe = io_uring_get_sqe(ring);
    io_uring_prep_link_timeout(sqe, limit, 0);
    sqe->user_data = LIMIT;
}

/* Returns true for the last message, "quit". */
static int print(const char *from, const char *message, ssize_t n)
{
    printf("%s: %.*s\n", from, (int)n, message);
    fflush(stdout);
    return n == 4 && memcmp(message, "quit", 4) == 0;
}

/* Print all messages in the queue, and arm its futex. Returns 1 after the last one, "quit". */
static int drain(shmring_t *q, struct shmring_futex *futex)
{
    char message[1000];
    ssize_t n;
    int armed;

    do { /* arm before receiving, so that the library passes a wake-up on when messages remain */
        armed = shmring_futex_arm(q, SHMRING_READABLE, futex);
        while (armed == 1 && (n = shmring_recv(q, message, sizeof message)) != -EAGAIN)
            if (n < 0 || print("queue", message, n))
                return n < 0 ? (int)n : 1;
    } while (armed == 1);
    return armed;
}

int main(int argc, char **argv)
{
    const struct shmring_config config = {.kind = SHMRING_MPMC,
                                          .capacity = 256,
                                          .max_message = 1000,
                                          .flags = SHMRING_OPEN_OR_CREATE | SHMRING_CONSUMER};
    struct shmring_futex futex;
    struct __kernel_timespec limit;
    struct io_uring_cqe *cqe;
    struct io_uring ring;
    char datagram[1000];
    shmring_t *q;

    if (argc != 3) {
        fputs("usage: io_uring_wait QUEUE SOCKET\n", stderr);
        return 2;
    }
    if (io_uring_queue_init(8, &ring, 0) < 0 || !kernel_can(&ring)) {
        fputs("io_uring_wait: this kernel's io_uring cannot wait on a futex\n", stderr);
        return 77;
    }
    if (shmring_create(&q, argv[1], &config) < 0) {
        fprintf(stderr, "io_uring_wait: %s\n", shmring_strerror_detail());
        return 1;
    }
    int fd = open_socket(argv[2]), last = drain(q, &futex);
    wait_for_socket(&ring, fd, datagram, sizeof datagram);
    wait_for_queue(&ring, &futex, &limit);
    while (last == 0 && io_uring_submit_and_wait(&ring, 1) >= 0 &&
           io_uring_peek_cqe(&ring, &cqe) == 0) {
        const int n = cqe->res;
        const uint64_t whose = cqe->user_data;
        io_uring_cqe_seen(&ring, cqe);
        if (whose == SOCKET) {
            last = n < 0 ? n : print("socket", datagram, n);
            wait_for_socket(&ring, fd, datagram, sizeof datagram);
        } else if (whose == QUEUE) { /* woken, or the word had changed: poll the queue */
            last = drain(q, &futex);
            wait_for_queue(&ring, &futex, &limit);
        }
    }
    if (last < 0)
        fprintf(stderr, "io_uring_wait: %s\n", shmring_strerror_detail());
    io_uring_queue_exit(&ring); /* before the queue's memory, with the futex, is unmapped */
    shmring_close(&q);
    unlink(argv[2]);
    return last != 1;
}
