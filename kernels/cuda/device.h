/* device.h - one GPU as the backend has it: a stream, scratch memory, and what is remembered within
 * a step.
 *
 * Only for the C files of this folder; the engine's thread alone. */
#ifndef AIRSTRIP_CUDA_DEVICE_H
#define AIRSTRIP_CUDA_DEVICE_H

#include <cuda_runtime_api.h>

#include "kernels/backend.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/nccl.h"

/* A matrix. */
struct weight {
    size_t rows, cols;
    bool codes;                /* else floats */
    struct cuda_codes code;    /* pointers into memory */
    struct cuda_floats floats; /* data is memory */
    void *memory;              /* device; NULL for a table that is only read row by row */
    const struct tensor *t;    /* borrowed; of WEIGHT_EMBED */
};

/* Small arrays of the host on their way to the device: written here, copied by the stream; used
 * again after sync. */
struct stage {
    char *host, *device;
    size_t bytes, used;
    bool rewound; /* it was full, and began anew within a step */
};

/* Rows of a batch on the device, by the spans that say them. */
struct batch_rows {
    const struct seq_span *spans; /* NULL: not in use */
    size_t n_spans;
    const struct cuda_row *rows;
    const int32_t *pages;
    size_t longest; /* see struct batch_shape */
    const struct cuda_tile *tiles;
    unsigned n_tiles;
};

/* Of spans: what sizes of arrays and launches depend on, each rounded up to a power of two. */
struct batch_shape {
    size_t n_pages; /* in the tables of all */
    size_t longest; /* positions of the longest sequence */
};

struct rope_table {
    const float *inv_freq; /* NULL: not in use */
    const struct seq_span *spans;
    size_t n, n_rot;
    float mscale;
};

/* Matrices of experts as an array on the device. */
struct expert_array {
    const struct weight *const *of;
    void *device;
    struct expert_array *next;
};

/* What a step is known by (graph.c). */
enum { KEY_SPANS = 4 };
struct key {
    unsigned char *bytes;
    size_t used, size;
    bool failed;
    const struct seq_span *spans[KEY_SPANS]; /* met so far */
    size_t n_spans;
};

enum { ROPE_TABLES = 4, BATCHES = 4 };

struct op;
struct graph;

struct device {
    int ordinal;
    char name[96];
    char isa[16];
    int major, minor;
    cudaStream_t stream;
    bool shared;        /* struct backend_options */
    cudaError_t broken; /* the first error that a kernel or copy left behind */

    struct ranks *ranks;     /* borrowed; NULL: alone */
    const struct nccl *nccl; /* of several ranks: its functions, and */
    struct ncclComm *comm;   /* the way to the others; NULL: not yet met, or lost */
    struct err lost;         /* code 0, or why the ranks are no longer together */
    bool met, left; /* the others were looked for; they were told that it goes on no more */

    struct op *ops; /* enqueued since the last sync(), n_ops of them (queue.c) */
    size_t n_ops;
    bool flushed; /* the queue was full */
    struct key key;
    struct graph *graphs;
    size_t n_graphs;
    uint64_t n_steps;
    bool replaying; /* ops only fill the stage: a graph has the rest */

    struct stage stage;
    void *view; /* pinned, of view_bytes; views lie one behind the other until the next op */
    size_t view_bytes, view_used;

    size_t max_rows, max_cols, max_head_dim;
    struct cuda_acts acts; /* of max_rows x max_cols */
    float2 *tables;        /* [ROPE_TABLES][max_rows][max_head_dim / 2] */
    void *parts;           /* intermediate results of an op, PARTS_BYTES */
    struct batch_rows batches[BATCHES];
    struct rope_table ropes[ROPE_TABLES];
    size_t next_batch, next_rope;
    struct expert_array *experts;
};

struct kv {
    struct kv_shape shape;
    struct cuda_kv on_device;
};

/* Remembers the first error of the device; returns e == cudaSuccess. */
bool device_ok(struct device *d, cudaError_t e);

/* ERR_NOMEM or ERR_INTERNAL with what CUDA says of `what`. */
int device_error(struct device *d, cudaError_t e, struct err *err, const char *what, size_t bytes);

/* From here on calls of CUDA are about this device: at the beginning of each function that the
 * backend offers, since a thread may have had another. */
void device_enter(const struct device *d);

/* Is there scratch for an op of that size?  What reserve() did not foresee is made now, or breaks
 * the device. */
bool device_room(struct device *d, size_t rows, size_t cols, size_t head_dim);

/* Is d->parts there?  It is made now where kv_open() did not, or the device is broken. */
bool device_parts(struct device *d);

void device_forget_experts(
    struct device *d); /* their arrays; they are made anew when they are needed */

extern const struct backend backend_cuda;

/* --- memory.c --- */
int cuda_alloc(struct device *d, size_t bytes, void **out, struct err *e);
void cuda_free(struct device *d, void *p);
int cuda_reserve(struct device *d, size_t max_rows, struct err *e);
int cuda_upload_matrix(struct device *d, const struct tensor *t, unsigned use, struct weight **out,
                       struct err *e); /* cuda_upload(), and scratch as wide */
