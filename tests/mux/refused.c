/* SPDX-License-Identifier: MIT */
/* A mux where the kernel refuses futex_waitv(2): see refused.h. */
#include <config.h>

#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "muxed.h"
#include "refused.h"

TestSuite(mux_refused, .timeout = 120);

static const int errors[] = {EPERM, ENOSYS, EINVAL};
enum { ERRORS = sizeof errors / sizeof errors[0] };

static const struct timespec a_while = {.tv_nsec = 100000000};

/* All threads sleep, and each event wakes one: with one thread, and with helpers. */
static void check_sleeps_and_is_woken(int count, int threads)
{
    struct thread t;

    for (int i = 0; i < ERRORS; i++) {
        refuse_calls(FUTEX_WAITV, errors[i]);
        setup();
        make_and_add(0, count);
        /* Where other processes have the processors, a short wait can end before it sleeps. */
        while (shmring_mux_wait(mux, events, EVENTS, &moment) != -ETIMEDOUT || refusals == 0)
            continue;
        refuse_calls(FUTEX_WAITV, errors[i]);
        const long since = now_ms();
        cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, &a_while), -ETIMEDOUT);
        cr_assert_eq(refusals, 0, "a refusal is remembered");
        assert_slept(since, threads);
        for (int queue = 0; queue<count; queue += count> 1 ? count - 1 : 1) {
            start(&t, wait_once);
            send_to(queue);
            cr_assert_eq(result_of(&t), 1);
            cr_assert_eq(index_of(&t.event), queue);
            receive(t.event.q, queue);
        }
        start(&t, wait_once);
        cr_assert_eq(shmring_mux_wake(mux), 0);
        cr_assert_eq(result_of(&t), 0);
        teardown();
    }
}

Test(mux_refused, sleeps_and_is_woken)
{
    check_sleeps_and_is_woken(2, 1);
}

Test(mux_refused, helpers_sleep_and_are_woken)
{
    check_sleeps_and_is_woken(2 * IN_A_GROUP, 4);
}

/* The kernel refuses the call for lack of memory: the mux tries it again at the next sleep. */
Test(mux_refused, for_now, .init = setup, .fini = teardown)
{
    make_and_add(0, 2);
    refuse_calls(FUTEX_WAITV, ENOMEM);
    const long since = now_ms();
    cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, &a_while), -ETIMEDOUT);
    cr_assert_gt(refusals, 1);
    assert_slept(since, 1);
    send_to(1);
    expect(1);
    refuse_calls(0, 0);
}

/* Every call that sleeps is refused: the wait returns that error, and no helper polls for ever. */
Test(mux_refused, no_call_that_sleeps, .init = setup, .fini = teardown)
{
    make_and_add(0, 2);
    refuse_calls(FUTEX_WAITV | FUTEX_WAITS | FUTEX_64 | NANOSLEEP, EPERM);
    cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, for_ever), -EPERM);
    refuse_calls(0, 0);
    send_to(1);
    expect(1);
}
