/* SPDX-License-Identifier: MIT */
/* SPSC under the stepper: what a participant does, and what it may receive after a death. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "spsc.h"

struct participants here;

/* One stream. Which messages were sent at all, the figures and the counters say. */
static struct oracle sender = {.streams = 1, .deaths = true, .sent = {{.begun = UINT64_MAX}}};

static shmring_t *open_role(struct crash_world *w, unsigned role, struct shmring_stat *st)
{
    shmring_t *q = NULL;
    int r = shmring_open_fd(&q, w->fd, role);

    if (crash_check(w, r == 0, "attaching as %s: %d, %s",
                    role == SHMRING_PRODUCER ? "producer" : "consumer", r,
                    shmring_strerror_detail()))
        shmring_stat(q, st);
    return q;
}

void open_producer(struct crash_world *w)
{
    struct shmring_stat st = {0};

    here.producer = open_role(w, SHMRING_PRODUCER, &st);
    here.next = st.sent;
}

void open_consumer(struct crash_world *w)
{
    struct shmring_stat st = {0};

    here.consumer = open_role(w, SHMRING_CONSUMER, &st);
    here.reader = oracle_reader(true);
    here.reader.next[0] = st.received;
}

int send_next(struct crash_world *w)
{
    uint8_t bytes[LONGEST];

    message_write(here.next, bytes);
    crash_call(w);
    int r = shmring_send(here.producer, bytes, message_length(here.next));
    crash_called(w);
    here.next += r == 0;
    return r;
}

void fill(struct crash_world *w)
{
    struct shmring_stat st;
    int r;

    for (int i = 0; (r = send_next(w)) == 0; i++)
        if (!crash_check(w, i < TOO_MANY, "it never gets full"))
            return;
    shmring_stat(here.producer, &st);
    crash_check(w, r == -EAGAIN && st.depth_bytes + record_size(here.next) + SPARE > CAPACITY,
                "sending message %" PRIu64 ": %d with %" PRIu64 " bytes in the queue", here.next, r,
                st.depth_bytes);
}

/* These bytes have come: are they the next message? */
static bool judge(struct crash_world *w, const void *bytes, ssize_t length, bool flagged)
{
    const uint64_t next = here.reader.next[0];
    enum oracle_verdict verdict;
    uint64_t name = next;

    if (!crash_check(w, length >= 0, "taking message %" PRIu64 ": %zd", next, length))
        return false;
    verdict = oracle_read(&name, bytes, (size_t)length, LONGEST_MESSAGE);
    if (verdict == ORACLE_RIGHT)
        verdict = oracle_receive(&sender, &here.reader, name, flagged);
    return crash_check(w, verdict == ORACLE_RIGHT,
                       "message %" PRIu64 " in place of %" PRIu64 ": %s", name, next,
                       oracle_says(verdict));
}

bool hold_next(struct crash_world *w, struct shmring_info *info)
{
    const void *msg;

    crash_call(w);
    ssize_t length = shmring_peek(here.consumer, &msg, info);
    crash_called(w);
    if (length == -EAGAIN)
        return false;
    if (!judge(w, msg, length, info && info->flags & SHMRING_REDELIVERED))
        return false;
    here.held[here.held_count++] = msg;
    return true;
}

void release_held(struct crash_world *w)
{
    for (int i = 0; i < here.held_count; i++) {
        crash_call(w);
        int r = shmring_release(here.consumer, here.held[i]);
        crash_called(w);
        crash_check(w, r == 0, "releasing: %d", r);
    }
    here.held_count = 0;
}

void send_some(struct crash_world *w, int n)
{
    while (n-- > 0)
        crash_check(w, send_next(w) == 0, "no room");
}

/* ---- After a death -------------------------------------------------------------------------- */

static const struct witness *dead_witness(const struct crash_world *w)
{
    return (const void *)w->shared->seat[CRASH_VICTIM].witness;
}

uint64_t dead_start(const struct crash_world *w)
{
    if (!w->operation->attaches)
        return dead_witness(w)->start;
    return w->operation->role == SHMRING_PRODUCER ? w->sent : w->received;
}

bool dead_had(const struct crash_world *w, uint64_t n)
{
    const struct witness *dead = dead_witness(w);
    uint64_t i = n - dead_start(w);

    return i < dead->taken || (i < BATCH && message_is(n, dead->buffer[i], message_length(n)));
}

/* Which messages must be flagged: those that a dead consumer had. Which may be: those that one can
 * have had. */
static void expect_flags(const struct crash_world *w)
{
    const int id = w->state->id;

    here.reader.must_flag = 0;
    here.reader.may_flag = UINT64_MAX;
    if (!w->operation) /* while the state is prepared */
        return;
    if (id == REDELIVERED || id == DEAD_NEIGHBOUR)
        here.reader.must_flag = w->received + (id == REDELIVERED ? 2 : 1);
    if (w->operation->role != SHMRING_CONSUMER)
        return;
    uint64_t had = dead_start(w);
    here.reader.may_flag = had + 2 + BATCH;
    while (dead_had(w, had))
        had++;
    if (here.reader.must_flag < had)
        here.reader.must_flag = had;
}

/* A message that was in the dump must have the deliveries of the dump. A live consumer may have
 * given it back since. */
static void check_deliveries(struct crash_world *w, uint64_t n, const struct shmring_info *info)
{
    const struct figures *f = figures_of(w);

    crash_check(w, (info->flags & SHMRING_REDELIVERED) == (info->deliveries > 1),
                "message %" PRIu64 ": flags %u, delivery %u", n, info->flags, info->deliveries);
    if (!f->taken || n < f->st.received || n >= f->st.sent)
        return;
    const struct figures_message *m = &f->messages[n - f->st.received];
    crash_check(
        w, info->deliveries == m->deliveries + 1 || (w->paused && info->deliveries > m->deliveries),
        "figures: dump says that message %" PRIu64 " was taken %u times, peek says %u", n,
        m->deliveries, info->deliveries - 1);
    crash_check(w, info->position == m->position, "figures: position %" PRIu64 ", in dump %" PRIu64,
                info->position, m->position);
}

void drain(struct crash_world *w)
{
    struct shmring_info info;
    uint8_t bytes[LONGEST];

    for (int i = 0; i < TOO_MANY; i++) {
        expect_flags(w);
        if (!hold_next(w, &info))
            return;
        check_deliveries(w, here.reader.next[0] - 1, &info);
        release_held(w);
        if (i < BATCH + 2)
            continue; /* recv does not show the flags */
        here.reader.must_flag = 0;
        const ssize_t length = shmring_recv(here.consumer, bytes, sizeof bytes);
        if (length == -EAGAIN || !judge(w, bytes, length, false))
            return;
    }
    crash_check(w, false, "it never gets empty");
}

void close_all(void)
{
    shmring_close(&here.producer);
    shmring_close(&here.consumer);
    shmring_close(&here.observer);
    memset(&here, 0, sizeof here);
}
