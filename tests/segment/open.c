/* SPDX-License-Identifier: MIT */
/* Opening a queue that exists: with the same or other parameters, by descriptor, after its name has
 * gone. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

enum { CAPACITY = 65536 };

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

static struct shmring_config config_with(uint32_t flags)
{
    return (struct shmring_config){.kind = SHMRING_SPSC, .flags = flags, .capacity = CAPACITY};
}

/* ---- The same or another queue --------------------------------------------------------------- */

Test(open, create_is_exclusive)
{
    const struct shmring_config config = config_with(BOTH);
    char name[TEST_NAME_SIZE];
    shmring_t *q, *other;

    test_name(name);
    q = test_create(name, SHMRING_PRODUCER, CAPACITY);
    assert_refused(shmring_create(&other, name, &config), EEXIST, name);
    cr_assert_null(other);
    shmring_close(&q);
    assert_refused(shmring_create(&other, name, &config), EEXIST, name);
}

Test(open, open_or_create_with_other_parameters)
{
    char name[TEST_NAME_SIZE];
    struct shmring_stat before, after;
    struct shmring_config config;
    shmring_t *q, *other;

    test_name(name);
    q = test_create(name, BOTH, CAPACITY);
    cr_assert_eq(shmring_stat(q, &before), 0);
    /* The roles are taken, too: but the error must not be -EBUSY, because waiting would not
     * help. */
    config = config_with(BOTH | SHMRING_OPEN_OR_CREATE);
    config.capacity = 2 * CAPACITY;
    assert_refused(shmring_create(&other, name, &config), EEXIST, "capacity 65536, not 131072");
    config = config_with(BOTH | SHMRING_OPEN_OR_CREATE);
    config.max_message = 100;
    assert_refused(shmring_create(&other, name, &config), EEXIST, "max_message 65520, not 100");
    config = config_with(BOTH | SHMRING_OPEN_OR_CREATE);
    config.mode = 0660;
    assert_refused(shmring_create(&other, name, &config), EEXIST, "mode 0600, not 0660");
    config = config_with(SHMRING_OPEN_OR_CREATE | SHMRING_HUGE_PAGES);
    config.capacity = 2 << 20;
    assert_refused(shmring_create(&other, name, &config), EEXIST, "not 2097152");
    config = config_with(SHMRING_PRODUCER | SHMRING_OPEN_OR_CREATE);
    assert_refused(shmring_create(&other, name, &config), EBUSY, "producer");
    cr_assert_null(other);
    config = config_with(SHMRING_OPEN_OR_CREATE);
    cr_assert_eq(shmring_create(&other, name, &config), 0, "%s", shmring_strerror_detail());
    shmring_close(&other);
    cr_assert_eq(shmring_stat(q, &after), 0);
    cr_assert_eq(memcmp(&before, &after, sizeof before), 0, "the queue was disturbed");
    shmring_close(&q);
}

Test(open, open_or_create_takes_no_role_before_it_refuses)
{
    char name[TEST_NAME_SIZE];
    struct shmring_participant rows[2];
    struct shmring_config config = config_with(BOTH | SHMRING_OPEN_OR_CREATE);
    shmring_t *q, *other;

    test_name(name);
    q = test_create(name, 0, CAPACITY);
    config.capacity = 4096;
    assert_refused(shmring_create(&other, name, &config), EEXIST, "capacity");
    cr_assert_eq(shmring_open(&other, name, BOTH), 0);
    cr_assert_eq(shmring_participants(q, rows, 2), 2);
    cr_assert_eq(rows[0].generation, 1);
    cr_assert_eq(rows[1].generation, 1);
    shmring_close(&other);
    shmring_close(&q);
}

/* ---- Names that are removed or moved --------------------------------------------------------- */

