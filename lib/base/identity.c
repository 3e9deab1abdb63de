/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/identity.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Field 22 of /proc/self/stat; the fields are counted after the last ')', as comm may hold
 * anything. */
static uint64_t own_start_time(void)
{
    char text[1024];
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = 0;
    char *field = strrchr(text, ')');
    for (int i = 2; field && i < 22; i++)
        field = strchr(field + 1, ' ');
    return field ? strtoull(field + 1, NULL, 10) : 0;
}

void shmr_identity_self(struct shmr_identity *me)
{
    struct timespec now;
    struct stat ns;

    memset(me, 0, sizeof *me);
    clock_gettime(CLOCK_REALTIME, &now);
    me->now_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    me->pid = (uint32_t)getpid();
    me->uid = (uint32_t)geteuid();
    me->start_time = own_start_time();
    me->pid_ns = stat("/proc/self/ns/pid", &ns) == 0 ? (uint64_t)ns.st_ino : 0;
    prctl(PR_GET_NAME, me->comm);
    me->comm[sizeof me->comm - 1] = 0;
}
