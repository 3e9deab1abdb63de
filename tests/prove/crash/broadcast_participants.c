/* SPDX-License-Identifier: MIT */
/* Broadcast under the stepper: what a participant does, and what a consumer may receive. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "broadcast.h"

/* In the first -EAGAIN in a row, and then in every 16th, the producer tests a lock. */
enum { POLLS = 18 };

struct participants here;
struct prepared prepared;

/* One stream. Which messages were sent at all, the figures and the counters say. */
static struct oracle sender = {.streams = 1, .sent = {{.begun = UINT64_MAX}}};

struct book *book(const struct crash_world *w)
{
    _Static_assert(sizeof(struct book) <= sizeof w->shared->book, "the book is too big");
    return (void *)w->shared->book;
}

const struct witness *witness_of(const struct crash_world *w, int seat)
{
    _Static_assert(sizeof(struct witness) <= sizeof w->shared->seat[0].witness, "too big");
    return (const void *)w->shared->seat[seat].witness;
}

/* ---- Messages ------------------------------------------------------------------------------- */

/* Sums over the messages before each. */
static const uint64_t *sums(uint64_t (*of)(uint64_t n), uint64_t sum[NUMBERS + 1])
{
    for (uint64_t n = 0; sum[NUMBERS] == 0 && n < NUMBERS; n++)
        sum[n + 1] = sum[n] + of(n);
    return sum;
}

static uint64_t length_of(uint64_t n)
{
    return message_length(n);
}

uint64_t position_of(uint64_t n)
{
    static uint64_t sum[NUMBERS + 1];

    return sums(record_size, sum)[n < NUMBERS ? n : NUMBERS];
}

uint64_t bytes_before(uint64_t n)
{
    static uint64_t sum[NUMBERS + 1];

    return sums(length_of, sum)[n < NUMBERS ? n : NUMBERS];
}

bool is_key(const struct crash_world *w, uint64_t n)
{
    for (int seat = 0; seat < CRASH_SEATS; seat++) {
        const struct witness *sender_of = witness_of(w, seat);
        if ((sender_of->plain || sender_of->key) && n - sender_of->start < BATCH)
            return sender_of->key && n == sender_of->start;
    }
    return n % 7 == 3 || n + 1 == prepared.key;
}

uint64_t whole_mark(uint64_t horizon, int nth)
{
    for (uint64_t n = 0;; n++)
        if (position_of(n) + CAPACITY >= horizon &&
            (n == 0 || position_of(n) / CHUNK != position_of(n - 1) / CHUNK) && nth-- == 0)
            return n;
}

/* ---- Opening and closing --------------------------------------------------------------------- */

static shmring_t *open_role(struct crash_world *w, unsigned role)
{
    shmring_t *q = NULL;
    int r = shmring_open_fd(&q, w->fd, role);

    crash_check(w, r == 0, "attaching as %s: %d, %s",
                role == SHMRING_PRODUCER ? "producer" : "consumer", r, shmring_strerror_detail());
    return q;
}

void open_producer(struct crash_world *w)
{
    here.producer = open_role(w, SHMRING_PRODUCER);
    if (!here.producer)
        return;
    here.producer->sending->pauses = 1; /* a long back-off would only wait */
    here.next = here.producer->broadcast.producer.messages;
}

static struct row *row_of(struct crash_world *w, const struct reader *r)
{
    return r->q->row < ROWS ? &book(w)->row[r->q->row] : NULL;
}

void begin_reader(struct crash_world *w, int which)
{
    struct reader *r = &here.reader[which];
    const struct shmr_broadcast_consumer *c = &r->q->broadcast.consumer;
    struct row *row = row_of(w, r);

    r->q->receiving->pauses = 1;
    r->reliable = c->reliable;
    r->judge = oracle_reader(true);
    r->judge.next[0] = c->number;
    if (!row)
        return;
    row->attached = true;
    row->owner = getpid();
    row->reliable = r->reliable;
    row->next = c->number;
    row->promised = r->reliable ? c->promised.number : UINT64_MAX;
}

void open_reader(struct crash_world *w, int which, unsigned flags)
{
    struct reader *r = &here.reader[which];

    *r = (struct reader){.q = open_role(w, SHMRING_CONSUMER | flags)};
    if (r->q)
        begin_reader(w, which);
}

void close_reader(struct crash_world *w, int which)
{
    struct reader *r = &here.reader[which];
    struct row *row = r->q ? row_of(w, r) : NULL;

    shmring_close(&r->q);
    if (row)
        row->attached = false;
}

void close_all(struct crash_world *w)
{
    shmring_close(&here.producer);
    shmring_close(&here.observer);
    for (int i = 0; i < READERS; i++)
        close_reader(w, i);
    memset(&here, 0, sizeof here);
}

unsigned start_flags(const struct crash_world *w)
{
    switch (w->state->id) {
    case NEW:
    case EMPTY:
    case WRAPS_NEXT:
        return 0;
    case ALMOST_FULL:
    case FULL:
    case LAPPED:
        return SHMRING_FROM_OLDEST;
    default:
        return SHMRING_FROM_KEY;
    }
}

