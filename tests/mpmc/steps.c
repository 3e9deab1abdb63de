/* SPDX-License-Identifier: MIT */
/*
 * Random steps of several handles, compared with a model of the queue: which message comes next,
 * which handle holds which messages, how many blocks are free. Handles are opened, close or die
 * while they hold messages, and fall laps behind. The queues start just before each place where a
 * position or a cycle wraps. tests/support/oracle.h would say less: the model knows which message
 * comes next, and how often it was delivered.
 */
#include <config.h>

#include <errno.h>

#include "lib/core/rows.h"
#include "messages.h"
#include "mpmc_pages.h"
#include "support.h"

enum { HANDLES = 5, ROWS = 7, LONGEST = 60, MESSAGES_MAX = 1 << 16, CAPACITY_MAX = 64 };

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

struct message {
    uint32_t number;
    uint32_t deliveries; /* so far */
    uint32_t group;      /* messages that were redelivered at the same time may come in any order */
};

struct list {
    uint32_t count;
    struct message at[CAPACITY_MAX];
    void *block[CAPACITY_MAX]; /* the blocks of the messages that are held or reserved */
};

static struct player {
    shmring_t *q;
    struct list held;
    struct list reserved; /* a reservation gets its number at the commit */
} players[HANDLES];

static uint64_t state;
static uint32_t capacity;
static bool at_most_once;
static struct mpmc_pages pages;
static shmring_t *observer;
static struct list waiting;
static struct list dead; /* what dead handles held: messages, and reservations with 0 deliveries */
/* How many handles have died, and were recovered, so far. */
static uint32_t dead_handles, recovered;
static uint32_t next_number, next_group, released;
static uint64_t redelivered, dropped;

static uint32_t below(uint32_t limit)
{
    return test_random_below(&state, limit);
}

static void list_add(struct list *list, struct message message, void *block)
{
    cr_assert_lt(list->count, capacity);
    list->at[list->count] = message;
    list->block[list->count++] = block;
}

static struct message list_remove(struct list *list, uint32_t at)
{
    struct message message = list->at[at];

    list->count--;
    memmove(list->at + at, list->at + at + 1, (list->count - at) * sizeof *list->at);
    memmove(list->block + at, list->block + at + 1, (list->count - at) * sizeof *list->block);
    return message;
}

static uint32_t blocks_used(void)
{
    uint32_t used = waiting.count + dead.count;

    for (int i = 0; i < HANDLES; i++)
        used += players[i].held.count + players[i].reserved.count;
    return used;
}

static uint32_t length_of(uint32_t number)
{
    return 4 + number % (LONGEST - 3);
}

static void write_message(void *block, uint32_t number)
{
    memcpy(block, &number, sizeof number);
    memcpy((char *)block + 4, message_content(number), length_of(number) - 4);
}

/* ---- What a recovery does to the model ------------------------------------------------------- */

/* The messages of the list come again, at the end of the queue; with at-most-once they are
 * dropped. */
static void come_again(struct list *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->at[i].deliveries == 0) /* the entry is a reservation */
            continue;
        if (at_most_once) {
            dropped++;
            continue;
        }
        redelivered++;
        list->at[i].group = next_group;
        list_add(&waiting, list->at[i], NULL);
    }
    next_group++;
    list->count = 0;
}

/* Note whether this step has recovered the dead handles. */
static void note_recovery(void)
{
    uint64_t now = 0;

    for (uint32_t row = 0; row < pages.geometry.rows; row++)
        now += shmr_row_deaths(&pages.rows[row]);

    if (now == recovered)
        return;
    cr_assert_eq(now - recovered, dead_handles, "all that are dead are recovered at once");
    recovered = (uint32_t)now;
    dead_handles = 0;
    come_again(&dead);
}

/* ---- Sending --------------------------------------------------------------------------------- */

static void sent(uint32_t number)
{
    cr_assert_eq(number, next_number);
    list_add(&waiting, (struct message){.number = number, .group = next_group++}, NULL);
    next_number++;
}

