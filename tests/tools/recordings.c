/* SPDX-License-Identifier: MIT */
/*
 * shmring record and replay: what is recorded is sent again, at its pace; recordings that were cut
 * off, are damaged or were made to do harm. The format, as shmring-record(5) has it, is written
 * here once more.
 */
#include <config.h>

#include <fcntl.h>
#include <shmring/shmring.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "crc32c.h"
#include "tool.h"

TestSuite(recordings, .init = reset_signals, .timeout = 300);

enum { HEAD = 32, MESSAGE = 1, GAP = 2, END = 3, MOST = 1 << 20 };
#define SECOND INT64_C(1000000000)

static const char *const kinds[] = {"spsc", "mpmc", "broadcast"};
enum { KINDS = 3 };

static const char *queue_of(const char *kind)
{
    const char *name = queue_name();
    DO("create", "--kind", kind, "--capacity", "4096", "--max-message", "1000", name);
    return name;
}

/* ---- Recordings made here -------------------------------------------------------------------- */

static struct {
    unsigned char bytes[MOST];
    size_t n;
} made;

static void put(uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        made.bytes[made.n++] = (unsigned char)(value >> 8 * i);
}

/* The checksum of all from `from` on, at `at`. */
static void put_sum(size_t at, size_t from)
{
    const size_t n = made.n;
    const uint32_t sum = crc32c(made.bytes + from, made.n - from);
    made.n = at;
    put(sum, 4);
    made.n = n;
}

static void make_start(uint32_t version, uint32_t max_message)
{
    memcpy(made.bytes, "shmring\n", 8);
    made.n = 12;
    put(version, 4);
    put(max_message, 4);
    put(0, 4);
    put(0, 8);
    put_sum(8, 12);
}

static void make_record(uint32_t type, uint32_t length, uint32_t flags, uint64_t number,
                        int64_t time_ns, const char *payload)
{
    const size_t at = made.n;
    put(0, 4);
    put(type, 4);
    put(length, 4);
    put(flags, 4);
    put(number, 8);
    put((uint64_t)time_ns, 8);
    memcpy(made.bytes + made.n, payload, strlen(payload));
    made.n += strlen(payload);
    put_sum(at, at + 4);
}

static void make_message(int64_t time_ns, const char *payload)
{
    make_record(MESSAGE, (uint32_t)strlen(payload), 0, 0, time_ns, payload);
}

static struct program replay_starts(size_t n, const char *how, const char *queue)
{
    int input = input_of(made.bytes, n);
    struct program program = START(input, -1, "replay", how, queue, "-");
    close(input);
    return program;
}

/* Replay the first n bytes of what was made. */
static struct outcome replayed(size_t n, const char *queue)
{
    struct program program = replay_starts(n, "--fast", queue);
    return program_finish(&program);
}

/* Read a file to what was made. */
static void load(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, made.bytes, sizeof made.bytes);
    cr_assert(fd >= 0 && n >= 0, "%s", path);
    close(fd);
    made.n = (size_t)n;
}

/* The system call in which the process is; -1: in none. */
static long call_of(pid_t pid)
{
    char path[64];
    long call = -1;
    snprintf(path, sizeof path, "/proc/%d/syscall", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file || fscanf(file, "%ld", &call) != 1)
        call = -1;
    if (file)
        fclose(file);
    return call;
}

static void await_call(pid_t pid, long call)
{
    if (access("/proc/self/syscall", R_OK) < 0)
        cr_skip_test("the kernel does not say in which system call a process is");
    for (struct deadline deadline = {0}; call_of(pid) != call;)
        pause_until(&deadline, "a system call");
}

/* ---- There and back -------------------------------------------------------------------------- */

static const char three[] = "\5\0\0\0ab\0\nd\0\0\0\0\3\0\0\0\377\0e";

static void send_three(const char *queue)
{
    int input = input_of(three, sizeof three - 1);
    struct program sender = START(input, -1, "send", "--length-prefixed", queue);
    close(input);
    EXPECT(program_finish(&sender), 0, "", "");
}

static void expect_three(const char *queue)
{
    struct outcome outcome = TOOL("", "recv", "--length-prefixed", "--no-wait", queue);
    cr_assert(outcome.status == 0 && outcome.out_length == sizeof three - 1 &&
              memcmp(outcome.out, three, outcome.out_length) == 0);
    outcome_free(&outcome);
}

