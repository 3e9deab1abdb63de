/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "recovery.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "error.h"
#include "participant.h"
#include "trace.h"
#include "wait.h"

/*
 * Blocks to look at on the way out of a call, of how many dead participants they may be: somebody
 * could make all rows look like those of the dead, again and again.
 */
#define SWEEP_BLOCKS (UINT64_C(1) << 20)

uint64_t shmr_coarse_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void add_to_report(shmring_t *q, uint32_t row, const struct shmr_mpmc_recovered *done)
{
    struct shmring_recovery *report = &q->recovered;
    struct shmring_participant who;

    shmr_row_read(&who, shmr_row_at(q->map.table, row));
    if (report->participants < SHMRING_RECOVERED_MAX) {
        struct shmring_recovered *entry = &report->who[report->participants];
        *entry = (struct shmring_recovered){.row = row,
                                            .pid = who.pid,
                                            .freed = done->freed,
                                            .redelivered = done->redelivered,
                                            .dropped = done->dropped};
        memcpy(entry->comm, who.comm, sizeof entry->comm);
    }
    report->participants++;
    report->freed += done->freed;
    report->redelivered += done->redelivered;
    report->dropped += done->dropped;
}

void shmr_trace_recovery(const shmring_t *q, uint32_t row, const struct shmr_mpmc_recovered *done)
{
    (void)q, (void)row, (void)done; /* without tracepoints */
    SHMR_TRACE(recovery, q,
               atomic_load_explicit(&shmr_row_at(q->map.table, row)->pid, memory_order_relaxed),
               done->freed, done->redelivered, done->dropped);
}

bool shmr_recover_row(shmring_t *q, uint32_t row)
{
    struct shmr_mpmc_page *page = q->mpmc.queue.tail_page;
    struct shmr_mpmc_recovered done = {0};

    shmr_mpmc_recover(&q->mpmc.queue, row, q->geometry.flags & SHMRING_AT_MOST_ONCE, &done);
    atomic_fetch_add_explicit(&page->freed, done.freed, memory_order_relaxed);
    atomic_fetch_add_explicit(&page->redelivered, done.redelivered, memory_order_relaxed);
    atomic_fetch_add_explicit(&page->dropped, done.dropped, memory_order_relaxed);
    if (row != q->row || !q->attached) { /* else it is this handle that closes */
        atomic_fetch_add_explicit(&page->recovered, 1, memory_order_relaxed);
        add_to_report(q, row, &done);
        shmr_trace_recovery(q, row, &done);
    }
    if (done.freed + done.dropped > 0)
        (void)shmr_ring(q, SHMR_WRITABLE, INT_MAX);
    if (done.redelivered > 0)
        (void)shmr_ring(q, SHMR_READABLE, INT_MAX);
    return done.left == 0;
}

/* spsc: whoever takes the role over makes the repairs, so take it over and leave. */
static int recover_role(shmring_t *q, uint32_t row)
{
    struct shmr_mpmc_recovered nothing = {0};
    shmring_t *successor;
    int r;

    r = shmring_dup(&successor, q, row == SHMR_ROW_PRODUCER ? SHMRING_PRODUCER : SHMRING_CONSUMER);
    if (r < 0)
        return r;
    add_to_report(q, row, &nothing);
    shmring_close(&successor);
    return 0;
}

/* Lock the dead one's row through a description of its own: this process's death drops it. */
static int recover_participant(shmring_t *q, uint32_t index, bool patient)
{
    struct shmr_row *row = shmr_row_at(q->map.table, index);
    sigset_t signals;
    int fd, r;

    if (patient)
        shmr_process_hold_fork(&signals);
    else if (!shmr_process_try_hold_fork(&signals))
        return -EBUSY;
    fd = r = shmr_segment_reopen(q->fd, O_RDWR);
    if (r >= 0)
        r = shmr_row_lock(fd, &q->geometry, index);
    if (r == 0 && shmr_row_is_attached(row) && shmr_recover_row(q, index))
        shmr_row_detach(row);
    if (fd >= 0)
        close(fd);
    shmr_process_let_fork(&signals);
    return r;
}

int shmr_recover_dead(shmring_t *q, bool patient, uint32_t most)
{
    int found = 0;

    for (uint32_t looked = 0; looked < q->geometry.rows && most > 0; looked++) {
        const uint32_t row = q->next_dead++ % q->geometry.rows;
        if (!shmr_row_is_attached(shmr_row_at(q->map.table, row)))
            continue;
        int r = shmr_row_is_locked(q->fd, &q->geometry, row);
        if (r == 0) {
            most--;
            r = q->kind == SHMRING_MPMC ? recover_participant(q, row, patient)
                                        : recover_role(q, row);
            found += r == 0;
        }
        if (r < 0 && r != -EBUSY) /* busy: somebody else is at it */
            return r;
    }
    return found;
}

uint32_t shmr_sweep_rows(const shmring_t *q)
{
    const uint64_t rows = SWEEP_BLOCKS / q->geometry.capacity;

    return rows < 1 ? 1 : rows < q->geometry.rows ? (uint32_t)rows : q->geometry.rows;
}

void shmr_sweep(shmring_t *q)
{
    struct shmr_mpmc_page *page = q->mpmc.queue.tail_page;
    uint64_t now = shmr_coarse_now();
    uint64_t last = atomic_load_explicit(&page->swept, memory_order_relaxed);

    q->mpmc.now = now;
    /* In whatever way the word was damaged, or clocks differ between namespaces: looks go on, and
     * are not more. */
    if (now - last < SHMR_SWEEP_NS || now - q->swept < SHMR_SWEEP_NS)
        return;
    q->swept = now;
    if (!atomic_compare_exchange_strong_explicit(&page->swept, &last, now, memory_order_relaxed,
                                                 memory_order_relaxed))
        return;

    /* What fails is tried again the next time. It is not what the caller asked for: neither its
     * errno nor its detail changes. */
    const struct shmr_detail detail = shmr_detail_save();
    const int error = errno;
    SHMR_NO_CANCEL();
    (void)shmr_recover_dead(q, false, shmr_sweep_rows(q));
    shmr_detail_restore(&detail);
    errno = error;
}

int shmring_recover(shmring_t *q, struct shmring_recovery *report)
{
    int found, r = shmr_handle_check(q);

    if (r < 0)
        return r;
    SHMR_NO_CANCEL();
    SHMR_ALONE(q);
    if (q->kind == SHMRING_MPMC && !q->attached)
        return shmr_fail(EPERM,
                         "an observer changes nothing: open the queue as producer or consumer");
    found = shmr_recover_dead(q, true, q->geometry.rows);
    if (found >= 0)
        found = q->lost ? shmr_handle_check_memory(q) : found;
    if (found < 0)
        return found;
    found = (int)q->recovered.participants;
    if (report)
        *report = q->recovered;
    memset(&q->recovered, 0, sizeof q->recovered);
    return found;
}
