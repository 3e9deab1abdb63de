# SPDX-License-Identifier: MIT
#
# The bridge, with a nats-server that the tests start, if nats-server is installed.

if HAVE_BRIDGE
suites += \
	tests/bridge/kills \
	tests/bridge/messages \
	tests/bridge/program
endif
script_tests += tests/bridge/unit.sh

# Bridges, servers, producers and consumers are killed at random, 100 times in each test, while a million
# messages go there and back.
BRIDGE_KILLS = 100
.PHONY: check-bridge
check-bridge: tests/bridge/kills bridge/shmring-bridge tools/shmring
	builddir=. srcdir='$(srcdir)' SHMRING_TEST_KILLS=$(BRIDGE_KILLS) tests/bridge/kills --jobs 1 --verbose=1
