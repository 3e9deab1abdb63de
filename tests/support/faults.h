/* SPDX-License-Identifier: MIT */
/*
 * Makes functions of the C library fail that lib/ calls. $(faults_ldflags) in local.mk replaces
 * them when a program is linked. Without a plan they work as always.
 */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdbool.h>

/* Faults that are no errors. CUT_SHORT: fewer bytes are read or written than were asked for.
 * DOES_NOTHING: the call does nothing and returns success (fchmod). */
enum { CUT_SHORT = 10000, DOES_NOTHING };

enum function {
    CALL_ACCESS,
    CALL_ASPRINTF,
    CALL_CALLOC,
    CALL_CHMOD,
    CALL_CLOCK,
    CALL_CLOSE,
    CALL_DUP,
    CALL_EPOLL_CREATE,
    CALL_EPOLL_CTL,
    CALL_FCHMOD,
    CALL_FCHOWN,
    CALL_GET_LOCK,
    CALL_GET_SEALS,
    CALL_SEAL,
    CALL_SET_LOCK,
    CALL_FGETS,
    CALL_FLOCK,
    CALL_FOPEN,
    CALL_FSTAT,
    CALL_FSTATFS,
    CALL_FSTATVFS,
    CALL_GETCWD,
    CALL_GETRLIMIT,
    CALL_INOTIFY_ADD,
    CALL_INOTIFY_INIT,
    CALL_LINK,
    CALL_LINKAT,
    CALL_LSTAT,
    CALL_MADVISE,
    CALL_POPULATE,
    CALL_WIPE,
    CALL_MALLOC,
    CALL_MEMALIGN,
    CALL_MEMFD,
    CALL_MKFIFO,
    CALL_MLOCK,
    CALL_MMAP,
    CALL_OPEN,
    CALL_OPENAT,
    CALL_DONTDUMP,
    CALL_FALLOCATE,
    CALL_IOCTL,
    CALL_LSEEK,
    CALL_UNAME,
    CALL_PPOLL,
    CALL_PREAD,
    CALL_PWRITE,
    CALL_READ,
    CALL_READLINK,
    CALL_STAT,
    CALL_STATFS,
    CALL_FUTEX_WAIT,
    CALL_FUTEX_WAITV,
    CALL_FUTEX_WAKE,
    CALL_MEMBARRIER,
    CALL_TIMERFD_CREATE,
    CALL_TIMERFD_SET,
    CALL_UNLINK,
    CALL_UNLINKAT,
    CALL_WRITE,
    CALL_TMPFILE,
    FALLIBLE
};

enum { ERRORS_MAX = 20 };
struct fallible {
    const char *name;
    int errors[ERRORS_MAX]; /* up to a 0 */
};
extern const struct fallible fallible[FALLIBLE];

struct plan {
    int function, error;
    int nth;          /* the call that fails, from 1 */
    bool for_ever;    /* and all after it */
    bool no_tmpfile;  /* as on a file system without O_TMPFILE */
    long file_system; /* statfs() returns this as f_type, and files have the attribute C; 0: the
                         real one */
    void (*on_sleep)(void); /* called before a call that would sleep; may be NULL */
    bool active, fired;
    int calls[FALLIBLE]; /* calls of each function since the plan was made */
};
extern struct plan plan;

/* Make a plan, valid until plan_end(). function FALLIBLE: nothing fails, calls are counted. */
void plan_fault(int function, int error, int nth, bool for_ever);
void plan_end(void);

#endif
