/* SPDX-License-Identifier: MIT */
/* The files behind the descriptors of tests/wait/fd.c: which process makes them, may use them, and
 * removes them. */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/core/handle.h"
#include "lib/wait/notifier.h"
#include "support.h"

#define NOBODY 65534

TestSuite(notifier, .timeout = 120);

/* Recheck only after an hour: a waiter must have been notified of each event. */
static const struct shmring_waiting sleepy = {.recheck_ms = 3600000};

/* A queue in a directory of its own, so that the test finds files that are left behind. */
static char directory[TEST_NAME_SIZE], name[2 * TEST_NAME_SIZE];
static shmring_t *producer, *consumer;
static char buf[4096];

static void create(uint32_t mode)
{
    const struct shmring_config config = {
        .kind = SHMRING_SPSC, .flags = SHMRING_PRODUCER, .capacity = 4096, .mode = mode};

    snprintf(name, sizeof name, "file:%s/queue", directory);
    cr_assert_eq(shmring_create(&producer, name, &config), 0, "%s", shmring_strerror_detail());
    cr_assert_eq(shmring_open(&consumer, name, SHMRING_CONSUMER), 0);
    cr_assert_eq(shmring_set_waiting(consumer, &sleepy), 0);
}

static void setup(void)
{
    test_directory(directory);
    create(0600);
}

static void teardown(void)
{
    shmring_close(&producer);
    shmring_close(&consumer);
    shmring_unlink(name);
    cr_assert_eq(test_count_files(directory), 0);
}

static const char *notifier_of(const shmring_t *q)
{
    static char path[PATH_MAX];

    snprintf(path, sizeof path, "%s", q->notifier);
    path[strlen(path) - 1] = 'r';
    return path;
}

static bool exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

static void await(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    cr_assert_eq(poll(&p, 1, -1), 1);
    cr_assert_eq(p.revents, POLLIN);
}

/* Arm twice: after the first time a handle rechecks early. */
static int armed(shmring_t *q)
{
    int fd = shmring_fd(q, SHMRING_READABLE);

    cr_assert_geq(fd, 0, "%s", shmring_strerror_detail());
    for (int i = 0; i < 2; i++)
        cr_assert_eq(shmring_fd_arm(q, SHMRING_READABLE), 0);
    return fd;
}

static void check_it_notifies(int fd)
{
    cr_assert_eq(shmring_send(producer, "hello", 5), 0);
    await(fd);
    cr_assert_eq(shmring_recv(consumer, buf, sizeof buf), 5);
}

/* ---- The file that is made ------------------------------------------------------------------- */

Test(notifier, nothing_before_it_is_asked_for, .init = setup, .fini = teardown)
{
    cr_assert_eq(shmring_send(producer, "hello", 5), 0);
    cr_assert_eq(shmring_wait(consumer, SHMRING_READABLE, NULL), SHMRING_READABLE);
    cr_assert_eq(shmring_recv(consumer, buf, sizeof buf), 5);
    cr_assert_eq(test_count_files(directory), 1);
    armed(consumer);
    cr_assert_eq(test_count_files(directory), 2);
    cr_assert(exists(notifier_of(consumer)));
}

Test(notifier, permissions_are_the_queues, .init = setup, .fini = teardown)
{
    const bool root = test_is_root();
    struct stat st;

    teardown();
    create(0660);
    if (root)
        cr_assert_eq(chown(name + strlen("file:"), NOBODY, NOBODY), 0);
    umask(root ? 0777 : 0177); /* only root has all permissions for files of other users */
    armed(consumer);
    cr_assert_eq(stat(notifier_of(consumer), &st), 0);
    cr_assert(S_ISFIFO(st.st_mode));
    cr_assert_eq(st.st_mode & 07777, 0660);
    cr_assert_eq(st.st_uid, root ? NOBODY : geteuid());
    cr_assert_eq(st.st_gid, root ? NOBODY : getegid());
}

static int copy_the_queue(void *unused)
{
    char command[1024];
    (void)unused;

    snprintf(command, sizeof command, "cp %s/queue %s/copy", directory, directory);
    return system(command);
}