Test(open, removed_queue_is_stale)
{
    char name[TEST_NAME_SIZE], buffer[8];
    struct shmring_stat stat;
    shmring_t *q, *other;

    test_name(name);
    q = test_create(name, BOTH, CAPACITY);
    cr_assert_eq(shmring_check(q), 0);
    cr_assert_eq(shmring_stat(q, &stat), 0);
    cr_assert_eq(stat.flags & SHMRING_STALE, 0);
    cr_assert_eq(shmring_send(q, "hello", 6), 0);
    cr_assert_eq(shmring_unlink(name), 0);
    assert_refused(shmring_unlink(name), ENOENT, name);
    assert_refused(shmring_open(&other, name, SHMRING_OBSERVER), ENOENT, name);
    assert_refused(shmring_check(q), ESTALE, "removed");
    cr_assert_eq(shmring_stat(q, &stat), 0);
    cr_assert_eq(stat.flags & SHMRING_STALE, (uint32_t)SHMRING_STALE);
    /* The messages can still be received, and shmring_dup() still works. */
    cr_assert_eq(shmring_dup(&other, q, SHMRING_OBSERVER), 0, "%s", shmring_strerror_detail());
    assert_refused(shmring_check(other), ESTALE, "removed");
    shmring_close(&other);
    cr_assert_eq(shmring_recv(q, buffer, sizeof buffer), 6);
    shmring_close(&q);
}

Test(open, replaced_queue_is_stale)
{
    char directory[TEST_NAME_SIZE], name[TEST_NAME_SIZE + 16], aside[TEST_NAME_SIZE + 16];
    shmring_t *old, *copy, *new;

    test_directory(directory);
    snprintf(name, sizeof name, "file:%s/queue", directory);
    snprintf(aside, sizeof aside, "%s/aside", directory);
    old = test_create(name, SHMRING_PRODUCER, CAPACITY);
    cr_assert_eq(shmring_dup(&copy, old, SHMRING_OBSERVER), 0);
    cr_assert_eq(rename(name + 5, aside), 0); /* the file is still there */
    new = test_create(name, SHMRING_PRODUCER, CAPACITY);
    cr_assert_eq(shmring_check(new), 0);
    assert_refused(shmring_check(old), ESTALE, "another");
    assert_refused(shmring_check(copy), ESTALE, "another");
    cr_assert_eq(unlink(aside), 0);
    assert_refused(shmring_check(old), ESTALE, "removed");
    shmring_close(&old);
    shmring_close(&copy);
    shmring_close(&new);
}

/* A sender or receiver that only polls notices it, after at most 65,536 calls. */
Test(open, polling_finds_a_stale_queue)
{
    char name[TEST_NAME_SIZE], buffer[2048] = "";
    shmring_t *q;
    int r, calls = 0;

    test_name(name);
    q = test_create(name, BOTH, 4096);
    for (int i = 0; i < 2 * 65536 + 2; i++)
        cr_assert_eq(shmring_recv(q, buffer, sizeof buffer), -EAGAIN);
    cr_assert_eq(shmring_unlink(name), 0);
    while ((r = (int)shmring_recv(q, buffer, sizeof buffer)) == -EAGAIN)
        cr_assert_leq(++calls, 65536);
    assert_refused(r, ESTALE, "");
    while ((r = shmring_send(q, buffer, sizeof buffer)) == 0)
        continue;
    for (calls = 0; r == -EAGAIN; r = shmring_send(q, buffer, sizeof buffer))
        cr_assert_leq(++calls, 65536);
    cr_assert_eq(r, -ESTALE);
    cr_assert_eq(shmring_recv(q, buffer, sizeof buffer), (ssize_t)sizeof buffer);
    shmring_close(&q);
}

Test(open, memfd_has_no_name_to_lose)
{
    struct shmring_stat stat;
    shmring_t *q, *other;

    q = test_create("memfd:orders", SHMRING_PRODUCER, CAPACITY);
    cr_assert_eq(shmring_check(q), 0);
    cr_assert_eq(shmring_stat(q, &stat), 0);
    cr_assert_eq(stat.flags & SHMRING_STALE, 0);
    cr_assert_eq(shmring_open_fd(&other, shmring_segment_fd(q), SHMRING_CONSUMER), 0);
    shmring_close(&q);
    cr_assert_eq(shmring_check(other), 0);
    shmring_close(&other);
}

