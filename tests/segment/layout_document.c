/* SPDX-License-Identifier: MIT */
/*
 * doc/layout.md compared with segments of this build. The test reads the tables from the document,
 * and finds each field at the offset and with the size that the table says. So the document and the
 * code cannot drift apart.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crc32c.h"
#include "support.h"

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

enum { FIELDS_MOST = 200, CELL = 64 };

/* ---- The document ---------------------------------------------------------------------------- */

static struct field {
    char table[CELL];
    unsigned offset, size;
    char name[CELL];
    bool compared;
} fields[FIELDS_MOST];
static size_t field_count;

static FILE *open_document(void)
{
    const char *srcdir = getenv("srcdir");
    char path[4096];

    snprintf(path, sizeof path, "%s/doc/layout.md", srcdir ? srcdir : ".");
    FILE *f = fopen(path, "re");
    cr_assert_not_null(f, "%s cannot be read: srcdir should say where the sources are", path);
    return f;
}

/* "## Header, 512 bytes": the name of the table, and the length of what it describes. */
static void read_heading(const char *line, char table[CELL], unsigned *bytes)
{
    line += strspn(line, "# ");
    size_t n = strcspn(line, ",\n");

    snprintf(table, CELL, "%.*s", (int)n, line);
    *bytes = 0;
    (void)sscanf(line + n, ", %u bytes", bytes);
}

/* The fields of a table follow each other without a gap, up to that length. */
static void check_table(size_t first, unsigned bytes)
{
    unsigned end = 0;

    for (size_t i = first; i < field_count; i++) {
        cr_assert_eq(fields[i].offset, end, "%s, %s: at %u, but the one before ends at %u",
                     fields[i].table, fields[i].name, fields[i].offset, end);
        end += fields[i].size;
    }
    cr_assert_eq(end, bytes, "%s: the fields have %u bytes of %u", fields[first].table, end, bytes);
}

static void read_document(void)
{
    char line[512], table[CELL] = "";
    unsigned bytes = 0, tables = 0;
    size_t first = 0;
    FILE *f = open_document();

    field_count = 0;
    for (;;) {
        bool more = fgets(line, sizeof line, f) != NULL;
        struct field field = {0};
        if (!more || line[0] == '#') {
            if (field_count > first) {
                check_table(first, bytes);
                tables++;
            }
            first = field_count;
            if (!more)
                break;
            read_heading(line, table, &bytes);
        } else if (sscanf(line, "| %u | %u | %63[^|\n]|", &field.offset, &field.size, field.name) ==
                   3) {
            field.name[strlen(field.name) - 1] = 0; /* the space before it */
            memcpy(field.table, table, sizeof table);
            cr_assert_lt(field_count, FIELDS_MOST);
            fields[field_count++] = field;
        }
    }
    fclose(f);
    cr_assert_eq(tables, 14, "%u tables", tables);
}

static struct field *find_field(const char *table, const char *name)
{
    for (size_t i = 0; i < field_count; i++)
        if (strcmp(fields[i].table, table) == 0 && strcmp(fields[i].name, name) == 0)
            return &fields[i];
    cr_assert_fail("doc/layout.md has no field %s of %s", name, table);
    return NULL;
}

/* ---- Segments -------------------------------------------------------------------------------- */

static struct {
    const uint8_t *bytes;
    uint64_t size;
    /* The offsets that the section "Sections" gives. */
    uint64_t producer, table, waitwords, consumer, data, page;
} segment;

static uint64_t up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

static void map(const shmring_t *q, uint32_t rows)
{
    const int fd = shmring_segment_fd(q);
    struct stat st;

    cr_assert_eq(fstat(fd, &st), 0);
    segment.size = (uint64_t)st.st_size;
    segment.bytes = mmap(NULL, segment.size, PROT_READ, MAP_SHARED, fd, 0);
    cr_assert_neq(segment.bytes, MAP_FAILED);
    segment.page = (uint64_t)sysconf(_SC_PAGESIZE);
    segment.producer = segment.page;
    segment.table = 2 * segment.page;
    segment.waitwords = segment.table + rows * 256;
    segment.consumer = up(segment.waitwords + 256, segment.page);
    segment.data = segment.consumer + segment.page;
}