/* The two queues have the same header, but no participant of one empties the notifier of the
 * other. */
Test(notifier, a_copy_of_the_queue_has_its_own, .init = setup, .fini = teardown)
{
    shmring_t *copy;

    cr_assert_eq(test_run(copy_the_queue, NULL), 0);
    snprintf(name, sizeof name, "file:%s/copy", directory);
    cr_assert_eq(shmring_open(&copy, name, SHMRING_CONSUMER), 0);
    armed(copy);
    int fd = armed(consumer);
    cr_assert_eq(shmring_send(producer, "hello", 5), 0);
    cr_assert_eq(shmring_fd_arm(copy, SHMRING_READABLE), 0);
    await(fd);
    shmring_close(&copy);
    cr_assert_eq(shmring_unlink(name), 0);
    snprintf(name, sizeof name, "file:%s/queue", directory);
}

Test(notifier, of_a_posix_queue, .init = setup, .fini = teardown)
{
    char posix[TEST_NAME_SIZE];
    struct holdings before = test_holdings();

    test_name(posix);
    shmring_t *q = test_create(posix, SHMRING_PRODUCER | SHMRING_CONSUMER, 4096);
    armed(q);
    cr_assert_eq(strncmp(notifier_of(q), "/dev/shm/.shmring-notifier-", 27), 0);
    cr_assert(exists(notifier_of(q)));
    char *path = strdup(notifier_of(q));
    shmring_close(&q);
    cr_assert_eq(shmring_unlink(posix), 0);
    cr_assert(!exists(path));
    free(path);
    assert_holds_no_more_than(&before, 1 << 20);
}

static int send_in_a_child(void *unused)
{
    shmring_t *mine;
    (void)unused;

    child_assert(shmring_dup(&mine, consumer, SHMRING_PRODUCER) == 0);
    child_assert(shmring_send(mine, "hello", 5) == 0);
    shmring_close(&mine);
    shmring_close(&consumer);
    return 0;
}

static void make_memfd(void)
{
    const struct shmring_config config = {
        .kind = SHMRING_MPMC, .flags = SHMRING_CONSUMER, .capacity = 4, .max_message = 100};

    test_directory(directory);
    cr_assert_eq(shmring_create(&consumer, "memfd:test", &config), 0);
    cr_assert_eq(shmring_set_waiting(consumer, &sleepy), 0);
}

Test(notifier, of_a_memfd, .init = make_memfd)
{
    struct holdings before = test_holdings();
    int fd = armed(consumer);
    char *path = strdup(notifier_of(consumer));

    cr_assert_eq(strncmp(path, "/dev/shm/.shmring-notifier-", 27), 0);
    cr_assert_eq(test_run(send_in_a_child, NULL), 0);
    await(fd);
    cr_assert_eq(shmring_recv(consumer, buf, sizeof buf), 5);
    cr_assert(exists(path), "the child was not the last");
    shmring_close(&consumer);
    cr_assert(!exists(path));
    free(path);
    /* The handle had two descriptors of the segment: see lib/core/segment.h. */
    cr_assert_eq(test_holdings().descriptors, before.descriptors - 2);
}

/* ---- Files at the notifier's path ------------------------------------------------------------ */

static void check_refused(const char *words, int error)
{
    struct holdings before = test_holdings();

    assert_refused(shmring_fd(consumer, SHMRING_READABLE), error, words);
    assert_refused(shmring_fd_arm(consumer, SHMRING_READABLE), error, words);
    cr_assert_eq(shmring_send(producer, "hello", 5), 0);
    cr_assert_eq(shmring_recv(consumer, buf, sizeof buf), 5);
    assert_holds_no_more_than(&before, 1 << 20);
}

Test(notifier, not_a_notifier, .init = setup, .fini = teardown)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = notifier_of(consumer);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);

    cr_assert_geq(fd, 0);
    close(fd);
    check_refused("not a notifier", EEXIST);
    cr_assert_eq(unlink(path), 0);

    cr_assert_eq(symlink("elsewhere", path), 0);
    check_refused("not a notifier", EEXIST);
    cr_assert_eq(unlink(path), 0);

    cr_assert_eq(mkdir(path, 0700), 0);
    check_refused("not a notifier", EEXIST);
    cr_assert_eq(rmdir(path), 0);

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%.107s", path);
    cr_assert_eq(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    check_refused("not a notifier", EEXIST);
    cr_assert_eq(unlink(path), 0);
    close(fd);

    check_it_notifies(armed(consumer));
}

