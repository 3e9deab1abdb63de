/* SPDX-License-Identifier: MIT */
/* shmring_dump() shows all messages of a queue, at every place of the ring and with every owner,
 * and notices when the queue is corrupt. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "lib/core/handle.h"
#include "lib/core/rows.h"
#include "lib/mpmc/blocks.h"
#include "lib/spsc/ring.h"
#include "messages.h"
#include "spsc_pages.h"
#include "support.h"

TestSuite(dump, .timeout = 120);

enum { MPMC_CAPACITY = 8, SPSC_CAPACITY = 4096, MAX_MESSAGE = 200, MOST = 1024 };

/* What a dump has shown. The messages are 4-byte numbers. */
struct shown {
    int n;
    struct shmring_message messages[MOST];
    uint32_t numbers[MOST];
};

static int show(void *arg, const struct shmring_message *m)
{
    struct shown *shown = arg;

    if (shown->n == MOST || m->length != sizeof(uint32_t))
        return 1;
    shown->messages[shown->n] = *m;
    memcpy(&shown->numbers[shown->n], m->data, sizeof(uint32_t));
    shown->n++;
    return 0;
}

static const struct shown *dump(shmring_t *q)
{
    static struct shown shown;

    shown.n = 0;
    cr_assert_eq(shmring_dump(q, show, &shown), 0, "%s", shmring_strerror_detail());
    return &shown;
}

/* The handles of a queue: one that sends and receives, and an observer. */
static shmring_t *both, *observer;

static void make(uint32_t kind)
{
    const struct shmring_config config = {.kind = kind,
                                          .flags = SHMRING_PRODUCER | SHMRING_CONSUMER,
                                          .capacity =
                                              kind == SHMRING_SPSC ? SPSC_CAPACITY : MPMC_CAPACITY,
                                          .max_message = MAX_MESSAGE};

    cr_assert_eq(shmring_create(&both, "memfd:dump", &config), 0, "%s", shmring_strerror_detail());
    cr_assert_eq(shmring_dup(&observer, both, SHMRING_OBSERVER), 0, "%s",
                 shmring_strerror_detail());
}

static void destroy(void)
{
    shmring_close(&observer);
    shmring_close(&both);
}

static void send_number(uint32_t number)
{
    cr_assert_eq(shmring_send(both, &number, sizeof number), 0);
}

static void receive_number(uint32_t number)
{
    uint32_t got;

    cr_assert_eq(shmring_recv(both, &got, sizeof got), sizeof got);
    cr_assert_eq(got, number);
}

static const uint32_t kinds[] = {SHMRING_SPSC, SHMRING_MPMC};

Test(dump, shows_all_in_order_wherever_they_are_and_takes_none)
{
    for (int kind = 0; kind < 2; kind++) {
        make(kinds[kind]);
        uint32_t sent = 0, received = 0;
        for (int round = 0; round < 1000; round++) {
            for (int i = 0; i < round % 9 && sent - received < MPMC_CAPACITY; i++)
                send_number(sent++);
            for (int i = 0; i < round % 7 && received < sent; i++)
                receive_number(received++);
            const struct shown *shown = dump(round % 2 ? observer : both);
            cr_assert_eq((uint32_t)shown->n, sent - received);
            for (int i = 0; i < shown->n; i++) {
                const struct shmring_message *m = &shown->messages[i];
                cr_assert_eq(shown->numbers[i], received + (uint32_t)i);
                cr_assert_eq(m->state, SHMRING_WAITING);
                cr_assert_eq(m->deliveries, 0);
                cr_assert_eq(m->position,
                             (received + (uint64_t)i) * (kinds[kind] == SHMRING_SPSC ? 8 : 1));
            }
        }
        destroy();
    }
}

static int check_content(void *arg, const struct shmring_message *m)
{
    uint32_t *next = arg;

    cr_assert_eq(m->length, *next);
    cr_assert(message_is(*next, m->data, m->length));
    ++*next;
    return 0;
}

Test(dump, messages_of_every_length)
{
    for (int kind = 0; kind < 2; kind++) {
        const struct shmring_config config = {.kind = kinds[kind],
                                              .flags = SHMRING_PRODUCER,
                                              .capacity = kinds[kind] == SHMRING_SPSC ? 65536 : 256,
                                              .max_message = MAX_MESSAGE};
        uint32_t next = 0;

        cr_assert_eq(shmring_create(&both, "memfd:dump", &config), 0);
        for (uint32_t len = 0; len <= MAX_MESSAGE; len++)
            cr_assert_eq(shmring_send(both, message_content(len), len), 0);
        cr_assert_eq(shmring_dump(both, check_content, &next), 0);
        cr_assert_eq(next, MAX_MESSAGE + 1);
        shmring_close(&both);
    }
}

