# SPDX-License-Identifier: MIT
#
# One Criterion program a suite. To add tests/test_NAME.c:
#
#   suites += tests/test_NAME
#   tests_test_NAME_LDADD = $(test_libs)
#
# $(test_libs) is the shared library, for tests of the public interface; $(core_test_libs) has the
# internals (shmr_*) instead. Both have what tests/support.h offers. Suites worth running under
# ThreadSanitizer are in thread_suites too, those worth running under valgrind in memcheck_suites.
# Not worth it, for the time they take there: hundreds of processes that live for a millisecond
# (test_races, test_spsc_crash), the programs, which valgrind would follow through libtool's shell
# scripts, and a second look at the operations (test_spsc_steps, test_mpmc_threads). test_fastpath
# cannot: valgrind makes system calls of its own; nor can those of the mux: it does not know
# futex_waitv (valgrind 3.19).
#
# A test that is a script, tests/NAME.sh, goes into script_tests; it finds the trees in $srcdir and
# $builddir, and exits with 77 to say that it cannot run here.

test_libs = tests/libsupport.la lib/libshmring.la $(test_harness)
core_test_libs = tests/libsupport.la lib/libshmring-core.la $(test_harness)
suites =
thread_suites =
memcheck_suites =
script_tests =

tests_libsupport_la_SOURCES = \
	tests/messages.c tests/messages.h \
	tests/support.c tests/support.h
if COVERAGE
tests_libsupport_la_SOURCES += tests/coverage.c
endif

# The segment layer, opening and membership.
suites += tests/test_name tests/test_layout tests/test_segment tests/test_file_systems \
	tests/test_mounts tests/test_in_place tests/test_open tests/test_open_wait tests/test_races \
	tests/test_participants tests/test_fork tests/test_bad_input tests/test_limits
thread_suites += tests/test_fork
memcheck_suites += tests/test_name tests/test_layout tests/test_segment tests/test_file_systems \
	tests/test_in_place tests/test_open tests/test_open_wait tests/test_participants \
	tests/test_fork tests/test_bad_input tests/test_limits
tests_test_name_LDADD = $(core_test_libs)
tests_test_layout_SOURCES = tests/test_layout.c tests/crc32c.h
tests_test_layout_LDADD = $(core_test_libs)
tests_test_segment_LDADD = $(core_test_libs)
tests_test_file_systems_LDADD = $(test_libs)
tests_test_mounts_LDADD = $(test_libs)
tests_test_in_place_SOURCES = tests/test_in_place.c tests/in_place.c tests/in_place.h
tests_test_in_place_LDADD = $(core_test_libs)
tests_test_open_LDADD = $(test_libs)
tests_test_open_wait_LDADD = $(test_libs)
tests_test_races_SOURCES = tests/test_races.c tests/in_place.c tests/in_place.h
tests_test_races_LDADD = $(core_test_libs)
tests_test_participants_LDADD = $(test_libs)
tests_test_fork_LDADD = $(test_libs)
tests_test_bad_input_LDADD = $(test_libs)
tests_test_limits_LDADD = $(test_libs)

# The spsc queue: through the public interface, and the algorithm in lib/spsc/ring.h.
suites += tests/test_spsc
memcheck_suites += tests/test_spsc
tests_test_spsc_LDADD = $(test_libs)

suites += tests/test_back_off
tests_test_back_off_LDADD = $(test_libs)

suites += tests/test_spsc_damage
memcheck_suites += tests/test_spsc_damage
tests_test_spsc_damage_SOURCES = tests/test_spsc_damage.c tests/spsc_pages.h
tests_test_spsc_damage_LDADD = $(core_test_libs)

suites += tests/test_spsc_wrap
memcheck_suites += tests/test_spsc_wrap
tests_test_spsc_wrap_SOURCES = tests/test_spsc_wrap.c tests/spsc_pages.h
tests_test_spsc_wrap_LDADD = $(core_test_libs)

suites += tests/test_spsc_stat
memcheck_suites += tests/test_spsc_stat
tests_test_spsc_stat_SOURCES = tests/test_spsc_stat.c tests/spsc_pages.h
tests_test_spsc_stat_LDADD = $(core_test_libs)

