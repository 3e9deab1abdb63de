/* SPDX-License-Identifier: MIT */
/*
 * The store-buffering shape between two processes, with the functions of lib/wait/waitword.h and
 * lib/wait/fence.h: one process publishes and then checks the wait word, the other announces and
 * then polls for what is published. With the fences, it must never happen that neither sees the
 * other. Without them it does happen, which shows that the test can see it.
 *
 * SHMRING_TEST_ROUNDS: how many rounds, 200,000 by default.
 */
#include <config.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/cpu.h"
#include "lib/wait/fence.h"
#include "lib/wait/waitword.h"
#include "messages.h"
#include "settled.h"
#include "support.h"

/* Without a fence the test gives up after this many rounds, if the processor has not reordered by
 * then. */
enum { ROUNDS = 200000, ROUNDS_WITHOUT = 20000000 };

/* Which side fences. */
enum way { BOTH, SLEEPER_BY_MEMBARRIER, SLEEPER_ONLY, PUBLISHER_ONLY };

/* Each word is alone on its cache lines. */
static struct board {
    struct shmr_waitword waitword;
    _Alignas(128) _Atomic uint32_t published;
    _Alignas(128) _Atomic uint64_t turn[2]; /* rounds that each process has begun */
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

/* Both processes begin a round together, and end it together. */
static bool meet(_Atomic uint64_t count[2], int me, uint64_t round)
{
    atomic_store(&count[me], round);
    for (unsigned polls = 1; atomic_load(&count[!me]) < round; polls++) {
        if (atomic_load(&board->over))
            return false;
        if (polls % 1000 == 0)
            sched_yield();
    }
    return true;
}

/* The steps of shmring_send(): see shmr_notify(). */
static bool publish_and_check(void)
{
    const bool fences = way == BOTH || way == PUBLISHER_ONLY;

    atomic_store_explicit(&board->published, 1, memory_order_release);
    return shmr_waitword_is_set(&board->waitword,
                                fences ? SHMR_NOTIFY_FENCED : SHMR_NOTIFY_UNFENCED) &&
           shmr_waitword_notify(&board->waitword) != 0;
}

/* The steps of announce() in lib/wait/sleep.c; PUBLISHER_ONLY: without W1. */
static bool announce_and_poll(void)
{
    if (way == PUBLISHER_ONLY)
        atomic_store_explicit(&board->waitword.word, SHMR_WAITWORD_ASLEEP | SHMR_WAITWORD_WATCHED,
                              memory_order_release);
    else
        shmr_waitword_announce(&board->waitword, SHMR_WAITWORD_ASLEEP);
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
        atomic_store(&board->saw[0], publish_and_check());
        if (!meet(board->done, 0, round))
            break;
    }
    return 0;
}

/* Returns the number of rounds in which neither saw the other; stops at the first one that must not
 * be. */
static uint64_t play(uint64_t rounds, bool until_seen)
{
    uint64_t forbidden = 0, state = 2;
    pid_t pid;

    memset(board, 0, sizeof *board);
    pid = test_fork(publisher, NULL);
    for (uint64_t round = 1; round <= rounds && !(until_seen && forbidden); round++) {
        atomic_store(&board->waitword.word, SHMR_WAITWORD_WATCHED);
        atomic_store(&board->published, 0);
        /* Until the child is ready, or could not register. */
        while (atomic_load(&board->turn[0]) < round) {
            siginfo_t ended = {0};
            waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT);
            if (ended.si_pid != 0)
                cr_skip_test("no membarrier here");
            sched_yield();
        }
        meet(board->turn, 1, round);
        shmr_pause(test_random_below(&state, 8));
        board->saw[1] = announce_and_poll();
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
        cr_skip_test("this processor never polls before it has stored");
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

/* ---- Where membarrier is forbidden ----------------------------------------------------------- */

static char name[TEST_NAME_SIZE];

static bool forbid_membarrier(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof code / sizeof code[0], code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 && !shmr_fence_register() &&
           !shmr_fence_others();
}

/* Some publishers do not fence, and this sleeper cannot make the kernel fence for them: none of its
 * sleeps is long. */
static int wait_without_membarrier(void *ends)
{
    const struct shmring_waiting sleepy = {.recheck_ms = 3600000};
    struct shmring_futex futex;
    char buf[10];
    shmring_t *q;
    const bool forbidden = forbid_membarrier();

    if (!forbidden) {
        test_tell(((int *)ends)[1]);
        return 77;
    }
    child_assert(shmring_open(&q, name, SHMRING_CONSUMER) == 0);
    child_assert(shmring_set_waiting(q, &sleepy) == 0);
    for (int i = 0; i < 3; i++) {
        child_assert(shmring_futex_arm(q, SHMRING_READABLE, &futex) == 0);
        child_assert(futex.limit_ns == 50000000);
    }
    test_tell(((int *)ends)[1]);
    child_assert(shmring_recv_wait(q, buf, sizeof buf, NULL) == 5);
    shmring_close(&q);
    return 0;
}

/* Without membarrier the option has no effect: the publisher fences like all others, and sleepers
 * may sleep long. */
static int publish_without_membarrier(void *unused)
{
    const struct shmring_waiting sleepy = {.recheck_ms = 3600000};
    struct shmring_futex futex;
    shmring_t *q;

    (void)unused;
    if (!forbid_membarrier())
        return 77;
    child_assert(shmring_open(&q, name, SHMRING_PRODUCER | SHMRING_ASYMMETRIC_FENCE) == 0);
    child_assert(shmring_set_waiting(q, &sleepy) == 0);
    while (shmring_send(q, "hello", 5) == 0)
        continue;
    test_settle_sleeps(q);
    child_assert(shmring_futex_arm(q, SHMRING_WRITABLE, &futex) == 0);
    child_assert(futex.limit_ns == INT64_C(3600000000000));
    shmring_close(&q);
    return 0;
}

Test(fence, a_sleeper_without_membarrier)
{
    test_name(name);
    shmring_t *q = test_create(name, SHMRING_PRODUCER | SHMRING_ASYMMETRIC_FENCE, 4096);

    if (!shmr_fence_register())
        cr_skip_test("no membarrier here");
    int ends[2];
    test_pipe(ends);
    pid_t pid = test_fork(wait_without_membarrier, ends);
    test_hear(ends[0]);
    cr_assert_eq(shmring_send_wait(q, "hello", 5, NULL), 0);
    const int r = test_wait(pid);
    if (r == 77)
        cr_skip_test("no seccomp filters here");
    cr_assert_eq(r, 0);
    shmring_close(&q);
}

Test(fence, a_publisher_without_membarrier)
{
    test_name(name);
    shmring_t *q = test_create(name, 0, 4096);

    const int r = test_run(publish_without_membarrier, NULL);
    if (r == 77)
        cr_skip_test("no seccomp filters here");
    cr_assert_eq(r, 0);
    shmring_close(&q);
}
