# SPDX-License-Identifier: MIT
#
# SHMRING_WARNINGS(FLAGS)
#
# Put those of FLAGS that the compiler knows into SHMRING_WARNINGS_CFLAGS, and -Werror after them
# with --enable-werror. The user's CFLAGS come later on the command line and can undo each.
AC_DEFUN([SHMRING_WARNINGS], [
    AC_ARG_ENABLE([werror],
        [AS_HELP_STRING([--enable-werror], [let the build fail at a warning])],
        [], [enable_werror=no])

    SHMRING_WARNINGS_CFLAGS=
    shmring_saved_CFLAGS=$CFLAGS
    m4_foreach_w([FLAG], [$1], [
        AC_MSG_CHECKING([whether $CC knows FLAG])
        CFLAGS="$shmring_saved_CFLAGS -Werror FLAG"
        AC_COMPILE_IFELSE([AC_LANG_PROGRAM],
            [AC_MSG_RESULT([yes])
             AS_VAR_APPEND([SHMRING_WARNINGS_CFLAGS], [" FLAG"])],
            [AC_MSG_RESULT([no])])
    ])
    CFLAGS=$shmring_saved_CFLAGS
    AS_VAR_IF([enable_werror], [yes], [AS_VAR_APPEND([SHMRING_WARNINGS_CFLAGS], [" -Werror"])])
    SHMRING_WARNINGS_CFLAGS=${SHMRING_WARNINGS_CFLAGS# }
    AC_SUBST([SHMRING_WARNINGS_CFLAGS])
])
