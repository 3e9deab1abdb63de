/* SPDX-License-Identifier: MIT */
/*
 * From a queue through a stream to another queue, while bridges, servers, producer and consumer are
 * killed at random: every message arrives, and once.
 */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "messages.h"
#include "nats.h"
#include "tool.h"

TestSuite(bridge_kills, .init = nats_needed, .timeout = 7200);

enum { SERVERS = 3, LONGEST = 64, PATIENCE_S = 120 };

/* What survives those who are killed. */
static struct world {
    uint64_t messages;
    _Atomic uint64_t allowed; /* to be sent: the kills are spread over all messages */
    _Atomic uint64_t received;
    _Atomic uint64_t sending; /* mpmc: the number that is being sent, + 1 */
    _Atomic uint64_t twice;
    _Atomic uint8_t count[]; /* of each message */
} * world;

static uint32_t kind;
static const char *from, *to;
static char out_route[400], in_route[400];
static struct nats servers[SERVERS];
static int server_count;
static uint64_t state;

static int produce(void *unused)
{
    shmring_t *q;
    struct shmring_stat st;

    (void)unused;
    child_assert(shmring_open(&q, from, SHMRING_PRODUCER) == 0);
    child_assert(shmring_stat(q, &st) == 0);
    /* spsc: exact after any death. mpmc: by its own note, when nobody knows if it was sent: again.
     */
    for (uint64_t n = kind == SHMRING_SPSC ? st.sent : world->sending; n < world->messages; n++) {
        world->sending = n;
        while (n >= world->allowed)
            usleep(1000);
        child_assert(shmring_send_wait(q, &n, sizeof n, NULL) == 0);
    }
    world->sending = world->messages;
    shmring_close(&q);
    return 0;
}

static int consume(void *unused)
{
    struct shmring_info info;
    const void *msg;
    uint64_t n;
    shmring_t *q;

    (void)unused;
    child_assert(shmring_open(&q, to, SHMRING_CONSUMER) == 0);
    world->received = 0; /* whoever was here before may not have come to count the last one */
    for (n = 0; n < world->messages; n++)
        world->received += world->count[n];
    while (world->received < world->messages) {
        struct timespec patience = {.tv_sec = 1};
        ssize_t length = shmring_peek_wait(q, &msg, &info, &patience);
        if (length == -ETIMEDOUT)
            continue;
        child_assert(length == sizeof n);
        memcpy(&n, msg, sizeof n);
        child_assert(n < world->messages);
        if (world->count[n] == 0) {
            world->count[n] = 1;
            world->received++;
        } else if ((info.flags & SHMRING_REDELIVERED) == 0) { /* not by the queue itself */
            world->twice++;
        }
        child_assert(shmring_release(q, msg) == 0);
    }
    shmring_close(&q);
    return 0;
}

static void make_queues(void)
{
    shmring_t *q;

    from = queue_name();
    to = queue_name();
    for (int i = 0; i < 2; i++) {
        q = kind == SHMRING_SPSC ? test_create(i ? to : from, SHMRING_OBSERVER, 1 << 16)
                                 : test_create_mpmc(i ? to : from, SHMRING_OBSERVER, 1024, LONGEST);
        shmring_close(&q);
    }
}

static void start_servers(int count)
{
    int ports[SERVERS];
    char lines[400];

    server_count = count;
    for (int i = 0; i < count; i++)
        ports[i] = nats_free_port();
    for (int i = 0; i < count; i++) {
        lines[0] = '\0';
        if (count > 1)
            snprintf(lines, sizeof lines,
                     "server_name: n%d\ncluster: {name: c, listen: \"127.0.0.1:%d\", routes: "
                     "[\"nats://127.0.0.1:%d\", \"nats://127.0.0.1:%d\", \"nats://127.0.0.1:%d\"]}",
                     i, ports[i], ports[0], ports[1], ports[2]);
        nats_start(&servers[i], lines);
    }
}

/* One that knows all servers. */
static struct program start_bridge(const char *route)
{
    char url[256] = "url=";

    for (int i = 0; i < server_count; i++)
        snprintf(url + strlen(url), sizeof url - strlen(url), "%s%s", i ? "," : "",
                 servers[i].url + 4);
    cr_assert_lt(strlen(url), 250);
    const char *const argv[] = {
        "bridge/shmring-bridge", "--create-stream", "-s", url, "-r", route, NULL};
    return program_start(-1, -1, argv);
}

/* Restart what has ended by itself: a bridge may give up when it finds no stream. */
static void keep_up(struct program *bridge, const char *route)
{
    if (program_runs(bridge))
        return;
    struct outcome outcome = program_finish(bridge);
    outcome_free(&outcome);
    *bridge = start_bridge(route);
}

static void kill_bridge(struct program *bridge, const char *route)
{
    kill(bridge->pid, SIGKILL);
    struct outcome outcome = program_finish(bridge);
    outcome_free(&outcome);
    *bridge = start_bridge(route);
}

