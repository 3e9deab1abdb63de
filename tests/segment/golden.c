/* SPDX-License-Identifier: MIT */
/*
 * Segments that an earlier build left, in tests/prove/abi/golden: the test opens them and receives
 * all messages. Every later build of the same layout must understand what this version wrote.
 *
 * In a segment of each kind, messages 0 to 7 were sent, a consumer received 0 and 1, and another
 * one took 2 and 3 and was then killed with a reservation open.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "numbered.h"
#include "support.h"

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

/* Make a segment of the file's lines: each has an offset and 16 bytes; the last has the length. */
static void write_segment(const char *golden, const char *path)
{
    const char *srcdir = getenv("srcdir");
    char from[4096], line[128];
    unsigned at = 0;
    int n, fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    snprintf(from, sizeof from, "%s/tests/prove/abi/golden/%s", srcdir ? srcdir : ".", golden);
    FILE *f = fopen(from, "re");
    cr_assert(f && fd >= 0, "%s cannot be read: srcdir should say where the sources are", from);
    while (fgets(line, sizeof line, f) && sscanf(line, "%x%n", &at, &n) == 1) {
        uint8_t bytes[16];
        const char *text = line + n;
        if (strcmp(text, " end\n") == 0)
            break;
        for (int i = 0; i < 16; i++, text += 3)
            cr_assert_eq(sscanf(text, " %hhx", &bytes[i]), 1, "%s", line);
        cr_assert_eq(pwrite(fd, bytes, sizeof bytes, (off_t)at), 16);
    }
    cr_assert_eq(ftruncate(fd, (off_t)at), 0);
    fclose(f);
    close(fd);
}

static void expect(shmring_t *q, uint32_t number, bool again)
{
    char text[NUMBERED_LONGEST];
    const size_t length = numbered(text, number);
    struct shmring_info info;
    const void *message;

    ssize_t r = shmring_peek(q, &message, &info);
    cr_assert_eq(r, (ssize_t)length, "message %u: %zd (%s)", number, r, shmring_strerror_detail());
    cr_assert_eq(memcmp(message, text, length), 0, "message %u", number);
    cr_assert_eq(info.flags, again ? SHMRING_REDELIVERED : 0U, "message %u", number);
    cr_assert_eq(info.deliveries, again ? 2 : 1);
    cr_assert_eq(shmring_release(q, message), 0);
}

/* A build with another byte order or page size must refuse them: that is all it can test. */
static shmring_t *open_golden(const char *golden, char name[2 * TEST_NAME_SIZE])
{
    char directory[TEST_NAME_SIZE];
    shmring_t *q;

    test_directory(directory);
    snprintf(name, 2 * TEST_NAME_SIZE, "file:%s/golden", directory);
    write_segment(golden, name + strlen("file:"));
    int r = shmring_open(&q, name, SHMRING_OBSERVER);
    if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ || sysconf(_SC_PAGESIZE) != 4096)
        cr_assert_eq(r, -EPROTONOSUPPORT);
    else
        cr_assert_eq(r, 0, "%s", shmring_strerror_detail());
    return q;
}

static void check_counters(shmring_t *q, uint64_t depth)
{
    struct shmring_stat st;

    cr_assert_eq(shmring_stat(q, &st), 0);
    cr_assert_eq(st.sent, 8);
    cr_assert_eq(st.received, 2);
    cr_assert_eq(st.depth, depth);
    cr_assert_eq(st.participants, 0);
    cr_assert_str_eq(st.creator_comm, "peer");
    cr_assert_eq(st.max_message, NUMBERED_LONGEST);
}

Test(golden, spsc)
{
    char name[2 * TEST_NAME_SIZE];
    shmring_t *q = open_golden("spsc", name);

    if (!q)
        return;
    check_counters(q, 6);
    shmring_close(&q);
    cr_assert_eq(shmring_open(&q, name, BOTH), 0, "%s", shmring_strerror_detail());
    expect(q, 2, true);
    expect(q, 3, true);
    for (uint32_t n = 4; n < 8; n++)
        expect(q, n, false);
    cr_assert_eq(shmring_send(q, "more", 5), 0);
    cr_assert_eq(shmring_recv(q, name, sizeof name), 5);
    cr_assert_eq(shmring_recv(q, name, sizeof name), -EAGAIN);
    shmring_close(&q);
}

Test(golden, mpmc)
{
    char name[2 * TEST_NAME_SIZE];
    shmring_t *q = open_golden("mpmc", name);

    if (!q)
        return;
    check_counters(q, 4);
    shmring_close(&q);
    cr_assert_eq(shmring_open(&q, name, BOTH), 0, "%s", shmring_strerror_detail());
    for (uint32_t n = 4; n < 8; n++)
        expect(q, n, false);
    expect(q, 2, true);
    expect(q, 3, true);
    for (int i = 0; i < 16; i++) /* no block was lost */
        cr_assert_eq(shmring_send(q, "more", 5), 0);
    cr_assert_eq(shmring_send(q, "more", 5), -EAGAIN);
    shmring_close(&q);
}

Test(golden, broadcast)
{
    char name[2 * TEST_NAME_SIZE];
    shmring_t *q = open_golden("broadcast", name);

    if (!q)
        return;
    check_counters(q, 0); /* the consumer was not reliable */
    shmring_close(&q);
    cr_assert_eq(shmring_open(&q, name, BOTH | SHMRING_FROM_OLDEST), 0, "%s",
                 shmring_strerror_detail());
    for (uint32_t n = 0; n < 8; n++)
        expect(q, n, false);
    cr_assert_eq(shmring_send(q, "more", 5), 0);
    cr_assert_eq(shmring_recv(q, name, sizeof name), 5);
    cr_assert_eq(shmring_recv(q, name, sizeof name), -EAGAIN);
    shmring_close(&q);
}
