/* SPDX-License-Identifier: MIT */
/* The program shmring-bench, as a user runs it. No test depends on how fast anything is. */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "json_check.h"

#define ONCE    "--quiet --rounds 1 --seconds 0.002 --timeout 60 "
#define BRIEFLY "--quiet --rounds 2 --seconds 0.002 --timeout 60 "

static char dir[] = "/tmp/test_bench.XXXXXX";

static void make_dir(void)
{
    cr_assert(mkdtemp(dir));
}

static void remove_dir(void)
{
    char command[sizeof dir + 16];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(bench, .init = make_dir, .fini = remove_dir, .timeout = 300);

static const char *program(void)
{
    static char path[4096];
    const char *builddir = getenv("builddir");
    snprintf(path, sizeof path, "%s/bench/shmring-bench", builddir ? builddir : ".");
    return path;
}

/* Read a whole file; the caller frees the text. */
static char *contents(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = NULL;
    size_t room = 0;
    cr_assert(f, "%s: %s", path, strerror(errno));
    if (getdelim(&text, &room, '\0', f) < 0) {
        free(text);
        text = calloc(1, 1);
    }
    fclose(f);
    return text;
}

static char *path_in_dir(const char *name)
{
    static char path[sizeof dir + 64];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

/* Run the program with these arguments; %s in them is the test's folder. Returns its exit status.
 * The files out and err of the folder have its output. */
static int run(const char *arguments)
{
    char with_dir[1024], command[8192];
    snprintf(with_dir, sizeof with_dir, arguments, dir, dir);
    snprintf(command, sizeof command, "%s %s >%s/out 2>%s/err", program(), with_dir, dir, dir);
    int status = system(command);
    cr_assert(WIFEXITED(status), "%s", command);
    return WEXITSTATUS(status);
}

static char *out(void)
{
    return contents(path_in_dir("out"));
}

static char *err(void)
{
    return contents(path_in_dir("err"));
}

/* Run the program, which must succeed; else the failure shows its output. */
static void succeed(const char *arguments)
{
    const int status = run(arguments);
    char *said = out(), *complaint = err();
    cr_assert_eq(status, 0, "shmring-bench %s: status %d\n%s%s", arguments, status, said,
                 complaint);
    free(said);
    free(complaint);
}

static int count(const char *text, const char *what)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, what)) != NULL; p += strlen(what))
        n++;
    return n;
}

static bool not_empty(const char *name)
{
    struct stat st;
    return stat(path_in_dir(name), &st) == 0 && st.st_size > 0;
}

Test(bench, every_transport_is_measured)
{
    succeed("--list");
    char *list = out(), *save;
    int n = 0;
    for (char *line = strtok_r(list, "\n", &save); line; line = strtok_r(NULL, "\n", &save), n++) {
        char name[64], group[64], arguments[256], quoted[80];
        if (strncmp(line, "not built in:", 13) == 0)
            continue;
        cr_assert_eq(sscanf(line, "%63s %63s", name, group), 2);
        if (strcmp(group, "peers") == 0 || strstr(line, "broadcast: ")) /* other tests have these */
            continue;
        snprintf(arguments, sizeof arguments,
                 ONCE "--transports %s --wait both --sizes 8,4K --json %%s/json", name);
        succeed(arguments);
        char *said = out(), *json = contents(path_in_dir("json"));
        cr_assert(json_is_valid(json), "%s", json);
        snprintf(quoted, sizeof quoted, "\"transport\": \"%s\"", name);
        cr_assert_gt(count(json, quoted), 0);
        if (strncmp(name, "shmring", 7) == 0 || strncmp(name, "pipe", 4) == 0)
            cr_assert_gt(count(json, "\"placement\""), 0, "%s is missing:\n%s", name, json);
        free(said);
        free(json);
    }
    cr_assert_geq(n, 17);
    free(list);
}