suites += tests/test_spsc_model
memcheck_suites += tests/test_spsc_model
tests_test_spsc_model_LDADD = $(test_libs)

suites += tests/test_spsc_threads
thread_suites += tests/test_spsc_threads
memcheck_suites += tests/test_spsc_threads
tests_test_spsc_threads_LDADD = $(core_test_libs)

suites += tests/test_fastpath
tests_test_fastpath_LDADD = $(test_libs)

suites += tests/test_spsc_crash
tests_test_spsc_crash_LDADD = $(test_libs)

suites += tests/test_spsc_steps
tests_test_spsc_steps_SOURCES = tests/test_spsc_steps.c tests/spsc_ring.h
tests_test_spsc_steps_LDADD = $(test_libs)

# The mpmc queue: likewise.
suites += tests/test_mpmc tests/test_mpmc_handles
memcheck_suites += tests/test_mpmc tests/test_mpmc_handles
tests_test_mpmc_SOURCES = tests/test_mpmc.c tests/mpmc_pair.h
tests_test_mpmc_LDADD = $(test_libs)
tests_test_mpmc_handles_SOURCES = tests/test_mpmc_handles.c tests/mpmc_pair.h
tests_test_mpmc_handles_LDADD = $(test_libs)

suites += tests/test_mpmc_steps
memcheck_suites += tests/test_mpmc_steps
tests_test_mpmc_steps_SOURCES = tests/test_mpmc_steps.c tests/mpmc_pages.h
tests_test_mpmc_steps_LDADD = $(core_test_libs)

suites += tests/test_mpmc_damage
memcheck_suites += tests/test_mpmc_damage
tests_test_mpmc_damage_SOURCES = tests/test_mpmc_damage.c tests/mpmc_pages.h
tests_test_mpmc_damage_LDADD = $(core_test_libs)

suites += tests/test_counters
memcheck_suites += tests/test_counters
tests_test_counters_SOURCES = tests/test_counters.c tests/mpmc_pages.h
tests_test_counters_LDADD = $(core_test_libs)

suites += tests/test_mpmc_threads
thread_suites += tests/test_mpmc_threads
tests_test_mpmc_threads_LDADD = $(core_test_libs)

# Includes files of lib/, and comes before their copies in the library.
suites += tests/test_budget
memcheck_suites += tests/test_budget
tests_test_budget_SOURCES = \
	tests/test_budget.c tests/turns.h tests/mpmc_pages.h tests/fuzz/around.c tests/fuzz/fuzz.h
tests_test_budget_LDADD = $(core_test_libs)
tests_test_budget_LDFLAGS = $(fuzz_ldflags)

suites += tests/test_recovery_lock
tests_test_recovery_lock_SOURCES = tests/test_recovery_lock.c tests/mpmc_pages.h
tests_test_recovery_lock_LDADD = $(core_test_libs)

# The process that the library is in.
suites += tests/test_process
tests_test_process_LDADD = $(core_test_libs)

suites += tests/test_alive
tests_test_alive_SOURCES = tests/test_alive.c tests/mpmc_pages.h
tests_test_alive_LDADD = $(core_test_libs)
tests_test_alive_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=dup3,--wrap=fcntl,--wrap=fcntl64,--wrap=nanosleep,--wrap=open,--wrap=open64

suites += tests/test_containers tests/test_sigbus tests/test_scribble
tests_test_containers_LDADD = $(test_libs)
tests_test_scribble_SOURCES = tests/test_scribble.c tests/fuzz/around.c tests/fuzz/fuzz.h
tests_test_scribble_LDADD = $(core_test_libs)
tests_test_scribble_LDFLAGS = $(fuzz_ldflags)
tests_test_sigbus_LDADD = $(core_test_libs)

