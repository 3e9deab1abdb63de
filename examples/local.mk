# SPDX-License-Identifier: MIT

examples = \
	examples/durable_file \
	examples/epoll_loop \
	examples/fork_queue \
	examples/hello \
	examples/latest_value \
	examples/market_data \
	examples/pass_fd \
	examples/system_logger \
	examples/two_counters \
	examples/work_queue
noinst_PROGRAMS += $(examples)
examples_durable_file_LDADD = lib/libshmring.la
examples_epoll_loop_LDADD = lib/libshmring.la
examples_fork_queue_LDADD = lib/libshmring.la
examples_hello_LDADD = lib/libshmring.la
examples_latest_value_LDADD = lib/libshmring.la
examples_market_data_LDADD = lib/libshmring.la
examples_pass_fd_LDADD = lib/libshmring.la
examples_system_logger_LDADD = lib/libshmring.la
examples_two_counters_LDADD = lib/libshmring.la
examples_work_queue_LDADD = lib/libshmring.la

if HAVE_LIBUV
noinst_PROGRAMS += examples/uv_loop
endif
examples_uv_loop_CFLAGS = $(AM_CFLAGS) $(LIBUV_CFLAGS)
examples_uv_loop_LDADD = lib/libshmring.la $(LIBUV_LIBS)

if HAVE_LIBURING
noinst_PROGRAMS += examples/io_uring_wait
endif
examples_io_uring_wait_CFLAGS = $(AM_CFLAGS) $(LIBURING_CFLAGS)
examples_io_uring_wait_LDADD = lib/libshmring.la $(LIBURING_LIBS)

EXTRA_DIST += examples/README.md examples/bridge_two_machines examples/trace.bt examples/words.py

if HAVE_MUX
noinst_PROGRAMS += examples/many_feeds examples/router
endif
examples_many_feeds_LDADD = mux/libshmring-mux.la lib/libshmring.la
examples_router_LDADD = mux/libshmring-mux.la lib/libshmring.la