static void kill_child(pid_t *child, int (*body)(void *))
{
    kill(*child, SIGKILL);
    cr_assert_neq(test_wait(*child), 1);
    *child = test_fork(body, NULL);
}

enum victims { BRIDGES = 1, SERVER = 2, ENDS = 4 };

static void run(uint32_t which, uint64_t messages, int servers_, unsigned victims, int kills)
{
    const size_t size = sizeof *world + messages;
    const uint64_t share = messages / (uint64_t)(kills + 1);
    int done = 0;

    kind = which;
    state = test_seed();
    world = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(world, MAP_FAILED);
    world->messages = messages;
    start_servers(servers_);
    make_queues();
    snprintf(out_route, sizeof out_route,
             "direction=to-subject queue=%s stream=S subject=s.x replicas=%d window=512 "
             "ack-wait=2000",
             from, servers_);
    snprintf(in_route, sizeof in_route,
             "direction=to-queue queue=%s stream=S consumer=c subject=s.x replicas=%d window=512 "
             "ack-wait=1000 state=%s/state",
             to, servers_, servers[0].directory);
    struct program out = start_bridge(out_route), in = start_bridge(in_route);
    pid_t producer = test_fork(produce, NULL), consumer = test_fork(consume, NULL);
    uint64_t before = 0;
    time_t moved = time(NULL);
    while (world->received < messages) {
        const uint64_t received = world->received;
        if (received > before) {
            moved = time(NULL);
            before = received;
        }
        cr_assert_lt(time(NULL) - moved, PATIENCE_S, "%d of %d came", (int)before, (int)messages);
        keep_up(&out, out_route);
        keep_up(&in, in_route);
        /* The next kill comes when so many have arrived, and some more are on their way. */
        world->allowed = done < kills ? share * (uint64_t)(done + 2) : messages;
        if (done == kills || before < share * (uint64_t)done) {
            usleep(2000);
            continue;
        }
        usleep(test_random_below(&state, 20000));
        done++;
        unsigned victim;
        do
            victim = 1u << test_random_below(&state, 3);
        while ((victim & victims) == 0);
        const uint32_t side = test_random_below(&state, 2);
        if (victim == BRIDGES)
            kill_bridge(side ? &out : &in, side ? out_route : in_route);
        else if (victim == ENDS && side)
            kill_child(&producer, produce);
        else if (victim == ENDS)
            kill_child(&consumer, consume);
        else if (victim == SERVER) {
            struct nats *server = &servers[test_random_below(&state, (uint32_t)server_count)];
            nats_kill(server);
            usleep(test_random_below(&state, 500000));
            nats_start_again(server);
        }
    }
    cr_assert_eq(test_wait(consumer), 0);
    cr_assert_eq(test_wait(producer), 0);
    bridge_stop(&out);
    bridge_stop(&in);
    /* Nothing is left over that would come once more. */
    shmring_t *q;
    cr_assert_eq(shmring_open(&q, to, SHMRING_CONSUMER), 0);
    cr_assert_eq(shmring_recv(q, &(uint64_t){0}, sizeof(uint64_t)), -EAGAIN);
    shmring_close(&q);
    fprintf(stderr, "%d kills, %d messages, %d twice\n", done, (int)messages, (int)world->twice);
    cr_assert_eq(done, kills);
    /* An mpmc producer that is killed does not know whether it has sent, and sends again. */
    if (kind == SHMRING_SPSC || (victims & ENDS) == 0)
        cr_assert_eq(world->twice, 0);
    DO("rm", from, to);
    for (int i = 0; i < server_count; i++)
        nats_stop(&servers[i]);
    munmap(world, size);
}

/* So many messages for each kill, of those that $SHMRING_TEST_KILLS wants. */
static uint64_t for_each(int kills, uint64_t messages)
{
    return (uint64_t)kills * messages;
}

Test(bridge_kills, bridges_of_spsc_queues)
{
    const int kills = test_kills(8);

    run(SHMRING_SPSC, for_each(kills, 10000), 1, BRIDGES, kills);
}

Test(bridge_kills, bridges_of_mpmc_queues)
{
    const int kills = test_kills(8);

    run(SHMRING_MPMC, for_each(kills, 10000), 1, BRIDGES, kills);
}

Test(bridge_kills, anybody_with_spsc_queues)
{
    const int kills = test_kills(8);

    run(SHMRING_SPSC, for_each(kills, 10000), 1, BRIDGES | SERVER | ENDS, kills);
}

Test(bridge_kills, anybody_with_mpmc_queues)
{
    const int kills = test_kills(8);

    run(SHMRING_MPMC, for_each(kills, 10000), 1, BRIDGES | SERVER | ENDS, kills);
}

/* One at a time: the other two go on. */
Test(bridge_kills, a_cluster_of_three)
{
    const int kills = test_kills(2);

    run(SHMRING_SPSC, for_each(kills, 2000), 3, SERVER, kills);
}