# Whatever lib/ calls that can fail, replaced: see tests/faults.h.
faults_ldflags = $(AM_LDFLAGS) \
	-Wl,--wrap=__asprintf_chk,--wrap=__open_2 \
	-Wl,--wrap=access,--wrap=asprintf,--wrap=calloc,--wrap=chmod,--wrap=close,--wrap=dup3 \
	-Wl,--wrap=epoll_create1 \
	-Wl,--wrap=epoll_ctl,--wrap=fallocate,--wrap=fchmod,--wrap=fchown,--wrap=fcntl,--wrap=fgets \
	-Wl,--wrap=flock,--wrap=ioctl,--wrap=lseek,--wrap=uname \
	-Wl,--wrap=fopen,--wrap=fstat,--wrap=fstatfs,--wrap=fstatvfs,--wrap=getcwd \
	-Wl,--wrap=getrlimit,--wrap=inotify_add_watch,--wrap=inotify_init1,--wrap=link \
	-Wl,--wrap=linkat,--wrap=lstat,--wrap=madvise,--wrap=malloc,--wrap=memfd_create \
	-Wl,--wrap=mkfifo,--wrap=mlock,--wrap=mmap,--wrap=open,--wrap=openat \
	-Wl,--wrap=posix_memalign,--wrap=ppoll,--wrap=pread \
	-Wl,--wrap=pwrite,--wrap=read,--wrap=readlink,--wrap=stat,--wrap=statfs,--wrap=syscall \
	-Wl,--wrap=timerfd_create,--wrap=timerfd_settime,--wrap=unlink,--wrap=unlinkat,--wrap=write \
	-Wl,--wrap=__open64_2,--wrap=fcntl64,--wrap=fopen64,--wrap=fstat64,--wrap=fstatfs64 \
	-Wl,--wrap=fstatvfs64,--wrap=getrlimit64,--wrap=lstat64,--wrap=mmap64,--wrap=open64 \
	-Wl,--wrap=openat64,--wrap=fallocate64,--wrap=lseek64,--wrap=pread64,--wrap=pwrite64,--wrap=stat64 \
	-Wl,--wrap=statfs64 \
	-Wl,--wrap=__fcntl_time64,--wrap=__fstat64_time64,--wrap=__lstat64_time64,--wrap=__ppoll64 \
	-Wl,--wrap=__stat64_time64,--wrap=__timerfd_settime64
suites += tests/test_faults
tests_test_faults_SOURCES = tests/test_faults.c tests/faults.c tests/faults.h
tests_test_faults_LDADD = $(core_test_libs)
tests_test_faults_LDFLAGS = $(faults_ldflags)

# And what no signal handler may call: tests/signal_safe.sh checks the list.
suites += tests/test_signal_safe
tests_test_signal_safe_SOURCES = tests/test_signal_safe.c tests/faults.c tests/faults.h
tests_test_signal_safe_LDADD = $(core_test_libs)
tests_test_signal_safe_LDFLAGS = $(faults_ldflags) \
	-Wl,--wrap=__isoc23_fscanf,--wrap=__isoc23_sscanf,--wrap=__isoc99_fscanf \
	-Wl,--wrap=__isoc23_strtoull,--wrap=__isoc99_sscanf,--wrap=__snprintf_chk \
	-Wl,--wrap=__vsnprintf_chk,--wrap=fclose,--wrap=free,--wrap=pthread_atfork \
	-Wl,--wrap=pthread_key_create,--wrap=pthread_mutex_lock \
	-Wl,--wrap=pthread_mutex_trylock,--wrap=pthread_mutex_unlock,--wrap=pthread_once \
	-Wl,--wrap=pthread_setspecific,--wrap=snprintf,--wrap=strerror,--wrap=strtoull \
	-Wl,--wrap=vsnprintf

suites += tests/test_mpmc_deaths tests/test_mpmc_processes
memcheck_suites += tests/test_mpmc_deaths tests/test_mpmc_processes
tests_test_mpmc_deaths_LDADD = $(test_libs)
tests_test_mpmc_processes_LDADD = $(test_libs)
suites += tests/test_streams
tests_test_streams_LDADD = $(test_libs)

suites += tests/test_wait tests/test_wait_peers
memcheck_suites += tests/test_wait tests/test_wait_peers
tests_test_wait_SOURCES = \
	tests/test_wait.c tests/settled.h tests/waiting.c tests/waiting.h
