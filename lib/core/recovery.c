/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "core/recovery.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/trace.h"
#include "core/attach.h"
#include "core/rows.h"
#include "wait/notifier.h"
#include "wait/sleep.h"

/*
 * Limit on the units of the capacity that opening a queue searches, summed over the dead
 * participants that it recovers. Without it a hostile peer could make all rows look like those of
 * dead participants, again and again, and opening would never end.
 */
#define SWEEP_UNITS (UINT64_C(1) << 20)

static void add_sums(struct shmring_recovery *report, const struct shmr_recovered *done)
{
    report->freed += done->freed;
    report->redelivered += done->redelivered;
    report->dropped += done->dropped;
}

void shmr_recovery_report(shmring_t *q, uint32_t row, const struct shmring_participant *dead,
                          const struct shmr_recovered *done)
{
    struct shmring_recovery *report = &q->recovered;

    if (report->participants < SHMRING_RECOVERED_MAX) {
        struct shmring_recovered *entry = &report->who[report->participants];
        *entry = (struct shmring_recovered){.row = row,
                                            .pid = dead->pid,
                                            .freed = done->freed,
                                            .redelivered = done->redelivered,
                                            .dropped = done->dropped};
        memcpy(entry->comm, dead->comm, sizeof entry->comm);
    }
    report->participants++;
    add_sums(report, done);
}

void shmr_recovery_trace(const shmring_t *q, uint32_t row, const struct shmr_recovered *done)
{
    (void)q, (void)row, (void)done; /* not used in a build without tracepoints */
    SHMR_TRACE(recovery, q,
               atomic_load_explicit(&shmr_row_at(q->map.table, row)->pid, memory_order_relaxed),
               done->freed, done->redelivered, done->dropped);
}

void shmr_recovery_wake(shmring_t *q, const struct shmr_recovered *done)
{
    if (done->freed + done->dropped > 0)
        (void)shmr_wake(q, SHMR_WRITABLE, INT_MAX);
    if (done->redelivered > 0)
        (void)shmr_wake(q, SHMR_READABLE, INT_MAX);
}

void shmr_recovery_note(shmring_t *q, uint32_t row, const struct shmr_recovered *done)
{
    struct shmring_participant dead;

    shmr_row_read(&dead, shmr_row_at(q->map.table, row));
    shmr_row_note_death(shmr_row_at(q->map.table, row));
    shmr_recovery_report(q, row, &dead, done);
    shmr_recovery_trace(q, row, done);
}

void shmr_recovery_takeover(shmring_t *q, uint32_t row)
{
    const struct shmr_recovered uncounted = {0};

    shmr_row_note_death(shmr_row_at(q->map.table, row));
    shmr_recovery_trace(q, row, &uncounted);
}

static int repair(const shmring_t *q, uint32_t row, uint32_t role, int (*resume)(shmring_t *))
{
    shmring_t *successor;
    int r = shmr_handle_new(&successor);

    if (r < 0)
        return r;
    successor->header = q->header;
    successor->geometry = q->geometry;
    successor->roles = role;
    successor->row = row;
    sigset_t signals;
    shmr_process_hold_fork(&signals); /* a child forked now could inherit the mapping */
    r = shmr_handle_map(successor, q->kept.fd, successor->roles);
    shmr_process_let_fork(&signals);
    if (r == 0)
        r = resume(successor);
    if (r == 0) {
        shmr_wait_init(successor, 0);
        shmr_notifier_find(successor, q->fd);
        successor->attached = successor->roles;
        shmr_attach_leave(successor);
    }
    if (successor->lost)
        r = shmr_handle_check_memory(successor);
    shmr_handle_free(successor);
    return r;
}

int shmr_recovery_by_successor(shmring_t *q, uint32_t row, uint32_t role,
                               int (*resume)(shmring_t *successor))
{
    const struct shmr_recovered nothing = {0};
    struct shmring_participant dead;

    shmr_row_read(&dead, shmr_row_at(q->map.table, row));
    int r = repair(q, row, role, resume);
    if (r == 0)
        shmr_recovery_report(q, row, &dead, &nothing);
    return r;
}

/* Recover a part of the dead row that the sweep found: `units` units from the unit where the sweep
 * stopped. Returns the first unit that is left. */
