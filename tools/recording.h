/* SPDX-License-Identifier: MIT */
/* The format of `shmring record`, which shmring-record(5) describes. Numbers are little-endian. */
#ifndef SHMRING_RECORDING_H
#define SHMRING_RECORDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RECORDING_VERSION = 1,
    RECORDING_HEAD = 32, /* bytes of the file's header, and of each record's */
    RECORDING_LONGEST = 1 << 30
};

enum recorded { RECORDED_MESSAGE = 1, RECORDED_GAP = 2, RECORDED_END = 3 };

struct recorded_head {
    enum recorded type;
    uint32_t length; /* of the message; else 0 */
    uint64_t number; /* of the message; a gap: messages that were missed; the end: recorded */
    int64_t time_ns; /* CLOCK_REALTIME, when it was received */
    uint32_t flags;  /* SHMRING_KEY, SHMRING_REDELIVERED */
};

/* Each writes RECORDING_HEAD bytes. */
void recording_put_start(unsigned char *bytes, uint32_t max_message, int64_t time_ns);
void recording_put_head(unsigned char *bytes, const struct recorded_head *head,
                        const void *payload);

/* Reads a recording, a part at a time. */
struct recording {
    int fd;
    uint32_t max_message;
    uint64_t offset;    /* in the file, of the record that was read last, or could not be read */
    const char *damage; /* after -EBADMSG */
    bool ended;         /* the record of the end was read */
    unsigned char *bytes;
    size_t size, start, end; /* bytes[start, end) was read from the file and not used yet */
    size_t used;             /* bytes of the record that was read last */
};

/*
 * recording_open() reads the file's header, recording_next() the next record; *payload is valid
 * until the next call. Each returns 1; 0: the recording is over, and is whole; -EPIPE: the file
 * ends, and the recording does not: it was cut off; -EBADMSG; -EINTR: stop_signal; or an error of
 * read(2).
 */
int recording_open(struct recording *in, int fd);
int recording_next(struct recording *in, struct recorded_head *head, const void **payload);
void recording_close(struct recording *in);

#endif
