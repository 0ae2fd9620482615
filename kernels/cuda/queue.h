/* queue.h - the ops between two sync()s, kept until the second, so that a step which came before
 * can be run as a graph (graph.c).
 *
 * Only for the C files of this folder; the engine's thread alone. */
#ifndef AIRSTRIP_CUDA_QUEUE_H
#define AIRSTRIP_CUDA_QUEUE_H

#include "kernels/cuda/device.h"

enum op_kind {
    OP_WRITE,
    OP_EMBED,
    OP_GATHER,
    OP_NORM,
    OP_MATMUL,
    OP_FEED_FORWARD,
    OP_ROPE_KV,
    OP_ATTEND,
    OP_KV_COPY,
    OP_GATED_ACT,
    OP_EXPERTS,
    OP_SOFTCAP,
    OP_ARGMAX,
    OP_TOP,
    OP_REDUCE,
    OP_COLLECT,
};

/* Arguments as backend.h has them. */
struct op {
    enum op_kind kind;
    union {
        struct {
            void *dst;
            const void *src;
            size_t bytes;
        } write;
        struct {
            float *y;
            const struct weight *table;
            const int32_t *ids;
            size_t n;
            float scale;
        } embed;
        struct {
            float *y;
            const float *x;
            const int32_t *rows;
            size_t n, cols;
        } gather;
        struct norm norm;
        struct matmul matmul;
        struct feed_forward feed_forward;
        struct rope_kv rope_kv;
        struct attend attend;
        struct {
            struct kv *kv;
            int32_t from, to;
            size_t n;
        } kv_copy;
        struct {
            float *y;
            const float *gate, *up;
            size_t count;
            enum act_kind kind;
        } gated_act;
        struct experts experts;
        struct {
            float *x;
            size_t count;
            float cap;
        } softcap;
        struct {
            int32_t *ids;
            const float *x;
            size_t rows, cols;
        } argmax;
        struct top top;
        struct {
            float *x;
            size_t rows, cols;
        } reduce;
        struct collect collect;
    };
};

/* Enqueues what the op is made of on the stream; while d->replaying, only fills the stage. */
void op_issue(struct device *d, const struct op *op);

/* --- key.c --- */

/* Of a step; false: its kind never makes a graph. */
bool key_make(struct key *k, const struct op *ops, size_t n);

/* --- graph.c --- */

/* Runs the ops: as a graph where they came before, and only what they are about has changed. */
void graph_run(struct device *d, const struct op *ops, size_t n);

#endif
