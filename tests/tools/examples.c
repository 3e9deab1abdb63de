/* SPDX-License-Identifier: MIT */
/* The programs in examples/, as real processes, some of them killed by SIGKILL. */
#include <config.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

TestSuite(examples, .timeout = 300);

#define EXAMPLE(...) program_start(-1, -1, (const char *const[]){__VA_ARGS__, NULL})

static struct outcome ended(struct program program)
{
    return program_finish(&program);
}

Test(examples, wrong_usage)
{
    EXPECT(ended(EXAMPLE("examples/two_counters")), 2, "", "usage: ");
    EXPECT(ended(EXAMPLE("examples/durable_file")), 2, "", "usage: ");
    EXPECT(ended(EXAMPLE("examples/epoll_loop")), 2, "", "usage: ");
    EXPECT(ended(EXAMPLE("examples/latest_value", "get")), 2, "", "usage: ");
    EXPECT(ended(EXAMPLE("examples/market_data", "read", "ticks")), 2, "", "usage: ");
    EXPECT(ended(EXAMPLE("examples/pass_fd")), 1, "", "usage: ");
    EXPECT(ended(EXAMPLE("examples/system_logger")), 2, "", "usage: ");
    EXPECT(ended(EXAMPLE("examples/work_queue")), 2, "", "usage: ");
}

/* The name of a queue that two_counters makes; the test removes it afterwards. */
static void remove_queues_of(const char *chase)
{
    char up[64], down[64];
    snprintf(up, sizeof up, "%s.up", chase);
    snprintf(down, sizeof down, "%s.down", chase);
    DO("rm", up, down);
}

Test(examples, two_counters)
{
    const char *name = queue_name();
    struct program client = EXAMPLE("examples/two_counters", "client", name, "1000");
    struct program server = EXAMPLE("examples/two_counters", "server", name, "1000");
    EXPECT(program_finish(&server), 0, "server: 1000\n", "");
    EXPECT(program_finish(&client), 0, "client: 999\n", "");
    remove_queues_of(name);
}

/* An example that waits sleeps in a futex, as the library does: it does not poll. */
Test(examples, sleep_while_there_is_nothing)
{
    const char *name = queue_name();
    struct program counter = EXAMPLE("examples/two_counters", "client", name, "1000");
    struct program worker = EXAMPLE("examples/work_queue", "work", queue_name(), "0");
    struct program logger = EXAMPLE("examples/system_logger", "log", queue_name(), "/dev/null");
    struct program subscriber = EXAMPLE("examples/market_data", "watch", queue_name());
    test_await_sleep(counter.pid);
    test_await_sleep(worker.pid);
    test_await_sleep(logger.pid);
    test_await_sleep(subscriber.pid);
    KILL(&counter);
    KILL(&worker);
    KILL(&logger);
    KILL(&subscriber);
    remove_queues_of(name);
}

Test(examples, sleep_while_there_is_no_room)
{
    enum { JOBS = 257 }; /* one more than the example's queue has room for */
    const char *name = queue_name();
    const char *argv[3 + JOBS + 1] = {"examples/work_queue", "submit", name};
    for (int i = 0; i < JOBS; i++)
        argv[3 + i] = "job";
    struct program submitter = program_start(-1, -1, argv);
    test_await_sleep(submitter.pid);
    EXPECT(TOOL("", "recv", "--count", "1", name), 0, "job\n", "");
    EXPECT(program_finish(&submitter), 0, "", "");
}

Test(examples, two_counters_come_back_after_kill)
{
    const char *name = queue_name();
    const char *const roles[] = {"server", "client"};
    struct program programs[2];
    unsigned seed = (unsigned)getpid();
    for (int i = 0; i < 2; i++)
        programs[i] = EXAMPLE("examples/two_counters", roles[i], name, "20000");
    for (int round = 0; round < 60; round++) {
        nanosleep(&(struct timespec){.tv_nsec = rand_r(&seed) % 10000000}, NULL);
        int i = rand_r(&seed) % 2;
        kill(programs[i].pid, SIGKILL);
        struct outcome outcome = program_finish(&programs[i]);
        cr_assert(*outcome.err == '\0', "%s", outcome.err);
        outcome_free(&outcome);
        programs[i] = EXAMPLE("examples/two_counters", roles[i], name, "20000");
    }
    EXPECT(program_finish(&programs[0]), 0, "server: 20000\n", "");
    EXPECT(program_finish(&programs[1]), 0, "client: 19999\n", "");
    remove_queues_of(name);
}

