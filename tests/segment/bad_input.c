/* SPDX-License-Identifier: MIT */
/*
 * Wrong arguments: each call returns the documented error with a detail, leaks nothing, and harms
 * no other participant.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "support.h"

/* CAPACITY is large, so that a leaked mapping is seen; TIMES is large, so that small leaks add up
 * beside what the allocator keeps. */
enum { CAPACITY = 1 << 20, TIMES = 20, LEEWAY = 8 << 20 };

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

static const struct shmring_config good = {.kind = SHMRING_SPSC, .capacity = CAPACITY};
static const struct timespec no_time = {0};

/* ---- Handles that are NULL, closed or corrupt ------------------------------------------------ */

static int pass_over(void *argument, const struct shmring_message *message)
{
    (void)argument;
    (void)message;
    return 0;
}

/* Every function that takes a handle. All other arguments are correct. */
static void check_every_call(shmring_t *q, int error, const char *words)
{
    struct iovec message = {.iov_base = &message, .iov_len = 1};
    struct shmring_participant row;
    struct shmring_stat stat;
    const void *peeked;
    void *reserved;
    char byte = 0;

    cr_assert_eq(shmring_stat(q, &stat), error);
    cr_assert_not_null(strstr(shmring_strerror_detail(), words));
    cr_assert_eq(shmring_participants(q, &row, 1), error);
    cr_assert_eq(shmring_check(q), error);
    cr_assert_eq(shmring_segment_fd(q), error);
    cr_assert_eq(shmring_recover(q, NULL), error);
    cr_assert_eq(shmring_dump(q, pass_over, NULL), error);
    cr_assert_eq(shmring_send(q, &byte, 1), error);
    cr_assert_eq(shmring_send_batch(q, &message, 1), error);
    cr_assert_eq(shmring_reserve(q, 1, &reserved), error);
    cr_assert_eq(shmring_commit(q, &byte, 1), error);
    cr_assert_eq(shmring_cancel(q, &byte), error);
    cr_assert_eq(shmring_recv(q, &byte, 1), error);
    cr_assert_eq(shmring_recv_batch(q, &message, 1), error);
    cr_assert_eq(shmring_peek(q, &peeked, NULL), error);
    cr_assert_eq(shmring_release(q, &byte), error);
    cr_assert_not_null(strstr(shmring_strerror_detail(), words));
}

Test(bad_input, closed_handle)
{
    shmring_t *q = test_create("memfd:orders", BOTH, CAPACITY), *other;

    shmring_close(&q);
    cr_assert_null(q);
    check_every_call(q, -EBADF, "NULL");
    assert_refused(shmring_dup(&other, q, SHMRING_OBSERVER), EBADF, "NULL");
    cr_assert_null(other);
    shmring_close(&q);
    shmring_close(NULL);
}

Test(bad_input, no_place_for_the_handle)
{
    char name[TEST_NAME_SIZE];
    shmring_t *q;

    test_name(name);
    q = test_create(name, 0, CAPACITY);
    const struct holdings before = test_holdings();
    for (int i = 0; i < TIMES; i++) {
        assert_refused(shmring_create(NULL, name, &good), EINVAL, "NULL");
        assert_refused(shmring_open(NULL, name, BOTH), EINVAL, "NULL");
        assert_refused(shmring_open_wait(NULL, name, BOTH, NULL), EINVAL, "NULL");
        assert_refused(shmring_open_fd(NULL, shmring_segment_fd(q), BOTH), EINVAL, "NULL");
        assert_refused(shmring_dup(NULL, q, BOTH), EINVAL, "NULL");
        assert_refused(shmring_stat(q, NULL), EINVAL, "NULL");
        assert_refused(shmring_dump(q, NULL, NULL), EINVAL, "");
    }
    assert_holds_no_more_than(&before, LEEWAY);
    shmring_close(&q);
}

/* ---- Parameters ------------------------------------------------------------------------------ */