static uint64_t number_at(uint64_t offset, unsigned size)
{
    const uint8_t *p = segment.bytes + offset;
    uint64_t n = 0;
    uint32_t n4;
    uint16_t n2;

    cr_assert_leq(offset + size, segment.size);
    switch (size) {
    case 8:
        memcpy(&n, p, 8);
        return n;
    case 4:
        memcpy(&n4, p, 4);
        return n4;
    case 2:
        memcpy(&n2, p, 2);
        return n2;
    default:
        cr_assert_fail("a number of %u bytes", size);
        return 0;
    }
}

/* The value of a field of a table that begins at BASE. */
static uint64_t value_of(const char *table, uint64_t base, const char *name)
{
    struct field *field = find_field(table, name);

    field->compared = true;
    return number_at(base + field->offset, field->size);
}
#define is(Table, Base, Name, Value)                                                               \
    do {                                                                                           \
        const uint64_t there_ = value_of(Table, Base, Name), wanted_ = (uint64_t)(Value);          \
        cr_assert_eq(there_, wanted_, "%s, %s: %" PRIu64 ", not %" PRIu64, Table, Name, there_,    \
                     wanted_);                                                                     \
    } while (0)

static void is_text(const char *table, uint64_t base, const char *name, const char *text,
                    unsigned size)
{
    struct field *field = find_field(table, name);

    field->compared = true;
    cr_assert_eq(field->size, size);
    cr_assert_eq(memcmp(segment.bytes + base + field->offset, text, size), 0, "%s, %s", table,
                 name);
}

/* Every other field that the table has is zero, and the table says so. */
static void rest_is_zero(const char *table, uint64_t base)
{
    for (size_t i = 0; i < field_count; i++) {
        if (strcmp(fields[i].table, table) != 0 || fields[i].compared)
            continue;
        cr_assert_str_eq(fields[i].name, "zero", "%s, %s: no test compared it", table,
                         fields[i].name);
        for (unsigned j = 0; j < fields[i].size; j++)
            cr_assert_eq(segment.bytes[base + fields[i].offset + j], 0, "%s: byte %u is not zero",
                         table, fields[i].offset + j);
    }
}

/* Every section is at its offset: outside of what the tables describe, all bytes are zero. */
static void page_is_zero_after(uint64_t from, uint64_t to)
{
    for (; from < to; from++)
        cr_assert_eq(segment.bytes[from], 0, "byte %" PRIu64 " is not zero", from);
}

/* ---- Both kinds ------------------------------------------------------------------------------ */

static void check_header(shmring_t *q, const char *name, uint32_t backend)
{
    const char *h = "Header";
    struct shmring_participant row;
    struct shmring_stat st;

    cr_assert_eq(shmring_stat(q, &st), 0);
    cr_assert_geq(shmring_participants(q, &row, 1), 1);
    const uint64_t magic = UINT64_C(0x31474e49524d4853); /* SHMRING1 where the low byte is first */
    is(h, 0, "magic", magic);
    is(h, 0, "layout_version", 2);
    is(h, 0, "byte_order", 0x01020304);
    is(h, 0, "header_bytes", 512);
    is(h, 0, "row_bytes", 256);
    is(h, 0, "producer_bytes", 128);
    is(h, 0, "consumer_bytes", 256);
    is(h, 0, "false_sharing", 128);
    is(h, 0, "block_bytes", 24);
    is(h, 0, "kind", st.kind);
    is(h, 0, "flags", st.flags);
    is(h, 0, "page_size", segment.page);
    is(h, 0, "capacity", st.capacity);
    is(h, 0, "max_message", st.max_message);
    is(h, 0, "rows", st.max_participants);
    is(h, 0, "segment_size", segment.size);
    is(h, 0, "created_ns", st.created_ns);
    is(h, 0, "creator_pid", getpid());
    is(h, 0, "creator_uid", geteuid());
    is(h, 0, "creator_pid_ns", row.pid_namespace);
    is_text(h, 0, "creator_comm", st.creator_comm, 16);
    is(h, 0, "backend", backend);
    char padded[256] = {0};
    snprintf(padded, sizeof padded, "%s", name);
    is_text(h, 0, "name", padded, 256);
    is(h, 0, "crc", crc32c(segment.bytes + 8, 500));
    rest_is_zero(h, 0);
    page_is_zero_after(512, segment.page);
}