Test(dump, a_ring_filled_to_the_last_byte)
{
    make(SHMRING_SPSC);
    for (uint32_t i = 0; i < 300; i++) { /* more than a ring, so that the positions wrap */
        send_number(i);
        receive_number(i);
    }
    uint32_t sent = 300;
    while (shmring_send(both, &sent, sizeof sent) == 0)
        sent++;
    const struct shown *shown = dump(observer);
    cr_assert_eq(shown->n, SPSC_CAPACITY / 8 - 1);
    cr_assert_eq(shown->numbers[shown->n - 1], sent - 1);
    destroy();
}

Test(dump, messages_that_are_held)
{
    const void *first, *second;

    for (int kind = 0; kind < 2; kind++) {
        make(kinds[kind]);
        for (uint32_t i = 0; i < 4; i++)
            send_number(i);
        receive_number(0);
        cr_assert_eq(shmring_peek(both, &first, NULL), sizeof(uint32_t));
        cr_assert_eq(shmring_peek(both, &second, NULL), sizeof(uint32_t));

        const struct shown *shown = dump(observer);
        cr_assert_eq(shown->n, 3);
        for (int i = 0; i < 3; i++) {
            cr_assert_eq(shown->numbers[i], (uint32_t)i + 1);
            cr_assert_eq(shown->messages[i].state, i < 2 ? SHMRING_HELD : SHMRING_WAITING);
            cr_assert_eq(shown->messages[i].deliveries, i < 2);
        }
        cr_assert_eq(shown->messages[0].row, kinds[kind] == SHMRING_SPSC ? SHMR_ROW_CONSUMER : 0);
        cr_assert_eq(shmring_release(both, first), 0);
        cr_assert_eq(dump(observer)->n, 2);
        destroy();
    }
}

/* The segment says that a consumer has the message, but no consumer is attached: the message
 * waits. */
Test(dump, a_message_that_no_consumer_can_hold)
{
    make(SHMRING_SPSC);
    send_number(0);
    ((struct shmr_spsc_consumer_page *)(void *)both->map.consumer)->taken = 16;
    cr_assert_eq(dump(observer)->messages[0].state, SHMRING_HELD);
    shmr_row_at(both->map.table, SHMR_ROW_CONSUMER)->state = SHMR_ROW_FREE;
    const struct shown *shown = dump(observer);
    cr_assert_eq(shown->n, 1);
    cr_assert_eq(shown->messages[0].state, SHMRING_WAITING);
    cr_assert_eq(shown->messages[0].deliveries, 1);
    destroy();
}

/* A corrupt queue can be dumped; a queue whose memory is gone cannot. */
Test(dump, of_memory_that_is_gone)
{
    struct shown shown = {0};

    make(SHMRING_SPSC);
    observer->poisoned = true;
    cr_assert_eq(shmring_dump(observer, show, &shown), 0);
    observer->lost = true;
    assert_refused(shmring_dump(observer, show, &shown), EBADMSG, "memory is gone");
    observer->lost = false;
    destroy();
}

/* The ring goes round while a consumer holds one message: no entry names its block any more. */
Test(dump, a_message_held_for_many_laps)
{
    const void *held;

    make(SHMRING_MPMC);
    send_number(1000);
    cr_assert_eq(shmring_peek(both, &held, NULL), sizeof(uint32_t));
    for (uint32_t i = 0; i < 10 * MPMC_CAPACITY; i++) {
        send_number(i);
        const struct shown *shown = dump(observer);
        cr_assert_eq(shown->n, 2);
        cr_assert_eq(shown->numbers[0], 1000);
        cr_assert_eq(shown->messages[0].state, SHMRING_HELD);
        cr_assert_eq(shown->messages[0].position, 0);
        cr_assert_eq(shown->numbers[1], i);
        receive_number(i);
    }
    cr_assert_eq(shmring_release(both, held), 0);
    cr_assert_eq(dump(observer)->n, 0);
    destroy();
}

static int hold_two_and_die(void *arg)
{
    const void *msg;
    shmring_t *q;

    child_assert(shmring_open(&q, arg, SHMRING_CONSUMER) == 0);
    child_assert(shmring_peek(q, &msg, NULL) > 0 && shmring_peek(q, &msg, NULL) > 0);
    raise(SIGKILL);
    return 1;
}

/* All consumers are dead, and then the next one comes: a message is held, waits for its second
 * delivery, and is held again. */
