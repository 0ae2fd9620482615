/* ranks.h - the ranks that compute one model together, and how they speak with each other.
 *
 * Each rank has a device and a part of every layer.  Rank 0 leads: it tells the others what to do,
 * and they do it with it.  Sums and gathers are calls of all ranks: all make the same ones in the
 * same order, and a call returns to a rank when its part is done.  A transport is one file that
 * fills struct ranks_ops (ranks_threads.h is one), whose own struct begins with a struct ranks.
 *
 * Who fails says so, and no other waits for it any longer: from then on every call on every rank
 * returns ERR_INTERNAL with a sentence that names the rank.  What a call that failed was to write
 * is void.
 *
 * Threads: one at a time on each rank, not always the same one; quit() and failed() by any. */
#ifndef AIRSTRIP_RANKS_H
#define AIRSTRIP_RANKS_H

#include <stddef.h>

#include "kernels/base/buf.h"
#include "kernels/base/err.h"

struct ranks;

struct ranks_ops {
    const char *name; /* "threads", ... */

    /* x: [rows, cols] HOST.  x = the sum of all ranks' x, the same bits on each, and of each value
     * the same whatever rows and cols are and wherever it stands: a text does not depend on what is
     * evaluated beside it.  A transport may pack values to fewer bits, in blocks within a row. */
    int (*sum)(struct ranks *r, float *x, size_t rows, size_t cols, struct err *e);

    /* all: HOST, on rank 0 only, elsewhere NULL: the ranks' counts[i] floats behind each other.
     * own: HOST [counts[rank]].  counts: [n], the same on all. */
    int (*gather)(struct ranks *r, float *all, const float *own, const size_t *counts,
                  struct err *e);

    /* Rank 0 says, the others hear, each message once and in order.  tell() does not wait for them
     * to hear it, or only for the one before.  hear() waits as long as there is none, without using
     * a processor for it, and puts the message into *out in place of what is there. */
    int (*tell)(struct ranks *r, const void *bytes, size_t n, struct err *e);
    int (*hear)(struct ranks *r, struct buf *out, struct err *e);

    /* This rank can go on no longer, for the reason given.  The first one counts. */
    void (*quit)(struct ranks *r, const struct err *why);

    /* 0, or ERR_INTERNAL and which rank failed and why.  Waits for nothing. */
    int (*failed)(struct ranks *r, struct err *e);

    /* Frees what this rank has of the transport.  If the others still use theirs, that is as if it
     * had failed. */
    void (*close)(struct ranks *r);
};

struct ranks {
    const struct ranks_ops *ops;
    size_t rank, n; /* rank < n */
};

enum { RANKS_MAX = 64 };

#endif
