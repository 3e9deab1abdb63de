# SPDX-License-Identifier: MIT

# All of the library, with its internals (shmr_*) in reach: what tests of internals link.
noinst_LTLIBRARIES += lib/libshmring-core.la
# Not vectorized: pairs of counters would be added at once and then taken apart again.
lib_libshmring_core_la_CFLAGS = $(AM_CFLAGS) -fvisibility=hidden -fno-tree-vectorize
lib_libshmring_core_la_SOURCES = \
	lib/allocate.c lib/allocate.h \
	lib/attach.c lib/attach.h \
	lib/back_off.h \
	lib/backend_file.c \
	lib/backend_memfd.c \
	lib/bell.h \
	lib/clock.h \
	lib/cpu.h \
	lib/deadline.h \
	lib/doorbell.c lib/doorbell.h \
	lib/dump.c \
	lib/error.c lib/error.h \
	lib/fd.c lib/fd.h \
	lib/fence.c lib/fence.h \
	lib/file_system.c lib/file_system.h \
	lib/futex.h \
	lib/guard.c lib/guard.h \
	lib/handle.c lib/handle.h \
	lib/identity.c lib/identity.h \
	lib/kept.c lib/kept.h \
	lib/layout.c lib/layout.h \
	lib/mpmc.h lib/mpmc_ops.h \
	lib/name.c lib/name.h \
	lib/open_wait.c \
	lib/ops.c \
	lib/participant.c lib/participant.h \
	lib/process.c lib/process.h \
	lib/progress.h \
	lib/ready.h \
	lib/recovery.c lib/recovery.h \
	lib/roles.c lib/roles.h \
	lib/room.c lib/room.h \
	lib/segment.c lib/segment.h \
	lib/spsc.h lib/spsc_batch.h \
	lib/stat.c \
	lib/tally.h \
	lib/trace.h \
	lib/version.c \
	lib/wait.c lib/wait.h

# The same, showing the names in lib/libshmring.map only: what is installed.
lib_LTLIBRARIES += lib/libshmring.la
lib_libshmring_la_SOURCES =
lib_libshmring_la_LIBADD = lib/libshmring-core.la
# Never unloaded, whatever dlclose() says: fork() and the end of a thread call its functions, and so
# does SIGBUS after shmring_guard_sigbus(). A handler that the program installed later may name this
# one's, so the library cannot take its handler back.
lib_libshmring_la_LDFLAGS = $(AM_LDFLAGS) $(SHMRING_NO_UNDEFINED) -Wl,-z,nodelete \
	-version-info $(SHMRING_LT_VERSION) \
	-Wl,-Bsymbolic-functions -Wl,--version-script=$(top_srcdir)/lib/libshmring.map
EXTRA_lib_libshmring_la_DEPENDENCIES = lib/libshmring.map
EXTRA_DIST += lib/libshmring.map

pkgconfig_DATA = lib/libshmring.pc
