/* SPDX-License-Identifier: MIT */
/* Limits of the process, and permissions. Tests that become another user need root, and are skipped
 * without it. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "support.h"

enum { CAPACITY = 1 << 20, HEAD = 4 * 4096, MIB = 1 << 20, TIMES = 20 };

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

static struct shmring_config config_with(uint32_t flags, uint64_t capacity)
{
    return (struct shmring_config){.kind = SHMRING_SPSC, .flags = flags, .capacity = capacity};
}

/* ---- Limits of the process ------------------------------------------------------------------- */

static void limit(int resource, rlim_t most)
{
    struct rlimit limit;

    cr_assert_eq(getrlimit((__rlimit_resource_t)resource, &limit), 0);
    limit.rlim_cur = most;
    cr_assert_eq(setrlimit((__rlimit_resource_t)resource, &limit), 0, "%s", strerror(errno));
}

/* A name for each backend: POSIX, file, memfd. */
static const char *name_of(int backend)
{
    static char posix[TEST_NAME_SIZE], directory[TEST_NAME_SIZE], file[TEST_NAME_SIZE + 16];

    if (!posix[0]) {
        test_name(posix);
        test_directory(directory);
        snprintf(file, sizeof file, "file:%s/queue", directory);
    }
    return backend == 0 ? posix : backend == 1 ? file : "memfd:orders";
}

/* ... and the library causes no SIGXFSZ. */
Test(limits, size_of_files)
{
    const struct shmring_config config = config_with(BOTH, CAPACITY);
    shmring_t *q;

    for (int backend = 0; backend < 3; backend++) {
        const char *name = name_of(backend);

        limit(RLIMIT_FSIZE, CAPACITY + HEAD - 1);
        const struct holdings before = test_holdings();
        for (int i = 0; i < TIMES; i++) {
            assert_refused(shmring_create(&q, name, &config), EFBIG,
                           "needs 1064960 bytes: RLIMIT_FSIZE allows 1064959");
            cr_assert_null(q);
        }
        assert_holds_no_more_than(&before, 4 * MIB);
        limit(RLIMIT_FSIZE, CAPACITY + HEAD);
        cr_assert_eq(shmring_create(&q, name, &config), 0, "%s", shmring_strerror_detail());
        shmring_close(&q);
    }
}

/* Take descriptors until only count are left below the limit. count < 0: close those that were
 * taken. */