/* The result must be exact: in a queue this small a call examines every block. */
static void check_full(int r)
{
    cr_assert_eq(r, blocks_used() == capacity ? -EAGAIN : 0, "%d: %u of %u blocks are used", r,
                 blocks_used(), capacity);
}

static void step_send(struct player *p)
{
    uint8_t bytes[LONGEST + 4];

    write_message(bytes, next_number);
    int r = shmring_send(p->q, bytes, length_of(next_number));
    check_full(r);
    if (r == 0)
        sent(next_number);
}

static void step_send_batch(struct player *p)
{
    uint8_t bytes[4][LONGEST + 4];
    struct iovec msgs[4];

    for (uint32_t i = 0; i < 4; i++) {
        write_message(bytes[i], next_number + i);
        msgs[i] = (struct iovec){bytes[i], length_of(next_number + i)};
    }
    int n = shmring_send_batch(p->q, msgs, 4);
    for (int i = 0; i < n; i++)
        sent(next_number);
    if (n < 4)
        check_full(-EAGAIN);
}

/* Handles that seldom make a step do not hold messages of a small queue: they would fill it. */
static bool may_hold(const struct player *p)
{
    return capacity >= 8 || p < &players[3];
}

static void step_reserve(struct player *p)
{
    void *block;

    if (!may_hold(p) || p->reserved.count == SHMRING_RESERVED_MAX)
        return;
    int r = shmring_reserve(p->q, LONGEST, &block);
    check_full(r);
    if (r == 0)
        list_add(&p->reserved, (struct message){0}, block);
}

static void step_commit(struct player *p)
{
    if (p->reserved.count == 0)
        return;
    const uint32_t at = below(p->reserved.count);
    void *block = p->reserved.block[at];
    list_remove(&p->reserved, at);
    write_message(block, next_number);
    cr_assert_eq(shmring_commit(p->q, block, length_of(next_number)), 0);
    sent(next_number);
}

static void step_cancel(struct player *p)
{
    if (p->reserved.count == 0)
        return;
    const uint32_t at = below(p->reserved.count);
    cr_assert_eq(shmring_cancel(p->q, p->reserved.block[at]), 0);
    list_remove(&p->reserved, at);
}

/* ---- Receiving ------------------------------------------------------------------------------- */

/* Check that this is the next message, or one that was redelivered together with the next one. */
static struct message came(const void *bytes, ssize_t len)
{
    uint32_t number, at = 0;

    cr_assert_geq(len, 4, "%d", (int)len);
    memcpy(&number, bytes, sizeof number);
    while (at < waiting.count && waiting.at[at].group == waiting.at[0].group &&
           waiting.at[at].number != number)
        at++;
    cr_assert(at < waiting.count && waiting.at[at].group == waiting.at[0].group,
              "message %u came out of turn: %u is next", number, waiting.at[0].number);
    cr_assert_eq(len, length_of(number));
    cr_assert(message_is(number, (const char *)bytes + 4, (size_t)len - 4));
    return list_remove(&waiting, at);
}

static void step_recv(struct player *p)
{
    uint8_t bytes[LONGEST + 4];
    const size_t size = below(4) ? sizeof bytes : 3; /* too small in one of four calls */
    const ssize_t len = shmring_recv(p->q, bytes, size);

    if (waiting.count == 0) {
        cr_assert_eq(len, -EAGAIN);
    } else if (size == 3) {
        cr_assert_eq(len, -EMSGSIZE);
    } else {
        came(bytes, len);
        released++;
    }
}

static void step_recv_batch(struct player *p)
{
    uint8_t bytes[3][LONGEST + 4];
    struct iovec msgs[3];

    for (int i = 0; i < 3; i++)
        msgs[i] = (struct iovec){bytes[i], sizeof bytes[i]};
    const int n = shmring_recv_batch(p->q, msgs, 3);
    cr_assert_eq(n, waiting.count == 0 ? -EAGAIN : (int)(waiting.count < 3 ? waiting.count : 3));
    for (int i = 0; i < n; i++)
        came(bytes[i], (ssize_t)msgs[i].iov_len);
    released += n > 0 ? (uint32_t)n : 0;
}

