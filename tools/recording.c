/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "recording.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <shmring/shmring.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

static const unsigned char magic[8] = {'s', 'h', 'm', 'r', 'i', 'n', 'g', '\n'};

/* The file's header, and that of a record: what is summed follows the checksum. */
struct start {
    unsigned char magic[8];
    uint32_t checksum; /* of all that follows */
    uint32_t version;
    uint32_t max_message;
    uint32_t reserved; /* 0 */
    int64_t time_ns;
};

struct head {
    uint32_t checksum; /* of all that follows, and of the message */
    uint32_t type;
    uint32_t length;
    uint32_t flags;
    uint64_t number;
    int64_t time_ns;
};

_Static_assert(sizeof(struct start) == RECORDING_HEAD, "the file's header has no padding");
_Static_assert(sizeof(struct head) == RECORDING_HEAD, "a record's header has no padding");

/* ---- CRC-32C --------------------------------------------------------------------------------- */

/* The Castagnoli polynomial, bit-reversed, by a table: zlib, which has another polynomial, would be
 * a dependency for these lines. */
static uint32_t checksum_of_byte(uint32_t byte)
{
    for (int bit = 0; bit < 8; bit++)
        byte = (byte >> 1) ^ (byte & 1 ? UINT32_C(0x82f63b78) : 0);
    return byte;
}

static uint32_t checksum(uint32_t sum, const void *bytes, size_t n)
{
    static uint32_t table[256];
    const unsigned char *p = bytes;

    if (table[1] == 0)
        for (uint32_t byte = 0; byte < 256; byte++)
            table[byte] = checksum_of_byte(byte);
    for (sum = ~sum; n > 0; p++, n--)
        sum = (sum >> 8) ^ table[(sum ^ *p) & 255];
    return ~sum;
}

static uint32_t checksum_of_start(const struct start *start)
{
    return checksum(0, &start->version, sizeof *start - offsetof(struct start, version));
}

static uint32_t checksum_of_record(const struct head *head, const void *payload, size_t length)
{
    const uint32_t sum = checksum(0, &head->type, sizeof *head - offsetof(struct head, type));
    return checksum(sum, payload, length);
}

/* ---- Writing --------------------------------------------------------------------------------- */

void recording_put_start(unsigned char *bytes, uint32_t max_message, int64_t time_ns)
{
    struct start start = {.version = htole32(RECORDING_VERSION),
                          .max_message = htole32(max_message),
                          .time_ns = (int64_t)htole64((uint64_t)time_ns)};
    memcpy(start.magic, magic, sizeof magic);
    start.checksum = htole32(checksum_of_start(&start));
    memcpy(bytes, &start, sizeof start);
}

void recording_put_head(unsigned char *bytes, const struct recorded_head *from, const void *payload)
{
    struct head head = {.type = htole32(from->type),
                        .length = htole32(from->length),
                        .flags = htole32(from->flags),
                        .number = htole64(from->number),
                        .time_ns = (int64_t)htole64((uint64_t)from->time_ns)};
    head.checksum = htole32(checksum_of_record(&head, payload, from->length));
    memcpy(bytes, &head, sizeof head);
}

/* ---- Reading --------------------------------------------------------------------------------- */

static int read_some(struct recording *in)
{
    for (;;) {
        if (stop_signal)
            return -EINTR;
        ssize_t n = read(in->fd, in->bytes + in->end, in->size - in->end);
        if (n >= 0) {
            in->end += (size_t)n;
            return n > 0;
        }
        if (errno == EAGAIN)
            wait_ready(in->fd, POLLIN);
        else if (errno != EINTR)
            return -errno;
    }
}

/* Read until there are n bytes. The memory grows with what is read, not with what a length says.
 * Returns 1; 0: the file ends before; or an error. */
static int need(struct recording *in, size_t n)
{
    while (in->end - in->start < n) {
        if (in->start > 0) {
            memmove(in->bytes, in->bytes + in->start, in->end - in->start);
            in->end -= in->start;
            in->start = 0;
        }
        if (in->end == in->size) {
            in->size = in->size ? in->size * 2 : 64 * 1024;
            in->bytes = must(realloc(in->bytes, in->size));
        }
        int rc = read_some(in);
        if (rc <= 0)
            return rc;
    }
    return 1;
}

static int damaged(struct recording *in, const char *what)
{
    in->damage = what;
    return -EBADMSG;
}

static void use(struct recording *in, size_t n)
{
    in->start += n;
    in->used = n;
}

int recording_open(struct recording *in, int fd)
{
    struct start start;
    *in = (struct recording){.fd = fd};

    int rc = need(in, sizeof start);
    if (rc < 0)
        return rc;
    const size_t have = in->end - in->start;
    if (memcmp(in->bytes, magic, have < sizeof magic ? have : sizeof magic) != 0)
        return damaged(in, "this is not a recording of shmring");
    if (rc == 0)
        return -EPIPE;
    memcpy(&start, in->bytes, sizeof start);
    if (le32toh(start.checksum) != checksum_of_start(&start))
        return damaged(in, "the checksum of the file's header is wrong");
    if (le32toh(start.version) != RECORDING_VERSION)
        return damaged(in, "the recording has another version than 1");
    in->max_message = le32toh(start.max_message);
    if (in->max_message > RECORDING_LONGEST)
        return damaged(in, "the longest message is longer than any can be");
    use(in, sizeof start);
    return 1;
}

/* Can it be a record's header? */
static int check_head(struct recording *in, const struct recorded_head *head)
{
    const unsigned known = SHMRING_KEY | SHMRING_REDELIVERED;

    if (head->type < RECORDED_MESSAGE || head->type > RECORDED_END)
        return damaged(in, "there is no such type of record");
    if (head->length > (head->type == RECORDED_MESSAGE ? in->max_message : 0))
        return damaged(in, "a record is longer than the file's header allows");
    if (head->type == RECORDED_GAP && head->number == 0)
        return damaged(in, "a gap of no messages");
    return head->flags & ~known ? damaged(in, "a record has unknown flags") : 1;
}

int recording_next(struct recording *in, struct recorded_head *out, const void **payload)
{
    struct head head;

    in->offset += in->used;
    in->used = 0;
    int rc = need(in, in->ended ? 1 : sizeof head);
    if (rc < 0)
        return rc;
    if (in->ended)
        return rc == 0 ? 0 : damaged(in, "there are bytes behind the end");
    if (rc == 0)
        return -EPIPE;
    memcpy(&head, in->bytes + in->start, sizeof head);
    *out = (struct recorded_head){.type = le32toh(head.type),
                                  .length = le32toh(head.length),
                                  .flags = le32toh(head.flags),
                                  .number = le64toh(head.number),
                                  .time_ns = (int64_t)le64toh((uint64_t)head.time_ns)};
    rc = check_head(in, out);
    if (rc == 1)
        rc = need(in, sizeof head + out->length);
    if (rc <= 0)
        return rc == 0 ? -EPIPE : rc;
    *payload = in->bytes + in->start + sizeof head;
    if (le32toh(head.checksum) != checksum_of_record(&head, *payload, out->length))
        return damaged(in, "the checksum of a record is wrong");
    use(in, sizeof head + out->length);
    in->ended = out->type == RECORDED_END;
    return 1;
}

void recording_close(struct recording *in)
{
    free(in->bytes);
    in->bytes = NULL;
}
