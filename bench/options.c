/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <shmring/shmring.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results.h"

static const char usage[] =
    "Usage: shmring-bench [OPTION]...\n"
    "Compare shmring with what else carries messages between two processes here.\n"
    "\n"
    "What to measure\n"
    "  -l, --list             list the transports and exit\n"
    "  -t, --transports LIST  names, globs or groups, comma-separated (default: all but\n"
    "                         the peers)\n"
    "  -s, --sizes LIST       message sizes in bytes, K and M allowed (default: 8,64,1024;\n"
    "                         8 for capacity, participants and stopped)\n"
    "  -m, --mode MODE        throughput, latency, both, mpmc, uncontended, capacity,\n"
    "                         participants, stopped, idle, mux, broadcast or\n"
    "                         broadcast-death (default: both)\n"
    "  -w, --wait HOW         spin, block or both (default: spin)\n"
    "      --rate N           latency one way at N messages a second, not round trips;\n"
    "                         broadcast: how fast the producer sends where it is not as fast\n"
    "                         as it can (default: 100000, to slow consumers 1000000)\n"
    "      --configs LIST     mpmc: producers x consumers (default: 1x1,2x2,4x4,1x4,4x1)\n"
    "      --consumers LIST   broadcast: how many (default: 1,2,4,8,16)\n"
    "      --speeds LIST      broadcast: messages a second that a slow consumer takes\n"
    "                         (default: 250000,500000,750000,1000000,2000000)\n"
    "      --policy HOW       mpmc, spinning: spin, yield or both (default: both)\n"
    "      --batch N          messages a call of the -batch transports (default: 32)\n"
    "      --capacity BYTES   of rings that have no given one (default: 256K)\n"
    "\n"
    "How\n"
    "  -r, --rounds N         interleaved rounds (default: 5)\n"
    "      --seconds S        of each measurement in each round (default: 0.06)\n"
    "      --timeout S        a measurement that takes so much longer has failed (default: 10)\n"
    "      --cpus A,B         pin the two processes there (default: the first two allowed)\n"
    "      --no-pin           let them run anywhere\n"
    "\n"
    "Results\n"
    "      --json FILE        every round, and what it was measured on\n"
    "      --csv FILE         the same, one line a round\n"
    "      --plots DIR        SVG and PNG pictures, made with gnuplot\n"
    "  -q, --quiet            no progress, no remarks\n"
    "  -h, --help             this text\n"
    "  -V, --version          version of this program and of the library\n"
    "\n"
    "Exit status: 0 when all went well (transports that do not exist here are skipped), 1 when a\n"
    "transport failed or delivered a wrong message or an output could not be written, 2 for a "
    "wrong\n"
    "command line; a signal ends it as usual, after cleaning up.\n";

static void __attribute__((noreturn, format(printf, 1, 2))) mistake(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("shmring-bench: ", stderr);
    vfprintf(stderr, format, args);
    fputs(" (see --help)\n", stderr);
    va_end(args);
    exit(EXIT_USAGE);
}

/* A whole number with an optional K or M. */
static long whole(const char *option, const char *text, long min, long max)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    int shift = *end == 'k' || *end == 'K' ? 10 : *end == 'M' ? 20 : 0;
    if (end == text || errno != 0 || strcmp(end + (shift > 0), "") != 0 || value < 0 ||
        value > max >> shift || value << shift < min)
        mistake("%s: '%s' is not a number from %ld to %ld", option, text, min, max);
    return (long)(value << shift);
}

static double number(const char *option, const char *text, double min, double max)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= min && value <= max))
        mistake("%s: '%s' is not a number from %g to %g", option, text, min, max);
    return value;
}

/* Which of the words first, second or "both"? */
static void either(const char *option, const char *text, const char *first, bool *has_first,
                   const char *second, bool *has_second)
{
    bool both = strcmp(text, "both") == 0;
    *has_first = both || strcmp(text, first) == 0;
    *has_second = both || strcmp(text, second) == 0;
    if (!*has_first && !*has_second)
        mistake("%s: '%s' is not %s, %s or both", option, text, first, second);
}

