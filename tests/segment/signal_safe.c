/* SPDX-License-Identifier: MIT */
/*
 * Sending and receiving work in signal handlers. Whatever else a call does (recover dead
 * participants, wake sleepers, handle an error of any system call), it calls no function that POSIX
 * does not allow there, and leaves errno, the detail, the signal mask and the descriptors
 * unchanged.
 *
 * The functions of the C library are replaced when the program is linked: tests/support/faults.c
 * replaces those that can fail, and counts their calls; this file replaces all others that are not
 * for signal handlers. tests/segment/signal_safe_calls.sh checks that none is missing.
 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "faults.h"
#include "lib/base/process.h"
#include "lib/core/handle.h"
#include "support.h"

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

/* ---- What must not be called ------------------------------------------------------------------
 */

static const char *unsafe; /* the last unsafe function that was called while a plan is active */

#define REPLACE(Name, Type, Parameters, ...)                                                       \
    Type __real_##Name Parameters;                                                                 \
    Type __wrap_##Name Parameters;                                                                 \
    Type __wrap_##Name Parameters                                                                  \
    {                                                                                              \
        if (plan.active)                                                                           \
            unsafe = #Name;                                                                        \
        __VA_ARGS__                                                                                \
    }
#define REPLACE_PLAIN(Name, Type, Parameters, Arguments)                                           \
    REPLACE(Name, Type, Parameters, return __real_##Name Arguments;)

/* the function itself takes a va_list */
#define REPLACE_LISTED(Name, Parameters, Last, Listed)                                             \
    REPLACE(Name, int, Parameters, va_list list; va_start(list, Last); const int n = Listed;       \
            va_end(list); return n;)

int __real_vsnprintf(char *text, size_t size, const char *format, va_list list);

REPLACE_LISTED(snprintf, (char *text, size_t size, const char *format, ...), format,
               __real_vsnprintf(text, size, format, list))
REPLACE_LISTED(__snprintf_chk,
               (char *text, size_t size, int flag, size_t room, const char *format, ...), format,
               ((void)flag, (void)room, __real_vsnprintf(text, size, format, list)))
REPLACE_LISTED(__isoc99_sscanf, (const char *text, const char *format, ...), format,
               vsscanf(text, format, list))
REPLACE_LISTED(__isoc99_fscanf, (FILE * file, const char *format, ...), format,
               vfscanf(file, format, list))
REPLACE_LISTED(__isoc23_sscanf, (const char *text, const char *format, ...), format,
               vsscanf(text, format, list))
REPLACE_LISTED(__isoc23_fscanf, (FILE * file, const char *format, ...), format,
               vfscanf(file, format, list))
REPLACE_PLAIN(vsnprintf, int, (char *text, size_t size, const char *format, va_list list),
              (text, size, format, list))
REPLACE(__vsnprintf_chk, int,
        (char *text, size_t size, int flag, size_t room, const char *format, va_list list),
        (void)flag;
        (void)room; return __real_vsnprintf(text, size, format, list);)
REPLACE_PLAIN(strtoull, unsigned long long, (const char *text, char **end, int base),
              (text, end, base))
REPLACE(__isoc23_strtoull, unsigned long long, (const char *text, char **end, int base),
        return __real_strtoull(text, end, base);)
REPLACE_PLAIN(pthread_atfork, int,
              (void (*prepare)(void), void (*parent)(void), void (*child)(void)),
              (prepare, parent, child))
REPLACE_PLAIN(strerror, char *, (int error), (error))
REPLACE_PLAIN(free, void, (void *memory), (memory))
REPLACE_PLAIN(fclose, int, (FILE * file), (file))
REPLACE_PLAIN(pthread_once, int, (pthread_once_t * once, void (*routine)(void)), (once, routine))
REPLACE_PLAIN(pthread_key_create, int, (pthread_key_t * key, void (*end)(void *)), (key, end))
REPLACE_PLAIN(pthread_setspecific, int, (pthread_key_t key, const void *value), (key, value))
REPLACE_PLAIN(pthread_mutex_lock, int, (pthread_mutex_t * mutex), (mutex))
REPLACE_PLAIN(pthread_mutex_trylock, int, (pthread_mutex_t * mutex), (mutex))
REPLACE_PLAIN(pthread_mutex_unlock, int, (pthread_mutex_t * mutex), (mutex))

/*
 * The functions that can fail and may be called. POSIX has all of them in its list but flock(),
 * madvise() and syscall(); in glibc and in musl these only make a system call.
 */
static const bool may_be_called[FALLIBLE] = {
    [CALL_CHMOD] = true,      [CALL_CLOSE] = true,    [CALL_FCHMOD] = true,
    [CALL_FCHOWN] = true,     [CALL_GET_LOCK] = true, [CALL_SET_LOCK] = true,
    [CALL_GET_SEALS] = true,  [CALL_FLOCK] = true,    [CALL_FSTAT] = true,
    [CALL_LSTAT] = true,      [CALL_MADVISE] = true,  [CALL_OPEN] = true,
    [CALL_OPENAT] = true,     [CALL_READ] = true,     [CALL_STAT] = true,
    [CALL_FUTEX_WAKE] = true, [CALL_UNLINK] = true,   [CALL_WRITE] = true,
    [CALL_READLINK] = true,
};

/* ---- A queue in which a send or receive has much to do ------------------------------- */

enum { MESSAGES = 8, LONGEST = 64 };

static char name[TEST_NAME_SIZE];
static shmring_t *q, *other;

static int die_holding(void *argument)
{
    shmring_t *mine[2];
    const void *message;
    void *room;

    (void)argument;
    for (int i = 0; i < 2; i++)
        child_assert(shmring_open(&mine[i], name, BOTH) == 0);
    for (int i = 0; i < 2; i++) {
        child_assert(shmring_peek(mine[i], &message, NULL) >= 0);
        child_assert(shmring_reserve(mine[i], 1, &room) == 0);
    }
    return 0; /* the process ends by _exit(): both its handles die */
}

static void sweep_next(void)
{
    q->mpmc.queue.tail_page->swept = 0;
    q->swept = 0;
}

/*
 * Two dead participants, each of which held a message and had room reserved; one message that can
 * be received; and a peer that waits by descriptor and by futex for both events.
 */
static void enter(void)
{
    struct shmring_futex futex;

    if (!name[0])
        test_name(name);
    q = test_create_mpmc(name, BOTH, MESSAGES, LONGEST);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(shmring_send(q, "a", 1), 0);
    cr_assert_eq(shmring_open(&other, name, BOTH), 0);
    for (unsigned event = SHMRING_READABLE; event <= SHMRING_WRITABLE; event++) {
        cr_assert_geq(shmring_fd_arm(other, event), 0, "%s", shmring_strerror_detail());
        cr_assert_geq(shmring_futex_arm(other, event, &futex), 0);
    }
    cr_assert_eq(test_run(die_holding, NULL), 0);
}

static void leave(void)
{
    shmring_close(&other);
    shmring_close(&q);
    cr_assert_eq(shmring_unlink(name), 0);
}

/* ---- The calls --------------------------------------------------------------------------------
 */

static char bytes[LONGEST];
static const void *taken;
static void *reserved;

static void nothing(void)
{
}

/* A sweep is due at the 4,096th message, and at the first miss. */
static void nearly_4096(void)
{
    q->mpmc.sent = q->mpmc.received = 4095;
}

/* Only calls that succeed: a call that fails would sweep. */
static void take_all(void)
{
    cr_assert_eq(shmring_recv(q, bytes, sizeof bytes), 1);
}

static void fill(void)
{
    for (int i = MESSAGES - 5; i > 0; i--)
        cr_assert_eq(shmring_send(q, "b", 1), 0);
}

static void take_one(void)
{
    cr_assert_eq(shmring_peek(q, &taken, NULL), 1);
    nearly_4096();
}

static void reserve_one(void)
{
    cr_assert_eq(shmring_reserve(q, 1, &reserved), 0);
    nearly_4096();
}

static void about_to_check_the_name(void)
{
    take_all();
    q->mpmc.queue.receiving.misses = 65535;
}

static long do_send(void)
{
    return shmring_send(q, "c", 1);
}

static long do_send_batch(void)
{
    const struct iovec message = {.iov_base = bytes, .iov_len = 1};

    return shmring_send_batch(q, &message, 1);
}

static long do_reserve(void)
{
    return shmring_reserve(q, 1, &reserved);
}

static long do_commit(void)
{
    return shmring_commit(q, reserved, 1);
}

static long do_cancel(void)
{
    return shmring_cancel(q, reserved);
}

static long do_recv(void)
{
    return shmring_recv(q, bytes, sizeof bytes);
}

static long do_recv_batch(void)
{
    struct iovec message = {.iov_base = bytes, .iov_len = sizeof bytes};

    return shmring_recv_batch(q, &message, 1);
}

static long do_peek(void)
{
    return shmring_peek(q, &taken, NULL);
}

static long do_release(void)
{
    return shmring_release(q, taken);
}

static const struct operation {
    const char *name;
    void (*before)(void);
    long (*run)(void);
    long result;
    bool sweeps;
} operations[] = {
    {"send", nearly_4096, do_send, 0, true},
    {"send, full", fill, do_send, -EAGAIN, true},
    {"send_batch", nearly_4096, do_send_batch, 1, true},
    {"send_batch, full", fill, do_send_batch, -EAGAIN, true},
    {"reserve", nothing, do_reserve, 0, false},
    {"reserve, full", fill, do_reserve, -EAGAIN, true},
    {"commit", reserve_one, do_commit, 0, true},
    {"cancel", reserve_one, do_cancel, 0, false},
    {"recv", nearly_4096, do_recv, 1, true},
    {"recv, empty", take_all, do_recv, -EAGAIN, true},
    {"recv, empty, and is the name there?", about_to_check_the_name, do_recv, -EAGAIN, false},
    {"recv_batch", nearly_4096, do_recv_batch, 1, true},
    {"recv_batch, empty", take_all, do_recv_batch, -EAGAIN, true},
    {"peek", nothing, do_peek, 1, false},
    {"peek, empty", take_all, do_peek, -EAGAIN, true},
    {"release", take_one, do_release, 0, true},
};

/* ---- One round --------------------------------------------------------------------------------
 */

/* The number of notifiers that the handle has opened as a publisher; it keeps them open. */
static int kept_notifiers(void)
{
    return (q->polled[SHMR_READABLE].fifo >= 0) + (q->polled[SHMR_WRITABLE].fifo >= 0);
}

static void check_process(const char *words, const struct holdings *before, int notifiers)
{
    const struct holdings now = test_holdings();
    sigset_t signals;
    int blocked = 0;

    cr_assert_eq(now.descriptors - kept_notifiers(), before->descriptors - notifiers,
                 "%s: %d descriptors, %d before", words, now.descriptors, before->descriptors);
    cr_assert_eq(now.shared_maps, before->shared_maps, "%s", words);
    pthread_sigmask(SIG_BLOCK, NULL, &signals);
    for (int i = 1; i < 32; i++)
        blocked += sigismember(&signals, i) == 1;
    cr_assert_eq(blocked, 0, "%s: signals are blocked", words);
    cr_assert(shmr_process_try_hold_fork(&signals), "%s: the fork lock is held", words);
    shmr_process_let_fork(&signals);
}

/* The nth call of FUNCTION fails; FALLIBLE: no call fails. */
static void one_round(const struct operation *o, int function, int error, int nth)
{
    enum { ANY = 4711 };
    static const char noted[] = "the handle is NULL";
    char words[160];

    snprintf(words, sizeof words, "%s: call %d of %s: %d", o->name, nth,
             function == FALLIBLE ? "nothing" : fallible[function].name, error);
    enter();
    o->before();
    sweep_next();
    const struct holdings before = test_holdings();
    const int notifiers = kept_notifiers();
    (void)shmring_check(NULL); /* sets a detail whose text is not made yet */
    unsafe = NULL;
    errno = ANY;
    plan_fault(function, error, nth, false);
    const long r = o->run();
    plan_end();
    const int now = errno;

    cr_assert_eq(r, o->result, "%s: %ld (%s)", words, r, shmring_strerror_detail());
    cr_assert_eq(now, ANY, "%s: errno is %d", words, now);
    cr_assert_null(unsafe, "%s: calls %s()", words, unsafe);
    for (int f = 0; f < FALLIBLE; f++)
        cr_assert(may_be_called[f] || plan.calls[f] == 0, "%s: calls %s", words, fallible[f].name);
    cr_assert_not_null(strstr(shmring_strerror_detail(), noted), "%s: the detail is: %s", words,
                       shmring_strerror_detail());
    if (function == FALLIBLE)
        cr_assert_eq(q->recovered.participants, o->sweeps ? 2 : 0, "%s", words);
    check_process(words, &before, notifiers);
}

static void every_round(const struct operation *o)
{
    int calls[FALLIBLE];

    one_round(o, FALLIBLE, 0, 0);
    memcpy(calls, plan.calls, sizeof calls);
    leave();
    for (int f = 0; f < FALLIBLE; f++)
        for (const int *error = fallible[f].errors; calls[f] > 0 && *error; error++)
            for (int nth = 1; nth <= calls[f]; nth++) {
                /* One errno is enough for functions whose errno the library does not read. */
                if (error > fallible[f].errors && (f == CALL_OPEN || f == CALL_CLOSE))
                    continue;
                one_round(o, f, *error, nth);
                leave();
            }
}

Test(signal_safe, every_step_of_every_call, .timeout = 300)
{
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++)
        every_round(&operations[i]);
}

/* A test of the test: it detects an unsafe call. */
Test(signal_safe, an_open_is_not)
{
    enter();
    unsafe = NULL;
    plan_fault(FALLIBLE, 0, 0, false);
    shmring_t *copy;
    const int r = shmring_dup(&copy, q, SHMRING_OBSERVER);
    plan_end();
    cr_assert_eq(r, 0);
    cr_assert(unsafe && plan.calls[CALL_MEMALIGN] > 0);
    shmring_close(&copy);
    leave();
}
