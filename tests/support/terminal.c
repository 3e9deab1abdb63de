/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "terminal.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utmp.h> /* login_tty() */

#include "program.h"

static void clear_cells(struct terminal *t, int row, int from, int to)
{
    for (int c = from; c < to && c < TERMINAL_COLUMNS; c++)
        t->cells[row][c] = ' ';
}

static void clear_rows(struct terminal *t, int from, int to)
{
    for (int r = from; r < to && r < TERMINAL_ROWS; r++)
        clear_cells(t, r, 0, TERMINAL_COLUMNS);
}

void terminal_start(struct terminal *t, const char *kind, int rows, int columns,
                    const char *const argv[])
{
    const char *builddir = getenv("builddir");
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
    char path[4096];
    int master;
    pid_t parent = getpid();

    memset(t, 0, sizeof *t);
    t->rows = rows;
    t->columns = columns;
    clear_rows(t, 0, TERMINAL_ROWS);
    snprintf(path, sizeof path, "%s/%s", builddir ? builddir : ".", argv[0]);
    /* Fails in a container without /dev/pts. */
    if (openpty(&master, &t->slave, NULL, NULL, &size) < 0)
        cr_skip_test("no pseudo-terminal: %s", strerror(errno));
    cr_assert(tcgetattr(t->slave, &t->before) == 0);
    t->fd = master;
    t->pid = fork();
    cr_assert(t->pid >= 0);
    if (t->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(127);
        close(master);
        signal(SIGPIPE, SIG_DFL);
        unsetenv("LINES");
        unsetenv("COLUMNS");
        setenv("TERM", kind, 1);
        if (login_tty(t->slave) == 0)
            execv(path, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
}

/* The number at p, or `usual` if the sequence leaves it out. */
static int parameter(const char *p, int usual)
{
    int n = atoi(p);
    return n > 0 ? n : usual;
}

/* Act on a whole sequence: ESC [ ... letter. */
static void control(struct terminal *t)
{
    const char *p = t->sequence + 2;
    const char *second = strchr(p, ';');
    switch (t->sequence[t->in_sequence - 1]) {
    case 'H':
        t->row = parameter(p, 1) - 1;
        t->column = second ? parameter(second + 1, 1) - 1 : 0;
        break;
    case 'A':
        t->row -= parameter(p, 1);
        break;
    case 'B':
        t->row += parameter(p, 1);
        break;
    case 'C':
        t->column += parameter(p, 1);
        break;
    case 'D':
        t->column -= parameter(p, 1);
        break;
    case 'd':
        t->row = parameter(p, 1) - 1;
        break;
    case 'G':
        t->column = parameter(p, 1) - 1;
        break;
    case 'X':
        clear_cells(t, t->row, t->column, t->column + parameter(p, 1));
        break;
    case 'J':
        clear_cells(t, t->row, t->column, TERMINAL_COLUMNS);
        clear_rows(t, t->row + 1, TERMINAL_ROWS);
        break;
    case 'K':
        if (*p == '1')
            clear_cells(t, t->row, 0, t->column + 1);
        else
            clear_cells(t, t->row, t->column, TERMINAL_COLUMNS);
        break;
    case 'm':
        while (p && *p != 'm') {
            int n = atoi(p);
            t->colours |= (n >= 30 && n < 50 && n != 39 && n != 49);
            p = strchr(p, ';');
            p = p ? p + 1 : NULL;
        }
        break;
    case 'h':
    case 'l':
    case 'c':
    case 'r': /* modes, the cursor's shape, and a scrolling region of the whole screen */
        break;
    default:
        cr_assert_fail("the terminal does not know ESC%s", t->sequence + 1);
    }
    if (t->row < 0 || t->row >= t->rows)
        t->row = t->row < 0 ? 0 : t->rows - 1;
    if (t->column < 0 || t->column >= t->columns)
        t->column = t->column < 0 ? 0 : t->columns - 1;
}

static void eat(struct terminal *t, char c)
{
    if (t->in_sequence > 0) {
        cr_assert(t->in_sequence < sizeof t->sequence - 1);
        t->sequence[t->in_sequence++] = c;
        t->sequence[t->in_sequence] = '\0';
        if (t->sequence[1] == '[' ? t->in_sequence > 2 && c >= '@' && c <= '~'
                                  : !strchr("()", t->sequence[1]) || t->in_sequence == 3) {
            if (t->sequence[1] == '[')
                control(t);
            t->in_sequence = 0;
        }
        return;
    }
    if (c == '\033') {
        t->sequence[t->in_sequence++] = c;
    } else if (c == '\r') {
        t->column = 0;
    } else if (c == '\n') {
        t->row += t->row < t->rows - 1;
    } else if (c == '\b') {
        t->column -= t->column > 0;
    } else if (c >= ' ' && c <= '~') { /* ignore the other bytes: padding, character sets */
        if (t->column < t->columns)    /* else the cursor waits at the margin */
            t->cells[t->row][t->column++] = c;
    }
}

/* Read what the program has written, or writes within a moment. */
static void listen_a_little(struct terminal *t)
{
    char bytes[4096];
    struct pollfd pollfd = {.fd = t->fd, .events = POLLIN};
    if (poll(&pollfd, 1, 20) <= 0)
        return;
    ssize_t n = read(t->fd, bytes, sizeof bytes);
    for (ssize_t i = 0; i < n; i++)
        eat(t, bytes[i]);
}

void terminal_type(struct terminal *t, const char *keys)
{
    cr_assert(write(t->fd, keys, strlen(keys)) == (ssize_t)strlen(keys));
}

void terminal_resize(struct terminal *t, int rows, int columns)
{
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
    t->rows = rows;
    t->columns = columns;
    cr_assert(ioctl(t->fd, TIOCSWINSZ, &size) == 0);
}

static bool is_there(const struct terminal *t, const char *text)
{
    for (int r = 0; r < t->rows; r++)
        if (strstr(t->cells[r], text))
            return true;
    return false;
}

static void await(struct terminal *t, const char *text, bool wanted)
{
    struct deadline deadline = {0};
    while (is_there(t, text) != wanted) {
        listen_a_little(t);
        pause_until(&deadline, text);
    }
}

void terminal_await(struct terminal *t, const char *text)
{
    await(t, text, true);
}

void terminal_await_gone(struct terminal *t, const char *text)
{
    await(t, text, false);
}

void terminal_await_line(struct terminal *t, int row, const char *start)
{
    struct deadline deadline = {0};
    while (strncmp(t->cells[row], start, strlen(start)) != 0) {
        listen_a_little(t);
        pause_until(&deadline, start);
    }
}

int terminal_finish(struct terminal *t)
{
    struct deadline deadline = {0};
    int status;
    while (waitpid(t->pid, &status, WNOHANG) == 0) {
        listen_a_little(t); /* read on, so that the program can write its last output */
        pause_until(&deadline, "the program to leave the terminal");
    }
    for (struct pollfd p = {.fd = t->fd, .events = POLLIN}; poll(&p, 1, 0) > 0;)
        listen_a_little(t);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

bool terminal_is_restored(const struct terminal *t)
{
    struct termios now;
    cr_assert(tcgetattr(t->slave, &now) == 0);
    return now.c_iflag == t->before.c_iflag && now.c_oflag == t->before.c_oflag &&
           now.c_lflag == t->before.c_lflag && now.c_cflag == t->before.c_cflag;
}

void terminal_close(struct terminal *t)
{
    close(t->slave);
    close(t->fd);
}