/* Each peer passes messages; the program checks that every message is whole and none is missing. */
Test(bench, peers_pass_what_was_sent)
{
    succeed("--list");
    char *list = out(), *save;
    int n = 0;
    for (char *line = strtok_r(list, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char name[64], group[64], arguments[256];
        if (sscanf(line, "%63s %63s", name, group) != 2 || strcmp(group, "peers") != 0 ||
            strstr(line, "broadcast: "))
            continue;
        n++;
        snprintf(arguments, sizeof arguments,
                 ONCE "-t %s -w both -s 8,64,1K --json %%s/json --csv %%s/csv", name);
        succeed(arguments);
        char *said = out(), *json = contents(path_in_dir("json"));
        cr_assert_geq(count(json, "\"placement\""), 3, "%s is missing:\n%s", name, json);
        cr_assert(json_is_valid(json), "%s", json);
        cr_assert_eq(strstr(line, ", in one process") != NULL,
                     strstr(json, "\"in_one_process\": true") != NULL);
        cr_assert_eq(strstr(line, ", in one process") != NULL,
                     strstr(said, "  in one process\n") != NULL);
        free(said);
        free(json);
    }
    free(list);
    if (n == 0)
        cr_skip_test("no peer is built in: see shmring-bench --list");
}

Test(bench, many_on_one_queue_of_a_peer)
{
    succeed(ONCE "--mode mpmc -t peers,shmring-mpmc -s 8,64 --configs 1x1,2x2 --json %s/json");
    char *json = contents(path_in_dir("json"));
    cr_assert(json_is_valid(json), "%s", json);
    free(json);
    succeed(ONCE "--mode uncontended -t peers,shmring -s 8,64 --json %s/json");
}

Test(bench, peers_are_measured_only_when_asked_for)
{
    succeed(ONCE "-m throughput -s 8 --json %s/json");
    char *json = contents(path_in_dir("json"));
    cr_assert_eq(count(json, "\"group\": \"peers\""), 0);
    free(json);
}

Test(bench, messages_of_every_size)
{
    succeed(ONCE "-t shmring*,pipe*,unix-*,memory --capacity 16K "
                 "-s 1,3,7,9,31,33,65,1023,5000,64K");
}

Test(bench, one_way_latency_at_a_rate)
{
    succeed(BRIEFLY "-t shmring,pipe,udp -m latency --rate 10000 --json %s/json");
    char *said = out(), *json = contents(path_in_dir("json"));
    cr_assert(strstr(said, "One way"));
    cr_assert(json_is_valid(json));
    cr_assert(strstr(json, "\"one-way\""));
    free(said);
    free(json);
}

Test(bench, many_producers_and_consumers)
{
    succeed(BRIEFLY
            "-t shmring-mpmc --mode mpmc -s 8,65 --configs 1x1,2x3 --json %s/json --csv %s/csv");
    char *said = out(), *json = contents(path_in_dir("json")), *csv = contents(path_in_dir("csv"));
    cr_assert_eq(count(said, "\n1P1C "), 4, "%s", said);
    cr_assert_eq(count(said, "\n2P3C "), 4, "%s", said);
    cr_assert_eq(count(said, "spinning, then yielding"), 2, "%s", said);
    cr_assert(json_is_valid(json), "%s", json);
    cr_assert_eq(count(json, "\"producers\": 2, \"consumers\": 3"), 8 + 4, "rounds, medians");
    cr_assert_eq(count(json, "\"consumer_shares\": ["), 16);
    cr_assert_eq(count(csv, "\nshmring-mpmc,mpmc,yield,65,"), 4, "%s", csv);
    free(said);
    free(json);
    free(csv);
}

Test(bench, many_has_a_picture_for_each_size)
{
    if (system("gnuplot --version >/dev/null 2>&1") != 0)
        cr_skip_test("gnuplot is not installed");
    succeed(ONCE "--mode mpmc -s 7,8,64 --configs 2x1,1x1,2x1 --plots %s/plots");
    char *said = err();
    cr_assert_str_empty(said, "%s", said);
    cr_assert(not_empty("plots/shmring-mpmc-8.svg"));
    cr_assert(not_empty("plots/shmring-mpmc-batch-64.png"));
    cr_assert_not(not_empty("plots/shmring-mpmc-7.gp"), "nothing was measured");
    free(said);
}

Test(bench, many_with_one_policy)
{
    succeed(ONCE "-t shmring-mpmc --mode mpmc -s 8 --policy yield");
    char *said = out();
    cr_assert_eq(count(said, "\nshmring-mpmc "), 1, "%s", said);
    for (const char *const *name =
             (const char *const[]){"1P1C", "2P2C", "4P4C", "1P4C", "4P1C", NULL};
         *name; name++)
        cr_assert(strstr(said, *name), "%s", said);
    free(said);
}

Test(bench, many_that_sleep)
{
    succeed(BRIEFLY "-t shmring-mpmc,peers -w both --mode mpmc -s 8 --configs 1x1,2x3 "
                    "--json %s/json --csv %s/csv");
    char *said = out(), *json = contents(path_in_dir("json")), *csv = contents(path_in_dir("csv"));
    cr_assert_eq(count(said, ", blocking\nshmring-mpmc "), 1, "%s", said);
    cr_assert(json_is_valid(json), "%s", json);
    cr_assert_eq(count(csv, "\nshmring-mpmc,mpmc,block,8,"), 4, "%s", csv);
    free(said);
    free(json);
    free(csv);
    succeed(ONCE "-t shmring-mpmc -w block --mode mpmc -s 8 --configs 4x4 --plots %s/plots");
    said = out();
    cr_assert_eq(count(said, "\nshmring-mpmc "), 1, "%s", said);
    free(said);
}

Test(bench, many_skips_messages_too_short_for_a_name)
{
    succeed(ONCE "--mode mpmc -s 7 --configs 1x1");
    char *said = out();
    cr_assert(strstr(said, "skipped: shmring-mpmc, mpmc, spin, 7 B: "), "%s", said);
    free(said);
}

/* Run a mode and return its JSON, which the caller frees. */
static char *json_of(const char *arguments)
{
    succeed(arguments);
    char *json = contents(path_in_dir("json"));
    cr_assert(json_is_valid(json), "%s", json);
    return json;
}

Test(bench, rings_of_every_capacity)
{
    char *json = json_of(ONCE "--mode capacity -t shmring,shmring-mpmc,pipe --json %s/json");
    cr_assert_eq(count(json, "\"message_ns\": "), 2 * 2 * 7, "rounds and medians of two");
    cr_assert_eq(count(json, "\"ring_messages\": 1048576"), 2 * 2);
    cr_assert_eq(count(json, "\"transport\": \"pipe\""), 0, "its capacity is the kernel's");
    free(json);
}

Test(bench, participants_that_do_nothing)
{
    char *json = json_of(ONCE "--mode participants -t shmring-mpmc --json %s/json --csv %s/csv");
    char *csv = contents(path_in_dir("csv"));
    cr_assert_eq(count(json, "\"participants\": "), 2 * 6);
    cr_assert_eq(count(json, "\"participants\": 64, "), 2);
    cr_assert_eq(count(csv, ",1,1,64,0,,"), 1, "%s", csv);
    free(json);
    free(csv);
}

/* All parts, with all transports: the program checks each message, and that each consumer has got
 * or missed as many as were sent. */
Test(bench, broadcast_to_consumers)
{
    char *json = json_of(ONCE "--mode broadcast -t broadcast -w both -s 8,65 --consumers 1,3 "
                              "--speeds 50000 --rate 100000 --json %s/json --csv %s/csv");
    char *said = out(), *csv = contents(path_in_dir("csv"));
    static const char *const names[] = {"shmring-broadcast", "shmring-reliable",
                                        "shmring-spsc-each", "seqlock-slots",
                                        "pipe-each",         "unix-dgram-each"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char rounds[80];
        snprintf(rounds, sizeof rounds, "\n%s,broadcast-throughput,", names[i]);
        const int ways = strcmp(names[i], "seqlock-slots") == 0 ? 1 : 2;
        cr_assert_eq(count(csv, rounds), 2 * 2 * ways, "%s:\n%s", rounds, csv);
        snprintf(rounds, sizeof rounds, "\n%s,broadcast-latency,", names[i]);
        cr_assert_eq(count(csv, rounds), 2 * 2 * ways, "%s:\n%s", rounds, csv);
        snprintf(rounds, sizeof rounds, "\n%s,broadcast-slow,", names[i]);
        cr_assert_eq(count(csv, rounds), 2, "%s:\n%s", rounds, csv);
    }
    cr_assert_eq(count(csv, "\nshmring-broadcast,broadcast-asleep,spin,8,"), 4, "%s", csv);
    cr_assert_eq(count(csv, ",1,0,66,0,"), 2 * 2, "two transports that nothing holds up:\n%s", csv);
    cr_assert_eq(count(json, "\"send_ns\": "), 2 * 2 * 2 * 4, "rounds and medians");
    cr_assert_gt(count(json, "\"missed_shares\": ["), 0);
    cr_assert_gt(count(json, "\"first_p50_ns\": "), 0);
    cr_assert(strstr(said, "consumers: 3"), "%s", said);
    cr_assert(strstr(said, "which takes 50000 of 100000 a second"), "%s", said);
    cr_assert(strstr(said, "skipped: shmring-reliable, broadcast-asleep"), "%s", said);
    free(json);
    free(said);
    free(csv);
}

Test(bench, broadcast_by_peers)
{
    char *json = json_of(ONCE "--mode broadcast -t peers,pipe-each -w both -s 64 --consumers 3 "
                              "--speeds 50000 --rate 100000 --json %s/json");
    cr_assert_gt(count(json, "\"transport\": \"pipe-each\""), 0);
    free(json);
}

Test(bench, broadcast_skips_messages_too_short_for_a_number)
{
    succeed(ONCE "--mode broadcast-throughput -s 7 -t shmring-broadcast --consumers 1");
    char *said = out();
    cr_assert(strstr(said, "skipped: shmring-broadcast, broadcast-throughput, spin, 7 B: "), "%s",
              said);
    free(said);
}

Test(bench, one_is_stopped_or_killed_and_the_others_go_on)
{
    char *json = json_of("--quiet --rounds 3 --seconds 0.02 --timeout 100 --mode stopped "
                         "-t shmring-mpmc --json %s/json");
    cr_assert_eq(count(json, "\"harm\": \"producer stopped\""), 3 + 1);
    cr_assert_eq(count(json, "\"harm\": \"consumer stopped\""), 3 + 1);
    cr_assert_eq(count(json, "\"harm\": \"producer killed\""), 3 + 1);
    cr_assert_eq(count(json, "\"harm\": \"consumer killed\""), 3 + 1);
    cr_assert_eq(count(json, "\"others_during_million_per_s\""), 4 * (3 + 1));
    free(json);
}

Test(bench, the_idle_cost_something)
{
    succeed("--mode idle --seconds 0.1");
    char *said = out();
    cr_assert(strstr(said, "10 s"), "%s", said);
    free(said);
    cr_assert_eq(run("--mode idle --json %s/json"), 2);
}

Test(bench, a_dead_consumer_holds_no_producer)
{
    succeed("--mode broadcast-death --rounds 1 --timeout 60 --json %s/json");
    char *said = out(), *json = contents(path_in_dir("json"));
    cr_assert_eq(count(said, "\nkilled "), 2, "%s", said);
    cr_assert_eq(count(said, "\nstopped "), 6, "%s", said);
    cr_assert(json_is_valid(json), "%s", json);
    cr_assert_eq(count(json, "\"harm\": \"killed\", \"patience_ms\": 0, "), 2, "%s", json);
    cr_assert_eq(count(json, "\"wait\": \"spin\""), 4, "%s", json);
    free(said);
    free(json);
    cr_assert_eq(run("--mode broadcast-death --rounds 1 --csv %s/csv"), 2);
}

#ifdef HAVE_MUX
Test(bench, a_mux_of_many_queues)
{
    succeed("--mode mux --seconds 0.02 --rounds 1 --json %s/json");
    char *said = out(), *json = contents(path_in_dir("json"));
    /* All 10,000 queues, or as many as the limit of descriptors allows. */
    struct rlimit files;
    char row[40], queues[60];
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
    int most = 10000;
    if (!strstr(said, "\n   10000 "))
        most = (int)(files.rlim_max - 100) / 2;
    snprintf(row, sizeof row, "\n%8d ", most);
    snprintf(queues, sizeof queues, "\"queues\": %d, \"round\": 1, ", most);
    cr_assert(strstr(said, row), "%s", said);
    cr_assert(json_is_valid(json), "%s", json);
    cr_assert_eq(count(json, queues), 1, "%s", json);
    cr_assert_eq(count(json, "\"probe_ns\": ["), 5);
    free(said);
    free(json);
    cr_assert_eq(run("--mode mux --seconds 0.001 --rounds 1 --json %s/no/such"), 1);
    cr_assert_eq(run("--mode mux --csv %s/csv"), 2);
}
#endif

Test(bench, uncontended_costs_beside_a_compare_exchange)
{
    succeed(BRIEFLY "--mode uncontended -s 8,9 --json %s/json");
    char *said = out(), *json = contents(path_in_dir("json"));
    cr_assert_eq(count(said, "\nshmring "), 2, "%s", said);
    cr_assert_eq(count(said, "\nshmring-mpmc "), 2, "%s", said);
    cr_assert(json_is_valid(json), "%s", json);
    cr_assert_eq(count(json, "\"pair_ns\": "), 8 + 4, "rounds, medians");
    cr_assert_eq(count(json, "\"compare_exchange_ns\": "), 8 + 4);
    free(said);
    free(json);
}

Test(bench, unpinned_and_on_one_cpu)
{
    cpu_set_t allowed;
    char arguments[128];
    size_t cpu = 0;
    cr_assert_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    while (!CPU_ISSET(cpu, &allowed))
        cpu++;
    succeed(BRIEFLY "-t pipe -s 8 --no-pin");
    snprintf(arguments, sizeof arguments,
             "-r 1 --seconds 0.002 -t pipe -s 8 --wait block --cpus %zu,%zu", cpu, cpu);
    succeed(arguments);
    char *said = err();
    cr_assert(strstr(said, "share one CPU"), "%s", said);
    free(said);
}

Test(bench, the_table_has_a_line_for_each_transport)
{
    succeed(BRIEFLY "-t shmring,pipe,eventfd -s 8,64");
    char *said = out(), *errors = err();
    cr_assert_eq(count(said, "\nshmring "), 4, "%s", said);
    cr_assert_eq(count(said, "\npipe "), 4, "%s", said);
    cr_assert_eq(count(said, "signal only"), 2, "%s", said);
    cr_assert_eq(count(said, "Throughput"), 2, "%s", said);
    cr_assert_eq(count(said, "Round trip, microseconds"), 2, "%s", said);
    cr_assert_str_empty(errors);
    free(said);
    free(errors);
}

Test(bench, json_tells_what_was_measured_on_what)
{
    static const char *const fields[] = {"program",
                                         "library",
                                         "date",
                                         "machine",
                                         "cpu",
                                         "kernel",
                                         "compiler",
                                         "clock",
                                         "options",
                                         "rounds",
                                         "command_line",
                                         "medians",
                                         "missing",
                                         "p50_ns",
                                         "p90_ns",
                                         "p99_ns",
                                         "p99_9_ns",
                                         "max_ns",
                                         "million_messages_per_s",
                                         "lost",
                                         "probe_ns",
                                         "round",
                                         "near_limit_ns",
                                         "placement"};
    succeed(BRIEFLY "-t pipe -s 8 --json %s/json");
    char *json = contents(path_in_dir("json"));
    cr_assert(json_is_valid(json), "%s", json);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        char field[64];
        snprintf(field, sizeof field, "\"%s\":", fields[i]);
        cr_assert(strstr(json, field), "no %s", field);
    }
    cr_assert_eq(count(json, "\"placement\""), 4, "two modes, two rounds");
    free(json);
}

