/* SPDX-License-Identifier: MIT */
/*
 * libqb's IPC over shared memory: A is the client and sends requests, B is the server and sends
 * responses. Both are in libqb's rings; for each request a byte in a socket, which the server
 * polls, wakes it. Before each message is libqb's header of 16 (request) or 24 bytes (response).
 * The server checks a request in the ring, where libqb shows it.
 */
#include <config.h>

#include <errno.h>
#include <glob.h>
#include <poll.h>
#include <qb/qbipcc.h>
#include <qb/qbipcs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "all.h"

enum { POLLED_MAX = 8, HEADER_MAX = sizeof(struct qb_ipc_response_header) };

/* What the server polls for libqb: its sockets. */
struct polled {
    void *data;
    qb_ipcs_dispatch_fn_t call;
};

struct ipc {
    char name[64];
    _Atomic pid_t *server;  /* mapped by all, so that the parent can remove what it left */
    unsigned char *message; /* header and payload */
    size_t room;            /* bytes that libqb allows to be in its ring */
    qb_ipcc_connection_t *client;
    qb_ipcs_connection_t *connection; /* the server's */
    struct pollfd pollfds[POLLED_MAX];
    struct polled polled[POLLED_MAX];
    nfds_t n_polled;
    uint64_t next; /* request */
    long arrived;  /* requests that recv() has not returned yet */
    int result;    /* -1 when one of them was wrong */
};

/* The server's link, for libqb's callbacks that get no data. */
static struct link *server_link;

static int32_t add_polled(enum qb_loop_priority p, int32_t fd, int32_t events, void *data,
                          qb_ipcs_dispatch_fn_t call)
{
    struct ipc *ipc = server_link->state;
    (void)p;
    if (ipc->n_polled == POLLED_MAX)
        return -ENOMEM;
    ipc->pollfds[ipc->n_polled] = (struct pollfd){.fd = fd, .events = (short)events};
    ipc->polled[ipc->n_polled++] = (struct polled){data, call};
    return 0;
}

static int32_t modify_polled(enum qb_loop_priority p, int32_t fd, int32_t events, void *data,
                             qb_ipcs_dispatch_fn_t call)
{
    struct ipc *ipc = server_link->state;
    (void)p;
    for (nfds_t i = 0; i < ipc->n_polled; i++)
        if (ipc->pollfds[i].fd == fd) {
            ipc->pollfds[i].events = (short)events;
            ipc->polled[i] = (struct polled){data, call};
            return 0;
        }
    return -ENOENT;
}

static int32_t remove_polled(int32_t fd)
{
    struct ipc *ipc = server_link->state;
    for (nfds_t i = 0; i < ipc->n_polled; i++)
        if (ipc->pollfds[i].fd == fd) {
            ipc->n_polled--;
            ipc->pollfds[i] = ipc->pollfds[ipc->n_polled];
            ipc->polled[i] = ipc->polled[ipc->n_polled];
            return 0;
        }
    return -ENOENT;
}

/* libqb asks to run a job later; it is run at once. */
static int32_t add_job(enum qb_loop_priority p, void *data, qb_loop_job_dispatch_fn call)
{
    (void)p;
    call(data);
    return 0;
}

static void connected(qb_ipcs_connection_t *c)
{
    struct ipc *ipc = server_link->state;
    ipc->connection = c;
}

/* A request has come. */
static int32_t take(qb_ipcs_connection_t *c, void *data, size_t size)
{
    struct link *l = server_link;
    struct ipc *ipc = l->state;
    const size_t length = size - sizeof(struct qb_ipc_request_header);
    (void)c;
    if (length != l->size)
        ipc->result = link_bad_length(l, ipc->next, (long)length);
    else if (!link_check(l, (struct qb_ipc_request_header *)data + 1, ipc->next))
        ipc->result = -1;
    ipc->next++;
    ipc->arrived++;
    return 0;
}

/* Wait timeout_ms, or for ever if -1, and let libqb call what is due. */
static void serve(struct ipc *ipc, int timeout_ms)
{
    if (poll(ipc->pollfds, ipc->n_polled, timeout_ms) <= 0)
        return;
    for (nfds_t i = ipc->n_polled; i-- > 0;) /* backwards: a call may remove its own */
        if (ipc->pollfds[i].revents != 0) {
            const struct polled p = ipc->polled[i];
            if (p.call(ipc->pollfds[i].fd, ipc->pollfds[i].revents, p.data) < 0)
                remove_polled(ipc->pollfds[i].fd);
        }
}

static int start_server(struct link *l)
{
    static struct qb_ipcs_service_handlers handlers = {.connection_created = connected,
                                                       .msg_process = take};
    static struct qb_ipcs_poll_handlers polls = {add_job, add_polled, modify_polled, remove_polled};
    struct ipc *ipc = l->state;
    server_link = l;
    *ipc->server = getpid();
    qb_ipcs_service_t *service = qb_ipcs_create(ipc->name, 0, QB_IPC_SHM, &handlers);
    if (!service)
        return link_errno(l, "qb_ipcs_create");
    qb_ipcs_poll_handlers_set(service, &polls);
    qb_ipcs_enforce_buffer_size(service, (uint32_t)ipc->room);
    const int32_t r = qb_ipcs_run(service);
    if (r < 0)
        return link_fail(l, "qb_ipcs_run: %s", strerror(-r));
    while (!ipc->connection)
        serve(ipc, -1);
    return 0;
}

