/* SPDX-License-Identifier: MIT */
/*
 * doc/system-calls.md is true: queues work when only those calls are allowed that it says are
 * needed, whatever error the other calls return.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "filter.h"
#include "support.h"

TestSuite(system_calls, .timeout = 60);

#define CALL(Name)                                                                                 \
    {                                                                                              \
#Name, SYS_##Name                                                                          \
    }
static const struct {
    const char *name;
    long number;
} calls[] = {
    CALL(close),          CALL(dup3),    CALL(fallocate), CALL(fchmod), CALL(fcntl),
    CALL(fstat),          CALL(fstatfs), CALL(ftruncate), CALL(futex),  CALL(getpid),
    CALL(linkat),         CALL(madvise), CALL(mmap),      CALL(munmap),
#if defined SYS_newfstatat
    CALL(newfstatat),
#endif
    CALL(openat),         CALL(pread64), CALL(pwrite64),  CALL(read),
#if defined SYS_readlink
    CALL(readlink),
#else
    {"readlink", SYS_readlinkat},
#endif
    CALL(rt_sigprocmask), CALL(statfs),
#if defined SYS_unlink
    CALL(unlink),
#else
    {"unlink", SYS_unlinkat},
#endif
};
enum { CALLS = sizeof calls / sizeof calls[0] };

/* The calls that the document says are needed. */
static long needed[FILTER_MOST];
static unsigned needed_count;

static void add_needed(const char *name)
{
    for (int i = 0; i < CALLS; i++)
        if (strcmp(calls[i].name, name) == 0) {
            needed[needed_count++] = calls[i].number;
            return;
        }
    cr_assert_fail("doc/system-calls.md says %s is needed: add it to this test's list", name);
}

static void read_document(void)
{
    char path[4096], line[400], name[40];
    const char *srcdir = getenv("srcdir");
    FILE *file;

    snprintf(path, sizeof path, "%s/doc/system-calls.md", srcdir ? srcdir : ".");
    file = fopen(path, "re");
    cr_assert_not_null(file, "%s cannot be read: srcdir should say where the sources are", path);
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "| %39[a-z0-9_] | needed |", name) == 1 && strstr(line, "| needed |"))
            add_needed(name);
    fclose(file);
    cr_assert_gt(needed_count, 10u);
}

static char name[TEST_NAME_SIZE];

static int count(void *n, const struct shmring_message *m)
{
    (void)m;
    ++*(int *)n;
    return 0;
}

/* Make every call of the interface that works on queues with names, on a queue of this kind. */
static void use(uint32_t kind)
{
    const struct timespec moment = {.tv_nsec = 60000000}; /* long enough for a recheck */
    const struct shmring_config config = {.kind = kind,
                                          .flags = SHMRING_PRODUCER,
                                          .capacity = kind == SHMRING_MPMC ? 8 : 4096,
                                          .max_message = kind == SHMRING_MPMC ? 64 : 0};
    struct shmring_participant rows[8];
    struct shmring_stat stat;
    shmring_t *producer, *consumer, *observer;
    char bytes[64];
    int n = 0;

    child_assert(shmring_create(&producer, name, &config) == 0);
    child_assert(shmring_open(&consumer, name, SHMRING_CONSUMER) == 0);
    child_assert(shmring_open(&observer, name, SHMRING_OBSERVER) == 0);
    child_assert(shmring_recv_wait(consumer, bytes, sizeof bytes, &moment) == -ETIMEDOUT);
    child_assert(shmring_send(producer, "one", 3) == 0);
    child_assert(shmring_recv_wait(consumer, bytes, sizeof bytes, &moment) == 3);
    while (shmring_send(producer, "full", 4) == 0)
        n++;
    child_assert(shmring_send_wait(producer, "full", 4, &moment) == -ETIMEDOUT);
    child_assert(shmring_stat(observer, &stat) == 0 && stat.depth == (uint64_t)n);
    child_assert(shmring_participants(observer, rows, 8) == 2);
    int seen = 0;
    child_assert(shmring_dump(observer, count, &seen) >= 0 && seen == n);
    child_assert(shmring_check(consumer) == 0);
    child_assert(shmring_recover(consumer, NULL) >= 0);
    shmring_close(&producer);
    child_assert(shmring_open(&producer, name, SHMRING_PRODUCER) == 0);
    child_assert(shmring_unlink(name) == 0);
    child_assert(shmring_check(consumer) == -ESTALE);
    shmring_close(&producer);
    shmring_close(&observer);
    shmring_close(&consumer);
}

static int use_what_is_needed(void *error)
{
    const int allowed = (int)needed_count;

    /* For this program, to end and to print; and for the C library's memory. */
    needed[allowed] = SYS_exit_group;
    needed[allowed + 1] = SYS_write;
    needed[allowed + 2] = SYS_brk;
    if (!filter_calls(needed, needed_count + 3, false, *(int *)error))
        return 77;
    use(SHMRING_SPSC);
    use(SHMRING_MPMC);
    return 0;
}

Test(system_calls, those_that_are_needed_are_enough)
{
    static int errors[] = {EPERM, ENOSYS};

#if defined __SANITIZE_ADDRESS__
    cr_skip_test("AddressSanitizer makes calls of its own");
#endif
    read_document();
    test_name(name);
    for (int i = 0; i < 2; i++) {
        const int r = test_run(use_what_is_needed, &errors[i]);
        if (r == 77)
            cr_skip_test("no seccomp filters here");
        cr_assert_eq(r, 0);
    }
}