static void leave_descriptors(int count)
{
    static int taken[64], n;

    while (n > 0)
        close(taken[--n]);
    if (count < 0)
        return;
    limit(RLIMIT_NOFILE, 64);
    while ((taken[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        n++;
    cr_assert_eq(errno, EMFILE);
    while (count-- > 0)
        close(taken[--n]);
}

static int make_queue(shmring_t **q, shmring_t *there)
{
    const struct shmring_config config = config_with(BOTH, CAPACITY);

    (void)there;
    return shmring_create(q, name_of(0), &config);
}

static int make_memfd(shmring_t **q, shmring_t *there)
{
    const struct shmring_config config = config_with(BOTH, CAPACITY);

    (void)there;
    return shmring_create(q, "memfd:orders", &config);
}

static int make_observed(shmring_t **q, shmring_t *there)
{
    const struct shmring_config config = config_with(0, CAPACITY);

    (void)there;
    return shmring_create(q, name_of(0), &config);
}

static int open_queue(shmring_t **q, shmring_t *there)
{
    (void)there;
    return shmring_open(q, name_of(1), BOTH);
}

static int open_observed(shmring_t **q, shmring_t *there)
{
    (void)there;
    return shmring_open(q, name_of(1), SHMRING_OBSERVER);
}

static int wait_for_queue(shmring_t **q, shmring_t *there)
{
    const struct timespec none = {0};
    const int r = shmring_open_wait(q, name_of(0), BOTH, &none);

    (void)there;
    return r == -ETIMEDOUT ? 0 : r; /* the call must fail because it cannot wait */
}

static int open_descriptor(shmring_t **q, shmring_t *there)
{
    return shmring_open_fd(q, shmring_segment_fd(there), BOTH);
}

static int copy_handle(shmring_t **q, shmring_t *there)
{
    return shmring_dup(q, there, BOTH);
}

Test(limits, descriptors)
{
    static int (*const calls[])(shmring_t **, shmring_t *) = {
        make_queue,    make_memfd,     make_observed,   open_queue,
        open_observed, wait_for_queue, open_descriptor, copy_handle};
    shmring_t *q, *there = test_create(name_of(1), 0, CAPACITY);

    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        int r = -EMFILE, left;

        for (left = 0; r < 0; left++) {
            const struct holdings before = test_holdings();
            for (int times = 0; times < TIMES && (r < 0 || times == 0); times++) {
                leave_descriptors(left);
                r = calls[i](&q, there);
                char detail[256];
                snprintf(detail, sizeof detail, "%s", shmring_strerror_detail());
                leave_descriptors(-1);
                if (r < 0) {
                    cr_assert_eq(r, -EMFILE, "call %zu, %d left: %d (%s)", i, left, r, detail);
                    cr_assert_not_null(strstr(detail, strerror(EMFILE)), "%s", detail);
                    cr_assert_null(q);
                    cr_assert_eq(shmring_unlink(name_of(0)), -ENOENT, "a name was left");
                }
                shmring_close(&q);
            }
            assert_holds_no_more_than(&before, 4 * MIB);
        }
        cr_assert_leq(left - 1, 3, "call %zu needs %d descriptors", i, left - 1);
        shmring_unlink(name_of(0));
    }
    shmring_close(&there);
}

/* The limit leaves room for the segment once, but not for the second mapping of its data. */
Test(limits, address_space)
{
    const struct shmring_config config = config_with(BOTH, 32 * MIB);
    shmring_t *q, *there;

    there = test_create(name_of(1), 0, 32 * MIB);
    const struct holdings before = test_holdings();
    limit(RLIMIT_AS, (rlim_t)before.address_space + 48 * MIB);
    for (int i = 0; i < 3; i++) {
        assert_refused(shmring_create(&q, name_of(0), &config), ENOMEM, "no address space");
        cr_assert_null(q);
        assert_refused(shmring_unlink(name_of(0)), ENOENT, "");
        assert_refused(shmring_open(&q, name_of(1), SHMRING_OBSERVER), ENOMEM, "67121152 bytes");
        cr_assert_not_null(strstr(shmring_strerror_detail(), "vm.max_map_count"));
        assert_refused(shmring_dup(&q, there, BOTH), ENOMEM, "no address space");
        cr_assert_null(q);
    }
    assert_holds_no_more_than(&before, 4 * MIB);
    shmring_close(&there);
}

static int tell_nothing(void *argument, const struct shmring_message *message)
{
    (void)argument;
    (void)message;
    return 0;
}

/* Does malloc() return NULL at the limit? With some sanitizers it ends the process. */
static bool malloc_fails(void)
{
#if defined __SANITIZE_ADDRESS__
    return false;
#elif defined __clang__
    return !__has_feature(address_sanitizer);
#else
    return true;
#endif
}

/* The queue is mapped, but there is no memory for the copy of a message. */
Test(limits, memory_for_a_dump)
{
    if (!malloc_fails())
        cr_skip_test("AddressSanitizer");
    shmring_t *q = test_create(name_of(0), 0, 32 * MIB);
    const struct holdings before = test_holdings();

    limit(RLIMIT_AS, (rlim_t)before.address_space + 16 * MIB);
    assert_refused(shmring_dump(q, tell_nothing, NULL), ENOMEM, "max_message");
    assert_holds_no_more_than(&before, 4 * MIB);
    shmring_close(&q);
}

/* ---- Memory cgroups -------------------------------------------------------------------------- */

enum { CANNOT = 77 };

static int write_file(const char *directory, const char *file, const char *text)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", directory, file);
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    const ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

    close(fd);
    return n == (ssize_t)strlen(text) ? 0 : -1;
}

/* The first line of the file that has NEEDLE in it. */
static bool find_line(const char *path, const char *needle, char line[1024])
{
    FILE *f = fopen(path, "re");
    bool found = false;

    while (f && !found && fgets(line, 1024, f))
        found = strstr(line, needle) != NULL;
    if (f)
        fclose(f);
    return found;
}

/* Mount overlayfs on tmpfs where only this process sees it. Returns a name there; NULL: it cannot
 * be mounted. */
static const char *name_on_overlay(void)
{
    static const char *const parts[] = {"/mnt/lower", "/mnt/upper", "/mnt/work", "/mnt/merged"};

    if (!test_own_mounts() || mount("tmpfs", "/mnt", "tmpfs", 0, NULL) < 0)
        return NULL;
    for (int i = 0; i < 4; i++)
        child_assert(mkdir(parts[i], 0700) == 0);
    if (mount("overlay", "/mnt/merged", "overlay", 0,
              "lowerdir=/mnt/lower,upperdir=/mnt/upper,workdir=/mnt/work") < 0)
        return NULL;
    return "file:/mnt/merged/queue";
}

static void create_too_much(const char *words)
{
    const struct shmring_config large = config_with(BOTH, 64 * MIB), small = config_with(BOTH, MIB);
    const char *const names[] = {name_of(0), "memfd:orders", name_on_overlay()};
    shmring_t *q;

    for (int i = 0; i < 3 && names[i]; i++) {
        child_refused(shmring_create(&q, names[i], &large), ENOSPC, "needs 67125248 bytes, ");
        child_assert(strstr(shmring_strerror_detail(), words));
        child_assert(shmring_create(&q, names[i], &small) == 0);
        shmring_close(&q);
    }
    child_assert(shmring_unlink(names[0]) == 0);
}

/* Run in a cgroup of version 1 or 2, below the process's own, that may use 32 MiB. */
static int create_in_cgroup(void *argument)
{
    const char *own = argument, *limit = access("/sys/fs/cgroup/memory", F_OK) == 0
                                             ? "memory.limit_in_bytes"
                                             : "memory.max";

    if (write_file(own, limit, "33554432") < 0 || write_file(own, "cgroup.procs", "0") < 0)
        return CANNOT;
    create_too_much("the limit of the memory cgroup /sys/fs/cgroup");
    return 0;
}

Test(limits, memory_cgroup)
{
    char line[1024], own[1200];
    const bool version_1 = find_line("/proc/self/cgroup", ":memory:/", line);

    if (!version_1 && !find_line("/proc/self/cgroup", "0::/", line))
        cr_skip_test("no memory cgroup");
    line[strcspn(line, "\n")] = 0;
    snprintf(own, sizeof own, "/sys/fs/cgroup%s%s/shmring-test-%d", version_1 ? "/memory" : "",
             strchr(line, '/'), (int)getpid());
    if (geteuid() != 0 || mkdir(own, 0700) < 0)
        cr_skip_test("may not make a cgroup");
    (void)name_of(0);
    const int r = test_run(create_in_cgroup, own);
    cr_assert_eq(rmdir(own), 0);
    if (r == CANNOT)
        cr_skip_test("may not limit a cgroup");
    cr_assert_eq(r, 0, "%d", r);
}

/* Mount a directory of ordinary files in place of a version 2 hierarchy: its root is limited, and
 * in it pages of files count as available. */
static int create_in_made_up_cgroup(void *argument)
{
    char line[1024], where[512];

    (void)argument;
    if (!test_own_mounts() || !find_line("/proc/self/mountinfo", " - cgroup2 ", line) ||
        sscanf(line, "%*s %*s %*s / %511s", where) != 1 ||
        mount("tmpfs", where, "tmpfs", 0, NULL) < 0)
        return CANNOT;
    child_assert(write_file(where, "memory.max", "100663296\n") == 0); /* 96 MiB */
    child_assert(write_file(where, "memory.high", "max\n") == 0);
    child_assert(write_file(where, "memory.current", "83886080\n") == 0); /* 80 MiB of 96 */
    child_assert(write_file(where, "memory.stat", "anon 1\nactive_file 8388608\n") ==
                 0); /* 8 MiB of them are pages of files */
    create_too_much("24969216 are available within the limit of the memory cgroup");
    child_assert(write_file(where, "memory.high", "33554432\n") == 0);
    child_assert(write_file(where, "memory.current", "20971520\n") == 0);
    /* 12 MiB below memory.high and 8 MiB of file pages, minus what the kernel needs. */
    create_too_much("20807680 are available");
    return 0;
}

Test(limits, memory_cgroup_of_version_2)
{
    if (geteuid() != 0)
        cr_skip_test("not root");
    (void)name_of(0);
    const int r = test_run(create_in_made_up_cgroup, NULL);
    if (r == CANNOT)
        cr_skip_test("no cgroup2, or may not mount");
    cr_assert_eq(r, 0, "%d", r);
}

static void note_signal(int number)
{
    (void)number;
}

/* A profiler's signals do not keep a large segment from being allocated. */
Test(limits, signals_while_allocating, .timeout = 120)
{
    const struct itimerval often = {{0, 1000}, {0, 1000}}, never = {0};
    const struct sigaction action = {.sa_handler = note_signal};
    shmring_t *q;

    cr_assert_eq(sigaction(SIGPROF, &action, NULL), 0);
    cr_assert_eq(setitimer(ITIMER_PROF, &often, NULL), 0);
    q = test_create("memfd:orders", BOTH, 128 * MIB);
    cr_assert_eq(setitimer(ITIMER_PROF, &never, NULL), 0);
    shmring_close(&q);
}

/* ---- Locked memory --------------------------------------------------------------------------- */

static long locked_bytes(void)
{
    char line[256];
    long kilobytes = -1;
    FILE *status = fopen("/proc/self/status", "re");

    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "VmLck: %ld kB", &kilobytes) == 1)
            break;
    if (status)
        fclose(status);
    return kilobytes * 1024;
}

