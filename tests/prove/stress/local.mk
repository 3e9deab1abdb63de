# SPDX-License-Identifier: MIT
#
# Many processes on one queue, killed, stopped or hostile: some seconds in `make check`, and as long as the
# user wants here. Not spsc_crash under valgrind: it starts hundreds of processes that live for a millisecond.

suites += \
	tests/prove/stress/mpmc_processes \
	tests/prove/stress/scribble \
	tests/prove/stress/spsc_crash \
	tests/prove/stress/streams
memcheck_suites += tests/prove/stress/mpmc_processes

tests_prove_stress_scribble_SOURCES = tests/prove/stress/scribble.c $(fuzz_around)
tests_prove_stress_scribble_LDADD = $(core_test_libs)
tests_prove_stress_scribble_LDFLAGS = $(fuzz_ldflags)

# Participants killed and stopped at random: SOAK_KILLS times in each of four tests, and while
# SOAK_MESSAGES go through an spsc queue and a tenth of it through an mpmc queue, and come to the
# consumers of a broadcast queue, which are lapped, and a tenth of it to those of one whose producer
# waits for none; again until SOAK_SECONDS have passed. Two busy processors made 75 kills a second.
SOAK_KILLS = 50000
SOAK_MESSAGES = 10000000000
SOAK_SECONDS = 0
soak_tests = tests/prove/stress/streams tests/prove/stress/mpmc_processes tests/prove/stress/spsc_crash
.PHONY: soak
soak: $(soak_tests)
	@SHMRING_TEST_KILLS=$(SOAK_KILLS); export SHMRING_TEST_KILLS; \
	SHMRING_TEST_MESSAGES=$(SOAK_MESSAGES); export SHMRING_TEST_MESSAGES; \
	end=$$(($$(date +%s) + $(SOAK_SECONDS))); \
	while :; do \
		for program in $(soak_tests); do $$program --verbose=1 || exit 1; done; \
		test $$(date +%s) -lt $$end || exit 0; \
	done

# A hostile peer writes words over live queues: `make scribble WRITES=N`, N of them for each kind.
WRITES = 1000000000
.PHONY: scribble
scribble: tests/prove/stress/scribble
	@SHMRING_TEST_WRITES=$(WRITES) tests/prove/stress/scribble --verbose=1