/* The row of this process, in these roles. */
static void check_row(uint64_t base, const struct shmring_participant *who, uint32_t role)
{
    const char *r = "Participant's row";

    is(r, base, "state", 1);
    is(r, base, "generation", 1);
    is(r, base, "pid", getpid());
    is(r, base, "role", role);
    is(r, base, "start_time", who->start_time);
    is(r, base, "pid_ns", who->pid_namespace);
    is(r, base, "attached_ns", who->attached_ns);
    is(r, base, "uid", geteuid());
    is_text(r, base, "comm", who->comm, 16);
    is(r, base, "producers", (role & SHMRING_PRODUCER) != 0);
    is(r, base, "consumers", (role & SHMRING_CONSUMER) != 0);
    is(r, base, "hung_up", 0);
}

static void send_and_receive(shmring_t *q, int sent, int received)
{
    char message[16] = "layout";

    for (int i = 0; i < sent; i++)
        cr_assert_eq(shmring_send(q, message, 10), 0);
    for (int i = 0; i < received; i++)
        cr_assert_eq(shmring_recv(q, message, sizeof message), 10);
}

static void check_waitwords(shmring_t *q)
{
    struct shmring_futex futex;

    is("Wait words", segment.waitwords, "readable", 0);
    is("Wait words", segment.waitwords, "writable", 0);
    is("Wait words", segment.waitwords, "readable_settled", 0);
    is("Wait words", segment.waitwords, "writable_settled", 0);
    rest_is_zero("Wait words", segment.waitwords);
    /* A futex is armed on the word of its event; its flags are as the document says. */
    while (shmring_futex_arm(q, SHMRING_READABLE, &futex) == 1)
        send_and_receive(q, 0, 1);
    is("Wait words", segment.waitwords, "readable", 1 | 4);
    nanosleep(&(struct timespec){.tv_nsec = futex.limit_ns}, NULL);
    cr_assert_eq(shmring_futex_arm(q, SHMRING_READABLE, &futex), 0);
    is("Wait words", segment.waitwords, "readable_settled", 1);
    is("Wait words", segment.waitwords, "writable", 0);
    is("Wait words", segment.waitwords, "writable_settled", 0);
}

/* A tally of row 0. */
static void is_tally(const char *name, uint64_t messages, uint64_t bytes)
{
    const char *t = "Tally";
    struct field *field = find_field("Participant's row", name);
    const uint64_t base = segment.table + field->offset;

    field->compared = true;
    cr_assert_eq(field->size, 32);
    is(t, base, "pending", 0);
    is(t, base, "messages", messages);
    is(t, base, "twice", 2 * bytes + messages);
    rest_is_zero(t, base);
}

/* ---- spsc ------------------------------------------------------------------------------------ */

/* The one of two progress records with the greater position. */
static void is_progress(const char *table, uint64_t page, uint64_t messages, uint64_t bytes,
                        uint64_t position)
{
    const char *g = "Progress record";
    uint64_t base[2];

    for (int i = 0; i < 2; i++) {
        struct field *field = find_field(table, i ? "progress 1" : "progress 0");
        field->compared = true;
        cr_assert_eq(field->size, 32);
        base[i] = page + field->offset;
    }
    uint64_t whole = base[value_of(g, base[1], "position") > value_of(g, base[0], "position")];
    is(g, whole, "messages", messages);
    is(g, whole, "bytes", bytes);
    is(g, whole, "position", position);
    rest_is_zero(g, whole);
}