Test(recordings, what_is_recorded_is_sent_again)
{
    const char *directory = directory_name(), *to = queue_of("spsc");
    for (int k = 0; k < KINDS; k++) {
        const char *from = queue_of(kinds[k]), *path = path_in(directory, kinds[k]);
        send_three(from);
        DO("record", "--no-wait", "--from", k == 2 ? "oldest" : "newest", from, path);
        DO("replay", "--speed", "1000", to, path);
        expect_three(to);
        /* It has taken the messages, but for those that all can have. */
        EXPECT(TOOL("", "recv", "--count", "0", "--no-wait", from), 0, "", "");
        struct outcome outcome = TOOL("", "dump", from);
        cr_assert((*outcome.out == '\0') == (k != 2), "%s", outcome.out);
        outcome_free(&outcome);

        struct stat st;
        cr_assert(stat(path, &st) == 0 && (st.st_mode & 0177) == 0);
        EXPECT(TOOL("", "record", "--no-wait", from, path), 1, "", "cannot create: File exists");
    }
    EXPECT(TOOL("", "record", to), 2, "", "a NAME and a FILE");
    EXPECT(TOOL("", "replay", to), 2, "", "a NAME and a FILE");
    EXPECT(TOOL("", "replay", "--speed", "0", to, "-"), 2, "", "--speed is a factor");
    EXPECT(TOOL("", "replay", to, path_in(directory, "none")), 1, "", "cannot open: No such file");
    EXPECT(TOOL("", "record", "no-such-queue", path_in(directory, "none")), 1, "",
           "does not exist");
    cr_assert(access(path_in(directory, "none"), F_OK) < 0);
}

Test(recordings, through_a_pipe_and_until_a_signal)
{
    const char *from = queue_of("broadcast"), *to = queue_of("broadcast");
    struct program recorder = START(-1, -1, "record", from, "-");
    await_stat(from, "\"consumers_asleep\":true");
    EXPECT(TOOL("one\n", "send", from), 0, "", "");
    EXPECT(TOOL("two\n", "send", "--key", from), 0, "", "");
    EXPECT(TOOL("three\n", "send", from), 0, "", "");
    await_stat(from, "\"lag\":0,");
    await_stat(from, "\"consumers_asleep\":true");
    kill(recorder.pid, SIGTERM);
    struct outcome outcome = program_finish(&recorder);
    cr_assert(outcome.status == 128 + SIGTERM && *outcome.err == '\0', "%s", outcome.err);
    memcpy(made.bytes, outcome.out, made.n = outcome.out_length);
    outcome_free(&outcome);
    EXPECT(replayed(made.n, to), 0, "", "");
    EXPECT(TOOL("", "recv", "--no-wait", "--from", "oldest", to), 0, "one\ntwo\nthree\n", "");
    EXPECT(TOOL("", "recv", "--no-wait", "--from", "key", to), 0, "two\nthree\n", "");
    const char *spsc = queue_of("spsc"); /* which has no key messages */
    EXPECT(replayed(made.n, spsc), 0, "", "");
    EXPECT(TOOL("", "recv", "--no-wait", spsc), 0, "one\ntwo\nthree\n", "");
}

/* The bytes that record writes are those that shmring-record(5) describes. */
Test(recordings, the_format)
{
    const char *from = queue_of("broadcast"), *path = path_in(directory_name(), "recording");
    EXPECT(TOOL("one\n", "send", "--key", from), 0, "", "");
    EXPECT(TOOL("three\n", "send", from), 0, "", "");
    const time_t before = time(NULL);
    DO("record", "--no-wait", "--from", "oldest", from, path);
    load(path);
    unsigned char *found = malloc(made.n);
    const size_t n = made.n;
    memcpy(found, made.bytes, n);
    cr_assert(n == 4 * HEAD + 8);
    int64_t times[4];
    static const size_t at[] = {24, HEAD + 24, 2 * HEAD + 3 + 24, 3 * HEAD + 8 + 24};
    for (int i = 0; i < 4; i++) {
        memcpy(&times[i], found + at[i], 8); /* read as this machine does, for all are put below */
        times[i] = (int64_t)le64toh((uint64_t)times[i]);
        cr_assert(times[i] >= before * SECOND && times[i] <= (time(NULL) + 1) * SECOND);
    }
    make_start(1, 1000);
    made.n = 24;
    put((uint64_t)times[0], 8);
    put_sum(8, 12);
    make_record(MESSAGE, 3, SHMRING_KEY, 0, times[1], "one");
    make_record(MESSAGE, 5, 0, 1, times[2], "three");
    make_record(END, 0, 0, 2, times[3], "");
    cr_assert(made.n == n && memcmp(found, made.bytes, n) == 0);
    free(found);
}

/* ---- Cut off, damaged, and made to do harm --------------------------------------------------- */

