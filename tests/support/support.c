/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- Names and queues ------------------------------------------------------------------------ */

/* Paths to remove when the test ends, also when it fails. */
enum { CLEANUPS_MAX = 64 };
static char cleanups[CLEANUPS_MAX][TEST_NAME_SIZE];
static int cleanup_count;
static pid_t cleanup_owner;

static void remove_files(const char *directory)
{
    struct dirent *entry;
    DIR *d = opendir(directory);

    while (d && (entry = readdir(d)))
        unlinkat(dirfd(d), entry->d_name, 0);
    if (d)
        closedir(d);
}

/* Remove a queue with its notifiers, a directory with its files, or any other file. */
static void remove_path(const char *path)
{
    char name[TEST_NAME_SIZE + 8];

    snprintf(name, sizeof name, "file:%s", path);
    if (shmring_unlink(name) < 0 && unlink(path) < 0 && errno == EISDIR) {
        remove_files(path);
        rmdir(path);
    }
}

static void clean_up(void)
{
    if (getpid() != cleanup_owner)
        return;
    for (int i = 0; i < cleanup_count; i++)
        remove_path(cleanups[i]);
}

static void clean_up_later(const char *path)
{
    if (cleanup_owner != getpid()) {
        cleanup_owner = getpid();
        cleanup_count = 0;
        cr_assert_eq(atexit(clean_up), 0);
    }
    cr_assert_lt(cleanup_count, CLEANUPS_MAX);
    snprintf(cleanups[cleanup_count++], TEST_NAME_SIZE, "%s", path);
}

/* The beginning of all test names in this pid namespace, with the last four hexadecimal digits of
 * its inode. */
static void name_prefix(char prefix[TEST_NAME_SIZE])
{
    struct stat namespace = {0};

    (void)stat("/proc/self/ns/pid", &namespace);
    snprintf(prefix, TEST_NAME_SIZE, "shmring-test-%x-", (unsigned)namespace.st_ino & 0xffff);
}

/* The name has the pid and the time in microseconds, modulo 2^32: a killed process leaves its names
 * behind, and its pid may be used again. It is short, because some messages that tests compare
 * contain it twice. */
void test_name(char name[TEST_NAME_SIZE])
{
    static unsigned counter;
    struct timespec now;
    char path[TEST_NAME_SIZE];

    clock_gettime(CLOCK_REALTIME, &now);
    name_prefix(name);
    snprintf(name + strlen(name), TEST_NAME_SIZE - strlen(name), "%d-%x-%u", getpid(),
             (unsigned)now.tv_sec * 1000000 + (unsigned)now.tv_nsec / 1000, counter++);
    snprintf(path, sizeof path, "/dev/shm/%.100s", name);
    clean_up_later(path);
}

void test_directory(char path[TEST_NAME_SIZE])
{
    char prefix[TEST_NAME_SIZE];

    name_prefix(prefix);
    snprintf(path, TEST_NAME_SIZE, "/tmp/%.60s%d-XXXXXX", prefix, getpid());
    cr_assert_not_null(mkdtemp(path));
    clean_up_later(path);
}

void test_remove_names_of_the_dead(void)
{
    static const char *const directories[] = {"/dev/shm", "/tmp"};
    char prefix[TEST_NAME_SIZE], path[PATH_MAX];
    struct dirent *entry;

    name_prefix(prefix);
    for (int i = 0; i < 2; i++) {
        DIR *d = opendir(directories[i]);
        while (d && (entry = readdir(d)) != NULL) {
            if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
                continue;
            const pid_t pid = atoi(entry->d_name + strlen(prefix));
            if (pid <= 0 || kill(pid, 0) == 0 || errno != ESRCH)
                continue;
            snprintf(path, sizeof path, "%s/%s", directories[i], entry->d_name);
            remove_path(path);
        }
        if (d)
            closedir(d);
    }
}

#ifdef ReportHook /* Criterion's own process, before and after all tests of a suite */
ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    (void)tests;
    test_remove_names_of_the_dead();
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    test_remove_names_of_the_dead();
}
#endif

static shmring_t *create(const char *name, const struct shmring_config *config)
{
    shmring_t *q;
    int r = shmring_create(&q, name, config);

    cr_assert_eq(r, 0, "shmring_create %s: %s (%s)", name, strerror(-r), shmring_strerror_detail());
    return q;
}

shmring_t *test_create(const char *name, unsigned flags, uint64_t capacity)
{
    return create(
        name, &(struct shmring_config){.kind = SHMRING_SPSC, .flags = flags, .capacity = capacity});
}

shmring_t *test_create_mpmc(const char *name, unsigned flags, uint64_t capacity, uint32_t longest)
{
    return create(name, &(struct shmring_config){.kind = SHMRING_MPMC,
                                                 .flags = flags,
                                                 .capacity = capacity,
                                                 .max_message = longest});
}

/* ---- Child processes ------------------------------------------------------------------------- */

bool test_is_root(void)
{
    enum { NOBODY = 65534 };
    const int fd = memfd_create("whose", MFD_CLOEXEC);
    const bool is = geteuid() == 0 && fd >= 0 && fchown(fd, NOBODY, NOBODY) == 0;

    close(fd);
    return is;
}

bool test_own_mounts(void)
{
    /* Not NULL for "none": valgrind takes it for a fault. */
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0;
}

pid_t test_fork(int (*body)(void *), void *argument)
{
    const pid_t parent = getpid();
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        _exit(body(argument));
    }
    cr_assert_gt(pid, 0, "fork: %s", strerror(errno));
    return pid;
}

