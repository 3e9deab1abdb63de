/* SPDX-License-Identifier: MIT */
/*
 * The producer dies before each of its stores, in each operation and at many places of the ring.
 * Its successor finds whole messages, the right numbers and marks, and consumers notice nothing.
 *
 * The headers of the library are compiled here with a store that may be the last one: it jumps out
 * of the call.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static jmp_buf death;
static int stores_left; /* 0: lives */
static bool mortal;

/* If not NULL: what another participant does before that store, in place of the death. */
static void (*meanwhile)(void);
static int stores_after; /* it does so once more before the store this many later; 0: it does not */
static bool fired;

static void before_store(void)
{
    if (!mortal || --stores_left != 0)
        return;
    if (!meanwhile)
        longjmp(death, 1);
    mortal = false;
    fired = true;
    meanwhile();
    stores_left = stores_after;
    stores_after = 0;
    mortal = stores_left != 0;
}

static inline void store_32(volatile _Atomic uint32_t *word, uint32_t value, memory_order order)
{
    before_store();
    atomic_store_explicit(word, value, order);
}

static inline void store_64(volatile _Atomic uint64_t *word, uint64_t value, memory_order order)
{
    before_store();
    atomic_store_explicit(word, value, order);
}

#undef atomic_store_explicit
#define atomic_store_explicit(Word, Value, Order)                                                  \
    _Generic((Word), _Atomic uint32_t *: store_32, _Atomic uint64_t *: store_64)(Word, Value, Order)

/* A payload is copied in two halves, with a death between them and before each. */
#define shmr_copy       whole_copy
#define shmr_copy_short whole_copy_short
#include "lib/base/cpu.h"
#undef shmr_copy
#undef shmr_copy_short

static inline void shmr_copy(void *to, const void *from, size_t n)
{
    before_store();
    memcpy(to, from, n / 2);
    before_store();
    memcpy((char *)to + n / 2, (const char *)from + n / 2, n - n / 2);
}

static inline void shmr_copy_short(void *to, const void *from, size_t n)
{
    shmr_copy(to, from, n);
}

#include "lib/broadcast/batch.h"
#include "lib/broadcast/ready.h"
#include "lib/broadcast/takeover.h"

enum { CAPACITY = 4096, CHUNK = CAPACITY / 16, LONGEST = CAPACITY / 4 - 8, ROWS = 2 };

static uint8_t *data;
static struct shmr_broadcast_page *page;
static uint8_t table[ROWS * sizeof(struct shmr_row)] __attribute__((aligned(64)));

/* ---- The ring -------------------------------------------------------------------------------- */