/* A FIFO of another user is accepted only if that user may write to the queue. */
Test(notifier, a_strangers_fifo, .init = setup, .fini = teardown)
{
    const char *path = notifier_of(consumer), *queue = name + strlen("file:");

    if (!test_is_root())
        cr_skip_test("only root can give files away");
    cr_assert_eq(mkfifo(path, 0666), 0);
    cr_assert_eq(chown(path, NOBODY, NOBODY), 0);
    check_refused("trusted", EEXIST);
    cr_assert_eq(chmod(queue, 0660), 0);
    check_refused("trusted", EEXIST);
    cr_assert_eq(chown(queue, 0, NOBODY), 0);
    cr_assert_geq(shmring_fd(consumer, SHMRING_READABLE), 0);
    check_it_notifies(armed(consumer));

    shmring_close(&consumer);
    cr_assert_eq(chown(queue, 0, 0), 0);
    cr_assert_eq(chmod(queue, 0606), 0);
    cr_assert_eq(shmring_open(&consumer, name, SHMRING_CONSUMER), 0);
    cr_assert_geq(shmring_fd(consumer, SHMRING_READABLE), 0);

    shmring_close(&consumer);
    cr_assert_eq(chmod(queue, 0600), 0);
    cr_assert_eq(chown(queue, NOBODY, NOBODY), 0);
    cr_assert_eq(shmring_open(&consumer, name, SHMRING_CONSUMER), 0);
    cr_assert_geq(shmring_fd(consumer, SHMRING_READABLE), 0);
}

static int wait_where_one_must_not_write(void *unused)
{
    shmring_t *mine;
    (void)unused;

    child_assert(geteuid() != 0 || setuid(NOBODY) == 0);
    child_assert(shmring_open(&mine, name, SHMRING_CONSUMER) == 0);
    child_refused(shmring_fd(mine, SHMRING_READABLE), EACCES, "notifier");
    shmring_close(&mine);
    return 0;
}

Test(notifier, no_permission, .init = setup, .fini = teardown)
{
    if (geteuid() == 0 && !test_is_root())
        cr_skip_test("root of a user namespace, to whom nothing is forbidden");
    teardown();
    create(0666);
    shmring_close(&consumer);
    cr_assert_eq(chmod(directory, 0555), 0);
    cr_assert_eq(test_run(wait_where_one_must_not_write, NULL), 0);
    cr_assert_eq(chmod(directory, 0700), 0);
}

static int run_out_of_descriptors(void *unused)
{
    struct rlimit limit, all;
    int fd = -EMFILE, refusals = 0;
    shmring_t *mine;
    (void)unused;

    child_assert(shmring_open(&mine, name, SHMRING_CONSUMER) == 0);
    const int before = test_holdings().descriptors;
    child_assert(getrlimit(RLIMIT_NOFILE, &all) == 0);
    for (limit = all, limit.rlim_cur = 3; fd < 0; limit.rlim_cur++) {
        child_assert(setrlimit(RLIMIT_NOFILE, &limit) == 0);
        fd = shmring_fd(mine, SHMRING_READABLE);
        child_assert(fd >= 0 || fd == -EMFILE);
        refusals += fd < 0;
    }
    child_assert(refusals >= 3);
    child_assert(setrlimit(RLIMIT_NOFILE, &all) == 0);
    child_assert(test_holdings().descriptors == before + 3);
    shmring_close(&mine);
    return 0;
}

/* ---- Another root directory ------------------------------------------------------------------ */

struct root {
    char path[TEST_NAME_SIZE], there[3 * TEST_NAME_SIZE]; /* the path of `directory` in that root */
    bool same; /* the queue's directory is mounted there */
};