/* Tries again until the server answers. */
static int start_client(struct link *l)
{
    struct ipc *ipc = l->state;
    while (!(ipc->client = qb_ipcc_connect(ipc->name, ipc->room))) {
        if (errno != ECONNREFUSED && errno != ENOENT)
            return link_errno(l, "qb_ipcc_connect");
        usleep(1000);
    }
    return 0;
}

static int attach(struct link *l)
{
    return l->side == SIDE_A ? start_client(l) : start_server(l);
}

static int open_service(struct link *l)
{
    struct ipc *ipc = calloc(1, sizeof *ipc);
    if (!ipc)
        return link_errno(l, "calloc");
    l->state = ipc;
    snprintf(ipc->name, sizeof ipc->name, "shmring-bench.%ld.qb", (long)getpid());
    ipc->room = link_slots(l, l->size + HEADER_MAX) * (l->size + HEADER_MAX);
    ipc->message = calloc(1, HEADER_MAX + l->size);
    if (!ipc->message)
        return link_errno(l, "calloc");
    void *p =
        mmap(NULL, sizeof *ipc->server, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return link_errno(l, "mmap");
    ipc->server = p;
    return 0;
}

/* The processes end without closing the connection, so its folder, named after the server, is
 * left. */
static void remove_folder(pid_t server)
{
    char pattern[64];
    glob_t found;
    snprintf(pattern, sizeof pattern, "/dev/shm/qb-%ld-*/*", (long)server);
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            unlink(found.gl_pathv[i]);
    globfree(&found);
    snprintf(pattern, sizeof pattern, "/dev/shm/qb-%ld-*", (long)server);
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            rmdir(found.gl_pathv[i]);
    globfree(&found);
}

static void close_service(struct link *l)
{
    struct ipc *ipc = l->state;
    if (!ipc)
        return;
    if (ipc->server) {
        if (*ipc->server > 0)
            remove_folder(*ipc->server);
        munmap(ipc->server, sizeof *ipc->server);
    }
    free(ipc->message);
    free(ipc);
}

/* The ring is full, or would be: try again. */
static bool is_full(ssize_t r)
{
    return r == -EAGAIN || r == -ENOBUFS || r == -EINTR || r == -ETIMEDOUT;
}

static ssize_t send_one(struct link *l, uint64_t seq)
{
    struct ipc *ipc = l->state;
    const bool requests = l->side == SIDE_A;
    const size_t header = requests ? sizeof(struct qb_ipc_request_header) : HEADER_MAX;
    const size_t length = header + l->size;
    ssize_t r;
    if (requests)
        *(struct qb_ipc_request_header *)(void *)ipc->message =
            (struct qb_ipc_request_header){.id = QB_IPC_MSG_USER_START, .size = (int32_t)length};
    else
        *(struct qb_ipc_response_header *)(void *)ipc->message =
            (struct qb_ipc_response_header){.id = QB_IPC_MSG_USER_START, .size = (int32_t)length};
    payload_fill(ipc->message + header, l->size, seq);
    do
        r = requests ? qb_ipcc_send(ipc->client, ipc->message, length)
                     : qb_ipcs_response_send(ipc->connection, ipc->message, length);
    while (is_full(r));
    return r;
}

static long send_messages(struct link *l, uint64_t seq, long n)
{
    for (long i = 0; i < n; i++) {
        const ssize_t r = send_one(l, seq + (uint64_t)i);
        if (r < 0)
            return link_fail(l, "libqb cannot send: %s", strerror((int)-r));
    }
    return n;
}

static long recv_requests(struct link *l, long n)
{
    struct ipc *ipc = l->state;
    while (ipc->arrived == 0)
        serve(ipc, l->block ? -1 : 0);
    const long told = ipc->arrived < n ? ipc->arrived : n;
    ipc->arrived -= told;
    return ipc->result == 0 ? told : -1;
}

static long recv_response(struct link *l, uint64_t seq)
{
    struct ipc *ipc = l->state;
    ssize_t r;
    do
        r = qb_ipcc_recv(ipc->client, ipc->message, HEADER_MAX + l->size, l->block ? -1 : 0);
    while (is_full(r));
    if (r < 0)
        return link_fail(l, "qb_ipcc_recv: %s", strerror((int)-r));
    if (r != (ssize_t)(HEADER_MAX + l->size))
        return link_bad_length(l, seq, (long)r - HEADER_MAX);
    return link_check(l, ipc->message + HEADER_MAX, seq) ? 1 : -1;
}

static long recv_messages(struct link *l, uint64_t seq, long n)
{
    return l->side == SIDE_B ? recv_requests(l, n) : recv_response(l, seq);
}

const struct transport qb_ipc_transport = {
    .name = "qb-ipc",
    .group = "peers",
    .what = "libqb, requests and responses over shared memory, woken by a socket",
    .flags = CAN_SPIN | CAN_BLOCK,
    .open = open_service,
    .attach = attach,
    .send = send_messages,
    .recv = recv_messages,
    .close = close_service,
};
