/* SPDX-License-Identifier: MIT */
/*
 * File systems that are full, read-only, of huge pages, or without /proc: where this process may,
 * it mounts each of them for a child.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "support.h"

enum { CAPACITY = 1 << 20, HEAD = 4 * 4096, TIMES = 20, CANNOT = 77 };

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

static struct shmring_config config_with(uint32_t flags, uint64_t capacity)
{
    return (struct shmring_config){.kind = SHMRING_SPSC, .flags = flags, .capacity = capacity};
}

/* A directory, and a function that runs in a child, which sees a tmpfs of SIZE mounted there. */
struct mounted {
    char directory[TEST_NAME_SIZE], name[TEST_NAME_SIZE + 16];
    const char *options;
    void (*body)(struct mounted *);
};

static int write_file(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

    close(fd);
    return n == (ssize_t)strlen(text) ? 0 : -1;
}

/* Enter a mount namespace: root may; other users may in a user namespace, if the system allows
 * that. */
static int enter_namespace(void)
{
    char uid_map[64], gid_map[64];

    snprintf(uid_map, sizeof uid_map, "%u %u 1", geteuid(), geteuid());
    snprintf(gid_map, sizeof gid_map, "%u %u 1", getegid(), getegid());
    if (test_own_mounts())
        return 0;
    if (unshare(CLONE_NEWUSER) < 0 || write_file("/proc/self/setgroups", "deny") < 0 ||
        write_file("/proc/self/gid_map", gid_map) < 0 ||
        write_file("/proc/self/uid_map", uid_map) < 0)
        return -1;
    return test_own_mounts() ? 0 : -1;
}

static int run_mounted(void *argument)
{
    struct mounted *m = argument;

    if (enter_namespace() < 0 || mount("tmpfs", m->directory, "tmpfs", 0, m->options) < 0)
        return CANNOT;
    snprintf(m->name, sizeof m->name, "file:%s/queue", m->directory);
    m->body(m);
    return 0;
}

static void with_tmpfs(const char *options, void (*body)(struct mounted *))
{
    struct mounted m = {.options = options, .body = body};

    test_directory(m.directory);
    const int r = test_run(run_mounted, &m);
    if (r == CANNOT)
        cr_skip_test("may not mount");
    cr_assert_eq(r, 0);
}

static uint64_t free_bytes(const char *directory)
{
    struct statvfs vfs;

    child_assert(statvfs(directory, &vfs) == 0);
    return (uint64_t)vfs.f_bavail * vfs.f_frsize;
}

static void fill_to_the_brim(const char *directory)
{
    static const char page[4096] = {1};
    char path[TEST_NAME_SIZE + 16];

    snprintf(path, sizeof path, "%s/ballast", directory);
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (write(fd, page, sizeof page) == (ssize_t)sizeof page)
        continue;
    child_assert(errno == ENOSPC);
    close(fd);
}

static void create_too_large(struct mounted *m)
{
    const struct shmring_config config = config_with(BOTH, 2 * CAPACITY);
    const uint64_t available = free_bytes(m->directory);
    char words[128];
    shmring_t *q;

    snprintf(words, sizeof words, "needs %d bytes, %llu are available", 2 * CAPACITY + HEAD,
             (unsigned long long)available);
    for (int i = 0; i < TIMES; i++) {
        child_refused(shmring_create(&q, m->name, &config), ENOSPC, words);
        child_assert(q == NULL);
    }
    child_assert(free_bytes(m->directory) == available);
    child_assert(test_count_files(m->directory) == 0);
}

Test(file_systems, full_file_system)
{
    with_tmpfs("size=1m", create_too_large);
}

static void create_second(struct mounted *m)
{
    struct shmring_config config = config_with(BOTH, CAPACITY);
    char second[TEST_NAME_SIZE + 16], buffer[8];
    shmring_t *q, *other;

    snprintf(second, sizeof second, "file:%s/second", m->directory);
    child_assert(shmring_create(&q, m->name, &config) == 0);
    child_refused(shmring_create(&other, second, &config), ENOSPC, "are available");
    config.flags |= SHMRING_OPEN_OR_CREATE;
    child_refused(shmring_create(&other, second, &config), ENOSPC, "are available");
    child_assert(shmring_send(q, "hello", 6) == 0);
    child_assert(shmring_recv(q, buffer, sizeof buffer) == 6);
    shmring_close(&q);
    child_assert(shmring_unlink(m->name) == 0);
    child_assert(shmring_create(&q, second, &config) == 0);
    shmring_close(&q);
}

Test(file_systems, room_for_one_queue)
{
    with_tmpfs("size=1536k", create_second);
}

/* The file system reserved all memory of the queue when it was created, so using it causes no
 * SIGBUS. */
