/* SPDX-License-Identifier: MIT */
/* shmring_fd() in the event loops for which configure found the libraries. */
#include <config.h>

#include <errno.h>

#include "event_loop.h"
#include "support.h"

TestSuite(event_loops, .timeout = 120);

enum { NUMBERS = 20000 };

/* Recheck only after an hour, so that each event that comes was notified. */
static const struct shmring_waiting sleepy = {.recheck_ms = 3600000};

static char name[TEST_NAME_SIZE];
static shmring_t *q;
static int next;

static int send_numbers(void *unused)
{
    shmring_t *producer;
    (void)unused;

    child_assert(shmring_open(&producer, name, SHMRING_PRODUCER) == 0);
    child_assert(shmring_set_waiting(producer, &sleepy) == 0);
    for (int i = 0; i < NUMBERS; i++)
        child_assert(shmring_send_wait(producer, &i, sizeof i, NULL) == 0);
    shmring_close(&producer);
    return 0;
}

bool receive_numbers(void)
{
    int number;
    ssize_t n;

    do {
        while ((n = shmring_recv(q, &number, sizeof number)) == sizeof number)
            cr_assert_eq(number, next++);
        cr_assert_eq(n, -EAGAIN);
    } while (shmring_fd_arm(q, SHMRING_READABLE) > 0);
    return next == NUMBERS;
}

/* Run a loop in which a process sends and this one receives. Unused if configure found no
 * library. */
__attribute__((unused)) static void check_loop(void (*run)(int fd))
{
    test_name(name);
    q = test_create(name, SHMRING_CONSUMER, 4096);
    cr_assert_eq(shmring_set_waiting(q, &sleepy), 0);
    int fd = shmring_fd(q, SHMRING_READABLE);
    cr_assert_geq(fd, 0);
    pid_t pid = test_fork(send_numbers, NULL);
    run(fd);
    cr_assert_eq(next, NUMBERS);
    cr_assert_eq(test_wait(pid), 0);
    shmring_close(&q);
    cr_assert_eq(shmring_unlink(name), 0);
}

/* ---- libuv ----------------------------------------------------------------------------------- */

#ifdef HAVE_LIBUV
#include <uv.h>

static void on_uv(uv_poll_t *poll, int status, int events)
{
    cr_assert_eq(status, 0);
    cr_assert_eq(events, UV_READABLE);
    if (receive_numbers())
        uv_close((uv_handle_t *)poll, NULL);
}

static void run_uv(int fd)
{
    uv_loop_t loop;
    uv_poll_t poll;

    cr_assert_eq(uv_loop_init(&loop), 0);
    cr_assert_eq(uv_poll_init(&loop, &poll, fd), 0);
    cr_assert_eq(uv_poll_start(&poll, UV_READABLE, on_uv), 0);
    cr_assert_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    cr_assert_eq(uv_loop_close(&loop), 0);
}
#endif

Test(event_loops, libuv)
{
#ifdef HAVE_LIBUV
    check_loop(run_uv);
#else
    cr_skip_test("libuv was not found by configure");
#endif
}

/* ---- libevent -------------------------------------------------------------------------------- */

#ifdef HAVE_LIBEVENT
#include <event2/event.h>

static void on_event(evutil_socket_t fd, short what, void *base)
{
    (void)fd;
    cr_assert_eq(what & EV_READ, EV_READ);
    if (receive_numbers())
        cr_assert_eq(event_base_loopbreak(base), 0);
}

static void run_event_with(int fd, short how)
{
    struct event_base *base = event_base_new();
    struct event *event = event_new(base, fd, (short)(EV_READ | EV_PERSIST | how), on_event, base);

    cr_assert_eq(event_add(event, NULL), 0);
    cr_assert_eq(event_base_dispatch(base), 0);
    event_free(event);
    event_base_free(base);
}

static void run_event(int fd)
{
    run_event_with(fd, 0);
}

static void run_event_edge(int fd)
{
    run_event_with(fd, EV_ET);
}
#endif

Test(event_loops, libevent)
{
#ifdef HAVE_LIBEVENT
    check_loop(run_event);
#else
    cr_skip_test("libevent was not found by configure");
#endif
}

Test(event_loops, libevent_edge_triggered)
{
#ifdef HAVE_LIBEVENT
    check_loop(run_event_edge);
#else
    cr_skip_test("libevent was not found by configure");
#endif
}

/* ---- libev ----------------------------------------------------------------------------------- */

Test(event_loops, libev)
{
#ifdef HAVE_LIBEV
    check_loop(run_ev);
#else
    cr_skip_test("libev was not found by configure");
#endif
}
