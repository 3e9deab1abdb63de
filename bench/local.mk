# SPDX-License-Identifier: MIT

bin_PROGRAMS += bench/shmring-bench
bench_shmring_bench_SOURCES = bench/main.c
bench_shmring_bench_LDADD = bench/libshmring-bench.la lib/libshmring.la

# The report: Perl, as far as Debian has it in "perl".
dist_bin_SCRIPTS += bench/shmring-bench-report
reportdir = $(pkgdatadir)/report
dist_report_DATA = \
	bench/report/Chart.pm \
	bench/report/Figures.pm \
	bench/report/Page.pm \
	bench/report/Rounds.pm \
	bench/report/style.css

# How fast shmring is beside its peers, against bench/goals: not in make check, figures need quiet.
EXTRA_DIST += bench/check bench/goals
.PHONY: bench-check bench-goals
bench-check: bench/shmring-bench
	@$(srcdir)/bench/check $(srcdir)/bench/goals bench/shmring-bench || test $$? = 77 -a "$$SKIPPED" != failed
bench-goals: bench/shmring-bench
	@$(srcdir)/bench/check --renew $(srcdir)/bench/goals bench/shmring-bench >bench/goals.new
	@cat bench/goals.new && mv bench/goals.new $(srcdir)/bench/goals

# The page of results, of one run: RUN is the run.json that shmring-bench-report left.
.PHONY: bench-results
bench-results:
	@test -n '$(RUN)' || { echo 'usage: make bench-results RUN=report/run.json' >&2; exit 2; }
	@$(srcdir)/bench/shmring-bench-report --results results.md.new \
		--source "$${SOURCE:-commit $$(git -C $(srcdir) describe --always --dirty)}" '$(RUN)'
	@printf '\n## Goals\n\n%s\n\n' \
		'A ratio to the best peer, more than 1 is shmring ahead; bold: the goal of bench/goals is reached.' \
		>>results.md.new
	@$(srcdir)/bench/check --table $(srcdir)/bench/goals '$(RUN)' >>results.md.new
	@mv results.md.new $(srcdir)/doc/benchmarks/results.md

# Instructions of each call, which tests/bench/instructions.sh compares.
check_PROGRAMS += bench/operations
bench_operations_SOURCES = bench/operations.c bench/kind.c bench/kind.h
bench_operations_CPPFLAGS = $(AM_CPPFLAGS)
bench_operations_LDADD = lib/libshmring.la
EXTRA_DIST += bench/count-instructions bench/instructions.counts
.PHONY: bench-instructions
bench-instructions: bench/operations
	@$(AM_TESTS_ENVIRONMENT) $(srcdir)/tests/bench/instructions.sh --renew

# All of it but main(), for the tests.
noinst_LTLIBRARIES += bench/libshmring-bench.la
bench_libshmring_bench_la_SOURCES = \
	bench/alone.c \
	bench/alone.h \
	bench/broadcast.c \
	bench/broadcast.h \
	bench/clock.h \
	bench/csv.c \
	bench/death.c \
	bench/death.h \
	bench/histogram.c \
	bench/histogram.h \
	bench/idle.c \
	bench/idle.h \
	bench/json.c \
	bench/kind.c \
	bench/kind.h \
	bench/machine.c \
	bench/machine.h \
	bench/many.c \
	bench/many.h \
	bench/measure.c \
	bench/measure.h \
	bench/options.c \
	bench/options.h \
	bench/payload.c \
	bench/payload.h \
	bench/plots.c \
	bench/plots.h \
	bench/plots_many.c \
	bench/probe.c \
	bench/process.c \
	bench/process.h \
	bench/progress.c \
	bench/progress.h \
	bench/report.c \
	bench/report.h \
	bench/results.c \
	bench/results.h \
	bench/stopped.c \
	bench/stopped.h \
	bench/table.c \
	bench/ticks.c \
	bench/ticks.h \
	bench/transport.c \
	bench/transport.h \
	bench/watch.h \
	bench/workers.c \
	bench/workers.h \
	bench/transports/all.h \
	bench/transports/broadcast_fd.c \
	bench/transports/broadcast_shmring.c \
	bench/transports/broadcast_slots.c \
	bench/transports/elements.c \
	bench/transports/elements.h \
	bench/transports/eventfd.c \
	bench/transports/fd.c \
	bench/transports/fd.h \
	bench/transports/fifo.c \
	bench/transports/mailbox.c \
	bench/transports/pipe.c \
	bench/transports/posix_mq.c \
	bench/transports/posix_shm.c \
	bench/transports/shmring.c \
	bench/transports/shmring_batch.c \
	bench/transports/shmring_ends.c \
	bench/transports/shmring_ends.h \
	bench/transports/shmring_mpmc.c \
	bench/transports/shmring_sleep.c \
	bench/transports/shmring_unfenced.c \
	bench/transports/shmring_zerocopy.c \
	bench/transports/slots.h \
	bench/transports/stream.c \
	bench/transports/sysv_msg.c \
	bench/transports/sysv_shm.c \
	bench/transports/tcp.c \
	bench/transports/udp.c \
	bench/transports/unix_dgram.c \
	bench/transports/unix_seqpacket.c \
	bench/transports/unix_stream.c