/* The call is refused, and sets q, the handle, to NULL. */
#define assert_no_handle(Call, Error, Words)                                                       \
    do {                                                                                           \
        q = (shmring_t *)&q; /* so that the test sees whether the call clears it */                \
        assert_refused(Call, Error, Words);                                                        \
        cr_assert_null(q, "%s leaves a handle", #Call);                                            \
    } while (0)

Test(bad_input, names)
{
    static char longest[SHMRING_NAME_MAX + 2], longest_path[SHMRING_PATH_MAX + 8];
    static const struct {
        const char *name;
        int error;
        const char *words;
    } names[] = {
        {NULL, EINVAL, "NULL"},
        {"", EINVAL, "empty"},
        {"/orders", EINVAL, "slash"},
        {"or/ders", EINVAL, "slash"},
        {".orders", EINVAL, "starts with '.'"},
        {"-orders", EINVAL, "starts with '-'"},
        {"or ders", EINVAL, "0x20 at 2"},
        {"ord\xc3\xa9s", EINVAL, "0xc3 at 3"},
        {"orders\n", EINVAL, "0x0a at 6"},
        {"shm:orders", EINVAL, "0x3a at 3"},
        {"file:", EINVAL, "empty"},
        {"file:/tmp/", EINVAL, "slash"},
        {"memfd:", EINVAL, "empty"},
        {"memfd:a/b", EINVAL, "slash"},
        {longest, ENAMETOOLONG, "201 bytes: at most 200"},
        {longest_path, ENAMETOOLONG, "251 bytes: at most 250"},
    };
    shmring_t *q;

    memset(longest, 'a', SHMRING_NAME_MAX + 1);
    memset(longest_path, 'a', SHMRING_PATH_MAX + 6);
    memcpy(longest_path, "file:/", 6);
    const struct holdings before = test_holdings();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *name = names[i].name, *words = names[i].words;
        const int error = names[i].error;

        assert_no_handle(shmring_create(&q, name, &good), error, words);
        assert_no_handle(shmring_open(&q, name, SHMRING_OBSERVER), error, words);
        assert_no_handle(shmring_open_wait(&q, name, SHMRING_OBSERVER, NULL), error, words);
        assert_refused(shmring_unlink(name), error, words);
    }
    assert_holds_no_more_than(&before, LEEWAY);
}

Test(bad_input, memfd_has_no_name)
{
    shmring_t *q;

    assert_no_handle(shmring_open(&q, "memfd:orders", BOTH), EINVAL, "shmring_open_fd");
    assert_no_handle(shmring_open_wait(&q, "memfd:orders", BOTH, NULL), EINVAL, "shmring_open_fd");
    assert_refused(shmring_unlink("memfd:orders"), EINVAL, "no name");
}