static void use_when_full(struct mounted *m)
{
    static char message[CAPACITY - 16];
    const struct shmring_config config = config_with(BOTH, CAPACITY);
    shmring_t *q;

    child_assert(shmring_create(&q, m->name, &config) == 0);
    fill_to_the_brim(m->directory);
    memset(message, 1, sizeof message);
    for (int i = 0; i < 3; i++) {
        child_assert(shmring_send(q, message, sizeof message) == 0);
        child_assert(shmring_recv(q, message, sizeof message) == (ssize_t)sizeof message);
    }
    shmring_close(&q);
    /* It can be opened, too. */
    child_assert(shmring_open(&q, m->name, BOTH) == 0);
    shmring_close(&q);
}

Test(file_systems, file_system_that_gets_full)
{
    with_tmpfs("size=2m", use_when_full);
}

static void throw_ballast(const char *directory)
{
    char path[TEST_NAME_SIZE + 16];

    snprintf(path, sizeof path, "%s/ballast", directory);
    child_assert(unlink(path) == 0);
}

/* Punch holes into a queue from OFFSET on, such as a sparse copy of its file has. */
static void punch(const char *path, off_t offset)
{
    const int fd = open(path, O_RDWR | O_CLOEXEC);

    child_assert(fd >= 0);
    child_assert(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
                           HEAD + CAPACITY - offset) == 0);
    close(fd);
}

static void open_sparse(struct mounted *m)
{
    const struct shmring_config config = config_with(SHMRING_PRODUCER, CAPACITY);
    const char *path = m->name + 5;
    char buffer[8];
    shmring_t *q;

    child_assert(shmring_create(&q, m->name, &config) == 0);
    child_assert(shmring_send(q, "hello", 6) == 0);
    shmring_close(&q);
    punch(path, HEAD + CAPACITY / 2);
    /* One half of the file is holes. The free space is less than the file, but enough for that
     * half. */
    child_assert(shmring_open(&q, m->name, SHMRING_PRODUCER) == 0);
    shmring_close(&q);
    punch(path, HEAD + CAPACITY / 2);
    fill_to_the_brim(m->directory);
    child_refused(shmring_open(&q, m->name, SHMRING_PRODUCER), ENOSPC,
                  "needs 524288 bytes, 0 are available");
    child_refused(shmring_open(&q, m->name, SHMRING_CONSUMER), ENOSPC, "0 are available");
    child_assert(q == NULL);
    child_assert(shmring_open(&q, m->name, SHMRING_OBSERVER) == 0);
    shmring_close(&q);
    throw_ballast(m->directory);
    child_assert(shmring_open(&q, m->name, SHMRING_CONSUMER) == 0);
    child_assert(shmring_recv(q, buffer, sizeof buffer) == 6);
    shmring_close(&q);
}

Test(file_systems, sparse_copy_on_a_full_file_system)
{
    with_tmpfs("size=1600k", open_sparse);
}

static void create_without_inodes(struct mounted *m)
{
    const struct shmring_config config = config_with(BOTH, 4096);
    char name[TEST_NAME_SIZE + 32];
    shmring_t *q;
    int r, n = 0;

    do {
        snprintf(name, sizeof name, "%s%d", m->name, n++);
        r = shmring_create(&q, name, &config);
        shmring_close(&q);
    } while (r == 0 && n < 10);
    child_refused(r, ENOSPC, m->directory);
    child_assert(test_count_files(m->directory) == n - 1);
}

Test(file_systems, no_inodes)
{
    with_tmpfs("size=1m,nr_inodes=4", create_without_inodes);
}

static void use_read_only(struct mounted *m)
{
    const struct shmring_config config = config_with(BOTH, 4096);
    struct shmring_config either = config_with(BOTH | SHMRING_OPEN_OR_CREATE, 4096);
    char new[TEST_NAME_SIZE + 16];
    struct shmring_stat stat;
    shmring_t *q;

    snprintf(new, sizeof new, "file:%s/new", m->directory);
    child_assert(shmring_create(&q, m->name, &config) == 0);
    shmring_close(&q);
    child_assert(mount("none", m->directory, "none", MS_REMOUNT | MS_RDONLY, NULL) == 0);
    child_refused(shmring_create(&q, new, &config), EROFS, m->directory);
    child_refused(shmring_create(&q, new, &either), EROFS, m->directory);
    child_refused(shmring_create(&q, m->name, &config), EEXIST, "exists");
    child_refused(shmring_open(&q, m->name, SHMRING_CONSUMER), EROFS, m->directory);
    child_refused(shmring_unlink(m->name), EROFS, m->directory);
    child_assert(shmring_open(&q, m->name, SHMRING_OBSERVER) == 0);
    child_assert(shmring_stat(q, &stat) == 0);
    shmring_close(&q);
}

