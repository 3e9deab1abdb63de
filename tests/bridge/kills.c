/* SPDX-License-Identifier: MIT */
/*
 * From a queue through a stream to another queue, while bridges, servers, producer and consumer are
 * killed at random: every message arrives exactly once.
 *
 * An mpmc producer that is killed may or may not have sent the message it was about to send, so its
 * successor sends that again, as its first message. Each message names its producer, so the test
 * can tell a message that was sent twice from one that came twice. A message that the queue
 * redelivers, because a consumer was killed with it, has the same position. tests/support/oracle.h
 * has no lives and positions: for it the number that is sent again would be one message, which came
 * twice.
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

enum { SERVERS = 3, LONGEST = 64, PATIENCE_S = 300, LIVES = 4096 };

struct message {
    uint64_t number;
    uint64_t life; /* which life of the producer sent it: 1, 2, ... */
};

/* Shared memory, which survives the killed processes. */
static struct world {
    uint64_t messages;
    /* Messages that may be sent: this spreads the kills over all messages. */
    _Atomic uint64_t allowed;
    _Atomic uint64_t received;
    _Atomic uint64_t sending; /* mpmc: the number of the message that the producer is sending */
    _Atomic uint64_t twice;
    _Atomic uint64_t producers, consumers; /* how many lives there were so far */
    struct {
        uint64_t first; /* the number of its first message */
        _Atomic uint8_t came;
    } begun[LIVES];
    /* For each consumer, the position + 1 of the last message that it held. */
    _Atomic uint64_t held[LIVES];
    /* How often each message came from producers for which it was not the first. */
    _Atomic uint8_t came[];
} * world;

static uint32_t kind;
static const char *from, *to;
static char out_route[400], in_route[400];
static struct nats servers[SERVERS];
static int server_count;
static uint64_t state;

static int produce(void *unused)
{
    struct message m;
    struct shmring_stat st;
    shmring_t *q;

    (void)unused;
    child_assert(shmring_open(&q, from, SHMRING_PRODUCER) == 0);
    child_assert(shmring_stat(q, &st) == 0);
    /* spsc: the queue's count is exact after any death. mpmc: the producer's own note. */
    m.number = kind == SHMRING_SPSC ? st.sent : world->sending;
    m.life = world->producers;
    child_assert(m.life < LIVES);
    world->begun[m.life].first = m.number;
    world->producers = m.life + 1;
    for (; m.number < world->messages; m.number++) {
        world->sending = m.number;
        while (m.number >= world->allowed)
            usleep(1000);
        child_assert(shmring_send_wait(q, &m, sizeof m, NULL) == 0);
    }
    world->sending = world->messages;
    shmring_close(&q);
    return 0;
}

/* The number of times that the message has come, from all producers. */
static uint64_t times(uint64_t number)
{
    uint64_t n = world->came[number];

    for (uint64_t life = 0; life < world->producers; life++)
        n += world->begun[life].first == number && world->begun[life].came;
    return n;
}

static bool was_held(uint64_t position)
{
    for (uint64_t life = 0; life < world->consumers; life++)
        if (world->held[life] == position + 1)
            return true;
    return false;
}

/* Note a message that the consumer of this life has received. */
static void note(const struct message *m, const struct shmring_info *info, uint64_t life)
{
    child_assert(m->number < world->messages && m->life < world->producers);
    _Atomic uint8_t *came = world->begun[m->life].first == m->number ? &world->begun[m->life].came
                                                                     : &world->came[m->number];
    if (*came && was_held(info->position))
        return; /* a consumer was killed between this note and the release */
    world->held[life] = info->position + 1;
    if (*came) {
        world->twice++;
        fprintf(stderr, "message %d of producer %d came twice, now at %d\n", (int)m->number,
                (int)m->life, (int)info->position);
        return;
    }
    *came = 1;
    world->received += times(m->number) == 1;
}

