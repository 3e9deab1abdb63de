/* SPDX-License-Identifier: MIT */
/*
 * The store-buffering shape between two processes, made of the very functions of lib/bell.h and
 * lib/fence.h: one publishes and then looks at the bell, the other announces and then looks for what
 * is published. That neither sees the other must never happen with the fences in place; and without
 * them it does, or else this test would say nothing.
 *
 * SHMRING_TEST_ROUNDS: how many rounds, 200,000 unless told otherwise.
 */
#include <config.h>

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/bell.h"
#include "lib/cpu.h"
#include "lib/fence.h"
#include "messages.h"
#include "support.h"

/* Without a fence: give up waiting for what the processor may do after so many rounds. */
enum { ROUNDS = 200000, ROUNDS_WITHOUT = 20000000 };

/* Who fences. */
enum way { BOTH, SLEEPER_BY_MEMBARRIER, SLEEPER_ONLY, PUBLISHER_ONLY };

/* Each word on lines of its own. */
static struct board {
    struct shmr_bell bell;
    _Alignas(128) _Atomic uint32_t published;
    _Alignas(128) _Atomic uint64_t turn[2]; /* rounds begun by each */
    _Alignas(128) _Atomic uint64_t done[2]; /* and ended */
    _Alignas(128) _Atomic uint32_t saw[2];
    _Alignas(128) _Atomic bool over;
} * board;

static enum way way;

static void setup(void)
{
    cpu_set_t cpus;

    if (sched_getaffinity(0, sizeof cpus, &cpus) == 0 && CPU_COUNT(&cpus) < 2)
        cr_skip_test("one processor sees its own stores");
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(board, MAP_FAILED);
}

/* Both begin a round, and end it, together. */
static bool meet(_Atomic uint64_t count[2], int me, uint64_t round)
{
    atomic_store(&count[me], round);
    for (unsigned looks = 1; atomic_load(&count[!me]) < round; looks++) {
        if (atomic_load(&board->over))
            return false;
        if (looks % 1000 == 0)
            sched_yield();
    }
    return true;
}

/* What shmring_send() does: see shmr_tell(). */
static bool publish_and_look(void)
{
    const bool fences = way == BOTH || way == PUBLISHER_ONLY;

    atomic_store_explicit(&board->published, 1, memory_order_release);
    return shmr_bell_heeded(&board->bell, fences ? SHMR_HEED_FENCED : SHMR_HEED_UNFENCED) &&
           shmr_bell_ring(&board->bell) != 0;
}

/* What announce() in lib/wait.c does; PUBLISHER_ONLY: without W1. */
static bool announce_and_look(void)
{
    if (way == PUBLISHER_ONLY)
        atomic_store_explicit(&board->bell.word, SHMR_BELL_ASLEEP | SHMR_BELL_WATCHED,
                              memory_order_release);
    else
        shmr_bell_announce(&board->bell, SHMR_BELL_ASLEEP);
    if (way == SLEEPER_BY_MEMBARRIER)
        child_assert(shmr_fence_others());
    return atomic_load_explicit(&board->published, memory_order_relaxed) != 0;
}

static int publisher(void *unused)
{
    uint64_t state = 1;
    (void)unused;

    if (way == SLEEPER_BY_MEMBARRIER && !shmr_fence_register())
        return 77;
    for (uint64_t round = 1; meet(board->turn, 0, round); round++) {
        shmr_pause(test_random_below(&state, 8));
        atomic_store(&board->saw[0], publish_and_look());
        if (!meet(board->done, 0, round))
            break;
    }
    return 0;
}

/* Rounds in which neither saw the other; stops at the first such round if there should be one. */
static uint64_t play(uint64_t rounds, bool until_seen)
{
    uint64_t forbidden = 0, state = 2;
    pid_t pid;

    memset(board, 0, sizeof *board);
    pid = test_fork(publisher, NULL);
    for (uint64_t round = 1; round <= rounds && !(until_seen && forbidden); round++) {
        atomic_store(&board->bell.word, SHMR_BELL_WATCHED);
        atomic_store(&board->published, 0);
        while (atomic_load(&board->turn[0]) < round) { /* it is ready, or it could not register */
            siginfo_t ended = {0};
            waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT);
            if (ended.si_pid != 0)
                cr_skip_test("no membarrier here");
            sched_yield();
        }
        meet(board->turn, 1, round);
        shmr_pause(test_random_below(&state, 8));
        board->saw[1] = announce_and_look();
        meet(board->done, 1, round);
        forbidden += !board->saw[0] && !board->saw[1];
    }
    atomic_store(&board->over, true);
    cr_assert_eq(test_wait(pid), 0);
    return forbidden;
}

static uint64_t rounds(void)
{
    const char *text = getenv("SHMRING_TEST_ROUNDS");

    return text ? strtoull(text, NULL, 10) : ROUNDS;
}

Test(fence, both_sides_fence, .init = setup)
{
    way = BOTH;
    cr_assert_eq(play(rounds(), false), 0);
}

Test(fence, the_sleeper_fences_for_both, .init = setup)
{
    way = SLEEPER_BY_MEMBARRIER;
    cr_assert_eq(play(rounds(), false), 0);
}

static void check_it_takes_both(void)
{
    if (play(ROUNDS_WITHOUT, true) == 0)
        cr_skip_test("this processor never looks before it has stored");
}

Test(fence, the_sleepers_fence_alone_is_not_enough, .init = setup)
{
    way = SLEEPER_ONLY;
    check_it_takes_both();
}

Test(fence, the_publishers_fence_alone_is_not_enough, .init = setup)
{
    way = PUBLISHER_ONLY;
    check_it_takes_both();
}
