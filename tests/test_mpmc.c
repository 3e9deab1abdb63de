/* SPDX-License-Identifier: MIT */
/* MPMC through the public interface: FIFO, full and empty, redelivery after a kill. */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <shmring/shmring.h>

static shmring_t *make_queue(uint64_t capacity, uint32_t flags)
{
    const struct shmring_config config = {.kind = SHMRING_MPMC,
                                          .flags = SHMRING_PRODUCER | SHMRING_CONSUMER | flags,
                                          .capacity = capacity,
                                          .max_message = 100};
    shmring_t *q;

    cr_assert_eq(shmring_create(&q, "memfd:mpmc", &config), 0, "%s", shmring_strerror_detail());
    return q;
}

Test(mpmc, first_in_first_out)
{
    shmring_t *q = make_queue(8, 0);
    uint64_t sent = 0, received = 0, number;

    for (int round = 0; round < 1000; round++) {
        for (int i = 0; i < round % 10; i++) {
            int r = shmring_send(q, &sent, sizeof sent);
            cr_assert(r == 0 || (r == -EAGAIN && sent - received == 8));
            sent += r == 0;
        }
        for (int i = 0; i < round % 7; i++) {
            ssize_t n = shmring_recv(q, &number, sizeof number);
            cr_assert(n == sizeof number || (n == -EAGAIN && sent == received));
            if (n > 0)
                cr_assert_eq(number, received++);
        }
    }
    shmring_close(&q);
}

/* A consumer is killed while it holds two messages: they come again, last and flagged. */
static void kill_a_consumer(shmring_t *q)
{
    pid_t pid = fork();

    if (pid == 0) {
        const void *msg;
        shmring_t *child;
        if (shmring_dup(&child, q, SHMRING_CONSUMER) == 0 && shmring_peek(child, &msg, NULL) > 0 &&
            shmring_peek(child, &msg, NULL) > 0)
            raise(SIGKILL);
        _exit(1);
    }
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFSIGNALED(status));
}

Test(mpmc, a_killed_consumers_messages_come_again)
{
    static const int order[] = {2, 3, 0, 1};
    shmring_t *q = make_queue(4, 0);
    struct shmring_recovery report;
    struct shmring_info info;
    const void *msg;

    for (int i = 0; i < 4; i++)
        cr_assert_eq(shmring_send(q, &i, sizeof i), 0);
    kill_a_consumer(q);
    cr_assert_eq(shmring_recover(q, &report), 1);
    cr_assert_eq(report.redelivered, 2);
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(shmring_peek(q, &msg, &info), sizeof(int));
        cr_assert_eq(*(const int *)msg, order[i]);
        cr_assert_eq(info.deliveries, order[i] < 2 ? 2 : 1);
        cr_assert_eq(info.flags, order[i] < 2 ? SHMRING_REDELIVERED : 0);
        cr_assert_eq(shmring_release(q, msg), 0);
        cr_assert_eq(shmring_release(q, msg), -EINVAL);
    }
    cr_assert_eq(shmring_peek(q, &msg, &info), -EAGAIN);
    shmring_close(&q);
}

Test(mpmc, at_most_once_drops_them)
{
    shmring_t *q = make_queue(4, SHMRING_AT_MOST_ONCE);
    struct shmring_recovery report;

    for (int i = 0; i < 4; i++)
        cr_assert_eq(shmring_send(q, &i, sizeof i), 0);
    kill_a_consumer(q);
    cr_assert_eq(shmring_recover(q, &report), 1);
    cr_assert_eq(report.dropped, 2);
    for (int i = 0; i < 4; i++) /* their blocks are free again: two wait, two fit */
        cr_assert_eq(shmring_send(q, &i, sizeof i), i < 2 ? 0 : -EAGAIN);
    shmring_close(&q);
}
