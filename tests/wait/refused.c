/* SPDX-License-Identifier: MIT */
/* The library takes no answer of the kernel for a wake-up but a wake-up: see refused.h. */
#include <config.h>

#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "refused.h"
#include "support.h"

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

TestSuite(refused, .timeout = 120);

static const int errors[] = {EPERM, ENOSYS, EINVAL, EACCES, EOPNOTSUPP};
enum { ERRORS = sizeof errors / sizeof errors[0] };

static const struct timespec a_while = {.tv_nsec = 100000000}, *const for_ever;
static const struct shmring_waiting sleepy = {.recheck_ms = 3600000};

static char name[TEST_NAME_SIZE];
static shmring_t *q, *holder;
static void *held[4];

/* A queue that is neither readable nor writable: each block is reserved by another participant. */
static void setup(void)
{
    test_name(name);
    holder = test_create_mpmc(name, SHMRING_PRODUCER, 4, 64);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(shmring_reserve(holder, 8, &held[i]), 0);
    cr_assert_eq(shmring_open(&q, name, BOTH), 0);
    cr_assert_eq(shmring_set_waiting(q, &sleepy), 0);
}

static void teardown(void)
{
    refuse_calls(0, 0);
    shmring_close(&q);
    shmring_close(&holder);
    shmring_unlink(name);
}

Test(refused, waiting_for_both_events_sleeps)
{
    for (int i = 0; i < ERRORS; i++) {
        setup();
        refuse_calls(FUTEX_WAITV, errors[i]);
        const long since = now_ms();
        cr_assert_eq(shmring_wait(q, BOTH, &a_while), -ETIMEDOUT);
        cr_assert_eq(shmring_wait(q, BOTH, &a_while), -ETIMEDOUT);
        cr_assert_eq(refusals, 1, "a refusal is remembered");
        assert_slept(since, 1);
        teardown();
    }
}

/* The kernel refuses the call once for lack of memory: the library tries it again at the next
 * sleep. */
Test(refused, a_refusal_for_now_is_not_remembered, .init = setup, .fini = teardown)
{
    refuse_calls(FUTEX_WAITV, ENOMEM);
    const long since = now_ms();
    cr_assert_eq(shmring_wait(q, BOTH, &a_while), -ETIMEDOUT);
    const long before = refusals;
    cr_assert_eq(shmring_wait(q, BOTH, &a_while), -ETIMEDOUT);
    cr_assert_gt(refusals, before);
    assert_slept(since, 1);
}

static int wait_for_either(void *event)
{
    shmring_t *mine;

    child_assert(shmring_open(&mine, name, BOTH) == 0);
    child_assert(shmring_set_waiting(mine, &sleepy) == 0);
    child_assert(shmring_wait(mine, BOTH, for_ever) == *(int *)event);
    return 0;
}

/* It sleeps on one of the two words, and polls for the other event. */
Test(refused, either_event_ends_it)
{
    for (int event = SHMRING_READABLE; event <= SHMRING_WRITABLE; event <<= 1) {
        setup();
        refuse_calls(FUTEX_WAITV, EPERM);
        pid_t pid = test_fork(wait_for_either, &event);
        test_await_sleep(pid);
        if (event == SHMRING_READABLE)
            cr_assert_eq(shmring_commit(holder, held[0], 8), 0);
        else
            cr_assert_eq(shmring_cancel(holder, held[0]), 0);
        cr_assert_eq(test_wait(pid), 0);
        teardown();
    }
}

/* Without futex(2) a wait sleeps for a millisecond at a time, and polls after each. */
Test(refused, no_futex_at_all, .init = setup, .fini = teardown)
{
    static const unsigned events[] = {SHMRING_READABLE, SHMRING_WRITABLE, BOTH};

    for (int i = 0; i < ERRORS; i++)
        for (int e = 0; e < 3; e++) {
            refuse_calls(FUTEX_WAITV | FUTEX_WAITS | FUTEX_64, errors[i]);
            const long since = now_ms();
            cr_assert_eq(shmring_wait(q, events[e], &a_while), -ETIMEDOUT);
            cr_assert_gt(refusals, 0);
            assert_slept(since, 1);
        }
    cr_assert_eq(shmring_commit(holder, held[0], 8), 0);
    cr_assert_eq(shmring_wait(q, SHMRING_READABLE, for_ever), SHMRING_READABLE);
}

/* There is no way to sleep: the call returns that error. */
Test(refused, no_call_that_sleeps, .init = setup, .fini = teardown)
{
    static const unsigned events[] = {SHMRING_READABLE, SHMRING_WRITABLE, BOTH};

    for (int e = 0; e < 3; e++) {
        refuse_calls(FUTEX_WAITV | FUTEX_WAITS | FUTEX_64 | NANOSLEEP, EPERM);
        assert_refused(shmring_wait(q, events[e], for_ever), EPERM, "seccomp");
        refuse_calls(0, 0);
        cr_assert_eq(shmring_wait(q, events[e], &a_while), -ETIMEDOUT);
    }
}

/* On 32-bit machines, kernels before Linux 5.1 and filters older than that have only the futex call
 * with 32-bit times. */
Test(refused, no_futex_of_64_bits, .init = setup, .fini = teardown)
{
    for (int i = 0; i < 2; i++) {
        refuse_calls(FUTEX_WAITV | FUTEX_64, errors[i]);
        const long since = now_ms();
        cr_assert_eq(shmring_wait(q, SHMRING_READABLE, &a_while), -ETIMEDOUT);
        cr_assert_leq(sleeps - refusals, 3, "it sleeps on, and is not woken by the clock");
        cr_assert_eq(shmring_wait(q, BOTH, &a_while), -ETIMEDOUT);
        assert_slept(since, 1);
    }
}