Test(bad_input, configurations)
{
    static const struct {
        struct shmring_config config;
        int error;
        const char *words;
    } rules[] = {
        {{.kind = 0, .capacity = CAPACITY}, EINVAL, "kind 0"},
        {{.kind = 4, .capacity = CAPACITY}, EINVAL, "kind 4"},
        {{.kind = SHMRING_SPSC}, EINVAL, "capacity is 0"},
        {{.kind = SHMRING_SPSC, .capacity = 1}, EINVAL, "less than 4096 bytes"},
        {{.kind = SHMRING_SPSC, .capacity = 2048}, EINVAL, "less than 4096 bytes"},
        {{.kind = SHMRING_SPSC, .capacity = 4097}, EINVAL, "the next is 8192"},
        {{.kind = SHMRING_SPSC, .capacity = 3 << 20}, EINVAL, "the next is 4194304"},
        {{.kind = SHMRING_SPSC, .capacity = UINT64_MAX}, EFBIG, "at most"},
        {{.kind = SHMRING_SPSC, .capacity = UINT64_C(1) << 63}, EFBIG, "at most"},
        {{.kind = SHMRING_SPSC, .capacity = UINT64_C(1) << 46}, ENOSPC, "needs 70368744194048"},
        {{.kind = SHMRING_SPSC, .capacity = CAPACITY, .max_message = CAPACITY - 15},
         EINVAL,
         "at most 1048560"},
        {{.kind = SHMRING_SPSC, .capacity = CAPACITY, .max_message = UINT32_MAX},
         EINVAL,
         "max_message"},
        {{.kind = SHMRING_SPSC, .capacity = CAPACITY, .mode = 01000}, EINVAL, "mode 01000"},
        {{.kind = SHMRING_SPSC, .capacity = CAPACITY, .mode = 0100600}, EINVAL, "mode 0100600"},
        {{.kind = SHMRING_SPSC, .capacity = CAPACITY, .flags = 0x8}, EINVAL, "0x8"},
        {{.kind = SHMRING_SPSC, .capacity = CAPACITY, .flags = 0x80000000}, EINVAL, "0x80000000"},
        {{.kind = SHMRING_SPSC, .capacity = CAPACITY, .flags = SHMRING_STALE}, EINVAL, "0x1000"},
        {{.kind = SHMRING_SPSC, .capacity = CAPACITY, .flags = BOTH | SHMRING_OBSERVER},
         EINVAL,
         "observer"},
        {{.kind = SHMRING_SPSC, .capacity = CAPACITY, .flags = SHMRING_HUGE_PAGES},
         EINVAL,
         "2097152"},
        {{.kind = SHMRING_SPSC, .capacity = CAPACITY, .flags = SHMRING_AT_MOST_ONCE},
         EINVAL,
         "SHMRING_AT_MOST_ONCE"},
        {{.kind = SHMRING_SPSC, .capacity = CAPACITY, .max_participants = 2},
         EINVAL,
         "max_participants 2"},
        {{.kind = SHMRING_MPMC, .max_message = 8}, EINVAL, "capacity is 0"},
        {{.kind = SHMRING_MPMC, .max_message = 8, .capacity = 1}, EINVAL, "less than 2 messages"},
        {{.kind = SHMRING_MPMC, .max_message = 8, .capacity = 3}, EINVAL, "the next is 4"},
        {{.kind = SHMRING_MPMC, .max_message = 8, .capacity = 1 << 25}, EFBIG, "at most 16777216"},
        {{.kind = SHMRING_MPMC, .max_message = 8, .capacity = UINT64_C(1) << 63},
         EFBIG,
         "at most 16777216"},
        {{.kind = SHMRING_MPMC, .capacity = 8}, EINVAL, "max_message 0"},
        {{.kind = SHMRING_MPMC, .max_message = UINT32_MAX, .capacity = 8}, EINVAL, "max_message"},
        {{.kind = SHMRING_MPMC, .max_message = 8, .capacity = 8, .max_participants = 1025},
         EINVAL,
         "max_participants 1025"},
        {{.kind = SHMRING_SPSC, .capacity = CAPACITY, .reserved = {1}}, EINVAL, "reserved[0]"},
        {{.kind = SHMRING_SPSC, .capacity = CAPACITY, .reserved = {0, 0, 0, 0, 7}},
         EINVAL,
         "reserved[4]"},
    };
    char posix[TEST_NAME_SIZE], directory[TEST_NAME_SIZE], file[TEST_NAME_SIZE + 16];
    const char *names[] = {posix, file, "memfd:orders"};
    shmring_t *q;

    test_name(posix);
    test_directory(directory);
    snprintf(file, sizeof file, "file:%s/queue", directory);
    const struct holdings before = test_holdings();
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        for (int n = 0; n < 3; n++) {
            struct shmring_config config = rules[i].config;
            assert_no_handle(shmring_create(&q, names[n], &config), rules[i].error, rules[i].words);
            config.flags |= SHMRING_OPEN_OR_CREATE;
            assert_no_handle(shmring_create(&q, names[n], &config), rules[i].error, rules[i].words);
        }
    assert_no_handle(shmring_create(&q, posix, NULL), EINVAL, "configuration");
    assert_holds_no_more_than(&before, LEEWAY);
    cr_assert_eq(test_count_files(directory), 0);
    assert_refused(shmring_unlink(posix), ENOENT, posix);
}

Test(bad_input, huge_pages_where_there_are_none)
{
    const struct shmring_config config = {
        .kind = SHMRING_SPSC, .capacity = 2 << 20, .flags = SHMRING_HUGE_PAGES};
    char name[TEST_NAME_SIZE];
    shmring_t *q;

    test_name(name);
    assert_no_handle(shmring_create(&q, name, &config), EOPNOTSUPP, "SHMRING_HUGE_PAGES");
    assert_refused(shmring_unlink(name), ENOENT, name);
}

