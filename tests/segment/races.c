/* SPDX-License-Identifier: MIT */
/* Which process gets a queue when many want it, and what is left when they are killed meanwhile. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "in_place.h"
#include "support.h"

enum { CAPACITY = 65536, RACERS = 50 };

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

struct race {
    const char *name;
    struct shmring_config config;
    struct gate gate;
    int in_place; /* the file at the name may be unfinished, or about to be replaced */
};

static struct race race_for(const char *name, uint32_t flags)
{
    return (struct race){.name = name,
                         .config = {.kind = SHMRING_SPSC, .flags = flags, .capacity = CAPACITY}};
}

/* ---- Creators and openers -------------------------------------------------------------------- */

/* In a child: create or open. A process that loses opens what the winner made. Result: -errno. */
static int race_to_create(void *argument)
{
    const struct race *race = argument;
    shmring_t *q;

    gate_wait(&race->gate);
    const int r = shmring_create(&q, race->name, &race->config);
    if (r == -EEXIST && !race->in_place)
        child_assert(shmring_open(&q, race->name, SHMRING_OBSERVER) == 0);
    shmring_close(&q);
    return -r;
}

/* All children start at once; how[e] counts those that ended with -e. */
static void run_race(const char *name, uint32_t flags, int in_place, int how[256])
{
    struct race race = race_for(name, flags);
    pid_t pids[RACERS];

    race.in_place = in_place;
    memset(how, 0, 256 * sizeof how[0]);
    gate_init(&race.gate);
    for (int i = 0; i < RACERS; i++)
        pids[i] = test_fork(race_to_create, &race);
    gate_open(&race.gate, RACERS);
    for (int i = 0; i < RACERS; i++)
        how[test_wait(pids[i]) & 255]++;
}

static void check_races(const char *name)
{
    int how[256];

    for (int round = 0; round < 4; round++) {
        run_race(name, round % 2 ? SHMRING_PRODUCER : 0, 0, how);
        cr_assert_eq(how[0], 1, "%d creators", how[0]);
        cr_assert_eq(how[EEXIST], RACERS - 1);
        cr_assert_eq(shmring_unlink(name), 0);

        run_race(name, SHMRING_OPEN_OR_CREATE, 0, how);
        cr_assert_eq(how[0], RACERS);
        cr_assert_eq(shmring_unlink(name), 0);

        run_race(name, SHMRING_OPEN_OR_CREATE | SHMRING_PRODUCER, 0, how);
        cr_assert_geq(how[0], 1);
        cr_assert_eq(how[0] + how[EBUSY], RACERS);
        cr_assert_eq(shmring_unlink(name), 0);
    }
}

Test(races, posix)
{
    char name[TEST_NAME_SIZE];

    test_name(name);
    check_races(name);
}

Test(races, file)
{
    struct site site;

    make_site(&site);
    check_races(site.name);
    cr_assert_eq(test_count_files(site.directory), 0);
}

/* Without O_TMPFILE other processes may see a queue that is not finished, or one that a creator
 * left that was killed. */
Test(races, in_place)
{
    struct site site;
    int how[256];

    forget_tmpfile();
    make_site(&site);
    for (int round = 0; round < 20; round++) {
        const int create = round % 2;
        if (round / 2 % 2)
            test_kill(start_creation(&site));
        run_race(site.name, create ? SHMRING_PRODUCER : SHMRING_OPEN_OR_CREATE, 1, how);
        if (create)
            cr_assert(how[0] == 1 && how[EEXIST] == RACERS - 1, "%d creators", how[0]);
        else
            cr_assert(how[0] >= 1 && how[0] + how[EAGAIN] == RACERS, "%d opened it", how[0]);
        cr_assert_eq(shmring_unlink(site.name), 0);
        cr_assert_eq(test_count_files(site.directory), 0);
    }
}

