/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "oracle.h"

#include <string.h>
#include <sys/mman.h>

#include "messages.h"

/* What is known of a message. */
enum { PLAIN = 1, FLAGGED = 2, UNSURE = 4 };

const char *oracle_says(enum oracle_verdict verdict)
{
    static const char *const words[] = {
        [ORACLE_RIGHT] = "as it should be",
        [ORACLE_TORN] = "it is no whole message",
        [ORACLE_NOWHERE] = "nobody has sent it",
        [ORACLE_TWICE] = "it comes a second time, and is not flagged",
        [ORACLE_EARLY] = "one sent before it has not come",
        [ORACLE_LATE] = "one sent after it has come before",
        [ORACLE_FLAGGED] = "it is flagged, and nobody can have had it before",
        [ORACLE_LOST] = "it was lost",
        [ORACLE_MISCOUNTED] = "fewer are missing than were said to be",
    };

    return words[verdict];
}

/* ---- Messages -------------------------------------------------------------------------------- */

uint32_t oracle_length(uint64_t name, uint32_t longest)
{
    uint64_t state = ~name;
    const uint64_t r = test_random(&state);
    const uint32_t limit = r % 16 == 0 ? longest : r % 16 < 4 ? 512 : 48;

    return 8 + (uint32_t)((r >> 8) % ((limit < longest ? limit : longest) - 7));
}

void oracle_write(uint64_t name, void *to, size_t length)
{
    uint64_t state = name, word = ~name; /* inverted: no message is all zeroes */
    uint8_t *bytes = to;

    memcpy(bytes, &word, sizeof word);
    for (size_t i = sizeof word; i < length; i += sizeof word) {
        word = test_random(&state);
        memcpy(bytes + i, &word, length - i < sizeof word ? length - i : sizeof word);
    }
}

enum oracle_verdict oracle_read(uint64_t *name, const void *bytes, size_t length, uint32_t longest)
{
    const uint8_t *at = bytes;
    uint64_t state, word;

    if (length < sizeof word)
        return ORACLE_TORN;
    memcpy(&word, at, sizeof word);
    *name = state = ~word;
    for (size_t i = sizeof word; i < length; i += sizeof word) {
        word = test_random(&state);
        if (memcmp(at + i, &word, length - i < sizeof word ? length - i : sizeof word) != 0)
            return ORACLE_TORN;
    }
    return longest && length != oracle_length(*name, longest) ? ORACLE_TORN : ORACLE_RIGHT;
}

/* ---- Notes ----------------------------------------------------------------------------------- */

void oracle_begin(struct oracle_span *s, uint64_t end)
{
    if (atomic_load(&s->begun) < end)
        atomic_store(&s->begun, end);
}

void oracle_reach(struct oracle_span *s, uint64_t end)
{
    if (atomic_load(&s->done) < end)
        atomic_store_explicit(&s->done, end, memory_order_release);
}

void oracle_settle(struct oracle_span *s, uint64_t end)
{
    atomic_store_explicit(&s->begun, end, memory_order_release);
    atomic_store_explicit(&s->done, end, memory_order_release);
}

enum oracle_verdict oracle_resume(struct oracle_span *s, uint64_t end)
{
    if (end < atomic_load(&s->done))
        return ORACLE_LOST;
    if (end > atomic_load(&s->begun))
        return ORACLE_NOWHERE;
    oracle_settle(s, end);
    return ORACLE_RIGHT;
}

static size_t size_of(uint32_t streams, uint64_t numbers)
{
    return sizeof(struct oracle) + (size_t)(streams * numbers);
}