Test(bad_input, flags)
{
    static const struct {
        unsigned flags;
        const char *words;
    } rules[] = {
        {0, "no role"},
        {SHMRING_PREFAULT, "no role"},
        {BOTH | SHMRING_OBSERVER, "observer"},
        {SHMRING_CONSUMER | SHMRING_OBSERVER, "observer"},
        {SHMRING_CONSUMER | SHMRING_OPEN_OR_CREATE, "0x12"},
        {SHMRING_CONSUMER | SHMRING_HUGE_PAGES, "0x22"},
        {SHMRING_CONSUMER | 0x8, "0xa"},
        {SHMRING_CONSUMER | 0x80000000, "0x80000002"},
        {UINT32_MAX, "0xffffffff"},
    };
    char name[TEST_NAME_SIZE];
    shmring_t *q, *there;

    test_name(name);
    there = test_create(name, 0, CAPACITY);
    const struct holdings before = test_holdings();
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        const unsigned flags = rules[i].flags;
        const char *words = rules[i].words;

        assert_no_handle(shmring_open(&q, name, flags), EINVAL, words);
        assert_no_handle(shmring_open_wait(&q, name, flags, NULL), EINVAL, words);
        assert_no_handle(shmring_open_wait(&q, "not-there", flags, NULL), EINVAL, words);
        assert_no_handle(shmring_open_fd(&q, shmring_segment_fd(there), flags), EINVAL, words);
        assert_no_handle(shmring_dup(&q, there, flags), EINVAL, words);
    }
    assert_holds_no_more_than(&before, LEEWAY);
    shmring_close(&there);
}

/* ---- Files at the queue's name that are no queue --------------------------------------------- */

/* Make a file at PATH that is no queue. */
static void make_directory(const char *path)
{
    cr_assert_eq(mkdir(path, 0700), 0);
}

static void make_fifo(const char *path)
{
    cr_assert_eq(mkfifo(path, 0600), 0);
}

static void make_symlink(const char *path)
{
    cr_assert_eq(symlink("/dev/shm", path), 0);
}

static void make_dangling_symlink(const char *path)
{
    cr_assert_eq(symlink("nowhere", path), 0);
}

static void make_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", path);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
}

static void make_device(const char *path)
{
    if (mknod(path, S_IFCHR | 0600, (dev_t)(1 << 8 | 3)) < 0) /* the device of /dev/null */
        make_fifo(path);                                      /* only root may make a device */
}

static void make_file(const char *path, const void *bytes, size_t n)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, bytes, n), (ssize_t)n);
    close(fd);
}

static void make_empty(const char *path)
{
    make_file(path, NULL, 0);
}

static void make_text(const char *path)
{
    make_file(path, "not a queue\n", 12);
}

static void make_zeroes(const char *path)
{
    static const char zeroes[8192];

    make_file(path, zeroes, sizeof zeroes);
}

/* A queue of which N bytes at OFFSET are overwritten, or which is cut off at OFFSET. */
static void damage_queue(const char *path, off_t offset, const void *bytes, size_t n)
{
    char name[TEST_NAME_SIZE + 32];
    shmring_t *q;

    snprintf(name, sizeof name, "file:%s", path);
    q = test_create(name, SHMRING_PRODUCER, CAPACITY);
    cr_assert_eq(shmring_send(q, "hello", 6), 0);
    shmring_close(&q);
    if (bytes) {
        const int fd = open(path, O_WRONLY | O_CLOEXEC);
        cr_assert_eq(pwrite(fd, bytes, n, offset), (ssize_t)n);
        close(fd);
    } else {
        cr_assert_eq(truncate(path, offset), 0);
    }
}

static void make_truncated_by_a_byte(const char *path)
{
    damage_queue(path, 4 * 4096 + CAPACITY - 1, NULL, 0);
}

static void make_truncated_to_its_header(const char *path)
{
    damage_queue(path, 512, NULL, 0);
}

static void make_truncated_in_its_header(const char *path)
{
    damage_queue(path, 511, NULL, 0);
}

static void make_of_later_version(const char *path)
{
    damage_queue(path, 8, "\x03", 1);
}

static void make_of_other_byte_order(const char *path)
{
    damage_queue(path, 0, "1GNIRMHS", 8);
}

static void make_bit_flipped(const char *path)
{
    damage_queue(path, 44, "\x01", 1); /* a byte of the capacity */
}

