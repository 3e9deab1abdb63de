# SPDX-License-Identifier: MIT
#
# The heavy machinery. record runs a command that doc/evidence.tsv lists, and notes that it passed.

include tests/prove/abi/local.mk
include tests/prove/crash/local.mk
include tests/prove/fuzz/local.mk
include tests/prove/stress/local.mk

EXTRA_DIST += tests/prove/record

# The algorithms under GenMC, if it is installed: tests/prove/model/README.md.
.PHONY: model
model:
	@$(srcdir)/tests/prove/model/run $(MODEL_FLAGS) || test $$? = 77 -a "$$SKIPPED" != failed
EXTRA_DIST += tests/prove/model

# The library broken on purpose, to see which test notices: tests/prove/mutants/README.md.
.PHONY: mutants
mutants:
	@$(srcdir)/tests/prove/mutants/run $(MUTANTS)
EXTRA_DIST += tests/prove/mutants
script_tests += tests/prove/mutants/edits.sh