Test(layout_document, spsc)
{
    const struct shmring_config config = {
        .kind = SHMRING_SPSC, .capacity = 4096, .max_message = 1000, .flags = BOTH};
    const char *p = "SPSC producer page", *c = "SPSC consumer page";
    struct shmring_participant rows[2];
    const void *message;
    char text[1000] = "";
    const struct iovec batch[] = {{text, 1000}, {text, 1000}, {text, 1000}, {text, 1000}};
    shmring_t *q;

    read_document();
    cr_assert_eq(shmring_create(&q, "memfd:layout", &config), 0);
    map(q, 2);
    cr_assert_eq(segment.size, segment.data + up(4096, segment.page), "the data section");
    const uint64_t producer = segment.producer, consumer = segment.consumer;
    cr_assert_eq(shmring_participants(q, rows, 2), 2);
    check_row(segment.table, &rows[0], SHMRING_PRODUCER);
    check_row(segment.table + 256, &rows[1], SHMRING_CONSUMER);

    /* Records of sixteen bytes: 4 + 10, rounded up. Two were sent and one received; then the ring
     * is filled. */
    send_and_receive(q, 2, 1);
    cr_assert_eq(shmring_send_batch(q, batch, 4), 4);
    cr_assert_eq(shmring_send(q, text, 100), -EAGAIN);
    cr_assert_eq(shmring_peek(q, &message, NULL), 10);
    is(p, producer, "full_events", 1);
    is(p, producer, "high_water", 16 + 4 * 1008);
    is_progress(p, producer, 6, 20 + 4 * 1000, 32 + 4 * 1008);
    is(c, consumer, "head", 0);
    is_progress(c, consumer, 1, 10, 16);
    is(c, consumer, "taken", 32);
    is(c, consumer, "redelivered_until", 0);
    is(c, consumer, "redeliveries", 0);
    is(c, consumer, "empty_events", 0);
    rest_is_zero(p, producer);
    rest_is_zero(c, consumer);
    cr_assert_eq(number_at(segment.data + 16 + 4, 4), 10 + 1, "the second record's header");
    cr_assert_eq(memcmp(segment.bytes + segment.data + 16 + 8, "layout", 7), 0, "its payload");
    cr_assert_eq(number_at(segment.data + 32 + 4, 4), 1000 + 1, "the third record's header");

    cr_assert_eq(shmring_release(q, message), 0);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(shmring_recv(q, text, sizeof text), 1000);
    cr_assert_eq(shmring_recv(q, text, sizeof text), -EAGAIN);
    is(c, consumer, "head", 32 + 4 * 1008);
    is(c, consumer, "empty_events", 1);
    cr_assert_eq(number_at(segment.data + 32 + 4 * 1008 - 4096 + 4, 4), 0, "the terminator");
    check_header(q, "memfd:layout", 3);
    check_waitwords(q);
    page_is_zero_after(segment.producer + 128, segment.table);
    page_is_zero_after(segment.waitwords + 256, segment.consumer);
    page_is_zero_after(segment.consumer + 256, segment.data);
    static const char *const rest[] = {"deaths", "recovered", "full_events", "empty_events",
                                       "held_since"};
    for (size_t i = 0; i < sizeof rest / sizeof rest[0]; i++)
        is("Participant's row", segment.table, rest[i], 0);
    is_tally("sent", 0, 0);
    is_tally("received", 0, 0);
    rest_is_zero("Participant's row", segment.table);
    shmring_close(&q);
    cr_assert_eq(number_at(segment.table, 4), 0, "the row is free again");
}

/* A successor notes its predecessor's death. */
static int take_and_die(void *name)
{
    const void *message;
    shmring_t *q;

    child_assert(shmring_open(&q, name, SHMRING_CONSUMER) == 0);
    child_assert(shmring_peek(q, &message, NULL) == 10);
    _exit(0);
}

