/* SPDX-License-Identifier: MIT */
/*
 * What many suites need: unique names, child processes, and counts of what a process holds. A
 * function that fails ends the test.
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

/* A name in /dev/shm that no test has had before. A queue or file of that name is removed when the
 * test ends. */
void test_name(char name[TEST_NAME_SIZE]);

/* A new directory, as a path. It is removed with the files in it when the test ends. */
void test_directory(char path[TEST_NAME_SIZE]);

/* Remove the names that killed tests have left in /dev/shm and /tmp; called before and after each
 * suite. */
void test_remove_names_of_the_dead(void);

/* Create a queue under NAME with an spsc ring of CAPACITY bytes. */
shmring_t *test_create(const char *name, unsigned flags, uint64_t capacity);

/* Create an mpmc queue of CAPACITY messages of at most LONGEST bytes. */
shmring_t *test_create_mpmc(const char *name, unsigned flags, uint64_t capacity, uint32_t longest);

/* ---- Child processes ------------------------------------------------------------------------- */

/*
 * Is this process root, and may it give files away and become another user? The root of a user
 * namespace may be unable to do so, though permission checks do not stop it either.
 */
bool test_is_root(void);

/* Give this process mounts of its own: no other process sees what it mounts, and that ends with the
 * process. Only root may do so; returns false for other users. */
bool test_own_mounts(void);

/*
 * Run BODY in a child. The child ends with BODY's result as its exit code, and is killed when the
 * test ends. BODY uses child_assert(): Criterion's assertions only work in the test's own process.
 */
pid_t test_fork(int (*body)(void *), void *argument);

/* Wait for the child to end. Returns its exit code, or minus the signal it died of. */
int test_wait(pid_t pid);

/* Fork a child that inherits every descriptor and mapping, and only sleeps, until this process
 * ends. */
pid_t test_fork_sleeper(void);

/* test_fork() and test_wait() in one. */
int test_run(int (*body)(void *), void *argument);

/* kill -9, and wait. The child must have been alive until then. */
void test_kill(pid_t pid);

/* Send the child the signal again and again until it ends: a signal that comes between two sleeps
 * of a call does not interrupt it. Returns as test_wait(). */
int test_interrupt(pid_t pid, int signo);

/* Wait until a process, or one of its threads, sleeps on a futex. */
void test_await_sleep(pid_t pid);
void test_await_sleep_of(pid_t pid, pid_t thread);

/* The number of kills for a test that kills at random: $SHMRING_TEST_KILLS, or else USUALLY. */
int test_kills(int usually);

/* The two ends of a pipe, close-on-exec: a child writes a byte to say how far it is. */
void test_pipe(int ends[2]);
void test_tell(int end); /* write a byte */
void test_hear(int end); /* read a byte: sleeps until it is there */

/* A gate that children wait behind, to start all at once. */
struct gate {
    int ready[2], go[2];
};
void gate_init(struct gate *gate);
void gate_wait(const struct gate *gate);      /* in a child */
void gate_open(struct gate *gate, int count); /* when count children are waiting */

/* For child_assert(): print the failed condition and end the child with exit code 1. */
_Noreturn void test_child_failed(const char *file, int line, const char *condition);
#define child_assert(Condition)                                                                    \
    ((Condition) ? (void)0 : test_child_failed(__FILE__, __LINE__, #Condition))

/* ---- Results --------------------------------------------------------------------------------- */

/* Assert that CALL returns -ERROR, and that the error detail contains WORDS. */
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

/* What this process holds of the kernel's objects. */
struct holdings {
    int descriptors;
    int shared_maps;
    int64_t address_space; /* bytes */
};
struct holdings test_holdings(void);

/*
 * Assert that nothing has leaked since BEFORE. The address space may have grown by LEEWAY bytes,
 * for the allocator. It is not compared under valgrind, which takes address space for itself.
 */
void assert_holds_no_more_than(const struct holdings *before, int64_t leeway);

/* Files in the directory, "." and ".." not counted. */
int test_count_files(const char *directory);

#endif
