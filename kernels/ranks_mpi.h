/* ranks_mpi.h - ranks that are processes, on one host or several, started by MPI's launcher.
 *
 * MPI is in a module that is loaded only where a launcher has started more than one process.  All
 * processes make the same calls in the same order.  Whether the others live is watched by a thread
 * of its own, from the start to the end: a process of this host that ends is noticed at once, one
 * that says nothing for `timeout_ms`, because it is frozen or cannot be reached, then.
 *
 * Threads: main's, but for failed(). */
#ifndef AIRSTRIP_RANKS_MPI_H
#define AIRSTRIP_RANKS_MPI_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/ranks.h"

struct ranks_world; /* all processes of one launch */

enum ranks_precision {
    RANKS_F32,  /* sums of floats, in the order of the ranks */
    RANKS_BF16, /* terms and sums are rounded to 8 bits of significand: half the bytes */
    RANKS_Q8,   /* 8-bit codes with a scale for each 32: a little more than a quarter */
};

struct ranks_mpi_options {
    size_t timeout_ms; /* who says nothing for so long has failed */
    enum ranks_precision precision;
};

struct ranks_mpi_info {
    size_t rank, n;
    size_t n_beside;   /* of these on this host and bound to the same processors, or to none, this
                        * one among them */
    char library[128]; /* which MPI */
};

/* Whether a launcher has started this process as one of several: what it says, before MPI is asked.
 * Open MPI's mpirun, srun with PMIx or PMI-2, mpiexec of MPICH. */
bool ranks_mpi_launched(size_t *rank, size_t *n);

/* Joins the others.  Errors: ERR_UNSUPPORTED where the module or MPI is missing, ERR_IO. */
int ranks_mpi_open(struct ranks_world **out, const struct ranks_mpi_options *o,
                   struct err *e) MUST_CHECK;

/* Ranks of one model, closed by their ops->close(), before the world. */
int ranks_mpi_join(struct ranks_world *w, struct ranks **out, struct err *e) MUST_CHECK;

void ranks_mpi_describe(const struct ranks_world *w, struct ranks_mpi_info *out);

/* 0, or ERR_INTERNAL with the rank that failed and why.  Any thread; waits for nothing. */
int ranks_mpi_failed(struct ranks_world *w, struct err *e) MUST_CHECK;

/* This process can go on no longer; the others hear why. */
void ranks_mpi_fail(struct ranks_world *w, const struct err *why);

/* Whether all processes came with the same n bytes, of at most RANKS_COMPARE_MAX: 0, or
 * ERR_INVALID and in *other the first that has others than rank 0. */
int ranks_mpi_compare(struct ranks_world *w, const void *bytes, size_t n, size_t *other,
                      struct err *e) MUST_CHECK;

enum { RANKS_COMPARE_MAX = 256 };

/* Leaves, and waits until the others do, timeout_ms at the most.  NULL is fine.  False: they did
 * not, or something failed before, and MPI must not be asked to end: leave with _exit(). */
bool ranks_mpi_close(struct ranks_world *w);

#endif
