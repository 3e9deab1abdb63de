/* SPDX-License-Identifier: MIT */
/*
 * Waiting in the program's own event loop. The descriptor is an epoll instance that has the event's
 * notifier in it, and a timer, which makes the handle recheck as often as one that sleeps at a
 * futex.
 */
#include <config.h>

#include "wait/poll.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/deadline.h"
#include "wait/notifier.h"
#include "wait/sleep.h"

void shmr_poll_init(shmring_t *q)
{
    for (int e = 0; e < SHMR_EVENTS; e++)
        q->polled[e] = (struct shmr_polled){.fifo = -1, .timer = -1, .fd = -1};
}

static void close_one(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void shmr_poll_close(shmring_t *q)
{
    struct stat segment;
    bool used = false;

    for (int e = 0; e < SHMR_EVENTS; e++) {
        used |= q->polled[e].fifo >= 0;
        close_one(&q->polled[e].fd);
        close_one(&q->polled[e].timer);
        close_one(&q->polled[e].fifo);
    }
    /* Checked after closing: shmring_unlink() removes the name first and the notifiers then. */
    if (used && fstat(q->fd, &segment) == 0 && segment.st_nlink == 0)
        shmr_notifier_remove(q->notifier);
    free(q->notifier);
}

/* Let the timer make the descriptor readable after ns. */
static int set_timer(int timer, int64_t ns)
{
    const struct itimerspec once = {
        .it_value = {.tv_sec = (time_t)(ns / SHMR_SECOND), .tv_nsec = (long)(ns % SHMR_SECOND)}};

    return timerfd_settime(timer, 0, &once, NULL);
}

static bool watch(const struct shmr_polled *p, int fd, uint32_t how)
{
    struct epoll_event event = {.events = EPOLLIN | how};

    return epoll_ctl(p->fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Where a notification is for all that wait, the FIFO is edge-triggered: see notifier.h. */
static bool watch_fifo(const shmring_t *q, const struct shmr_polled *p, int fd)
{
    return fd < 0 || watch(p, fd, q->geometry.type->wake_all ? EPOLLET : 0);
}

static int open_descriptor(shmring_t *q, int event)
{
    struct shmr_polled *p = &q->polled[event];
    const char *refused = NULL;

    if (p->fifo < 0 && !q->read_only) {
        int r = shmr_notifier_open(q, event);
        if (r < 0)
            return r;
        p->fifo = r;
    }
    p->timer = shmr_process_keep_fd(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    p->fd = p->timer < 0 ? -1 : shmr_process_keep_fd(epoll_create1(EPOLL_CLOEXEC));
    if (p->timer < 0)
        refused = "timerfd_create(2)";
    else if (p->fd < 0)
        refused = "epoll_create1(2)";
    else if (!watch_fifo(q, p, p->fifo) || !watch(p, p->timer, 0))
        refused = "epoll_ctl(2)";
    else if (set_timer(p->timer, 1) < 0) /* readable at first: the loop then arms it */
        refused = "timerfd_settime(2)";
    if (refused) {
        int error = errno;
        close_one(&p->fd);
        close_one(&p->timer);
        return shmr_fail(error, "a descriptor to wait by: %s: %s", refused, strerror(error));
    }
    return 0;
}

/*
 * The notifier was removed, and the queue was not: participants that notify from now on would not
 * find it. Make a new one. If that fails, only the rechecks are left.
 */
static void renew_notifier(shmring_t *q, int event)
{
    struct shmr_polled *p = &q->polled[event];
    int fd = shmr_notifier_open(q, event);

    if (fd < 0)
        return;
    if (!watch_fifo(q, p, fd)) {
        close(fd);
        return;
    }
    /* Closing does not do this while a forked child has the old one open. */
    (void)epoll_ctl(p->fd, EPOLL_CTL_DEL, p->fifo, NULL);
    close(p->fifo);
    p->fifo = fd;
}

/* The descriptor of the event, opened if need be. */
static int get(shmring_t *q, unsigned event)
{
    const int e = shmr_event_index(event);
    int r = shmr_wait_check(q, event);

    if (r == 0 && event == (SHMRING_READABLE | SHMRING_WRITABLE))
        return shmr_fail_fast(EINVAL, "one descriptor is for one event: call twice", 0, 0);
    if (r == 0 && q->polled[e].fd < 0)
        r = open_descriptor(q, e);
    return r < 0 ? r : q->polled[e].fd;
}

int shmring_fd(shmring_t *q, unsigned event)
{
    int r = shmr_handle_check(q);

    if (r < 0)
        return r;
    SHMR_NO_CANCEL();
    SHMR_ALONE(q);
    return get(q, event);
}

/* Take back what made the descriptor readable so far. Bytes beyond 256 only cause a needless
 * wake-up. */
static int settle(const shmring_t *q, const struct shmr_polled *p)
{
    struct epoll_event events[2];
    char bytes[256];

    if (p->fifo < 0)
        return 0;
    if (q->geometry.type->wake_all) { /* this handle's edge; the byte is there for others */
        if (epoll_wait(p->fd, events, 2, 0) < 0 && errno != EINTR)
            return shmr_fail(errno, "waiting for the notifier: %s", strerror(errno));
    } else if (read(p->fifo, bytes, sizeof bytes) < 0 && errno != EAGAIN) {
        return shmr_fail(errno, "reading the notifier: %s", strerror(errno));
    }
    return 0;
}

int shmring_fd_arm(shmring_t *q, unsigned event)
{
    uint32_t value[SHMR_EVENTS];
    uint64_t expirations;
    int64_t limit;
    int r = shmr_handle_check(q);

    if (r < 0)
        return r;
    SHMR_NO_CANCEL();
    SHMR_ALONE(q);
    r = get(q, event);
    if (r < 0)
        return r;

    const int e = shmr_event_index(event);
    struct shmr_polled *p = &q->polled[e];
    if (p->fifo >= 0 && shmr_notifier_is_removed(p->fifo))
        renew_notifier(q, e);
    r = settle(q, p);
    if (r < 0)
        return r;
    if (p->limit && read(p->timer, &expirations, sizeof expirations) > 0)
        shmr_wait_have_passed(q, p->armed, p->limit);
    r = shmr_wait_arm(q, event, SHMR_WAITWORD_POLLED, value, &limit);
    p->armed = shmr_wait_now(q);
    p->limit = r == 0 ? limit : 0;
    if (r == 0 && set_timer(p->timer, limit) < 0)
        return shmr_fail(errno, "setting the timer: %s", strerror(errno));
    return r;
}
