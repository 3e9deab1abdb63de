/* SPDX-License-Identifier: MIT */
/*
 * The algorithms alone, lib/spsc/ring.h, lib/mpmc/participant.h and lib/broadcast/ring.h, on memory
 * that changes between any two steps: no system call, so that many more inputs are tried than by
 * operations.c.
 *
 * As in the library, a participant that has found the queue corrupt does nothing more.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include <shmring/shmring.h>

#include "fuzz.h"
#include "lib/broadcast/batch.h"
#include "lib/broadcast/ready.h"
#include "lib/broadcast/takeover.h"
#include "lib/core/segment.h"
#include "lib/mpmc/participant.h"
#include "lib/mpmc/ready.h"
/* Batches are put together where few messages fit. */
#define SHMR_SPSC_STAGE       1024
#define SHMR_SPSC_STAGE_LEAST 256
#include "lib/spsc/batch.h"
#include "lib/spsc/ready.h"
#include "lib/spsc/takeover.h"

enum { CALLS = 96, PARTICIPANTS = 3, BUFFER = 8192 };

static uint8_t letters[BUFFER], *received; /* of BUFFER bytes */

static struct world *world;
static struct shmr_map *map;

static struct shmr_map *map_of(const struct world *w)
{
    static struct {
        const struct world *of;
        struct shmr_map map;
    } maps[WORLDS];
    int i;

    for (i = 0; maps[i].of && maps[i].of != w; i++)
        ;
    if (!maps[i].of) {
        fuzz_check(shmr_segment_map(&maps[i].map, w->fd, &w->geometry,
                                    SHMRING_PRODUCER | SHMRING_CONSUMER) == 0,
                   "%s", shmring_strerror_detail());
        maps[i].of = w;
    }
    return &maps[i].map;
}

static size_t choose_length(struct input *in)
{
    const unsigned n = input_below(in, 256);
    const size_t most = world->geometry.max_message;

    return n < 128 ? n % (most + 2) : n < 250 ? most * (n - 128) / 122 : most + n - 250;
}

/* The bytes of a message, all of them in the mapping, and all read. */
static void read_message(const void *message, size_t length)
{
    const uint8_t *from = message;

    fuzz_check(length <= world->geometry.max_message, "%zu bytes", length);
    fuzz_check(from >= map->data && from + length <= map->base + map->length, "at %p, data at %p",
               message, (void *)map->data);
    memcpy(received, message, length);
}

static long checked(long result, const int *may)
{
    if (result >= 0)
        return result;
    for (; *may; may++)
        if (result == -*may)
            return result;
    fuzz_check(false, "result %ld", result);
    return result;
}
#define CHECKED(Result, ...) checked((long)(Result), (const int[]){__VA_ARGS__, 0})

/* ---- spsc ------------------------------------------------------------------------------------ */

static struct shmr_spsc_producer producer;
static struct shmr_spsc_consumer consumer;
static bool produces, consumes;

static void become_producer(void)
{
    static uint8_t stage[SHMR_SPSC_STAGE];

    producer = (struct shmr_spsc_producer){.data = map->data,
                                           .mask = world->geometry.capacity - 1,
                                           .max_message = world->geometry.max_message,
                                           .side.pauses = 1,
                                           .stage = stage,
                                           .page = (void *)map->producer,
                                           .consumer = (void *)map->consumer};
    produces = CHECKED(shmr_spsc_resume_producer(&producer), EBADMSG) == 0;
}

static void become_consumer(bool died)
{
    consumer = (struct shmr_spsc_consumer){.data = map->data,
                                           .mask = world->geometry.capacity - 1,
                                           .max_message = world->geometry.max_message,
                                           .side.pauses = 1,
                                           .page = (void *)map->consumer};
    consumes =
        CHECKED(shmr_spsc_resume_consumer(&consumer, (void *)map->producer, died), EBADMSG) == 0;
}