static void step_peek(struct player *p)
{
    struct shmring_info info;
    const void *block;

    if (!may_hold(p))
        return;
    const ssize_t len = shmring_peek(p->q, &block, &info);

    if (waiting.count == 0) {
        cr_assert_eq(len, -EAGAIN);
    } else {
        struct message message = came(block, len);
        message.deliveries++;
        cr_assert_eq(info.deliveries, message.deliveries);
        cr_assert_eq(info.flags, message.deliveries > 1 ? SHMRING_REDELIVERED : 0);
        list_add(&p->held, message, (void *)(uintptr_t)block);
    }
}

static void step_release(struct player *p)
{
    if (p->held.count == 0)
        return;
    const uint32_t at = below(p->held.count);
    void *block = p->held.block[at];
    const uint32_t number = p->held.at[at].number;
    cr_assert(message_is(number, (char *)block + 4, length_of(number) - 4), "overwritten");
    cr_assert_eq(shmring_release(p->q, block), 0);
    cr_assert_eq(shmring_release(p->q, block), -EINVAL);
    list_remove(&p->held, at);
    released++;
}

/* ---- Opening, closing and dying -------------------------------------------------------------- */

static void step_open(struct player *p)
{
    cr_assert_eq(shmring_dup(&p->q, observer, BOTH), 0, "%s", shmring_strerror_detail());
    note_recovery();
    cr_assert_eq(dead_handles, 0, "opening recovers");
}

static void leave(struct player *p, struct list *to)
{
    for (uint32_t i = 0; i < p->held.count; i++)
        list_add(to, p->held.at[i], NULL);
    for (uint32_t i = 0; i < p->reserved.count; i++)
        list_add(to, (struct message){0}, NULL);
    p->held.count = p->reserved.count = 0;
}

static void step_close(struct player *p)
{
    struct list mine = {0};

    leave(p, &mine);
    shmring_close(&p->q);
    come_again(&mine);
}

static void step_die(struct player *p)
{
    if (dead_handles + HANDLES >= ROWS)
        return;
    leave(p, &dead);
    dead_handles++;
    mpmc_kill_handle(&p->q);
}

static void step_recover(struct player *p)
{
    struct shmring_recovery report;
    const uint64_t before = redelivered;
    const uint32_t found = dead_handles;

    const int r = shmring_recover(p->q, &report);
    note_recovery();
    cr_assert_eq(dead_handles, 0);
    cr_assert_geq(r, (int)found);
    cr_assert_geq(report.redelivered, redelivered - before);
}

static void check_state(void)
{
    struct shmring_participant rows[ROWS];
    struct shmring_stat st;
    uint64_t held = 0;

    cr_assert_eq(shmring_stat(observer, &st), 0);
    cr_assert_eq(st.depth, waiting.count);
    cr_assert_eq(st.sent, next_number);
    cr_assert_eq(st.received, released);
    cr_assert_eq(st.redelivered, redelivered);
    cr_assert_eq(st.dropped, dropped);
    cr_assert_eq(st.dead, dead_handles);
    const int n = shmring_participants(observer, rows, ROWS);
    for (int i = 0; i < n; i++)
        held += rows[i].held;
    cr_assert_eq(held, blocks_used() - waiting.count);
}

/* Some handles make steps often and some seldom: the latter are laps behind when they make one. */
static struct player *choose_player(void)
{
    const uint32_t r = below(400);

    return &players[r == 0 ? 4 : r < 8 ? 3 : r < 40 ? 2 : r % 2];
}

