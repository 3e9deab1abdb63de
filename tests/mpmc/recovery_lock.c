/* SPDX-License-Identifier: MIT */
/*
 * A process that recovers a dead participant holds the lock of its row meanwhile, so that no other
 * process recovers the same one. The handler of a page fault checks this in the middle of a
 * recovery.
 */
#include <config.h>

#include <signal.h>

#include "lib/core/rows.h"
#include "mpmc_pages.h"
#include "support.h"

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

static shmring_t *q;
static uint32_t dead_row;
static volatile sig_atomic_t faults, locked;

static void check_the_lock(int number)
{
    (void)number;
    faults++;
    locked = shmr_row_holder(q->fd, &q->geometry, dead_row);
    mprotect(q->map.data, (size_t)q->geometry.data_size, PROT_READ | PROT_WRITE);
}

Test(recovery_lock, is_held_while_the_blocks_are_read, .timeout = 60)
{
    struct shmring_recovery report;
    shmring_t *dying;
    void *msg;

    q = test_create_mpmc("memfd:test", BOTH, 8, 8);
    cr_assert_eq(shmring_dup(&dying, q, BOTH), 0);
    cr_assert_eq(shmring_reserve(dying, 8, &msg), 0);
    dead_row = dying->row;
    mpmc_kill_handle(&dying);
    cr_assert_eq(shmr_row_holder(q->fd, &q->geometry, dead_row), SHMR_NO_HOLDER);

    cr_assert_neq(signal(SIGSEGV, check_the_lock), SIG_ERR);
    cr_assert_eq(mprotect(q->map.data, (size_t)q->geometry.data_size, PROT_NONE), 0);
    cr_assert_eq(shmring_recover(q, &report), 1);
    signal(SIGSEGV, SIG_DFL);
    cr_assert_eq(faults, 1);
    cr_assert_eq(locked, SHMR_RECOVERER);
    cr_assert_eq(report.freed, 1);
    cr_assert_eq(shmr_row_holder(q->fd, &q->geometry, dead_row), SHMR_NO_HOLDER);
    shmring_close(&q);
}
