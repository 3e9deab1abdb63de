/* SPDX-License-Identifier: MIT */
/*
 * What the library must withstand in its process: cancelled threads, signal handlers that fork,
 * small stacks, plugins that are unloaded, and a umask of 0777.
 */
#include "config.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/process.h"
#include "lib/core/handle.h"
#include "support.h"

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1
#elif defined __has_feature
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SANITIZED 0
#endif

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

/* ---- Every call ------------------------------------------------------------------------------ */

static const struct timespec moment = {.tv_nsec = 1000000};
static char name[TEST_NAME_SIZE], path[TEST_NAME_SIZE];
static shmring_t *q, *other, *made;

static int die_attached(void *argument)
{
    const void *message;

    (void)argument;
    child_assert(shmring_open(&made, name, BOTH) == 0);
    /* The process ends by _exit(), so it stays attached. */
    return shmring_peek(made, &message, NULL) == 1 ? 0 : 1;
}

/* An mpmc queue with a message that a dead participant holds, and a message that waits. */
static void queue_of_dead(void)
{
    test_name(name);
    q = test_create_mpmc(name, BOTH, 8, 64);
    cr_assert_eq(shmring_send(q, "a", 1), 0);
    cr_assert_eq(shmring_send(q, "b", 1), 0);
    cr_assert_eq(test_run(die_attached, NULL), 0);
    q->mpmc.queue.tail_page->swept = 0; /* a sweep is due */
    q->swept = 0;
}

/* ... and whose peer waits by its descriptor. */
static void queue_polled(void)
{
    queue_of_dead();
    cr_assert_eq(shmring_open(&other, name, SHMRING_CONSUMER), 0);
    while (shmring_recv(other, path, sizeof path) >= 0)
        ;
    cr_assert_eq(shmring_fd_arm(other, SHMRING_READABLE), 0, "%s", shmring_strerror_detail());
}

static void queue_removed(void)
{
    queue_polled();
    cr_assert_eq(shmring_unlink(name), 0);
}

static void no_queue(void)
{
    test_name(name);
}

static int do_create(void)
{
    return shmring_create(&made, name,
                          &(struct shmring_config){.kind = SHMRING_SPSC, .capacity = 65536});
}

static int do_create_memfd(void)
{
    return shmring_create(
        &made, "memfd:orders",
        &(struct shmring_config){.kind = SHMRING_SPSC, .flags = BOTH, .capacity = 65536});
}

static int do_open(void)
{
    return shmring_open(&made, name, BOTH | SHMRING_PREFAULT);
}

static int do_open_wait(void)
{
    return shmring_open_wait(&made, name, BOTH, &moment) == -ETIMEDOUT ? 0 : -1;
}

static int do_open_fd(void)
{
    return shmring_open_fd(&made, shmring_segment_fd(q), BOTH);
}

static int do_dup(void)
{
    return shmring_dup(&made, q, SHMRING_OBSERVER);
}

static int do_close(void)
{
    shmring_close(&q);
    return 0;
}

static int do_close_last(void)
{
    shmring_close(&other); /* this removes the notifiers */
    return 0;
}

static int do_unlink(void)
{
    return shmring_unlink(name);
}

static int do_recover(void)
{
    return shmring_recover(q, NULL) == 1 ? 0 : -1;
}

/* At the 4096th message it is time for a sweep. */
static int do_send_and_sweep(void)
{
    q->mpmc.sent = 4095;
    return shmring_send(q, "c", 1);
}

static int do_recv_and_sweep(void)
{
    char byte;

    q->mpmc.received = 4095;
    return shmring_recv(q, &byte, 1) == 1 ? 0 : -1;
}

static int do_send_and_notify(void)
{
    return shmring_send(q, "c", 1);
}

/* The call sleeps, and recovers the message that the dead participant held. */
static int do_recv_wait(void)
{
    char byte;

    return shmring_recv_wait(q, &byte, 1, NULL) == 1 && shmring_recv_wait(q, &byte, 1, NULL) == 1
               ? 0
               : -1;
}

