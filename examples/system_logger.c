/* SPDX-License-Identifier: MIT */
/*
 * A system logger: many clients, one file. Clients and the logger may be killed at any instruction
 * and started again. No line that a client has sent is lost.
 *
 *   ./system_logger log syslog /var/tmp/messages &
 *   echo "disk is full" | ./system_logger client syslog backup
 *
 * The lines are in the order in which they were sent, and look like this:
 *
 *    2026-11-20T12:00:00.123456Z backup[4711].1: disk is full
 *   *2026-11-20T12:00:00.123456Z backup[4711].1: disk is full
 *
 * The star means that a logger took this line before and died, so the line may be in the file
 * already. The process id and the number tell whether it is. A client prints the number of each
 * line once it is sent; a line whose number was printed will be in the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <shmring/shmring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST = 1000 };

static int failed(const char *what, const char *why)
{
    fprintf(stderr, "system_logger: %s: %s\n", what, why);
    return 1;
}

static int compose(char *line, size_t size, const char *client, unsigned long number,
                   const char *text)
{
    char date[32];
    struct timespec now;
    struct tm tm;

    clock_gettime(CLOCK_REALTIME, &now);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", gmtime_r(&now.tv_sec, &tm));
    return snprintf(line, size, "%s.%06ldZ %.50s[%d].%lu: %.*s", date, now.tv_nsec / 1000, client,
                    (int)getpid(), number, (int)strcspn(text, "\n"), text);
}

static int client(shmring_t *q, const char *name)
{
    char text[LONGEST - 200], line[LONGEST];

    for (unsigned long number = 1; fgets(text, sizeof text, stdin); number++) {
        int length = compose(line, sizeof line, name, number, text);
        if (shmring_send_wait(q, line, (size_t)length, NULL) < 0) /* sleeps while it is full */
            return failed("sending", shmring_strerror_detail());
        printf("%lu\n", number);
        fflush(stdout);
    }
    return 0;
}

/* A logger that was killed may have written a part of a line: then begin a new line. */
static int open_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    char last;

    if (end > 0 && pread(fd, &last, 1, end - 1) == 1 && last != '\n' && write(fd, "\n", 1) != 1)
        return -1;
    return fd;
}

static int logger(shmring_t *q, const char *path)
{
    int fd = open_file(path);

    if (fd < 0)
        return failed(path, strerror(errno));
    for (;;) {
        char line[LONGEST + 2];
        const void *message;
        struct shmring_info info;
        ssize_t n = shmring_peek_wait(q, &message, &info, NULL); /* sleeps while it is empty */
        if (n < 0)
            return failed("receiving", shmring_strerror_detail());
        line[0] = info.flags & SHMRING_REDELIVERED ? '*' : ' ';
        memcpy(line + 1, message, (size_t)n);
        line[n + 1] = '\n';
        if (write(fd, line, (size_t)n + 2) != n + 2)
            return failed(path, strerror(errno)); /* the next logger gets the line again */
        shmring_release(q, message);              /* only now it leaves the queue */
    }
}

int main(int argc, char **argv)
{
    int logging = argc == 4 && strcmp(argv[1], "log") == 0;
    struct shmring_config config = {
        .kind = SHMRING_MPMC, .capacity = 1024, .max_message = LONGEST, .max_participants = 256};
    shmring_t *q;

    if (!logging && (argc != 4 || strcmp(argv[1], "client") != 0)) {
        fputs("usage: system_logger log QUEUE FILE\n"
              "       system_logger client QUEUE NAME <LINES\n",
              stderr);
        return 2;
    }
    config.flags = SHMRING_OPEN_OR_CREATE | (logging ? SHMRING_CONSUMER : SHMRING_PRODUCER);
    if (shmring_create(&q, argv[2], &config) < 0)
        return failed(argv[2], shmring_strerror_detail());
    int status = logging ? logger(q, argv[3]) : client(q, argv[3]);
    shmring_close(&q);
    return status;
}