Test(layout_document, spsc_after_a_death)
{
    const char *c = "SPSC consumer page";
    char name[TEST_NAME_SIZE];
    shmring_t *q, *consumer;

    read_document();
    test_name(name);
    q = test_create(name, SHMRING_PRODUCER, 4096);
    map(q, 2);
    send_and_receive(q, 2, 0);
    cr_assert_eq(test_run(take_and_die, name), 0);
    is(c, segment.consumer, "taken", 16);
    cr_assert_eq(number_at(segment.table + 256, 4), 1, "attached, and dead");
    cr_assert_eq(shmring_open(&consumer, name, SHMRING_CONSUMER), 0);
    is(c, segment.consumer, "redelivered_until", 16);
    is(c, segment.consumer, "redeliveries", 1);
    is("Participant's row", segment.table + 256, "generation", 2);
    is("Participant's row", segment.table + 256, "deaths", UINT64_C(1) << 32 | 1);
    shmring_close(&consumer);
    shmring_close(&q);
}

/* ---- broadcast ------------------------------------------------------------------------------- */

static void is_place(const char *name, uint64_t number, uint64_t position)
{
    struct field *field = find_field("Broadcast producer page", name);

    field->compared = true;
    cr_assert_eq(field->size, 16);
    is("Place", segment.producer + field->offset, "number", number);
    is("Place", segment.producer + field->offset, "position", position);
}

/* The one of two records of a consumer that has more steps; or the other one. */
static uint64_t record_of(uint64_t half, bool whole)
{
    const char *h = "Consumer's half of a row", *r = "Consumer's record";
    uint64_t base[2];

    for (int i = 0; i < 2; i++) {
        struct field *field = find_field(h, i ? "record 1" : "record 0");
        field->compared = true;
        cr_assert_eq(field->size, 32);
        base[i] = half + field->offset;
    }
    return base[(value_of(r, base[1], "steps") > value_of(r, base[0], "steps")) == whole];
}

Test(layout_document, broadcast)
{
    const struct shmring_config config = {.kind = SHMRING_BROADCAST,
                                          .capacity = 4096,
                                          .max_participants = 2,
                                          .flags = SHMRING_PRODUCER};
    const char *p = "Broadcast producer page", *h = "Consumer's half of a row";
    const char *r = "Consumer's record";
    struct shmring_participant rows[2];
    struct shmring_info info;
    const void *message;
    char text[1000] = "";
    shmring_t *q, *c;

    read_document();
    cr_assert_eq(shmring_create(&q, "memfd:layout", &config), 0);
    cr_assert_eq(shmring_dup(&c, q, SHMRING_CONSUMER | SHMRING_RELIABLE), 0);
    map(q, 3);
    cr_assert_eq(segment.size, segment.data + up(4096, segment.page), "the data section");
    cr_assert_eq(shmring_participants(q, rows, 2), 2);
    check_row(segment.table, &rows[0], SHMRING_PRODUCER);
    check_row(segment.table + 256, &rows[1], SHMRING_CONSUMER);

    /* Sixteen bytes each; then 1008; then a key message. */
    cr_assert_eq(shmring_send(q, "a message", 10), 0);
    cr_assert_eq(shmring_send(q, text, 1000), 0);
    cr_assert_eq(shmring_send_flags(q, text, 10, SHMRING_KEY), 0);
    is(p, segment.producer, "horizon", 1280);
    is_progress(p, segment.producer, 2, 1010, 16 + 1008); /* not stored each time */
    is_place("mark 0", 0, 0);
    find_field(p, "further marks")->compared = true;
    const uint64_t marks = segment.producer + find_field(p, "mark 0")->offset;
    cr_assert_eq(number_at(marks + 4 * 16, 8), 2, "the third message is the first in its chunk");
    cr_assert_eq(number_at(marks + 4 * 16 + 8, 8), 16 + 1008);
    for (uint64_t i = 1; i < 16; i++)
        if (i != 4)
            cr_assert_eq(number_at(marks + i * 16 + 8, 8), 0, "no record starts there");
    const bool first = number_at(segment.producer + find_field(p, "key 0")->offset, 8) != 0;
    is_place(first ? "key 0" : "key 1", 3, 16 + 1008);
    is_place(first ? "key 1" : "key 0", 0, 0);
    is(p, segment.producer, "full_events", 0);
    is(p, segment.producer, "high_water", 0);
    rest_is_zero(p, segment.producer);
    cr_assert_eq(number_at(segment.data + 4, 4), 10 + 1, "the first record's header");
    cr_assert_eq(memcmp(segment.bytes + segment.data + 8, "a message", 10), 0, "its payload");
    cr_assert_eq(number_at(segment.data + 16 + 1008 + 4, 4), (UINT64_C(1) << 31) + 10 + 1, "a key");
    cr_assert_eq(number_at(segment.data + 16 + 1008 + 16 + 4, 4), 0, "the terminator");

    const uint64_t half = segment.table + 256 + 128;
    cr_assert_eq(shmring_recv(c, text, sizeof text), 10);
    cr_assert_eq(shmring_peek(c, &message, &info), 1000);
    is(r, record_of(half, true), "bytes_received", 10);
    is(r, record_of(half, true), "missed", 0);
    is(r, record_of(half, true), "steps", 1);
    is(r, record_of(half, false), "steps", 0);
    rest_is_zero(r, record_of(half, true));
    is(h, half, "position", 16);
    is(h, half, "reliable", (UINT64_C(3) << 32) + 1);
    is(h, half, "base", 0);
    is(h, half, "empty_events", 0);
    rest_is_zero(h, half);
    cr_assert_eq(shmring_release(c, message), 0);
    cr_assert_eq(shmring_recv(c, text, sizeof text), 10);
    cr_assert_eq(shmring_recv(c, text, sizeof text), -EAGAIN);
    is(h, half, "empty_events", 1);
    is(h, half, "position", 16 + 1008 + 16);
    check_header(q, "memfd:layout", 3);
    page_is_zero_after(segment.producer + 512, segment.table);
    page_is_zero_after(segment.waitwords + 256, segment.data);
    shmring_close(&c);
    is(h, half, "reliable", 0);
    shmring_close(&q);
}

