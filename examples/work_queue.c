/* SPDX-License-Identifier: MIT */
/*
 * A work queue: any process submits jobs, any number of workers do them. When a worker is killed in
 * the middle of a job, another worker gets the job, and the number of workers that have had it.
 *
 *   ./work_queue work jobs 1 &
 *   ./work_queue work jobs 1 &
 *   ./work_queue submit jobs "first job" "second job" "third job"
 *   shmring who jobs              who is at work, and for how long
 *
 * A job during which three workers have died is given up, so that it does not kill them all.
 */
#include <shmring/shmring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_TRIES = 3 };

static int submit(shmring_t *q, char **jobs)
{
    for (; *jobs; jobs++) {
        /* Sleeps while the queue is full. */
        if (shmring_send_wait(q, *jobs, strlen(*jobs), NULL) < 0) {
            fprintf(stderr, "'%s' not submitted: %s\n", *jobs, shmring_strerror_detail());
            return 1;
        }
    }
    return 0;
}

static int work(shmring_t *q, unsigned seconds)
{
    for (;;) {
        const void *job;
        struct shmring_info info;
        /* Sleeps while the queue is empty, and sweeps for jobs of dead workers meanwhile. */
        ssize_t n = shmring_peek_wait(q, &job, &info, NULL);
        if (n < 0) {
            fprintf(stderr, "work: %s\n", shmring_strerror_detail());
            return 1;
        }
        if (info.deliveries > MOST_TRIES) {
            printf("given up: %.*s\n", (int)n, (const char *)job);
        } else {
            printf("try %u: %.*s\n", info.deliveries, (int)n, (const char *)job);
            fflush(stdout);
            sleep(seconds);
            printf("done: %.*s\n", (int)n, (const char *)job);
        }
        fflush(stdout);
        shmring_release(q, job); /* only now the job leaves the queue */
    }
}

int main(int argc, char **argv)
{
    int submitting = argc > 3 && strcmp(argv[1], "submit") == 0;
    int working = argc == 4 && strcmp(argv[1], "work") == 0;
    struct shmring_config config = {.kind = SHMRING_MPMC, .capacity = 256, .max_message = 1000};
    shmring_t *q;

    if (!submitting && !working) {
        fputs("usage: work_queue submit QUEUE JOB...\n"
              "       work_queue work QUEUE SECONDS\n",
              stderr);
        return 2;
    }
    config.flags = SHMRING_OPEN_OR_CREATE | (submitting ? SHMRING_PRODUCER : SHMRING_CONSUMER);
    if (shmring_create(&q, argv[2], &config) < 0) {
        fprintf(stderr, "work_queue: %s\n", shmring_strerror_detail());
        return 1;
    }
    int status = submitting ? submit(q, argv + 3) : work(q, (unsigned)atoi(argv[3]));
    shmring_close(&q);
    return status;
}
