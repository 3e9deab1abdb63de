/* SPDX-License-Identifier: MIT */
/*
 * What many suites need: names nobody else uses, child processes, and what a process holds. The
 * functions end the test when they cannot do what they say.
 */
#ifndef TEST_SUPPORT_H
#define TEST_SUPPORT_H

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include <shmring/shmring.h>

/* ---- Names and queues ------------------------------------------------------------------------ */

enum { TEST_NAME_SIZE = 128 };

/* A name in /dev/shm that no test has or had. What stands there is removed when the test ends. */
void test_name(char name[TEST_NAME_SIZE]);

/* A new directory, as a path. It is removed with the files in it when the test ends. */
void test_directory(char path[TEST_NAME_SIZE]);

/* Remove what tests that were killed have left there; done before and after each suite. */
void test_remove_names_of_the_dead(void);

/* Create a queue under NAME with an spsc ring of CAPACITY bytes. */
shmring_t *test_create(const char *name, unsigned flags, uint64_t capacity);

/* Create an mpmc queue of CAPACITY messages of at most LONGEST bytes. */
shmring_t *test_create_mpmc(const char *name, unsigned flags, uint64_t capacity, uint32_t longest);

/* ---- Child processes ------------------------------------------------------------------------- */

/*
 * Is this process root, with all that this implies: to give files away, and to become another user?
 * Root of a user namespace may be neither able to do that nor be refused what others are.
 */
bool test_is_root(void);

/*
 * Run BODY in a child, which ends with the result as its exit code and dies with the test. It has
 * child_assert() in place of Criterion's assertions, which only work in the test's own process.
 */
pid_t test_fork(int (*body)(void *), void *argument);

/* Wait for the child to end. Returns its exit code, or minus the signal it died of. */
int test_wait(pid_t pid);

/* Both: fork and wait. */
int test_run(int (*body)(void *), void *argument);

/* kill -9, and wait. The child must have been alive until then. */
void test_kill(pid_t pid);

/* Send the child a signal until it ends, and wait: one that comes while it looks around between two
 * sleeps is in vain. As test_wait(). */
int test_interrupt(pid_t pid, int signo);

/* Until a process, or one thread of it, sleeps in a futex: what comes then must wake it. */
void test_await_sleep(pid_t pid);
void test_await_sleep_of(pid_t pid, pid_t thread);

/* How often a test that kills at random does so: $SHMRING_TEST_KILLS, or as usual. */
int test_kills(int usually);

/* Two ends of a pipe, close-on-exec: how a child says that it has come so far. */
void test_pipe(int ends[2]);
void test_tell(int end); /* write a byte */
void test_hear(int end); /* read a byte: sleeps until it is there */

/* A gate that children wait behind, to start all at once. */
struct gate {
    int ready[2], go[2];
};
void gate_init(struct gate *gate);
void gate_wait(const struct gate *gate);      /* in a child */
void gate_open(struct gate *gate, int count); /* when so many are waiting */

/* The child cannot go on: say why and end it with exit code 1. */
_Noreturn void test_child_failed(const char *file, int line, const char *condition);
#define child_assert(Condition)                                                                    \
    ((Condition) ? (void)0 : test_child_failed(__FILE__, __LINE__, #Condition))

/* ---- Results --------------------------------------------------------------------------------- */

/* CALL returns -ERROR, and the detail it leaves has WORDS in it. */
#define assert_refused(Call, Error, Words)                                                         \
    do {                                                                                           \
        (void)shmring_check(NULL); /* another detail, so that an old one is not taken for new */   \
        const long result_ = (long)(Call);                                                         \
        cr_assert_eq(result_, -(long)(Error), "%s: %ld (%s), not -%s", #Call, result_,             \
                     shmring_strerror_detail(), #Error);                                           \
        cr_assert_not_null(strstr(shmring_strerror_detail(), Words), "%s: the detail is: %s",      \
                           #Call, shmring_strerror_detail());                                      \
    } while (0)

/* As assert_refused(), in a child. */
#define child_refused(Call, Error, Words)                                                          \
    do {                                                                                           \
        child_assert((Call) == -(Error));                                                          \
        child_assert(strstr(shmring_strerror_detail(), Words));                                    \
    } while (0)

/* What this process holds of the kernel's. */
struct holdings {
    int descriptors;
    int shared_maps;
    int64_t address_space; /* bytes */
};
struct holdings test_holdings(void);

/*
 * Nothing has leaked since BEFORE. Address space may have grown by LEEWAY bytes: the allocator's.
 * Under valgrind, which takes some for itself, it is not compared.
 */
void assert_holds_no_more_than(const struct holdings *before, int64_t leeway);

/* Files in the directory, "." and ".." not counted. */
int test_count_files(const char *directory);

#endif
