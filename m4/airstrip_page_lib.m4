# AIRSTRIP_PAGE_LIB(NAME, FILE, PACKAGE, WITHOUT)
# Where is FILE, a library in JavaScript that the page in conf/www uses, below one of $JAVASCRIPT_DIRS, and its licence?
# Sets page_NAME and page_NAME_license, empty where it cannot be had; then WITHOUT says what the page lacks.
AC_DEFUN([AIRSTRIP_PAGE_LIB], [
    AC_MSG_CHECKING([for $2])
    page_$1= page_$1_license=
    for airstrip_dir in $JAVASCRIPT_DIRS; do
        test -z "$page_$1" && test -r "$airstrip_dir/$2" || continue
        airstrip_root=$airstrip_dir/`echo "$2" | sed 's|/.*||'`
        for airstrip_license in /usr/share/doc/$3/copyright "$airstrip_root/LICENSE" "$airstrip_root/LICENSE.md"; do
            test -z "$page_$1" && test -r "$airstrip_license" || continue
            page_$1=$airstrip_dir/$2 page_$1_license=$airstrip_license
        done
    done
    AC_MSG_RESULT([${page_$1:-no}])
    AS_IF([test -n "$page_$1"], [AIRSTRIP_PAGE="$AIRSTRIP_PAGE $1"],
          [AC_MSG_WARN([$3 is not installed (no $2 with a licence in $JAVASCRIPT_DIRS): $4])])
    AC_SUBST([page_$1])
    AC_SUBST([page_$1_license])
])