Test(examples, epoll_loop)
{
    const char *one = queue_name(), *two = queue_name();
    char line[200];
    DO("create", "--kind", "mpmc", "--capacity", "256", "--max-message", "1000", two);
    struct program loop = EXAMPLE("examples/epoll_loop", one, two);
    await_stat(two, "\"role\":\"consumer\"");
    for (int i = 0; i < 3; i++) {
        EXPECT(TOOL("apples\n", "send", i % 2 ? one : two), 0, "", "");
        snprintf(line, sizeof line, "%s: apples\n", i % 2 ? one : two);
        program_await_output(&loop, line);
    }
    kill(loop.pid, SIGTERM);
    EXPECT(program_finish(&loop), 0, NULL, "");

    DO("rm", one);
    DO("create", one); /* an spsc queue: not the kind that the example makes */
    EXPECT(ended(EXAMPLE("examples/epoll_loop", two, one)), 1, "", "kind");
    DO("rm", one, two); /* removes their notifiers, too */
}

Test(examples, uv_loop)
{
#ifdef HAVE_LIBUV
    const char *from = queue_name(), *to = queue_name();
    DO("create", from);
    DO("create", "--capacity", "4096", to);
    EXPECT(ended(EXAMPLE("examples/uv_loop", from, queue_name())), 1, "", "does not exist");
    struct program relay = EXAMPLE("examples/uv_loop", from, to);
    await_stat(to, "\"role\":\"producer\"");
    /* More messages than the second queue has room for: the example waits for room, and for
     * messages. */
    enum { LINES = 2000 };
    static char lines[LINES * 10 + 1], *end = lines;
    for (int i = 0; i < LINES; i++)
        end += sprintf(end, "line %04d", i), *end++ = '\n';
    EXPECT(TOOL(lines, "send", from), 0, "", "");
    char count[10];
    snprintf(count, sizeof count, "%d", LINES);
    EXPECT(TOOL("", "recv", "--count", count, to), 0, lines, "");
    EXPECT(TOOL("more\n", "send", from), 0, "", "");
    EXPECT(TOOL("", "recv", "--count", "1", to), 0, "more\n", "");
    kill(relay.pid, SIGTERM);
    EXPECT(program_finish(&relay), 0, "", "");
    DO("rm", from, to);
#else
    cr_skip_test("libuv was not found by configure");
#endif
}

