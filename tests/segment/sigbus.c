/* SPDX-License-Identifier: MIT */
/*
 * Files that are truncated, or have holes punched into them, while processes have them mapped: with
 * shmring_guard_sigbus() no process dies, and each call returns an error.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/core/handle.h"
#include "lib/core/rows.h"
#include "messages.h"
#include "support.h"

enum { PAGE = 4096, CAPACITY = 4 * PAGE, MESSAGES = 32, LONGEST = 1000 };

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)
#define GONE "memory is gone"

static const unsigned kinds[] = {SHMRING_SPSC, SHMRING_MPMC};

static char queue_name[TEST_NAME_SIZE]; /* each user of the name removes its queue */

static shmring_t *create_queue(unsigned kind, unsigned roles)
{
    if (!queue_name[0])
        test_name(queue_name);
    shmring_t *q = kind == SHMRING_SPSC ? test_create(queue_name, roles, CAPACITY)
                                        : test_create_mpmc(queue_name, roles, MESSAGES, LONGEST);
    cr_assert_eq(shmring_unlink(queue_name), 0);
    q->waiting.name_checked = INT64_MAX; /* so that no wait ends because the name is gone */
    return q;
}

static void truncate_to(const shmring_t *q, off_t size)
{
    cr_assert_eq(ftruncate(shmring_segment_fd(q), size), 0);
}

static shmring_t *attach(const shmring_t *q, unsigned roles)
{
    shmring_t *copy;

    cr_assert_eq(shmring_dup(&copy, q, roles), 0, "%s", shmring_strerror_detail());
    return copy;
}

/* ---- Every call ------------------------------------------------------------------------------ */

static int tell_nothing(void *argument, const struct shmring_message *message)
{
    (void)argument;
    (void)message;
    return 0;
}

static uint8_t buffer[LONGEST];
static const void *peeked;
static void *reserved;

static long by_send(shmring_t *q)
{
    return shmring_send(q, buffer, sizeof buffer);
}

static long by_send_batch(shmring_t *q)
{
    return shmring_send_batch(q, &(struct iovec){buffer, 8}, 1);
}

static long by_commit(shmring_t *q)
{
    return shmring_commit(q, reserved, 8);
}

static long by_cancel(shmring_t *q)
{
    return shmring_cancel(q, reserved);
}

static long by_recv(shmring_t *q)
{
    return shmring_recv(q, buffer, sizeof buffer);
}

static long by_recv_batch(shmring_t *q)
{
    return shmring_recv_batch(q, &(struct iovec){buffer, sizeof buffer}, 1);
}

static long by_release(shmring_t *q)
{
    return shmring_release(q, peeked);
}

static long by_recv_wait(shmring_t *q)
{
    return shmring_recv_wait(q, buffer, sizeof buffer, NULL);
}

static long by_wait(shmring_t *q)
{
    return shmring_wait(q, SHMRING_READABLE, NULL);
}

static long by_futex_arm(shmring_t *q)
{
    struct shmring_futex futex;

    return shmring_futex_arm(q, SHMRING_READABLE, &futex);
}

static long by_fd_arm(shmring_t *q)
{
    return shmring_fd_arm(q, SHMRING_READABLE);
}

static long by_recover(shmring_t *q)
{
    return shmring_recover(q, NULL);
}

static long by_stat(shmring_t *q)
{
    return shmring_stat(q, &(struct shmring_stat){0});
}

static long by_participants(shmring_t *q)
{
    struct shmring_participant row;

    return shmring_participants(q, &row, 1);
}

static long by_dump(shmring_t *q)
{
    return shmring_dump(q, tell_nothing, NULL);
}

static long (*const calls[])(shmring_t *) = {by_send, by_send_batch,   by_commit,  by_cancel,
                                             by_recv, by_recv_batch,   by_release, by_recv_wait,
                                             by_wait, by_futex_arm,    by_fd_arm,  by_recover,
                                             by_stat, by_participants, by_dump};
enum { CALLS = sizeof calls / sizeof calls[0] };