size_t cuda_free_bytes(struct device *d, const struct backend_room *r);
size_t cuda_weight_bytes(const struct tensor *t, unsigned use);
int cuda_kv_open(struct device *d, const struct kv_shape *s, struct kv **out, struct err *e);
void cuda_kv_close(struct device *d, struct kv *kv);

/* --- weight.c --- */
/* What cuda_upload() will take; 0 for what it refuses. */
size_t weight_bytes(const struct tensor *t, unsigned use);
int cuda_upload(struct device *d, const struct tensor *t, unsigned use, struct weight **out,
                struct err *e);
void cuda_weight_free(struct device *d, struct weight *w);
/* y[cols] on the host = row `row` of a table, as the file says. */
void weight_row(const struct weight *w, size_t row, float *y);

/* --- queue.c: members of the table, and what sync() begins with --- */
int queue_open(struct device *d, struct err *e);
void queue_close(struct device *d);
void queue_run(struct device *d);
void queue_write(struct device *d, void *dst, const void *src, size_t bytes);
void queue_embed(struct device *d, float *y, const struct weight *table, const int32_t *ids,
                 size_t n, float scale);
void queue_gather(struct device *d, float *y, const float *x, const int32_t *rows, size_t n,
                  size_t cols);
void queue_norm(struct device *d, const struct norm *op);
void queue_matmul(struct device *d, const struct matmul *op);
void queue_feed_forward(struct device *d, const struct feed_forward *op);
void queue_rope_kv(struct device *d, const struct rope_kv *op);
void queue_attend(struct device *d, const struct attend *op);
void queue_kv_copy(struct device *d, struct kv *kv, int32_t from, int32_t to, size_t n);
void queue_gated_act(struct device *d, float *y, const float *gate, const float *up, size_t count,
                     enum act_kind kind);
void queue_experts(struct device *d, const struct experts *op);
void queue_softcap(struct device *d, float *x, size_t count, float cap);
void queue_argmax(struct device *d, int32_t *ids, const float *x, size_t rows, size_t cols);
void queue_top(struct device *d, const struct top *op);
void queue_reduce(struct device *d, float *x, size_t rows, size_t cols);
void queue_collect(struct device *d, const struct collect *op);

/* Graphs hold addresses: none outlives what it was captured with. */
void graph_forget(struct device *d);

/* --- stage.c --- */
int stage_open(struct device *d, size_t bytes, struct err *e);
void stage_close(struct device *d);
/* Room for `bytes` that go to the device once stage_send() is called; where they will be there.
 * NULL on a device that is broken. */
void *stage_take(struct device *d, size_t bytes, void **on_device);
void stage_send(struct device *d, const void *host, void *on_device, size_t bytes);
struct batch_shape stage_shape(const struct seq_span *spans, size_t n_spans, size_t page_tokens);
/* The rows of a batch, made once in a step. */
const struct batch_rows *stage_rows(struct device *d, const struct seq_span *spans, size_t n_spans,
                                    size_t n, size_t page_tokens);
void stage_forget(struct device *d); /* after sync */

/* --- ranks.c --- */
/* One of r's devices; r is NULL for a device that is alone. */
int ranks_open(struct device *d, struct ranks *r, struct err *e);
void ranks_leave(struct device *d);
/* Waits for the stream, as long as all ranks are there; false on a device that is broken. */
bool device_wait(struct device *d);
/* Tells the others where the device can go on no longer. */
void ranks_look(struct device *d);
void cuda_reduce(struct device *d, float *x, size_t rows, size_t cols);
void cuda_collect(struct device *d, const struct collect *op);

/* --- ops.c: the ops themselves, on the stream --- */
void cuda_write(struct device *d, void *dst, const void *src, size_t bytes);
void cuda_embed(struct device *d, float *y, const struct weight *table, const int32_t *ids,
                size_t n, float scale);
void cuda_gather(struct device *d, float *y, const float *x, const int32_t *rows, size_t n,
                 size_t cols);
void cuda_norm(struct device *d, const struct norm *op);
void cuda_matmul(struct device *d, const struct matmul *op);
void cuda_feed_forward(struct device *d, const struct feed_forward *op);
void cuda_rope_kv(struct device *d, const struct rope_kv *op);
void cuda_attend(struct device *d, const struct attend *op);
void cuda_kv_copy(struct device *d, struct kv *kv, int32_t from, int32_t to, size_t n);
void cuda_gated_act(struct device *d, float *y, const float *gate, const float *up, size_t count,
                    enum act_kind kind);
void cuda_experts(struct device *d, const struct experts *op);
void cuda_softcap(struct device *d, float *x, size_t count, float cap);
void cuda_argmax(struct device *d, int32_t *ids, const float *x, size_t rows, size_t cols);
void cuda_top(struct device *d, const struct top *op);

enum { PARTS_BYTES = 32 << 20 };

#endif