static const struct {
    void (*make)(const char *path);
    const char *words;
    int open;   /* what opening returns */
    int unlink; /* what unlinking returns; 0: the file is gone, otherwise it stays */
} obstacles[] = {
    {make_directory, "is a directory", EISDIR, EISDIR},
    {make_fifo, "not a regular file", EBADMSG, EBADMSG},
    {make_socket, "not a regular file", EBADMSG, EBADMSG},
    {make_device, "not a regular file", EBADMSG, EBADMSG},
    {make_symlink, "symbolic link", ELOOP, ELOOP},
    {make_dangling_symlink, "symbolic link", ELOOP, ELOOP},
    {make_empty, "empty", EAGAIN, EBADMSG},
    {make_text, "12 bytes", EBADMSG, EBADMSG},
    {make_zeroes, "magic", EBADMSG, EBADMSG},
    {make_truncated_by_a_byte, "truncated: 1064959 bytes of 1064960", EBADMSG, 0},
    {make_truncated_to_its_header, "truncated: 512 bytes", EBADMSG, 0},
    {make_truncated_in_its_header, "511 bytes", EBADMSG, 0},
    {make_of_later_version, "layout_version 3", EPROTONOSUPPORT, 0},
    {make_of_other_byte_order, "byte order", EPROTONOSUPPORT, 0},
    {make_bit_flipped, "crc", EBADMSG, 0},
};

/* Device, inode, type, mode, size and time of change of a file: they differ after any change to
 * it. */
static struct stat describe(const char *path)
{
    struct stat st;

    cr_assert_eq(lstat(path, &st), 0);
    st.st_atim = (struct timespec){0};
    return st;
}

Test(bad_input, no_queue_at_the_name)
{
    static const unsigned roles[] = {SHMRING_OBSERVER, SHMRING_PRODUCER, SHMRING_CONSUMER, BOTH};
    char directory[TEST_NAME_SIZE], name[TEST_NAME_SIZE + 16];
    const char *path = name + 5;
    struct shmring_config either = good;
    shmring_t *q;

    either.flags = BOTH | SHMRING_OPEN_OR_CREATE;
    test_directory(directory);
    snprintf(name, sizeof name, "file:%s/queue", directory);
    for (size_t i = 0; i < sizeof obstacles / sizeof obstacles[0]; i++) {
        const char *words = obstacles[i].words;

        obstacles[i].make(path);
        const struct stat before = describe(path);
        const struct holdings held = test_holdings();
        for (int again = 0; again < TIMES; again++) {
            for (size_t r = 0; r < sizeof roles / sizeof roles[0]; r++) {
                assert_no_handle(shmring_open(&q, name, roles[r]), obstacles[i].open, words);
                if (obstacles[i].open == EAGAIN)
                    assert_no_handle(shmring_open_wait(&q, name, roles[r], &no_time), ETIMEDOUT,
                                     "in time");
                else
                    assert_no_handle(shmring_open_wait(&q, name, roles[r], &no_time),
                                     obstacles[i].open, words);
            }
            assert_no_handle(shmring_create(&q, name, &good), EEXIST, path);
            assert_no_handle(shmring_create(&q, name, &either), obstacles[i].open, words);
        }
        assert_holds_no_more_than(&held, LEEWAY);
        const struct stat after = describe(path);
        cr_assert_eq(memcmp(&before, &after, sizeof before), 0, "%s: it was changed", words);
        cr_assert_eq(test_count_files(directory), 1);
        if (obstacles[i].unlink) {
            assert_refused(shmring_unlink(name), obstacles[i].unlink, path);
            cr_assert_eq(test_count_files(directory), 1);
            cr_assert_eq(remove(path), 0);
        } else {
            cr_assert_eq(shmring_unlink(name), 0, "%s", shmring_strerror_detail());
        }
        cr_assert_eq(test_count_files(directory), 0);
    }
}

