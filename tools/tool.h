/* SPDX-License-Identifier: MIT */
/* What the subcommands of shmring share. */
#ifndef SHMRING_TOOL_H
#define SHMRING_TOOL_H

#include <shmring/shmring.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>

/* Exit codes; shmring(1) documents them. */
enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_GAVE_UP = 3, /* --no-wait or --timeout: full, empty, or not there in time */
    EXIT_MISSED = 4   /* all went well, but messages are missing */
};

struct command {
    const char *name;
    const char *arguments; /* for the usage line */
    const char *summary;
    const char *options; /* a line each, without --help */
    const char *notes;   /* NULL: none */
    const char *missing; /* advice when the queue does not exist; NULL: to list the queues */
    int (*run)(const struct command *self, int argc, char **argv);
};

extern const struct command create_command, ls_command, stat_command, who_command, send_command,
    recv_command, record_command, replay_command, dump_command, recover_command, rm_command,
    gc_command, top_command;

/* ---- main.c: help and complaints ----------------------------------------------------------- */

/* --help of a subcommand, to stdout. Returns EXIT_OK. */
int help(const struct command *self);

/* A wrong command line. The message goes to stderr (NULL: getopt() has printed one). Returns
 * EXIT_USAGE. */
int usage(const struct command *self, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Complain of an option's value that is not allowed. Returns EXIT_USAGE. */
int bad_value(const struct command *self, const char *option, const char *value,
              const char *wanted);

/* "shmring: NAME: message" to stderr, control characters escaped. Returns EXIT_FAILED. */
int complain(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A library call on NAME has just failed: complain with its detail. Returns the exit code. */
int failed(const char *name, const char *what, int error);
const char *error_detail(int error); /* valid until the next call */

/* Returns the memory that an allocation returned. If that is NULL, the program ends: it can be
 * killed at any moment without harm. */
void *must(void *memory);

/* ---- arguments.c: the command line of subcommands whose only option is --json ---------------- */

/* Options, and the one NAME that must follow; name NULL: any arguments may follow, from
 * argv[optind] on. Returns GO_ON, or the exit code to end with. */
enum { GO_ON = -1 };
int parse_arguments(const struct command *self, int argc, char **argv, bool *json,
                    const char **name);

/* ---- parse.c: option values; false: not one ------------------------------------------------ */

bool parse_size(const char *text, uint64_t *size); /* 4096, 64K, 1M, 2G */
bool parse_count(const char *text, uint64_t *count);
bool parse_mode(const char *text, uint32_t *mode); /* octal, 1 to 0777 */
bool parse_seconds(const char *text, struct timespec *time);
bool parse_factor(const char *text, double *factor); /* more than 0, such as 0.5 or 10 */

/* ---- text.c: output ------------------------------------------------------------------------- */

/* At most n bytes of a string from outside this program; all but printable ASCII as \xNN. */
void put_escaped(FILE *out, const char *text, size_t n);

/* The same as a JSON string, quotes included; what is not UTF-8 becomes U+FFFD. */
void put_json_string(FILE *out, const char *text, size_t n);

/* The same for n bytes, which may contain NUL. */
void put_escaped_bytes(FILE *out, const void *bytes, size_t n);
void put_json_bytes(FILE *out, const void *bytes, size_t n);

/* The same as the value of an OpenMetrics label, without quotes. What is not UTF-8, control
 * characters and backslashes are \\xNN, so that different names stay different. */
void put_label_value(FILE *out, const char *text);

void put_size(FILE *out, uint64_t bytes); /* 4096, 64K, 1.5M */
void put_time(FILE *out, int64_t ns);     /* 2025-01-31T12:00:00Z */
void put_user(FILE *out, uint32_t uid);   /* by name, else by number */
const char *plural(uint64_t n);           /* "s" behind the noun, "" for 1: 1 block, 2 blocks */
int close_output(int status);             /* flush stdout: status, or EXIT_FAILED if it cannot */

/* ---- view.c: a queue as stat and ls show it -----------------------------------------------------
 */

struct view {
    struct shmring_stat stat;
    struct shmring_participant *rows;
    int n;
};

int view_take(shmring_t *q, struct view *view); /* 0 or the library's error */
void view_free(struct view *view);
/* How the commands show a kind of queue. All that depends on the kind is here. */
struct kind_view {
    uint32_t number;
    const char *name;
    const char *brief;  /* the name in four letters, for tables */
    const char *unit;   /* of the capacity and of the high-water mark, in the singular */
    const char *place;  /* the name of the place where payloads are */
    bool in_messages;   /* the unit is messages, else bytes of the ring */
    bool role_rows;     /* a row for each role: its counters are the queue's */
    bool knows_holders; /* it is known what each participant holds, and dropped or redelivered */
    bool to_each;       /* each consumer gets every message: it may lag, and miss some */
    uint64_t capacity;  /* these three are the defaults: a megabyte */
    uint32_t max_message;
    uint32_t participants; /* 0: the kind has a fixed number */
};

/* Never NULL: an unknown number gives an entry whose name says so. */
const struct kind_view *kind_view(uint32_t number);

/* NULL: no kind has that name. */
const struct kind_view *kind_named(const char *name);
const char *role_name(uint32_t role);
const char *participant_state(const struct shmring_participant *row); /* alive, dead, stopped */
bool in_our_pid_namespace(uint64_t inode);                            /* of a /proc/PID/ns/pid */
void put_participant(FILE *out, const struct shmring_participant *row);
void put_participants_json(FILE *out, const struct view *view); /* an array */
void put_view_json(FILE *out, const char *name, const struct view *view);

double view_fill(const struct shmring_stat *st); /* how full the queue is, 0 to 1 */

/* mpmc: the participant that has held blocks for longest; NULL: no participant holds any. */
const struct shmring_participant *view_longest_holder(const struct view *view);

/* broadcast: the consumer with the largest lag; NULL: no consumer lags. */
const struct shmring_participant *view_furthest_behind(const struct view *view);

/* ---- find.c: segments in /dev/shm, by name, and in directories ---------------------------------
 */

/* A segment that was found, and what opening it returned. */
struct entry {
    char *name;
    int error; /* 0: view is valid; else why the segment could not be opened */
    char *reason;
    struct view view;
    struct stat file;
};

struct list {
    struct entry *entries;
    size_t n, room;
    bool quiet; /* what does not exist, or cannot be listed, becomes an entry without a message on
                   stderr */
};

/* Add the queues that the arguments name, and those in the directories (arguments with a slash);
 * without arguments those in /dev/shm. Complains, and returns the exit code. */
int find(struct list *list, char *const *arguments, int n);
bool is_directory(const char *argument); /* false: it names a queue */
#define POSIX_DIRECTORY "/dev/shm"
void list_free(struct list *list);
const char *error_name(int error); /* a word for why a segment cannot be opened */

/* ---- openmetrics.c ------------------------------------------------------------------------------
 */

void put_openmetrics(struct list *list); /* sorts it */

/* ---- wait.c: what send and recv do while they cannot go on --------------------------------------
 */

extern volatile sig_atomic_t stop_signal; /* the signal that ends this command, or 0 */

/* From now on SIGINT, SIGTERM and SIGHUP set stop_signal, and writes fail with EPIPE. */
void catch_signals(void);

/* End this process by stop_signal, so that the parent sees which signal it was. Returns if there
 * was none. */
void end_by_signal(void);

struct patience {
    bool wait_open; /* wait for the name to appear */
    bool no_wait;   /* give up at once when full or empty */
    bool limited;   /* wait no longer than timeout */
    struct timespec timeout;
};

/* The options of the commands that wait, and --help. */
#define PATIENCE_LETTERS "wt:nh"
/* clang-format off */
#define PATIENCE_OPTIONS                                                                           \
    {"wait-open", no_argument, NULL, 'w'},                                                         \
    {"timeout", required_argument, NULL, 't'},                                                     \
    {"no-wait", no_argument, NULL, 'n'},                                                           \
    {"help", no_argument, NULL, 'h'}
/* clang-format on */

/* Take an option that getopt_long() has returned: one of these, or an unknown one. Returns GO_ON,
 * or the exit code to end with. */
int patience_option(struct patience *patience, const struct command *self, int option);

/* Open NAME as patience says. Complains and returns the exit code when that fails. */
int attach(shmring_t **q, const char *name, unsigned role, const struct patience *patience);

struct waiting {
    bool started; /* since the last success; set it to false at a success */
    int64_t deadline_ns;
};

/*
 * Sleep until the queue is SHMRING_READABLE or SHMRING_WRITABLE, a tenth of a second at most.
 * Returns 0: try again; 1: the tenth is over, so make the checks that cost more; -EAGAIN: no_wait;
 * -ETIMEDOUT; -EINTR: stop_signal; or what shmring_wait() or shmring_check() says.
 */
int wait_for_event(struct waiting *waiting, shmring_t *q, unsigned event,
                   const struct patience *patience);

/* Wait until a non-blocking descriptor is ready. Returns 0 or -EINTR. */
int wait_ready(int fd, short events);

#endif
