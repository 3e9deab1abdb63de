/* SPDX-License-Identifier: MIT */
/* One line a file of this folder that is a transport. */
#ifndef BENCH_TRANSPORTS_ALL_H
#define BENCH_TRANSPORTS_ALL_H

#include "../transport.h"

extern const struct transport shmring_transport;
extern const struct transport shmring_zerocopy_transport;
extern const struct transport shmring_batch_transport;
extern const struct transport shmring_mpmc_transport;
extern const struct transport shmring_mpmc_batch_transport;
extern const struct transport shmring_sleep_transport;
extern const struct transport shmring_unfenced_transport;
extern const struct transport mailbox_transport;
extern const struct transport pipe_transport;
extern const struct transport pipe_batch_transport;
extern const struct transport fifo_transport;
extern const struct transport unix_stream_transport;
extern const struct transport unix_seqpacket_transport;
extern const struct transport unix_dgram_transport;
extern const struct transport tcp_transport;
extern const struct transport udp_transport;
extern const struct transport posix_mq_transport;
extern const struct transport sysv_msg_transport;
extern const struct transport sysv_shm_transport;
extern const struct transport posix_shm_transport;
extern const struct transport eventfd_transport;

#endif
