/* SPDX-License-Identifier: MIT */
/* The memory of a queue: the file of each backend, and how it is mapped. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/core/handle.h"
#include "support.h"

enum { CAPACITY = 65536, SEGMENT = 4 * 4096 + CAPACITY };

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

/* A queue for each backend: its name, and the name of its descriptor in /proc. */
struct place {
    char name[TEST_NAME_SIZE];
    const char *called;
};
enum { PLACES = 4 };

static void make_places(struct place place[PLACES])
{
    static char directory[TEST_NAME_SIZE];

    test_name(place[0].name);
    place[0].called = "/dev/shm/";
    test_name(directory);
    snprintf(place[1].name, TEST_NAME_SIZE, "file:/dev/shm/%.80s", directory);
    place[1].called = "/dev/shm/";
    test_directory(directory);
    snprintf(place[2].name, TEST_NAME_SIZE, "file:%.80s/queue", directory);
    place[2].called = directory;
    strcpy(place[3].name, "memfd:orders");
    place[3].called = "/memfd:orders";
}

static struct stat status_of(shmring_t *q)
{
    struct stat st;

    cr_assert_eq(fstat(shmring_segment_fd(q), &st), 0);
    return st;
}

static void check_message(shmring_t *q, const char *message)
{
    char buffer[64] = "";

    cr_assert_eq(shmring_recv(q, buffer, sizeof buffer), (ssize_t)strlen(message) + 1, "%s",
                 shmring_strerror_detail());
    cr_assert_str_eq(buffer, message);
}

static void check_send(shmring_t *q, const char *message)
{
    cr_assert_eq(shmring_send(q, message, strlen(message) + 1), 0, "%s", shmring_strerror_detail());
}

/* ---- Files ----------------------------------------------------------------------------------- */

Test(segment, each_backend)
{
    struct place place[PLACES];
    char link[64], target[256] = "";
    shmring_t *q;

    make_places(place);
    for (int i = 0; i < PLACES; i++) {
        q = test_create(place[i].name, BOTH, CAPACITY);
        snprintf(link, sizeof link, "/proc/self/fd/%d", shmring_segment_fd(q));
        cr_assert_gt(readlink(link, target, sizeof target - 1), 0);
        cr_assert_eq(strncmp(target, place[i].called, strlen(place[i].called)), 0,
                     "%s: its descriptor is %s", place[i].name, target);
        cr_assert_eq(fcntl(shmring_segment_fd(q), F_GETFD), FD_CLOEXEC);
        struct stat st = status_of(q);
        cr_assert(S_ISREG(st.st_mode));
        cr_assert_eq(st.st_size, SEGMENT);
        cr_assert_geq(st.st_blocks * 512, SEGMENT, "%s: not wholly allocated", place[i].name);
        check_send(q, "hello");
        check_message(q, "hello");
        shmring_close(&q);
    }
}