static uint64_t recover_part(shmring_t *q, struct shmr_sweep *s, uint64_t units)
{
    struct shmr_recovered done = {0};
    const uint64_t next = q->geometry.type->recover_some(q, s->row, s->next, units, &done);

    shmr_recovery_wake(q, &done);
    s->done.freed += done.freed;
    s->done.redelivered += done.redelivered;
    s->done.dropped += done.dropped;
    if (next >= q->geometry.capacity)
        shmr_recovery_note(q, s->row, &s->done);
    return next;
}

/* A row is dead if it says ATTACHED and no owner has it locked. Returns 1, 0 or -errno. */
static int is_dead(const shmring_t *q, uint32_t row)
{
    if (!shmr_row_is_attached(shmr_row_at(q->map.table, row)))
        return 0;
    int r = shmr_row_is_locked(q->fd, &q->geometry, row);
    return r < 0 ? r : !r;
}

/*
 * Recover one dead participant completely. Returns 1; 0: nothing was left to do; -EBUSY: another
 * participant recovers it.
 */
static int recover_participant(shmring_t *q, uint32_t row)
{
    int r = shmr_row_lock_dead(q->kept.fd, &q->geometry, row);

    if (r < 0)
        return r;
    if (shmr_row_is_attached(shmr_row_at(q->map.table, row))) {
        r = q->geometry.type->recover(q, row);
        r = r < 0 ? r : 1;
    }
    shmr_row_unlock(q->kept.fd, &q->geometry, row);
    return r;
}

uint32_t shmr_sweep_rows(const shmring_t *q)
{
    const uint64_t rows = SWEEP_UNITS / q->geometry.capacity;

    return rows < 1 ? 1 : rows < q->geometry.rows ? (uint32_t)rows : q->geometry.rows;
}

/* ---- The sweep ------------------------------------------------------------------------------- */

/* Lock tests in one sweep; the next sweep goes on with the next row. */
#define SWEEP_TESTS 32

static uint32_t generation_of(struct shmr_row *row)
{
    return atomic_load_explicit(&row->generation, memory_order_relaxed);
}

/* Find the next dead row with at most *tests lock tests. Returns 1, 0 (none found) or -errno. */
static int find_dead(shmring_t *q, uint32_t *tests)
{
    const uint32_t rows = q->geometry.rows;

    for (uint32_t tried = 0; tried<rows && * tests> 0; tried++) {
        const uint32_t row = q->next_dead++ % rows;
        if (!shmr_row_is_attached(shmr_row_at(q->map.table, row)))
            continue;
        --*tests;
        int r = is_dead(q, row);
        if (r < 0)
            return r;
        if (r > 0) {
            q->sweep.active = true;
            q->sweep.row = row;
            q->sweep.generation = generation_of(shmr_row_at(q->map.table, row));
            q->sweep.next = 0;
            q->sweep.done = (struct shmr_recovered){0};
            return 1;
        }
    }
    return 0;
}

/*
 * Recover up to *units more units of the dead row that this sweep has found. Between two calls
 * another participant may lock the row, recover all units and free the row. The row's next owner
 * changes its generation: then this sweep must not go on with it.
 */
static int go_on(shmring_t *q, uint64_t *units)
{
    struct shmr_sweep *s = &q->sweep;
    struct shmr_row *row = shmr_row_at(q->map.table, s->row);
    int r = shmr_row_lock_dead(q->kept.fd, &q->geometry, s->row);

    if (r < 0) { /* -EBUSY: another participant does the rest */
        s->active = false;
        add_sums(&q->recovered, &s->done);
        return r == -EBUSY ? 0 : r;
    }
    if (shmr_row_is_attached(row) && generation_of(row) == s->generation) {
        const uint64_t from = s->next;
        s->next = recover_part(q, s, *units);
        *units -= s->next - from < *units ? s->next - from : *units;
        if (s->next < q->geometry.capacity)
            *units = 0; /* also when the budget for steps is used up: do not try again at once */
        else
            shmr_row_detach(row);
        s->active = s->next < q->geometry.capacity;
    } else {
        s->active = false;
        add_sums(&q->recovered, &s->done); /* another participant recovered the rest */
    }
    shmr_row_unlock(q->kept.fd, &q->geometry, s->row);
    return 0;
}