/* Both sides start with OPEN_OR_CREATE, in any order, while another process removes the name. */
static int open_or_create_often(void *argument)
{
    const struct race *race = argument;
    shmring_t *q;

    gate_wait(&race->gate);
    for (int i = 0; i < 300; i++) {
        child_assert(shmring_create(&q, race->name, &race->config) == 0);
        shmring_close(&q);
    }
    return 0;
}

static int unlink_often(void *argument)
{
    const struct race *race = argument;

    gate_wait(&race->gate);
    for (int i = 0; i < 300; i++) {
        const int r = shmring_unlink(race->name);
        child_assert(r == 0 || r == -ENOENT);
    }
    return 0;
}

Test(races, open_or_create_while_the_name_comes_and_goes)
{
    char name[TEST_NAME_SIZE];
    pid_t pids[3];

    test_name(name);
    struct race producer = race_for(name, SHMRING_OPEN_OR_CREATE | SHMRING_PRODUCER);
    struct race consumer = race_for(name, SHMRING_OPEN_OR_CREATE | SHMRING_CONSUMER);
    gate_init(&producer.gate);
    consumer.gate = producer.gate;
    pids[0] = test_fork(open_or_create_often, &producer);
    pids[1] = test_fork(open_or_create_often, &consumer);
    pids[2] = test_fork(unlink_often, &producer);
    gate_open(&producer.gate, 3);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(test_wait(pids[i]), 0);
}

/* ---- Creators that are killed ---------------------------------------------------------------- */

/* In a child: create and remove the queue until the test kills the child. */
static int create_and_remove(void *argument)
{
    const struct race *race = argument;
    shmring_t *q;

    gate_wait(&race->gate);
    while (shmring_create(&q, race->name, &race->config) == 0) {
        shmring_close(&q);
        child_assert(shmring_unlink(race->name) == 0);
    }
    return 1;
}

/* Kill a creator at a random moment, and open what it left. Each round gives the creator more
 * time. */
static int open_after_kill(const char *name, int round, shmring_t **q)
{
    struct race race = race_for(name, BOTH);

    gate_init(&race.gate);
    const pid_t pid = test_fork(create_and_remove, &race);
    gate_open(&race.gate, 1);
    usleep((useconds_t)(rand() % (500 + 10 * round)));
    test_kill(pid);
    return shmring_open(q, name, BOTH);
}

static void check_and_remove(const char *name, shmring_t *q)
{
    cr_assert_eq(shmring_send(q, "hello", 6), 0);
    shmring_close(&q);
    cr_assert_eq(shmring_unlink(name), 0);
}

Test(races, killed_creator_leaves_a_whole_queue_or_nothing, .timeout = 300)
{
    int whole = 0, nothing = 0;
    struct site site;
    shmring_t *q;

    make_site(&site);
    /* Go on until both have happened: a whole queue, and none. */
    for (int round = 0; round < 200 || whole == 0 || nothing == 0; round++) {
        const int r = open_after_kill(site.name, round, &q);
        if (r == 0) {
            check_and_remove(site.name, q);
            whole++;
        } else {
            cr_assert_eq(r, -ENOENT, "%d: %s", r, shmring_strerror_detail());
            nothing++;
        }
        cr_assert_eq(test_count_files(site.directory), 0);
    }
}

Test(races, creator_killed_in_place_can_be_followed, .timeout = 300)
{
    struct site site;
    shmring_t *q;
    int unfinished = 0;

    forget_tmpfile();
    make_site(&site);
    for (int round = 0; round < 200 || unfinished == 0; round++) {
        const int r = open_after_kill(site.name, round, &q);
        cr_assert(r == 0 || r == -ENOENT || r == -EAGAIN, "%d: %s", r, shmring_strerror_detail());
        unfinished += r == -EAGAIN;
        if (r < 0)
            q = test_create(site.name, SHMRING_PRODUCER, CAPACITY);
        check_and_remove(site.name, q);
        cr_assert_eq(test_count_files(site.directory), 0);
    }
}
