# SPDX-License-Identifier: MIT

bin_PROGRAMS += tools/shmring
tools_shmring_SOURCES = \
	tools/arguments.c \
	tools/create.c \
	tools/dump.c \
	tools/find.c \
	tools/gc.c \
	tools/ls.c \
	tools/main.c \
	tools/openmetrics.c \
	tools/parse.c \
	tools/receive.c \
	tools/receive.h \
	tools/record.c \
	tools/recording.c \
	tools/recording.h \
	tools/recover.c \
	tools/recv.c \
	tools/replay.c \
	tools/rm.c \
	tools/send.c \
	tools/stat.c \
	tools/text.c \
	tools/tool.h \
	tools/top.c \
	tools/top.h \
	tools/top_gather.c \
	tools/top_screen.c \
	tools/top_text.c \
	tools/view.c \
	tools/wait.c \
	tools/who.c
tools_shmring_CFLAGS = $(AM_CFLAGS) $(NCURSES_CFLAGS)
tools_shmring_LDADD = lib/libshmring.la $(NCURSES_LIBS)

bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = \
	tools/completion/shmring \
	tools/completion/shmring-bench \
	tools/completion/shmring-bench-report
