/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <sched.h>
#include <unistd.h>

#include "muxed.h"

static const struct shmring_waiting sleepy = {.recheck_ms = 3600000};
static const struct shmring_mux_config no_spin = {0};

shmring_t *mine[MOST], *other[MOST];
shmring_mux_t *mux;
struct shmring_mux_event events[EVENTS];

static shmring_t *copy_of(const shmring_t *q, unsigned role)
{
    shmring_t *copy;

    cr_assert_eq(shmring_dup(&copy, q, role), 0, "%s", shmring_strerror_detail());
    return copy;
}

void make_queue(int i)
{
    const struct shmring_config config = {
        .kind = SHMRING_SPSC, .capacity = 4096, .flags = SHMRING_CONSUMER};

    cr_assert_eq(shmring_create(&mine[i], "memfd:mux", &config), 0, "%s",
                 shmring_strerror_detail());
    cr_assert_eq(shmring_set_waiting(mine[i], &sleepy), 0);
    other[i] = copy_of(mine[i], SHMRING_PRODUCER);
}

void make_and_add(int from, int to)
{
    for (int i = from; i < to; i++) {
        make_queue(i);
        cr_assert_eq(shmring_mux_add(mux, mine[i], SHMRING_READABLE, &mine[i]), 0);
    }
}

void setup(void)
{
    cr_assert_eq(shmring_mux_create(&mux, &no_spin), 0);
}

void teardown(void)
{
    shmring_mux_destroy(&mux);
    cr_assert_null(mux);
    for (int i = 0; i < MOST; i++) {
        shmring_close(&mine[i]);
        shmring_close(&other[i]);
    }
}

void send_to(int i)
{
    cr_assert_eq(shmring_send(other[i], &i, sizeof i), 0, "%s", shmring_strerror_detail());
}

int index_of(const struct shmring_mux_event *event)
{
    return (int)((shmring_t **)event->data - mine);
}

void receive(shmring_t *q, int expected)
{
    int number = -1;

    cr_assert_eq(shmring_recv(q, &number, sizeof number), (ssize_t)sizeof number);
    cr_assert_eq(number, expected);
}

void expect(int i)
{
    cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, for_ever), 1);
    cr_assert_eq(events[0].q, mine[i]);
    cr_assert_eq(events[0].data, &mine[i]);
    cr_assert_eq(events[0].event, SHMRING_READABLE);
    cr_assert_eq(events[0].error, 0);
    receive(mine[i], i);
}

void *wait_once(void *argument)
{
    struct thread *t = argument;

    atomic_store(&t->tid, gettid());
    t->result = shmring_mux_wait(mux, &t->event, 1, for_ever);
    return NULL;
}

void start(struct thread *t, void *(*body)(void *))
{
    atomic_store(&t->tid, 0);
    cr_assert_eq(pthread_create(&t->thread, NULL, body, t), 0);
    while (!atomic_load(&t->tid))
        sched_yield();
    test_await_sleep_of(getpid(), t->tid);
}

int result_of(struct thread *t)
{
    cr_assert_eq(pthread_join(t->thread, NULL), 0);
    return t->result;
}