/* Skip the test where mlock() does nothing, as with sanitizers. */
static void need_mlock(void)
{
    static _Alignas(4096) char page[4096];
    const long before = locked_bytes();

    cr_assert_eq(mlock(page, sizeof page), 0);
    if (locked_bytes() == before)
        cr_skip_test("mlock() does nothing");
    cr_assert_eq(munlock(page, sizeof page), 0);
}

Test(limits, locked_memory)
{
    char name[TEST_NAME_SIZE];
    shmring_t *q;

    need_mlock();
    test_name(name);
    const long before = locked_bytes();
    q = test_create(name, BOTH | SHMRING_MLOCK, 4096);
    cr_assert_eq(locked_bytes() - before, 3 * 4096 + 2 * 4096); /* the data is mapped twice */
    shmring_close(&q);
    cr_assert_eq(locked_bytes(), before);
    cr_assert_eq(shmring_open(&q, name, SHMRING_OBSERVER | SHMRING_MLOCK), 0);
    cr_assert_eq(locked_bytes() - before, 3 * 4096 + 2 * 4096);
    shmring_close(&q);
}

/* ---- Other users ----------------------------------------------------------------------------- */

enum { NOBODY = 65534 };

static int become_nobody(void)
{
    return setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
                   setresuid(NOBODY, NOBODY, NOBODY) < 0
               ? -1
               : 0;
}