tests_test_wait_LDADD = $(test_libs)
tests_test_wait_peers_SOURCES = \
	tests/test_wait_peers.c tests/settled.h tests/waiting.c tests/waiting.h
tests_test_wait_peers_LDADD = $(test_libs)

suites += tests/test_wait_fence tests/test_wait_herd tests/test_wait_storm
tests_test_wait_herd_SOURCES = tests/test_wait_herd.c tests/settled.h
tests_test_wait_herd_LDADD = $(core_test_libs)
tests_test_wait_herd_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=syscall
tests_test_wait_fence_SOURCES = tests/test_wait_fence.c tests/settled.h
tests_test_wait_fence_LDADD = $(core_test_libs)
tests_test_wait_storm_LDADD = $(test_libs)

suites += tests/test_system_calls
tests_test_system_calls_SOURCES = tests/test_system_calls.c tests/filter.h
tests_test_system_calls_LDADD = $(test_libs)
suites += tests/test_first_sleep
tests_test_first_sleep_LDADD = $(test_harness)
suites += tests/test_refused tests/test_fake_clock
tests_test_fake_clock_LDADD = $(test_libs)
tests_test_refused_SOURCES = tests/test_refused.c tests/refused.c tests/refused.h
tests_test_refused_LDADD = $(test_libs)

suites += tests/test_fd tests/test_notifier
memcheck_suites += tests/test_fd tests/test_notifier
tests_test_fd_SOURCES = tests/test_fd.c tests/settled.h
tests_test_fd_LDADD = $(core_test_libs)
tests_test_notifier_LDADD = $(core_test_libs)

if HAVE_MUX
suites += tests/test_mux tests/test_mux_many tests/test_mux_refused tests/test_mux_threads
thread_suites += tests/test_mux_threads
endif
mux_test_libs = mux/libshmring-mux.la $(test_libs)
tests_test_mux_SOURCES = tests/test_mux.c tests/muxed.c tests/muxed.h
tests_test_mux_LDADD = $(mux_test_libs) $(URCU_LIBS)
tests_test_mux_many_SOURCES = \
	tests/test_mux_many.c tests/muxed.c tests/muxed.h tests/settled.h
tests_test_mux_many_LDADD = $(mux_test_libs)
tests_test_mux_refused_SOURCES = \
	tests/test_mux_refused.c tests/muxed.c tests/muxed.h tests/refused.c tests/refused.h
tests_test_mux_refused_LDADD = $(mux_test_libs)
tests_test_mux_threads_LDADD = $(mux_test_libs)

suites += tests/test_event_loops
tests_test_event_loops_SOURCES = \
	tests/test_event_loops.c tests/event_loop_ev.c tests/event_loop.h
tests_test_event_loops_CFLAGS = $(AM_CFLAGS) $(LIBUV_CFLAGS) $(LIBEVENT_CFLAGS)
tests_test_event_loops_LDADD = $(test_libs) $(LIBUV_LIBS) $(LIBEVENT_LIBS) $(LIBEV_LIBS)

suites += tests/test_dump
memcheck_suites += tests/test_dump
tests_test_dump_SOURCES = tests/test_dump.c tests/spsc_pages.h
tests_test_dump_LDADD = $(core_test_libs)

if CHECKS
suites += tests/test_checks
endif
tests_test_checks_LDADD = $(test_libs)

suites += tests/test_golden
memcheck_suites += tests/test_golden
tests_test_golden_SOURCES = tests/test_golden.c tests/abi/numbered.h
tests_test_golden_LDADD = $(test_libs)

suites += tests/test_layout_document
memcheck_suites += tests/test_layout_document
tests_test_layout_document_SOURCES = tests/test_layout_document.c tests/crc32c.h
tests_test_layout_document_LDADD = $(test_libs)

suites += tests/test_version
thread_suites += tests/test_version
memcheck_suites += tests/test_version
tests_test_version_LDADD = $(test_libs)

suites += tests/test_bench
tests_test_bench_SOURCES = tests/test_bench.c tests/json_check.h
tests_test_bench_LDADD = $(test_libs)

