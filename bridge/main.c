/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bridge.h"

enum {
    METRICS_EVERY = 10000, /* ms */
    DRAIN = 5000,          /* ms, at most, for acknowledgements after SIGTERM */
    A_MOMENT = 10, /* ms: the wait for acknowledgements before a queue is taken out of the mux */
    EVENTS = 64,
    FAILED = 1
};

/* A thread of its own takes the signals, so that it can wake the main thread by any function. */
static void *wait_for_signals(void *bridge)
{
    struct bridge *b = bridge;
    sigset_t signals;
    int which;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    while (sigwait(&signals, &which) != 0)
        continue;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    say(LOG_INFO, "stopping");
    b->stopping = true;
    wake_main(b);
    return NULL;
}

static pthread_t catch_signals(struct bridge *b)
{
    sigset_t signals;
    pthread_t thread;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* inherited by the threads of libnats */
    signal(SIGPIPE, SIG_IGN);
    if (pthread_create(&thread, NULL, wait_for_signals, b) != 0) {
        say(LOG_ERROR, "no thread for signals");
        exit(FAILED);
    }
    return thread;
}

/* The thread may still be in wake_main(): wait for its end. */
static void end_thread(pthread_t thread)
{
    pthread_cancel(thread);
    pthread_join(thread, NULL);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Sleep in the mux until a queue is ready, another thread calls wake_main(), or the deadline is
 * over. */
static void sleep_in_mux(struct bridge *b, int64_t deadline)
{
    struct shmring_mux_event events[EVENTS];
    int64_t ms = deadline - now_ms();
    struct timespec timeout = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    if (ms < 0)
        return;
    int n = shmring_mux_wait(b->mux, events, EVENTS, deadline == INT64_MAX ? NULL : &timeout);
    for (int i = 0; i < n; i++)
        if (events[i].error)
            route_failed(events[i].data, events[i].error);
}

/*
 * One round: let each route do what it can, then sleep. A queue whose messages must wait for
 * acknowledgements is still readable, and a mux with a ready queue does not sleep. So the main
 * thread first sleeps in wake_wait(), for A_MOMENT; if the acknowledgements have not come then, it
 * takes the queue out of the mux until they come.
 */
static void work(struct bridge *b, int64_t *metrics_at)
{
    int64_t deadline = b->config->openmetrics ? *metrics_at : INT64_MAX;
    bool moved = false, hurry = false;

    wake_forget(b);
    for (size_t i = 0; i < b->count; i++) {
        struct route *r = &b->routes[i];
        bool blocked = false;
        if (r->in) {
            moved |= in_work(r);
            deadline = earlier(deadline, in_deadline(r));
            continue;
        }
        moved |= out_work(r, &blocked);
        deadline = earlier(deadline, out_deadline(r));
        if (!blocked && !r->stopped)
            route_watch(r, SHMRING_READABLE, true);
        hurry |= blocked && r->in_mux;
    }
    if (now_ms() >= *metrics_at) {
        metrics_write(b);
        *metrics_at = now_ms() + METRICS_EVERY;
    }
    if (moved)
        return;
    if (!hurry) {
        sleep_in_mux(b, deadline);
        return;
    }
    if (wake_wait(b, A_MOMENT))
        return;
    for (size_t i = 0; i < b->count; i++)
        if (b->routes[i].out)
            route_watch(&b->routes[i], SHMRING_READABLE, false);
}

/* Before the end: wait for the acknowledgements of messages in flight, and put the messages that
 * have come into their queues. */
static void drain(struct bridge *b)
{
    const int64_t until = now_ms() + DRAIN;
    bool more = true, blocked;

    while (more && now_ms() < until && b->connected) {
        more = false;
        wake_forget(b);
        for (size_t i = 0; i < b->count; i++) {
            struct route *r = &b->routes[i];
            if (r->out) {
                (void)out_work(r, &blocked);
                more |= !r->stopped && out_in_flight(r) > 0;
            } else {
                (void)in_work(r);
            }
        }
        if (more)
            (void)wake_wait(b, A_MOMENT);
    }
    for (size_t i = 0; i < b->count; i++)
        if (b->routes[i].in)
            in_give_back(&b->routes[i]);
    if (b->connected)
        natsConnection_FlushTimeout(b->nc, DRAIN);
}

static bool all_stopped(const struct bridge *b)
{
    for (size_t i = 0; i < b->count; i++)
        if (!b->routes[i].stopped)
            return false;
    return true;
}

static bool all_ready(const struct bridge *b)
{
    for (size_t i = 0; i < b->count; i++)
        if (!b->routes[i].ready && !b->routes[i].stopped && !b->routes[i].lost)
            return false;
    return true;
}

static int run(struct bridge *b)
{
    int64_t metrics_at = 0;
    bool ready = false;

    while (!b->stopping && !b->closed) {
        work(b, &metrics_at);
        if (all_stopped(b)) {
            say(LOG_ERROR, "no route is left");
            return FAILED;
        }
        if (!ready && all_ready(b)) {
            ready = true;
            say(LOG_INFO, "ready");
            notify("READY=1");
            metrics_at = 0;
        }
    }
    if (b->closed && !b->stopping)
        return FAILED;
    notify("STOPPING=1");
    drain(b);
    return 0;
}

static int open_routes(struct bridge *b)
{
    b->routes = calloc(b->config->count, sizeof *b->routes);
    if (!b->routes)
        return -ENOMEM;
    for (; b->count < b->config->count; b->count++) {
        struct route *r = &b->routes[b->count];
        int result = route_open(b, r, &b->config->routes[b->count]);
        if (result < 0) {
            b->count++;
            return result;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct bridge b;
    struct config config = {0};
    int status = options_parse(&config, argc, argv);

    if (status >= 0) {
        config_free(&config);
        return status;
    }
    b.config = &config;
    wake_init(&b.wake);
    const pthread_t signals = catch_signals(&b);
    status = FAILED;
    int result = shmring_mux_create(&b.mux, NULL);
    if (result == 0)
        result = server_connect(&b);
    else
        say(LOG_ERROR, "no mux: %s", strerror(-result));
    if (result == 0 && open_routes(&b) == 0)
        status = run(&b);
    else if (result == -EINTR)
        status = 0;
    b.ended = true;
    metrics_write(&b);
    for (size_t i = 0; i < b.count; i++)
        route_silence(&b.routes[i]);
    if (!server_close(&b)) /* its threads may still use what would be freed now, or by exit() */
        _exit(status);
    end_thread(signals);
    for (size_t i = 0; i < b.count; i++)
        route_close(&b.routes[i]);
    shmring_mux_destroy(&b.mux);
    free(b.routes);
    config_free(&config);
    return status;
}