static void as_nobody(int (*body)(void *), void *argument)
{
    if (!test_is_root())
        cr_skip_test("not root");
    cr_assert_eq(test_run(body, argument), 0);
}

static int lock_too_much(void *argument)
{
    const char *name = argument;
    const struct rlimit limit = {65536, 65536};
    const struct shmring_config config = config_with(BOTH | SHMRING_MLOCK, CAPACITY);
    shmring_t *q;

    child_assert(setrlimit(RLIMIT_MEMLOCK, &limit) == 0 && become_nobody() == 0);
    const struct holdings before = test_holdings();
    for (int i = 0; i < TIMES; i++) {
        child_refused(shmring_create(&q, name, &config), ENOMEM, "RLIMIT_MEMLOCK is 65536");
        child_assert(q == NULL);
        child_refused(shmring_create(&q, "memfd:orders", &config), ENOMEM, "SHMRING_MLOCK");
    }
    const struct holdings after = test_holdings();
    child_assert(after.descriptors == before.descriptors);
    child_assert(after.shared_maps == before.shared_maps);
    child_refused(shmring_unlink(name), ENOENT, name);
    const struct shmring_config little = config_with(BOTH | SHMRING_MLOCK, 4096);
    child_assert(shmring_create(&q, "memfd:orders", &little) == 0);
    /* The handle that failed is closed: the roles of its queue are free. */
    shmring_close(&q);
    const struct shmring_config unlocked = config_with(0, CAPACITY);
    child_assert(shmring_create(&q, name, &unlocked) == 0);
    shmring_close(&q);
    child_refused(shmring_open(&q, name, BOTH | SHMRING_MLOCK), ENOMEM, "RLIMIT_MEMLOCK");
    child_assert(shmring_open(&q, name, BOTH) == 0);
    shmring_close(&q);
    child_assert(shmring_unlink(name) == 0);
    return 0;
}

