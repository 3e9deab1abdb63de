/* SPDX-License-Identifier: MIT */
/* Headers with a wrong field, each on a private copy. */
#include "config.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "crc32c.h"
#include "lib/core/layout.h"
#include "lib/kind.h"
#include "lib/mpmc/layout.h"
#include "lib/spsc/layout.h"
#include "support.h"

enum { CAPACITY = 65536 };

static struct shmring_config usual_config(void)
{
    return (struct shmring_config){.kind = SHMRING_SPSC, .capacity = CAPACITY};
}

/* A good header, and its geometry. */
static void make_header(struct shmr_header *h, struct shmr_geometry *g)
{
    const struct shmring_config config = usual_config();

    cr_assert_eq(shmr_geometry(g, &config), 0);
    shmr_header_init(h, g, "orders", SHMR_POSIX);
}

/* A hostile writer corrects the CRC. */
static void sign(struct shmr_header *h)
{
    h->crc = crc32c((unsigned char *)h + 8, sizeof *h - 8 - 4);
}

Test(layout, crc_is_crc32c)
{
    struct shmr_geometry g;
    struct shmr_header h;
    uint32_t crc;

    cr_assert_eq(crc32c((const unsigned char *)"123456789", 9), 0xe3069283, "the check value");
    make_header(&h, &g);
    crc = h.crc;
    sign(&h);
    cr_assert_eq(h.crc, crc);
}

Test(layout, good_header)
{
    struct shmr_geometry made, read;
    struct shmr_header h;

    make_header(&h, &made);
    cr_assert_eq(shmr_header_check(&h, made.segment_size, &read), 0);
    cr_assert_eq(memcmp(&made, &read, sizeof made), 0);
    cr_assert_eq(h.magic, SHMR_MAGIC);
    cr_assert_eq(memcmp(&h, "SHMRING1", 8), 0);
    cr_assert_str_eq(h.name, "orders");
    cr_assert_eq(h.creator_pid, (uint32_t)getpid());
    cr_assert_eq(h.creator_uid, (uint32_t)geteuid());
}

Test(layout, sections_follow_each_other_in_whole_pages)
{
    struct shmring_config config = usual_config();
    struct shmr_geometry g;

    for (uint64_t capacity = 4096; capacity <= UINT64_C(1) << 46; capacity *= 2) {
        config.capacity = capacity;
        cr_assert_eq(shmr_geometry(&g, &config), 0);
        cr_assert_eq(g.producer, 4096);
        cr_assert_eq(g.table, 8192);
        cr_assert_eq(g.consumer, 12288);
        cr_assert_eq(g.data, 16384);
        cr_assert_eq(g.segment_size, 16384 + capacity);
        cr_assert_eq(g.max_message, capacity - 16 < 1 << 30 ? capacity - 16 : 1 << 30);
    }
    config.flags = SHMRING_HUGE_PAGES;
    config.capacity = 4 << 20;
    cr_assert_eq(shmr_geometry(&g, &config), 0);
    cr_assert_eq(g.page_size, 2 << 20);
    cr_assert_eq(g.producer, 2 << 20);
    cr_assert_eq(g.data, 8 << 20);
    cr_assert_eq(g.segment_size, 12 << 20);
}

Test(layout, sections_of_an_mpmc_queue)
{
    struct shmring_config config = {.kind = SHMRING_MPMC, .capacity = 2, .max_message = 1};
    struct shmr_geometry g;

    cr_assert_eq(shmr_geometry(&g, &config), 0);
    cr_assert_eq(g.rows, 64);
    cr_assert_eq(g.stride, 64);
    cr_assert_eq(g.waitwords, 8192 + 64 * sizeof(struct shmr_row));
    cr_assert_eq(g.consumer, g.waitwords + 4096);
    cr_assert_eq(g.data, g.consumer + 4096);
    cr_assert_eq(g.segment_size, g.data + 4096, "two blocks in one page");
    config.max_participants = 1;
    config.max_message = 41;
    cr_assert_eq(shmr_geometry(&g, &config), 0);
    cr_assert_eq(g.rows, 1);
    cr_assert_eq(g.stride, 128);
    cr_assert_eq(g.consumer, 12288);
    config.max_participants = SHMRING_PARTICIPANTS_MAX;
    config.capacity = 1 << 24;
    config.max_message = 1 << 30;
    cr_assert_eq(shmr_geometry(&g, &config), 0);
    cr_assert_eq(g.origins, ((uint64_t)(1 << 30) + 64) << 24);
    cr_assert_eq(g.data_size, g.origins + (8 << 24));
    cr_assert_eq(g.segment_size, g.data + g.data_size);
}