/* The name has a queue with other parameters already: that queue stays as it is. */
static void check_name_in_use(const char *name, const struct shmring_config *there)
{
    struct shmring_config wanted[] = {*there, *there, *there, *there, *there};
    static const char *const words[] = {"kind", "capacity", "max_message", "mode", "exists"};
    struct shmring_stat before, after;
    shmring_t *q, *mine;

    wanted[0].kind = there->kind == SHMRING_SPSC ? SHMRING_MPMC : SHMRING_SPSC;
    wanted[0].capacity = 4096;
    wanted[1].capacity *= 2;
    wanted[2].max_message--;
    wanted[3].mode = 0640;
    cr_assert_eq(shmring_create(&mine, name, there), 0);
    cr_assert_eq(shmring_send(mine, "hello", 6), 0);
    cr_assert_eq(shmring_stat(mine, &before), 0);
    const struct holdings held = test_holdings();
    for (int i = 0; i < TIMES; i++)
        for (int w = 0; w < 5; w++) {
            if (w < 4) /* the last one has the same parameters, but may not open what exists */
                wanted[w].flags |= SHMRING_OPEN_OR_CREATE;
            assert_no_handle(shmring_create(&q, name, &wanted[w]), EEXIST, words[w]);
        }
    assert_holds_no_more_than(&held, LEEWAY);
    cr_assert_eq(shmring_stat(mine, &after), 0);
    cr_assert_arr_eq(&before, &after, sizeof before);
    shmring_close(&mine);
    cr_assert_eq(shmring_unlink(name), 0);
}

Test(bad_input, name_in_use)
{
    const struct shmring_config spsc = {
        .kind = SHMRING_SPSC, .flags = BOTH, .capacity = CAPACITY, .max_message = 100};
    const struct shmring_config mpmc = {
        .kind = SHMRING_MPMC, .flags = BOTH, .capacity = 4096, .max_message = 100};
    char posix[TEST_NAME_SIZE], directory[TEST_NAME_SIZE], file[TEST_NAME_SIZE + 16];

    test_name(posix);
    test_directory(directory);
    snprintf(file, sizeof file, "file:%s/queue", directory);
    check_name_in_use(posix, &spsc);
    check_name_in_use(posix, &mpmc);
    check_name_in_use(file, &spsc);
    check_name_in_use(file, &mpmc);
    cr_assert_eq(test_count_files(directory), 0);
}

Test(bad_input, paths_that_lead_nowhere)
{
    char directory[TEST_NAME_SIZE], missing[TEST_NAME_SIZE + 32], through[TEST_NAME_SIZE + 32];
    shmring_t *q;

    test_directory(directory);
    snprintf(missing, sizeof missing, "file:%s/missing/queue", directory);
    snprintf(through, sizeof through, "%s/text", directory);
    make_text(through);
    snprintf(through, sizeof through, "file:%s/text/queue", directory);
    const struct holdings before = test_holdings();
    assert_no_handle(shmring_create(&q, missing, &good), ENOENT, "missing");
    assert_no_handle(shmring_open(&q, missing, BOTH), ENOENT, "missing");
    assert_refused(shmring_unlink(missing), ENOENT, "missing");
    assert_no_handle(shmring_create(&q, through, &good), ENOTDIR, "text");
    assert_no_handle(shmring_open(&q, through, BOTH), ENOTDIR, "text");
    assert_refused(shmring_unlink(through), ENOTDIR, "text");
    assert_holds_no_more_than(&before, LEEWAY);
}

/* ---- Messages -------------------------------------------------------------------------------- */

Test(bad_input, message_lengths)
{
    static char longest[CAPACITY], buffer[CAPACITY];
    struct iovec one = {.iov_base = longest, .iov_len = CAPACITY - 15};
    shmring_t *q = test_create("memfd:orders", BOTH, CAPACITY);
    void *reserved;

    memset(longest, 'x', sizeof longest);
    assert_refused(shmring_send(q, longest, CAPACITY - 15), EMSGSIZE, "1048561 bytes: at most");
    assert_refused(shmring_send(q, longest, SIZE_MAX), EMSGSIZE, "at most 1048560");
    assert_refused(shmring_send(q, longest, (size_t)1 << 32), EMSGSIZE, "at most 1048560");
    assert_refused(shmring_send_batch(q, &one, 1), EMSGSIZE, "at most 1048560");
    assert_refused(shmring_reserve(q, CAPACITY - 15, &reserved), EMSGSIZE, "at most 1048560");
    assert_refused(shmring_send_batch(q, &one, 0), EINVAL, "at least one");
    assert_refused(shmring_send_batch(q, &one, -1), EINVAL, "at least one");
    assert_refused(shmring_recv_batch(q, &one, 0), EINVAL, "at least one");
    cr_assert_eq(shmring_recv(q, buffer, sizeof buffer), -EAGAIN);

    cr_assert_eq(shmring_send(q, longest, CAPACITY - 16), 0);
    assert_refused(shmring_recv(q, buffer, CAPACITY - 17), EMSGSIZE, "1048559 bytes");
    assert_refused(shmring_recv(q, NULL, 0), EMSGSIZE, "0 bytes");
    cr_assert_eq(shmring_recv(q, buffer, CAPACITY - 16), CAPACITY - 16);
    cr_assert_arr_eq(buffer, longest, CAPACITY - 16);
    cr_assert_eq(shmring_send(q, NULL, 0), 0);
    cr_assert_eq(shmring_recv(q, NULL, 0), 0);
    shmring_close(&q);
}