/* Count the commas of a line that are not in a quoted text. */
static int columns(const char *line, size_t length)
{
    int n = 1;
    bool quoted = false;
    for (size_t i = 0; i < length; i++) {
        quoted = quoted != (line[i] == '"');
        n += line[i] == ',' && !quoted;
    }
    return n;
}

Test(bench, csv_has_a_line_for_each_round)
{
    succeed(BRIEFLY "-t pipe,fifo -s 8,64 --csv %s/csv");
    char *csv = contents(path_in_dir("csv"));
    int lines = 0, first = columns(csv, strcspn(csv, "\n"));
    for (char *line = csv; *line; line += strcspn(line, "\n") + 1, lines++)
        cr_assert_eq(columns(line, strcspn(line, "\n")), first, "%s", line);
    cr_assert_eq(lines, 1 + 2 * 2 * 2 * 2);
    cr_assert_eq(count(csv, "\npipe,throughput,spin,64,2,"), 1);
    free(csv);
}

Test(bench, plots_without_gnuplot_leave_data_and_scripts)
{
    setenv("GNUPLOT", "no-such-gnuplot", 1);
    succeed(BRIEFLY "-t pipe -s 8,64 --plots %s/plots");
    char *said = err();
    cr_assert(strstr(said, "no pictures: no-such-gnuplot is not installed"), "%s", said);
    cr_assert(not_empty("plots/throughput-spin.gp"));
    cr_assert(not_empty("plots/throughput-spin.dat"));
    cr_assert(not_empty("plots/latency-spin-64.gp"));
    cr_assert(not_empty("plots/latency-spin-64.dat"));
    free(said);
}

