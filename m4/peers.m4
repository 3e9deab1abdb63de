# SPDX-License-Identifier: MIT
#
# SHMRING_PEERS
#
# Look for the queues that shmring-bench compares shmring with: for each that is there, HAVE_PEER_X
# is a conditional and a macro, and bench_peers names it for the summary. --without-peers looks for
# none; nor does a build with a sanitizer, which is about our own code.
AC_DEFUN([SHMRING_PEERS], [
    AC_REQUIRE([SHMRING_SANITIZER])
    AC_ARG_WITH([peers],
        [AS_HELP_STRING([--without-peers],
            [let shmring-bench compare with the kernel only, not with other queues])],
        [], [AS_VAR_IF([enable_sanitizer], [no], [with_peers=check], [with_peers=no])])
    bench_peers=

    have_cxx=no
    AS_VAR_IF([with_peers], [no], [], [
        AC_LANG_PUSH([C++])
        SHMRING_CXX_STANDARD
        AC_LANG_POP([C++])])

    SHMRING_PEER_MODULE([CK], [ck], [ck_ring])
    SHMRING_PEER_MODULE([DPDK], [libdpdk >= 20.11], [rte_ring])
    SHMRING_PEER_MODULE([URCU_CDS], [liburcu-cds >= 0.13 liburcu-memb], [liburcu])
    SHMRING_PEER_MODULE([QB], [libqb], [libqb])
    SHMRING_PEER_MODULE([ZMQ], [libzmq >= 4], [ZeroMQ])
    SHMRING_PEER_NNG
    SHMRING_PEER_BOOST_LOCKFREE
    SHMRING_PEER_HEADER([BOOST_INTERPROCESS], [boost/interprocess/ipc/message_queue.hpp],
        [boost::interprocess])
    SHMRING_PEER_ATOMIC_QUEUE
    SHMRING_PEER_HEADER([READERWRITERQUEUE], [readerwriterqueue/readerwriterqueue.h],
        [readerwriterqueue])
    SHMRING_PEER_CONCURRENTQUEUE
])

# SHMRING_CXX_STANDARD
#
# have_cxx: does the C++ compiler compile and link C++17, which the peers' headers ask for? Then
# SHMRING_CXX_STANDARD is the option for it: its own default may be older, and what autoconf adds to
# CXX is, in some versions of it, -std=gnu++11 even where the default is newer.
AC_DEFUN([SHMRING_CXX_STANDARD], [
    AC_CACHE_CHECK([whether $CXX compiles and links C++17], [shmring_cv_cxx17], [
        shmring_saved_CXXFLAGS=$CXXFLAGS
        CXXFLAGS="-std=gnu++17 $CXXFLAGS"
        AC_LINK_IFELSE(
            [AC_LANG_PROGRAM([[@%:@include <new>]],
                [[if (auto twice = [](auto n) { return n + n; }; twice(1)) return 0;]])],
            [shmring_cv_cxx17=yes], [shmring_cv_cxx17=no])
        CXXFLAGS=$shmring_saved_CXXFLAGS])
    have_cxx=$shmring_cv_cxx17
    AC_SUBST([SHMRING_CXX_STANDARD], [-std=gnu++17])
])

# _SHMRING_PEER(NAME, SHOWN): the variable have_peer is yes or no.
AC_DEFUN([_SHMRING_PEER], [
    AM_CONDITIONAL([HAVE_PEER_$1], [test "$have_peer" = yes])
    AS_VAR_IF([have_peer], [yes], [
        AC_DEFINE([HAVE_PEER_$1], [1], [Define if shmring-bench compares with $2.])
        AS_VAR_APPEND([bench_peers], [" $2"])])
])

# SHMRING_PEER_MODULE(NAME, MODULES, SHOWN): a C library that pkg-config knows. Its headers are the
# system's: their warnings are not ours.
AC_DEFUN([SHMRING_PEER_MODULE], [
    have_peer=no
    AS_VAR_IF([with_peers], [no], [],
        [PKG_CHECK_MODULES([$1], [$2],
            [have_peer=yes
             $1_CFLAGS=$(AS_ECHO(["$$1_CFLAGS"]) | sed 's/-I/-isystem /g')], [:])])
    _SHMRING_PEER([$1], [$3])
])

