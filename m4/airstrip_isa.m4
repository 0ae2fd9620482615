# AIRSTRIP_ISA(NAME, FLAGS, INCLUDE, STATEMENT)
# Can the compiler build STATEMENT with FLAGS?  (A statement, since AMX intrinsics are no expressions.)
# Sets NAME_CFLAGS, the conditional HAVE_ISA_NAME, the macro HAVE_ISA_NAME, and adds to AIRSTRIP_ISAS.
AC_DEFUN([AIRSTRIP_ISA], [
    AC_MSG_CHECKING([whether $CC can build for $1])
    airstrip_save_CFLAGS=$CFLAGS
    CFLAGS="$CFLAGS $2"
    AC_LINK_IFELSE([AC_LANG_PROGRAM([$3], [$4])], [airstrip_isa=yes], [airstrip_isa=no])
    CFLAGS=$airstrip_save_CFLAGS
    AC_MSG_RESULT([$airstrip_isa])
    AS_IF([test $airstrip_isa = yes], [
        AIRSTRIP_ISAS="$AIRSTRIP_ISAS $1"
        AC_DEFINE(AS_TR_CPP([HAVE_ISA_$1]), [1], [the compiler can build for $1])])
    AS_TR_SH([isa_$1_cflags])="$2"
    AC_SUBST(AS_TR_SH([isa_$1_cflags]))
    AM_CONDITIONAL(AS_TR_CPP([HAVE_ISA_$1]), [test $airstrip_isa = yes])
])
