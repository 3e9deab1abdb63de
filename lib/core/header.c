/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "core/layout.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <shmring/shmring.h>

#include "base/error.h"
#include "base/identity.h"
#include "core/attach.h"
#include "kind.h"
#include "mpmc/layout.h"
#include "spsc/layout.h"

#define HUGE_PAGE    (UINT32_C(2) << 20)
#define LAYOUT_FLAGS (SHMRING_HUGE_PAGES | SHMRING_AT_MOST_ONCE)

static bool is_power_of_two(uint64_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

static uint64_t round_up(uint64_t n, uint64_t page)
{
    return (n + page - 1) & ~(page - 1);
}

/* Kind, page size, capacity, max_message and rows alone determine the sections. */
static void lay_out(struct shmr_geometry *g)
{
    g->producer = g->page_size;
    g->table = g->producer + g->page_size; /* the pages' structs are smaller than any page */
    g->waitwords = g->table + g->rows * sizeof(struct shmr_row);
    g->consumer = round_up(g->waitwords + sizeof(struct shmr_waitwords), g->page_size);
    g->data = g->consumer + g->page_size;
    g->data_size = round_up(g->type->sections(g), g->page_size);
    g->segment_size = g->data + g->data_size;
}

/* A process maps everything but the header, and the data a second time. */
static int check_address_space(const struct shmr_geometry *g)
{
    if (g->segment_size + g->data_size <= SIZE_MAX / 2)
        return 0;
    return shmr_fail(EFBIG,
                     "capacity %" PRIu64 ": %" PRIu64
                     " bytes to map, more than a process of %zu bits "
                     "can: use a program of 64 bits, or a smaller queue",
                     g->capacity, g->segment_size + g->data_size, 8 * sizeof(void *));
}

static uint64_t next_power_of_two(uint64_t n, uint64_t most)
{
    uint64_t power = 1;

    while (power < n && power < most)
        power *= 2;
    return power;
}

int shmr_check_capacity(uint64_t capacity, uint64_t least, uint64_t most, const char *unit)
{
    if (capacity == 0)
        return shmr_fail(EINVAL, "capacity is 0: give a power of two of at least %" PRIu64 " %s",
                         least, unit);
    if (capacity > most)
        return shmr_fail(EFBIG, "capacity %" PRIu64 ": at most %" PRIu64 " %s", capacity, most,
                         unit);
    if (!is_power_of_two(capacity))
        return shmr_fail(EINVAL, "capacity %" PRIu64 " is not a power of two: the next is %" PRIu64,
                         capacity, next_power_of_two(capacity, most));
    if (capacity < least)
        return shmr_fail(EINVAL, "capacity %" PRIu64 " is less than %" PRIu64 " %s", capacity,
                         least, unit);
    return 0;
}

/* Without regard to how much this process can map. */
static int geometry_of(struct shmr_geometry *g, const struct shmring_config *c)
{
    const struct shmr_kind *type = shmr_kind_in_config(c);
    const uint32_t options = SHMRING_PRODUCER | SHMRING_CONSUMER | SHMRING_OBSERVER |
                             SHMRING_OPEN_OR_CREATE | LAYOUT_FLAGS | SHMRING_PREFAULT |
                             SHMRING_MLOCK | SHMRING_ASYMMETRIC_FENCE | SHMRING_CORE_DUMP |
                             SHMR_CONSUMER_OPTIONS;
    int r;

    if (!type)
        return shmr_fail(EINVAL, "kind %" PRIu32 " is unknown: use " SHMR_KINDS_IN_WORDS,
                         shmr_config_number(c));
    if (c->flags & ~options)
        return shmr_fail(EINVAL, "flags: unknown bits 0x%" PRIx32, c->flags & ~options);
    for (size_t i = 0; i < sizeof c->reserved / sizeof c->reserved[0]; i++)
        if (c->reserved[i] != 0)
            return shmr_fail(EINVAL,
                             "reserved[%zu] is not zero: initialise the whole configuration", i);
    if (c->mode & ~UINT32_C(0777))
        return shmr_fail(EINVAL, "mode 0%" PRIo32 ": only permission bits (0777) are allowed",
                         c->mode);
    *g = (struct shmr_geometry){
        .type = type,
        .flags = c->flags & LAYOUT_FLAGS,
        .page_size = c->flags & SHMRING_HUGE_PAGES ? HUGE_PAGE : (uint32_t)sysconf(_SC_PAGESIZE),
        .capacity = c->capacity,
    };
    r = type->configure(g, c);
    if (r < 0)
        return r;
    lay_out(g);
    return 0;
}

int shmr_geometry(struct shmr_geometry *g, const struct shmring_config *c)
{
    int r = geometry_of(g, c);

    return r == 0 ? check_address_space(g) : r;
}

int shmr_geometry_same(const struct shmr_geometry *have, const struct shmr_geometry *want)
{
    if (have->type != want->type)
        return shmr_fail(EEXIST, "it exists with kind %d, not %d", have->type->number,
                         want->type->number);
    if (have->capacity != want->capacity)
        return shmr_fail(EEXIST, "it exists with capacity %" PRIu64 ", not %" PRIu64,
                         have->capacity, want->capacity);
    if (have->max_message != want->max_message)
        return shmr_fail(EEXIST, "it exists with max_message %" PRIu32 ", not %" PRIu32,
                         have->max_message, want->max_message);
    if (have->rows != want->rows)
        return shmr_fail(EEXIST, "it exists with max_participants %" PRIu32 ", not %" PRIu32,
                         have->rows - have->type->first_row, want->rows - want->type->first_row);
    if ((have->flags ^ want->flags) & SHMRING_AT_MOST_ONCE)
        return shmr_fail(EEXIST, "it exists %s SHMRING_AT_MOST_ONCE",
                         have->flags & SHMRING_AT_MOST_ONCE ? "with" : "without");
    if (have->flags != want->flags)
        return shmr_fail(EEXIST, "it exists %s huge pages",
                         have->flags & SHMRING_HUGE_PAGES ? "with" : "without");
    return 0;
}

/* CRC-32C, bit by bit: it runs over 500 bytes, once an open. */
static uint32_t crc32c(const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    uint32_t crc = ~UINT32_C(0);

    while (n--) {
        crc ^= *p++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
    }
    return ~crc;
}

static uint32_t header_crc(const struct shmr_header *h)
{
    const size_t from = offsetof(struct shmr_header, layout_version);

    return crc32c((const char *)h + from, offsetof(struct shmr_header, crc) - from);
}

void shmr_header_init(struct shmr_header *h, const struct shmr_geometry *g, const char *name,
                      enum shmr_backend backend)
{
    struct shmr_identity me;

    shmr_identity_self(&me);
    *h = (struct shmr_header){
        .magic = SHMR_MAGIC,
        .layout_version = SHMR_LAYOUT_VERSION,
        .byte_order = SHMR_BYTE_ORDER,
        .header_bytes = sizeof(struct shmr_header),
        .row_bytes = sizeof(struct shmr_row),
        .producer_bytes = sizeof(struct shmr_spsc_producer_page),
        .consumer_bytes = sizeof(struct shmr_spsc_consumer_page),
        .block_bytes = sizeof(struct shmr_block),
        .false_sharing = SHMR_FALSE_SHARING,
        .kind = g->type->number,
        .flags = g->flags,
        .page_size = g->page_size,
        .capacity = g->capacity,
        .max_message = g->max_message,
        .rows = g->rows,
        .segment_size = g->segment_size,
        .created_ns = me.now_ns,
        .creator_pid = me.pid,
        .creator_uid = me.uid,
        .creator_pid_ns = me.pid_ns,
        .backend = backend,
    };
    memcpy(h->creator_comm, me.comm, sizeof h->creator_comm);
    strncpy(h->name, name, sizeof h->name - 1);
    h->crc = header_crc(h);
}

/* Check the fields that say which layout it is. The order decides which error a header gets. */
static int check_signature(const struct shmr_header *h)
{
    if (h->byte_order == UINT32_C(0x04030201))
        return shmr_fail(EPROTONOSUPPORT,
                         "byte_order: written by a machine of the other byte order");
    if (h->layout_version != SHMR_LAYOUT_VERSION)
        return shmr_fail(EPROTONOSUPPORT,
                         "layout_version %" PRIu32 ": this library reads version %d",
                         h->layout_version, SHMR_LAYOUT_VERSION);
    if (h->byte_order != SHMR_BYTE_ORDER)
        return shmr_fail(EBADMSG, "byte_order 0x%" PRIx32 " is damaged", h->byte_order);
    if (h->header_bytes != sizeof(struct shmr_header) || h->row_bytes != sizeof(struct shmr_row) ||
        h->producer_bytes != sizeof(struct shmr_spsc_producer_page) ||
        h->consumer_bytes != sizeof(struct shmr_spsc_consumer_page) ||
        h->block_bytes != sizeof(struct shmr_block) || h->false_sharing != SHMR_FALSE_SHARING)
        return shmr_fail(EPROTONOSUPPORT,
                         "struct sizes %u/%u/%u/%u/%u/%u: built with another layout",
                         h->header_bytes, h->row_bytes, h->producer_bytes, h->consumer_bytes,
                         h->block_bytes, h->false_sharing);
    return 0;
}

int shmr_header_check(const struct shmr_header *h, uint64_t file_size, struct shmr_geometry *g)
{
    const struct shmr_kind *type = shmr_kind_in_header(h);
    struct shmring_config config = {
        .flags = h->flags, .capacity = h->capacity, .max_message = h->max_message};
    int r;

    if (h->magic == __builtin_bswap64(SHMR_MAGIC))
        return shmr_fail(EPROTONOSUPPORT,
                         "byte_order: written by a machine of the other byte order");
    if (h->magic != SHMR_MAGIC)
        return shmr_fail(EBADMSG, "magic: this is not a shmring segment");
    r = check_signature(h);
    if (r < 0)
        return r;
    if (h->crc != header_crc(h))
        return shmr_fail(EBADMSG, "crc: the header is damaged");
    if (h->flags & ~(uint32_t)LAYOUT_FLAGS)
        return shmr_fail(EPROTONOSUPPORT, "flags 0x%" PRIx32 ": written by a later version",
                         h->flags);
    if (!type)
        return shmr_fail(EPROTONOSUPPORT, "kind %" PRIu32 ": written by a later version",
                         shmr_header_number(h));
    config.kind = type->number;
    config.max_participants = type->rows == 0 ? h->rows - type->first_row : 0;
    /* Checked before geometry_of(), which uses the page size of this machine. */
    if (!(h->flags & SHMRING_HUGE_PAGES) && h->page_size != (uint32_t)sysconf(_SC_PAGESIZE))
        return shmr_fail(EPROTONOSUPPORT,
                         "page_size %" PRIu32 ": made where memory has pages of that size; here "
                         "they have %ld bytes",
                         h->page_size, sysconf(_SC_PAGESIZE));
    r = geometry_of(g, &config);
    if (r < 0)
        return -EBADMSG; /* the detail names the field */
    if (h->page_size != g->page_size)
        return shmr_fail(EPROTONOSUPPORT, "page_size %" PRIu32 ": this machine's is %" PRIu32,
                         h->page_size, g->page_size);
    if (h->rows != g->rows)
        return shmr_fail(EBADMSG, "rows %" PRIu32 ": should be %" PRIu32, h->rows, g->rows);
    if (h->segment_size != g->segment_size)
        return shmr_fail(EBADMSG, "segment_size %" PRIu64 ": should be %" PRIu64, h->segment_size,
                         g->segment_size);
    if (file_size < g->segment_size)
        return shmr_fail(EBADMSG, "truncated: %" PRIu64 " bytes of %" PRIu64, file_size,
                         g->segment_size);
    if (h->max_message == 0 || memchr(h->name, 0, sizeof h->name) == NULL ||
        memchr(h->creator_comm, 0, sizeof h->creator_comm) == NULL)
        return shmr_fail(EBADMSG, "max_message, name or creator_comm is damaged");
    return check_address_space(g);
}