Test(recordings, cut_off_at_each_byte)
{
    const char *to = queue_of("spsc");
    make_start(1, 100);
    make_message(0, "one");
    const size_t last = made.n;
    make_message(0, "the last");
    const size_t end = made.n;
    make_record(END, 0, 0, 2, 0, "");
    for (size_t n = 0; n <= made.n; n++) {
        char said[64] = "";
        if (n < made.n)
            snprintf(said, sizeof said, "cut off at byte %zu, behind message %d",
                     n < HEAD   ? 0
                     : n < last ? (size_t)HEAD
                     : n < end  ? last
                                : end,
                     n < last  ? 0
                     : n < end ? 1
                               : 2);
        EXPECT(replayed(n, to), n < made.n ? 4 : 0, "", said);
        EXPECT(TOOL("", "recv", "--no-wait", to), n < last ? 3 : 0,
               n < last  ? ""
               : n < end ? "one\n"
                         : "one\nthe last\n",
               n < last ? "empty" : "");
    }
}

Test(recordings, a_bit_that_has_changed)
{
    const char *to = queue_of("broadcast");
    make_start(1, 100);
    make_message(0, "one");
    make_message(0, "two");
    make_record(END, 0, 0, 2, 0, "");
    for (size_t byte = 0; byte < made.n; byte++) {
        made.bytes[byte] ^= 1;
        struct outcome outcome = replayed(made.n, to);
        /* A length that is less is a wrong checksum, too. One that is more goes on to the end. */
        cr_assert(outcome.status == 1 || outcome.status == 4, "byte %zu: exit %d, %s", byte,
                  outcome.status, outcome.err);
        cr_assert(strstr(outcome.err, "at byte ") || outcome.status == 1, "%s", outcome.err);
        outcome_free(&outcome);
        made.bytes[byte] ^= 1;
    }
    EXPECT(replayed(made.n, to), 0, "", "");
}

#define HOSTILE(Says)                                                                              \
    do {                                                                                           \
        EXPECT(replayed(made.n, to), 1, "", Says);                                                 \
        EXPECT(TOOL("", "recv", "--no-wait", to), 0, "one\n", "");                                 \
    } while (0)

static void make_one(void)
{
    make_start(1, 100);
    make_message(0, "one");
}

/* Their checksums are right. */
Test(recordings, made_to_do_harm)
{
    const char *to = queue_of("spsc");
    make_one();
    make_record(MESSAGE, 101, 0, 0, 0, "short");
    HOSTILE("damaged at byte 67, behind message 1: a record is longer");
    make_one();
    make_record(MESSAGE, UINT32_MAX, 0, 0, 0, "short");
    HOSTILE("a record is longer");
    make_one();
    make_record(GAP, 5, 0, 1, 0, "short");
    HOSTILE("a record is longer");
    make_one();
    make_record(GAP, 0, 0, 0, 0, "");
    HOSTILE("a gap of no messages");
    make_one();
    make_record(END, 0, 0, 1, 0, "");
    make_message(0, "more");
    HOSTILE("there are bytes behind the end");
    for (uint32_t type = 0; type <= 4; type += 4) {
        make_one();
        make_record(type, 0, 0, 0, 0, "");
        HOSTILE("there is no such type");
    }
    make_one();
    make_record(MESSAGE, 3, 0x80, 0, 0, "two");
    HOSTILE("unknown flags");

    make_start(2, 100);
    EXPECT(replayed(made.n, to), 1, "", "another version than 1");
    make_start(1, (1 << 30) + 1);
    EXPECT(replayed(made.n, to), 1, "", "longer than any can be");
    make_start(1, 1 << 30); /* as long as allowed, and not there: no memory is taken for it */
    make_record(MESSAGE, 1 << 30, 0, 0, 0, "short");
    struct rlimit little, usual;
    getrlimit(RLIMIT_AS, &usual);
    little = usual;
#if !defined __SANITIZE_ADDRESS__ /* which takes terabytes of addresses for itself */
    little.rlim_cur = 256 << 20;
#endif
    cr_assert(setrlimit(RLIMIT_AS, &little) == 0);
    EXPECT(replayed(made.n, to), 4, "", "cut off at byte 32");
    cr_assert(setrlimit(RLIMIT_AS, &usual) == 0);
    EXPECT(TOOL("no recording\n", "replay", to, "-"), 1, "", "stdin: damaged at byte 0");
    EXPECT(TOOL("\n", "replay", to, "-"), 1, "", "this is not a recording");
    EXPECT(TOOL("", "replay", to, "/"), 1, "", "cannot read: Is a directory");
    make_start(1, 2000);
    make_record(MESSAGE, 3, 0, 0, 0, "one");
    char longer[1002] = "";
    memset(longer, 'x', sizeof longer - 1);
    make_message(0, longer);
    HOSTILE("message 2: ");
    EXPECT(TOOL("", "recv", "--no-wait", to), 3, "", "empty");
}