static void produce(struct input *in, unsigned operation)
{
    struct iovec batch[4];
    const size_t len = choose_length(in);
    void *place = NULL;
    long r;

    if (!produces)
        return;
    switch (operation) {
    case 0:
        r = CHECKED(shmr_spsc_send(&producer, letters, len), EAGAIN, EMSGSIZE, EINPROGRESS,
                    EBADMSG);
        break;
    case 1:
        for (int i = 0; i < 4; i++)
            batch[i] = (struct iovec){letters, choose_length(in)};
        r = CHECKED(shmr_spsc_send_batch(&producer, batch, 4), EAGAIN, EMSGSIZE, EINPROGRESS,
                    EBADMSG);
        break;
    case 2:
        r = CHECKED(shmr_spsc_reserve(&producer, len, &place), EAGAIN, EMSGSIZE, EINPROGRESS,
                    EBADMSG);
        if (r == 0) {
            read_message(place, len);
            memset(place, 'r', len);
        }
        break;
    case 3:
        r = CHECKED(
            shmr_spsc_commit(&producer, shmr_spsc_payload(&producer, producer.position), len),
            EINVAL, EMSGSIZE);
        break;
    case 4:
        r = CHECKED(shmr_spsc_cancel(&producer, shmr_spsc_payload(&producer, producer.position)),
                    EINVAL);
        break;
    default:
        (void)shmr_spsc_is_writable(&producer, len);
        r = 0;
    }
    produces = r != -EBADMSG;
}

static void consume(struct input *in, unsigned operation)
{
    struct iovec batch[4];
    const size_t size = choose_length(in);
    struct shmring_info info = {0};
    const void *message = NULL;
    long r;

    if (!consumes)
        return;
    switch (operation) {
    case 0:
        r = CHECKED(shmr_spsc_recv(&consumer, received, size), EAGAIN, EMSGSIZE, EINPROGRESS,
                    EBADMSG);
        fuzz_check(r < 0 || (size_t)r <= size, "%ld bytes", r);
        break;
    case 1:
        for (int i = 0; i < 4; i++)
            batch[i] = (struct iovec){received, choose_length(in)};
        r = CHECKED(shmr_spsc_recv_batch(&consumer, batch, 4), EAGAIN, EMSGSIZE, EINPROGRESS,
                    EBADMSG);
        break;
    case 2:
    case 3:
        r = CHECKED(shmr_spsc_peek(&consumer, &message, &info), EAGAIN, EBADMSG);
        if (r >= 0)
            read_message(message, (size_t)r);
        fuzz_check(r < 0 || info.deliveries >= 1, "never delivered");
        break;
    case 4:
        r = CHECKED(shmr_spsc_release(&consumer, shmr_spsc_message(&consumer, consumer.released)),
                    EINVAL, EBADMSG);
        break;
    default:
        (void)shmr_spsc_is_readable(&consumer);
        r = 0;
    }
    consumes = r != -EBADMSG;
}

static void run_spsc(struct input *in)
{
    become_producer();
    become_consumer(false);
    for (int i = 0; i < CALLS && in->at < in->end; i++) {
        const unsigned byte = input_below(in, 256), operation = byte % 6;
        switch (byte / 6 % 8) {
        case 0:
        case 1:
            produce(in, operation);
            break;
        case 2:
        case 3:
            consume(in, operation);
            break;
        case 4:
            if (operation < 3)
                become_producer();
            else
                become_consumer(operation & 1);
            break;
        default:
            world_scribble(world, in);
        }
    }
}

/* ---- mpmc ------------------------------------------------------------------------------------ */

static struct {
    struct shmr_mpmc_participant p;
    bool works;
} participants[PARTICIPANTS];

static void join(unsigned i)
{
    const uint32_t row = i % world->geometry.rows;

    shmr_mpmc_participant_init(&participants[i].p, &world->geometry, map, row);
    participants[i].p.queue.sending.pauses = participants[i].p.queue.receiving.pauses = 1;
    participants[i].works = true;
}

