/* SPDX-License-Identifier: MIT */
/*
 * The list of the kinds of queues: for the library (kind.h), and for the commands, the bridge and
 * the bench, which have a table with one entry a kind. These tables are made by expanding the list:
 * if the entry of a kind is missing, the table does not compile.
 */
#ifndef SHMR_KINDS_H
#define SHMR_KINDS_H

/* X(SPSC, spsc) for each kind: its constant is SHMRING_SPSC, its functions are shmr_spsc_... */
#define SHMR_KINDS(X)                                                                              \
    X(SPSC, spsc)                                                                                  \
    X(MPMC, mpmc)                                                                                  \
    X(BROADCAST, broadcast)

/* The list in words, for error details. */
#define SHMR_KINDS_IN_WORDS "SHMRING_SPSC, SHMRING_MPMC or SHMRING_BROADCAST"

#endif
