/* SPDX-License-Identifier: MIT */
/*
 * A file with a bit for each of a stream's messages after the floor; up to the floor all are
 * acknowledged. A store to the mapped file survives the process, even if the process is killed
 * right after it. So the file is exact but for one message: the one that the bridge was putting
 * into the queue. For that one, the bridge has written down its sequence and the number that the
 * count of messages sent has when the message is in the queue. The next bridge compares it with the
 * count: the queue's for an spsc queue, whose only producer is the bridge, and for an mpmc queue
 * that of the row which the dead bridge had. If another producer may have sent from that row since,
 * the bridge puts the message in again.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bridge.h"

#define MAGIC  UINT64_C(0x316e656573726873) /* "shrseen1" */
#define WINDOW (UINT64_C(1) << 20)

struct state {
    _Atomic uint64_t magic; /* written last */
    uint64_t queue_created, queue_creator;
    _Atomic int64_t stream_created;     /* 0: the other fields mean nothing */
    _Atomic uint64_t floor, next_floor; /* they differ while bits are being cleared */
    _Atomic uint64_t begun;             /* a sequence, or 0 */
    _Atomic uint64_t begun_count;
    _Atomic uint64_t row, generation; /* mpmc: the row of the bridge that wrote begun */
    uint64_t zero[502];
    _Atomic uint8_t bits[WINDOW / 8];
};

struct seen {
    struct state *state;
    const char *route;
    char *path;
    int fd; /* holds the file's lock */
    uint64_t sent;
};

static _Atomic uint8_t *byte_of(const struct seen *s, uint64_t sequence)
{
    return &s->state->bits[sequence % WINDOW / 8];
}

static void set_bit(struct seen *s, uint64_t sequence)
{
    *byte_of(s, sequence) |= (uint8_t)(1u << sequence % 8);
}

static void clear_up_to(struct seen *s, uint64_t floor, uint64_t next)
{
    uint64_t end = next - floor > WINDOW ? floor + WINDOW : next;

    for (uint64_t sequence = floor + 1; sequence <= end; sequence++)
        *byte_of(s, sequence) &= (uint8_t) ~(1u << sequence % 8);
    s->state->floor = next;
}

static void forget(struct seen *s)
{
    s->state->stream_created = 0;
    memset((void *)s->state->bits, 0, sizeof s->state->bits);
    s->state->floor = s->state->next_floor = s->state->begun = 0;
}

/* The messages sent until the last bridge died: by that bridge or, in an spsc queue, by all its
 * producers. */
static bool count_of_last(const struct seen *s, const struct route *r, uint64_t *sent)
{
    struct row row = {.index = (uint32_t)s->state->row,
                      .generation = (uint32_t)s->state->generation};

    *sent = s->sent;
    if (r->row.only_producer)
        return true;
    if (!row_of_dead(r->q, r->config->queue, &row))
        return false;
    *sent = row.sent;
    return true;
}

/* Find out whether the message that the last bridge was putting in when it was killed is in the
 * queue. */
static void settle(struct seen *s, const struct route *r)
{
    uint64_t sent;

    if (s->state->begun != 0) {
        if (!count_of_last(s, r, &sent))
            say(LOG_WARNING, "route %s: message %llu may be in the queue already, and comes again",
                r->config->name, (unsigned long long)s->state->begun);
        else if (sent >= s->state->begun_count)
            set_bit(s, s->state->begun);
    }
    s->state->begun = 0;
    s->state->row = r->row.index;
    s->state->generation = r->row.generation;
    if (s->state->next_floor != s->state->floor)
        clear_up_to(s, s->state->floor, s->state->next_floor);
}

static int open_file(const char *path, const char *route)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat st;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0) {
        say(LOG_ERROR, "route %s: %s: %s", route, path, strerror(errno));
        return -1;
    }
    const char *why = NULL;
    if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || !S_ISREG(st.st_mode))
        why = "not a file of this user";
    else if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
        why = "another bridge runs this route";
    else if ((errno = posix_fallocate(fd, 0, sizeof(struct state))) != 0)
        why = strerror(errno);
    if (!why)
        return fd;
    say(LOG_ERROR, "route %s: %s: %s", route, path, why);
    close(fd);
    return -1;
}

int seen_open(struct seen **made, const struct route *r, const char *path)
{
    struct seen *s = calloc(1, sizeof *s);
    struct shmring_stat st;
    int result = shmring_stat(r->q, &st);

    if (!s || result < 0) {
        free(s);
        return s ? result : -ENOMEM;
    }
    s->route = r->config->name;
    s->sent = r->row.only_producer ? st.sent : r->row.sent;
    s->path = strdup(path);
    s->fd = s->path ? open_file(path, r->config->name) : -1;
    void *memory =
        s->fd < 0 ? MAP_FAILED
                  : mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    if (memory == MAP_FAILED) {
        if (s->fd >= 0)
            close(s->fd);
        free(s->path);
        free(s);
        return -EIO;
    }
    s->state = memory;
    if (s->state->magic != MAGIC || s->state->queue_created != (uint64_t)st.created_ns ||
        s->state->queue_creator != st.creator_pid) {
        s->state->magic = 0;
        forget(s);
        s->state->queue_created = (uint64_t)st.created_ns;
        s->state->queue_creator = st.creator_pid;
        s->state->magic = MAGIC;
    }
    settle(s, r);
    *made = s;
    return 0;
}

void seen_close(struct seen **s, shmring_t *q)
{
    if (!*s)
        return;
    if (shmring_check(q) == -ESTALE)
        unlink((*s)->path); /* the queue was removed, and the file is of no use to another queue */
    munmap((*s)->state, sizeof(struct state));
    close((*s)->fd);
    free((*s)->path);
    free(*s);
    *s = NULL;
}

void seen_bind(struct seen *s, const struct stream_state *state)
{
    if (s->state->stream_created != state->created) {
        if (s->state->stream_created != 0)
            say(LOG_WARNING, "route %s: the stream is another one than before", s->route);
        forget(s);
        s->state->stream_created = state->created;
    }
    seen_acknowledged(s, state->ack_floor);
}

enum seen_answer seen_ask(const struct seen *s, uint64_t sequence)
{
    if (sequence <= s->state->floor)
        return SEEN_BEFORE;
    if (sequence > s->state->floor + WINDOW)
        return SEEN_TOO_FAR;
    return *byte_of(s, sequence) >> sequence % 8 & 1 ? SEEN_BEFORE : SEEN_NEW;
}

void seen_begin(struct seen *s, uint64_t sequence)
{
    s->state->begun = 0;
    s->state->begun_count = s->sent + 1;
    s->state->begun = sequence;
}

void seen_abort(struct seen *s)
{
    s->state->begun = 0;
}

void seen_done(struct seen *s)
{
    set_bit(s, s->state->begun);
    s->sent++;
    s->state->begun = 0;
}

void seen_acknowledged(struct seen *s, uint64_t floor)
{
    if (floor <= s->state->floor)
        return;
    s->state->next_floor = floor;
    clear_up_to(s, s->state->floor, floor);
}
