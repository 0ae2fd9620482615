/* module.h - what the module airstrip_cuda.so offers the program that loads it.
 *
 * The program never links CUDA: backend.c opens the module with dlopen() and looks for
 * `airstrip_cuda`.  The module is built from the same source, and the numbers here say whether it
 * really was. */
#ifndef AIRSTRIP_CUDA_MODULE_H
#define AIRSTRIP_CUDA_MODULE_H

#include "kernels/backend.h"

enum { CUDA_MODULE_ABI = 2 };

struct cuda_module {
    int abi;              /* CUDA_MODULE_ABI */
    size_t backend_bytes; /* sizeof(struct backend) */
    const struct backend *backend;

    /* 0 where there is a device that this build can use, else ERR_UNSUPPORTED and what is missing.
     * Takes milliseconds and opens no other library. */
    int (*look)(struct err *e);
};

extern const struct cuda_module airstrip_cuda;

#endif