Test(file_systems, read_only_file_system)
{
    with_tmpfs("size=1m", use_read_only);
}

/* A consumer of a broadcast queue only reads, unless the producer is to wait for it. */
static void receive_read_only(struct mounted *m)
{
    const struct shmring_config config = {.kind = SHMRING_BROADCAST,
                                          .capacity = 4096,
                                          .max_participants = 1,
                                          .flags = SHMRING_PRODUCER};
    char message[4];
    shmring_t *q;

    child_assert(shmring_create(&q, m->name, &config) == 0);
    child_assert(shmring_send(q, "one", 4) == 0);
    shmring_close(&q);
    child_assert(mount("none", m->directory, "none", MS_REMOUNT | MS_RDONLY, NULL) == 0);
    child_refused(shmring_open(&q, m->name, SHMRING_PRODUCER), EROFS, m->directory);
    child_refused(shmring_open(&q, m->name, SHMRING_CONSUMER | SHMRING_RELIABLE), EROFS,
                  m->directory);
    child_assert(shmring_open(&q, m->name, SHMRING_CONSUMER | SHMRING_FROM_OLDEST) == 0);
    child_assert(shmring_recv(q, message, sizeof message) == 4 && strcmp(message, "one") == 0);
    child_assert(shmring_recv(q, message, sizeof message) == -EAGAIN);
    child_assert(shmring_participants(q, NULL, 0) == 0);
    shmring_close(&q);
}

Test(file_systems, consumer_on_a_read_only_file_system)
{
    with_tmpfs("size=1m", receive_read_only);
}

static void use_without_proc(struct mounted *m)
{
    const struct shmring_config config = config_with(BOTH, 4096);
    const struct shmring_config observed = config_with(0, 4096);
    const struct timespec timeout = {.tv_sec = 3600};
    char moved[TEST_NAME_SIZE + 16];
    shmring_t *q, *other;

    snprintf(moved, sizeof moved, "%s/moved", m->directory);
    child_assert(shmring_create(&q, m->name, &observed) == 0);
    shmring_close(&q);
    child_assert(mount("tmpfs", "/proc", "tmpfs", 0, NULL) == 0); /* only root may hide /proc */
    /* Without /proc a process can open a segment by its name, but not by a descriptor. */
    child_assert(shmring_open(&q, m->name, BOTH) == 0);
    child_assert(shmring_dup(&other, q, SHMRING_OBSERVER) == 0);
    shmring_close(&other);
    child_refused(shmring_dup(&other, q, BOTH), EBUSY, "is held by pid");
    shmring_close(&q);
    child_assert(shmring_open_wait(&q, m->name, BOTH, &timeout) == 0);
    child_assert(rename(m->name + strlen("file:"), moved) == 0);
    child_refused(shmring_dup(&other, q, BOTH), ENOSYS, "is /proc mounted");
    child_assert(rename(moved, m->name + strlen("file:")) == 0);
    shmring_close(&q);
    child_refused(shmring_create(&q, "memfd:orders", &config), ENOSYS, "/proc");
    child_assert(shmring_open(&q, m->name, SHMRING_OBSERVER) == 0);
    child_refused(shmring_open_fd(&other, shmring_segment_fd(q), BOTH), ENOSYS, "/proc");
    shmring_close(&q);
    child_assert(shmring_unlink(m->name) == 0);
    child_refused(shmring_create(&q, m->name, &config), ENOSYS, "is /proc mounted");
    child_refused(shmring_create(&q, m->name, &observed), ENOSYS, "is /proc mounted");
    child_refused(shmring_unlink(m->name), ENOENT, "does not exist");
}

Test(file_systems, no_proc)
{
    with_tmpfs("size=1m", use_without_proc);
}

/* ---- Huge pages ------------------------------------------------------------------------------ */

enum {
    HUGE_CAPACITY = 4 << 20,
    HUGE_PAGES = 6 /* of 2 MiB: one for the header, three for control, two for the data */
};

static const char nr_hugepages[] = "/proc/sys/vm/nr_hugepages";
static char nr_before[32];

static void give_huge_pages_back(void)
{
    if (write_file(nr_hugepages, nr_before) < 0)
        perror(nr_hugepages);
}

static long meminfo(const char *what)
{
    char line[128], name[64];
    long n, found = 0;
    FILE *f = fopen("/proc/meminfo", "re");

    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "%63[^:]: %ld", name, &n) == 2 && strcmp(name, what) == 0)
            found = n;
    if (f)
        fclose(f);
    return found;
}

/* Make the machine have this many free huge pages until the test ends, or skip the test. Only one
 * run at a time may do that, because the number is the machine's. */
