# SPDX-License-Identifier: MIT
#
# The mpmc queue: through the public interface, and the algorithm in lib/mpmc/participant.h.

suites += \
	tests/mpmc/budget \
	tests/mpmc/counters \
	tests/mpmc/damage \
	tests/mpmc/deaths \
	tests/mpmc/handles \
	tests/mpmc/operations \
	tests/mpmc/recovery_lock \
	tests/mpmc/steps \
	tests/mpmc/threads

thread_suites += tests/mpmc/threads
# Not threads: it tests the same operations again.
memcheck_suites += \
	tests/mpmc/budget \
	tests/mpmc/counters \
	tests/mpmc/damage \
	tests/mpmc/deaths \
	tests/mpmc/handles \
	tests/mpmc/operations \
	tests/mpmc/steps

tests_mpmc_counters_LDADD = $(core_test_libs)
tests_mpmc_damage_LDADD = $(core_test_libs)
tests_mpmc_recovery_lock_LDADD = $(core_test_libs)
tests_mpmc_steps_LDADD = $(core_test_libs)
tests_mpmc_threads_LDADD = $(core_test_libs)

tests_mpmc_handles_SOURCES = tests/mpmc/handles.c tests/mpmc/pair.h
tests_mpmc_operations_SOURCES = tests/mpmc/operations.c tests/mpmc/pair.h

# The suite includes files of lib/; the linker must take its functions, not the library's.
tests_mpmc_budget_SOURCES = tests/mpmc/budget.c $(fuzz_around)
tests_mpmc_budget_LDADD = $(core_test_libs)
tests_mpmc_budget_LDFLAGS = $(fuzz_ldflags)