Test(dump, what_the_dead_have_left)
{
    for (int kind = 0; kind < 2; kind++) {
        const bool mpmc = kinds[kind] == SHMRING_MPMC;
        char name[TEST_NAME_SIZE];
        const struct shmring_config config = {.kind = kinds[kind],
                                              .flags = SHMRING_PRODUCER,
                                              .capacity = mpmc ? MPMC_CAPACITY : SPSC_CAPACITY,
                                              .max_message = MAX_MESSAGE};
        test_name(name);
        cr_assert_eq(shmring_create(&both, name, &config), 0);
        for (uint32_t i = 0; i < 3; i++)
            send_number(i);
        shmring_close(&both);
        cr_assert_eq(test_run(hold_two_and_die, name), -SIGKILL);

        cr_assert_eq(shmring_open(&observer, name, SHMRING_OBSERVER), 0);
        const struct shown *shown = dump(observer);
        cr_assert_eq(shown->n, 3);
        for (int i = 0; i < 3; i++) {
            cr_assert_eq(shown->numbers[i], (uint32_t)i);
            cr_assert_eq(shown->messages[i].state, i < 2 ? SHMRING_HELD : SHMRING_WAITING);
            cr_assert_eq(shown->messages[i].deliveries, i < 2);
        }

        /* mpmc: the messages that come again are at the end of the queue. */
        static const uint32_t again[] = {2, 0, 1};
        cr_assert_eq(shmring_open(&both, name, SHMRING_CONSUMER), 0);
        shown = dump(observer);
        cr_assert_eq(shown->n, 3);
        for (int i = 0; i < 3; i++) {
            uint32_t number = shown->numbers[i];
            cr_assert_eq(number, mpmc ? again[i] : (uint32_t)i);
            cr_assert_eq(shown->messages[i].state, SHMRING_WAITING);
            cr_assert_eq(shown->messages[i].deliveries, number < 2);
        }
        const void *msg;
        struct shmring_info info;
        for (int i = 0; i < 3; i++) {
            cr_assert_eq(shmring_peek(both, &msg, &info), sizeof(uint32_t));
            cr_assert_eq(dump(observer)->messages[i].deliveries, info.deliveries);
            cr_assert_eq(dump(observer)->messages[i].state, SHMRING_HELD);
        }
        destroy();
    }
}

/* ---- While other processes send and receive -------------------------------------------------- */

/* The first bytes of a message are its number, which gives its length and its content. */
static uint32_t length_of(uint32_t number)
{
    return 8 + number % (MAX_MESSAGE - 8);
}

static int send_and_receive(void *arg)
{
    uint8_t message[MAX_MESSAGE], got[MAX_MESSAGE];
    shmring_t *q;

    (void)arg;
    child_assert(shmring_dup(&q, observer, SHMRING_PRODUCER | SHMRING_CONSUMER) == 0);
    for (uint32_t number = 0, received = 0;; number++) {
        memset(message, (int)(number & 0xff), sizeof message);
        memcpy(message, &number, sizeof number);
        while (shmring_send(q, message, length_of(number)) == -EAGAIN)
            for (int i = 0; i < 3; i++, received++)
                child_assert(shmring_recv(q, got, sizeof got) == (ssize_t)length_of(received));
    }
}

static int receive_three_at_the_first(void *arg, const struct shmring_message *m)
{
    struct shown *shown = arg;

    for (uint32_t i = 0; shown->n == 0 && i < 3; i++)
        receive_number(i);
    return show(shown, m);
}

Test(dump, passes_over_what_is_taken_meanwhile)
{
    static const uint32_t expected[] = {0, 3, 4};

    for (int kind = 0; kind < 2; kind++) {
        struct shown shown = {0};
        make(kinds[kind]);
        for (uint32_t i = 0; i < 5; i++)
            send_number(i);
        cr_assert_eq(shmring_dump(observer, receive_three_at_the_first, &shown), 0);
        cr_assert_eq(shown.n, 3);
        cr_assert_arr_eq(shown.numbers, expected, sizeof expected);
        destroy();
    }
}

struct live {
    uint64_t shown, last;
    bool good;
};

static int check_live(void *arg, const struct shmring_message *m)
{
    struct live *live = arg;
    const uint8_t *bytes = m->data;
    uint32_t number;

    memcpy(&number, bytes, sizeof number);
    live->good = m->length == length_of(number) && number >= live->last;
    for (uint32_t i = sizeof number; live->good && i < m->length; i++)
        live->good = bytes[i] == (number & 0xff);
    live->shown++;
    live->last = (uint64_t)number + 1;
    return !live->good;
}

Test(dump, whole_messages_from_a_queue_in_use)
{
    for (int kind = 0; kind < 2; kind++) {
        make(kinds[kind]);
        shmring_close(&both); /* the child now has the roles */
        pid_t child = test_fork(send_and_receive, NULL);
        struct live live = {.good = true};
        for (int dumps = 0; dumps < 3000 || live.shown < 3000; dumps++) {
            live.last = 0;
            int r = shmring_dump(observer, check_live, &live);
            cr_assert(r == 0 && live.good, "%d: %s", r, shmring_strerror_detail());
        }
        test_kill(child);
        destroy();
    }
}

