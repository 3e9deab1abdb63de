/* SPDX-License-Identifier: MIT */
/* Creation on file systems without O_TMPFILE. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "in_place.h"
#include "support.h"

enum { CAPACITY = 65536 };

static mode_t mode_at(const char *path)
{
    struct stat st;

    cr_assert_eq(stat(path, &st), 0, "%s: %s", path, strerror(errno));
    return st.st_mode;
}

static uint64_t magic_at(const char *path)
{
    uint64_t magic = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    cr_assert_eq(pread(fd, &magic, sizeof magic, 0), (ssize_t)sizeof magic);
    close(fd);
    return magic;
}

static struct shmring_config config_with(uint32_t flags)
{
    return (struct shmring_config){.kind = SHMRING_SPSC, .flags = flags, .capacity = CAPACITY};
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

/* No process can take the creator's roles before the creator does: the file's magic says that it is
 * finished only after the creator has opened the description that holds its locks. */
Test(in_place, is_finished_last)
{
    _Alignas(struct inotify_event) char events[4096];
    struct site site;
    shmring_t *q;
    int watch = inotify_init1(IN_CLOEXEC);
    uint32_t last[2] = {0};

    forget_tmpfile();
    make_site(&site);
    cr_assert_gt(inotify_add_watch(watch, site.directory, IN_OPEN | IN_MODIFY), 0);
    q = test_create(site.name, SHMRING_PRODUCER, CAPACITY);
    const ssize_t n = read(watch, events, sizeof events);
    for (ssize_t at = 0; at < n;) {
        const struct inotify_event *event = (const void *)(events + at);
        last[0] = last[1];
        last[1] = event->mask;
        at += (ssize_t)(sizeof *event + event->len);
    }
    cr_assert_eq(last[0], IN_OPEN);
    cr_assert_eq(last[1], IN_MODIFY);
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

/* ---- Creators that were killed before they had finished -------------------------------------- */

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
    cr_assert_eq(magic_at(site.path), SHMR_UNFINISHED);
    cr_assert_eq(shmring_open(&q, site.name, SHMRING_OBSERVER), -EAGAIN);
    cr_assert_eq(shmring_open(&q, site.name, SHMRING_CONSUMER), -EAGAIN);
    assert_refused(shmring_open_wait(&q, site.name, SHMRING_CONSUMER, &none), ETIMEDOUT, "time");
    assert_refused(shmring_create(&q, site.name, &config), EEXIST, "exists");
    cr_assert_eq(shmring_create(&q, site.name, &either), -EAGAIN);
    cr_assert_eq(magic_at(site.path), SHMR_UNFINISHED, "another process has changed it");
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

struct waiting {
    const struct site *site;
    int started;
};

static int wait_for_it(void *argument)
{
    const struct waiting *waiting = argument;
    shmring_t *q;

    test_tell(waiting->started);
    child_assert(shmring_open_wait(&q, waiting->site->name, SHMRING_CONSUMER, NULL) == 0);
    shmring_close(&q);
    return 0;
}

/* A creator that died before it wrote anything leaves an empty file. */
Test(in_place, creator_died_at_once)
{
    const struct shmring_config config = config_with(SHMRING_PRODUCER);
    struct site site;
    shmring_t *q;

    make_site(&site);
    cr_assert_eq(mknod(site.path, S_IFREG | 0600, 0), 0);
    /* With O_TMPFILE no creator leaves an empty file, so the file is something else. */
    assert_refused(shmring_create(&q, site.name, &config), EEXIST, "is empty");
    assert_refused(shmring_open(&q, site.name, SHMRING_CONSUMER), EAGAIN, "is empty");
    assert_refused(shmring_unlink(site.name), EBADMSG, "left alone");
    forget_tmpfile();
    cr_assert_eq(shmring_create(&q, site.name, &config), 0, "%s", shmring_strerror_detail());
    shmring_close(&q);
    cr_assert_eq(test_count_files(site.directory), 1);
}

/* The name appears before the queue is finished: a process that waits for the queue gets it only
 * when it is. */
Test(in_place, open_wait)
{
    struct waiting waiting = {0};
    struct site site;
    shmring_t *q;
    int ends[2];

    forget_tmpfile();
    make_site(&site);
    waiting.site = &site;
    test_pipe(ends);
    waiting.started = ends[1];
    for (int i = 0; i < 20; i++) {
        pid_t unfinished = i % 2 ? start_creation(&site) : 0;
        pid_t waiter = test_fork(wait_for_it, &waiting);
        test_hear(ends[0]);
        if (unfinished)
            test_kill(unfinished);
        q = test_create(site.name, SHMRING_PRODUCER, CAPACITY);
        cr_assert_eq(test_wait(waiter), 0);
        shmring_close(&q);
        cr_assert_eq(shmring_unlink(site.name), 0);
    }
}