/* ---- The recorder is killed, and the disk is full -------------------------------------------- */

static void await_size(const char *path, size_t size)
{
    struct stat st;
    for (struct deadline deadline = {0}; stat(path, &st) < 0 || (size_t)st.st_size != size;)
        pause_until(&deadline, "the recording");
}

Test(recordings, of_a_recorder_that_was_killed)
{
    const char *from = queue_of("broadcast"), *to = queue_of("spsc");
    const char *path = path_in(directory_name(), "recording");
    struct program recorder = START(-1, -1, "record", from, path);
    await_stat(from, "\"consumers_asleep\":true");
    EXPECT(TOOL("one\ntwo\n", "send", from), 0, "", "");
    await_size(path, 3 * HEAD + 6);
    KILL(&recorder);
    EXPECT(TOOL("", "replay", "--fast", to, path), 4, "", "cut off at byte 102, behind message 2");
    EXPECT(TOOL("", "recv", "--no-wait", to), 0, "one\ntwo\n", "");
}

/* A signal ends it in the middle of a message, which it cannot write: then that is not the end of
 * the recording. */
Test(recordings, interrupted_within_a_message)
{
    enum { PIPE = 65536, ROOM = HEAD + HEAD + 100, LONG = 8192 /* more than a pipe takes whole */ };
    static char filler[PIPE], longest[LONG + 1];
    const char *from = queue_name(), *to = queue_of("spsc");
    int output[2];
    DO("create", "--kind", "broadcast", "--capacity", "64K", from);
    test_pipe(output);
    cr_assert(write(output[1], filler, PIPE - ROOM) == PIPE - ROOM);
    struct program recorder = START(-1, output[1], "record", from, "-");
    close(output[1]);
    await_stat(from, "\"consumers_asleep\":true");
    memset(longest, 'x', LONG);
    EXPECT(TOOL(longest, "send", from), 0, "", "");
    await_call(recorder.pid, SYS_writev);
    kill(recorder.pid, SIGTERM);
    EXPECT(program_finish(&recorder), 128 + SIGTERM, "", "");
    cr_assert(read(output[0], filler, PIPE - ROOM) == PIPE - ROOM);
    ssize_t n = read(output[0], made.bytes, sizeof made.bytes);
    cr_assert(n >= 2 * HEAD && n < 2 * HEAD + LONG, "%zd bytes", n);
    cr_assert(made.bytes[n - HEAD + 4] != END); /* the last record, if it were one */
    close(output[0]);
    EXPECT(replayed((size_t)n, to), 4, "", "cut off at byte 32, behind message 0");
}

/* A limit on the file's size is to record what a full disk is: a part of the bytes is written, and
 * then none. */
Test(recordings, to_a_full_disk)
{
    enum { LINES = 100, LINE = 30, MOST_BYTES = HEAD + 40 * (HEAD + LINE) + HEAD + 5 };
    const char *from = queue_of("spsc"), *to = queue_of("spsc");
    const char *path = path_in(directory_name(), "recording");
    char lines[LINES * (LINE + 1) + 1];
    for (int i = 0; i < LINES; i++)
        sprintf(lines + (size_t)i * (LINE + 1), "%0*d\n", LINE, i);
    struct rlimit usual, full;
    getrlimit(RLIMIT_FSIZE, &usual);
    full = (struct rlimit){.rlim_cur = MOST_BYTES, .rlim_max = usual.rlim_max};
    DO("rm", from);
    DO("create", "--capacity", "16K", from);
    EXPECT(TOOL(lines, "send", from), 0, "", "");
    cr_assert(setrlimit(RLIMIT_FSIZE, &full) == 0);
    struct program recorder = START(-1, -1, "record", "--no-wait", from, path);
    EXPECT(program_finish(&recorder), 1, "", "cannot write: File too large");
    cr_assert(setrlimit(RLIMIT_FSIZE, &usual) == 0);
    EXPECT(TOOL("", "replay", "--fast", to, path), 4, "", ", behind message 40");
    char expected[40 * (LINE + 1) + 1] = {0};
    memcpy(expected, lines, sizeof expected - 1);
    EXPECT(TOOL("", "recv", "--no-wait", to), 0, expected, "");
    /* What was not recorded was not taken. */
    EXPECT(TOOL("", "recv", "--no-wait", from), 0, lines + strlen(expected), "");

    int nothing = open("/dev/full", O_WRONLY | O_CLOEXEC);
    recorder = START(-1, nothing, "record", "--no-wait", from, "-");
    close(nothing);
    EXPECT(program_finish(&recorder), 1, "", "stdout: cannot write: No space left");
}

