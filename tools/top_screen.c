/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "top.h"

#ifdef HAVE_NCURSES

#include <ncurses.h>

enum { ESCAPE = 27, DELETE = 127, ALARM_PAIR = 1, ESCAPE_MS = 50 };

static bool colours;

/* NO_COLOR: https://no-color.org */
static void choose_colours(void)
{
    const char *none = getenv("NO_COLOR");
    colours = !(none && *none) && has_colors() && start_color() == OK &&
              use_default_colors() == OK && init_pair(ALARM_PAIR, COLOR_RED, -1) == OK;
}

static attr_t attributes(enum style style)
{
    switch (style) {
    case TITLE:
    case SELECTED:
        return A_REVERSE;
    case HEADING:
        return A_BOLD;
    case ALARM:
        return colours ? (attr_t)COLOR_PAIR(ALARM_PAIR) : A_BOLD;
    case PLAIN:
        break;
    }
    return A_NORMAL;
}

static void draw(const struct page *page)
{
    erase();
    for (size_t i = 0; i < page->n && (int)i < LINES; i++) {
        attrset((int)attributes(page->lines[i].style));
        mvaddnstr((int)i, 0, page->lines[i].text, COLS);
        if (page->lines[i].style == TITLE || page->lines[i].style == SELECTED)
            for (int x = (int)strlen(page->lines[i].text); x < COLS; x++)
                addch(' ');
    }
    attrset(A_NORMAL);
    refresh();
}

static void show(const struct gathering *g, struct screen_state *state)
{
    struct page page = {.n = 0};
    state->width = COLS;
    state->height = LINES;
    put_screen(&page, g, state);
    draw(&page);
    page_free(&page);
}

/* ---- Keys: each returns whether to go on ----------------------------------------------------- */

static void type_filter(struct screen_state *state, int key)
{
    size_t length = strlen(state->filter);
    if (key == ESCAPE)
        state->filter[0] = '\0';
    if (key == ESCAPE || key == '\n' || key == '\r' || key == KEY_ENTER)
        state->typing = false;
    else if ((key == KEY_BACKSPACE || key == DELETE || key == '\b') && length > 0)
        state->filter[length - 1] = '\0';
    else if (key >= ' ' && key < DELETE && length < sizeof state->filter - 1)
        memcpy(state->filter + length, (char[]){(char)key, '\0'}, 2);
}

static void select_row(const struct gathering *g, struct screen_state *state, long row)
{
    if (g->n_rows == 0)
        return;
    if (row < 0)
        row = 0;
    if (row >= (long)g->n_rows)
        row = (long)g->n_rows - 1;
    free(state->selected);
    state->selected = must(strdup(g->rows[row].entry->name));
}

static long step_of(int key)
{
    const long page = LINES > 6 ? LINES - 5 : 1, far = 1L << 30;
    switch (key) {
    case KEY_UP:
    case 'k':
        return -1;
    case KEY_DOWN:
    case 'j':
        return 1;
    case KEY_PPAGE:
        return -page;
    case KEY_NPAGE:
        return page;
    case KEY_HOME:
        return -far;
    case KEY_END:
        return far;
    default:
        return 0;
    }
}

static void on_key_in_detail(struct screen_state *state, int key)
{
    const long scroll = (long)state->scroll + step_of(key);
    state->scroll = scroll > 0 ? (size_t)scroll : 0; /* put_screen() limits it */
    if (key == ESCAPE || key == KEY_LEFT || key == KEY_BACKSPACE) {
        state->detail = false;
        state->scroll = 0;
    }
}

static void on_key_in_all(const struct gathering *g, struct screen_state *state, int key)
{
    const long selected = (long)selected_row(g, state);
    if (step_of(key) != 0)
        select_row(g, state, selected + step_of(key));
    else if (key == '/')
        state->typing = true;
    else if (key == ESCAPE)
        state->filter[0] = '\0';
    else if (sort_name(key))
        state->sort_key = key;
    else if ((key == '\n' || key == '\r' || key == KEY_ENTER || key == KEY_RIGHT) &&
             g->n_rows > 0) {
        select_row(g, state, selected);
        state->detail = true;
        state->scroll = 0;
    }
}

static bool on_key(const struct gathering *g, struct screen_state *state, int key)
{
    if (key == KEY_RESIZE)
        return true;
    if (!state->typing && key == 'q')
        return false;
    if (state->typing)
        type_filter(state, key);
    else if (state->detail)
        on_key_in_detail(state, key);
    else
        on_key_in_all(g, state, key);
    return true;
}

/* Read and act on all keys that were pressed. Returns whether to go on. */
static bool read_keys(const struct gathering *g, struct screen_state *state)
{
    for (int key; (key = getch()) != ERR;)
        if (!on_key(g, state, key))
            return false;
    /* A terminal that was closed is always ready, but read() returns no keys. */
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&input, 1, 0) <= 0 || !(input.revents & (POLLHUP | POLLERR));
}

/* ---- The loop -------------------------------------------------------------------------------- */

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void loop(struct gathering *g, struct screen_state *state, int64_t every_ms)
{
    int64_t next = now_ms();
    while (!stop_signal) {
        const int64_t left = next - now_ms();
        if (left <= 0) {
            gather(g, state->sort_key, state->filter);
            next = now_ms() + every_ms;
        } else {
            gather_again(g, state->sort_key, state->filter);
        }
        show(g, state);
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        const int64_t wait = next - now_ms();
        if (wait > 0)
            poll(&input, 1, wait > 1000000000 ? 1000000000 : (int)wait);
        if (stop_signal || !read_keys(g, state))
            break;
    }
}

int run_screen(struct gathering *g, int sort_key, const char *filter, const struct timespec *delay)
{
    const char *kind = getenv("TERM");
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return complain("top", "this is no terminal: try 'shmring top --once'");
    catch_signals();
    SCREEN *screen = newterm(NULL, stdout, stdin);
    if (!screen)
        return complain(kind ? kind : "TERM",
                        "no terminal of this kind is known: try 'shmring top --once'");
    cbreak();
    noecho();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    set_escdelay(ESCAPE_MS);
    curs_set(0);
    choose_colours();

    struct screen_state state = {.sort_key = sort_key};
    strncpy(state.filter, filter, sizeof state.filter - 1);
    loop(g, &state, (int64_t)delay->tv_sec * 1000 + delay->tv_nsec / 1000000);
    free(state.selected);

    endwin();
    delscreen(screen);
    return EXIT_OK;
}

#else

int run_screen(struct gathering *g, int sort_key, const char *filter, const struct timespec *delay)
{
    (void)g, (void)sort_key, (void)filter, (void)delay;
    return complain("top", "built without ncurses, it has no screen: try 'shmring top --once'");
}

#endif
