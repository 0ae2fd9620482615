/* brief.h - a part of a battery's cases, for processors that are emulated, where all of them take
 * too long: AIRSTRIP_TEST_BRIEF=1 in the environment.  AIRSTRIP_TEST_FILTER chooses tests by name,
 * such as *neon*. */
#ifndef AIRSTRIP_TESTS_BRIEF_H
#define AIRSTRIP_TESTS_BRIEF_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static inline bool brief(void)
{
    const char *s = getenv("AIRSTRIP_TEST_BRIEF");

    return s && strcmp(s, "1") == 0;
}

/* Of the cases one in `every` is run. */
static inline bool brief_leaves_out(size_t i, size_t every)
{
    return brief() && i % every != 0;
}

/* Before the tests; what: the part that is run, for the output, or NULL if it is all. */
static inline void brief_begin(const char *what)
{
    const char *filter = getenv("AIRSTRIP_TEST_FILTER");

    if (brief() && what)
        print_message("# brief: %s\n", what);
    if (filter && *filter)
        print_message("# only tests named %s\n", filter);
    cmocka_set_test_filter(filter && *filter ? filter : NULL);
}

#endif