static void step(uint32_t sending)
{
    static void (*const send_steps[])(struct player *) = {
        step_send, step_send, step_send_batch, step_reserve, step_commit, step_commit, step_cancel};
    static void (*const receive_steps[])(struct player *) = {
        step_recv, step_recv, step_recv_batch, step_peek, step_release, step_release};
    static void (*const rare_steps[])(struct player *) = {step_close, step_die, step_recover};
    struct player *p = choose_player();

    pages.tail->swept = 0; /* a sweep is due in the next call that may sweep */
    if (!p->q)
        step_open(p);
    else if (below(100) == 0)
        rare_steps[below(3)](p);
    else if (below(100) < sending)
        send_steps[below(sizeof send_steps / sizeof *send_steps)](p);
    else
        receive_steps[below(sizeof receive_steps / sizeof *receive_steps)](p);
    note_recovery();
}

static void finish(void)
{
    for (int i = 0; i < HANDLES; i++)
        if (players[i].q)
            step_close(&players[i]);
    step_open(&players[0]);
    while (waiting.count != 0)
        step_recv(&players[0]);
    check_state();
    for (uint32_t i = 0; i <= capacity; i++) /* all blocks are free again */
        cr_assert_eq(shmring_send(players[0].q, "x", 1), i < capacity ? 0 : -EAGAIN);
    shmring_close(&players[0].q);
    mpmc_pages_unmap(&pages);
    shmring_close(&observer);
}

static void play(uint32_t blocks, uint64_t start, int steps)
{
    const struct shmring_config config = {.kind = SHMRING_MPMC,
                                          .flags = at_most_once ? SHMRING_AT_MOST_ONCE : 0,
                                          .capacity = blocks,
                                          .max_message = LONGEST,
                                          .max_participants = ROWS};

    capacity = blocks;
    waiting.count = dead.count = 0;
    dead_handles = recovered = next_number = released = 0;
    redelivered = dropped = 0;
    cr_assert_eq(shmring_create(&observer, "memfd:test", &config), 0);
    mpmc_pages_map(&pages, observer);
    if (start)
        mpmc_pages_start_at(&pages, start);
    /* All handles are open from the start, so that some fall behind. */
    for (int i = 0; i < HANDLES; i++)
        step_open(&players[i]);
    for (int i = 0; i < steps; i++) {
        /* Fill the queue, keep it level, empty it. */
        step(i / 200 % 3 == 0 ? 80 : i / 200 % 3 == 1 ? 50 : 20);
        if (i % 50 == 0)
            check_state();
    }
    cr_assert_gt(next_number, 4 * capacity, "too few to get around");
    finish();
}

/* ---- The position at which it starts --------------------------------------------------------- */

static void play_from(uint64_t start)
{
    state = test_seed();
    for (uint32_t blocks = 2; blocks <= CAPACITY_MAX; blocks *= 2)
        for (int i = 0; i < 3; i++) {
            at_most_once = i == 2;
            /* At most a lap before the wrap, so that the lap before it is used too. */
            play(blocks, start - below(2 * blocks), 4000);
        }
}

Test(mpmc_steps, a_new_queue)
{
    state = test_seed();
    for (uint32_t blocks = 2; blocks <= CAPACITY_MAX; blocks *= 2)
        for (int i = 0; i < 3; i++) {
            at_most_once = i == 2;
            play(blocks, 0, 6000);
        }
}

Test(mpmc_steps, before_positions_pass_32_bits)
{
    play_from(UINT64_C(1) << 32);
}

Test(mpmc_steps, before_descriptors_positions_wrap)
{
    play_from(UINT64_C(1) << 48);
}

Test(mpmc_steps, before_cursors_change_their_sign)
{
    play_from(UINT64_C(1) << 63);
}

Test(mpmc_steps, before_cursors_wrap)
{
    play_from(0);
}

/* A cycle has 40 bits, so this depends on the capacity. */
Test(mpmc_steps, before_cycles_wrap)
{
    state = test_seed();
    for (uint32_t blocks = 2; blocks <= CAPACITY_MAX; blocks *= 2) {
        const uint64_t wrap = (uint64_t)blocks << 40;
        for (uint64_t lap = 0; lap < 4; lap++) { /* cycle 0 is the lap before the wrap */
            at_most_once = lap == 3;
            play(blocks, wrap - lap * blocks - below(blocks), 3000);
        }
    }
}
