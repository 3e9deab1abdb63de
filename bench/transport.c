/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "transport.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "transports/all.h"

const struct transport *const transports[] = {
    &shmring_transport,
    &shmring_zerocopy_transport,
    &shmring_batch_transport,
    &shmring_mpmc_transport,
    &shmring_mpmc_batch_transport,
    &shmring_sleep_transport,
    &shmring_unfenced_transport,
    &mailbox_transport,
    &stream_transport,
    &pipe_transport,
    &pipe_batch_transport,
    &fifo_transport,
    &unix_stream_transport,
    &unix_seqpacket_transport,
    &unix_dgram_transport,
    &tcp_transport,
    &udp_transport,
    &posix_mq_transport,
    &sysv_msg_transport,
    &sysv_shm_transport,
    &posix_shm_transport,
    &eventfd_transport,
    &shmring_broadcast_transport,
    &shmring_reliable_transport,
    &shmring_spsc_each_transport,
    &seqlock_slots_transport,
    &pipe_each_transport,
    &unix_dgram_each_transport,
#ifdef HAVE_PEER_CK
    &ck_spsc_transport,
    &ck_mpmc_transport,
#endif
#ifdef HAVE_PEER_DPDK
    &rte_spsc_transport,
    &rte_spsc_batch_transport,
    &rte_mpmc_transport,
    &rte_mpmc_batch_transport,
    &rte_rts_transport,
    &rte_rts_batch_transport,
    &rte_hts_transport,
    &rte_hts_batch_transport,
#endif
#ifdef HAVE_PEER_BOOST_LOCKFREE
    &boost_spsc_transport,
    &boost_spsc_batch_transport,
    &boost_queue_transport,
#endif
#ifdef HAVE_PEER_URCU_CDS
    &wfcqueue_transport,
    &rculfqueue_transport,
#endif
#ifdef HAVE_PEER_BOOST_INTERPROCESS
    &boost_mq_transport,
#endif
#ifdef HAVE_PEER_ATOMIC_QUEUE
    &atomic_queue_transport,
    &atomic_queue_spsc_transport,
    &atomic_queue_optimist_transport,
    &atomic_queue_b_transport,
#endif
#ifdef HAVE_PEER_READERWRITERQUEUE
    &moodycamel_rwq_transport,
#endif
#ifdef HAVE_PEER_CONCURRENTQUEUE
    &moodycamel_cq_transport,
    &moodycamel_cq_batch_transport,
#endif
#ifdef HAVE_PEER_QB
    &qb_ring_transport,
    &qb_ipc_transport,
#endif
#ifdef HAVE_PEER_ZMQ
    &zeromq_transport,
    &zeromq_pub_transport,
#endif
#ifdef HAVE_PEER_NNG
    &nng_transport,
    &nng_pub_transport,
#endif
    NULL,
};

const struct absent absent_transports[] = {
#ifndef HAVE_PEER_CK
    {"ck-spsc, ck-mpmc", "libck-dev"},
#endif
#ifndef HAVE_PEER_DPDK
    {"rte-spsc, rte-mpmc, rte-rts, rte-hts, and their -batch", "libdpdk-dev"},
#endif
#ifndef HAVE_PEER_BOOST_LOCKFREE
    {"boost-spsc, boost-spsc-batch, boost-queue", "libboost-dev and g++"},
#endif
#ifndef HAVE_PEER_URCU_CDS
    {"urcu-wfcqueue, urcu-rculfqueue", "liburcu-dev"},
#endif
#ifndef HAVE_PEER_BOOST_INTERPROCESS
    {"boost-mq", "libboost-dev and g++"},
#endif
#ifndef HAVE_PEER_ATOMIC_QUEUE
    {"atomic-queue, atomic-queue-spsc, atomic-queue-opt, atomic-queue-b",
     "libatomic-queue-dev and g++"},
#endif
#ifndef HAVE_PEER_READERWRITERQUEUE
    {"moodycamel-rwq", "libreaderwriterqueue-dev and g++"},
#endif
#ifndef HAVE_PEER_CONCURRENTQUEUE
    {"moodycamel-cq, moodycamel-cq-batch", "libconcurrentqueue-dev and g++"},
#endif
#ifndef HAVE_PEER_QB
    {"qb-ring, qb-ipc", "libqb-dev"},
#endif
#ifndef HAVE_PEER_ZMQ
    {"zeromq, zeromq-pub", "libzmq3-dev"},
#endif
#ifndef HAVE_PEER_NNG
    {"nng, nng-pub", "libnng-dev"},
#endif
    {NULL, NULL},
};

bool transport_matches(const struct transport *t, const char *pattern)
{
    return strcmp(pattern, "all") == 0 || strcmp(pattern, t->group) == 0 ||
           fnmatch(pattern, t->name, 0) == 0;
}

size_t link_slots(const struct link *l, size_t bytes)
{
    size_t slots = 8; /* at least */
    if (l->messages > 0)
        return l->messages;
    while (slots * bytes < l->capacity)
        slots *= 2;
    return slots;
}

static void explain(struct link *l, const char *format, va_list args)
{
    vsnprintf(l->error, sizeof l->error, format, args);
}

int link_fail(struct link *l, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    explain(l, format, args);
    va_end(args);
    l->skip = false;
    return -1;
}

int link_skip(struct link *l, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    explain(l, format, args);
    va_end(args);
    l->skip = true;
    return -1;
}

int link_errno(struct link *l, const char *call)
{
    switch (errno) {
    case EACCES:
    case EPERM:
    case ENOSYS:
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
    case EADDRNOTAVAIL:
    case ENOSPC:
    case EMFILE:
    case ENFILE:
        return link_skip(l, "%s: %s", call, strerror(errno));
    default:
        return link_fail(l, "%s: %s", call, strerror(errno));
    }
}

int link_bad_length(struct link *l, uint64_t seq, long length)
{
    return link_fail(l, "message %llu came with %ld bytes, not %zu", (unsigned long long)seq,
                     length, l->size);
}

int link_bad_payload(struct link *l, uint64_t seq, const void *payload)
{
    uint64_t first = 0;
    memcpy(&first, payload, l->size < sizeof first ? l->size : sizeof first);
    return link_fail(l, "message %llu came with other content (its first word is %#llx)",
                     (unsigned long long)seq, (unsigned long long)first);
}