/* ---- Refusals -------------------------------------------------------------------------------- */

static int stop_at_second(void *arg, const struct shmring_message *m)
{
    (void)m;
    return ++*(int *)arg == 2 ? 77 : 0;
}

Test(dump, ends_when_told_to)
{
    for (int kind = 0; kind < 2; kind++) {
        int calls = 0;
        make(kinds[kind]);
        for (uint32_t i = 0; i < 3; i++)
            send_number(i);
        cr_assert_eq(shmring_dump(observer, stop_at_second, &calls), 77);
        cr_assert_eq(calls, 2);
        destroy();
    }
}

static int dump_in_child(void *arg)
{
    struct shown shown = {0};

    (void)arg;
    child_assert(shmring_dump(observer, show, &shown) == -ENOTCONN);
    return 0;
}

Test(dump, wrong_calls)
{
    make(SHMRING_MPMC);
    assert_refused(shmring_dump(NULL, show, NULL), EBADF, "NULL");
    assert_refused(shmring_dump(observer, NULL, NULL), EINVAL, "NULL");
    cr_assert_eq(test_run(dump_in_child, NULL), 0);
    destroy();
}

/* ---- Damage ---------------------------------------------------------------------------------- */

Test(dump, a_damaged_ring)
{
    struct pages pages;
    struct shown shown = {0};

    make(SHMRING_SPSC);
    pages_map(&pages, both);
    for (uint32_t i = 0; i < 3; i++)
        send_number(i);
    _Atomic uint32_t *second = shmr_spsc_header(pages.data, SPSC_CAPACITY - 1, 8);
    atomic_store(second, MAX_MESSAGE + 2);
    assert_refused(shmring_dump(observer, show, &shown), EBADMSG, "longer than max_message");
    cr_assert_eq(shown.n, 1); /* the first message is not damaged */

    atomic_store(second, sizeof(uint32_t) + 1);
    /* A record header everywhere, so that the records have no end. */
    for (uint64_t at = 24; at < SPSC_CAPACITY; at += 8)
        atomic_store(shmr_spsc_header(pages.data, SPSC_CAPACITY - 1, at), sizeof(uint32_t) + 1);
    assert_refused(shmring_dump(observer, show, &shown), EBADMSG, "longer than the ring");

    for (int i = 0; i < 2; i++)
        atomic_store(&pages.consumer->progress[i].position, 4);
    assert_refused(shmring_dump(observer, show, &shown), EBADMSG, "multiple of 8");
    pages_unmap(&pages);
    destroy();
}

static struct shmr_block *block_at(const struct pages *pages, size_t index)
{
    size_t stride = (sizeof(struct shmr_block) + MAX_MESSAGE + 63) / 64 * 64;

    return (void *)(pages->data + index * stride);
}

Test(dump, damaged_blocks)
{
    struct pages pages;
    struct shown shown = {0};

    make(SHMRING_MPMC);
    pages_map(&pages, both);
    for (uint32_t i = 0; i < 3; i++)
        send_number(i);
    atomic_store(&block_at(&pages, 1)->length, MAX_MESSAGE + 1);
    assert_refused(shmring_dump(observer, show, &shown), EBADMSG, "longer than max_message");
    cr_assert_eq(shown.n, 1);
    atomic_fetch_add(&block_at(&pages, 1)->entry, MPMC_CAPACITY);
    cr_assert_eq(dump(observer)->n, 2); /* an entry that names no block leads to no message */
    pages_unmap(&pages);
    destroy();
}

static int count_bytes(void *arg, const struct shmring_message *m)
{
    uint64_t *bytes = arg;
    const uint8_t *data = m->data;

    cr_assert_leq(m->length, MAX_MESSAGE);
    for (uint32_t i = 0; i < m->length; i++)
        *bytes += data[i];
    return 0;
}

Test(dump, garbage_ends_it_soon_and_reaches_nothing_else)
{
    uint64_t seed = test_seed(), bytes = 0;

    for (int kind = 0; kind < 2; kind++) {
        struct pages pages;
        make(kinds[kind]);
        pages_map(&pages, both);
        uint8_t *from = (uint8_t *)pages.producer, *end = pages.segment + pages.segment_size;
        for (int round = 0; round < 200; round++) {
            /* In some rounds, values that are nearly plausible. */
            const uint64_t few = round % 2 ? UINT64_MAX : 0xf;
            for (uint8_t *at = from; at < end; at += 8) {
                uint64_t word = test_random(&seed) & few;
                if (test_random_below(&seed, 4) == 0)
                    memcpy(at, &word, sizeof word);
            }
            int r = shmring_dump(observer, count_bytes, &bytes);
            cr_assert(r == 0 || r == -EBADMSG, "%d", r);
        }
        pages_unmap(&pages);
        destroy();
    }
}