/* ---- Sending --------------------------------------------------------------------------------- */

int send_next(struct crash_world *w)
{
    uint8_t bytes[LONGEST];
    const size_t length = message_length(here.next);
    const bool key = is_key(w, here.next);

    if (!crash_check(w, here.next < NUMBERS - BATCH, "more messages than there are numbers"))
        return -EINVAL;
    message_write(here.next, bytes);
    crash_call(w);
    int r = key ? shmring_send_flags(here.producer, bytes, length, SHMRING_KEY)
                : shmring_send(here.producer, bytes, length);
    crash_called(w);
    here.next += r == 0;
    book(w)->sent += r == 0;
    return r;
}

void send_some(struct crash_world *w, int n)
{
    while (n-- > 0)
        crash_check(w, send_next(w) == 0, "no room");
}

void send_a_lap(struct crash_world *w)
{
    const uint64_t from = position_of(here.next);

    while (position_of(here.next) < from + CAPACITY + CHUNK && !crash_failed(w))
        send_some(w, 1);
}

void allow_test(void)
{
    here.producer->broadcast.producer.tested = 0;
}

/* Send the next message; what holds the producer up may be dead: then it goes on within POLLS. */
static int send_patiently(struct crash_world *w)
{
    int r = -EAGAIN;

    for (int i = 0; r == -EAGAIN && i < POLLS; i++) {
        allow_test();
        r = send_next(w);
    }
    return r;
}

/* A producer without patience may have struck off consumers that live: note in the book which. */
static void note_demoted(struct crash_world *w, const shmring_t *q)
{
    if (!w->operation || !(demotes(w->operation) || (w->paused && demotes(w->paused))))
        return;
    for (uint32_t i = SHMR_BROADCAST_FIRST_CONSUMER; i < ROWS; i++)
        if (atomic_load(&shmr_broadcast_row_at(q->map.table, i)->reliable) == 0)
            book(w)->row[i].reliable = false;
}

/* The least position that a live reliable consumer has released; false: there is none. promised:
 * only those that have come to where they may not miss a message, and do not close just now. */
static bool find_slowest(const struct crash_world *w, bool promised, uint64_t *position)
{
    const struct witness *dead = witness_of(w, CRASH_VICTIM);
    bool found = false;

    for (uint32_t i = 0; i < ROWS; i++) {
        const struct row *row = &book(w)->row[i];
        const bool died = row->owner == dead->pid;
        const bool closes =
            w->paused && detaches(w->paused) && row->owner == witness_of(w, CRASH_PAUSED)->pid;
        if (!row->attached || !row->reliable || died ||
            (promised && (closes || row->next < row->promised)))
            continue;
        if (!found || position_of(row->next) < *position)
            *position = position_of(row->next);
        found = true;
    }
    return found;
}

void fill(struct crash_world *w)
{
    const uint64_t from = position_of(here.next);
    uint64_t slowest;
    int r = 0;

    while (!crash_failed(w)) {
        note_demoted(w, here.producer);
        const uint64_t horizon = horizon_for(here.next);
        r = send_patiently(w);
        if (r < 0)
            break;
        if (find_slowest(w, true, &slowest) &&
            !crash_check(w, horizon <= slowest + CAPACITY,
                         "message %" PRIu64 " is sent over one that a reliable consumer needs",
                         here.next - 1))
            return;
        if (!find_slowest(w, true, &slowest) && position_of(here.next) > from + CAPACITY + CHUNK)
            return;
    }
    note_demoted(w, here.producer);
    /* A process that is stopped while it attaches may hold the producer up already. */
    const bool attaching = w->paused && w->paused->attaches;
    crash_check(w,
                r == -EAGAIN && (attaching || (find_slowest(w, false, &slowest) &&
                                               horizon_for(here.next) > slowest + CAPACITY)),
                "sending message %" PRIu64 ": %d, and no live consumer holds the producer up",
                here.next, r);
}

/* ---- Receiving ------------------------------------------------------------------------------- */

void note_received(struct crash_world *w, struct reader *r, uint64_t number)
{
    struct row *row = row_of(w, r);

    if (!row)
        return;
    row->received++;
    row->bytes += message_length(number);
    row->next = number + 1;
}

void note_missed(struct crash_world *w, struct reader *r, uint64_t messages)
{
    struct row *row = row_of(w, r);

    if (!row)
        return;
    row->missed += messages;
    row->next += messages;
}

