# SPDX-License-Identifier: MIT
#
# The spsc queue: through the public interface, and the algorithm in lib/spsc/ring.h.

suites += \
	tests/spsc/damage \
	tests/spsc/fastpath \
	tests/spsc/model \
	tests/spsc/operations \
	tests/spsc/stat \
	tests/spsc/steps \
	tests/spsc/threads \
	tests/spsc/wrap

thread_suites += tests/spsc/threads
# Not fastpath: valgrind makes system calls of its own. Nor steps: it tests the same operations again.
memcheck_suites += \
	tests/spsc/damage \
	tests/spsc/model \
	tests/spsc/operations \
	tests/spsc/stat \
	tests/spsc/threads \
	tests/spsc/wrap

tests_spsc_damage_LDADD = $(core_test_libs)
tests_spsc_stat_LDADD = $(core_test_libs)
tests_spsc_threads_LDADD = $(core_test_libs)
tests_spsc_wrap_LDADD = $(core_test_libs)
tests_spsc_steps_SOURCES = tests/spsc/steps.c tests/spsc/ring.h