/* Prepare what the call needs, so that it reads the memory that is gone. */
static void prepare(shmring_t *q, long (*call)(shmring_t *))
{
    if (call == by_recv || call == by_recv_batch || call == by_release)
        cr_assert_eq(shmring_send(q, buffer, sizeof buffer), 0);
    if (call == by_commit || call == by_cancel)
        cr_assert_eq(shmring_reserve(q, 8, &reserved), 0);
    if (call == by_release)
        cr_assert_eq(shmring_peek(q, &peeked, NULL), sizeof buffer);
    if (call == by_fd_arm)
        cr_assert_geq(shmring_fd(q, SHMRING_READABLE), 0);
}

static void call_truncated(unsigned kind, long (*call)(shmring_t *))
{
    shmring_t *q = create_queue(kind, BOTH);
    struct shmring_stat st;

    prepare(q, call);
    truncate_to(q, 0);
    errno = 0;
    /* spsc: this call does not read the segment. */
    const long r = call(q);
    cr_assert(r == -EBADMSG || (kind == SHMRING_SPSC && call == by_cancel && r == 0) ||
                  (kind == SHMRING_SPSC && call == by_recover && r == -EBADMSG),
              "call of kind %u: %ld", kind, r);
    assert_refused(shmring_stat(q, &st), EBADMSG, GONE);
    for (int i = 0; i < CALLS; i++)
        assert_refused(calls[i](q), EBADMSG, GONE);
    shmring_close(&q);
}

Test(sigbus, every_call_returns_an_error, .timeout = 60)
{
    cr_assert_eq(shmring_guard_sigbus(), 0);
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < CALLS; i++)
            call_truncated(kinds[k], calls[i]);
}

/* The test truncates the file at every page, so that the first access that fails is in another
 * section each time. */
Test(sigbus, every_length_is_noticed, .timeout = 60)
{
    cr_assert_eq(shmring_guard_sigbus(), 0);
    for (int k = 0; k < 2; k++)
        for (off_t pages = 0;; pages++) {
            shmring_t *q = create_queue(kinds[k], BOTH);
            const struct shmr_geometry *g = &q->geometry;
            /* The origins are not read for a message that is delivered for the first time. */
            const uint64_t used = g->type->number == SHMR_MPMC ? g->origins : g->data_size;
            if ((uint64_t)pages * PAGE >= g->data + used) {
                shmring_close(&q);
                break;
            }
            truncate_to(q, pages * PAGE);
            long r = 0;
            for (int i = 0; r != -EBADMSG && i < 2 * MESSAGES; i++) {
                r = by_send(q);
                if (r == 0)
                    r = by_recv(q);
            }
            cr_assert_eq(r, -EBADMSG, "truncated to %lld pages: %ld", (long long)pages, r);
            assert_refused(by_send(q), EBADMSG, GONE);
            assert_refused(by_recv(q), EBADMSG, GONE);
            shmring_close(&q);
        }
}

Test(sigbus, an_observer_gets_an_error)
{
    cr_assert_eq(shmring_guard_sigbus(), 0);
    for (int k = 0; k < 2; k++) {
        shmring_t *q = create_queue(kinds[k], BOTH), *observer = attach(q, SHMRING_OBSERVER);
        truncate_to(q, 0);
        assert_refused(by_stat(observer), EBADMSG, GONE);
        assert_refused(by_participants(observer), EBADMSG, GONE);
        assert_refused(by_dump(observer), EBADMSG, GONE);
        shmring_close(&observer);
        shmring_close(&q);
    }
}

/* If only the beginning of a message is still there, it is not delivered. */
Test(sigbus, half_a_message_is_none)
{
    static uint8_t message[3 * PAGE], copy[3 * PAGE];
    shmring_t *q = create_queue(SHMRING_SPSC, BOTH);

    cr_assert_eq(shmring_guard_sigbus(), 0);
    memset(message, 7, sizeof message);
    cr_assert_eq(shmring_send(q, message, sizeof message), 0);
    truncate_to(q, (off_t)q->geometry.data + PAGE);
    assert_refused(shmring_recv(q, copy, sizeof copy), EBADMSG, GONE);
    shmring_close(&q);
}