struct oracle *oracle_new(uint32_t streams, uint64_t numbers)
{
    struct oracle *o = mmap(NULL, size_of(streams, numbers), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (o == MAP_FAILED)
        return NULL;
    o->streams = streams;
    o->numbers = numbers;
    return o;
}

void oracle_free(struct oracle *o)
{
    munmap(o, size_of(o->streams, o->numbers));
}

static _Atomic uint8_t *mark_of(struct oracle *o, uint32_t stream, uint64_t number)
{
    return &o->marks[stream * o->numbers + number];
}

void oracle_sender_died(struct oracle *o, uint32_t stream)
{
    struct oracle_span *s = &o->sent[stream];
    const uint64_t begun = atomic_load(&s->begun);

    for (uint64_t n = atomic_load(&s->done); n < begun; n++)
        atomic_fetch_or(mark_of(o, stream, n), UNSURE);
    oracle_settle(s, begun);
}

void oracle_receiver_may_die(struct oracle *o)
{
    atomic_store(&o->deaths, true);
}

/* ---- Receivers ------------------------------------------------------------------------------- */

struct oracle_reader oracle_reader(bool every)
{
    return (struct oracle_reader){.every = every, .may_flag = UINT64_MAX};
}

/* How many of the numbers [from, to) must come to one that gets every message. */
static uint64_t due(struct oracle *o, uint32_t stream, uint64_t from, uint64_t to)
{
    uint64_t n = from < to ? to - from : 0;

    for (; o->numbers && from < to; from++)
        n -= atomic_load(mark_of(o, stream, from)) == UNSURE;
    return n;
}

/* What all receivers together know: has it come before, and may it be flagged? */
static enum oracle_verdict judge_times(struct oracle *o, const struct oracle_reader *r,
                                       uint64_t name, bool flagged)
{
    const uint64_t number = oracle_number(name);
    uint8_t before = 0;

    if (flagged && (!atomic_load(&o->deaths) || number >= r->may_flag))
        return ORACLE_FLAGGED;
    if (o->numbers && !r->every)
        before = atomic_fetch_or_explicit(mark_of(o, oracle_stream(name), number),
                                          flagged ? FLAGGED : PLAIN, memory_order_relaxed);
    if (flagged)
        return o->noted && before == 0 ? ORACLE_FLAGGED : ORACLE_RIGHT;
    return before & PLAIN || number < r->must_flag ? ORACLE_TWICE : ORACLE_RIGHT;
}

enum oracle_verdict oracle_receive(struct oracle *o, struct oracle_reader *r, uint64_t name,
                                   bool flagged)
{
    const uint32_t stream = oracle_stream(name);
    const uint64_t number = oracle_number(name);

    if (stream >= o->streams || number >= atomic_load(&o->sent[stream].begun) ||
        (o->numbers && number >= o->numbers))
        return ORACLE_NOWHERE;
    const enum oracle_verdict verdict = judge_times(o, r, name, flagged);
    if (verdict != ORACLE_RIGHT)
        return verdict;
    if (r->every) {
        const uint64_t gap = due(o, stream, r->next[stream], number);
        if (number < r->next[stream])
            return ORACLE_TWICE;
        if (gap > r->missed)
            return ORACLE_EARLY;
        r->missed -= gap;
    } else if (flagged) {
        return ORACLE_RIGHT;
    } else if (number < r->next[stream]) {
        return ORACLE_LATE;
    }
    for (uint32_t other = 0; other < o->streams; other++)
        if (o->later[stream] >> other & 1 && r->next[other] > 0)
            return ORACLE_LATE;
    r->next[stream] = number + 1;
    return ORACLE_RIGHT;
}

void oracle_missed(struct oracle_reader *r, uint64_t n)
{
    r->missed += n;
}

enum oracle_verdict oracle_end(struct oracle *o, const struct oracle_reader *r)
{
    uint64_t least = 0, most = 0;

    for (uint32_t i = 0; i < o->streams; i++) {
        least += due(o, i, r->next[i], atomic_load(&o->sent[i].done));
        most += due(o, i, r->next[i], atomic_load(&o->sent[i].begun));
    }
    return r->missed < least ? ORACLE_LOST : r->missed > most ? ORACLE_MISCOUNTED : ORACLE_RIGHT;
}

enum oracle_verdict oracle_end_all(struct oracle *o, uint64_t *lost, uint64_t *came)
{
    *came = 0;
    for (uint32_t stream = 0; stream < o->streams; stream++)
        for (uint64_t n = 0; n < atomic_load(&o->sent[stream].done); n++) {
            const uint8_t mark = atomic_load(mark_of(o, stream, n));
            *lost = oracle_name(stream, n);
            if (!mark)
                return ORACLE_LOST;
            *came += (mark & (PLAIN | FLAGGED)) != 0;
        }
    return ORACLE_RIGHT;
}