/* ---- Gaps ------------------------------------------------------------------------------------ */

Test(recordings, a_gap_is_noted)
{
    enum { NUMBERS = 5000 }; /* ten times what the ring has room for */
    static char lines[NUMBERS * 5 + 1], filler[65536];
    const char *from = queue_of("broadcast"), *to = queue_name();
    int output[2], missing = 0, part;
    for (int i = 0; i < NUMBERS; i++)
        sprintf(lines + (size_t)i * 5, "%04d\n", i);
    DO("create", "--capacity", "1M", to);
    test_pipe(output);
    cr_assert(write(output[1], filler, sizeof filler) == sizeof filler);
    struct program recorder = START(-1, output[1], "record", "--eof", from, "-");
    close(output[1]);
    /* Its first bytes do not fit: it sleeps. Meanwhile the producer goes round and round. */
    await_stat(from, "\"role\":\"consumer\"");
    EXPECT(TOOL(lines, "send", "--no-wait", from), 0, "", "");
    cr_assert(read(output[0], filler, sizeof filler) == sizeof filler);
    for (ssize_t n; (n = read(output[0], made.bytes + made.n, sizeof made.bytes - made.n)) > 0;)
        made.n += (size_t)n;
    close(output[0]);
    EXPECT(program_finish(&recorder), 4, "", " in all: the producer was faster");

    struct outcome outcome = replayed(made.n, to);
    cr_assert(outcome.status == 4, "exit %d: %s", outcome.status, outcome.err);
    for (const char *line = outcome.err; (line = strstr(line, "stdin: ")); line++) {
        cr_assert(sscanf(line, "stdin: a gap of %d message", &part) == 1, "%s", line);
        missing += part;
    }
    outcome_free(&outcome);
    char sent[64];
    snprintf(sent, sizeof sent, "\"sent\":%d,", NUMBERS - missing);
    cr_assert(missing > 0 && stat_has(to, sent), "%d", missing);
}

/* ---- The pace -------------------------------------------------------------------------------- */

/* Two messages with an hour between them, and one that the clock was put back for. */
static void make_hour(void)
{
    make_start(1, 100);
    make_message(7200 * SECOND, "one");
    make_message(10800 * SECOND, "two");
    make_message(INT64_MIN, "three");
    make_record(END, 0, 0, 3, 0, "");
}

Test(recordings, the_pace_is_that_of_the_recording)
{
    const char *to = queue_of("spsc");
    make_hour();
    struct program program = replay_starts(made.n, "--speed=1", to);
    EXPECT(TOOL("", "recv", "--count", "1", to), 0, "one\n", "");
    await_call(program.pid, SYS_clock_nanosleep);
    cr_assert(program_runs(&program) && stat_has(to, "\"sent\":1,"));
    kill(program.pid, SIGTERM);
    EXPECT(program_finish(&program), 128 + SIGTERM, "", "");
    EXPECT(TOOL("", "recv", "--no-wait", to), 3, "", "empty");
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* Without a pause it does not last for hours; and with a speed it lasts for as long as it must. */
Test(recordings, other_paces)
{
    const char *to = queue_of("spsc");
    make_hour();
    EXPECT(replayed(made.n, to), 0, "", "");
    const double before = now();
    struct program program = replay_starts(made.n, "--speed=3600", to);
    EXPECT(program_finish(&program), 0, "", "");
    cr_assert(now() - before >= 1, "%.3f s", now() - before);
    EXPECT(TOOL("", "recv", "--no-wait", to), 0, "one\ntwo\nthree\none\ntwo\nthree\n", "");
}

/* It waits for room, as send does. */
Test(recordings, to_a_queue_that_is_full)
{
    const char *to = queue_name();
    DO("create", "--kind", "mpmc", "--capacity", "2", to);
    make_hour();
    EXPECT(TOOL("", "replay", "--wait-open", "--timeout", "0.01", "no-such-queue", "-"), 3, "",
           "cannot open");
    struct program program = replay_starts(made.n, "--fast", to);
    await_stat(to, "\"producers_asleep\":true");
    EXPECT(TOOL("", "recv", "--count", "1", to), 0, "one\n", "");
    EXPECT(program_finish(&program), 0, "", "");
    program = replay_starts(made.n, "-fn", to);
    EXPECT(program_finish(&program), 3, "", "message 1: the queue is full");
    EXPECT(TOOL("", "recv", "--no-wait", to), 0, "two\nthree\n", "");
}