static void parse_sizes(struct options *o, char *text)
{
    o->n_sizes = 0;
    for (char *save, *word = strtok_r(text, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        if (o->n_sizes == SIZES_MAX)
            mistake("--sizes: more than %d", SIZES_MAX);
        size_t size = (size_t)whole("--sizes", word, 1, 16 << 20);
        bool known = false;
        for (int i = 0; i < o->n_sizes; i++)
            known = known || o->sizes[i] == size;
        if (!known)
            o->sizes[o->n_sizes++] = size;
    }
    if (o->n_sizes == 0)
        mistake("--sizes: the list is empty");
}

/* broadcast, or one of its parts. Returns whether it is. */
static bool parse_broadcast(struct options *o, const char *text)
{
    const bool all = strcmp(text, "broadcast") == 0;
    bool any = false;
    for (int mode = BROADCAST; mode < MODES; mode++)
        any |= o->broadcast[mode - BROADCAST] = all || strcmp(text, mode_names[mode]) == 0;
    return any;
}

static void parse_mode(struct options *o, const char *text)
{
    const bool both = strcmp(text, "both") == 0, broadcast = parse_broadcast(o, text);
    o->throughput = both || strcmp(text, mode_names[THROUGHPUT]) == 0;
    o->latency = both || strcmp(text, mode_names[LATENCY]) == 0;
    o->many = strcmp(text, mode_names[MANY]) == 0;
    o->alone = strcmp(text, mode_names[ALONE]) == 0;
    o->by_capacity = strcmp(text, mode_names[CAPACITY]) == 0;
    o->participants = strcmp(text, mode_names[PARTICIPANTS]) == 0;
    o->stopped = strcmp(text, mode_names[STOPPED]) == 0;
    o->idle = strcmp(text, "idle") == 0;
    o->mux = strcmp(text, "mux") == 0;
    o->death = strcmp(text, "broadcast-death") == 0;
    if (!o->throughput && !o->latency && !o->many && !o->alone && !o->by_capacity &&
        !o->participants && !o->stopped && !o->idle && !o->mux && !o->death && !broadcast)
        mistake("--mode: '%s' is not throughput, latency, both, mpmc, uncontended, capacity, "
                "participants, stopped, idle, mux, broadcast or broadcast-death",
                text);
#ifndef HAVE_MUX
    if (o->mux)
        mistake("--mode: %s: built without libshmring-mux", text);
#endif
}

static void add_config(struct options *o, struct crew crew)
{
    for (int i = 0; i < o->n_configs; i++)
        if (o->configs[i].producers == crew.producers && o->configs[i].consumers == crew.consumers)
            return;
    if (o->n_configs == CONFIGS_MAX)
        mistake("--configs: more than %d", CONFIGS_MAX);
    o->configs[o->n_configs++] = crew;
}

static void parse_configs(struct options *o, char *text)
{
    o->n_configs = 0;
    for (char *save, *word = strtok_r(text, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        char *x = strchr(word, 'x');
        if (!x)
            mistake("--configs: '%s' is not PRODUCERSxCONSUMERS", word);
        *x = '\0';
        add_config(o, (struct crew){(int)whole("--configs", word, 1, MANY_SIDE_MAX),
                                    (int)whole("--configs", x + 1, 1, MANY_SIDE_MAX), 0});
    }
    if (o->n_configs == 0)
        mistake("--configs: the list is empty");
}

/* Distinct numbers from 1 to max. Returns how many. */
static int parse_numbers(const char *option, char *text, long max, long numbers[CONFIGS_MAX])
{
    int n = 0;
    for (char *save, *word = strtok_r(text, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        const long number = whole(option, word, 1, max);
        bool known = false;
        for (int i = 0; i < n; i++)
            known = known || numbers[i] == number;
        if (!known && n == CONFIGS_MAX)
            mistake("%s: more than %d", option, CONFIGS_MAX);
        if (!known)
            numbers[n++] = number;
    }
    if (n == 0)
        mistake("%s: the list is empty", option);
    return n;
}

static void parse_consumers(struct options *o, char *text)
{
    long numbers[CONFIGS_MAX];
    o->n_consumers = parse_numbers("--consumers", text, CONSUMERS_MAX, numbers);
    for (int i = 0; i < o->n_consumers; i++)
        o->consumers[i] = (int)numbers[i];
}

static void parse_transports(struct options *o, char *text)
{
    int n = 0;
    for (char *save, *word = strtok_r(text, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        bool known = false;
        for (int i = 0; transports[i]; i++)
            known = known || transport_matches(transports[i], word);
        if (!known && strcmp(word, "peers") != 0) /* peers may all be missing */
            mistake("--transports: '%s' is none of those that --list shows", word);
        if (n == PATTERNS_MAX)
            mistake("--transports: more than %d", PATTERNS_MAX);
        o->patterns[n++] = word;
    }
    o->patterns[n] = NULL;
    if (n == 0)
        mistake("--transports: the list is empty");
}

/* The first two CPUs that this process may use; the same one twice if there is only one. */
static void first_cpus(struct options *o, const cpu_set_t *allowed)
{
    int n = 0;
    for (size_t cpu = 0; cpu < CPU_SETSIZE && n < 2; cpu++)
        if (CPU_ISSET(cpu, allowed))
            o->cpus[n++] = cpu;
    if (n == 1)
        o->cpus[1] = o->cpus[0];
    o->pin = n > 0;
}

static void parse_cpus(struct options *o, char *text, const cpu_set_t *allowed)
{
    char *comma = strchr(text, ',');
    if (!comma)
        mistake("--cpus: '%s' is not A,B", text);
    *comma = '\0';
    o->cpus[0] = (size_t)whole("--cpus", text, 0, CPU_SETSIZE - 1);
    o->cpus[1] = (size_t)whole("--cpus", comma + 1, 0, CPU_SETSIZE - 1);
    for (int i = 0; i < 2; i++)
        if (!CPU_ISSET(o->cpus[i], allowed))
            mistake("--cpus: this process may not run on CPU %zu", o->cpus[i]);
    o->pin = true;
}

static char *join(int argc, char **argv)
{
    size_t length = 1;
    for (int i = 1; i < argc; i++)
        length += strlen(argv[i]) + 1;
    char *line = calloc(1, length);
    if (!line) {
        perror("shmring-bench");
        exit(EXIT_FAILED);
    }
    for (int i = 1; i < argc; i++) {
        if (i > 1)
            strcat(line, " ");
        strcat(line, argv[i]);
    }
    return line;
}

static void __attribute__((noreturn)) print_and_exit(const char *text)
{
    fputs(text, stdout);
    exit(fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED);
}

static void __attribute__((noreturn)) print_version(void)
{
    printf("shmring-bench %s, library %s\n", PACKAGE_VERSION, shmring_version());
    print_and_exit("");
}

enum {
    RATE = 256,
    CONFIGS,
    CONSUMERS,
    SPEEDS,
    POLICY,
    BATCH,
    RING_CAPACITY,
    SECONDS,
    TIMEOUT,
    CPUS,
    NO_PIN,
    JSON,
    CSV,
    PLOTS
};

static const struct option long_options[] = {
    {"list", no_argument, NULL, 'l'},
    {"transports", required_argument, NULL, 't'},
    {"sizes", required_argument, NULL, 's'},
    {"mode", required_argument, NULL, 'm'},
    {"wait", required_argument, NULL, 'w'},
    {"rate", required_argument, NULL, RATE},
    {"configs", required_argument, NULL, CONFIGS},
    {"consumers", required_argument, NULL, CONSUMERS},
    {"speeds", required_argument, NULL, SPEEDS},
    {"policy", required_argument, NULL, POLICY},
    {"batch", required_argument, NULL, BATCH},
    {"capacity", required_argument, NULL, RING_CAPACITY},
    {"rounds", required_argument, NULL, 'r'},
    {"seconds", required_argument, NULL, SECONDS},
    {"timeout", required_argument, NULL, TIMEOUT},
    {"cpus", required_argument, NULL, CPUS},
    {"no-pin", no_argument, NULL, NO_PIN},
    {"json", required_argument, NULL, JSON},
    {"csv", required_argument, NULL, CSV},
    {"plots", required_argument, NULL, PLOTS},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {0},
};

/* Fill in the options of --mode mpmc that were not given. */
static void complete_many(struct options *o)
{
    static const struct crew usual[] = {{1, 1, 0}, {2, 2, 0}, {4, 4, 0}, {1, 4, 0}, {4, 1, 0}};
    if (o->n_configs == 0) {
        memcpy(o->configs, usual, sizeof usual);
        o->n_configs = sizeof usual / sizeof *usual;
    }
    if (!o->many_spin && !o->many_yield)
        o->many_spin = o->many_yield = true;
}

/* Likewise of --mode broadcast. */
static void complete_broadcast(struct options *o)
{
    static const int consumers[] = {1, 2, 4, 8, CONSUMERS_MAX};
    static const long speeds[] = {250000, 500000, 750000, 1000000, 2000000};
    if (o->n_consumers == 0) {
        memcpy(o->consumers, consumers, sizeof consumers);
        o->n_consumers = sizeof consumers / sizeof *consumers;
    }
    if (o->n_speeds == 0) {
        memcpy(o->speeds, speeds, sizeof speeds);
        o->n_speeds = sizeof speeds / sizeof *speeds;
    }
}

static void complete_sizes(struct options *o)
{
    static const size_t usual[] = {8, 64, 1024};
    if (o->n_sizes > 0)
        return;
    memcpy(o->sizes, usual, sizeof usual);
    o->n_sizes = o->by_capacity || o->participants || o->stopped ? 1 : 3;
}

void options_parse(struct options *o, int argc, char **argv)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        CPU_ZERO(&allowed);
    *o = (struct options){
        .throughput = true,
        .latency = true,
        .spin = true,
        .rounds = 5,
        .seconds = 0.06,
        .timeout = 10,
        .batch = 32,
        .capacity = 256 << 10,
        .line = join(argc, argv),
    };
    first_cpus(o, &allowed);
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, ":lt:s:m:w:r:qhV", long_options, NULL)) != -1;) {
        switch (c) {
        case 'l':
            o->list = true;
            break;
        case 't':
            parse_transports(o, optarg);
            break;
        case 's':
            parse_sizes(o, optarg);
            break;
        case 'm':
            parse_mode(o, optarg);
            break;
        case 'w':
            either("--wait", optarg, "spin", &o->spin, "block", &o->block);
            break;
        case RATE:
            o->rate = number("--rate", optarg, 1, 1e9);
            break;
        case CONFIGS:
            parse_configs(o, optarg);
            break;
        case CONSUMERS:
            parse_consumers(o, optarg);
            break;
        case SPEEDS:
            o->n_speeds = parse_numbers("--speeds", optarg, 1000000000, o->speeds);
            break;
        case POLICY:
            either("--policy", optarg, "spin", &o->many_spin, "yield", &o->many_yield);
            break;
        case BATCH:
            o->batch = (int)whole("--batch", optarg, 1, BATCH_MAX);
            break;
        case RING_CAPACITY:
            o->capacity = (size_t)whole("--capacity", optarg, 4096, 1L << 30);
            break;
        case 'r':
            o->rounds = (int)whole("--rounds", optarg, 1, 1000);
            break;
        case SECONDS:
            o->seconds = number("--seconds", optarg, 0.001, 3600);
            break;
        case TIMEOUT:
            o->timeout = number("--timeout", optarg, 0.001, 3600);
            break;
        case CPUS:
            parse_cpus(o, optarg, &allowed);
            break;
        case NO_PIN:
            o->pin = false;
            break;
        case JSON:
            o->json = optarg;
            break;
        case CSV:
            o->csv = optarg;
            break;
        case PLOTS:
            o->plots = optarg;
            break;
        case 'q':
            o->quiet = true;
            break;
        case 'h':
            print_and_exit(usage);
        case 'V':
            print_version();
        case ':':
            mistake("%s needs a value", argv[optind - 1]);
        default:
            if (optopt > 0 && optopt < 256)
                mistake("unknown option -%c", optopt);
            mistake("unknown option %s", argv[optind - 1]);
        }
    }
    if (optind < argc)
        mistake("'%s' is not an option", argv[optind]);
    const bool broadcast_at_rate =
        o->broadcast[BROADCAST_LATENCY - BROADCAST] || o->broadcast[BROADCAST_SLOW - BROADCAST];
    if (o->rate > 0 && !o->latency && !broadcast_at_rate)
        mistake("--rate is about latency, which --mode leaves out");
    if (o->n_consumers > 0 && !o->broadcast[0] && !o->broadcast[BROADCAST_LATENCY - BROADCAST])
        mistake("--consumers is about --mode broadcast");
    if (o->n_speeds > 0 && !o->broadcast[BROADCAST_SLOW - BROADCAST])
        mistake("--speeds is about --mode broadcast");
    if (!o->many && (o->n_configs > 0 || o->many_spin || o->many_yield))
        mistake("--configs and --policy are about --mode mpmc");
    if ((o->many_spin || o->many_yield) && !o->spin)
        mistake("--policy is about spinning, which --wait leaves out");
    if (o->idle && (o->json || o->csv || o->plots))
        mistake("--mode idle makes no files");
    if ((o->mux || o->death) && (o->csv || o->plots))
        mistake("--mode %s makes no file but JSON", o->mux ? "mux" : "broadcast-death");
    complete_many(o);
    complete_broadcast(o);
    complete_sizes(o);
}