Test(bench, plots_with_a_failing_gnuplot_are_a_failure)
{
    setenv("GNUPLOT", "false", 1);
    cr_assert_eq(run(BRIEFLY "-t pipe -s 8 -m throughput --plots %s/plots"), 1);
    char *said = err();
    cr_assert(strstr(said, "false failed on"), "%s", said);
    free(said);
}

Test(bench, plots_with_gnuplot)
{
    if (system("gnuplot --version >/dev/null 2>&1") != 0)
        cr_skip_test("gnuplot is not installed");
    succeed(ONCE "-t all -s 8,64 --wait both --plots %s/plots");
    char *said = err();
    cr_assert_str_empty(said, "%s", said);
    cr_assert(not_empty("plots/throughput-spin.svg"));
    cr_assert(not_empty("plots/throughput-spin.png"));
    cr_assert(not_empty("plots/latency-block-64.svg"));
    cr_assert(not_empty("plots/latency-block-64.png"));
    free(said);
}

Test(bench, an_output_that_cannot_be_written_is_a_failure)
{
    static const char *const options[] = {"--json", "--csv", "--plots"};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        char arguments[128];
        snprintf(arguments, sizeof arguments, BRIEFLY "-t pipe -s 8 %s %%s/no/such", options[i]);
        cr_assert_eq(run(arguments), 1);
        char *said = err();
        cr_assert(strstr(said, "No such file"), "%s", said);
        free(said);
    }
    cr_assert_eq(run(BRIEFLY "-t pipe -s 8 --json /dev/full"), 1);
}