Test(limits, too_much_locked_memory)
{
    char name[TEST_NAME_SIZE];

    need_mlock();
    test_name(name);
    as_nobody(lock_too_much, name);
}

struct theirs {
    const char *name;
    shmring_t *q;
    uint32_t mode;
};

static int use_theirs(void *argument)
{
    const struct theirs *theirs = argument;
    const int may_read = (theirs->mode & 04) != 0, may_write = (theirs->mode & 02) != 0;
    struct shmring_participant row;
    shmring_t *q;

    child_assert(become_nobody() == 0);
    const struct holdings before = test_holdings();
    if (may_read) {
        child_assert(shmring_open(&q, theirs->name, SHMRING_OBSERVER) == 0);
        child_assert(shmring_participants(q, &row, 1) == 1);
        child_assert(row.alive == 1 && row.uid == 0);
        shmring_close(&q);
        child_assert(shmring_dup(&q, theirs->q, SHMRING_OBSERVER) == 0);
        shmring_close(&q);
    } else {
        child_refused(shmring_open(&q, theirs->name, SHMRING_OBSERVER), EACCES, theirs->name);
        child_refused(shmring_dup(&q, theirs->q, SHMRING_OBSERVER), EACCES, "for reading ");
    }
    if (may_read && may_write) {
        child_assert(shmring_open(&q, theirs->name, SHMRING_CONSUMER) == 0);
        shmring_close(&q);
    } else {
        child_refused(shmring_open(&q, theirs->name, SHMRING_CONSUMER), EACCES, theirs->name);
        child_refused(shmring_dup(&q, theirs->q, SHMRING_CONSUMER), EACCES, "reading and writing");
    }
    child_assert(q == NULL);
    /* /dev/shm has the sticky bit: only a file's owner may remove it. */
    child_refused(shmring_unlink(theirs->name), may_read ? EPERM : EACCES, theirs->name);
    const struct holdings after = test_holdings();
    child_assert(after.descriptors == before.descriptors);
    child_assert(after.shared_maps == before.shared_maps);
    return 0;
}

Test(limits, permission)
{
    static const uint32_t modes[] = {0600, 0644, 0666, 0602, 0660};
    char name[TEST_NAME_SIZE];
    struct shmring_config config = config_with(SHMRING_PRODUCER, CAPACITY);
    struct theirs theirs = {.name = name};

    test_name(name);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        theirs.mode = config.mode = modes[i];
        cr_assert_eq(shmring_create(&theirs.q, name, &config), 0);
        as_nobody(use_theirs, &theirs);
        shmring_close(&theirs.q);
        cr_assert_eq(shmring_unlink(name), 0);
    }
}

static int create_where_one_may_not(void *argument)
{
    const struct shmring_config config = config_with(BOTH, CAPACITY);
    const char *name = argument;
    shmring_t *q;

    child_assert(become_nobody() == 0);
    child_refused(shmring_create(&q, name, &config), EACCES, "creating a file in /tmp/");
    return 0;
}

Test(limits, directory_of_another)
{
    char directory[TEST_NAME_SIZE], name[TEST_NAME_SIZE + 16];

    test_directory(directory);
    cr_assert_eq(chmod(directory, 0755), 0);
    snprintf(name, sizeof name, "file:%s", directory);
    strcat(name, "/queue");
    as_nobody(create_where_one_may_not, name);
    cr_assert_eq(test_count_files(directory), 0);
}

static int remove_what_cannot_be_read(void *argument)
{
    const char *name = argument;

    child_assert(become_nobody() == 0);
    child_refused(shmring_unlink(name), EACCES, "cannot be read");
    return 0;
}

/* In a directory where every user may remove every file: the library does not remove a file that it
 * cannot read, because it might be no queue. */
Test(limits, removing_takes_reading)
{
    char directory[TEST_NAME_SIZE], name[TEST_NAME_SIZE + 16];
    shmring_t *q;

    test_directory(directory);
    cr_assert_eq(chmod(directory, 0777), 0);
    snprintf(name, sizeof name, "file:%s/queue", directory);
    q = test_create(name, 0, CAPACITY);
    shmring_close(&q);
    as_nobody(remove_what_cannot_be_read, name);
    cr_assert_eq(test_count_files(directory), 1);
}
