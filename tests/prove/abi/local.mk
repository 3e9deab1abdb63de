# SPDX-License-Identifier: MIT
#
# Builds for other machines, and those of earlier versions: see README.md here.

EXTRA_PROGRAMS += tests/prove/abi/peer
CLEANFILES += tests/prove/abi/peer
tests_prove_abi_peer_SOURCES = tests/prove/abi/peer.c
tests_prove_abi_peer_LDADD = lib/libshmring-core.la
EXTRA_DIST += tests/prove/abi/README.md tests/prove/abi/make-builds tests/prove/abi/exchange \
	tests/prove/abi/golden tests/prove/abi/make-golden

# This build and one for 32 bits on the same queues, if gcc -m32 works.
.PHONY: check-32
check-32: tests/prove/abi/peer
	@$(srcdir)/tests/prove/abi/make-builds 32 || test $$? = 77 -a "$$SKIPPED" != failed

# Builds for aarch64 and s390x, whose byte order is the other one, if there are cross compilers.
.PHONY: check-cross
check-cross: tests/prove/abi/peer
	@$(srcdir)/tests/prove/abi/make-builds cross || test $$? = 77 -a "$$SKIPPED" != failed
