/* SPDX-License-Identifier: MIT */
/*
 * What shmring-bridge costs, with a nats-server that this program starts on loopback: a queue
 * alone; libnats publishing to a stream directly, asynchronously from a loop; queue to stream;
 * these two without and with message ids; and queue to stream to queue, with ids. The ways take
 * turns, forwards and backwards. A rate is the median over the rounds. A ratio is made of two rates
 * of the same round; the table has the median, the least and the greatest.
 *
 *   bench/bridge [BRIDGE [ROUNDS [MESSAGES]]]
 */
#include <config.h>

#include <errno.h>
#include <nats/nats.h>
#include <netinet/in.h>
#include <pthread.h>
#include <shmring/shmring.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kind.h"

enum {
    LONGEST = 1024,
    ROUNDS_MAX = 99,
    PENDING = 4096,
    TRIPS = 200,
    WINDOW_S = 20,
    CAPACITY = 16 << 20 /* holds more than is in flight */
};
enum way { ALONE, DIRECT, OUT, DIRECT_IDS, OUT_IDS, THROUGH, WAYS };

static const char *const way_names[WAYS] = {"queue alone",
                                            "direct",
                                            "queue to stream",
                                            "direct, with ids",
                                            "queue to stream, with ids",
                                            "queue to stream to queue"};

static char directory[] = "/tmp/shmring-bench-XXXXXX", url[64], socket_path[64];
static const char *bridge = "bridge/shmring-bridge";
static uint64_t messages = 200000;
static pid_t server;
static int readiness = -1, runs;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "bridge: %s: %s\n", what, why);
    exit(1);
}

static void check(natsStatus s, const char *what)
{
    if (s != NATS_OK)
        fail(what, nats_GetLastError(NULL) ? nats_GetLastError(NULL) : natsStatus_GetText(s));
}

static void need(int r, const char *what)
{
    if (r < 0)
        fail(what, shmring_strerror_detail());
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* ---- The server, and the bridge ------------------------------------------------------------- */

static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (void *)&address, size) < 0 || getsockname(fd, (void *)&address, &size) < 0)
        fail("a port", strerror(errno));
    close(fd);
    return ntohs(address.sin_port);
}

static void clean_up(void)
{
    char command[128];

    if (server > 0) {
        kill(server, SIGTERM);
        waitpid(server, NULL, 0);
    }
    snprintf(command, sizeof command, "rm -rf %s", directory);
    if (system(command) != 0)
        fprintf(stderr, "bridge: %s is left\n", directory);
}

static void start_server(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char port[16], log[64];

    if (!mkdtemp(directory))
        fail(directory, strerror(errno));
    atexit(clean_up);
    snprintf(port, sizeof port, "%d", free_port());
    snprintf(url, sizeof url, "nats://127.0.0.1:%s", port);
    snprintf(log, sizeof log, "%s/log", directory);
    server = fork();
    if (server == 0) {
        execlp("nats-server", "nats-server", "-js", "-a", "127.0.0.1", "-p", port, "-sd", directory,
               "-l", log, (char *)NULL);
        _exit(127);
    }
    snprintf(socket_path, sizeof socket_path, "%s/ready", directory);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path);
    readiness = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (bind(readiness, (void *)&address, sizeof address) < 0)
        fail(socket_path, strerror(errno));
    setenv("NOTIFY_SOCKET", socket_path, 1);
}