Test(layout, longer_file_is_good)
{
    struct shmr_geometry g;
    struct shmr_header h;

    make_header(&h, &g);
    cr_assert_eq(shmr_header_check(&h, g.segment_size + 1, &g), 0);
    cr_assert_eq(shmr_header_check(&h, UINT64_MAX, &g), 0);
}

Test(layout, every_bit_flipped)
{
    struct shmr_geometry g, damaged;
    struct shmr_header h;
    unsigned char *bytes = (unsigned char *)&h;

    make_header(&h, &g);
    for (size_t bit = 0; bit < sizeof h * 8; bit++) {
        const size_t at = bit / 8;

        bytes[at] ^= (unsigned char)(1U << bit % 8);
        const int r = shmr_header_check(&h, g.segment_size, &damaged);
        bytes[at] ^= (unsigned char)(1U << bit % 8);
        /* If the layout version or the struct sizes differ, opening reports another layout before
         * it checks the CRC, which may be a different one there. Everything else is damage. */
        const int another = (at >= 8 && at < 12) || (at >= 16 && at < 28);
        cr_assert_eq(r, another ? -EPROTONOSUPPORT : -EBADMSG, "bit %zu of byte %zu: %d (%s)",
                     bit % 8, at, r, shmring_strerror_detail());
        cr_assert_neq(shmring_strerror_detail()[0], 0);
    }
    cr_assert_eq(shmr_header_check(&h, g.segment_size, &damaged), 0);
}

Test(layout, foreign)
{
    struct shmr_geometry g;
    struct shmr_header h = {0};

    assert_refused(shmr_header_check(&h, 1 << 20, &g), EBADMSG, "magic");
    memset(&h, 0xff, sizeof h);
    assert_refused(shmr_header_check(&h, 1 << 20, &g), EBADMSG, "magic");
    memcpy(&h, "\177ELF", 4);
    assert_refused(shmr_header_check(&h, 1 << 20, &g), EBADMSG, "magic");
}

Test(layout, truncated)
{
    struct shmr_geometry g, read;
    struct shmr_header h;

    make_header(&h, &g);
    assert_refused(shmr_header_check(&h, g.segment_size - 1, &read), EBADMSG,
                   "truncated: 81919 bytes of 81920");
    assert_refused(shmr_header_check(&h, sizeof h, &read), EBADMSG, "truncated");
    assert_refused(shmr_header_check(&h, 0, &read), EBADMSG, "truncated");
}

Test(layout, other_byte_order)
{
    struct shmr_geometry g;
    struct shmr_header h;

    make_header(&h, &g);
    h.magic = __builtin_bswap64(h.magic);
    assert_refused(shmr_header_check(&h, g.segment_size, &g), EPROTONOSUPPORT, "byte order");
    make_header(&h, &g);
    h.byte_order = __builtin_bswap32(h.byte_order);
    sign(&h);
    assert_refused(shmr_header_check(&h, g.segment_size, &g), EPROTONOSUPPORT, "byte order");
    h.byte_order = 0x01030204;
    sign(&h);
    assert_refused(shmr_header_check(&h, g.segment_size, &g), EBADMSG, "byte_order");
}

Test(layout, other_version)
{
    static const uint32_t versions[] = {0, SHMR_LAYOUT_VERSION + 1, UINT32_MAX};
    struct shmr_geometry g;
    struct shmr_header h;

    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        make_header(&h, &g);
        h.layout_version = versions[i];
        sign(&h);
        assert_refused(shmr_header_check(&h, g.segment_size, &g), EPROTONOSUPPORT,
                       "layout_version");
    }
}