/* ---- Descriptors ----------------------------------------------------------------------------- */

Test(open, descriptor_stays_the_callers)
{
    shmring_t *q, *other;
    char buffer[8];

    q = test_create("memfd:orders", SHMRING_PRODUCER, CAPACITY);
    const int fd = dup(shmring_segment_fd(q));
    cr_assert_eq(shmring_open_fd(&other, fd, SHMRING_CONSUMER), 0);
    cr_assert_neq(shmring_segment_fd(other), fd);
    cr_assert_eq(close(fd), 0);
    cr_assert_eq(shmring_send(q, "hello", 6), 0);
    shmring_close(&q);
    cr_assert_eq(shmring_recv(other, buffer, sizeof buffer), 6);
    shmring_close(&other);
    cr_assert(close(fd) < 0 && errno == EBADF);
}

Test(open, any_segment_can_be_opened_by_descriptor)
{
    char name[TEST_NAME_SIZE], path[TEST_NAME_SIZE + 16];
    shmring_t *q, *other, *third;

    test_name(name);
    snprintf(path, sizeof path, "/dev/shm/%s", name);
    q = test_create(name, SHMRING_PRODUCER, CAPACITY);
    const int by_path = open(path, O_PATH | O_CLOEXEC);
    const int for_reading = open(path, O_RDONLY | O_CLOEXEC);
    const int fds[] = {shmring_segment_fd(q), by_path, for_reading};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        cr_assert_eq(shmring_open_fd(&other, fds[i], SHMRING_CONSUMER), 0, "%zu: %s", i,
                     shmring_strerror_detail());
        assert_refused(shmring_open_fd(&third, fds[i], SHMRING_PRODUCER), EBUSY, "producer");
        cr_assert_null(third);
        shmring_close(&other);
        cr_assert_eq(shmring_open_fd(&other, fds[i], SHMRING_CONSUMER), 0);
        shmring_close(&other);
    }
    close(by_path);
    close(for_reading);
    shmring_close(&q);
}

Test(open, descriptors_that_are_no_segment)
{
    char directory[TEST_NAME_SIZE];
    shmring_t *q;
    int ends[2], sockets[2];

    test_directory(directory);
    test_pipe(ends);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    const int fds[] = {
        ends[0],
        ends[1],
        sockets[0],
        eventfd(0, EFD_CLOEXEC),
        open(directory, O_RDONLY | O_CLOEXEC),
        open(directory, O_PATH | O_CLOEXEC),
        open("/dev/null", O_RDWR | O_CLOEXEC),
        open("/dev/zero", O_PATH | O_CLOEXEC),
        open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600),
    };
    const struct holdings before = test_holdings();
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        cr_assert_geq(fds[i], 0, "%zu", i);
        const int r = shmring_open_fd(&q, fds[i], SHMRING_OBSERVER);
        cr_assert(r == -EBADMSG || r == -EISDIR, "%zu: %d %s", i, r, shmring_strerror_detail());
        cr_assert_null(q);
        const int s = shmring_open_fd(&q, fds[i], SHMRING_PRODUCER);
        cr_assert(s == -EBADMSG || s == -EISDIR, "%zu: %d %s", i, s, shmring_strerror_detail());
        cr_assert_null(q);
    }
    assert_holds_no_more_than(&before, 1 << 20);
    assert_refused(shmring_open_fd(&q, -1, SHMRING_OBSERVER), EBADF, "-1");
    assert_refused(shmring_open_fd(&q, AT_FDCWD, SHMRING_OBSERVER), EBADF, "-100");
    assert_refused(shmring_open_fd(&q, 12345, SHMRING_PRODUCER), EBADF, "12345");
    close(ends[0]);
    assert_refused(shmring_open_fd(&q, ends[0], SHMRING_OBSERVER), EBADF, "not open");
}
