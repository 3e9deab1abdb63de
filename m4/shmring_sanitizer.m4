# SPDX-License-Identifier: MIT
#
# SHMRING_SANITIZER
#
# --enable-sanitizer=LIST sets SHMRING_SANITIZER_CFLAGS, for the compiler and the linker.
# SHMRING_NO_UNDEFINED is the linker flag that refuses undefined symbols in the library: empty with
# a sanitizer, because clang leaves the run-time's symbols undefined in shared libraries.
AC_DEFUN([SHMRING_SANITIZER], [
    AC_ARG_ENABLE([sanitizer],
        [AS_HELP_STRING([--enable-sanitizer=LIST],
            [build with sanitizers: thread, address, undefined or address,undefined])],
        [], [enable_sanitizer=no])

    SHMRING_SANITIZER_CFLAGS=
    SHMRING_NO_UNDEFINED=-Wl,-z,defs
    AS_CASE([$enable_sanitizer],
        [no], [],
        [thread|address|undefined|address,undefined], [
            SHMRING_SANITIZER_CFLAGS="-fsanitize=$enable_sanitizer -fno-omit-frame-pointer"
            AS_CASE([$enable_sanitizer], [*undefined*],
                [AS_VAR_APPEND([SHMRING_SANITIZER_CFLAGS], [" -fno-sanitize-recover=undefined"])])
            SHMRING_NO_UNDEFINED=

            AC_MSG_CHECKING([whether $CC links with $SHMRING_SANITIZER_CFLAGS])
            shmring_saved_CFLAGS=$CFLAGS
            CFLAGS="$CFLAGS $SHMRING_SANITIZER_CFLAGS"
            AC_LINK_IFELSE([AC_LANG_PROGRAM],
                [AC_MSG_RESULT([yes])],
                [AC_MSG_RESULT([no])
                 AC_MSG_ERROR([the compiler has no run-time for that sanitizer])])
            CFLAGS=$shmring_saved_CFLAGS],
        [AC_MSG_ERROR([bad value "$enable_sanitizer" for --enable-sanitizer])])
    AC_SUBST([SHMRING_SANITIZER_CFLAGS])
    AC_SUBST([SHMRING_NO_UNDEFINED])
])
