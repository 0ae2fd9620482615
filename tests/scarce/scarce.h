/* scarce.h - memory that runs out where a test says so.
 *
 * A program that is linked with scarce.c has its malloc() and all of that family in place of the C
 * library's, for its own code and for every shared library.  scarce_try() makes the first
 * allocation of a piece of work fail, then the second, and so on; once alone, and once with all
 * that come after it. */
#ifndef AIRSTRIP_TESTS_SCARCE_H
#define AIRSTRIP_TESTS_SCARCE_H

#include "kernels/base/buf.h"
#include "kernels/base/err.h"

struct scarce_work {
    const char *name;
    /* Does all of it, from opening to closing.  0, with what came out appended to *out (which has
     * room: putting something into it allocates nothing), or an ERR_* with its sentence. */
    int (*run)(const struct scarce_work *w, struct buf *out, struct err *e);
    const char *text; /* what it works on */
    size_t len;
    const void *data;
};

/* Fails the test unless, whichever allocation fails, the work says that there is no memory, or does
 * as it does when there is; and every time leaves as many blocks behind as there were before. */
void scarce_try(const struct scarce_work *w);

#endif
