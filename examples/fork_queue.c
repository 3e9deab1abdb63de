/* SPDX-License-Identifier: MIT */
/*
 * A child sends numbers to its parent through a queue that has no name and that no other process
 * can reach: a memfd, inherited over fork().
 *
 *   ./fork_queue 1000000
 */
#include <errno.h>
#include <inttypes.h>
#include <shmring/shmring.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* When a call has waited that long, parent and child check whether the other one still lives. */
static const struct timespec patience = {.tv_nsec = 10000000};

static int child(shmring_t *inherited, pid_t parent, uint64_t count)
{
    shmring_t *q;

    /* The inherited handle is the parent's: attach with a new one, and free this copy. */
    if (shmring_dup(&q, inherited, SHMRING_PRODUCER) < 0) {
        fprintf(stderr, "child: %s\n", shmring_strerror_detail());
        return 1;
    }
    shmring_close(&inherited);
    for (uint64_t number = 0; number < count; number++) {
        int rc;
        while ((rc = shmring_send_wait(q, &number, sizeof number, &patience)) == -ETIMEDOUT)
            if (getppid() != parent)
                return 1; /* the parent is gone: no process will make room */
        if (rc < 0)
            return 1;
    }
    shmring_close(&q);
    return 0;
}

int main(int argc, char **argv)
{
    struct shmring_config config = {
        .kind = SHMRING_SPSC, .flags = SHMRING_CONSUMER, .capacity = 65536};
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000;
    pid_t parent = getpid();
    shmring_t *q;

    if (shmring_create(&q, "memfd:numbers", &config) < 0) {
        fprintf(stderr, "fork_queue: %s\n", shmring_strerror_detail());
        return 1;
    }
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork_queue: fork");
        return 1;
    }
    if (pid == 0)
        _exit(child(q, parent, count));
    printf("child %d\n", (int)pid);
    fflush(stdout);

    uint64_t number, received = 0, sum = 0;
    int status = 0, gone = 0;
    for (;;) {
        ssize_t n = shmring_recv_wait(q, &number, sizeof number, &patience);
        if (n == sizeof number) {
            received++;
            sum += number;
        } else if (n != -ETIMEDOUT) {
            fprintf(stderr, "fork_queue: %s\n", shmring_strerror_detail());
            return 1;
        } else if (gone) {
            break; /* empty, and the child had ended before */
        } else {
            gone = waitpid(pid, &status, WNOHANG) == pid;
        }
    }
    shmring_close(&q);
    printf("received %" PRIu64 " numbers, sum %" PRIu64 "\n", received, sum);
    if (WIFSIGNALED(status))
        printf("the child was killed by signal %d\n", WTERMSIG(status));
    return status != 0;
}