static void get_huge_pages(long count)
{
    char more[32];
    if (!test_is_root())
        cr_skip_test("only root may change %s, mount hugetlbfs and lock as much", nr_hugepages);
    FILE *f = fopen(nr_hugepages, "re"); /* open, and so locked, until the process ends */

    if (!f || flock(fileno(f), LOCK_EX) < 0 || !fgets(nr_before, sizeof nr_before, f) ||
        meminfo("Hugepagesize") != 2048)
        cr_skip_test("no huge pages of 2 MiB");
    snprintf(more, sizeof more, "%ld", meminfo("HugePages_Total") + count);
    if (write_file(nr_hugepages, more) < 0)
        cr_skip_test("may not change %s", nr_hugepages);
    cr_assert_eq(atexit(give_huge_pages_back), 0);
    if (meminfo("HugePages_Free") - meminfo("HugePages_Rsvd") < count)
        cr_skip_test("no memory for %ld huge pages", count);
}

/* Use it as any other queue, beyond the end of the ring. */
static void check_exchange(shmring_t *producer, shmring_t *consumer)
{
    static char sent[HUGE_CAPACITY / 2 + 1000], received[HUGE_CAPACITY];

    for (int i = 1; i < 4; i++) {
        memset(sent, i, sizeof sent);
        child_assert(shmring_send(producer, sent, sizeof sent) == 0);
        child_assert(shmring_recv(consumer, received, sizeof received) == (ssize_t)sizeof sent);
        child_assert(memcmp(sent, received, sizeof sent) == 0);
    }
}

static void use_huge_queue(const char *name)
{
    const uint32_t flags = SHMRING_PRODUCER | SHMRING_HUGE_PAGES;
    const struct shmring_config config = config_with(flags, HUGE_CAPACITY);
    const struct shmring_config locked =
        config_with(flags | SHMRING_PREFAULT | SHMRING_MLOCK, HUGE_CAPACITY);
    const struct shmring_config larger = config_with(flags, (uint64_t)HUGE_CAPACITY << 20);
    struct shmring_stat stat;
    struct stat st;
    shmring_t *q, *other;

    child_refused(shmring_create(&q, name, &larger), ENOSPC, "2097156 huge pages of 2 MiB, ");
    child_assert(shmring_create(&q, name, &locked) == 0);
    shmring_close(&q);
    shmring_unlink(name);
    child_assert(shmring_create(&q, name, &config) == 0);
    child_assert(shmring_stat(q, &stat) == 0);
    child_assert(stat.flags == SHMRING_HUGE_PAGES && stat.capacity == HUGE_CAPACITY);
    child_assert(stat.segment_bytes == (uint64_t)HUGE_PAGES << 21);
    child_assert(fstat(shmring_segment_fd(q), &st) == 0 && st.st_blksize == 2 << 20);
    child_assert(shmring_open_fd(&other, shmring_segment_fd(q), SHMRING_CONSUMER) == 0);
    check_exchange(q, other);
    shmring_close(&other);
    child_refused(shmring_dup(&other, q, SHMRING_PRODUCER), EBUSY, "producer");
    child_assert(shmring_dup(&other, q, SHMRING_OBSERVER | SHMRING_PREFAULT) == 0);
    child_assert(shmring_stat(other, &stat) == 0 && stat.received == 3 && stat.participants == 1);
    shmring_close(&other);
    shmring_close(&q);
}

static void use_huge_pages(struct mounted *m)
{
    struct shmring_config config = config_with(BOTH, HUGE_CAPACITY);
    shmring_t *q;

    use_huge_queue("memfd:huge");
    child_assert(mount("hugetlbfs", m->directory, "hugetlbfs", 0, "pagesize=2M") == 0);
    use_huge_queue(m->name);
    /* The messages in the file stay there, and the file can be used again. */
    child_refused(shmring_create(&q, m->name, &config), EEXIST, "exists");
    config.flags |= SHMRING_OPEN_OR_CREATE;
    child_refused(shmring_create(&q, m->name, &config), EEXIST, "with huge pages");
    config.flags |= SHMRING_HUGE_PAGES;
    child_assert(shmring_create(&q, m->name, &config) == 0);
    check_exchange(q, q);
    shmring_close(&q);
    child_assert(shmring_unlink(m->name) == 0);
    config = config_with(BOTH, HUGE_CAPACITY);
    child_refused(shmring_create(&q, m->name, &config), EINVAL, "hugetlbfs");
    child_assert(test_count_files(m->directory) == 0);
    child_assert(umount(m->directory) == 0); /* fails if anything is still mapped or open */
}

/* One test for all of this: see get_huge_pages(). */
Test(file_systems, huge_pages)
{
    get_huge_pages(HUGE_PAGES);
    with_tmpfs("size=1m", use_huge_pages);
}
