/* SPDX-License-Identifier: MIT */
/*
 * A spool that lasts: jobs wait in a file. They survive the end of the submitting process and of
 * the worker, also when the worker is killed in the middle of a job.
 *
 *   ./durable_file submit /var/tmp/spool "first job" "second job"
 *   ./durable_file work /var/tmp/spool 1         does what is there, a second a job
 */
#include <errno.h>
#include <shmring/shmring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int submit(shmring_t *q, char **jobs)
{
    for (; *jobs; jobs++) {
        int rc = shmring_send(q, *jobs, strlen(*jobs));
        if (rc < 0) {
            fprintf(stderr, "'%s' not submitted: %s\n", *jobs,
                    rc == -EAGAIN ? "the spool is full" : shmring_strerror_detail());
            return 1;
        }
    }
    return 0;
}

static int work(shmring_t *q, unsigned seconds)
{
    const void *job;
    struct shmring_info info;
    ssize_t n;

    while ((n = shmring_peek(q, &job, &info)) >= 0) {
        /* With the flag, a worker that died may have done this job, or a part of it. */
        printf("%s: %.*s\n", info.flags & SHMRING_REDELIVERED ? "again" : "begin", (int)n,
               (const char *)job);
        fflush(stdout);
        sleep(seconds);
        shmring_release(q, job); /* the job is done, and only now leaves the file */
    }
    if (n == -EAGAIN)
        return 0;
    fprintf(stderr, "work: %s\n", shmring_strerror_detail());
    return 1;
}

int main(int argc, char **argv)
{
    int submitting = argc > 3 && strcmp(argv[1], "submit") == 0;
    int working = argc == 4 && strcmp(argv[1], "work") == 0;
    struct shmring_config config = {.kind = SHMRING_SPSC, .capacity = 1 << 20};
    char name[SHMRING_PATH_MAX + sizeof "file:"];
    shmring_t *q;

    if (!submitting && !working) {
        fputs("usage: durable_file submit PATH JOB...\n"
              "       durable_file work PATH SECONDS\n",
              stderr);
        return 2;
    }
    snprintf(name, sizeof name, "file:%s", argv[2]);
    config.flags = SHMRING_OPEN_OR_CREATE | (submitting ? SHMRING_PRODUCER : SHMRING_CONSUMER);
    if (shmring_create(&q, name, &config) < 0) {
        fprintf(stderr, "durable_file: %s\n", shmring_strerror_detail());
        return 1;
    }
    int status = submitting ? submit(q, argv + 3) : work(q, (unsigned)atoi(argv[3]));
    shmring_close(&q);
    return status;
}