Test(segment, posix_is_where_shm_open_opens)
{
    char name[TEST_NAME_SIZE], slashed[TEST_NAME_SIZE + 1];
    shmring_t *q;
    struct stat st;
    int fd;

    test_name(name);
    snprintf(slashed, sizeof slashed, "/%s", name);
    q = test_create(name, 0, CAPACITY);
    fd = shm_open(slashed, O_RDONLY, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(fstat(fd, &st), 0);
    cr_assert_eq(st.st_ino, status_of(q).st_ino);
    close(fd);
    shmring_close(&q);
}

Test(segment, mode_is_exact)
{
    static const mode_t umasks[] = {0, 022, 077, 0777};
    static const uint32_t modes[] = {0600, 0640, 0660, 0666, 0606, 0777, 0400, 0007};
    struct shmring_config config = {.kind = SHMRING_SPSC, .capacity = CAPACITY};
    struct place place[PLACES];
    shmring_t *q;

    make_places(place);
    for (size_t u = 0; u < sizeof umasks / sizeof umasks[0]; u++)
        for (size_t m = 0; m < sizeof modes / sizeof modes[0]; m++)
            for (int i = 0; i < PLACES; i++) {
                struct shmring_stat stat;
                umask(umasks[u]);
                config.mode = modes[m];
                cr_assert_eq(shmring_create(&q, place[i].name, &config), 0, "%s",
                             shmring_strerror_detail());
                cr_assert_eq(status_of(q).st_mode, S_IFREG | modes[m], "%s: 0%o", place[i].name,
                             status_of(q).st_mode);
                cr_assert_eq(shmring_stat(q, &stat), 0);
                cr_assert_eq(stat.mode, modes[m]);
                /* A user who may not read a file does not remove it as a queue. */
                cr_assert_eq(fchmod(shmring_segment_fd(q), 0600), 0);
                shmring_close(&q);
                if (i < PLACES - 1)
                    cr_assert_eq(shmring_unlink(place[i].name), 0, "%s", shmring_strerror_detail());
            }
}

Test(segment, usual_mode)
{
    struct place place[PLACES];

    make_places(place);
    umask(0);
    for (int i = 0; i < PLACES; i++) {
        shmring_t *q = test_create(place[i].name, 0, CAPACITY);
        cr_assert_eq(status_of(q).st_mode & 07777, i == PLACES - 1 ? 0666 : 0600);
        shmring_close(&q);
    }
}

Test(segment, stat_has_the_mode_and_owner_of_now)
{
    char name[TEST_NAME_SIZE], path[TEST_NAME_SIZE + 16];
    struct shmring_stat stat;
    shmring_t *q;

    test_name(name);
    snprintf(path, sizeof path, "/dev/shm/%s", name);
    q = test_create(name, 0, CAPACITY);
    cr_assert_eq(shmring_stat(q, &stat), 0);
    cr_assert_eq(stat.uid, geteuid());
    cr_assert_eq(stat.gid, getegid());
    cr_assert_eq(stat.mode, 0600);
    cr_assert_eq(stat.creator_uid, geteuid());
    cr_assert_eq(stat.creator_pid, (uint32_t)getpid());
    cr_assert_eq(stat.segment_bytes, SEGMENT);
    cr_assert_eq(stat.capacity, CAPACITY);
    cr_assert_str_eq(stat.name, name);
    cr_assert_eq(chmod(path, 0640), 0);
    cr_assert_eq(shmring_stat(q, &stat), 0);
    cr_assert_eq(stat.mode, 0640);
    if (test_is_root()) {
        cr_assert_eq(chown(path, 12, 34), 0);
        cr_assert_eq(shmring_stat(q, &stat), 0);
        cr_assert_eq(stat.uid, 12);
        cr_assert_eq(stat.gid, 34);
        cr_assert_eq(stat.creator_uid, 0);
    }
    shmring_close(&q);
}

Test(segment, messages_outlive_their_processes)
{
    struct place place[PLACES];
    shmring_t *q;

    make_places(place);
    for (int i = 0; i < PLACES - 1; i++) {
        q = test_create(place[i].name, SHMRING_PRODUCER, CAPACITY);
        check_send(q, "first");
        shmring_close(&q);
        cr_assert_eq(shmring_open(&q, place[i].name, BOTH), 0, "%s", shmring_strerror_detail());
        check_send(q, "second");
        check_message(q, "first");
        shmring_close(&q);
        cr_assert_eq(shmring_open(&q, place[i].name, SHMRING_CONSUMER), 0);
        check_message(q, "second");
        shmring_close(&q);
    }
}

Test(segment, longer_file_is_as_good)
{
    char name[TEST_NAME_SIZE], path[TEST_NAME_SIZE + 16];
    shmring_t *q;

    test_name(name);
    snprintf(path, sizeof path, "/dev/shm/%s", name);
    q = test_create(name, SHMRING_PRODUCER, CAPACITY);
    check_send(q, "hello");
    shmring_close(&q);
    cr_assert_eq(truncate(path, SEGMENT + 12345), 0);
    cr_assert_eq(shmring_open(&q, name, SHMRING_CONSUMER), 0, "%s", shmring_strerror_detail());
    check_message(q, "hello");
    shmring_close(&q);
}

/* Copy FROM to TO without its zero pages, as `cp --sparse=always` does. */
static void copy_sparsely(const char *from, const char *to)
{
    static const char zeroes[4096];
    char page[4096];
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    off_t at = 0;

    cr_assert(in >= 0 && out >= 0);
    for (; read(in, page, sizeof page) == (ssize_t)sizeof page; at += (off_t)sizeof page)
        if (memcmp(page, zeroes, sizeof page) != 0)
            cr_assert_eq(pwrite(out, page, sizeof page, at), (ssize_t)sizeof page);
    cr_assert_eq(at, SEGMENT);
    cr_assert_eq(ftruncate(out, SEGMENT), 0);
    close(in);
    close(out);
}

Test(segment, sparse_copy_is_filled_by_those_who_write)
{
    char directory[TEST_NAME_SIZE], name[TEST_NAME_SIZE + 16], copy[TEST_NAME_SIZE + 16];
    shmring_t *q;

    test_directory(directory);
    snprintf(name, sizeof name, "file:%s/queue", directory);
    snprintf(copy, sizeof copy, "file:%s/copy", directory);
    q = test_create(name, SHMRING_PRODUCER, CAPACITY);
    check_send(q, "hello");
    shmring_close(&q);
    copy_sparsely(name + 5, copy + 5);

    cr_assert_eq(shmring_open(&q, copy, SHMRING_OBSERVER), 0, "%s", shmring_strerror_detail());
    cr_assert_lt(status_of(q).st_blocks * 512, SEGMENT / 2, "an observer has written");
    shmring_close(&q);
    cr_assert_eq(shmring_open(&q, copy, SHMRING_CONSUMER), 0, "%s", shmring_strerror_detail());
    cr_assert_geq(status_of(q).st_blocks * 512, SEGMENT);
    cr_assert_eq(status_of(q).st_size, SEGMENT);
    check_message(q, "hello");
    shmring_close(&q);
}

/* ---- memfd ----------------------------------------------------------------------------------- */

Test(segment, memfd_is_sealed)
{
    shmring_t *q = test_create("memfd:orders", 0, CAPACITY);
    const int fd = shmring_segment_fd(q);

    cr_assert_eq(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    cr_assert(ftruncate(fd, SEGMENT - 1) < 0 && errno == EPERM);
    cr_assert(ftruncate(fd, SEGMENT + 1) < 0 && errno == EPERM);
    cr_assert(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) < 0 && errno == EPERM);
    shmring_close(&q);
}

/* A memfd with a correct header which says that it belongs to BACKEND. */
static int forge_memfd(unsigned flags, int seals, enum shmr_backend backend)
{
    const struct shmring_config config = {.kind = SHMRING_SPSC, .capacity = CAPACITY};
    struct shmr_geometry g;
    struct shmr_header h;
    int fd = memfd_create("forged", MFD_CLOEXEC | flags);

    cr_assert_geq(fd, 0);
    cr_assert_eq(shmr_geometry(&g, &config), 0);
    shmr_header_init(&h, &g, "memfd:forged", backend);
    cr_assert_eq(ftruncate(fd, (off_t)g.segment_size), 0);
    cr_assert_eq(pwrite(fd, &h, sizeof h, 0), (ssize_t)sizeof h);
    if (seals)
        cr_assert_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

Test(segment, memfd_that_can_shrink_is_refused)
{
    static const enum shmr_backend backends[] = {SHMR_MEMFD, SHMR_POSIX, SHMR_FILE};
    shmring_t *q;

    for (size_t i = 0; i < sizeof backends / sizeof backends[0]; i++) {
        /* Whatever the header says: a hostile peer could write it. */
        int open = forge_memfd(MFD_ALLOW_SEALING, 0, backends[i]);
        int growing = forge_memfd(MFD_ALLOW_SEALING, F_SEAL_GROW | F_SEAL_SEAL, backends[i]);
        int unsealable = forge_memfd(0, 0, backends[i]);
        int sealed = forge_memfd(MFD_ALLOW_SEALING, F_SEAL_SHRINK, backends[i]);

        assert_refused(shmring_open_fd(&q, open, BOTH), EPERM, "F_SEAL_SHRINK");
        assert_refused(shmring_open_fd(&q, growing, BOTH), EPERM, "F_SEAL_SHRINK");
        assert_refused(shmring_open_fd(&q, unsealable, SHMRING_OBSERVER), EPERM, "F_SEAL_SHRINK");
        cr_assert_eq(shmring_open_fd(&q, sealed, BOTH), 0, "%s", shmring_strerror_detail());
        shmring_close(&q);
        close(open);
        close(growing);
        close(unsealable);
        close(sealed);
    }
}

Test(segment, memfd_sealed_against_writing)
{
    int fd = forge_memfd(MFD_ALLOW_SEALING, F_SEAL_SHRINK | F_SEAL_WRITE, SHMR_MEMFD);
    shmring_t *q;

    assert_refused(shmring_open_fd(&q, fd, BOTH), EPERM, "");
    cr_assert_null(q);
    cr_assert_eq(shmring_open_fd(&q, fd, SHMRING_OBSERVER), 0, "%s", shmring_strerror_detail());
    shmring_close(&q);
    close(fd);
}

Test(segment, backend_that_cannot_be)
{
    int fd = forge_memfd(MFD_ALLOW_SEALING, F_SEAL_SHRINK, (enum shmr_backend)4);
    shmring_t *q;

    assert_refused(shmring_open_fd(&q, fd, BOTH), EBADMSG, "backend 4");
    close(fd);
}

/* ---- Mapping --------------------------------------------------------------------------------- */

Test(segment, data_is_mapped_twice_in_a_row)
{
    struct place place[PLACES];

    make_places(place);
    for (int i = 0; i < PLACES; i++) {
        shmring_t *q = test_create(place[i].name, BOTH, CAPACITY);
        uint8_t *data = q->map.data;

        for (int at = 0; at < CAPACITY; at += 4091)
            data[at] = (uint8_t)(at / 4091 + 1);
        data[2 * CAPACITY - 1] = 99;
        for (int at = 0; at < CAPACITY; at += 4091)
            cr_assert_eq(data[CAPACITY + at], at / 4091 + 1);
        cr_assert_eq(data[CAPACITY - 1], 99);
        shmring_close(&q);
    }
}

enum section { PRODUCER_PAGE, TABLE, CONSUMER_PAGE, DATA, DATA_AGAIN, SECTIONS };
struct attempt {
    const char *name;
    unsigned roles;
    enum section section;
};

/* In a child: write to a section, at its first and at its last byte. */
static int write_there(void *argument)
{
    const struct attempt *attempt = argument;
    shmring_t *q;

    signal(SIGSEGV, SIG_DFL); /* a sanitizer may have installed its own handler */
    child_assert(shmring_open(&q, attempt->name, attempt->roles) == 0);
    uint8_t *start[] = {q->map.producer, q->map.table,           q->map.consumer,
                        q->map.data,     q->map.data + CAPACITY, q->map.data + 2 * CAPACITY};
    volatile uint8_t *first = start[attempt->section];
    volatile uint8_t *last = start[attempt->section + 1] - 1;
    uint8_t kept = *last;
    *last = kept;
    kept = *first;
    *first = kept;
    shmring_close(&q);
    return 0;
}

/* Which roles may write to which section. */
struct rule {
    unsigned roles;
    int may[SECTIONS];
};

static void check_rules(const char *name, const struct rule *rules, enum section sections)
{
    for (size_t i = 0; i < 4; i++)
        for (enum section section = 0; section < sections; section++) {
            struct attempt attempt = {name, rules[i].roles, section};
            cr_assert_eq(test_run(write_there, &attempt), rules[i].may[section] ? 0 : -SIGSEGV,
                         "roles 0x%x, section %d", rules[i].roles, (int)section);
        }
}

Test(segment, sections_can_be_written_by_their_side_only)
{
    static const struct rule rules[] = {
        {SHMRING_PRODUCER, {1, 1, 0, 1, 1}},
        {SHMRING_CONSUMER, {0, 1, 1, 0, 0}},
        {BOTH, {1, 1, 1, 1, 1}},
        {SHMRING_OBSERVER, {0, 0, 0, 0, 0}},
    };
    char name[TEST_NAME_SIZE];
    shmring_t *q;

    test_name(name);
    q = test_create(name, 0, CAPACITY);
    check_rules(name, rules, SECTIONS);
    shmring_close(&q);
}

/* The data of an mpmc queue are mapped once. */
Test(segment, sections_of_an_mpmc_queue_can_be_written_by_its_participants)
{
    static const struct rule rules[] = {
        {SHMRING_PRODUCER, {1, 1, 1, 1}},
        {SHMRING_CONSUMER, {1, 1, 1, 1}},
        {BOTH, {1, 1, 1, 1}},
        {SHMRING_OBSERVER, {0, 0, 0, 0}},
    };
    char name[TEST_NAME_SIZE];
    shmring_t *q;

    test_name(name);
    q = test_create_mpmc(name, 0, CAPACITY / 64, 1);
    check_rules(name, rules, DATA_AGAIN);
    shmring_close(&q);
}

/* Count the mappings of the file in this process, and those of them that start at the header. */
static int count_maps(ino_t inode, int *of_header)
{
    char line[512];
    unsigned long offset, number;
    int n = 0;
    FILE *maps = fopen("/proc/self/maps", "re");

    if (!maps)
        return -1;
    *of_header = 0;
    while (fgets(line, sizeof line, maps))
        if (sscanf(line, "%*s %*s %lx %*s %lu", &offset, &number) == 2 && number == inode) {
            n++;
            *of_header += offset == 0;
        }
    fclose(maps);
    return n;
}

Test(segment, header_is_not_mapped)
{
    static const unsigned roles[] = {SHMRING_PRODUCER, SHMRING_CONSUMER, BOTH, SHMRING_OBSERVER};
    char name[TEST_NAME_SIZE];
    int of_header;

    test_name(name);
    for (size_t i = 0; i < 8; i++) {
        shmring_t *q = i < 4 ? test_create(name, roles[i % 4], CAPACITY)
                             : test_create_mpmc(name, roles[i % 4], 64, 64);
        const ino_t inode = status_of(q).st_ino;
        cr_assert_gt(count_maps(inode, &of_header), 0);
        cr_assert_eq(of_header, 0);
        shmring_close(&q);
        cr_assert_eq(count_maps(inode, &of_header), 0);
        shmring_unlink(name);
    }
}

struct inherited {
    ino_t inode;
    shmring_t *q;
};

static int read_the_map(void *argument)
{
    const struct inherited *inherited = argument;
    int of_header;

    child_assert(count_maps(inherited->inode, &of_header) == 0);
    signal(SIGSEGV, SIG_DFL);
    return *(volatile uint8_t *)inherited->q->map.table;
}

Test(segment, mapping_is_not_inherited)
{
    static const unsigned roles[] = {SHMRING_PRODUCER, SHMRING_CONSUMER, BOTH, SHMRING_OBSERVER};
    char name[TEST_NAME_SIZE];

    test_name(name);
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        shmring_t *q = test_create(name, roles[i], CAPACITY);
        struct inherited inherited = {status_of(q).st_ino, q};
        cr_assert_eq(test_run(read_the_map, &inherited), -SIGSEGV);
        shmring_close(&q);
        shmring_unlink(name);
    }
}

/* Kilobytes that /proc/self/smaps counts under WHAT for the mappings of the queue. */
static long smaps_of(shmring_t *q, const char *what)
{
    const ino_t inode = status_of(q).st_ino;
    char line[512], field[64];
    unsigned long number;
    long kilobytes, sum = 0;
    int inside = 0;
    FILE *smaps = fopen("/proc/self/smaps", "re");

    cr_assert_not_null(smaps);
    while (fgets(line, sizeof line, smaps)) {
        if (sscanf(line, "%*x-%*x %*s %*x %*s %lu", &number) == 1)
            inside = number == inode;
        else if (inside && sscanf(line, "%63[^:]: %ld kB", field, &kilobytes) == 2 &&
                 strcmp(field, what) == 0)
            sum += kilobytes;
    }
    fclose(smaps);
    return sum;
}

/* KiB of a queue's mappings: its data are mapped twice. */
static long mapped(long capacity)
{
    return (3 * 4096 + 2 * capacity) / 1024;
}

/* Bytes of the queue's mappings that core files have. */
static long dumped_bytes(const char *path)
{
    char line[512];
    unsigned long from, to, size = 0, sum = 0;
    FILE *smaps = fopen("/proc/self/smaps", "re");

    cr_assert_not_null(smaps);
    while (fgets(line, sizeof line, smaps)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            size = strstr(line, path) ? to - from : 0;
        else if (strncmp(line, "VmFlags:", 8) == 0 && !strstr(line, " dd"))
            sum += size;
    }
    fclose(smaps);
    return (long)sum;
}

Test(segment, core_files)
{
    static const uint32_t kinds[] = {SHMRING_SPSC, SHMRING_MPMC};

    for (int i = 0; i < 2; i++) {
        struct shmring_config config = {.kind = kinds[i],
                                        .flags = SHMRING_PRODUCER | SHMRING_CONSUMER,
                                        .capacity = kinds[i] == SHMRING_SPSC ? 65536 : 64,
                                        .max_message = 1000};
        char name[TEST_NAME_SIZE];
        struct shmring_stat st;
        shmring_t *q;

        test_name(name);
        cr_assert_eq(shmring_create(&q, name, &config), 0, "%s", shmring_strerror_detail());
        cr_assert_eq(shmring_stat(q, &st), 0);
        cr_assert_eq(dumped_bytes(name), 0);
        shmring_close(&q);
        /* An mpmc queue's data are mapped once. The header is not mapped. */
        cr_assert_eq(shmring_open(&q, name, SHMRING_OBSERVER | SHMRING_CORE_DUMP), 0);
        cr_assert_eq(dumped_bytes(name), (long)st.segment_bytes - 4096);
        shmring_close(&q);
    }
}

Test(segment, prefault_touches_every_page)
{
    static const unsigned roles[] = {SHMRING_PRODUCER, SHMRING_CONSUMER, BOTH, SHMRING_OBSERVER};
    char name[TEST_NAME_SIZE];
    shmring_t *q;

    test_name(name);
    q = test_create(name, SHMRING_PREFAULT, CAPACITY);
    cr_assert_eq(smaps_of(q, "Rss"), mapped(CAPACITY));
    shmring_close(&q);
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        cr_assert_eq(shmring_open(&q, name, roles[i]), 0);
        cr_assert_lt(smaps_of(q, "Rss"), mapped(CAPACITY), "it is all there without asking");
        shmring_close(&q);
        cr_assert_eq(shmring_open(&q, name, roles[i] | SHMRING_PREFAULT), 0);
        cr_assert_eq(smaps_of(q, "Rss"), mapped(CAPACITY));
        shmring_close(&q);
    }
}
