/* nccl.h - the part of NCCL that is used, as its library has it (nccl.h of NCCL 2): the module is
 * built without it, and opens it only where a model has several devices. */
#ifndef AIRSTRIP_CUDA_NCCL_H
#define AIRSTRIP_CUDA_NCCL_H

#include <cuda_runtime_api.h>
#include <stddef.h>

struct ncclComm; /* a rank's place among its peers */

struct nccl_id {
    char bytes[128];
};

enum { NCCL_SUCCESS = 0, NCCL_SYSTEM_ERROR = 2, NCCL_INVALID_ARGUMENT = 4 }; /* ncclResult_t */
enum { NCCL_FLOAT32 = 7 };                                                   /* ncclDataType_t */

/* Functions of libnccl.so.2, each as long as the process lives; they return an ncclResult_t. */
struct nccl {
    int (*get_unique_id)(struct nccl_id *id);
    /* Waits until all n ranks have come; with the rank's device current. */
    int (*init_rank)(struct ncclComm **comm, int n, struct nccl_id id, int rank);
    int (*destroy)(struct ncclComm *comm);
    int (*abort)(struct ncclComm *comm);
    const char *(*error_string)(int result);
    /* receive[rank * count ...] = what that rank sends; on the stream. */
    int (*all_gather)(const void *send, void *receive, size_t count, int type,
                      struct ncclComm *comm, cudaStream_t s);
    int (*send)(const void *p, size_t count, int type, int peer, struct ncclComm *comm,
                cudaStream_t s);
    int (*receive)(void *p, size_t count, int type, int peer, struct ncclComm *comm,
                   cudaStream_t s);
    int (*group_start)(void); /* messages between these two calls go side by side */
    int (*group_end)(void);
};

#endif
