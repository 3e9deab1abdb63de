/* SPDX-License-Identifier: MIT */
/*
 * Creation on file systems without O_TMPFILE. There are few left to mount, so a seccomp filter
 * makes every file system one of those.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../lib/segment.h"
#include "support.h"

enum { CAPACITY = 65536, CREATORS = 20 };

/* For this process and its children. */
static void forget_tmpfile(void)
{
    const unsigned tmpfile_bit = O_TMPFILE & ~O_DIRECTORY;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_openat, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, tmpfile_bit, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        cr_skip_test("no seccomp: %s", strerror(errno));
    cr_assert(open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) < 0 && errno == EOPNOTSUPP);
}

static mode_t mode_at(const char *path)
{
    struct stat st;

    cr_assert_eq(stat(path, &st), 0, "%s: %s", path, strerror(errno));
    return st.st_mode;
}

static struct shmring_config config_with(uint32_t flags)
{
    return (struct shmring_config){.kind = SHMRING_SPSC, .flags = flags, .capacity = CAPACITY};
}

/* A queue that is to be, in a directory of its own. */
struct site {
    char directory[TEST_NAME_SIZE];
    char name[TEST_NAME_SIZE + 16];
    const char *path;
    struct shmr_name parsed;
};

static void make_site(struct site *site)
{
    test_directory(site->directory);
    snprintf(site->name, sizeof site->name, "file:%s/queue", site->directory);
    site->path = site->name + 5;
    cr_assert_eq(shmr_name_parse(&site->parsed, site->name), 0);
}

Test(in_place, creates_a_queue_like_any_other)
{
    static const mode_t umasks[] = {0, 022, 077, 0777};
    struct shmring_config config = config_with(SHMRING_PRODUCER);
    struct site site;
    shmring_t *q, *other;
    char buffer[8];

    forget_tmpfile();
    make_site(&site);
    config.mode = 0664;
    for (size_t i = 0; i < sizeof umasks / sizeof umasks[0]; i++) {
        umask(umasks[i]);
        cr_assert_eq(shmring_create(&q, site.name, &config), 0, "%s", shmring_strerror_detail());
        cr_assert_eq(mode_at(site.path), S_IFREG | 0664);
        assert_refused(shmring_create(&other, site.name, &config), EEXIST, "exists");
        cr_assert_eq(shmring_open(&other, site.name, SHMRING_CONSUMER), 0);
        cr_assert_eq(shmring_send(q, "hello", 6), 0);
        cr_assert_eq(shmring_recv(other, buffer, sizeof buffer), 6);
        shmring_close(&other);
        shmring_close(&q);
        cr_assert_eq(shmring_unlink(site.name), 0);
        cr_assert_eq(test_count_files(site.directory), 0);
    }
}

/* Nobody can be quicker than the creator to take its roles: the file is finished, which is a change
 * of its mode, after the creator has opened the description that holds its locks. */
Test(in_place, is_finished_last)
{
    _Alignas(struct inotify_event) char events[4096];
    struct site site;
    shmring_t *q;
    int watch = inotify_init1(IN_CLOEXEC);
    uint32_t last[2] = {0};

    forget_tmpfile();
    make_site(&site);
    cr_assert_gt(inotify_add_watch(watch, site.directory, IN_OPEN | IN_ATTRIB), 0);
    q = test_create(site.name, SHMRING_PRODUCER, CAPACITY);
    const ssize_t n = read(watch, events, sizeof events);
    for (ssize_t at = 0; at < n;) {
        const struct inotify_event *event = (const void *)(events + at);
        last[0] = last[1];
        last[1] = event->mask;
        at += (ssize_t)(sizeof *event + event->len);
    }
    cr_assert_eq(last[0], IN_OPEN);
    cr_assert_eq(last[1], IN_ATTRIB);
    shmring_close(&q);
    close(watch);
}

Test(in_place, posix_backend)
{
    char name[TEST_NAME_SIZE];
    shmring_t *q;

    forget_tmpfile();
    test_name(name);
    q = test_create(name, SHMRING_PRODUCER | SHMRING_CONSUMER, CAPACITY);
    cr_assert_eq(shmring_send(q, "hello", 6), 0);
    shmring_close(&q);
}

Test(in_place, failure_leaves_nothing)
{
    struct shmring_config config = config_with(SHMRING_PRODUCER);
    const struct rlimit limit = {CAPACITY, RLIM_INFINITY};
    struct site site;
    shmring_t *q;

    forget_tmpfile();
    make_site(&site);
    const struct holdings before = test_holdings();
    config.capacity = UINT64_C(1) << 46;
    assert_refused(shmring_create(&q, site.name, &config), ENOSPC, "available");
    cr_assert_eq(test_count_files(site.directory), 0);
    config.flags |= SHMRING_HUGE_PAGES;
    assert_refused(shmring_create(&q, site.name, &config), EOPNOTSUPP, "hugetlbfs");
    cr_assert_eq(test_count_files(site.directory), 0);
    config = config_with(SHMRING_PRODUCER);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_refused(shmring_create(&q, site.name, &config), EFBIG, "RLIMIT_FSIZE");
    cr_assert_eq(test_count_files(site.directory), 0);
    assert_holds_no_more_than(&before, 1 << 20);
}