Test(layout, other_struct_sizes)
{
    static const size_t sizes[] = {
        offsetof(struct shmr_header, header_bytes),   offsetof(struct shmr_header, row_bytes),
        offsetof(struct shmr_header, producer_bytes), offsetof(struct shmr_header, consumer_bytes),
        offsetof(struct shmr_header, block_bytes),    offsetof(struct shmr_header, false_sharing),
    };
    struct shmr_geometry g;
    struct shmr_header h;

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        make_header(&h, &g);
        ((unsigned char *)&h)[sizes[i] + 1]++;
        sign(&h);
        assert_refused(shmr_header_check(&h, g.segment_size, &g), EPROTONOSUPPORT, "struct sizes");
    }
}

static void make_mpmc_header(struct shmr_header *h, struct shmr_geometry *g)
{
    const struct shmring_config config = {
        .kind = SHMRING_MPMC, .capacity = 1024, .max_message = 1000, .max_participants = 100};

    cr_assert_eq(shmr_geometry(g, &config), 0);
    shmr_header_init(h, g, "orders", SHMR_POSIX);
    cr_assert_eq(shmr_header_check(h, g->segment_size, g), 0);
}

/* A field that does not agree with the others, in a header whose CRC is right. */
static void check_lie(void (*make)(struct shmr_header *, struct shmr_geometry *), size_t offset,
                      size_t size, uint64_t value, int error, const char *words)
{
    struct shmr_geometry g;
    struct shmr_header h;

    make(&h, &g);
    /* Little-endian, as all machines that run the tests. */
    memcpy((char *)&h + offset, &value, size);
    sign(&h);
    assert_refused(shmr_header_check(&h, UINT64_MAX, &g), error, words);
}
#define LIE_ABOUT(Make, Field, Value, Error, Words)                                                \
    check_lie(Make, offsetof(struct shmr_header, Field), sizeof((struct shmr_header *)0)->Field,   \
              Value, Error, Words)
#define LIE(Field, Value, Error, Words)      LIE_ABOUT(make_header, Field, Value, Error, Words)
#define LIE_MPMC(Field, Value, Error, Words) LIE_ABOUT(make_mpmc_header, Field, Value, Error, Words)

Test(layout, geometry_lies)
{
    LIE(capacity, 0, EBADMSG, "capacity");
    LIE(capacity, 1, EBADMSG, "capacity");
    LIE(capacity, 2048, EBADMSG, "capacity");
    LIE(capacity, CAPACITY - 1, EBADMSG, "capacity");
    LIE(capacity, CAPACITY + 8, EBADMSG, "capacity");
    LIE(capacity, UINT64_C(1) << 47, EBADMSG, "capacity");
    LIE(capacity, UINT64_C(1) << 63, EBADMSG, "capacity");
    LIE(capacity, UINT64_MAX, EBADMSG, "capacity");
    LIE(capacity, CAPACITY / 2, EBADMSG, "max_message");
    LIE(capacity, CAPACITY * 2, EBADMSG, "segment_size");
    LIE(segment_size, 0, EBADMSG, "segment_size");
    LIE(segment_size, CAPACITY, EBADMSG, "segment_size");
    LIE(segment_size, UINT64_MAX, EBADMSG, "segment_size");
    LIE(max_message, 0, EBADMSG, "max_message");
    LIE(max_message, CAPACITY - 15, EBADMSG, "max_message");
    LIE(max_message, UINT32_MAX, EBADMSG, "max_message");
    LIE(rows, 0, EBADMSG, "rows");
    LIE(rows, 3, EBADMSG, "rows");
    LIE(rows, UINT32_MAX, EBADMSG, "rows");
    LIE(page_size, 0, EPROTONOSUPPORT, "page_size");
    LIE(page_size, 65536, EPROTONOSUPPORT, "pages of that size");
    LIE(page_size, UINT32_MAX, EPROTONOSUPPORT, "page_size");
    LIE(kind, 0, EPROTONOSUPPORT, "kind");
    LIE(kind, 4, EPROTONOSUPPORT, "kind");
    LIE(flags, SHMRING_PRODUCER, EPROTONOSUPPORT, "flags");
    LIE(flags, 0x80000000, EPROTONOSUPPORT, "flags");
    LIE(flags, SHMRING_HUGE_PAGES, EBADMSG, "capacity");
}