Test(sigbus, the_rest_of_a_peeked_message_reads_as_zeroes)
{
    static uint8_t message[3 * PAGE];
    shmring_t *q = create_queue(SHMRING_SPSC, BOTH);
    const void *msg;

    cr_assert_eq(shmring_guard_sigbus(), 0);
    memset(message, 7, sizeof message);
    cr_assert_eq(shmring_send(q, message, sizeof message), 0);
    cr_assert_eq(shmring_peek(q, &msg, NULL), sizeof message);
    truncate_to(q, (off_t)q->geometry.data + PAGE);
    cr_assert_eq(((const volatile uint8_t *)msg)[2 * PAGE], 0);
    assert_refused(shmring_release(q, msg), EBADMSG, GONE);
    shmring_close(&q);
}

static void *truncate_later(void *q)
{
    usleep(20000); /* by then the other process sleeps; if not, it notices without being woken */
    truncate_to(q, 0);
    return NULL;
}

Test(sigbus, a_sleeper_gets_an_error, .timeout = 60)
{
    cr_assert_eq(shmring_guard_sigbus(), 0);
    for (int k = 0; k < 2; k++) {
        shmring_t *q = create_queue(kinds[k], BOTH);
        pthread_t thread;
        cr_assert_eq(pthread_create(&thread, NULL, truncate_later, q), 0);
        assert_refused(by_recv_wait(q), EBADMSG, GONE);
        cr_assert_eq(pthread_join(thread, NULL), 0);
        shmring_close(&q);
    }
}

Test(sigbus, handles_that_were_attached_before_are_protected_too)
{
    shmring_t *q = create_queue(SHMRING_SPSC, BOTH);

    cr_assert_eq(shmring_guard_sigbus(), 0);
    cr_assert_eq(shmring_guard_sigbus(), 0);
    truncate_to(q, 0);
    assert_refused(by_recv(q), EBADMSG, GONE);
    shmring_close(&q);
}

/* Only handles of the truncated queue are lost, not those of other queues; there are more handles
 * than one array of the library holds. */
Test(sigbus, others_are_not_concerned, .timeout = 60)
{
    enum { MANY = 150 };
    static shmring_t *many[MANY];

    cr_assert_eq(shmring_guard_sigbus(), 0);
    const struct holdings before = test_holdings();
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++)
            many[i] = create_queue(kinds[i % 2], BOTH);
        for (int i = 0; i < MANY; i += 3)
            truncate_to(many[i], 0);
        for (int i = 0; i < MANY; i++) {
            cr_assert_eq(by_send(many[i]), i % 3 == 0 ? -EBADMSG : 0, "handle %d", i);
            cr_assert_eq(by_recv(many[i]), i % 3 == 0 ? -EBADMSG : LONGEST, "handle %d", i);
        }
        for (int i = 0; i < MANY; i++)
            shmring_close(&many[i]);
    }
    assert_holds_no_more_than(&before, 4 << 20);
}

/* A lost participant counts as gone, so that another can take its role. */
Test(sigbus, the_role_is_free)
{
    shmring_t *q = create_queue(SHMRING_SPSC, BOTH), *observer = attach(q, SHMRING_OBSERVER);

    cr_assert_eq(shmring_guard_sigbus(), 0);
    truncate_to(q, (off_t)q->geometry.data);
    assert_refused(by_send(q), EBADMSG, GONE);
    /* The rows are read directly: shmring_participants() counts messages, whose memory is gone. */
    for (uint32_t row = 0; row < SHMR_SPSC_ROWS; row++)
        cr_assert_eq(shmr_row_is_locked(observer->fd, &observer->geometry, row), 0);
    shmring_close(&q);
    shmring_close(&observer);
}

/* ---- Holes ----------------------------------------------------------------------------------- */