/* ---- Creators that have not finished --------------------------------------------------------- */

struct creation {
    struct site *site;
    int started;
};

/* In a child: come half-way, say so, and stay there. */
static int create_half(void *argument)
{
    const struct creation *creation = argument;

    child_assert(shmr_file_create_in_place(&creation->site->parsed) >= 0);
    test_tell(creation->started);
    pause();
    return 1;
}

static pid_t start_creation(struct site *site)
{
    struct creation creation = {.site = site};
    int ends[2];

    test_pipe(ends);
    creation.started = ends[1];
    pid_t pid = test_fork(create_half, &creation);
    test_hear(ends[0]);
    close(ends[0]);
    close(ends[1]);
    return pid;
}

Test(in_place, unfinished_queue)
{
    const struct shmring_config config = config_with(SHMRING_PRODUCER);
    const struct shmring_config either = config_with(SHMRING_PRODUCER | SHMRING_OPEN_OR_CREATE);
    const struct timespec none = {0};
    struct site site;
    shmring_t *q;

    forget_tmpfile();
    make_site(&site);
    pid_t creator = start_creation(&site);
    cr_assert_eq(mode_at(site.path), S_IFREG | SHMR_UNFINISHED | 0600);
    cr_assert_eq(shmring_open(&q, site.name, SHMRING_OBSERVER), -EAGAIN);
    cr_assert_eq(shmring_open(&q, site.name, SHMRING_CONSUMER), -EAGAIN);
    assert_refused(shmring_open_wait(&q, site.name, SHMRING_CONSUMER, &none), ETIMEDOUT, "time");
    assert_refused(shmring_create(&q, site.name, &config), EEXIST, "exists");
    cr_assert_eq(shmring_create(&q, site.name, &either), -EAGAIN);
    cr_assert_eq(mode_at(site.path), S_IFREG | SHMR_UNFINISHED | 0600, "somebody touched it");
    test_kill(creator);
}

Test(in_place, creator_died)
{
    static const uint32_t options[] = {0, SHMRING_OPEN_OR_CREATE};
    struct site site;
    shmring_t *q;

    forget_tmpfile();
    make_site(&site);
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        const struct shmring_config config = config_with(SHMRING_PRODUCER | options[i]);
        test_kill(start_creation(&site));
        cr_assert_eq(test_count_files(site.directory), 1);
        cr_assert_eq(shmring_open(&q, site.name, SHMRING_CONSUMER), -EAGAIN);
        cr_assert_eq(shmring_create(&q, site.name, &config), 0, "%s", shmring_strerror_detail());
        cr_assert_eq(test_count_files(site.directory), 1);
        cr_assert_eq(mode_at(site.path), S_IFREG | 0600);
        shmring_close(&q);
        cr_assert_eq(shmring_unlink(site.name), 0);
    }
}

Test(in_place, leftover_where_there_is_tmpfile_again)
{
    struct site site;
    shmring_t *q;

    make_site(&site);
    test_kill(start_creation(&site));
    q = test_create(site.name, SHMRING_PRODUCER, CAPACITY);
    cr_assert_eq(mode_at(site.path), S_IFREG | 0600);
    shmring_close(&q);
}

Test(in_place, leftover_can_be_unlinked)
{
    struct site site;

    forget_tmpfile();
    make_site(&site);
    test_kill(start_creation(&site));
    cr_assert_eq(shmring_unlink(site.name), 0, "%s", shmring_strerror_detail());
    cr_assert_eq(test_count_files(site.directory), 0);
}

Test(in_place, what_is_no_leftover_stays)
{
    const struct shmring_config config = config_with(SHMRING_PRODUCER);
    struct site site;
    shmring_t *q;

    forget_tmpfile();
    make_site(&site);
    cr_assert_eq(mkdir(site.path, 01777), 0);
    cr_assert_eq(chmod(site.path, 01777), 0);
    assert_refused(shmring_create(&q, site.name, &config), EEXIST, "exists");
    cr_assert_eq(rmdir(site.path), 0);
    cr_assert_eq(symlink("nowhere", site.path), 0);
    assert_refused(shmring_create(&q, site.name, &config), EEXIST, "exists");
    cr_assert_eq(unlink(site.path), 0);
    cr_assert_eq(mkfifo(site.path, 01600), 0);
    cr_assert_eq(chmod(site.path, 01600), 0);
    assert_refused(shmring_create(&q, site.name, &config), EEXIST, "exists");
    cr_assert_eq(test_count_files(site.directory), 1);
}

static int wait_for_it(void *argument)
{
    const struct creation *creation = argument;
    shmring_t *q;

    test_tell(creation->started);
    child_assert(shmring_open_wait(&q, creation->site->name, SHMRING_CONSUMER, NULL) == 0);
    shmring_close(&q);
    return 0;
}

