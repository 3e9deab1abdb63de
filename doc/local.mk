# SPDX-License-Identifier: MIT

dist_doc_DATA += \
	doc/abi.md \
	doc/benchmarks.md \
	doc/bridge.md \
	doc/design.md \
	doc/evidence.md \
	doc/layout.md \
	doc/mux.md \
	doc/performance.md \
	doc/security.md \
	doc/system-calls.md \
	doc/tracing.md

# The picture in README.md, drawn from the table there: tests/readme.sh.
EXTRA_DIST += doc/comparison.awk doc/comparison.svg