static long send_side(struct shmr_mpmc_participant *p, struct input *in, unsigned operation)
{
    struct iovec batch[4];
    const size_t len = choose_length(in);
    const uint32_t at = input_below(in, SHMRING_RESERVED_MAX);
    const void *mine =
        p->reserved.count == 0
            ? NULL
            : shmr_mpmc_payload(&p->queue, p->reserved.block[at % p->reserved.count]);
    void *place = NULL;
    long r;

    switch (operation) {
    case 0:
        return CHECKED(shmr_mpmc_send(p, letters, len), EAGAIN, EMSGSIZE);
    case 1:
        for (int i = 0; i < 4; i++)
            batch[i] = (struct iovec){letters, choose_length(in)};
        return CHECKED(shmr_mpmc_send_batch(p, batch, 4), EAGAIN, EMSGSIZE);
    case 2:
        r = CHECKED(shmr_mpmc_reserve(p, len, &place), EAGAIN, EMSGSIZE, ENOBUFS);
        if (r == 0) {
            read_message(place, len);
            memset(place, 'r', len);
        }
        return r;
    case 3:
        return CHECKED(shmr_mpmc_commit(p, mine, len), EAGAIN, EINVAL, EMSGSIZE);
    case 4:
        return CHECKED(shmr_mpmc_cancel(p, mine), EINVAL);
    default:
        (void)shmr_mpmc_is_writable(&p->queue, world->geometry.capacity);
        return 0;
    }
}

static long receive_side(struct shmr_mpmc_participant *p, struct input *in, unsigned operation)
{
    struct iovec batch[4];
    const size_t size = choose_length(in);
    const uint32_t at = input_below(in, SHMRING_RESERVED_MAX);
    struct shmring_info info = {0};
    const void *message = NULL;
    long r;

    switch (operation) {
    case 0:
        r = CHECKED(shmr_mpmc_recv(p, received, size), EAGAIN, EMSGSIZE, EBADMSG);
        fuzz_check(r < 0 || (size_t)r <= size, "%ld bytes", r);
        return r;
    case 1:
        for (int i = 0; i < 4; i++)
            batch[i] = (struct iovec){received, choose_length(in)};
        return CHECKED(shmr_mpmc_recv_batch(p, batch, 4), EAGAIN, EMSGSIZE, EBADMSG);
    case 2:
    case 3:
        r = CHECKED(shmr_mpmc_peek(p, &message, &info), EAGAIN, EBADMSG);
        if (r >= 0)
            read_message(message, (size_t)r);
        fuzz_check(r < 0 || info.deliveries >= 1, "never delivered");
        return r;
    case 4:
        /* Out of turn, twice, or one that no call took: as the descriptor says. */
        message = shmr_mpmc_payload(&p->queue, at);
        return CHECKED(shmr_mpmc_release(p, message), EINVAL);
    default:
        (void)shmr_mpmc_is_readable(&p->queue, 1 + size % 2);
        return 0;
    }
}

/* The operations of an observer and of a recoverer. */
static void observe_or_recover(struct shmr_mpmc_participant *p, struct input *in,
                               unsigned operation)
{
    const uint32_t row = input_below(in, world->geometry.rows);
    struct shmr_recovered done = {0};
    uint32_t held[SHMRING_PARTICIPANTS_MAX] = {0};
    struct shmr_mpmc observer;

    switch (operation) {
    case 0:
    case 1:
        shmr_mpmc_init(&observer, &world->geometry, map, 0);
        fuzz_check(shmr_mpmc_depth(&observer) <= world->geometry.capacity, "too deep");
        break;
    case 2:
        shmr_mpmc_count_held(&p->queue, world->geometry.rows, held);
        fuzz_check(held[row] <= world->geometry.capacity, "too many");
        break;
    default:
        shmr_mpmc_recover(&p->queue, row, (struct shmr_row *)(void *)map->table + row,
                          operation == 3, &done);
        fuzz_check(done.freed + done.redelivered + done.dropped + done.left <=
                       world->geometry.capacity,
                   "more than there are");
    }
}

