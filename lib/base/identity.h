/* SPDX-License-Identifier: MIT */
/* The identity of this process, as written into segments for people to read. The library never uses
 * it to decide whether a participant is alive. */
#ifndef SHMR_IDENTITY_H
#define SHMR_IDENTITY_H

#include <stdint.h>

struct shmr_identity {
    uint32_t pid;
    uint32_t uid;
    uint64_t start_time; /* clock ticks since boot; 0 without /proc */
    uint64_t pid_ns;     /* inode of /proc/self/ns/pid; 0 without /proc */
    int64_t now_ns;      /* CLOCK_REALTIME */
    char comm[16];
};

void shmr_identity_self(struct shmr_identity *me);

#endif