# The peers, with what their own flags ask for.
bench_libshmring_bench_la_LIBADD =
EXTRA_DIST += bench/transports/elements.hh

if HAVE_PEER_CK
noinst_LTLIBRARIES += bench/libpeer-ck.la
bench_libpeer_ck_la_SOURCES = bench/transports/ck_ring.c
bench_libpeer_ck_la_CFLAGS = $(AM_CFLAGS) $(CK_CFLAGS)
bench_libshmring_bench_la_LIBADD += bench/libpeer-ck.la
endif

# The ring alone, and what it needs itself: not all of DPDK, as DPDK_LIBS would be.
if HAVE_PEER_DPDK
noinst_LTLIBRARIES += bench/libpeer-dpdk.la
bench_libpeer_dpdk_la_SOURCES = bench/transports/rte_ring.c
bench_libpeer_dpdk_la_CFLAGS = $(AM_CFLAGS) $(DPDK_CFLAGS)
bench_libshmring_bench_la_LIBADD += bench/libpeer-dpdk.la -lrte_ring
endif

if HAVE_PEER_URCU_CDS
noinst_LTLIBRARIES += bench/libpeer-urcu.la
bench_libpeer_urcu_la_SOURCES = bench/transports/rculfqueue.c bench/transports/wfcqueue.c
bench_libpeer_urcu_la_CFLAGS = $(AM_CFLAGS) $(URCU_CDS_CFLAGS)
bench_libshmring_bench_la_LIBADD += bench/libpeer-urcu.la $(URCU_CDS_LIBS)
endif

if HAVE_PEER_QB
noinst_LTLIBRARIES += bench/libpeer-qb.la
bench_libpeer_qb_la_SOURCES = bench/transports/qb_ipc.c bench/transports/qb_ring.c
bench_libpeer_qb_la_CFLAGS = $(AM_CFLAGS) $(QB_CFLAGS)
bench_libshmring_bench_la_LIBADD += bench/libpeer-qb.la $(QB_LIBS)
endif

if HAVE_PEER_ZMQ
noinst_LTLIBRARIES += bench/libpeer-zmq.la
bench_libpeer_zmq_la_SOURCES = bench/transports/broadcast_zeromq.c bench/transports/zeromq.c
bench_libpeer_zmq_la_CFLAGS = $(AM_CFLAGS) $(ZMQ_CFLAGS)
bench_libshmring_bench_la_LIBADD += bench/libpeer-zmq.la $(ZMQ_LIBS)
endif

if HAVE_PEER_NNG
bench_libshmring_bench_la_SOURCES += bench/transports/broadcast_nng.c bench/transports/nng.c
bench_libshmring_bench_la_LIBADD += -lnng
endif

if HAVE_PEER_BOOST_INTERPROCESS
noinst_LTLIBRARIES += bench/libpeer-boost-interprocess.la
bench_libpeer_boost_interprocess_la_SOURCES = bench/transports/boost_mq.cc
bench_libshmring_bench_la_LIBADD += bench/libpeer-boost-interprocess.la -lstdc++
endif

if HAVE_PEER_ATOMIC_QUEUE
noinst_LTLIBRARIES += bench/libpeer-atomic-queue.la
bench_libpeer_atomic_queue_la_SOURCES = bench/transports/atomic_queue.cc
bench_libshmring_bench_la_LIBADD += bench/libpeer-atomic-queue.la -lstdc++ $(ATOMIC_QUEUE_LIBS)
endif

if HAVE_PEER_READERWRITERQUEUE
noinst_LTLIBRARIES += bench/libpeer-readerwriterqueue.la
bench_libpeer_readerwriterqueue_la_SOURCES = bench/transports/moodycamel_rwq.cc
bench_libshmring_bench_la_LIBADD += bench/libpeer-readerwriterqueue.la -lstdc++
endif

if HAVE_PEER_CONCURRENTQUEUE
noinst_LTLIBRARIES += bench/libpeer-concurrentqueue.la
bench_libpeer_concurrentqueue_la_SOURCES = bench/transports/moodycamel_cq.cc
bench_libshmring_bench_la_LIBADD += bench/libpeer-concurrentqueue.la -lstdc++
endif

if HAVE_PEER_BOOST_LOCKFREE
noinst_LTLIBRARIES += bench/libpeer-boost-lockfree.la
bench_libpeer_boost_lockfree_la_SOURCES = bench/transports/boost_lockfree.cc
bench_libshmring_bench_la_LIBADD += bench/libpeer-boost-lockfree.la -lstdc++ $(BOOST_LOCKFREE_LIBS)
endif

if HAVE_MUX
bench_libshmring_bench_la_SOURCES += bench/mux.c bench/mux.h
bench_shmring_bench_LDADD += mux/libshmring-mux.la
endif