static pid_t start_bridge(const char *stream, bool memory, enum way way)
{
    char where[96], out[200], in[160], told[64];
    pid_t child = fork();

    if (child == 0) {
        snprintf(where, sizeof where, "url=%s", url);
        snprintf(out, sizeof out,
                 "direction=to-subject queue=bench-a stream=%s subject=%s.x storage=%s "
                 "message-ids=%s",
                 stream, stream, memory ? "memory" : "file", way == OUT ? "no" : "yes");
        snprintf(in, sizeof in,
                 "direction=to-queue queue=bench-b stream=%s subject=%s.x consumer=c", stream,
                 stream);
        execl(bridge, bridge, "--create-stream", "-l", "error", "-s", where, "-r", out,
              way == THROUGH ? "-r" : (char *)NULL, in, (char *)NULL);
        _exit(127);
    }
    do {
        if (recv(readiness, told, sizeof told, 0) < 0)
            fail("the bridge", "not ready");
    } while (strncmp(told, "READY=1", 7) != 0);
    return child;
}

/* ---- The ways -----------------------------------------------------------------------------------
 */

static void send_all(shmring_t *q, size_t size, uint64_t count)
{
    char msg[LONGEST] = {0};

    for (uint64_t i = 0; i < count; i++) {
        memcpy(msg, &i, sizeof i);
        need(shmring_send_wait(q, msg, size, NULL), "sending");
    }
}

struct sink {
    shmring_t *q;
    uint64_t count;
};

static void *receive_all(void *sink)
{
    struct sink *s = sink;
    char msg[LONGEST];
    uint64_t number;

    for (uint64_t i = 0; i < s->count; i++) {
        if (shmring_recv_wait(s->q, msg, sizeof msg, NULL) < 0)
            fail("receiving", shmring_strerror_detail());
        memcpy(&number, msg, sizeof number);
        if (number != i)
            fail("receiving", "out of order");
    }
    return NULL;
}

static void make_queue(shmring_t **sender, shmring_t **receiver, const char *name)
{
    const struct shmring_config config = kind_pair(CAPACITY, SHMRING_PRODUCER);

    (void)shmring_unlink(name);
    need(shmring_create(sender, name, &config), name);
    if (receiver)
        need(shmring_open(receiver, name, SHMRING_CONSUMER), name);
}

static double through(const char *stream, bool memory, size_t size, enum way way, double *trip)
{
    shmring_t *a, *b = NULL, *b_sender = NULL;
    struct shmring_stat st;
    pthread_t thread;
    pid_t child = 0;

    make_queue(&a, way == ALONE ? &b : NULL, "bench-a");
    if (way == THROUGH) {
        make_queue(&b_sender, &b, "bench-b");
        shmring_close(&b_sender);
    }
    if (way != ALONE)
        child = start_bridge(stream, memory, way);
    struct sink sink = {.q = b, .count = messages};
    double start = now();
    if (b)
        pthread_create(&thread, NULL, receive_all, &sink);
    send_all(a, size, messages);
    if (b)
        pthread_join(thread, NULL);
    else
        for (st.received = 0; st.received < messages; nap())
            need(shmring_stat(a, &st), "bench-a");
    double seconds = now() - start;
    if (way == THROUGH) {
        char msg[LONGEST];
        start = now();
        for (int i = 0; i < TRIPS; i++) {
            send_all(a, size, 1);
            if (shmring_recv_wait(b, msg, sizeof msg, NULL) < 0)
                fail("receiving", shmring_strerror_detail());
        }
        *trip = (now() - start) / (double)TRIPS * 1e6;
    }
    if (child > 0) {
        kill(child, SIGTERM);
        waitpid(child, NULL, 0);
    }
    shmring_close(&a);
    shmring_close(&b);
    shmring_unlink("bench-a");
    if (way == THROUGH)
        shmring_unlink("bench-b");
    return (double)messages / seconds;
}

