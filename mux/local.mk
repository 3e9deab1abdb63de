# SPDX-License-Identifier: MIT

# Waiting for many queues: uses liburcu, and only the public functions of libshmring.
EXTRA_DIST += mux/libshmring-mux.map
if HAVE_MUX
pkginclude_HEADERS += include/shmring/mux.h include/shmring/mux.hpp
lib_LTLIBRARIES += mux/libshmring-mux.la
pkgconfig_DATA += mux/libshmring-mux.pc
endif
mux_libshmring_mux_la_CPPFLAGS = $(AM_CPPFLAGS) $(URCU_CFLAGS)
mux_libshmring_mux_la_CFLAGS = $(AM_CFLAGS) -fvisibility=hidden
mux_libshmring_mux_la_SOURCES = \
	lib/base/clock.h lib/wait/futex.h \
	mux/group.c \
	mux/mux.c \
	mux/internal.h \
	mux/rcu.h \
	mux/wait.c \
	mux/waiter.c
mux_libshmring_mux_la_LIBADD = lib/libshmring.la $(URCU_LIBS)
# Never unloaded: the threads of a mux that still exists are in it.
mux_libshmring_mux_la_LDFLAGS = $(AM_LDFLAGS) $(SHMRING_NO_UNDEFINED) -Wl,-z,nodelete \
	-version-info $(SHMRING_LT_VERSION) \
	-Wl,--version-script=$(top_srcdir)/mux/libshmring-mux.map
EXTRA_mux_libshmring_mux_la_DEPENDENCIES = mux/libshmring-mux.map
