/* SPDX-License-Identifier: MIT */
/* The common part of transports that are made of descriptors. */
#ifndef BENCH_TRANSPORTS_FD_H
#define BENCH_TRANSPORTS_FD_H

#include "all.h"

/* Make both ends out of one descriptor each: a socket pair. */
void fd_use_pair(struct link *l, const int pair[2]);

/* Close what is open in l->end. */
void fd_close(struct link *l);

/* Make the ends non-blocking unless the link waits by blocking. Returns 0 or -1. */
int fd_set_waiting(struct link *l);

/* Byte streams: pipes and stream sockets. */
long fd_send_stream(struct link *l, uint64_t seq, long n);
long fd_recv_stream(struct link *l, uint64_t seq, long n);

/* The same with l->batch messages a call. */
long fd_send_stream_batch(struct link *l, uint64_t seq, long n);
long fd_recv_stream_batch(struct link *l, uint64_t seq, long n);

/* Sockets that keep message boundaries. */
long fd_send_packet(struct link *l, uint64_t seq, long n);
long fd_recv_packet(struct link *l, uint64_t seq, long n);

#endif