static void map_ring(void)
{
    const int fd = memfd_create("ring", MFD_CLOEXEC);
    uint8_t *base = mmap(NULL, 3 * CAPACITY, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    cr_assert(fd >= 0 && base != MAP_FAILED);
    cr_assert_eq(ftruncate(fd, 2 * CAPACITY), 0);
    for (int i = 0; i < 3; i++)
        cr_assert_neq(mmap(base + i * CAPACITY, CAPACITY, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_FIXED, fd, i ? CAPACITY : 0),
                      MAP_FAILED);
    close(fd);
    page = (void *)base;
    data = base + CAPACITY;
}

static void reset(void)
{
    memset(page, 0, sizeof *page);
    memset(data, 0, CAPACITY);
    memset(table, 0, sizeof table);
}

static struct shmr_broadcast_ring ring(void)
{
    return (struct shmr_broadcast_ring){
        .data = data, .mask = CAPACITY - 1, .page = page, .max_message = LONGEST};
}

static void become_producer(struct shmr_broadcast_producer *p)
{
    *p = (struct shmr_broadcast_producer){.ring = ring(), .table = table, .rows = ROWS};
    const int r = shmr_broadcast_resume_producer(p);
    cr_assert_eq(r, 0, "%s", p->side.damage);
}

static void become_consumer(struct shmr_broadcast_consumer *c, unsigned flags, uint64_t reliable)
{
    *c = (struct shmr_broadcast_consumer){.ring = ring()};
    c->row = reliable ? shmr_broadcast_row_at(table, 1) : &c->own;
    int r;
    do {
        r = shmr_broadcast_start_consumer(c, flags, reliable);
        if (r == 0 && reliable)
            r = shmr_broadcast_join(c, reliable);
    } while (r == -EAGAIN);
    cr_assert_eq(r, 0, "%s", c->side.damage);
}

/* ---- Messages -------------------------------------------------------------------------------- */

/* The length of message `number`: most are short, and some as long as can be. */
static size_t length_of(uint64_t number)
{
    return number % 11 == 7 ? LONGEST : number % 5 == 3 ? 300 : 8 + number % 7 * 9;
}

static uint8_t messages[64][LONGEST];

static const uint8_t *content(uint64_t number)
{
    uint8_t *bytes = messages[number % 64];

    memset(bytes, (int)(number * 37 + 1), LONGEST);
    memcpy(bytes, &number, 8);
    return bytes;
}

static void check_message(uint64_t number, const uint8_t *bytes, ssize_t len)
{
    cr_assert_eq(len, (ssize_t)length_of(number), "message %d", (int)number);
    cr_assert_eq(memcmp(bytes, content(number), (size_t)len), 0, "message %d", (int)number);
}

/* ---- Operations ------------------------------------------------------------------------------ */

static int send_one(struct shmr_broadcast_producer *p, uint64_t n)
{
    return shmr_broadcast_send(p, content(n), length_of(n)) == 0;
}

static int send_key(struct shmr_broadcast_producer *p, uint64_t n)
{
    return shmr_broadcast_send_as(p, content(n), length_of(n), SHMR_BROADCAST_KEY) == 0;
}

static int send_batch(struct shmr_broadcast_producer *p, uint64_t n)
{
    struct iovec batch[12];

    for (uint64_t i = 0; i < 12; i++)
        batch[i] = (struct iovec){(void *)(uintptr_t)content(n + i), length_of(n + i)};
    return shmr_broadcast_send_batch(p, batch, 12);
}

static int send_in_place(struct shmr_broadcast_producer *p, uint64_t n)
{
    void *place;

    if (shmr_broadcast_reserve(p, LONGEST, &place) < 0)
        return 0;
    memset(place, 0xff, LONGEST);
    memcpy(place, content(n), length_of(n));
    return shmr_broadcast_commit(p, place, length_of(n)) == 0;
}

enum { SEND_ONE, SEND_KEY, SEND_BATCH, SEND_IN_PLACE, OPERATIONS };

static int (*const operations[OPERATIONS])(struct shmr_broadcast_producer *,
                                           uint64_t) = {[SEND_ONE] = send_one,
                                                        [SEND_KEY] = send_key,
                                                        [SEND_BATCH] = send_batch,
                                                        [SEND_IN_PLACE] = send_in_place};

/* ---- What must hold -------------------------------------------------------------------------- */

static uint64_t receive_all(struct shmr_broadcast_consumer *c)
{
    static uint8_t buf[LONGEST];

    for (;;) {
        const uint64_t number = c->number;
        const ssize_t r = shmr_broadcast_recv(c, buf, sizeof buf);
        if (r == -EAGAIN)
            return c->number;
        cr_assert_geq(r, 0, "%d: %s", (int)r, c->side.damage);
        check_message(number, buf, r);
    }
}

/* Has the chunk of that position a mark, and in this lap? */
static const struct shmr_broadcast_place *mark_at(uint64_t position)
{
    const struct shmr_broadcast_place *mark = &page->mark[position % CAPACITY / CHUNK];

    return mark->position / CHUNK == position / CHUNK ? mark : NULL;
}

/* Walk from the oldest mark: each mark is that of the first record in its chunk. all: no mark is
 * missing. */
static void check_marks(uint64_t tail, uint64_t sent, bool all)
{
    const struct shmr_broadcast_ring r = ring();
    struct shmr_broadcast_at at;
    uint64_t last = UINT64_MAX;

    cr_assert_eq(shmr_broadcast_find_oldest(&r, 0, &at), 0, "%s", at.damage);
    for (; at.number < sent; at.number++) {
        const struct shmr_broadcast_place *mark = mark_at(at.position);
        if (at.position / CHUNK != last) {
            cr_assert(mark || !all, "no mark for message %d", (int)at.number);
            cr_assert(!mark || (mark->position == at.position && mark->number == at.number));
        }
        last = at.position / CHUNK;
        const uint32_t len = shmr_broadcast_length(shmr_broadcast_poll(&r, at.position));
        cr_assert_eq(len, length_of(at.number));
        at.position += shmring_record_size(len);
    }
    cr_assert_eq(at.position, tail);
}

/* The last key message is the message that the page says it is; newest: its number, if it must be
 * there. */
static void check_key(uint64_t sent, const uint64_t *newest)
{
    const struct shmr_broadcast_ring r = ring();
    struct shmr_broadcast_at at;
    const int result = shmr_broadcast_find_key(&r, &at);

    cr_assert(result == 0 || result == -ENOENT, "%d: %s", result, at.damage);
    cr_assert(result == 0 || !newest, "no key message");
    if (result < 0)
        return;
    cr_assert_lt(at.number, sent);
    cr_assert(!newest || at.number == *newest, "%d in place of %d", (int)at.number, (int)*newest);
    const uint32_t header = shmr_broadcast_poll(&r, at.position);
    cr_assert(header & SHMR_BROADCAST_KEY);
    check_message(at.number, shmr_broadcast_payload(&r, at.position),
                  shmr_broadcast_length(header));
}

/* The invariants between two calls; after a death only the newest marks may be missing. */
static void check_page(uint64_t tail, uint64_t sent, bool all)
{
    cr_assert_eq(page->horizon % CHUNK, 0);
    cr_assert(page->horizon >= tail + 8 || sent == 0);
    cr_assert_eq(shmr_broadcast_poll(
                     &(struct shmr_broadcast_ring){.data = data, .mask = CAPACITY - 1}, tail),
                 0, "the terminator");
    for (uint64_t i = 0; i < SHMR_BROADCAST_CHUNKS; i++)
        cr_assert(page->mark[i].position < tail || page->mark[i].position == 0,
                  "a mark names a record that is not published");
    check_marks(tail, sent, all);
    check_key(sent, NULL);
}

/* ---- Dying ----------------------------------------------------------------------------------- */

static struct shmr_broadcast_producer producer, successor;
static struct shmr_broadcast_consumer old, new;
static int operation;
static uint64_t before; /* messages sent before the operation in which the producer dies */
static volatile uint64_t received;
static volatile uint64_t held_back; /* how many messages a consumer that attaches finds */

/* Does the body die before its store number AT? False: it has fewer stores. */
static bool dies(void (*body)(void), int at)
{
    stores_left = at;
    mortal = true;
    if (setjmp(death) == 0) {
        body();
        mortal = false;
        return false;
    }
    mortal = false;
    return true;
}

static void operate(void)
{
    (void)operations[operation](&producer, before);
}

static void succeed(void)
{
    become_producer(&successor);
}

static void join_and_receive(void)
{
    static uint8_t buf[LONGEST];

    become_consumer(&old, SHMRING_FROM_OLDEST, UINT64_C(1) << 32 | 1);
    held_back = before - old.number;
    while (shmr_broadcast_recv(&old, buf, sizeof buf) >= 0)
        received++;
}

/* A ring after `before` messages, all of which a consumer has received. */
static void start(void)
{
    reset();
    become_producer(&producer);
    become_consumer(&old, 0, 0);
    for (uint64_t n = 0; n < before; n++) {
        cr_assert_eq(n % 4 ? send_one(&producer, n) : send_key(&producer, n), 1);
        (void)receive_all(&old);
    }
}

static bool try_death(int at)
{
    start();
    const bool died = dies(operate, at);

    const uint64_t sent = receive_all(&old);
    cr_assert_geq(sent, before);
    struct shmr_broadcast_at tail;
    const struct shmr_broadcast_ring r = ring();
    cr_assert_eq(shmr_broadcast_find_tail(&r, &tail), 0, "%s", tail.damage);
    cr_assert(tail.number == sent && tail.position == old.position, "an observer sees as much");
    check_page(tail.position, sent, false);
    if (operation == SEND_KEY && sent > before)
        check_key(sent, &before);

    succeed();
    cr_assert(successor.messages == sent && successor.position == tail.position);
    cr_assert_eq(successor.bytes, tail.bytes);
    check_page(tail.position, sent, true);
    if (operation == SEND_KEY && sent > before)
        check_key(sent, &before);
    become_consumer(&new, SHMRING_FROM_OLDEST, 0);
    cr_assert_eq(receive_all(&new), sent);
    for (uint64_t n = sent; n < sent + 60; n++) {
        cr_assert_eq(send_one(&successor, n), 1);
        cr_assert_eq(receive_all(&old), n + 1);
        cr_assert_eq(receive_all(&new), n + 1);
        check_page(successor.position, n + 1, true);
    }
    cr_assert_eq(old.missed + new.missed, 0);
    return died;
}

Test(broadcast_deaths, a_producer_dies_before_any_store, .init = map_ring, .timeout = 300)
{
    for (operation = 0; operation < OPERATIONS; operation++)
        for (before = 0; before < 70; before++)
            for (int at = 1; try_death(at); at++)
                cr_assert_lt(at, 200);
}

/* A producer dies, and its successor dies while it takes over, and has a successor. */
static bool try_two_deaths(int at, int again)
{
    start();
    (void)dies(operate, at);
    const bool died = dies(succeed, again);

    const uint64_t sent = receive_all(&old);
    succeed();
    cr_assert_eq(successor.messages, sent);
    check_page(successor.position, sent, true);
    if (operation == SEND_KEY && sent > before)
        check_key(sent, &before);
    cr_assert_eq(send_one(&successor, sent), 1);
    cr_assert_eq(receive_all(&old), sent + 1);
    return died;
}

Test(broadcast_deaths, a_successor_dies_before_any_store, .init = map_ring, .timeout = 300)
{
    const int tried[] = {SEND_BATCH, SEND_KEY};

    for (int i = 0; i < 2; i++)
        for (operation = tried[i], before = 0; before < 70; before++)
            for (int at = 1; at < 40; at++)
                for (int again = 1; try_two_deaths(at, again); again++)
                    cr_assert_lt(again, 200);
}

/* A reliable consumer dies while it attaches or receives. The next owner of its row counts on. */
static bool try_death_of_consumer(int at)
{
    struct shmr_broadcast_view view;

    reset();
    received = held_back = 0;
    become_producer(&producer);
    for (uint64_t n = 0; n < before; n++)
        cr_assert_eq(send_one(&producer, n), 1);
    const bool died = dies(join_and_receive, at);

    shmr_broadcast_observe_row(shmr_broadcast_row_at(table, 1), &view);
    cr_assert(view.received == received || view.received == received + 1, "%d, %d",
              (int)view.received, (int)received);
    const uint64_t counted = view.received;
    uint64_t bytes = 0;
    for (uint64_t n = before - held_back; n < before - held_back + counted; n++)
        bytes += length_of(n);
    cr_assert_eq(view.bytes, bytes, "the counters are those of one moment");
    become_consumer(&new, 0, UINT64_C(1) << 32 | 2);
    cr_assert_eq(new.number, before);
    cr_assert_eq(send_one(&producer, before), 1);
    cr_assert_eq(receive_all(&new), before + 1);
    shmr_broadcast_observe_row(shmr_broadcast_row_at(table, 1), &view);
    cr_assert_eq(view.received, counted + 1);
    cr_assert_eq(view.number, before + 1);
    cr_assert(view.reliable);
    return died;
}

/* The producer goes round the ring several times while a consumer stands still between two steps of
 * its attaching, and again later: when that has returned, the producer waits for it. */
static unsigned flags_of_the_stopped;

static void go_round(void)
{
    for (int i = 0; i < 400 && send_one(&producer, producer.messages); i++)
        ;
}

static void attach_slowly(void)
{
    become_consumer(&old, flags_of_the_stopped, UINT64_C(1) << 32 | 1);
}

static bool try_stop_while_attaching(int at, int again)
{
    static uint8_t buf[LONGEST];

    reset();
    become_producer(&producer);
    go_round();
    meanwhile = go_round;
    stores_left = at;
    stores_after = again;
    mortal = true;
    fired = false;
    attach_slowly();
    mortal = false;
    meanwhile = NULL;
    stores_after = 0;

    const uint64_t promised = old.promised.number;
    cr_assert_neq(shmr_broadcast_row_at(table, 1)->reliable, 0, "struck off");
    go_round();
    cr_assert_neq(shmr_broadcast_row_at(table, 1)->reliable, 0, "struck off later");
    cr_assert_lt(producer.messages, promised + CAPACITY / 16, "it waits");
    for (;;) {
        const uint64_t number = old.number;
        const ssize_t r = shmr_broadcast_recv(&old, buf, sizeof buf);
        if (r == -EAGAIN)
            break;
        if (r == -EOVERFLOW) {
            cr_assert_leq(old.number, promised, "missed what was promised");
            continue;
        }
        check_message(number, buf, r);
    }
    cr_assert_eq(old.number, producer.messages);
    return fired;
}

Test(broadcast_deaths, a_consumer_stops_while_it_attaches, .init = map_ring, .timeout = 300)
{
    const unsigned flags[] = {0, SHMRING_FROM_OLDEST, SHMRING_FROM_KEY};

    for (int i = 0; i < 3; i++) {
        flags_of_the_stopped = flags[i];
        for (int again = 0; again < 8; again++)
            for (int at = 1; try_stop_while_attaching(at, again); at++)
                cr_assert_lt(at, 20);
    }
}

Test(broadcast_deaths, a_consumer_dies_before_any_store, .init = map_ring, .timeout = 300)
{
    for (before = 0; before < 40; before++)
        for (int at = 1; try_death_of_consumer(at); at++)
            cr_assert_lt(at, 2000);
}