static double direct(jsCtx *js, const char *stream, bool memory, size_t size, bool ids)
{
    char subject[64], id[40], msg[LONGEST] = {0};
    const char *subjects[] = {subject};
    jsStreamConfig config;
    jsPubOptions options;

    snprintf(subject, sizeof subject, "%s.x", stream);
    jsStreamConfig_Init(&config);
    config.Name = stream;
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    config.Storage = memory ? js_MemoryStorage : js_FileStorage;
    check(js_AddStream(NULL, js, &config, NULL, NULL), "stream");
    jsPubOptions_Init(&options);
    double start = now();
    for (uint64_t i = 0; i < messages; i++) {
        memcpy(msg, &i, sizeof i);
        snprintf(id, sizeof id, "0123456789abcdef-%llx", (unsigned long long)i);
        options.MsgId = ids ? id : NULL;
        check(js_PublishAsync(js, subject, msg, (int)size, &options), "publishing");
    }
    check(js_PublishAsyncComplete(js, NULL), "publishing");
    return (double)messages / (now() - start);
}

static double run(jsCtx *js, enum way way, bool memory, size_t size, double *trip)
{
    char stream[32];

    snprintf(stream, sizeof stream, "B%d", runs++);
    double rate = way == DIRECT || way == DIRECT_IDS
                      ? direct(js, stream, memory, size, way == DIRECT_IDS)
                      : through(stream, memory, size, way, trip);
    if (way != ALONE)
        check(js_DeleteStream(js, stream, NULL, NULL), "stream");
    return rate;
}

/* ---- The table ----------------------------------------------------------------------------------
 */

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, by_size);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static void measure(jsCtx *js, bool memory, size_t size, int rounds)
{
    static double rates[WAYS][ROUNDS_MAX], ratios[ROUNDS_MAX], trips[ROUNDS_MAX];
    static const enum way directly[] = {DIRECT, DIRECT_IDS};

    for (int round = 0; round < rounds; round++)
        for (int i = 0; i < WAYS; i++) {
            const enum way way = (enum way)(round % 2 ? WAYS - 1 - i : i);
            rates[way][round] = run(js, way, memory, size, &trips[round]);
        }
    for (enum way way = 0; way < WAYS; way++) {
        char columns[2][40];
        for (int i = 0; i < 2; i++) {
            for (int round = 0; round < rounds; round++)
                ratios[round] = rates[way][round] / rates[directly[i]][round];
            const double middle = median(ratios, rounds); /* sorts them */
            snprintf(columns[i], sizeof columns[i], "%.2f (%.2f-%.2f)", middle, ratios[0],
                     ratios[rounds - 1]);
        }
        printf("%-7s %5zu  %-26s", memory ? "memory" : "file", size, way_names[way]);
        memcpy(ratios, rates[way], sizeof ratios);
        printf("%10.0f  %-19s %s\n", median(ratios, rounds), columns[0], columns[1]);
    }
    printf("%-7s %5zu  one message at a time, queue to stream to queue: %.0f us\n",
           memory ? "memory" : "file", size, median(trips, rounds));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {64, 1024};
    int rounds = argc > 2 ? atoi(argv[2]) : 5;
    natsConnection *nc = NULL;
    jsOptions options;
    jsCtx *js;

    if (argc > 1)
        bridge = argv[1];
    if (argc > 3)
        messages = strtoull(argv[3], NULL, 10);
    if (rounds < 1 || rounds > ROUNDS_MAX || messages < 1)
        fail("usage", "bridge [BRIDGE [ROUNDS [MESSAGES]]]");
    start_server();
    double until = now() + (double)WINDOW_S;
    while (natsConnection_ConnectTo(&nc, url) != NATS_OK && now() < until)
        nap();
    if (!nc)
        fail("nats-server", "does not answer: is it installed?");
    jsOptions_Init(&options);
    options.PublishAsync.MaxPending = PENDING;
    options.PublishAsync.StallWait = 10000;
    check(natsConnection_JetStream(&js, nc, &options), "JetStream");
    printf(
        "storage bytes  way                       messages/s  to direct           to direct with "
        "ids\n");
    for (int memory = 1; memory >= 0; memory--)
        for (int i = 0; i < 2; i++)
            measure(js, memory, sizes[i], rounds);
    jsCtx_Destroy(js);
    natsConnection_Destroy(nc);
    nats_Close();
    return 0;
}
