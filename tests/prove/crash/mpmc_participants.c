/* SPDX-License-Identifier: MIT */
/* What each participant of an mpmc queue under the stepper does: it sends and takes messages, and
 * notes them in the ledger. */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/core/recovery.h"
#include "mpmc.h"

/* A consumer sweeps when it has found nothing for the first and for the 17th time. */
enum { POLLS = 18, TOO_MANY = 1000 };

struct participants here;

shmring_t *join(struct crash_world *w)
{
    shmring_t *q = NULL;
    int r = shmring_open_fd(&q, w->fd, BOTH);

    if (crash_check(w, r == 0, "attaching: %d, %s", r, shmring_strerror_detail()))
        q->sending->pauses = q->receiving->pauses = 1; /* a long back-off would only wait */
    return q;
}

bool dies(const struct crash_world *w)
{
    return w->seat == &w->shared->seat[CRASH_VICTIM] || !w->paused;
}

shmring_t *join_and_die(struct crash_world *w)
{
    if (dies(w))
        ledger_doomed(w);
    return join(w);
}

void allow_sweep(shmring_t *q)
{
    atomic_store(&q->mpmc.queue.tail_page->swept, 0);
}

void prevent_sweep(shmring_t *q)
{
    atomic_store(&q->mpmc.queue.tail_page->swept, shmr_coarse_now());
}

enum source me(const struct crash_world *w)
{
    return !w->seat ? TESTER : w->seat == &w->shared->seat[CRASH_VICTIM] ? VICTIM : PAUSED;
}

int send_next(struct crash_world *w, shmring_t *q, enum source source)
{
    struct message m = {source, source == BEFORE ? 0 : here.next[source]};
    uint8_t bytes[LONGEST];
    size_t length = ledger_write(m, bytes);

    crash_call(w);
    int r = shmring_send(q, bytes, length);
    crash_called(w);
    if (r == 0) {
        here.next[source]++;
        ledger_sent(w, m);
    }
    return r;
}

void send_some(struct crash_world *w, shmring_t *q, enum source source, int n)
{
    while (n-- > 0)
        crash_check(w, send_next(w, q, source) == 0, "no room");
}

const void *take(struct crash_world *w, shmring_t *q)
{
    struct shmring_info info;
    const void *msg;

    crash_call(w);
    ssize_t length = shmring_peek(q, &msg, &info);
    crash_called(w);
    if (length == -EAGAIN || !crash_check(w, length >= 0, "peek: %zd", length))
        return NULL;
    ledger_got(w, msg, (size_t)length, &info);
    return msg;
}

void give_back(struct crash_world *w, shmring_t *q, const void *msg)
{
    crash_call(w);
    int r = shmring_release(q, msg);
    crash_called(w);
    crash_check(w, r == 0, "release: %d", r);
}

bool pass_one(struct crash_world *w, shmring_t *q)
{
    const void *msg = take(w, q);

    if (msg)
        give_back(w, q, msg);
    return msg != NULL;
}

void drain(struct crash_world *w, shmring_t *q)
{
    for (int i = 0, misses = 0; misses < POLLS && !crash_failed(w); i++) {
        misses = pass_one(w, q) ? 0 : misses + 1;
        crash_check(w, i < TOO_MANY, "it never gets empty");
    }
}

void commit_reservation(struct crash_world *w, shmring_t *q)
{
    struct message m = {me(w), here.next[me(w)]};
    size_t length = ledger_write(m, here.reservation);

    crash_call(w);
    int r = shmring_commit(q, here.reservation, length);
    crash_called(w);
    crash_check(w, r == 0, "commit: %d", r);
    here.reservation = NULL;
    here.next[m.source]++;
    ledger_sent(w, m);
}

void reserve(struct crash_world *w, shmring_t *q)
{
    int r = shmring_reserve(q, LONGEST, &here.reservation);

    if (crash_check(w, r == 0, "reserve: %d", r))
        memset(here.reservation, 0xff, LONGEST); /* no message has these bytes */
}

void release_held(struct crash_world *w, shmring_t *q)
{
    while (here.held_count > 0)
        give_back(w, q, here.held[--here.held_count].msg);
}

void close_all(void)
{
    shmring_close(&here.mine);
    shmring_close(&here.observer);
    shmring_close(&here.producer);
    shmring_close(&here.consumer);
    shmring_close(&here.holder);
    shmring_close(&here.successor);
    memset(&here, 0, sizeof here);
}