bool judge(struct crash_world *w, struct reader *r, const void *bytes, ssize_t length, bool flagged)
{
    const uint64_t next = r->judge.next[0];
    enum oracle_verdict verdict;
    uint64_t name = next;

    if (!crash_check(w, length >= 0, "taking message %" PRIu64 ": %zd", next, length))
        return false;
    verdict = oracle_read(&name, bytes, (size_t)length, LONGEST_MESSAGE);
    if (verdict == ORACLE_RIGHT)
        verdict = oracle_receive(&sender, &r->judge, name, flagged);
    if (verdict == ORACLE_RIGHT && r->judge.missed != 0)
        verdict = ORACLE_MISCOUNTED;
    return crash_check(w, verdict == ORACLE_RIGHT,
                       "message %" PRIu64 " in place of %" PRIu64 ": %s", name, next,
                       oracle_says(verdict));
}

/* The call has said that the consumer was overtaken: may it be, and by how many messages? */
void be_overtaken(struct crash_world *w, struct reader *r)
{
    const struct row *row = row_of(w, r);
    struct shmring_stat st;

    shmring_stat(r->q, &st);
    const uint64_t missed = r->q->broadcast.consumer.missed_now;
    note_demoted(w, r->q);
    crash_check(w, missed > 0 && missed <= st.missed_here, "missed %" PRIu64 " messages", missed);
    oracle_missed(&r->judge, missed);
    note_missed(w, r, missed);
    crash_check(w, !row || !row->reliable || row->next <= row->promised,
                "a reliable consumer has missed %" PRIu64 " messages", missed);
}

static void check_info(struct crash_world *w, const struct reader *r,
                       const struct shmring_info *info)
{
    const uint64_t n = r->judge.next[0] - 1;

    crash_check(w,
                info->number == n && info->position == position_of(n) && info->deliveries == 1 &&
                    info->flags == (is_key(w, n) ? SHMRING_KEY : 0),
                "message %" PRIu64 ": number %" PRIu64 ", position %" PRIu64
                ", delivery %u, flags %u",
                n, info->number, info->position, info->deliveries, info->flags);
}

bool hold_next(struct crash_world *w, struct reader *r)
{
    struct shmring_info info;
    const void *msg;
    ssize_t length;

    do {
        crash_call(w);
        length = shmring_peek(r->q, &msg, &info);
        crash_called(w);
        if (length == -EOVERFLOW)
            be_overtaken(w, r);
    } while (length == -EOVERFLOW && !crash_failed(w));
    if (length == -EAGAIN || !judge(w, r, msg, length, info.flags & SHMRING_REDELIVERED))
        return false;
    check_info(w, r, &info);
    r->held_number[r->held_count] = r->judge.next[0] - 1;
    r->held[r->held_count++] = msg;
    return true;
}

void release_held(struct crash_world *w, struct reader *r)
{
    const struct row *row = r->q ? row_of(w, r) : NULL;

    for (int i = 0; i < r->held_count; i++) {
        crash_call(w);
        int result = shmring_release(r->q, r->held[i]);
        crash_called(w);
        if (result == -EOVERFLOW) {
            note_demoted(w, r->q);
            note_missed(w, r, 1);
            crash_check(w, !row || !row->reliable || r->held_number[i] < row->promised,
                        "a message that a reliable consumer held was overwritten");
        } else if (crash_check(w, result == 0, "releasing: %d", result)) {
            note_received(w, r, r->held_number[i]);
        }
    }
    r->held_count = 0;
}

/* Receive by copy; false: there is none. */
static bool receive_next(struct crash_world *w, struct reader *r)
{
    uint8_t bytes[LONGEST];

    crash_call(w);
    const ssize_t length = shmring_recv(r->q, bytes, sizeof bytes);
    crash_called(w);
    if (length == -EOVERFLOW)
        be_overtaken(w, r);
    if (length == -EAGAIN || length == -EOVERFLOW)
        return length == -EOVERFLOW;
    if (judge(w, r, bytes, length, false))
        note_received(w, r, r->judge.next[0] - 1);
    return !crash_failed(w);
}

static bool receive_batch(struct crash_world *w, struct reader *r)
{
    uint8_t bytes[BATCH][LONGEST];
    struct iovec msgs[BATCH];

    for (unsigned i = 0; i < BATCH; i++)
        msgs[i] = (struct iovec){bytes[i], LONGEST};
    crash_call(w);
    const int count = shmring_recv_batch(r->q, msgs, BATCH);
    crash_called(w);
    if (count == -EOVERFLOW)
        be_overtaken(w, r);
    for (int i = 0; i < count && judge(w, r, bytes[i], (ssize_t)msgs[i].iov_len, false); i++)
        note_received(w, r, r->judge.next[0] - 1);
    crash_check(w, count > 0 || count == -EAGAIN || count == -EOVERFLOW, "recv_batch: %d", count);
    return count != -EAGAIN && !crash_failed(w);
}

void drain(struct crash_world *w, struct reader *r)
{
    release_held(w, r);
    for (int i = 0; i < TOO_MANY && !crash_failed(w); i++) {
        if (i < BATCH && hold_next(w, r))
            release_held(w, r);
        else if (i >= BATCH && i < 3 * BATCH && receive_next(w, r))
            continue;
        else if (!receive_batch(w, r))
            return;
    }
    crash_check(w, false, "it never gets empty");
}