static int fill_and_punch(void *argument)
{
    static const char page[PAGE] = {1};
    const char *directory = argument;
    char name[TEST_NAME_SIZE + 16], ballast[TEST_NAME_SIZE + 16];
    const struct shmring_config config = {
        .kind = SHMRING_SPSC, .flags = BOTH, .capacity = CAPACITY};
    shmring_t *q;

    if (!test_own_mounts() || mount("tmpfs", directory, "tmpfs", 0, "size=64k") < 0)
        return 77;
    snprintf(name, sizeof name, "file:%s/queue", directory);
    snprintf(ballast, sizeof ballast, "%s/ballast", directory);
    child_assert(shmring_guard_sigbus() == 0);
    child_assert(shmring_create(&q, name, &config) == 0);
    child_assert(shmring_send(q, buffer, sizeof buffer) == 0);
    child_assert(fallocate(shmring_segment_fd(q), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE,
                           3 * PAGE + CAPACITY) == 0);
    const int fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (write(fd, page, sizeof page) == (ssize_t)sizeof page)
        continue;
    child_refused(shmring_send(q, buffer, sizeof buffer), EBADMSG, GONE);
    child_refused(shmring_recv(q, buffer, sizeof buffer), EBADMSG, GONE);
    shmring_close(&q);
    return 0;
}

/* /dev/shm of 64 KiB, as containers have it, completely full. */
Test(sigbus, a_hole_that_no_memory_is_left_for)
{
    char directory[TEST_NAME_SIZE];

    test_directory(directory);
    const int r = test_run(fill_and_punch, directory);
    if (r == 77)
        cr_skip_test("may not mount");
    cr_assert_eq(r, 0);
}

/* ---- Without the guard, and other memory ----------------------------------------------------- */

static int touch_truncated(void *argument)
{
    shmring_t *q = create_queue(SHMRING_SPSC, BOTH);

    (void)argument;
    signal(SIGBUS, SIG_DFL); /* a sanitizer has a handler of its own */
    truncate_to(q, 0);
    return (int)by_send(q);
}

Test(sigbus, without_it_the_process_dies)
{
    cr_assert_eq(test_run(touch_truncated, NULL), -SIGBUS);
}

static volatile char *broken;
static volatile sig_atomic_t heard;
static siginfo_t told;

/* Make a page that is mapped beyond the end of its file. */
static void break_memory(void)
{
    const int fd = memfd_create("broken", MFD_CLOEXEC);

    child_assert(fd >= 0);
    broken = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    child_assert(broken != MAP_FAILED);
    close(fd);
}

