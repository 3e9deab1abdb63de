/* SPDX-License-Identifier: MIT */
/* One line a file of this folder that is a transport. */
#ifndef BENCH_TRANSPORTS_ALL_H
#define BENCH_TRANSPORTS_ALL_H

#include "../transport.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const struct transport shmring_transport;
extern const struct transport shmring_zerocopy_transport;
extern const struct transport shmring_batch_transport;
extern const struct transport shmring_mpmc_transport;
extern const struct transport shmring_mpmc_batch_transport;
extern const struct transport shmring_sleep_transport;
extern const struct transport shmring_unfenced_transport;
extern const struct transport mailbox_transport;
extern const struct transport stream_transport;
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
extern const struct transport shmring_broadcast_transport;
extern const struct transport shmring_reliable_transport;
extern const struct transport shmring_spsc_each_transport;
extern const struct transport seqlock_slots_transport;
extern const struct transport pipe_each_transport;
extern const struct transport unix_dgram_each_transport;

/* peers, each if configure has found it */
extern const struct transport ck_spsc_transport;
extern const struct transport ck_mpmc_transport;
extern const struct transport rte_spsc_transport;
extern const struct transport rte_spsc_batch_transport;
extern const struct transport rte_mpmc_transport;
extern const struct transport rte_mpmc_batch_transport;
extern const struct transport rte_rts_transport;
extern const struct transport rte_rts_batch_transport;
extern const struct transport rte_hts_transport;
extern const struct transport rte_hts_batch_transport;
extern const struct transport boost_spsc_transport;
extern const struct transport boost_spsc_batch_transport;
extern const struct transport boost_queue_transport;
extern const struct transport wfcqueue_transport;
extern const struct transport rculfqueue_transport;
extern const struct transport boost_mq_transport;
extern const struct transport atomic_queue_transport;
extern const struct transport atomic_queue_spsc_transport;
extern const struct transport atomic_queue_optimist_transport;
extern const struct transport atomic_queue_b_transport;
extern const struct transport moodycamel_rwq_transport;
extern const struct transport moodycamel_cq_transport;
extern const struct transport moodycamel_cq_batch_transport;
extern const struct transport qb_ipc_transport;
extern const struct transport qb_ring_transport;
extern const struct transport zeromq_transport;
extern const struct transport zeromq_pub_transport;
extern const struct transport nng_transport;
extern const struct transport nng_pub_transport;

#ifdef __cplusplus
}
#endif

#endif