suites += tests/test_bench_parts
tests_test_bench_parts_LDADD = bench/libshmring-bench.la $(test_libs)

# The programs: the command and the examples, run as processes.
program_tests = \
	tests/json_check.h tests/program.c tests/program.h tests/tool.c tests/tool.h
suites += tests/test_examples tests/test_send_recv tests/test_tools tests/test_tools_dump_gc \
	tests/test_tools_figures tests/test_tools_mpmc tests/test_tools_openmetrics tests/test_tools_top \
	tests/test_tools_waiting
tests_test_examples_SOURCES = tests/test_examples.c $(program_tests)
tests_test_examples_LDADD = $(test_libs)
tests_test_send_recv_SOURCES = tests/test_send_recv.c $(program_tests)
tests_test_send_recv_LDADD = $(test_libs)
tests_test_tools_SOURCES = tests/test_tools.c $(program_tests)
tests_test_tools_LDADD = $(test_libs)
tests_test_tools_dump_gc_SOURCES = tests/test_tools_dump_gc.c $(program_tests)
tests_test_tools_dump_gc_LDADD = $(test_libs)
tests_test_tools_figures_SOURCES = tests/test_tools_figures.c $(program_tests)
tests_test_tools_figures_LDADD = $(test_libs)
tests_test_tools_mpmc_SOURCES = tests/test_tools_mpmc.c $(program_tests)
tests_test_tools_mpmc_LDADD = $(test_libs)
tests_test_tools_openmetrics_SOURCES = \
	tests/test_tools_openmetrics.c tests/openmetrics_check.h $(program_tests)
tests_test_tools_openmetrics_LDADD = $(test_libs)
tests_test_tools_top_SOURCES = \
	tests/test_tools_top.c tests/terminal.c tests/terminal.h $(program_tests)
tests_test_tools_top_LDADD = $(test_libs)
tests_test_tools_waiting_SOURCES = tests/test_tools_waiting.c $(program_tests)
tests_test_tools_waiting_LDADD = $(test_libs)

# The bridge, with a nats-server of its own where there is one.
if HAVE_BRIDGE
suites += tests/test_bridge tests/test_bridge_program tests/test_bridge_kills
endif
bridged = tests/bridged.c tests/bridged.h tests/nats.c tests/nats.h $(program_tests)
tests_test_bridge_SOURCES = tests/test_bridge.c tests/tap.c tests/tap.h $(bridged)
tests_test_bridge_LDADD = $(test_libs)
tests_test_bridge_program_SOURCES = tests/test_bridge_program.c $(bridged)
tests_test_bridge_program_LDADD = $(test_libs)
tests_test_bridge_kills_SOURCES = tests/test_bridge_kills.c tests/nats.c tests/nats.h $(program_tests)
tests_test_bridge_kills_LDADD = $(test_libs)

EXTRA_DIST += tests/leaks.supp

# Bridges, servers and ends killed at random, 100 times in each test: a million messages there and back.
BRIDGE_KILLS = 100
.PHONY: check-bridge
check-bridge: tests/test_bridge_kills bridge/shmring-bridge tools/shmring
	builddir=. srcdir='$(srcdir)' SHMRING_TEST_KILLS=$(BRIDGE_KILLS) tests/test_bridge_kills --jobs 1 --verbose=1

tracing_program = tests/tracing
tests_tracing_LDADD = lib/libshmring-core.la

script_tests += \
	tests/abi.sh \
	tests/bench_check.sh \
	tests/bridge_unit.sh \
	tests/completion.sh \
	tests/configure.sh \
	tests/consumers.sh \
	tests/cxx.sh \
	tests/drivers.sh \
	tests/exports.sh \
	tests/headers.sh \
	tests/instructions.sh \
	tests/locale.sh \
	tests/man.sh \
	tests/packaging.sh \
	tests/python.sh \
	tests/readme.sh \
	tests/report.sh \
	tests/reuse.sh \
	tests/signal_safe.sh \
	tests/shape.sh \
	tests/spelling.sh \
	tests/style.sh \
	tests/tracing.sh
