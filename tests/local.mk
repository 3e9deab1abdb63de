# SPDX-License-Identifier: MIT
#
# One Criterion program a suite. To add tests/test_NAME.c:
#
#   suites += tests/test_NAME
#   tests_test_NAME_LDADD = $(test_libs)
#
# $(test_libs) is the shared library, for tests of the public interface; $(core_test_libs) has the
# internals (shmr_*) too. A test that is a script goes into dist_check_SCRIPTS and TESTS; it finds
# the trees in $srcdir and $builddir and exits with 77 to say that it cannot run here.

test_libs = lib/libshmring.la $(CRITERION_LIBS)
core_test_libs = lib/libshmring-core.la $(CRITERION_LIBS)
suites =

suites += tests/test_version
tests_test_version_LDADD = $(test_libs)

AM_TESTS_ENVIRONMENT = srcdir='$(srcdir)' builddir='$(builddir)' CC='$(CC)'; \
	export srcdir builddir CC;
EXTRA_DIST += tests/summary

# The tests, and last one line in Criterion's own form that adds up all suites.
.PHONY: check-summary
check-summary:
	@status=0; $(MAKE) $(AM_MAKEFLAGS) check VERBOSE=1 || status=$$?; \
	$(srcdir)/tests/summary $(TEST_LOGS) && exit $$status

if HAVE_CRITERION
AM_CPPFLAGS += $(CRITERION_CFLAGS)
check_PROGRAMS += $(suites)
TESTS += $(suites)
else
check-local:
	@echo 'make check needs Criterion (Debian: apt-get install libcriterion-dev);' \
		'install it and run configure again' >&2; exit 1
endif