Test(bad_input, wrong_role)
{
    char name[TEST_NAME_SIZE], byte = 0;
    struct iovec message = {&byte, 1};
    const void *peeked;
    void *reserved;
    shmring_t *producer, *consumer, *observer;

    test_name(name);
    producer = test_create(name, SHMRING_PRODUCER, CAPACITY);
    cr_assert_eq(shmring_open(&consumer, name, SHMRING_CONSUMER), 0);
    cr_assert_eq(shmring_open(&observer, name, SHMRING_OBSERVER), 0);
    cr_assert_eq(shmring_send(producer, "", 1), 0);
    shmring_t *const no_producers[] = {consumer, observer};
    shmring_t *const no_consumers[] = {producer, observer};
    for (int i = 0; i < 2; i++) {
        shmring_t *q = no_producers[i];
        assert_refused(shmring_send(q, &byte, 1), EPERM, "SHMRING_PRODUCER");
        assert_refused(shmring_send_batch(q, &message, 1), EPERM, "SHMRING_PRODUCER");
        assert_refused(shmring_reserve(q, 1, &reserved), EPERM, "SHMRING_PRODUCER");
        assert_refused(shmring_commit(q, &byte, 1), EPERM, "SHMRING_PRODUCER");
        assert_refused(shmring_cancel(q, &byte), EPERM, "SHMRING_PRODUCER");
        q = no_consumers[i];
        assert_refused(shmring_recv(q, &byte, 1), EPERM, "SHMRING_CONSUMER");
        assert_refused(shmring_recv_batch(q, &message, 1), EPERM, "SHMRING_CONSUMER");
        assert_refused(shmring_peek(q, &peeked, NULL), EPERM, "SHMRING_CONSUMER");
        assert_refused(shmring_release(q, &byte), EPERM, "SHMRING_CONSUMER");
    }
    cr_assert_eq(shmring_recv(consumer, &byte, 1), 1, "nothing was lost");
    shmring_close(&producer);
    shmring_close(&consumer);
    shmring_close(&observer);
}

Test(bad_input, second_of_a_role)
{
    char name[TEST_NAME_SIZE], buffer[8];
    shmring_t *there, *q;

    test_name(name);
    there = test_create(name, BOTH, CAPACITY);
    cr_assert_eq(shmring_send(there, "hello", 6), 0);
    const struct holdings before = test_holdings();
    for (int i = 0; i < TIMES; i++) {
        const int fd = shmring_segment_fd(there);
        assert_no_handle(shmring_open(&q, name, SHMRING_PRODUCER), EBUSY, "producer");
        assert_no_handle(shmring_open(&q, name, SHMRING_CONSUMER), EBUSY, "consumer");
        assert_no_handle(shmring_open_wait(&q, name, BOTH, NULL), EBUSY, "held by pid");
        assert_no_handle(shmring_open_fd(&q, fd, SHMRING_CONSUMER), EBUSY, "consumer");
        assert_no_handle(shmring_dup(&q, there, SHMRING_CONSUMER), EBUSY, "consumer");
    }
    assert_holds_no_more_than(&before, LEEWAY);
    cr_assert_eq(shmring_recv(there, buffer, sizeof buffer), 6);
    cr_assert_eq(shmring_recv(there, buffer, sizeof buffer), -EAGAIN);
    shmring_close(&there);
}