/* Receive until all messages have come, or, for patience 0, until the queue is empty. */
static int consume(void *patience)
{
    const struct timespec timeout = {.tv_sec = *(int *)patience};
    struct shmring_info info;
    const void *msg;
    shmring_t *q;

    child_assert(shmring_open(&q, to, SHMRING_CONSUMER) == 0);
    const uint64_t life = world->consumers;
    child_assert(life < LIVES);
    world->consumers = life + 1;
    /* The earlier consumer may have been killed before it counted its last message. */
    uint64_t received = 0;
    for (uint64_t n = 0; n < world->messages; n++)
        received += times(n) > 0;
    world->received = received;
    while (world->received < world->messages || timeout.tv_sec == 0) {
        ssize_t length = shmring_peek_wait(q, &msg, &info, &timeout);
        if (length == -ETIMEDOUT && timeout.tv_sec == 0)
            break;
        if (length == -ETIMEDOUT)
            continue;
        child_assert(length == sizeof(struct message));
        note(msg, &info, life);
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

/* Start a bridge that has the addresses of all servers. */
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

/* Restart a bridge that has ended: it may give up when it finds no stream. */
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

static int one_second = 1, no_time;

static void kill_child(pid_t *child, int (*body)(void *))
{
    kill(*child, SIGKILL);
    cr_assert_neq(test_wait(*child), 1);
    *child = test_fork(body, &one_second);
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
    pid_t producer = test_fork(produce, NULL), consumer = test_fork(consume, &one_second);
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
        /* The next kill comes when this kill's share of the messages has arrived, and more messages
         * are in flight. */
        world->allowed = done < kills ? share * (uint64_t)(done + 2) : messages;
        if (done == kills || before < share * (uint64_t)done ||
            (server_count > 1 && before == 0)) { /* wait until the cluster has a leader */
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
            if (server_count > 1) /* the others need this server for a majority */
                nats_await_health(server);
        }
    }
    cr_assert_eq(test_wait(consumer), 0);
    cr_assert_eq(test_wait(producer), 0);
    bridge_stop(&out);
    bridge_stop(&in);
    /* Only messages that a producer has sent twice may be left. */
    cr_assert_eq(test_run(consume, &no_time), 0);
    uint64_t again = 0, stored = 0;
    for (uint64_t n = 0; n < messages; n++)
        again += times(n) - 1;
    for (int i = 0; i < server_count; i++)
        stored = nats_stored(&servers[i]) > stored ? nats_stored(&servers[i]) : stored;
    fprintf(stderr, "%d kills, %d messages, %d stored, %d came twice, and %d by two producers\n",
            done, (int)messages, (int)stored, (int)world->twice, (int)again);
    cr_assert_eq(done, kills);
    /* A new leader of a cluster may store a message that the last leader had stored already: before
     * nats-server 2.11 it answered before it had caught up
     * (github.com/nats-io/nats-server/pull/6486). */
    cr_assert_eq(world->twice, server_count > 1 ? stored - messages - again : 0);
    if (kind == SHMRING_SPSC)
        cr_assert_eq(again, 0);
    if (kind == SHMRING_SPSC && server_count == 1)
        cr_assert_eq(stored, messages);
    DO("rm", from, to);
    for (int i = 0; i < server_count; i++)
        nats_stop(&servers[i]);
    munmap(world, size);
}

/* How many messages are needed for the kills that $SHMRING_TEST_KILLS asks for. */
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

Test(bridge_kills, any_process_with_spsc_queues)
{
    const int kills = test_kills(8);

    run(SHMRING_SPSC, for_each(kills, 10000), 1, BRIDGES | SERVER | ENDS, kills);
}

Test(bridge_kills, any_process_with_mpmc_queues)
{
    const int kills = test_kills(8);

    run(SHMRING_MPMC, for_each(kills, 10000), 1, BRIDGES | SERVER | ENDS, kills);
}

/* One server at a time is killed: the other two go on, once they have chosen a leader. */
Test(bridge_kills, a_cluster_of_three)
{
    const int kills = test_kills(0) / 10;

    if (kills == 0)
        cr_skip_test("takes long: make check-bridge");
    run(SHMRING_SPSC, for_each(kills, 10000), 3, SERVER, kills);
}