Test(bench, progress_goes_to_stderr_unless_quiet)
{
    succeed("-r 2 --seconds 0.002 -t pipe -s 8");
    char *said = err();
    cr_assert(strstr(said, "round 2 of 2"), "%s", said);
    free(said);
}

Test(bench, help_and_version)
{
    succeed("--help");
    char *said = out();
    cr_assert(strstr(said, "Usage:") && strstr(said, "Exit status"));
    free(said);
    succeed("--version");
    said = out();
    cr_assert(strstr(said, PACKAGE_VERSION), "%s", said);
    free(said);
}

Test(bench, wrong_command_lines)
{
    static const char *const wrong[] = {"--no-such-option",
                                        "-x",
                                        "stray",
                                        "--sizes",
                                        "--sizes 0",
                                        "--sizes ''",
                                        "--sizes 8,x",
                                        "--sizes 17M",
                                        "--sizes 8KK",
                                        "--sizes -8",
                                        "--sizes 99999999999999999999",
                                        "--transports nothing",
                                        "--transports ''",
                                        "--transports pipe,nothing",
                                        "--mode fast",
                                        "--wait sometimes",
                                        "--configs 1x1",
                                        "--policy spin",
                                        "--mode mpmc --configs ''",
                                        "--mode mpmc --configs 1",
                                        "--mode mpmc --configs 1x",
                                        "--mode mpmc --configs 0x1",
                                        "--mode mpmc --configs 1x33",
                                        "--mode mpmc --policy sometimes",
                                        "--mode mpmc --rate 10",
                                        "--mode mpmc --wait block --policy yield",
                                        "--mode mpmc -t pipe",
                                        "--mode capacity -t pipe",
                                        "--mode participants -t shmring",
                                        "--consumers 2",
                                        "--speeds 1000",
                                        "--mode broadcast --consumers 0",
                                        "--mode broadcast --consumers 17",
                                        "--mode broadcast --consumers ''",
                                        "--mode broadcast --consumers 1,x",
                                        "--mode broadcast --speeds 0",
                                        "--mode broadcast-asleep --consumers 1",
                                        "--mode broadcast-latency --speeds 1000",
                                        "--mode broadcast-throughput --rate 10",
                                        "--mode broadcast --policy spin",
                                        "--mode broadcast -t shmring",
                                        "--mode throughput -t shmring-broadcast",
                                        "--mode stopped -t shmring",
                                        "--mode uncontended -t pipe",
                                        "--rounds 0",
                                        "--rounds 1.5",
                                        "--rounds 1001",
                                        "--seconds 0",
                                        "--seconds nan",
                                        "--seconds 1x",
                                        "--timeout 0",
                                        "--rate 0",
                                        "--rate inf",
                                        "--rate 10 --mode throughput",
                                        "--mode throughput -t mailbox",
                                        "--mode latency -t pipe-batch",
                                        "--batch 0",
                                        "--batch 257",
                                        "--capacity 4095",
                                        "--cpus 0",
                                        "--cpus 0,",
                                        "--cpus 0,x",
                                        "--cpus 0,99999",
                                        "--cpus -1,0",
                                        "--cpus 1023,1023"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int status = run(wrong[i]);
        char *said = err(), *printed = out();
        cr_assert_eq(status, 2, "%s: status %d, %s", wrong[i], status, said);
        cr_assert_eq(count(said, "\n"), 1, "%s: %s", wrong[i], said);
        cr_assert_eq(strncmp(said, "shmring-bench: ", 15), 0, "%s: %s", wrong[i], said);
        cr_assert_str_empty(printed);
        free(said);
        free(printed);
    }
}

