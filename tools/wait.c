/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

/* The longest sleep. A signal that arrives just before a sleep is noticed after it. */
#define SLICE_NS INT64_C(100000000)

volatile sig_atomic_t stop_signal;

/*
 * A signal interrupts a blocking call, but not if it arrives just before the call. So an alarm
 * interrupts the call a second later, and again each second until the program has ended.
 */
static void on_signal(int signo)
{
    if (signo != SIGALRM)
        stop_signal = signo;
    alarm(1);
}

void catch_signals(void)
{
    static const int leave[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART */
    sigaction(SIGALRM, &action, NULL);
    for (size_t i = 0; i < sizeof leave / sizeof leave[0]; i++) {
        struct sigaction before;
        sigaction(leave[i], NULL, &before);
        if (before.sa_handler != SIG_IGN) /* SIG_IGN: nohup, or a shell's background job */
            sigaction(leave[i], &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
}

void end_by_signal(void)
{
    if (stop_signal == 0)
        return;
    signal(stop_signal, SIG_DFL);
    raise(stop_signal);
}

int patience_option(struct patience *patience, const struct command *self, int option)
{
    switch (option) {
    case 'w':
        patience->wait_open = true;
        return GO_ON;
    case 't':
        patience->limited = true;
        return parse_seconds(optarg, &patience->timeout)
                   ? GO_ON
                   : bad_value(self, "--timeout", optarg, "seconds, such as 10 or 0.5");
    case 'n':
        patience->no_wait = true;
        return GO_ON;
    case 'h':
        return help(self);
    default:
        return usage(self, NULL);
    }
}

int attach(shmring_t **q, const char *name, unsigned role, const struct patience *patience)
{
    int rc;
    if (patience->wait_open)
        rc = shmring_open_wait(q, name, role, patience->limited ? &patience->timeout : NULL);
    else
        rc = shmring_open(q, name, role);
    return rc < 0 ? failed(name, "cannot open", rc) : EXIT_OK;
}

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int wait_for_event(struct waiting *waiting, shmring_t *q, unsigned event,
                   const struct patience *patience)
{
    struct timespec slice = {.tv_nsec = SLICE_NS};

    if (patience->no_wait)
        return -EAGAIN;
    if (stop_signal)
        return -EINTR;
    const int64_t began = patience->limited ? now_ns() : 0;
    if (patience->limited) {
        if (!waiting->started)
            waiting->deadline_ns =
                began + (int64_t)patience->timeout.tv_sec * 1000000000 + patience->timeout.tv_nsec;
        if (began >= waiting->deadline_ns)
            return -ETIMEDOUT;
        if (waiting->deadline_ns - began < SLICE_NS)
            slice.tv_nsec = (long)(waiting->deadline_ns - began);
    }
    waiting->started = true;

    int rc = shmring_wait(q, event, &slice);
    if (rc > 0)
        return 0;
    if (rc == -EINTR)
        return stop_signal ? -EINTR : 0;
    if (rc != -ETIMEDOUT)
        return rc;
    /* The slice is over, by the kernel's clock; this process's clock may have been replaced and
     * stand still (libfaketime). */
    if (patience->limited && began + slice.tv_nsec > now_ns())
        waiting->deadline_ns -= began + slice.tv_nsec - now_ns();
    rc = shmring_check(q);
    return rc < 0 ? rc : 1;
}

int wait_ready(int fd, short events)
{
    struct pollfd pollfd = {.fd = fd, .events = events};
    return poll(&pollfd, 1, -1) < 0 && stop_signal ? -EINTR : 0;
}