static void run_mpmc(struct input *in)
{
    for (unsigned i = 0; i < PARTICIPANTS; i++)
        join(i);
    for (int i = 0; i < CALLS && in->at < in->end; i++) {
        const unsigned byte = input_below(in, 256), operation = byte % 6;
        const unsigned who = input_below(in, PARTICIPANTS);
        struct shmr_mpmc_participant *p = &participants[who].p;

        switch (byte / 6 % 8) {
        case 0:
        case 1:
            if (participants[who].works)
                participants[who].works = send_side(p, in, operation) != -EBADMSG;
            break;
        case 2:
        case 3:
            if (participants[who].works)
                participants[who].works = receive_side(p, in, operation) != -EBADMSG;
            break;
        case 4:
            if (operation < 2) /* its predecessor died */
                join(who);
            else if (participants[who].works)
                observe_or_recover(p, in, operation);
            break;
        default:
            world_scribble(world, in);
        }
    }
}

/* ---- broadcast ------------------------------------------------------------------------------- */

static struct {
    struct shmr_broadcast_producer p;
    struct shmr_broadcast_consumer c[PARTICIPANTS];
    bool sends, receives[PARTICIPANTS];
} cast;

static struct shmr_broadcast_ring ring_of_world(void)
{
    return (struct shmr_broadcast_ring){.data = map->data,
                                        .mask = world->geometry.capacity - 1,
                                        .page = (void *)map->producer,
                                        .max_message = world->geometry.max_message};
}

static void start_sending(void)
{
    cast.p = (struct shmr_broadcast_producer){.ring = ring_of_world(),
                                              .table = map->table,
                                              .rows = world->geometry.rows,
                                              .side.pauses = 1,
                                              .ticks = 1};
    cast.sends = CHECKED(shmr_broadcast_resume_producer(&cast.p), EBADMSG) == 0;
}

static void start_receiving(unsigned i, struct input *in)
{
    static const unsigned starts[] = {0, SHMRING_FROM_OLDEST, SHMRING_FROM_KEY,
                                      SHMRING_FROM_KEY | SHMRING_FROM_OLDEST};
    const unsigned choice = input_below(in, 8), row = SHMR_BROADCAST_FIRST_CONSUMER + i;
    const bool has_row = row < world->geometry.rows;
    const uint64_t reliable = choice & 4 && has_row ? UINT64_C(1) << 32 | i : 0;
    struct shmr_broadcast_consumer *c = &cast.c[i];

    *c = (struct shmr_broadcast_consumer){.ring = ring_of_world(), .side.pauses = 1};
    c->row = has_row ? shmr_broadcast_row_at(map->table, row) : &c->own;
    cast.receives[i] =
        CHECKED(shmr_broadcast_start_consumer(c, starts[choice & 3], reliable), EBADMSG) == 0 &&
        (!reliable || shmr_broadcast_join(c, reliable) == 0);
    if (!cast.receives[i])
        shmr_broadcast_stop_consumer(c->row);
}