static const int endings[] = {SIGINT, SIGTERM, SIGHUP};

/* Count the names that a bench with that process id has left, and call VISIT with each. */
static int names_of(pid_t pid, int (*visit)(const char *path))
{
    char pattern[64];
    glob_t found = {0};
    snprintf(pattern, sizeof pattern, "/dev/shm/shmring-bench.%d.*", (int)pid);
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; visit && i < found.gl_pathc; i++)
            visit(found.gl_pathv[i]);
    int n = (int)found.gl_pathc;
    globfree(&found);
    return n;
}

/* Start the program in a session of its own, with its output in the folder. Set the signals that it
 * handles to their defaults: where the tests run with nohup or in the background, some are ignored.
 */
static pid_t start(const char *transport)
{
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        /* Remove the names of a bench that had this process id and was killed. */
        names_of(getpid(), unlink);
        int fd = open(path_in_dir("out"), O_WRONLY | O_CREAT, 0600);
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        setsid();
        for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
            signal(endings[i], SIG_DFL);
        execl(program(), program(), "-q", "-t", transport, "--seconds", "100", (char *)NULL);
        _exit(127);
    }
    return child;
}

/* Find the children of a process, at most two. Returns their number. */
static int children_of(pid_t pid, pid_t child[2])
{
    char path[64];
    int n;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    n = fscanf(f, "%d %d", &child[0], &child[1]);
    fclose(f);
    return n < 0 ? 0 : n;
}