/* A queue of another machine may be correct, and still not work on this one. */
Test(layout, sound_elsewhere)
{
    struct shmr_geometry g;
    struct shmr_header h;

    make_header(&h, &g); /* pages of 2 KiB: the error must name the page size, not the capacity */
    h.page_size = 2048;
    h.capacity = 2048;
    h.max_message = 2032;
    sign(&h);
    assert_refused(shmr_header_check(&h, UINT64_MAX, &g), EPROTONOSUPPORT, "pages of that size");
    make_header(&h, &g);
    h.capacity = UINT64_C(1) << 32;
    h.segment_size = g.data + h.capacity;
    sign(&h);
    if (sizeof(size_t) > 4)
        cr_assert_eq(shmr_header_check(&h, UINT64_MAX, &g), 0, "%s", shmring_strerror_detail());
    else
        assert_refused(shmr_header_check(&h, UINT64_MAX, &g), EFBIG, "process of 32 bits");
}

Test(layout, mpmc_geometry_lies)
{
    LIE_MPMC(kind, SHMRING_SPSC, EBADMSG, "capacity");
    LIE_MPMC(capacity, 0, EBADMSG, "capacity");
    LIE_MPMC(capacity, 1, EBADMSG, "capacity");
    LIE_MPMC(capacity, 1023, EBADMSG, "capacity");
    LIE_MPMC(capacity, 1 << 25, EBADMSG, "capacity");
    LIE_MPMC(capacity, UINT64_MAX, EBADMSG, "capacity");
    LIE_MPMC(capacity, 2048, EBADMSG, "segment_size");
    LIE_MPMC(max_message, 0, EBADMSG, "max_message");
    LIE_MPMC(max_message, (1 << 30) + 1, EBADMSG, "max_message");
    LIE_MPMC(max_message, 1001, EBADMSG, "segment_size");
    LIE_MPMC(max_message, 2000, EBADMSG, "segment_size");
    LIE_MPMC(rows, 0, EBADMSG, "rows");
    LIE_MPMC(rows, 1, EBADMSG, "segment_size");
    LIE_MPMC(rows, 1025, EBADMSG, "max_participants");
    LIE_MPMC(rows, UINT32_MAX, EBADMSG, "max_participants");
    LIE_MPMC(segment_size, 0, EBADMSG, "segment_size");
    LIE_MPMC(segment_size, UINT64_MAX, EBADMSG, "segment_size");
}

Test(layout, unterminated_strings)
{
    struct shmr_geometry g;
    struct shmr_header h;

    make_header(&h, &g);
    memset(h.name, 'a', sizeof h.name);
    sign(&h);
    assert_refused(shmr_header_check(&h, g.segment_size, &g), EBADMSG, "name");
    make_header(&h, &g);
    memset(h.creator_comm, 'a', sizeof h.creator_comm);
    sign(&h);
    assert_refused(shmr_header_check(&h, g.segment_size, &g), EBADMSG, "creator_comm");
}

/* Noise in every field, with a correct CRC: each header that passes must fit the file and describe
 * a ring. */
static void check_random_lies(void (*make)(struct shmr_header *, struct shmr_geometry *))
{
    struct shmr_geometry g;
    struct shmr_header h;
    uint64_t seed = 1;
    int accepted = 0;

    for (int i = 0; i < 20000; i++) {
        make(&h, &g);
        for (int lies = 0; lies < 3; lies++) {
            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            /* The fields from kind to segment_size. */
            const size_t at = 28 + (seed >> 33) % (64 - 28);
            ((unsigned char *)&h)[at] = (unsigned char)(seed >> 50 & 1 << (seed >> 60) % 8);
        }
        sign(&h);
        if (shmr_header_check(&h, 2 << 20, &g) < 0)
            continue;
        accepted++;
        cr_assert(g.segment_size <= 2 << 20);
        cr_assert_eq(g.segment_size, g.data + g.data_size);
        cr_assert_eq(g.capacity & (g.capacity - 1), 0);
        cr_assert(g.rows > 0 && g.table + g.rows * sizeof(struct shmr_row) <= g.waitwords &&
                  g.waitwords + sizeof(struct shmr_waitwords) <= g.consumer);
        if (g.type->number == SHMR_SPSC) {
            cr_assert_eq(g.data_size, g.capacity);
            cr_assert(g.max_message > 0 && g.max_message <= g.capacity - 16);
        } else {
            cr_assert_leq(g.capacity * g.stride, g.data_size);
            cr_assert_leq(sizeof(struct shmr_block) + g.max_message, g.stride);
        }
    }
    cr_assert_gt(accepted, 0, "the lies were too big to tell anything");
}