# nng, which pkg-config does not know
AC_DEFUN([SHMRING_PEER_NNG], [
    have_peer=no
    AS_VAR_IF([with_peers], [no], [],
        [AC_CHECK_HEADER([nng/nng.h],
            [AC_CHECK_LIB([nng], [nng_pair0_open], [have_peer=yes])])])
    _SHMRING_PEER([NNG], [nng])
])

# SHMRING_PEER_HEADER(NAME, HEADER, SHOWN): a C++ library that is headers
AC_DEFUN([SHMRING_PEER_HEADER], [
    have_peer=no
    AS_VAR_IF([have_cxx], [yes], [
        AC_LANG_PUSH([C++])
        AC_CHECK_HEADER([$2], [have_peer=yes])
        AC_LANG_POP([C++])])
    _SHMRING_PEER([$1], [$3])
])

# concurrentqueue, whose header is one folder deeper since 1.0.4
AC_DEFUN([SHMRING_PEER_CONCURRENTQUEUE], [
    have_peer=no
    AS_VAR_IF([have_cxx], [yes], [
        AC_LANG_PUSH([C++])
        AC_CHECK_HEADERS([concurrentqueue/moodycamel/concurrentqueue.h concurrentqueue/concurrentqueue.h],
            [have_peer=yes
             AC_DEFINE_UNQUOTED([CONCURRENTQUEUE_H], [<$ac_header>],
                 [Define to the header of concurrentqueue.])
             break])
        AC_LANG_POP([C++])])
    _SHMRING_PEER([CONCURRENTQUEUE], [concurrentqueue])
])

# SHMRING_CXX_LIBS(VARIABLE, LIBRARY, PROGRAM): the variable is what a C++ program that uses that
# library of headers is linked with beside libstdc++: nothing, -latomic, or unknown if neither links.
AC_DEFUN([SHMRING_CXX_LIBS], [
    AC_CACHE_CHECK([what $2 needs], [shmring_cv_$1], [
        shmring_libs=$LIBS
        shmring_cv_$1=unknown
        for shmring_try in 'nothing' '-latomic'; do
            LIBS="${shmring_try#nothing} $shmring_libs"
            AC_LINK_IFELSE([$3],
                [shmring_cv_$1=$shmring_try
                 break])
        done
        LIBS=$shmring_libs])
    $1=$shmring_cv_$1
    AS_VAR_IF([$1], [unknown], [], [AC_SUBST([$1], [${shmring_cv_$1#nothing}])])
])

# boost::lockfree compares and exchanges two halves of a word at a time. With newer headers clang
# calls libatomic for that, gcc does not.
AC_DEFUN([SHMRING_PEER_BOOST_LOCKFREE], [
    have_peer=no
    AS_VAR_IF([have_cxx], [yes], [
        AC_LANG_PUSH([C++])
        AC_CHECK_HEADER([boost/lockfree/queue.hpp], [
            SHMRING_CXX_LIBS([BOOST_LOCKFREE_LIBS], [boost::lockfree],
                [AC_LANG_PROGRAM([[@%:@include <boost/lockfree/queue.hpp>]],
                    [[static boost::lockfree::queue<int, boost::lockfree::capacity<8>> queue;
                      return queue.push(1);]])])
            AS_VAR_IF([BOOST_LOCKFREE_LIBS], [unknown], [], [have_peer=yes])])
        AC_LANG_POP([C++])])
    _SHMRING_PEER([BOOST_LOCKFREE], [boost::lockfree])
])

# atomic_queue asks whether its elements are lock-free: gcc knows, clang 14 leaves it to libatomic.
AC_DEFUN([SHMRING_PEER_ATOMIC_QUEUE], [
    have_peer=no
    AS_VAR_IF([have_cxx], [yes], [
        AC_LANG_PUSH([C++])
        SHMRING_CXX_LIBS([ATOMIC_QUEUE_LIBS], [std::atomic],
            [AC_LANG_PROGRAM([[@%:@include <atomic>]],
                [[std::atomic<void *> any{nullptr}; return any.is_lock_free();]])])
        AS_VAR_IF([ATOMIC_QUEUE_LIBS], [unknown], [],
            [AC_CHECK_HEADER([atomic_queue/atomic_queue.h], [have_peer=yes])])
        AC_LANG_POP([C++])])
    _SHMRING_PEER([ATOMIC_QUEUE], [atomic_queue])
])