/* The name is there before the queue is: whoever waits sees it when it is finished. */
Test(in_place, open_wait)
{
    struct creation creation;
    struct site site;
    shmring_t *q;
    int ends[2];

    forget_tmpfile();
    make_site(&site);
    creation.site = &site;
    test_pipe(ends);
    creation.started = ends[1];
    for (int i = 0; i < 20; i++) {
        pid_t unfinished = i % 2 ? start_creation(&site) : 0;
        pid_t waiting = test_fork(wait_for_it, &creation);
        test_hear(ends[0]);
        if (unfinished)
            test_kill(unfinished);
        q = test_create(site.name, SHMRING_PRODUCER, CAPACITY);
        cr_assert_eq(test_wait(waiting), 0);
        shmring_close(&q);
        cr_assert_eq(shmring_unlink(site.name), 0);
    }
}

/* ---- Races ----------------------------------------------------------------------------------- */

struct race {
    struct site *site;
    struct shmring_config config;
    struct gate gate;
};

static int race_to_create(void *argument)
{
    const struct race *race = argument;
    shmring_t *q;

    gate_wait(&race->gate);
    const int r = shmring_create(&q, race->site->name, &race->config);
    shmring_close(&q);
    return -r;
}

/* All start at once; how[e] counts those that ended with -e. */
static void run_race(struct site *site, uint32_t flags, int how[256])
{
    struct race race = {.site = site, .config = config_with(flags)};
    pid_t pids[CREATORS];

    memset(how, 0, 256 * sizeof how[0]);
    gate_init(&race.gate);
    for (int i = 0; i < CREATORS; i++)
        pids[i] = test_fork(race_to_create, &race);
    gate_open(&race.gate, CREATORS);
    for (int i = 0; i < CREATORS; i++)
        how[test_wait(pids[i]) & 255]++;
}

Test(in_place, one_creator_wins)
{
    struct site site;
    int how[256];

    forget_tmpfile();
    make_site(&site);
    for (int round = 0; round < 20; round++) {
        if (round % 2) /* over what a crashed one left */
            test_kill(start_creation(&site));
        run_race(&site, 0, how);
        cr_assert_eq(how[0], 1, "%d creators", how[0]);
        cr_assert_eq(how[EEXIST], CREATORS - 1);
        cr_assert_eq(mode_at(site.path), S_IFREG | 0600);
        cr_assert_eq(shmring_unlink(site.name), 0);
        cr_assert_eq(test_count_files(site.directory), 0);
    }
}

Test(in_place, open_or_create)
{
    struct site site;
    int how[256];

    forget_tmpfile();
    make_site(&site);
    for (int round = 0; round < 20; round++) {
        if (round % 2)
            test_kill(start_creation(&site));
        run_race(&site, SHMRING_OPEN_OR_CREATE, how);
        cr_assert_geq(how[0], 1);
        cr_assert_eq(how[0] + how[EAGAIN], CREATORS, "%d opened, %d -EAGAIN", how[0], how[EAGAIN]);
        cr_assert_eq(mode_at(site.path), S_IFREG | 0600);
        cr_assert_eq(shmring_unlink(site.name), 0);
        cr_assert_eq(test_count_files(site.directory), 0);
    }
}

/* In a child: create and remove the queue until somebody puts an end to it. */
static int create_and_remove(void *argument)
{
    const struct race *race = argument;
    shmring_t *q;

    gate_wait(&race->gate);
    while (shmring_create(&q, race->site->name, &race->config) == 0) {
        shmring_close(&q);
        child_assert(shmring_unlink(race->site->name) == 0);
    }
    return 1;
}

Test(in_place, creator_killed_at_any_moment, .timeout = 300)
{
    struct site site;
    shmring_t *q;
    int unfinished = 0;

    forget_tmpfile();
    make_site(&site);
    struct race race = {.site = &site, .config = config_with(SHMRING_PRODUCER)};
    /* Until one was killed half-way, on whatever machine. */
    for (int round = 0; round < 200 || unfinished == 0; round++) {
        gate_init(&race.gate);
        pid_t pid = test_fork(create_and_remove, &race);
        gate_open(&race.gate, 1);
        usleep((useconds_t)(rand() % (500 + 10 * round)));
        test_kill(pid);
        int r = shmring_open(&q, site.name, SHMRING_PRODUCER);
        cr_assert(r == 0 || r == -ENOENT || r == -EAGAIN, "%d: %s", r, shmring_strerror_detail());
        unfinished += r == -EAGAIN;
        if (r < 0)
            q = test_create(site.name, SHMRING_PRODUCER, CAPACITY);
        cr_assert_eq(shmring_send(q, "hello", 6), 0);
        shmring_close(&q);
        cr_assert_eq(test_count_files(site.directory), 1);
        cr_assert_eq(shmring_unlink(site.name), 0);
    }
}
