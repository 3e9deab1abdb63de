# SPDX-License-Identifier: MIT
#
# Builds for other machines, and those of earlier versions: see README.md here.

EXTRA_PROGRAMS += tests/abi/peer
CLEANFILES += tests/abi/peer
tests_abi_peer_SOURCES = tests/abi/peer.c tests/abi/numbered.h
tests_abi_peer_LDADD = lib/libshmring-core.la
EXTRA_DIST += tests/abi/README.md tests/abi/make-builds tests/abi/exchange \
	tests/abi/golden tests/abi/make-golden

# This build and one for 32 bits on the same queues, if gcc -m32 works.
.PHONY: check-32
check-32: tests/abi/peer
	@$(srcdir)/tests/abi/make-builds 32 || test $$? = 77 -a "$$SKIPPED" != failed

# Builds for aarch64 and s390x, whose byte order is the other one, if there are cross compilers.
.PHONY: check-cross
check-cross: tests/abi/peer
	@$(srcdir)/tests/abi/make-builds cross || test $$? = 77 -a "$$SKIPPED" != failed
