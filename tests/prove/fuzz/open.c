/* SPDX-License-Identifier: MIT */
/* Arbitrary files (file.c) opened as segments. If opening succeeds, the target uses the queue. */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <shmring/shmring.h>

#include "fuzz.h"
#include "lib/base/process.h"

/* ---- Using it -------------------------------------------------------------------------------- */

static int each(void *arg, const struct shmring_message *m)
{
    static volatile uint8_t sum;

    (void)arg;
    for (uint32_t i = 0; i < m->length; i++)
        sum = (uint8_t)(sum + ((const uint8_t *)m->data)[i]);
    return 0;
}

static void observe(shmring_t *q)
{
    struct shmring_participant rows[4];
    struct shmring_stat st;
    long r = shmring_stat(q, &st);

    fuzz_check(r == 0, "%ld", r);
    fuzz_check(st.depth <= st.capacity, "too deep");
    fuzz_check(memchr(st.name, 0, sizeof st.name) && memchr(st.creator_comm, 0, 16), "no end");
    r = shmring_participants(q, rows, 4);
    fuzz_check(r >= 0 && r <= SHMRING_PARTICIPANTS_MAX, "%ld rows", r);
    r = shmring_dump(q, each, NULL);
    fuzz_check(r == 0 || r == -EBADMSG, "%ld", r);
    r = shmring_recover(q, NULL);
    fuzz_check(r >= 0 || r == -EPERM || r == -EBADMSG, "%ld", r);
}

static void receive(shmring_t *q)
{
    static uint8_t buffer[4096];
    const struct timespec short_time = {.tv_nsec = 1000000};
    struct shmring_info info = {0};
    const void *message = NULL;
    long r;

    for (int i = 0; i < 4; i++) {
        r = shmring_peek(q, &message, &info);
        fuzz_check(r >= 0 || r == -EAGAIN || r == -EBADMSG || r == -ESTALE || r == -EOVERFLOW,
                   "%ld", r);
        if (r >= 0) {
            r = shmring_release(q, message);
            fuzz_check(r == 0 || r == -EOVERFLOW, "%s", shmring_strerror_detail());
        }
    }
    for (int i = 0; i < 4; i++) {
        r = shmring_recv(q, buffer, sizeof buffer);
        fuzz_check(r >= 0 || r == -EAGAIN || r == -EBADMSG || r == -ESTALE || r == -EMSGSIZE ||
                       r == -EOVERFLOW,
                   "%ld", r);
    }
    r = shmring_wait(q, SHMRING_READABLE, &short_time);
    fuzz_check(r >= 0 || r == -ETIMEDOUT || r == -EBADMSG || r == -ESTALE, "%ld", r);
}

static void send(shmring_t *q, unsigned length)
{
    static const uint8_t letters[256];
    void *place = NULL;
    long r;

    for (int i = 0; i < 4; i++) {
        r = shmring_send(q, letters, length);
        fuzz_check(r == 0 || r == -EAGAIN || r == -EBADMSG || r == -ESTALE || r == -EMSGSIZE, "%ld",
                   r);
    }
    r = shmring_reserve(q, length, &place);
    fuzz_check(r == 0 || r == -EAGAIN || r == -EBADMSG || r == -ESTALE || r == -EMSGSIZE, "%ld", r);
    if (r == 0) {
        memset(place, 'r', length);
        r = shmring_commit(q, place, length);
        fuzz_check(r == 0 || r == -EAGAIN || r == -ESTALE, "%ld", r);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const unsigned roles[] = {SHMRING_OBSERVER, SHMRING_PRODUCER, SHMRING_CONSUMER,
                                     SHMRING_PRODUCER | SHMRING_CONSUMER};
    static const unsigned starts[] = {0, SHMRING_FROM_OLDEST, SHMRING_FROM_KEY, SHMRING_RELIABLE};
    static int fd = -1;
    struct input in = {bytes, bytes + size};
    const unsigned what = input_below(&in, 256), role = roles[what >> 6];
    const unsigned length = input_below(&in, 256);
    shmring_t *q;

    if (fd < 0) {
        fd = world_file();
        (void)shmr_process_pauses();
    }
    around_stop_clock();
    fuzz_check(ftruncate(fd, 0) == 0, "no empty file");
    file_write(fd, &in, what);

    /* Another kind than broadcast refuses these options, as a wrong argument. */
    const unsigned start = role & SHMRING_CONSUMER ? starts[length >> 6] : 0;
    int r = shmring_open_fd(&q, fd, role | start);
    if (r == -EINVAL || r == -EUSERS) {
        fuzz_check(start != 0, "%d (%s)", r, shmring_strerror_detail());
        r = shmring_open_fd(&q, fd, role);
    }
    fuzz_check((r == 0) == (q != NULL), "%d and a handle", r);
    /* EPERM: the header says that it is a memfd, and it is not sealed. */
    fuzz_check(r == 0 || r == -EBADMSG || r == -EPROTONOSUPPORT || r == -ENOSPC || r == -EFBIG ||
                   r == -EPERM,
               "%d (%s)", r, shmring_strerror_detail());
    fuzz_check(r == 0 || shmring_strerror_detail()[0], "not a word about it");
    if (r == 0) {
        observe(q);
        if (role & SHMRING_CONSUMER)
            receive(q);
        if (role & SHMRING_PRODUCER)
            send(q, length);
        if (role & SHMRING_CONSUMER)
            receive(q);
        shmring_close(&q);
    }
    return 0;
}