static int do_wait(void)
{
    return shmring_wait(q, SHMRING_READABLE, &moment) == SHMRING_READABLE ? 0 : -1;
}

static int do_fd(void)
{
    return shmring_fd(q, SHMRING_WRITABLE) >= 0 ? 0 : -1;
}

static int do_fd_arm(void)
{
    return shmring_fd_arm(other, SHMRING_READABLE);
}

static int do_futex_arm(void)
{
    struct shmring_futex futex;

    return shmring_futex_arm(q, SHMRING_READABLE, &futex) >= 0 ? 0 : -1;
}

static int do_set_waiting(void)
{
    return shmring_set_waiting(q, NULL);
}

static int do_stat(void)
{
    struct shmring_stat st;

    return shmring_stat(q, &st);
}

static int do_participants(void)
{
    struct shmring_participant rows[8];

    return shmring_participants(q, rows, 8) == 2 ? 0 : -1;
}

static int count(void *argument, const struct shmring_message *message)
{
    (void)argument, (void)message;
    pthread_testcancel();
    return 0;
}

static int do_dump(void)
{
    return shmring_dump(q, count, NULL);
}

static int do_check(void)
{
    return shmring_check(q);
}

static int do_guard(void)
{
    return shmring_guard_sigbus();
}

static const struct call {
    const char *name;
    void (*before)(void);
    int (*run)(void);
} calls[] = {
    {"create", no_queue, do_create},
    {"create a memfd", no_queue, do_create_memfd},
    {"open", queue_of_dead, do_open},
    {"open_wait", no_queue, do_open_wait},
    {"open_fd", queue_of_dead, do_open_fd},
    {"dup", queue_of_dead, do_dup},
    {"close", queue_of_dead, do_close},
    {"close, the last at the notifier", queue_removed, do_close_last},
    {"unlink", queue_polled, do_unlink},
    {"recover", queue_of_dead, do_recover},
    {"send, with a sweep", queue_of_dead, do_send_and_sweep},
    {"recv, with a sweep", queue_of_dead, do_recv_and_sweep},
    {"send, writing to a notifier", queue_polled, do_send_and_notify},
    {"recv_wait", queue_of_dead, do_recv_wait},
    {"wait", queue_of_dead, do_wait},
    {"fd", queue_of_dead, do_fd},
    {"fd_arm", queue_polled, do_fd_arm},
    {"futex_arm", queue_of_dead, do_futex_arm},
    {"set_waiting", queue_of_dead, do_set_waiting},
    {"stat", queue_of_dead, do_stat},
    {"participants", queue_of_dead, do_participants},
    {"dump", queue_of_dead, do_dump},
    {"check", queue_of_dead, do_check},
    {"guard_sigbus", queue_of_dead, do_guard},
};

enum { CALLS = sizeof calls / sizeof calls[0] };

static void close_all(void)
{
    shmring_close(&made);
    shmring_close(&other);
    shmring_close(&q);
    (void)shmring_unlink(name);
}

/* Run BODY in a thread made with ATTR. Returns the thread's result. */
static void *in_thread(void *(*body)(void *), const struct call *call, const pthread_attr_t *attr)
{
    pthread_t thread;
    void *result;

    call->before();
    cr_assert_eq(pthread_create(&thread, attr, body, (void *)(uintptr_t)call), 0);
    cr_assert_eq(pthread_join(thread, &result), 0);
    return result;
}

/* ---- Cancellation ---------------------------------------------------------------------------- */

static atomic_int returned; /* 1 + what the call returned */

static void *run_cancelled(void *argument)
{
    const struct call *call = argument;

    pthread_cancel(pthread_self());
    atomic_store(&returned, 1 + call->run());
    pthread_testcancel();
    return NULL;
}