/* Returns 77 where this process may not do so. */
static int ask_in_another_root(void *argument)
{
    const struct root *root = argument;
    shmring_t *mine;

    child_assert(shmring_open(&mine, name, SHMRING_CONSUMER) == 0);
    if (root->same &&
        (!test_own_mounts() || mount(directory, root->there, "none", MS_BIND, NULL) < 0))
        return 77;
    if (chroot(root->path) < 0)
        return 77;
    const int fd = shmring_fd(mine, SHMRING_READABLE);
    if (root->same)
        child_assert(fd >= 0);
    else
        child_refused(fd, ENOENT, "chroot(2)");
    child_assert(exists(notifier_of(mine)) == root->same);
    shmring_close(&mine);
    return 0;
}

/* In another root the path of the queue's directory may lead nowhere, to a directory where no peer
 * looks for a notifier, or to the queue's directory after all. */
Test(notifier, in_another_root, .init = setup, .fini = teardown)
{
    struct root root = {.same = false};

    shmring_close(&consumer);
    test_directory(root.path);
    int r = test_run(ask_in_another_root, &root);
    snprintf(root.there, sizeof root.there, "%s/tmp", root.path);
    cr_assert_eq(mkdir(root.there, 0700), 0);
    snprintf(root.there, sizeof root.there, "%s%s", root.path, directory);
    cr_assert_eq(mkdir(root.there, 0700), 0);
    if (r == 0)
        r = test_run(ask_in_another_root, &root);
    cr_assert_eq(test_count_files(directory), 1, "the queue alone");
    root.same = true;
    const int same = r == 0 ? test_run(ask_in_another_root, &root) : 77;
    rmdir(root.there);
    snprintf(root.there, sizeof root.there, "%s/tmp", root.path);
    rmdir(root.there);
    if (r == 77)
        cr_skip_test("chroot(2) is for root");
    cr_assert_eq(r, 0);
    cr_assert(same == 0 || same == 77);
    cr_assert_eq(test_count_files(directory), same == 0 ? 2 : 1);
}

/* ---- When the file is removed ---------------------------------------------------------------- */

Test(notifier, a_name_that_goes_first, .init = setup, .fini = teardown)
{
    int fd = armed(consumer);

    check_it_notifies(fd);
    cr_assert_eq(shmring_unlink(name), 0);
    cr_assert_eq(test_count_files(directory), 1, "a participant waits there");
    armed(consumer);
    check_it_notifies(fd);
    shmring_close(&consumer);
    cr_assert_eq(test_count_files(directory), 1, "the producer has it open");
    shmring_close(&producer);
    cr_assert_eq(test_count_files(directory), 0);
}

Test(notifier, it_stays_with_the_name, .init = setup, .fini = teardown)
{
    armed(consumer);
    shmring_close(&consumer);
    cr_assert_eq(test_count_files(directory), 2);
    cr_assert_eq(shmring_open(&consumer, name, SHMRING_CONSUMER), 0);
    cr_assert_eq(shmring_set_waiting(consumer, &sleepy), 0);
    check_it_notifies(armed(consumer));
}

static int die_waiting(void *end)
{
    shmring_t *mine;

    child_assert(shmring_dup(&mine, consumer, SHMRING_CONSUMER) == 0);
    child_assert(shmring_fd(mine, SHMRING_READABLE) >= 0);
    test_tell(*(int *)end);
    pause();
    return 0;
}

Test(notifier, what_the_dead_leave_is_removed, .init = setup, .fini = teardown)
{
    int ends[2];

    shmring_close(&consumer);
    cr_assert_eq(shmring_open(&consumer, name, SHMRING_OBSERVER), 0);
    test_pipe(ends);
    pid_t pid = test_fork(die_waiting, &ends[1]);
    test_hear(ends[0]);
    test_kill(pid);
    cr_assert_eq(test_count_files(directory), 2);
    cr_assert_eq(shmring_unlink(name), 0);
    cr_assert_eq(test_count_files(directory), 0);
}

/* A participant opens the notifier while another process removes it: the participant does not keep
 * the one without a name. */