EXTRA_DIST += tests/consumers tests/cxx.cpp tests/cxx_expect.hpp tests/cxx_mux.cpp

TEST_EXTENSIONS = .sh

# Numbers and words are compared: in the C locale, whatever the user's is.
AM_TESTS_ENVIRONMENT = srcdir='$(srcdir)' builddir='$(builddir)' CC='$(CC)' \
	CFLAGS='$(AM_CFLAGS) $(CFLAGS)' LC_ALL=C; export srcdir builddir CC CFLAGS LC_ALL;
LOG_COMPILER = $(srcdir)/tests/run-beside $(srcdir)/tests/run-checked
SH_LOG_COMPILER = $(srcdir)/tests/run-beside
CLEANFILES += tests/running
dist_check_SCRIPTS += $(script_tests)
EXTRA_DIST += tests/prove tests/run-beside tests/run-checked tests/summarise tests/installed.sh \
	tests/stand-in/criterion/criterion.h

# All that the tests need, and nothing run.
.PHONY: check-programs
check-programs:
	$(MAKE) $(AM_MAKEFLAGS) check TESTS=

# The tests, and last one line in Criterion's own form that adds up all suites.
.PHONY: check-summary
check-summary:
	@status=0; $(MAKE) $(AM_MAKEFLAGS) check VERBOSE=1 || status=$$?; \
	$(srcdir)/tests/summarise $(TEST_LOGS) && exit $$status

# File systems of all sorts, as root: the table in doc/design.md, by name.
.PHONY: check-mounts
check-mounts: tests/test_mounts
	rm -f tests/mounts.table
	SHMRING_TEST_TABLE=tests/mounts.table tests/test_mounts --jobs 1 --verbose=1
	@LC_ALL=C sort tests/mounts.table
CLEANFILES += tests/mounts.table

# What was installed, as its users use it.
installcheck-local:
	srcdir='$(srcdir)' CC='$(CC)' CFLAGS='$(AM_CFLAGS) $(CFLAGS)' PKG_CONFIG='$(PKG_CONFIG)' \
	PKG_CONFIG_SYSROOT_DIR='$(DESTDIR)' PKG_CONFIG_PATH='$(DESTDIR)$(pkgconfigdir)' \
	LD_LIBRARY_PATH='$(DESTDIR)$(libdir)' $(srcdir)/tests/installed.sh

# Participants killed and stopped at random: SOAK_KILLS times in each of four tests, and while
# SOAK_MESSAGES go through an spsc queue and a tenth of it through an mpmc queue; again until
# SOAK_SECONDS have passed. Two processors that had much else to do managed 75 kills a second.
SOAK_KILLS = 50000
SOAK_MESSAGES = 10000000000
SOAK_SECONDS = 0
soak_tests = tests/test_streams tests/test_mpmc_processes tests/test_spsc_crash
.PHONY: soak
soak: $(soak_tests)
	@SHMRING_TEST_KILLS=$(SOAK_KILLS); export SHMRING_TEST_KILLS; \
	SHMRING_TEST_MESSAGES=$(SOAK_MESSAGES); export SHMRING_TEST_MESSAGES; \
	end=$$(($$(date +%s) + $(SOAK_SECONDS))); \
	while :; do \
		for program in $(soak_tests); do $$program --verbose=1 || exit 1; done; \
		test $$(date +%s) -lt $$end || exit 0; \
	done

# Words written over live queues: `make scribble WRITES=N`, N of them for each kind.
WRITES = 1000000000
.PHONY: scribble
scribble: tests/test_scribble
	@SHMRING_TEST_WRITES=$(WRITES) tests/test_scribble --verbose=1

# Memory taken away from those at work: `make soak-sigbus RACES=N`.
RACES = 10000
.PHONY: soak-sigbus
soak-sigbus: tests/test_sigbus
	@SHMRING_TEST_RACES=$(RACES) tests/test_sigbus --verbose=1 --filter 'sigbus/races'