static int sweep(shmring_t *q, uint64_t units)
{
    uint32_t tests = SWEEP_TESTS;
    int r = 0;

    while (r >= 0 && units > 0 && tests > 0) {
        if (!q->sweep.active && (r = find_dead(q, &tests)) <= 0)
            break;
        r = go_on(q, &units);
    }
    return r;
}

/*
 * A process that only polls learns from the clock alone that a sweep is due. Where clock_gettime()
 * has been replaced (libfaketime), that clock may stand still. 2^18 calls of shmr_sweep() take more
 * than 10 ms, the longest tick of the coarse clock; so if the time is the same in as many, no sweep
 * would ever come by the clock.
 */
#define CALLS_PER_TICK (UINT32_C(1) << 18)

static bool clock_stands_still(struct shmr_sweep *s, uint64_t now)
{
    if (now != s->seen) {
        s->seen = now;
        s->calls = 0;
        return false;
    }
    return ++s->calls % CALLS_PER_TICK == 0;
}

/* Is it time for a sweep of this handle? If so, no other participant begins one in the next
 * SHMR_SWEEP_NS. */
static bool is_due(shmring_t *q)
{
    /* By the time that the handle's sleeps are measured by: see wait/waiting.c. */
    const uint64_t now = shmr_coarse_now() + (uint64_t)q->waiting.skew;
    _Atomic uint64_t *const swept = q->geometry.type->swept(q, now);
    uint64_t last = atomic_load_explicit(swept, memory_order_relaxed);

    if (clock_stands_still(&q->sweep, now))
        return true;
    /* Even if the word is damaged, or clocks differ between time namespaces, sweeps go on, and not
     * more often: the handle's own q->swept limits them too. */
    if (q->sweep.active) {
        if (now - q->swept < SHMR_SWEEP_ON_NS)
            return false;
    } else if (now - last < SHMR_SWEEP_NS || now - q->swept < SHMR_SWEEP_NS ||
               !atomic_compare_exchange_strong_explicit(swept, &last, now, memory_order_relaxed,
                                                        memory_order_relaxed)) {
        return false;
    }
    q->swept = now;
    return true;
}

void shmr_sweep(shmring_t *q, uint64_t units)
{
    /* running: this call runs in a signal handler that interrupted a sweep */
    if (q->geometry.type->recover_some && !q->sweep.running && is_due(q))
        shmr_sweep_now(q, units);
}

void shmr_sweep_now(shmring_t *q, uint64_t units)
{
    int r;

    if (!q->geometry.type->recover_some || q->sweep.running)
        return;

    /* The next sweep tries again what fails here, and q->sweep.error lets a wait report it. The
     * caller did not ask for a sweep, so neither errno nor the detail changes. */
    const struct shmr_detail detail = shmr_detail_save();
    const int error = errno;
    SHMR_NO_CANCEL();
    q->sweep.running = true;
    r = sweep(q, units);
    q->sweep.running = false;
    q->sweep.error = r < 0 ? -r : 0;
    shmr_detail_restore(&detail);
    errno = error;
}

int shmr_recover_dead(shmring_t *q, uint32_t most)
{
    uint64_t all = q->geometry.capacity;
    int found = 0, r = 0;

    if (q->sweep.running) /* this call runs in a signal handler that interrupted a sweep */
        return 0;
    q->sweep.running = true;
    if (q->sweep.active)
        r = go_on(q, &all);
    for (uint32_t tried = 0; r >= 0 && tried < q->geometry.rows && most > 0; tried++) {
        const uint32_t row = q->next_dead++ % q->geometry.rows;
        r = is_dead(q, row);
        if (r > 0) {
            most--;
            r = recover_participant(q, row);
            found += r > 0;
        }
        if (r == -EBUSY)
            r = 0;
    }
    q->sweep.running = false;
    return r < 0 ? r : found;
}

/* ---- On request ------------------------------------------------------------------------------ */

int shmring_recover(shmring_t *q, struct shmring_recovery *report)
{
    int found, r = shmr_handle_check(q);

    if (r < 0)
        return r;
    SHMR_NO_CANCEL();
    SHMR_ALONE(q);
    if (q->geometry.type->recover_some && !q->attached)
        return shmr_fail(EPERM,
                         "an observer changes nothing: open the queue as producer or consumer");
    found = shmr_attach_keep(q);
    if (found == 0)
        found = shmr_recover_dead(q, q->geometry.rows);
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
