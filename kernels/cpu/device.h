/* device.h - the CPU device: its threads, its queue of ops, and the scratch memory they share.
 *
 * Only for the files of this folder.  The engine's thread enqueues; while queue_run() is under way
 * every thread of the pool walks the ops in order, and nothing here but `gates` and what ops write
 * may change. */
#ifndef AIRSTRIP_CPU_DEVICE_H
#define AIRSTRIP_CPU_DEVICE_H

#include "kernels/backend.h"
#include "kernels/base/pool.h"
#include "kernels/cpu/fetch.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/kv.h"
#include "kernels/cpu/mm.h"

/* How an attend op is cut: a task is some rows of one span, times some heads that share a kv head,
 * and with `split` only some of the positions. */
struct attend_plan {
    size_t group_heads; /* query heads of a task */
    size_t n_groups;    /* tasks that the heads of one kv head make */
    size_t rows;        /* rows of a task */
    size_t n_tiles;     /* tasks, not counting splits */
    bool wide;          /* attend_wide.c takes them */
    bool split; /* partial results go to device.parts and op_attend_merge() puts them together */
};

enum op_kind {
    OP_WRITE,
    OP_EMBED,
    OP_GATHER,
    OP_NORM,
    OP_MM_PREPARE,
    OP_MATMUL,
    OP_MM_JOIN,   /* the first half of a feed-forward op, into scratch */
    OP_MM_HIDDEN, /* the second half, from there */
    OP_ROPE_TABLE,
    OP_ROPE_KV,
    OP_ATTEND,
    OP_ATTEND_MERGE,
    OP_KV_COPY,
    OP_GATED_ACT,
    OP_ROUTE_SCORES,
    OP_ROUTE,
    OP_ROUTE_SORT,
    OP_EXPERT_ROWS,
    OP_EXPERT_PREPARE,
    OP_EXPERT_MATMUL,
    OP_EXPERT_SUM,
    OP_SOFTCAP,
    OP_ARGMAX,
    OP_ARGMAX_MERGE,
    OP_REDUCE,
    OP_REDUCE_LATER, /* nobody waits for it before */
    OP_AWAIT,        /* this one, which has no chunks */
    OP_COLLECT,
};

struct op {
    enum op_kind kind;
    size_t
        n_chunks; /* how many pieces of work; 1 runs on one thread, together with its neighbours */
    size_t per;   /* rows or values of a chunk, where chunks are that plain */
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
        struct {
            struct matmul in;
            enum act_kind act;
        } join;
        struct {
            struct rope_kv op;
            size_t slot; /* which rope table */
        } rope;
        struct {
            struct attend op;
            struct attend_plan plan;
        } attend;
        struct {
            struct kv *kv;
            size_t from, to;
        } kv_copy;
        struct {
            float *y;
            const float *gate, *up;
            size_t count;
            enum act_kind kind;
        } act;
        struct {
            struct experts op;
            bool down; /* which of the two multiplications */
        } experts;
        struct {
            float *x;
            size_t count;
            float cap;
        } softcap;
        struct {
            int32_t *ids;
            const float *x;
            size_t rows, cols;
            size_t n_parts; /* pieces of a row, each of `per` columns */
        } argmax;
        struct {
            float *x;
            size_t rows, cols;
        } reduce;
        struct collect collect;
        size_t await; /* whose gate */
    };
};

enum { QUEUE_MAX = 4096, ROPE_SLOTS = 4 };

/* Memory for intermediate results that only grows, and only while no op runs. */
struct scratch {
    void *base; /* aligned to 64 */
    size_t bytes;
};

struct device {
    struct pool *pool;
    const struct isa_ops *ops;
    size_t n_threads;
    struct ranks *ranks; /* borrowed; NULL: alone */
    struct err lost;     /* code 0, or why the ranks are no longer together */
    size_t later;        /* of the queue, the OP_REDUCE_LATER that none waits for yet + 1; or 0 */

    struct op *queue; /* [QUEUE_MAX] */
    struct pool_gate *gates;
    struct pool_lane *lanes; /* [QUEUE_MAX][n_lanes] */
    size_t n_lanes;
    size_t n_ops;

    struct weight_store weights;
    struct mm_scratch mm;
    size_t max_rows, max_cols; /* what mm is for */

    struct scratch tiles; /* of attend: tile_bytes for each thread */
    size_t tile_bytes;
    struct scratch parts;      /* of attend with split, and of argmax */
    struct expert_turn *turns; /* [n_threads], of experts.c */
    struct fetch *fetch;       /* [n_threads] */

    /* Cosines and sines of the rows of a step, [rows, 2 * n_rot]; which op made a slot is
     * remembered until the queue has run. */
    struct scratch rope[ROPE_SLOTS];
    struct rope_key {
        const float *inv_freq; /* NULL: not in use */
        const struct seq_span *spans;
        size_t n, n_rot;
        float mscale;
        enum rope_kind kind;
    } rope_keys[ROPE_SLOTS];
    size_t next_rope;
};

/* Makes s at least that large; its contents are lost.  False if there is no memory: s is as it was.
 */
bool scratch_grow(struct scratch *s, size_t bytes);
void scratch_done(struct scratch *s);

/* --- queue.c --- */

int queue_open(struct device *d, struct err *e) MUST_CHECK;
void queue_close(struct device *d);

/* The next free place, with room for `more` ops behind it; what stands in a full queue is run
 * first. */
struct op *queue_put(struct device *d, enum op_kind kind, size_t n_chunks, size_t per);
void queue_run(struct device *d);

/* --- fetch.c --- */

/* Before a thread's first chunk of an op: what it fetches meanwhile, and how fast. */
void fetch_pace(const struct device *d, size_t index, size_t thread);

/* --- rope.c --- */

/* Enqueues the op, and before it the table of angles where this step has not made it yet. */
void rope_enqueue(struct device *d, const struct rope_kv *op);
void rope_table_chunk(struct device *d, const struct op *op, size_t chunk);
void rope_kv_chunk(struct device *d, const struct op *op, size_t chunk);

/* --- attend.c --- */

/* Scratch of all threads for heads of this size; called when a cache is opened. */
int attend_reserve(struct device *d, size_t head_dim, struct err *e) MUST_CHECK;
void attend_enqueue(struct device *d, const struct attend *op);
void attend_chunk(struct device *d, const struct op *op, size_t chunk, size_t thread);
void attend_merge_chunk(struct device *d, const struct op *op, size_t chunk, size_t thread);

/* --- experts.c --- */

int experts_open(struct device *d, struct err *e) MUST_CHECK;
void experts_enqueue(struct device *d, const struct experts *op);
void experts_chunk(struct device *d, const struct op *op, size_t chunk, size_t thread, bool begun);

/* --- argmax.c --- */

void argmax_enqueue(struct device *d, int32_t *ids, const float *x, size_t rows, size_t cols);
void argmax_chunk(struct device *d, const struct op *op, size_t chunk);
void argmax_merge_chunk(struct device *d, const struct op *op);

/* --- reduce.c: all are of one chunk, so that one thread at a time speaks with other ranks --- */

void reduce_enqueue(struct device *d, float *x, size_t rows, size_t cols);
void reduce_later_enqueue(struct device *d, float *x, size_t rows, size_t cols);
void reduce_chunk(struct device *d, const struct op *op);
void collect_enqueue(struct device *d, const struct collect *op);
void collect_chunk(struct device *d, const struct op *op);

static inline size_t ceil_div(size_t a, size_t b)
{
    return a / b + (a % b != 0);
}

static inline size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

#endif