/* The thread is cancelled, but not inside the call. So afterwards queues can be opened and children
 * forked, and each handle that was made is known to the caller. */
Test(process, no_call_is_a_cancellation_point, .timeout = 120)
{
    queue_polled(); /* makes what the library makes once in each process */
    close_all();
    for (int i = 0; i < CALLS; i++) {
        const struct holdings before = test_holdings();
        atomic_store(&returned, 0);
        const void *how = in_thread(run_cancelled, &calls[i], NULL);
        cr_assert_eq(atomic_load(&returned), 1, "%s: cancelled in it, or it failed: %d",
                     calls[i].name, atomic_load(&returned));
        cr_assert_eq(how, PTHREAD_CANCELED, "%s: not cancelled after it", calls[i].name);
        close_all();
        assert_holds_no_more_than(&before, INT64_C(1) << 30);
    }
}

/* ---- Small stacks ---------------------------------------------------------------------------- */

static void *run_call(void *argument)
{
    const struct call *call = argument;

    return (void *)(intptr_t)call->run();
}

/*
 * Sending, receiving and waiting work on the smallest stack that POSIX promises, a part of which
 * the C library uses for itself; so they also work in a signal handler. Calls that create, open or
 * remove a name have paths on the stack, and need 32 KiB.
 */
static size_t stack_for(const struct call *call)
{
    const bool paths = call->run == do_create || call->run == do_create_memfd ||
                       call->run == do_open || call->run == do_open_wait ||
                       call->run == do_unlink || call->run == do_fd;
    const size_t smallest = (size_t)PTHREAD_STACK_MIN, promised = 32768;

    return paths && smallest < promised ? promised : smallest;
}

Test(process, a_small_stack_will_do, .timeout = 120)
{
    pthread_attr_t attr;

    if (SANITIZED)
        cr_skip_test("a sanitizer makes frames larger");
    cr_assert_eq(pthread_attr_init(&attr), 0);
    for (int i = 0; i < CALLS; i++) {
        cr_assert_eq(pthread_attr_setstacksize(&attr, stack_for(&calls[i])), 0);
        const void *result = in_thread(run_call, &calls[i], &attr);
        cr_assert_null(result, "%s: %d", calls[i].name, (int)(intptr_t)result);
        close_all();
    }
    pthread_attr_destroy(&attr);
}

/* ---- Fork ------------------------------------------------------------------------------------ */

static volatile sig_atomic_t forks;

static void fork_in_handler(int number)
{
    const int error = errno;
    int status;
    pid_t child = fork();

    (void)number;
    if (child == 0)
        _exit(0);
    if (child > 0 && waitpid(child, &status, 0) == child && status == 0)
        forks = forks + 1;
    errno = error;
}

/* The signal comes while the fork lock is held: its handler runs after the lock is released. */
Test(process, a_handler_forks_during_an_attach, .timeout = 60)
{
    const struct sigaction action = {.sa_handler = fork_in_handler};
    sigset_t signals;

    cr_assert_eq(sigaction(SIGUSR1, &action, NULL), 0);
    shmr_process_hold_fork(&signals);
    raise(SIGUSR1);
    shmr_process_let_fork(&signals);
    cr_assert_eq(forks, 1);
    cr_assert(shmr_process_try_hold_fork(&signals));
    raise(SIGUSR1);
    shmr_process_let_fork(&signals);
    cr_assert_eq(forks, 2);
}

/* The program's own handlers of pthread_atfork(): the prepare handler runs after the library's,
 * the child handler before. */
static int opened_by_handlers;

static void open_in_handler(void)
{
    shmring_t *mine = NULL;

    opened_by_handlers += shmring_open(&mine, name, BOTH) == 0;
    shmring_close(&mine);
}