# Wake-ups, hunted for long: `make soak-waits ROUNDS=N`.
ROUNDS = 1000000
wait_tests = tests/test_wait_fence tests/test_wait_storm
.PHONY: soak-waits
soak-waits: $(wait_tests)
	@SHMRING_TEST_ROUNDS=$(ROUNDS); export SHMRING_TEST_ROUNDS; \
	for program in $(wait_tests); do $$program --verbose=1 || exit 1; done

# The interface that tests/abi.sh compares with: doc/abi.md.
EXTRA_DIST += abi
.PHONY: abi-renew
abi-renew: $(lib_LTLIBRARIES)
	@$(AM_TESTS_ENVIRONMENT) $(srcdir)/abi/watch renew

# The algorithms under GenMC, if it is there: tests/model/README.md.
.PHONY: model
model:
	@$(srcdir)/tests/model/run $(MODEL_FLAGS) || test $$? = 77 -a "$$SKIPPED" != failed
EXTRA_DIST += tests/model

# The library broken on purpose, to see who notices: tests/mutants/README.md.
.PHONY: mutants
mutants:
	@$(srcdir)/tests/mutants/run $(MUTANTS)
EXTRA_DIST += tests/mutants

# All suites where the kernel refuses what the library can do without: see doc/system-calls.md. Not
# those that count or measure, which say what it is like where nothing is refused.
refusing_program = tests/refusing
tests_refusing_SOURCES = tests/refusing.c tests/filter.h
.PHONY: check-refusing
check-refusing: tests/refusing
	@for error in EPERM ENOSYS; do \
		$(MAKE) $(AM_MAKEFLAGS) check-summary TESTS='$(suites)' \
			LOG_FLAGS="tests/refusing $$error" || exit 1; \
	done

# The tests under valgrind. Any report of a test's own process fails; its forked children, many of
# which end by a signal or without cleaning up on purpose, fail by their exit code.
.PHONY: check-memcheck memcheck-programs
memcheck-programs: $(memcheck_suites)
check-memcheck: memcheck-programs
	@$(MAKE) $(AM_MAKEFLAGS) check-summary TESTS='$(memcheck_suites)' check_PROGRAMS= \
		LOG_FLAGS="$(LIBTOOL) --mode=execute valgrind --quiet --log-file=%q{REPORTS}/%p \
			--trace-children=yes --child-silent-after-fork=yes --error-exitcode=99 \
			--leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=none"

# Which lines and branches of lib/ the tests reach, also of what they include. Statically linked, so that tests/coverage.c has the
# library's counts too; not optimized, so that a branch in the source is one in the program.
coverage_suites = $(memcheck_suites) tests/test_faults tests/test_recovery_lock tests/test_sigbus
coverage_flags = --root '$(srcdir)' --filter '$(srcdir)/lib/' --exclude-throw-branches lib tests
.PHONY: coverage
coverage:
	@case '$(CFLAGS)' in (*--coverage*) ;; (*) \
		echo "configure with CFLAGS='-O0 --coverage' --disable-shared first" >&2; exit 1;; esac
	find . -name '*.gcda' -delete
	$(MAKE) $(AM_MAKEFLAGS) check-summary TESTS='$(coverage_suites)'
	gcovr $(coverage_flags)
	gcovr --branches $(coverage_flags)

if STAND_IN
# Criterion itself cannot start under ThreadSanitizer, and musl has none: see
# tests/stand-in/criterion/criterion.h.
AM_CPPFLAGS += -I$(srcdir)/tests/stand-in
check_LTLIBRARIES += tests/libsupport.la tests/stand-in/libharness.la
tests_stand_in_libharness_la_SOURCES = tests/stand-in/main.c
test_harness = tests/stand-in/libharness.la
check_PROGRAMS += $(thread_suites)
TESTS += $(thread_suites)
else
if HAVE_CRITERION
AM_CPPFLAGS += $(CRITERION_CFLAGS)
test_harness = $(CRITERION_LIBS)
check_LTLIBRARIES += tests/libsupport.la
check_PROGRAMS += $(suites) $(tracing_program) $(refusing_program)
TESTS += $(suites) $(script_tests)
else
check-local:
	@echo 'make check needs Criterion (Debian: apt-get install libcriterion-dev);' \
		'install it and run configure again' >&2; exit 1
endif
endif
