# SPDX-License-Identifier: MIT
#
# Calls that wait, and descriptors to wait by.

suites += \
	tests/wait/back_off \
	tests/wait/calls \
	tests/wait/event_loops \
	tests/wait/fake_clock \
	tests/wait/fd \
	tests/wait/fence \
	tests/wait/first_sleep \
	tests/wait/herd \
	tests/wait/notifier \
	tests/wait/peers \
	tests/wait/refused \
	tests/wait/storm

memcheck_suites += \
	tests/wait/calls \
	tests/wait/fd \
	tests/wait/notifier \
	tests/wait/peers

tests_wait_fd_LDADD = $(core_test_libs)
tests_wait_fence_LDADD = $(core_test_libs)
tests_wait_notifier_LDADD = $(core_test_libs)

tests_wait_herd_LDADD = $(core_test_libs)
tests_wait_herd_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=syscall

tests_wait_event_loops_SOURCES = \
	tests/wait/event_loops.c tests/wait/event_loop_ev.c tests/wait/event_loop.h
tests_wait_event_loops_CFLAGS = $(AM_CFLAGS) $(LIBUV_CFLAGS) $(LIBEVENT_CFLAGS)
tests_wait_event_loops_LDADD = $(test_libs) $(LIBUV_LIBS) $(LIBEVENT_LIBS) $(LIBEV_LIBS)

# A long search for lost wake-ups: `make soak-waits ROUNDS=N`.
ROUNDS = 1000000
wait_tests = tests/wait/fence tests/wait/storm
.PHONY: soak-waits
soak-waits: $(wait_tests)
	@SHMRING_TEST_ROUNDS=$(ROUNDS); export SHMRING_TEST_ROUNDS; \
	for program in $(wait_tests); do $$program --verbose=1 || exit 1; done