static int fork_with_handlers(void *argument)
{
    int status;

    (void)argument;
    alarm(30);
    child_assert(pthread_atfork(open_in_handler, open_in_handler, open_in_handler) == 0);
    made = test_create_mpmc(name, 0, 8, 64); /* registers the library's handlers after these */
    shmring_close(&made);
    pid_t child = fork();
    if (child == 0)
        _exit(opened_by_handlers == 2 ? 0 : 1);
    child_assert(waitpid(child, &status, 0) == child && status == 0);
    child_assert(opened_by_handlers == 2);
    return 0;
}

Test(process, handlers_of_pthread_atfork_open_queues, .timeout = 60)
{
    test_name(name);
    cr_assert_eq(test_run(fork_with_handlers, NULL), 0);
}

/* ---- dlopen() and dlclose() ------------------------------------------------------------------ */

static const char *library(const char *of)
{
    static char file[PATH_MAX];
    const char *top = getenv("builddir");

    snprintf(file, sizeof file, "%s/%s", top ? top : ".", of);
    if (access(file, R_OK) < 0)
        cr_skip_test("no %s here", file);
    return file;
}

#define CORE "lib/.libs/libshmring.so"

static bool is_mapped(const char *file)
{
    char line[PATH_MAX + 128], real[PATH_MAX];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "re");

    child_assert(maps && realpath(file, real));
    while (fgets(line, sizeof line, maps))
        found |= strstr(line, real) != NULL;
    fclose(maps);
    return found;
}

/* Load a plugin, let it create and guard a queue, and unload it. */
static void load_and_unload(const char *file)
{
    void *loaded = dlopen(file, RTLD_NOW | RTLD_LOCAL);

    if (!loaded)
        fprintf(stderr, "%s\n", dlerror());
    child_assert(loaded);
    int (*create)(shmring_t **, const char *, const struct shmring_config *);
    void (*close_it)(shmring_t **);
    int (*guard)(void);
    *(void **)&create = dlsym(loaded, "shmring_create");
    *(void **)&close_it = dlsym(loaded, "shmring_close");
    *(void **)&guard = dlsym(loaded, "shmring_guard_sigbus");
    child_assert(create && close_it && guard);
    child_assert(create(&made, "memfd:orders",
                        &(struct shmring_config){
                            .kind = SHMRING_SPSC, .flags = BOTH, .capacity = 65536}) == 0);
    child_assert(guard() == 0);
    close_it(&made);
    child_assert(dlclose(loaded) == 0);
}

static void touch_what_is_gone(void)
{
    FILE *file = tmpfile();

    child_assert(file && ftruncate(fileno(file), 4096) == 0);
    volatile char *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fileno(file), 0);
    child_assert(page != MAP_FAILED && ftruncate(fileno(file), 0) == 0);
    (void)*page;
}

static int unload_then_fault(void *argument)
{
    pid_t child;
    int status;

    signal(SIGBUS, SIG_DFL); /* replaces the handler of Criterion or of a sanitizer */
    for (int i = 0; i < 3; i++)
        load_and_unload(argument);
    child_assert(is_mapped(argument));
    child = fork();
    if (child == 0)
        _exit(7);
    child_assert(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
    touch_what_is_gone();
    return 0;
}

static void own_handler(int number)
{
    (void)number;
    _exit(9);
}

static int unload_then_fault_with_handler(void *argument)
{
    signal(SIGBUS, own_handler);
    for (int i = 0; i < 3; i++)
        load_and_unload(argument);
    touch_what_is_gone();
    return 0;
}

/* dlclose() leaves the library where it is: SIGBUS and fork() go on calling it. */
Test(process, a_fault_after_dlclose, .timeout = 60)
{
    char *file = (char *)(uintptr_t)library(CORE);

    cr_assert_eq(test_run(unload_then_fault, file), -SIGBUS);
    cr_assert_eq(test_run(unload_then_fault_with_handler, file), 9);
}

static void copy_file(const char *from, const char *to)
{
    char bytes[1 << 16];
    ssize_t n;
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);

    child_assert(in >= 0 && out >= 0);
    while ((n = read(in, bytes, sizeof bytes)) > 0)
        child_assert(write(out, bytes, (size_t)n) == n);
    child_assert(n == 0 && close(in) == 0 && close(out) == 0);
}

