/* SPDX-License-Identifier: MIT */
/* The part of tests/wait/event_loops.c that uses libev: libev's header and libevent's define the
 * same names. */
#include <config.h>

#ifdef HAVE_LIBEV
#include <criterion/criterion.h>
#include <ev.h>

#include "event_loop.h"

static void on_ev(struct ev_loop *loop, ev_io *io, int events)
{
    cr_assert_eq(events, EV_READ);
    if (receive_numbers())
        ev_io_stop(loop, io);
}

void run_ev(int fd)
{
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    ev_io io;

    ev_io_init(&io, on_ev, fd, EV_READ);
    ev_io_start(loop, &io);
    ev_run(loop, 0);
    ev_loop_destroy(loop);
}
#endif