static void mend(int number, siginfo_t *info, void *context)
{
    sigset_t mask;

    (void)context;
    told = *info;
    heard = number;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    child_assert(sigismember(&mask, SIGUSR1) && sigismember(&mask, SIGBUS));
    if (info->si_code == BUS_ADRERR)
        mmap((void *)(uintptr_t)broken, PAGE, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

static void mend_simply(int number)
{
    heard = number;
    mmap((void *)(uintptr_t)broken, PAGE, PROT_READ | PROT_WRITE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

static int call_the_handler_before(void *argument)
{
    struct sigaction action = {.sa_sigaction = mend, .sa_flags = SA_SIGINFO};

    (void)argument;
    break_memory();
    sigaddset(&action.sa_mask, SIGUSR1);
    child_assert(sigaction(SIGBUS, &action, NULL) == 0 && shmring_guard_sigbus() == 0);
    broken[100] = 1;
    child_assert(heard == SIGBUS && told.si_addr == (void *)(uintptr_t)(broken + 100));
    heard = 0;
    child_assert(raise(SIGBUS) == 0);
    child_assert(heard == SIGBUS && told.si_code == SI_TKILL && told.si_pid == getpid());
    return 0;
}

static int call_the_simple_handler_once(void *argument)
{
    const struct sigaction action = {.sa_handler = mend_simply, .sa_flags = (int)SA_RESETHAND};

    (void)argument;
    break_memory();
    child_assert(sigaction(SIGBUS, &action, NULL) == 0 && shmring_guard_sigbus() == 0);
    broken[0] = 1;
    child_assert(heard == SIGBUS);
    break_memory();
    broken[0] = 1;
    return 0;
}

static int die_of_a_fault(void *argument)
{
    const struct sigaction action = {.sa_handler = argument ? SIG_IGN : SIG_DFL};

    break_memory();
    child_assert(sigaction(SIGBUS, &action, NULL) == 0 && shmring_guard_sigbus() == 0);
    broken[0] = 1;
    return 0;
}

static int die_of_kill(void *argument)
{
    const struct sigaction action = {.sa_handler = argument ? SIG_IGN : SIG_DFL};

    child_assert(sigaction(SIGBUS, &action, NULL) == 0 && shmring_guard_sigbus() == 0);
    child_assert(raise(SIGBUS) == 0);
    return 0;
}

/* The library passes the fault on to the action that the program had set before. */
Test(sigbus, other_faults_are_passed_on)
{
    static char ignored;

    cr_assert_eq(test_run(call_the_handler_before, NULL), 0);
    cr_assert_eq(test_run(call_the_simple_handler_once, NULL), -SIGBUS);
    cr_assert_eq(test_run(die_of_a_fault, NULL), -SIGBUS);
    cr_assert_eq(test_run(die_of_a_fault, &ignored), -SIGBUS);
    cr_assert_eq(test_run(die_of_kill, NULL), -SIGBUS);
    cr_assert_eq(test_run(die_of_kill, &ignored), 0);
}

/* The memory of a child at an address where its parent had a queue is not that queue. */
static int die_where_the_parent_had_a_queue(void *argument)
{
    const shmring_t *q = argument;
    const int fd = memfd_create("broken", MFD_CLOEXEC);

    child_assert(mmap(q->map.base, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
                 q->map.base);
    *q->map.base = 1;
    return 0;
}

Test(sigbus, a_child_is_not_protected_by_its_parents_handles)
{
    shmring_t *q = create_queue(SHMRING_SPSC, BOTH);

    signal(SIGBUS, SIG_DFL);
    cr_assert_eq(shmring_guard_sigbus(), 0);
    cr_assert_eq(test_run(die_where_the_parent_had_a_queue, q), -SIGBUS);
    shmring_close(&q);
}

/* A queue of the child can be mapped at an address where its parent had a queue. */
static int map_where_the_parent_had_a_queue(void *argument)
{
    const struct shmring_config config = {.kind = SHMRING_SPSC, .flags = BOTH, .capacity = 4096};
    const shmring_t *parents = argument;

    /* Keep the handles, so that the next queue is mapped elsewhere. */
    for (int i = 0; i < 64; i++) {
        shmring_t *q = NULL;
        child_assert(shmring_create(&q, queue_name, &config) == 0);
        child_assert(shmring_unlink(queue_name) == 0);
        if ((uintptr_t)q->map.base - (uintptr_t)parents->map.base >= parents->map.length)
            continue;
        child_assert(ftruncate(shmring_segment_fd(q), 0) == 0);
        child_assert(by_recv(q) == -EBADMSG);
        return 0;
    }
    return 77;
}

Test(sigbus, a_child_may_map_a_queue_where_its_parent_had_one)
{
    shmring_t *q = create_queue(SHMRING_SPSC, BOTH);

    cr_assert_eq(shmring_guard_sigbus(), 0);
    const int how = test_run(map_where_the_parent_had_a_queue, q);
    if (how == 77)
        cr_skip_test("nothing was mapped there");
    cr_assert_eq(how, 0);
    shmring_close(&q);
}

/* ---- Races ----------------------------------------------------------------------------------- */

enum { WORKERS = 3 };

/* Each worker has a handle; the test's own thread takes the memory away while they use it. */
static struct {
    shmring_t *handle[WORKERS];
    pthread_barrier_t start, end;
    bool over;
} race;

static long operate(shmring_t *q, uint64_t *state)
{
    const struct timespec short_time = {.tv_nsec = 50000};
    shmring_t *copy = NULL;
    uint8_t buf[LONGEST];
    const void *msg;
    void *room;
    long r;

    switch (test_random_below(state, 16)) {
    case 0:
        r = shmring_dup(&copy, q, SHMRING_OBSERVER);
        shmring_close(&copy);
        /* Of the duplicate; the tested handle may not have noticed yet. */
        return r == -EBADMSG ? 0 : r;
    case 1:
        return by_stat(q);
    case 2:
        return by_dump(q);
    case 3:
        return q->roles & SHMRING_CONSUMER ? shmring_recv_wait(q, buf, sizeof buf, &short_time)
                                           : by_participants(q);
    case 4:
    case 5:
        r = shmring_reserve(q, LONGEST, &room);
        if (r == 0)
            memset(room, 1, LONGEST);
        return r == 0 ? shmring_commit(q, room, LONGEST) : r;
    case 6:
    case 7:
        r = shmring_peek(q, &msg, NULL);
        if (r >= 0)
            memcpy(buf, msg, (size_t)r);
        if (r >= 0)
            r = shmring_release(q, msg);
        return r == -EINVAL ? 0 : r; /* with a hole in its descriptor, the block has no owner */
    case 8:
    case 9:
    case 10:
        return shmring_recv(q, buf, sizeof buf);
    default:
        memset(buf, 2, sizeof buf);
        return shmring_send(q, buf, test_random_below(state, LONGEST));
    }
}

static void *work(void *number)
{
    uint64_t state = test_seed() + (uintptr_t)number;
    shmring_t **q = &race.handle[(uintptr_t)number];

    for (;;) {
        pthread_barrier_wait(&race.start);
        if (race.over)
            return NULL;
        for (long r = 0; r != -EBADMSG;) {
            r = operate(*q, &state);
            /* A header with a hole may look like another layout, which is reported before the CRC
             * is checked: see layout.c. */
            cr_assert(r >= 0 || r == -EAGAIN || r == -EPERM || r == -EBADMSG || r == -ETIMEDOUT ||
                          r == -ENOSPC || r == -EPROTONOSUPPORT || r == -ESTALE,
                      "%ld: %s", r, shmring_strerror_detail());
        }
        shmring_close(q);
        pthread_barrier_wait(&race.end);
    }
}

/* Punch holes and truncate at random, and at the end truncate to length 0. */
static void take_away(int fd, uint32_t size, uint64_t *state)
{
    for (uint64_t i = test_random_below(state, 4); i > 0; i--) {
        const off_t at = (off_t)test_random_below(state, size);
        const off_t length = (off_t)test_random_below(state, size) + 1;
        if (test_random_below(state, 2))
            cr_assert_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, length), 0);
        else
            cr_assert_eq(ftruncate(fd, at), 0);
        for (uint64_t spins = test_random_below(state, 3000); spins > 0; spins--)
            __asm__ volatile("");
    }
    cr_assert_eq(ftruncate(fd, 0), 0);
}

static void race_once(unsigned kind, uint64_t *state)
{
    shmring_t *q = create_queue(kind, 0);
    const int fd = dup(shmring_segment_fd(q));
    const uint32_t size = (uint32_t)q->geometry.segment_size;

    cr_assert_geq(fd, 0);
    race.handle[0] = attach(q, kind == SHMRING_MPMC ? BOTH : SHMRING_PRODUCER);
    race.handle[1] = attach(q, SHMRING_CONSUMER);
    race.handle[2] = attach(q, SHMRING_OBSERVER);
    shmring_close(&q);
    pthread_barrier_wait(&race.start);
    take_away(fd, size, state);
    pthread_barrier_wait(&race.end);
    close(fd);
}

/* $SHMRING_TEST_RACES races, or a default number. */
Test(sigbus, races, .timeout = 3600)
{
    const char *given = getenv("SHMRING_TEST_RACES");
    const int rounds = given ? atoi(given) : 1000;
    uint64_t state = test_seed();
    pthread_t workers[WORKERS];

    cr_assert_eq(shmring_guard_sigbus(), 0);
    pthread_barrier_init(&race.start, NULL, WORKERS + 1);
    pthread_barrier_init(&race.end, NULL, WORKERS + 1);
    for (uintptr_t i = 0; i < WORKERS; i++)
        cr_assert_eq(pthread_create(&workers[i], NULL, work, (void *)i), 0);
    for (int i = 0; i < rounds; i++)
        race_once(kinds[i % 2], &state);
    race.over = true;
    pthread_barrier_wait(&race.start);
    for (int i = 0; i < WORKERS; i++)
        cr_assert_eq(pthread_join(workers[i], NULL), 0);
}