Test(layout, random_lies)
{
    check_random_lies(make_header);
    check_random_lies(make_mpmc_header);
}

Test(layout, bad_parameters)
{
    struct shmring_config c = usual_config();
    struct shmr_geometry g;

    c.kind = 0;
    assert_refused(shmr_geometry(&g, &c), EINVAL, "kind");
    c = usual_config();
    c.flags = 0x8;
    assert_refused(shmr_geometry(&g, &c), EINVAL, "0x8");
    c = usual_config();
    c.reserved[4] = 1;
    assert_refused(shmr_geometry(&g, &c), EINVAL, "reserved[4]");
    c = usual_config();
    c.mode = 01600;
    assert_refused(shmr_geometry(&g, &c), EINVAL, "01600");
    c = usual_config();
    c.capacity = 0;
    assert_refused(shmr_geometry(&g, &c), EINVAL, "at least 4096");
    c.capacity = 5000;
    assert_refused(shmr_geometry(&g, &c), EINVAL, "the next is 8192");
    c.capacity = 2048;
    assert_refused(shmr_geometry(&g, &c), EINVAL, "less than 4096 bytes (a page)");
    c.capacity = UINT64_C(1) << 47;
    assert_refused(shmr_geometry(&g, &c), EFBIG, "at most");
    c.capacity = UINT64_MAX;
    assert_refused(shmr_geometry(&g, &c), EFBIG, "at most");
    c = usual_config();
    c.flags = SHMRING_HUGE_PAGES;
    assert_refused(shmr_geometry(&g, &c), EINVAL, "2097152");
    c = usual_config();
    c.max_message = CAPACITY - 15;
    assert_refused(shmr_geometry(&g, &c), EINVAL, "at most 65520");
    c.max_message = CAPACITY - 16;
    cr_assert_eq(shmr_geometry(&g, &c), 0);
}

Test(layout, same_or_not)
{
    struct shmring_config c = usual_config();
    struct shmr_geometry have, want;

    cr_assert_eq(shmr_geometry(&have, &c), 0);
    want = have;
    cr_assert_eq(shmr_geometry_same(&have, &want), 0);
    want.type = shmr_kind_of(2);
    assert_refused(shmr_geometry_same(&have, &want), EEXIST, "kind 1, not 2");
    want = have;
    want.capacity *= 2;
    assert_refused(shmr_geometry_same(&have, &want), EEXIST, "capacity 65536, not 131072");
    want = have;
    want.max_message = 8;
    assert_refused(shmr_geometry_same(&have, &want), EEXIST, "max_message 65520, not 8");
    want = have;
    want.rows = 3;
    assert_refused(shmr_geometry_same(&have, &want), EEXIST, "max_participants 2, not 3");
    c = (struct shmring_config){
        .kind = SHMRING_BROADCAST, .capacity = CAPACITY, .max_participants = 4};
    cr_assert_eq(shmr_geometry(&have, &c), 0);
    c.max_participants = 0; /* the producer's row does not count */
    cr_assert_eq(shmr_geometry(&want, &c), 0);
    assert_refused(shmr_geometry_same(&have, &want), EEXIST, "max_participants 4, not 0");
    c = usual_config();
    cr_assert_eq(shmr_geometry(&have, &c), 0);
    want = have;
    want.flags = SHMRING_AT_MOST_ONCE;
    assert_refused(shmr_geometry_same(&have, &want), EEXIST, "without SHMRING_AT_MOST_ONCE");
    assert_refused(shmr_geometry_same(&want, &have), EEXIST, "with SHMRING_AT_MOST_ONCE");
    want = have;
    want.flags = SHMRING_HUGE_PAGES;
    assert_refused(shmr_geometry_same(&have, &want), EEXIST, "without huge pages");
    assert_refused(shmr_geometry_same(&want, &have), EEXIST, "with huge pages");
}
