/* module.h - what the module airstrip_mpi.so offers the program that loads it.
 *
 * The program never links MPI: ranks_mpi.c opens the module with dlopen() and looks for
 * `airstrip_mpi`.  The module is built from the same source, and the numbers here say whether it
 * really was. */
#ifndef AIRSTRIP_MPI_MODULE_H
#define AIRSTRIP_MPI_MODULE_H

#include "kernels/ranks_mpi.h"

enum { MPI_MODULE_ABI = 2 };

struct mpi_module {
    int abi;                         /* MPI_MODULE_ABI */
    size_t ops_bytes, options_bytes; /* sizeof(struct ranks_ops), (struct ranks_mpi_options) */

    /* All ranks make these calls, in the same order. */
    int (*open)(struct ranks_world **out, const struct ranks_mpi_options *o, struct err *e);
    int (*join)(struct ranks_world *w, struct ranks **out, struct err *e);
    void (*describe)(const struct ranks_world *w, struct ranks_mpi_info *out);
    int (*failed)(struct ranks_world *w, struct err *e);
    void (*fail)(struct ranks_world *w, const struct err *why);
    int (*compare)(struct ranks_world *w, const void *bytes, size_t n, size_t *other,
                   struct err *e);
    bool (*close)(struct ranks_world *w);
};

extern const struct mpi_module airstrip_mpi;

#endif
