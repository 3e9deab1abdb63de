# SPDX-License-Identifier: MIT
#
# What users get: headers, symbols, manual pages, packages; the text of the tree; and the tests' own tools.

suites += \
	tests/package/oracle \
	tests/package/version
thread_suites += tests/package/version
memcheck_suites += tests/package/oracle tests/package/version

script_tests += \
	tests/package/abi.sh \
	tests/package/configure.sh \
	tests/package/consumers.sh \
	tests/package/cxx.sh \
	tests/package/drivers.sh \
	tests/package/exports.sh \
	tests/package/headers.sh \
	tests/package/locale.sh \
	tests/package/man.sh \
	tests/package/packaging.sh \
	tests/package/python.sh \
	tests/package/readme.sh \
	tests/package/reuse.sh \
	tests/package/shape.sh \
	tests/package/spelling.sh \
	tests/package/style.sh \
	tests/package/tracing.sh
EXTRA_DIST += tests/package/consumers tests/package/cxx.cpp tests/package/cxx_expect.hpp \
	tests/package/cxx_mux.cpp tests/package/installed.sh

tracing_program = tests/package/tracing
tests_package_tracing_LDADD = lib/libshmring-core.la

# The installed files, used as a user does.
installcheck-local:
	srcdir='$(srcdir)' CC='$(CC)' CFLAGS='$(AM_CFLAGS) $(CFLAGS)' PKG_CONFIG='$(PKG_CONFIG)' \
	PKG_CONFIG_SYSROOT_DIR='$(DESTDIR)' PKG_CONFIG_PATH='$(DESTDIR)$(pkgconfigdir)' \
	LD_LIBRARY_PATH='$(DESTDIR)$(libdir)' $(srcdir)/tests/package/installed.sh

# The interface that abi.sh compares with: doc/abi.md.
EXTRA_DIST += abi
.PHONY: abi-renew
abi-renew: $(lib_LTLIBRARIES)
	@$(AM_TESTS_ENVIRONMENT) $(srcdir)/abi/watch renew