Test(examples, io_uring_wait)
{
#ifdef HAVE_LIBURING
    const char *name = queue_name();
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%ssocket", directory_name());
    struct program loop = EXAMPLE("examples/io_uring_wait", name, address.sun_path);
    while (program_runs(&loop) && access(address.sun_path, F_OK) < 0)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    if (!program_runs(&loop)) {
        EXPECT(program_finish(&loop), 77, "", "cannot wait on a futex");
        cr_skip_test("this kernel's io_uring cannot wait on a futex");
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    for (int i = 0; i < 3; i++) {
        char line[100], message[100];
        snprintf(message, sizeof message, "apples %d\n", i);
        EXPECT(TOOL(message, "send", name), 0, "", "");
        snprintf(line, sizeof line, "queue: apples %d\n", i);
        program_await_output(&loop, line);
        snprintf(message, sizeof message, "pears %d", i);
        cr_assert(sendto(fd, message, strlen(message), 0, (const struct sockaddr *)&address,
                         sizeof address) == (ssize_t)strlen(message));
        snprintf(line, sizeof line, "socket: pears %d\n", i);
        program_await_output(&loop, line);
    }
    close(fd);
    EXPECT(TOOL("quit\n", "send", name), 0, "", "");
    EXPECT(program_finish(&loop), 0, NULL, "");
#else
    cr_skip_test("liburing was not found by configure");
#endif
}

Test(examples, fork_queue)
{
    struct outcome outcome = ended(EXAMPLE("examples/fork_queue", "100000"));
    cr_assert(outcome.status == 0, "%s", outcome.err);
    cr_assert(strstr(outcome.out, "received 100000 numbers, sum 4999950000\n"), "%s", outcome.out);
    outcome_free(&outcome);
}

Test(examples, fork_queue_whose_child_is_killed)
{
    struct program parent = EXAMPLE("examples/fork_queue", "1000000000000");
    program_await_output(&parent, "\n");
    char *output = program_output(&parent);
    int child;
    cr_assert(sscanf(output, "child %d", &child) == 1 && child > 1);
    free(output);
    kill(child, SIGKILL);
    struct outcome outcome = program_finish(&parent);
    cr_assert(outcome.status == 1 && strstr(outcome.out, "killed by signal 9\n"), "%s",
              outcome.out);
    uint64_t received, sum;
    cr_assert(sscanf(strstr(outcome.out, "received"), "received %" SCNu64 " numbers, sum %" SCNu64,
                     &received, &sum) == 2);
    cr_assert(received == 0 ? sum == 0 : sum == received * (received - 1) / 2, "%s", outcome.out);
    outcome_free(&outcome);
}

Test(examples, durable_file)
{
    char spool[128];
    snprintf(spool, sizeof spool, "%sspool", directory_name());
    EXPECT(ended(EXAMPLE("examples/durable_file", "submit", spool, "one", "two")), 0, "", "");
    EXPECT(ended(EXAMPLE("examples/durable_file", "submit", spool, "three")), 0, "", "");

    struct program worker = EXAMPLE("examples/durable_file", "work", spool, "3600");
    program_await_output(&worker, "begin: one\n");
    EXPECT(ended(EXAMPLE("examples/durable_file", "work", spool, "0")), 1, "", "durable_file: ");
    kill(worker.pid, SIGKILL);
    EXPECT(program_finish(&worker), 128 + SIGKILL, "begin: one\n", "");

    EXPECT(ended(EXAMPLE("examples/durable_file", "work", spool, "0")), 0,
           "again: one\nbegin: two\nbegin: three\n", "");
    EXPECT(ended(EXAMPLE("examples/durable_file", "work", spool, "0")), 0, "", "");
}

Test(examples, pass_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = address.sun_path;
    snprintf(address.sun_path, sizeof address.sun_path, "%ssocket", directory_name());
    struct program server = EXAMPLE("examples/pass_fd", "serve", path);
    for (struct deadline deadline = {0};;) {
        int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int rc = connect(s, (struct sockaddr *)&address, sizeof address);
        close(s);
        if (rc == 0)
            break;
        pause_until(&deadline, "the server to listen");
    }

    test_await_sleep(server.pid); /* the queue is full, and nobody takes anything from it */
    struct program client = EXAMPLE("examples/pass_fd", "fetch", path, "1000000000");
    program_await_output(&client, "tick 5\n");
    EXPECT(ended(EXAMPLE("examples/pass_fd", "fetch", path, "1")), 1, "", "pass_fd: ");
    kill(client.pid, SIGKILL);
    struct outcome first = program_finish(&client);
    cr_assert(strncmp(first.out, "tick 0\n", 7) == 0, "%s", first.out);

    /* The next process goes on; the tick that was received and not printed may be missing. */
    struct outcome second = ended(EXAMPLE("examples/pass_fd", "fetch", path, "3"));
    cr_assert(second.status == 0, "%s", second.err);
    unsigned last = 0, ticks[3];
    for (char *line = strtok(first.out, "\n"); line; line = strtok(NULL, "\n"))
        cr_assert(sscanf(line, "tick %u", &last) == 1);
    cr_assert(sscanf(second.out, "tick %u\ntick %u\ntick %u\n", &ticks[0], &ticks[1], &ticks[2]) ==
              3);
    cr_assert(ticks[0] > last && ticks[0] <= last + 2, "%u after %u", ticks[0], last);
    cr_assert(ticks[1] == ticks[0] + 1 && ticks[2] == ticks[1] + 1);
    outcome_free(&first);
    outcome_free(&second);
    kill(server.pid, SIGKILL);
    first = program_finish(&server);
    outcome_free(&first);

    /* The socket file is left over, and no process listens at it. */
    EXPECT(ended(EXAMPLE("examples/pass_fd", "fetch", path, "1")), 1, "", "pass_fd: ");
}

Test(examples, work_queue_whose_worker_is_killed)
{
    const char *name = queue_name();
    struct program worker = EXAMPLE("examples/work_queue", "work", name, "3600");
    EXPECT(ended(EXAMPLE("examples/work_queue", "submit", name, "paint")), 0, "", "");
    program_await_output(&worker, "try 1: paint\n");

    /* The other workers go on meanwhile. When a worker is killed, another one gets its job; then
     * that one is killed, and so on. */
    struct program other = EXAMPLE("examples/work_queue", "work", name, "0");
    EXPECT(ended(EXAMPLE("examples/work_queue", "submit", name, "sweep")), 0, "", "");
    program_await_output(&other, "done: sweep\n");
    struct program last = EXAMPLE("examples/work_queue", "work", name, "3600");
    KILL(&other);
    KILL(&worker);
    program_await_output(&last, "try 2: paint\n");
    KILL(&last);
    worker = EXAMPLE("examples/work_queue", "work", name, "3600");
    program_await_output(&worker, "try 3: paint\n");
    KILL(&worker);
    worker = EXAMPLE("examples/work_queue", "work", name, "0");
    program_await_output(&worker, "given up: paint\n");
    for (struct deadline deadline = {0}; !stat_has(name, "\"received\":2,");)
        pause_until(&deadline, "the job to leave the queue");
    KILL(&worker);
    EXPECT(TOOL("", "dump", name), 0, "", "");
}

#ifdef HAVE_MUX
/* Kill the example at random times. Messages that it had taken and not passed on come again, so
 * each of them arrives at least once. */
Test(examples, router_that_is_killed)
{
    enum { SOURCES = 3, NUMBERS = 1000, KILLS = 5 };
    static bool seen[SOURCES * NUMBERS];
    char names[SOURCES + 1][TEST_NAME_SIZE];
    shmring_t *source[SOURCES], *to;
    int sent[SOURCES] = {0}, missing = SOURCES * NUMBERS, kills = 0, number;
    struct deadline deadline = {0};

    EXPECT(ended(EXAMPLE("examples/router", "alone")), 2, "", "usage: ");
    for (int i = 0; i <= SOURCES; i++)
        test_name(names[i]);
    for (int i = 0; i < SOURCES; i++)
        source[i] = test_create_mpmc(names[i], SHMRING_PRODUCER, 256, 1000);
    to = test_create_mpmc(names[SOURCES], SHMRING_CONSUMER, 256, 1000);
#define ROUTER() EXAMPLE("examples/router", names[SOURCES], names[0], names[1], names[2])
    struct program router = ROUTER();
    while (missing) {
        for (int i = 0; i < SOURCES; i++)
            for (; sent[i] < NUMBERS; sent[i]++) {
                number = i * NUMBERS + sent[i];
                if (shmring_send(source[i], &number, sizeof number) < 0)
                    break;
            }
        if (shmring_recv_wait(to, &number, sizeof number, &(struct timespec){.tv_nsec = 10000000}) <
            0) {
            pause_until(&deadline, "the router");
            continue;
        }
        missing -= !seen[number];
        seen[number] = true;
        if (kills < KILLS && missing < (KILLS - kills) * 500) {
            KILL(&router);
            router = ROUTER();
            kills++;
        }
    }
    KILL(&router);
    for (int i = 0; i < SOURCES; i++)
        shmring_close(&source[i]);
    shmring_close(&to);
}
#endif

/* ---- Broadcast ------------------------------------------------------------------------------- */

Test(examples, market_data)
{
    enum { PRICES = 20000, SUBSCRIBERS = 3 };
    static const char *const how[SUBSCRIBERS] = {"watch", "slow", "reliable"};
    const char *name = queue_name();
    struct program subscribers[SUBSCRIBERS];
    uint64_t received, missed;
    char prices[16];
    DO("create", "--kind", "broadcast", "--capacity", "16K", "--max-message", "16",
       "--max-participants", "8", name);
    for (int i = 0; i < SUBSCRIBERS; i++)
        subscribers[i] = EXAMPLE("examples/market_data", how[i], name);
    struct program killed = EXAMPLE("examples/market_data", "reliable", name);
    await_stat(name, "\"consumers_ever\":4,");
    KILL(&killed); /* it does not hold the feed up */

    snprintf(prices, sizeof prices, "%d", PRICES);
    EXPECT(ended(EXAMPLE("examples/market_data", "feed", name, prices)), 0, "", "");
    for (int i = 0; i < SUBSCRIBERS; i++) {
        struct outcome outcome = program_finish(&subscribers[i]);
        cr_assert(outcome.status == 0 && *outcome.err == '\0', "%s", outcome.err);
        cr_assert(sscanf(outcome.out, "received %" SCNu64 ", missed %" SCNu64 ", the last one was ",
                         &received, &missed) == 2,
                  "%s", outcome.out);
        cr_assert(received + missed == PRICES, "%s: %s", how[i], outcome.out);
        cr_assert(i != 1 || missed > 0, "slow: %s", outcome.out);
        cr_assert(i != 2 || missed == 0, "reliable: %s", outcome.out);
        outcome_free(&outcome);
    }
    DO("rm", name);
    DO("create", name); /* spsc: not what the example makes */
    EXPECT(ended(EXAMPLE("examples/market_data", "watch", name)), 1, "", "market_data: ");
}

Test(examples, latest_value)
{
    const char *name = queue_name(), *empty = queue_name();
    EXPECT(ended(EXAMPLE("examples/latest_value", "get", name)), 1, "", "does not exist");
    DO("create", "--kind", "broadcast", empty);
    EXPECT(ended(EXAMPLE("examples/latest_value", "get", empty)), 1, "", "there is none yet");
    EXPECT(ended(EXAMPLE("examples/latest_value", "set", name, "20 degrees")), 0, "", "");
    EXPECT(ended(EXAMPLE("examples/latest_value", "set", name, "21 degrees")), 0, "", "");
    EXPECT(ended(EXAMPLE("examples/latest_value", "get", name)), 0, "21 degrees\n", "");
    EXPECT(ended(EXAMPLE("examples/latest_value", "get", name)), 0, "21 degrees\n", "");

    struct program watcher = EXAMPLE("examples/latest_value", "watch", name);
    program_await_output(&watcher, "21 degrees\n");
    test_await_sleep(watcher.pid);
    EXPECT(ended(EXAMPLE("examples/latest_value", "set", name, "22 degrees")), 0, "", "");
    program_await_output(&watcher, "22 degrees\n");
    test_await_sleep(watcher.pid);
    KILL(&watcher);
}

#ifdef HAVE_MUX
Test(examples, many_feeds)
{
    const char *north = queue_name(), *south = queue_name();
    char line[2][200];
    EXPECT(ended(EXAMPLE("examples/many_feeds")), 2, "", "usage: ");
    DO("create", "--kind", "broadcast", "--capacity", "64K", "--max-message", "1000",
       "--max-participants", "16", south);
    struct program both = EXAMPLE("examples/many_feeds", north, south);
    await_stat(south, "\"role\":\"consumer\"");
    struct program one = EXAMPLE("examples/many_feeds", south);
    await_stat(south, "\"consumers_ever\":2,");
    snprintf(line[0], sizeof line[0], "%s: cold\n", north);
    snprintf(line[1], sizeof line[1], "%s: warm\n", south);
    for (int i = 0; i < 3; i++) {
        EXPECT(TOOL("cold\n", "send", north), 0, "", "");
        program_await_output(&both, line[0]);
        EXPECT(TOOL("warm\n", "send", south), 0, "", "");
        program_await_output(&both, line[1]);
        program_await_output(&one, line[1]);
    }
    char *output = program_output(&one);
    cr_assert(!strstr(output, "cold"), "%s", output);
    free(output);
    KILL(&one);
    KILL(&both);
    DO("rm", north, south); /* with their notifiers */
}
#endif

/* ---- system_logger --------------------------------------------------------------------------- */

enum { CLIENTS = 3, LINES = 2000, ROUNDS = 30, RUNS = CLIENTS + ROUNDS };

/* One run of a client: the number that it says it has sent, and which of its lines are in the
 * file. */
struct run {
    pid_t pid;
    unsigned long said, last;
    bool in_file[LINES + 1];
};

static struct program start_client(const char *name, struct run *run)
{
    char lines[LINES * 5 + 1];
    size_t length = 0;
    for (int i = 1; i <= LINES; i++)
        length += (size_t)snprintf(lines + length, sizeof lines - length, "%04d\n", i);
    int input = input_of(lines, length);
    struct program client = program_start(
        input, -1, (const char *const[]){"examples/system_logger", "client", name, "test", NULL});
    close(input);
    run->pid = client.pid;
    return client;
}

/* Wait until the client ends, and note the last number of which it has printed the whole line. */
static void end_client(struct program *client, struct run *run)
{
    struct outcome outcome = program_finish(client);
    cr_assert(*outcome.err == '\0', "%s", outcome.err);
    char *end = strrchr(outcome.out, '\n');
    if (end) {
        *end = '\0';
        const char *before = strrchr(outcome.out, '\n');
        run->said = strtoul(before ? before + 1 : outcome.out, NULL, 10);
    }
    outcome_free(&outcome);
}

/* Check that lines come in order and once, except those marked with a star. False: the line is
 * incomplete. */
static bool check_line(const char *line, struct run *runs, int n)
{
    int pid, length = 0;
    unsigned long number, text;
    if (sscanf(line + 1, "%*s test[%d].%lu: %4lu%n", &pid, &number, &text, &length) != 3 ||
        number != text || line[1 + length] != '\0')
        return false;
    int i = 0;
    while (i < n && runs[i].pid != pid)
        i++;
    cr_assert(i < n && number >= 1 && number <= LINES, "%s", line);
    if (line[0] != '*') {
        cr_assert(line[0] == ' ' && number > runs[i].last && !runs[i].in_file[number],
                  "after %lu: %s", runs[i].last, line);
        runs[i].last = number;
    }
    runs[i].in_file[number] = true;
    return true;
}

/* Every line that the client says it has sent is in the file, and so is every line before the last
 * one there. */
static void check_run(const struct run *run)
{
    unsigned long most = LINES;
    while (most > 0 && !run->in_file[most])
        most--;
    cr_assert(most >= run->said, "%lu lines sent, the last one in the file is %lu", run->said,
              most);
    for (unsigned long i = 1; i <= most; i++)
        cr_assert(run->in_file[i], "%lu of %lu is missing", i, most);
}

static void await_empty(const char *name)
{
    for (struct deadline deadline = {0};; pause_until(&deadline, "an empty queue")) {
        struct outcome outcome = TOOL("", "dump", name);
        bool empty = outcome.status == 0 && *outcome.out == '\0';
        outcome_free(&outcome);
        if (empty)
            return;
    }
}

Test(examples, system_logger_of_which_all_are_killed)
{
    static struct run runs[RUNS];
    const char *name = queue_name(), *path = path_in(directory_name(), "log");
    struct program clients[CLIENTS];
    int n = 0, run_of[CLIENTS], logger_kills = 0, torn = 0;
    unsigned seed = (unsigned)getpid();

    struct program logger = EXAMPLE("examples/system_logger", "log", name, path);
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = start_client(name, &runs[run_of[i] = n++]);
    for (int round = 0; round < ROUNDS; round++) {
        nanosleep(&(struct timespec){.tv_nsec = rand_r(&seed) % 5000000}, NULL);
        int i = rand_r(&seed) % (CLIENTS + 1);
        if (i == CLIENTS) {
            KILL(&logger);
            logger_kills++;
            logger = EXAMPLE("examples/system_logger", "log", name, path);
            continue;
        }
        kill(clients[i].pid, SIGKILL); /* it may have ended by itself before */
        end_client(&clients[i], &runs[run_of[i]]);
        clients[i] = start_client(name, &runs[run_of[i] = n++]);
    }
    for (int i = 0; i < CLIENTS; i++)
        end_client(&clients[i], &runs[run_of[i]]);
    await_empty(name);
    KILL(&logger);

    FILE *file = fopen(path, "re");
    char line[1100];
    cr_assert(file);
    while (fgets(line, sizeof line, file)) {
        cr_assert(strchr(line, '\n'), "%s", line);
        *strchr(line, '\n') = '\0';
        torn += !check_line(line, runs, n);
    }
    fclose(file);
    cr_assert_leq(torn, logger_kills);
    for (int i = 0; i < n; i++)
        check_run(&runs[i]);
    for (int i = 0; i < CLIENTS; i++)
        cr_assert_eq(runs[run_of[i]].said, LINES);
}