/* ---- mpmc ------------------------------------------------------------------------------------ */

enum { MPMC_ROWS = 3, MPMC_LONGEST = 100, STRIDE = 128 };

static shmring_t *create_mpmc(const char *name, uint32_t flags)
{
    const struct shmring_config config = {.kind = SHMRING_MPMC,
                                          .capacity = 4,
                                          .max_message = MPMC_LONGEST,
                                          .max_participants = MPMC_ROWS,
                                          .flags = BOTH | flags};
    shmring_t *q;

    cr_assert_eq(shmring_create(&q, name, &config), 0, "%s", shmring_strerror_detail());
    map(q, MPMC_ROWS);
    cr_assert_eq(segment.size, segment.data + up(4 * (STRIDE + 8), segment.page));
    return q;
}

/* Bits FROM to TO of a word. */
static uint64_t bits(uint64_t word, unsigned from, unsigned to)
{
    return word >> from & (UINT64_MAX >> (63 - (to - from)));
}

static uint64_t block_at(uint64_t index)
{
    return segment.data + index * STRIDE;
}

Test(layout_document, mpmc)
{
    const char *r = "Participant's row", *b = "Block";
    struct shmring_participant row;
    char text[MPMC_LONGEST];
    const void *message;
    void *place;

    read_document();
    shmring_t *q = create_mpmc("memfd:layout", SHMRING_AT_MOST_ONCE);
    cr_assert_eq(shmring_participants(q, &row, 1), 1);
    check_row(segment.table, &row, BOTH);
    send_and_receive(q, 2, 1);
    cr_assert_eq(shmring_recv(q, text, sizeof text), 10);
    cr_assert_eq(shmring_recv(q, text, sizeof text), -EAGAIN);
    send_and_receive(q, 2, 0);
    cr_assert_eq(shmring_peek(q, &message, NULL), 10);
    cr_assert_eq(shmring_reserve(q, 5, &place), 0);
    is_tally("sent", 4, 40);
    is_tally("received", 2, 20);
    is(r, segment.table, "deaths", 0);
    is(r, segment.table, "recovered", 0);
    is(r, segment.table, "empty_events", 1);
    cr_assert_neq(value_of(r, segment.table, "held_since"), 0, "two blocks are held");

    /* Position 2 in block 2: taken, by row 0. Position 3 in block 3: ready. One more block is
     * owned. */
    uint64_t taken = value_of(b, block_at(2), "descriptor"),
             ready = value_of(b, block_at(3), "descriptor"),
             entry = value_of(b, block_at(3), "entry"), owned = 0;
    cr_assert_eq(bits(taken, 62, 63), 1);
    cr_assert_eq(bits(taken, 60, 61), 1, "M, and not R");
    cr_assert_eq(bits(taken, 0, 47), 2);
    cr_assert_eq(bits(ready, 62, 63), 2);
    cr_assert_eq(bits(ready, 48, 59), 0, "the row");
    cr_assert_eq(bits(ready, 0, 47), 3);
    cr_assert_eq(bits(entry, 0, 23), 3, "the block");
    cr_assert_eq(bits(entry, 24, 63), 3 / 4 + 1, "the cycle");
    for (uint64_t i = 0; i < 2; i++)
        owned += bits(value_of(b, block_at(i), "descriptor"), 62, 63);
    cr_assert_eq(owned, 1, "one is owned, one is free");
    is(b, block_at(3), "length", 10);
    is(b, block_at(3), "deliveries", 0);
    cr_assert_eq(memcmp(segment.bytes + block_at(3) + 24, "layout", 7), 0, "the payload");

    cr_assert_eq(shmring_cancel(q, place), 0);
    send_and_receive(q, 2, 0);
    cr_assert_eq(shmring_send(q, text, 1), -EAGAIN);
    is(r, segment.table, "full_events", 1);
    rest_is_zero(r, segment.table);
    check_header(q, "memfd:layout", 3);
    page_is_zero_after(segment.waitwords + 256, segment.consumer);
    cr_assert_eq(shmring_release(q, message), 0);
    shmring_close(&q);
}