pid_t test_fork_sleeper(void)
{
    const pid_t parent = getpid();
    int ready[2];

    if (pipe2(ready, O_CLOEXEC) < 0)
        abort();
    const pid_t pid = fork();
    if (pid < 0)
        abort();
    if (pid == 0) {
        (void)!write(ready[1], "", 1);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (getppid() == parent)
            pause();
        _exit(0);
    }
    char byte;
    (void)!read(ready[0], &byte, 1); /* the child runs: its atfork handlers have ended */
    close(ready[0]);
    close(ready[1]);
    return pid;
}

int test_wait(pid_t pid)
{
    int status;
    pid_t ended;

    do
        ended = waitpid(pid, &status, 0);
    while (ended < 0 && errno == EINTR);
    cr_assert_eq(ended, pid, "waitpid: %s", strerror(errno));
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int test_run(int (*body)(void *), void *argument)
{
    return test_wait(test_fork(body, argument));
}

void test_kill(pid_t pid)
{
    kill(pid, SIGKILL);
    const int how = test_wait(pid);
    cr_assert_eq(how, -SIGKILL, "the child had ended: %d", how);
}

static bool is_futex_call(long number)
{
#if defined SYS_futex_time64
    if (number == SYS_futex_time64)
        return true;
#endif
#if defined SYS_futex_waitv
    if (number == SYS_futex_waitv)
        return true;
#endif
    return number == SYS_futex;
}

void test_await_sleep_of(pid_t pid, pid_t thread)
{
    char path[64];
    long call = -1;

    snprintf(path, sizeof path, "/proc/%d/task/%d/syscall", (int)pid, (int)thread);
    while (!is_futex_call(call)) {
        siginfo_t ended = {0};
        FILE *file = fopen(path, "re");
        cr_assert_not_null(file, "it ended instead of sleeping");
        if (fscanf(file, "%ld", &call) != 1) /* "running" */
            call = -1;
        fclose(file);
        waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT);
        cr_assert_eq(ended.si_pid, 0, "it ended instead of sleeping");
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
}

void test_await_sleep(pid_t pid)
{
    test_await_sleep_of(pid, pid);
}

int test_interrupt(pid_t pid, int signo)
{
    siginfo_t ended = {0};

    while (ended.si_pid == 0) {
        kill(pid, signo);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        cr_assert_eq(waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT), 0);
    }
    return test_wait(pid);
}

int test_kills(int usually)
{
    const char *given = getenv("SHMRING_TEST_KILLS");

    return given ? atoi(given) : usually;
}

void test_pipe(int ends[2])
{
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
}

/* These two also run in children, where Criterion's assertions do not work. */
void test_tell(int end)
{
    if (write(end, "", 1) != 1)
        abort();
}

void test_hear(int end)
{
    char byte;
    ssize_t n;

    do
        n = read(end, &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n != 1)
        abort(); /* the other side is gone */
}

void gate_init(struct gate *gate)
{
    test_pipe(gate->ready);
    test_pipe(gate->go);
}

void gate_wait(const struct gate *gate)
{
    char byte;

    close(gate->go[1]); /* the end of the file is the sign to go */
    test_tell(gate->ready[1]);
    child_assert(read(gate->go[0], &byte, 1) == 0);
}

void gate_open(struct gate *gate, int count)
{
    while (count-- > 0)
        test_hear(gate->ready[0]);
    close(gate->go[1]);
    close(gate->go[0]);
    close(gate->ready[0]);
    close(gate->ready[1]);
}

void test_child_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "[----] %s:%d: in a child: %s (errno: %s; detail: %s)\n", file, line, condition,
            strerror(errno), shmring_strerror_detail());
    _exit(1);
}

/* ---- Results --------------------------------------------------------------------------------- */

int test_count_files(const char *directory)
{
    struct dirent *entry;
    DIR *d = opendir(directory);
    int n = 0;

    cr_assert_not_null(d, "%s: %s", directory, strerror(errno));
    while ((entry = readdir(d)))
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(d);
    return n;
}

struct holdings test_holdings(void)
{
    struct holdings held = {0};
    unsigned long from, to;
    char line[512], permissions[8];
    FILE *maps = fopen("/proc/self/maps", "re");

    cr_assert_not_null(maps);
    while (fgets(line, sizeof line, maps))
        if (sscanf(line, "%lx-%lx %4s", &from, &to, permissions) == 3) {
            held.address_space += (int64_t)(to - from);
            held.shared_maps += permissions[3] == 's';
        }
    fclose(maps);
    held.descriptors = test_count_files("/proc/self/fd");
    return held;
}

/* It maps memory of its own into the process, more with each instruction that is new to it. */
static bool under_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");

    return preload && strstr(preload, "/vgpreload_");
}

void assert_holds_no_more_than(const struct holdings *before, int64_t leeway)
{
    const struct holdings now = test_holdings();

    cr_assert_eq(now.descriptors, before->descriptors, "%d descriptors, %d before", now.descriptors,
                 before->descriptors);
    cr_assert_eq(now.shared_maps, before->shared_maps, "%d shared mappings, %d before",
                 now.shared_maps, before->shared_maps);
    if (under_valgrind())
        return;
    cr_assert_leq(now.address_space - before->address_space, leeway,
                  "%lld bytes of address space, %lld before", (long long)now.address_space,
                  (long long)before->address_space);
}