static long cast_send(struct shmr_broadcast_producer *p, struct input *in, unsigned operation)
{
    const size_t len = choose_length(in);
    const uint32_t key = len % 3 ? 0 : SHMR_BROADCAST_KEY;
    struct iovec batch[4];
    void *place = NULL;
    long r;

    switch (operation) {
    case 0:
        return CHECKED(shmr_broadcast_send_as(p, letters, len, key), EAGAIN, EMSGSIZE, EINPROGRESS);
    case 1:
        for (int i = 0; i < 4; i++)
            batch[i] = (struct iovec){letters, choose_length(in)};
        return CHECKED(shmr_broadcast_send_batch(p, batch, 4), EAGAIN, EMSGSIZE, EINPROGRESS);
    case 2:
        r = CHECKED(shmr_broadcast_reserve(p, len, &place), EAGAIN, EMSGSIZE, EINPROGRESS);
        if (r == 0) {
            read_message(place, len);
            memset(place, 'r', len);
        }
        return r;
    case 3:
        return CHECKED(
            shmr_broadcast_commit_as(p, shmr_broadcast_payload(&p->ring, p->position), len, key),
            EINVAL, EMSGSIZE);
    case 4:
        return CHECKED(shmr_broadcast_cancel(p, shmr_broadcast_payload(&p->ring, p->position)),
                       EINVAL);
    default: /* impatient */
        (void)shmr_broadcast_is_writable(p, len);
        if (p->holder.row != 0)
            (void)shmr_broadcast_strike(p, p->holder.row, p->holder.reliable);
        return 0;
    }
}

static long cast_receive(struct shmr_broadcast_consumer *c, struct input *in, unsigned operation)
{
    const size_t size = choose_length(in);
    const void *message = shmr_broadcast_payload(&c->ring, c->peeked[c->first].position);
    struct shmring_info info = {0};
    struct iovec batch[4];
    long r;

    switch (operation) {
    case 0:
        r = CHECKED(shmr_broadcast_recv(c, received, size), EAGAIN, EMSGSIZE, EINPROGRESS,
                    EOVERFLOW, EBADMSG);
        fuzz_check(r < 0 || (size_t)r <= size, "%ld bytes", r);
        return r;
    case 1:
        for (int i = 0; i < 4; i++)
            batch[i] = (struct iovec){received, choose_length(in)};
        return CHECKED(shmr_broadcast_recv_batch(c, batch, 4), EAGAIN, EMSGSIZE, EINPROGRESS,
                       EOVERFLOW, EBADMSG);
    case 2:
    case 3:
        r = CHECKED(shmr_broadcast_peek(c, &message, &info), EAGAIN, ENOBUFS, EOVERFLOW, EBADMSG);
        if (r >= 0)
            read_message(message, (size_t)r);
        fuzz_check(r < 0 || info.deliveries == 1, "%u times delivered", info.deliveries);
        return r;
    case 4:
        return CHECKED(shmr_broadcast_release(c, message), EINVAL, EOVERFLOW);
    default:
        (void)shmr_broadcast_is_readable(c);
        return size % 2 ? 0 : CHECKED(shmr_broadcast_skip(c), EAGAIN, EINPROGRESS, EBADMSG);
    }
}

static void run_broadcast(struct input *in)
{
    start_sending();
    for (unsigned i = 0; i < PARTICIPANTS; i++)
        start_receiving(i, in);
    for (int i = 0; i < CALLS && in->at < in->end; i++) {
        const unsigned byte = input_below(in, 256), operation = byte % 6, who = byte % PARTICIPANTS;
        switch (byte / 6 % 8) {
        case 0:
        case 1:
            if (cast.sends)
                cast.sends = cast_send(&cast.p, in, operation) != -EBADMSG;
            break;
        case 2:
        case 3: {
            const unsigned reader = input_below(in, PARTICIPANTS);
            if (cast.receives[reader])
                cast.receives[reader] = cast_receive(&cast.c[reader], in, operation) != -EBADMSG;
            break;
        }
        case 4: /* its predecessor died */
            if (operation < 2)
                start_sending();
            else
                start_receiving(who, in);
            break;
        default:
            world_scribble(world, in);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input in = {bytes, bytes + size};

    if (!received)
        received = malloc(BUFFER);
    world = world_choose(&in);
    map = map_of(world);
    if (world->geometry.type->number == SHMR_SPSC)
        run_spsc(&in);
    else if (world->geometry.type->number == SHMR_MPMC)
        run_mpmc(&in);
    else
        run_broadcast(&in);
    return 0;
}