Test(notifier, removed_while_it_is_opened, .init = setup, .fini = teardown)
{
    const char *path = notifier_of(consumer);

    cr_assert_eq(mkfifo(path, 0600), 0);
    int remover = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    cr_assert_eq(flock(remover, LOCK_EX | LOCK_NB), 0);
    assert_refused(shmring_fd(consumer, SHMRING_READABLE), EBUSY, "being removed");
    cr_assert_eq(unlink(path), 0);
    close(remover);
    check_it_notifies(armed(consumer));
    cr_assert(!shmr_notifier_remove_idle(AT_FDCWD, path, false));
    cr_assert(exists(path));
}

/* Replaces the function of the C library. */
static const char *removed_before_it_is_locked;

int flock(int fd, int operation)
{
    if (removed_before_it_is_locked)
        unlink(removed_before_it_is_locked);
    removed_before_it_is_locked = NULL;
    return (int)syscall(SYS_flock, fd, operation);
}

Test(notifier, removed_before_it_is_locked, .init = setup, .fini = teardown)
{
    const char *path = notifier_of(consumer);

    cr_assert_eq(mkfifo(path, 0600), 0);
    removed_before_it_is_locked = path;
    int fd = armed(consumer);
    cr_assert(exists(path), "another one was made");
    check_it_notifies(fd);
}

enum { TURNS = 2000 };

static int open_and_close(void *unused)
{
    shmring_t *mine;
    struct stat st;
    (void)unused;

    for (int i = 0; i < TURNS; i++) {
        child_assert(shmring_dup(&mine, consumer, SHMRING_CONSUMER) == 0);
        int fd = shmring_fd(mine, SHMRING_READABLE);
        child_assert(fd >= 0 || fd == -EBUSY);
        if (fd >= 0)
            child_assert(fstat(mine->polled[SHMR_READABLE].fifo, &st) == 0 && st.st_nlink > 0);
        shmring_close(&mine);
    }
    return 0;
}

/* Each process removes the notifier if it is the last one to use it, and none removes a notifier
 * that another process has just opened. */
Test(notifier, made_and_removed_all_the_time, .init = make_memfd)
{
    pid_t pid[2];
    char *path = strdup(notifier_of(consumer));

    for (int i = 0; i < 2; i++)
        pid[i] = test_fork(open_and_close, NULL);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(test_wait(pid[i]), 0);
    cr_assert(!exists(path));
    free(path);
    shmring_close(&consumer);
}

/* ---- Descriptors ----------------------------------------------------------------------------- */

Test(notifier, no_descriptors_left, .init = setup, .fini = teardown)
{
    shmring_close(&consumer);
    cr_assert_eq(test_run(run_out_of_descriptors, NULL), 0);
    cr_assert_eq(shmring_open(&consumer, name, SHMRING_CONSUMER), 0);
}

Test(notifier, nothing_leaks, .init = setup, .fini = teardown)
{
    struct holdings before;

    for (int i = 0; i < 5; i++) {
        if (i == 1) /* the first turn may allocate memory that is kept for ever */
            before = test_holdings();
        check_it_notifies(armed(consumer));
        shmring_close(&consumer);
        shmring_close(&producer);
        cr_assert_eq(shmring_open(&producer, name, SHMRING_PRODUCER), 0);
        cr_assert_eq(shmring_open(&consumer, name, SHMRING_CONSUMER), 0);
        cr_assert_eq(shmring_set_waiting(consumer, &sleepy), 0);
        if (i == 0)
            before = test_holdings();
    }
    assert_holds_no_more_than(&before, 1 << 20);
}

static int use_and_close_the_parents(void *unused)
{
    (void)unused;
    child_refused(shmring_fd(consumer, SHMRING_READABLE), ENOTCONN, "parent");
    child_refused(shmring_fd_arm(consumer, SHMRING_READABLE), ENOTCONN, "parent");
    shmring_close(&consumer);
    shmring_close(&producer);
    return 0;
}

Test(notifier, a_child_leaves_the_parents_alone, .init = setup, .fini = teardown)
{
    int fd = armed(consumer);

    check_it_notifies(fd);
    armed(consumer);
    cr_assert_eq(test_run(use_and_close_the_parents, NULL), 0);
    check_it_notifies(fd);
}