static int own_take_and_die(void *name)
{
    const void *message;
    void *place;
    shmring_t *q;

    child_assert(shmring_open(&q, name, BOTH) == 0);
    child_assert(shmring_peek(q, &message, NULL) == 10);
    child_assert(shmring_reserve(q, 5, &place) == 0);
    _exit(0);
}

Test(layout_document, mpmc_after_a_death)
{
    const char *p = "MPMC producer page", *c = "MPMC consumer page", *b = "Block";
    char name[TEST_NAME_SIZE];

    read_document();
    test_name(name);
    shmring_t *q = create_mpmc(name, 0);
    for (int i = 0; i < 32; i++) /* a producer stores a hint every 32 positions */
        send_and_receive(q, 1, 1);
    send_and_receive(q, 2, 0);
    cr_assert_eq(test_run(own_take_and_die, name), 0);
    cr_assert_eq(shmring_recover(q, NULL), 1);
    is(p, segment.producer, "hint", 32);
    is("Participant's row", segment.table + 256, "deaths", UINT64_C(1) << 32 | 1);
    is("Participant's row", segment.table + 256, "recovered", UINT64_C(1) << 26);
    (void)value_of(p, segment.producer, "swept");
    (void)value_of(p, segment.producer, "high_water");
    rest_is_zero(p, segment.producer);
    page_is_zero_after(segment.producer + 128, segment.table);
    is(c, segment.consumer, "hint", 32);
    rest_is_zero(c, segment.consumer);
    page_is_zero_after(segment.consumer + 128, segment.data);

    /* Position 32, in block 0, was delivered again at position 34: block 0's origin has the 32. */
    uint64_t descriptor = value_of(b, block_at(0), "descriptor");
    is(b, block_at(0), "deliveries", 1);
    cr_assert_eq(bits(descriptor, 0, 47), 34);
    cr_assert_eq(bits(descriptor, 60, 63), 2 << 2 | 3, "ready, M, R");
    cr_assert_eq(number_at(segment.data + 4 * STRIDE, 8), 32, "the origin");
    shmring_close(&q);
}