struct copies {
    const char *original, *directory;
};

/* Plugins that have the library in them, each with thread-local variables of its own. */
static int load_copies(void *argument)
{
    enum { COPIES = 10 };
    const struct copies *copies = argument;
    char file[PATH_MAX];

    for (int i = 0; i < COPIES; i++) {
        snprintf(file, sizeof file, "%s/copy%d.so", copies->directory, i);
        copy_file(copies->original, file);
        if (!dlopen(file, RTLD_NOW | RTLD_LOCAL)) {
            fprintf(stderr, "copy %d: %s\n", i, dlerror());
            return 1;
        }
    }
    return 0;
}

Test(process, many_copies_can_be_loaded, .timeout = 60)
{
    struct copies copies = {.original = library(CORE)};

    if (SANITIZED)
        cr_skip_test("a sanitizer's thread-local variables are in the library");
    test_directory(path);
    copies.directory = path;
    cr_assert_eq(test_run(load_copies, &copies), 0);
}

/* ---- What a program does to its process ------------------------------------------------------ */

/* Another library has restored the default action, for example when it was unloaded. */
static int guard_again(void *argument)
{
    struct shmring_stat st;

    (void)argument;
    signal(SIGBUS, SIG_DFL);
    child_assert(shmring_guard_sigbus() == 0);
    signal(SIGBUS, SIG_DFL);
    child_assert(shmring_guard_sigbus() == 0);
    child_assert(shmring_create(&made, name,
                                &(struct shmring_config){
                                    .kind = SHMRING_SPSC, .flags = BOTH, .capacity = 65536}) == 0);
    child_assert(ftruncate(shmring_segment_fd(made), 0) == 0);
    child_assert(shmring_stat(made, &st) == -EBADMSG);
    shmring_close(&made);
    return 0;
}

Test(process, the_guard_can_be_put_back)
{
    test_name(name);
    cr_assert_eq(test_run(guard_again, NULL), 0);
}

/* A program that writes to a closed standard output must not hit a queue: its descriptor is 3 or
 * more. */
static int without_standard_files(void *argument)
{
    (void)argument;
    close(0), close(1), close(2);
    if (do_create() != 0 || shmring_segment_fd(made) < 3)
        return 1;
    if (shmring_open(&q, name, BOTH) != 0 || shmring_segment_fd(q) < 3)
        return 2;
    if (shmring_dup(&other, made, SHMRING_OBSERVER) != 0 || shmring_segment_fd(other) < 3)
        return 3;
    shmring_close(&other);
    if (do_create_memfd() != 0 || shmring_segment_fd(made) < 3)
        return 4;
    if (shmring_fd_arm(q, SHMRING_READABLE) != 0)
        return 5;
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            return 6;
    return 0;
}

Test(process, standard_files_are_left_alone)
{
    test_name(name);
    cr_assert_eq(test_run(without_standard_files, NULL), 0);
}

static int with_a_strict_umask(void *argument)
{
    struct shmring_stat st;

    (void)argument;
    if (test_is_root())
        child_assert(setgid(65534) == 0 && setuid(65534) == 0);
    umask(0777);
    child_assert(do_create() == 0);
    child_assert(shmring_open(&q, name, BOTH) == 0);
    child_assert(shmring_stat(q, &st) == 0 && st.mode == 0600);
    child_assert(shmring_fd_arm(q, SHMRING_READABLE) == 0);
    shmring_close(&q);
    child_assert(shmring_unlink(name) == 0); /* removes its notifier, too */
    shmring_close(&made);
    return 0;
}

Test(process, the_umask_takes_everything)
{
    test_name(name);
    cr_assert_eq(test_run(with_a_strict_umask, NULL), 0);
}
