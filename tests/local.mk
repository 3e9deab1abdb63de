# SPDX-License-Identifier: MIT
#
# Each suite is a Criterion program, in the folder of what it tests. A new suite tests/FOLDER/NAME.c is one line
# in tests/FOLDER/local.mk: tests/FOLDER/NAME in the list `suites`. It is then linked with the shared
# library and with the functions of tests/support/ that it calls. Only a suite that needs more says so:
#
#   tests_FOLDER_NAME_LDADD = $(core_test_libs)   the internals (shmr_*) in place of the shared library
#   tests_FOLDER_NAME_SOURCES = ...               more files than tests/FOLDER/NAME.c
#
# Suites that are worth running under ThreadSanitizer are in thread_suites, too, and those that are worth
# running under valgrind in memcheck_suites. Each folder says which suites are not, because they are slow there.
#
# A test that is a script, tests/FOLDER/NAME.sh, goes into script_tests; it finds the trees in $srcdir and
# $builddir, and exits with 77 to say that it cannot run here. No suite in the same folder may have its
# name, because both would write the same log.

LDADD = $(test_libs)
test_libs = tests/support/libsupport.la lib/libshmring.la $(test_harness)
core_test_libs = tests/support/libsupport.la lib/libshmring-core.la $(test_harness)
suites =
thread_suites =
memcheck_suites =
script_tests =

include tests/support/local.mk
include tests/segment/local.mk
include tests/spsc/local.mk
include tests/mpmc/local.mk
include tests/broadcast/local.mk
include tests/wait/local.mk
include tests/mux/local.mk
include tests/bridge/local.mk
include tests/tools/local.mk
include tests/bench/local.mk
include tests/package/local.mk
include tests/prove/local.mk

TEST_EXTENSIONS = .sh

# Tests compare numbers and words, so they run in the C locale, whatever the user's is.
AM_TESTS_ENVIRONMENT = srcdir='$(srcdir)' builddir='$(builddir)' CC='$(CC)' \
	CFLAGS='$(AM_CFLAGS) $(CFLAGS)' LC_ALL=C; export srcdir builddir CC CFLAGS LC_ALL;
LOG_COMPILER = $(srcdir)/tests/support/run-beside $(srcdir)/tests/support/run-checked
SH_LOG_COMPILER = $(srcdir)/tests/support/run-beside
CLEANFILES += tests/running
dist_check_SCRIPTS += $(script_tests)

# Build all that the tests need, and run nothing.
.PHONY: check-programs
check-programs:
	$(MAKE) $(AM_MAKEFLAGS) check TESTS=

# Run the tests, and print at the end a line in Criterion's form that adds up all suites.
.PHONY: check-summary
check-summary:
	@status=0; $(MAKE) $(AM_MAKEFLAGS) check VERBOSE=1 || status=$$?; \
	$(srcdir)/tests/support/summarise $(TEST_LOGS) && exit $$status

# All suites while a filter refuses the system calls that the library can do without: see
# doc/system-calls.md. Except suites that count or measure calls: their results hold without a filter only.
refusing_program = tests/support/refusing
tests_support_refusing_LDADD =
.PHONY: check-refusing
check-refusing: tests/support/refusing
	@for error in EPERM ENOSYS; do \
		$(MAKE) $(AM_MAKEFLAGS) check-summary TESTS='$(suites)' \
			LOG_FLAGS="tests/support/refusing $$error" || exit 1; \
	done

# The tests under valgrind. A test fails if valgrind reports anything in its own process. Its forked
# children, many of which end by a signal or without cleaning up on purpose, fail by their exit code only.
.PHONY: check-memcheck memcheck-programs
memcheck-programs: $(memcheck_suites)
check-memcheck: memcheck-programs
	@$(MAKE) $(AM_MAKEFLAGS) check-summary TESTS='$(memcheck_suites)' check_PROGRAMS= \
		LOG_FLAGS="$(LIBTOOL) --mode=execute valgrind --quiet --log-file=%q{REPORTS}/%p \
			--trace-children=yes --child-silent-after-fork=yes --error-exitcode=99 \
			--leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=none"

# Which lines and branches of lib/ the tests reach, also in files of lib/ that they include. The tests are
# linked statically, so that tests/support/coverage.c writes the library's counts, too; they are not
# optimized, so that each branch in the source is one in the program.
coverage_suites = $(memcheck_suites) tests/segment/faults tests/mpmc/recovery_lock tests/segment/sigbus
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
# tests/support/stand-in/criterion/criterion.h.
AM_CPPFLAGS += -I$(srcdir)/tests/support/stand-in
check_LTLIBRARIES += tests/support/libsupport.la tests/support/stand-in/libharness.la
tests_support_stand_in_libharness_la_SOURCES = tests/support/stand-in/main.c
test_harness = tests/support/stand-in/libharness.la
check_PROGRAMS += $(thread_suites)
TESTS += $(thread_suites)
else
if HAVE_CRITERION
AM_CPPFLAGS += $(CRITERION_CFLAGS)
test_harness = $(CRITERION_LIBS)
check_LTLIBRARIES += tests/support/libsupport.la
check_PROGRAMS += $(suites) $(tracing_program) $(refusing_program)
TESTS += $(suites) $(script_tests)
else
check-local:
	@echo 'make check needs Criterion (Debian: apt-get install libcriterion-dev);' \
		'install it and run configure again' >&2; exit 1
endif
endif
