# SPDX-License-Identifier: MIT

# All of the library, with its internals (shmr_*) in reach: what tests of internals link.
noinst_LTLIBRARIES += lib/libshmring-core.la
# Not vectorized: pairs of counters would be added at once and then taken apart again.
lib_libshmring_core_la_CFLAGS = $(AM_CFLAGS) -fvisibility=hidden -fno-tree-vectorize
lib_libshmring_core_la_SOURCES = \
	lib/api/create.c \
	lib/api/dump.c \
	lib/api/hot.h \
	lib/api/inspect.c \
	lib/api/open.c \
	lib/api/open.h \
	lib/api/open_wait.c \
	lib/api/receive.c \
	lib/api/send.c \
	lib/api/version.c \
	lib/base/back_off.h \
	lib/base/clock.h \
	lib/base/cpu.h \
	lib/base/deadline.h \
	lib/base/error.c \
	lib/base/error.h \
	lib/base/fetch.h \
	lib/base/identity.c \
	lib/base/identity.h \
	lib/base/kept.c \
	lib/base/kept.h \
	lib/base/process.c \
	lib/base/process.h \
	lib/base/trace.h \
	lib/broadcast/batch.h \
	lib/broadcast/dump.c \
	lib/broadcast/dump.h \
	lib/broadcast/hot.h \
	lib/broadcast/kind.c \
	lib/broadcast/layout.h \
	lib/broadcast/places.h \
	lib/broadcast/quick.h \
	lib/broadcast/racy.h \
	lib/broadcast/ready.h \
	lib/broadcast/ring.h \
	lib/broadcast/state.h \
	lib/broadcast/takeover.h \
	lib/broadcast/tuning.h \
	lib/core/allocate.c \
	lib/core/allocate.h \
	lib/core/attach.c \
	lib/core/attach.h \
	lib/core/backend_file.c \
	lib/core/backend_memfd.c \
	lib/core/claim.c \
	lib/core/claim.h \
	lib/core/file_system.c \
	lib/core/file_system.h \
	lib/core/guard.c \
	lib/core/guard.h \
	lib/core/handle.c \
	lib/core/handle.h \
	lib/core/header.c \
	lib/core/layout.h \
	lib/core/name.c \
	lib/core/name.h \
	lib/core/progress.h \
	lib/core/recovery.c \
	lib/core/recovery.h \
	lib/core/room.c \
	lib/core/room.h \
	lib/core/rows.c \
	lib/core/rows.h \
	lib/core/segment.c \
	lib/core/segment.h \
	lib/core/side.h \
	lib/kind.h \
	lib/kinds.h \
	lib/mpmc/blocks.h \
	lib/mpmc/dump.c \
	lib/mpmc/dump.h \
	lib/mpmc/hot.h \
	lib/mpmc/kind.c \
	lib/mpmc/layout.h \
	lib/mpmc/participant.h \
	lib/mpmc/ready.h \
	lib/mpmc/recovery.h \
	lib/mpmc/tally.h \
	lib/mpmc/tuning.h \
	lib/spsc/batch.h \
	lib/spsc/dump.c \
	lib/spsc/dump.h \
	lib/spsc/hot.h \
	lib/spsc/kind.c \
	lib/spsc/layout.h \
	lib/spsc/quick.h \
	lib/spsc/ready.h \
	lib/spsc/ring.h \
	lib/spsc/staging.h \
	lib/spsc/state.h \
	lib/spsc/takeover.h \
	lib/spsc/tuning.h \
	lib/wait/fence.c \
	lib/wait/fence.h \
	lib/wait/futex.h \
	lib/wait/notifier.c \
	lib/wait/notifier.h \
	lib/wait/peers.c \
	lib/wait/peers.h \
	lib/wait/poll.c \
	lib/wait/poll.h \
	lib/wait/sleep.c \
	lib/wait/sleep.h \
	lib/wait/spin.c \
	lib/wait/spin.h \
	lib/wait/waiting.c \
	lib/wait/waitword.h \
	lib/wait/wake.c \
	lib/wait/wake.h

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