/* Has the process ended? It may be a zombie that its new parent has not reaped. */
static bool is_dead(pid_t pid)
{
    char path[64], state = 'X';
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (f && fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
        state = 'X';
    if (f)
        fclose(f);
    return state == 'X' || state == 'Z';
}

/* Count the System V objects of all kinds in this namespace. */
static int sysv_objects(void)
{
    static const char *const kinds[] = {"msg", "sem", "shm"};
    int n = 0;
    for (int i = 0; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/sysvipc/%s", kinds[i]);
        char *text = contents(path);
        n += count(text, "\n") - 1;
        free(text);
    }
    return n;
}

static void wait_for_workers(pid_t bench, pid_t worker[2])
{
    while (children_of(bench, worker) < 2) {
        cr_assert_eq(waitpid(bench, NULL, WNOHANG), 0, "it ended early");
        usleep(1000);
    }
}

static void interrupt_and_check(const char *transport, int signal)
{
    pid_t worker[2], bench = start(transport);
    int status;
    wait_for_workers(bench, worker);
    cr_assert_eq(kill(bench, signal), 0);
    cr_assert_eq(waitpid(bench, &status, 0), bench);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == signal, "status %d", status);
    cr_assert(is_dead(worker[0]) && is_dead(worker[1]));
    cr_assert_eq(names_of(bench, NULL), 0);
}

Test(bench, a_signal_ends_it_and_leaves_nothing_behind)
{
    /* start() must start the program directly, not by a shell, so that its process id is known. */
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
        interrupt_and_check("shmring", endings[i]);
}

Test(bench, a_signal_leaves_no_system_v_objects)
{
    if (unshare(CLONE_NEWIPC) != 0)
        cr_skip_test("unshare: %s", strerror(errno));
    cr_assert_eq(sysv_objects(), 0);
    interrupt_and_check("sysv-msg", SIGINT);
    cr_assert_eq(sysv_objects(), 0);
    interrupt_and_check("sysv-shm", SIGINT);
    cr_assert_eq(sysv_objects(), 0);
}

Test(bench, the_processes_die_with_their_parent)
{
    pid_t worker[2], bench = start("pipe");
    wait_for_workers(bench, worker);
    cr_assert_eq(kill(bench, SIGKILL), 0);
    cr_assert_eq(waitpid(bench, NULL, 0), bench);
    while (!is_dead(worker[0]) || !is_dead(worker[1]))
        usleep(1000);
}
