/* backend.h - THE table of a compute backend: everything the forward pass may ask of a device.
 *
 * The one idea: calls between two sync()s only *enqueue* work, in order; results are there after
 * sync(). A CPU runs the whole queue in one go with its threads, a GPU streams it.  Enqueued work
 * cannot fail: what can (memory, upload) is asked for before.
 *
 * Pointers from alloc() belong to the device: add offsets to them, pass them back, but look into
 * them only through view(), write() and read().  The bits of a result row never depend on the other
 * rows of an op.  Activations are float32, row-major, [rows, cols] without gaps unless a function
 * says otherwise.  One thread at a time per device: the engine's. */
#ifndef AIRSTRIP_BACKEND_H
#define AIRSTRIP_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/err.h"
#include "kernels/tensor.h"

struct device; /* a backend's own state */
struct weight; /* a matrix in the backend's own order */
struct kv;     /* keys and values of all layers, in pages */
struct ranks;  /* kernels/ranks.h */

struct backend_options {
    size_t n_threads; /* CPU: 0 = one per processor this process may use */
    const char *isa;  /* CPU: NULL or "" = the fastest that runs here, else a name (AIRSTRIP_ISA) */
    bool shared; /* alloc() gives memory that the host may read and write as its own after sync() */
    struct ranks *ranks; /* the device is that of one rank, borrowed until close(); NULL: it is
                          * alone.  ERR_UNSUPPORTED where it cannot be one of several */
};

struct backend_info {
    const char *isa;  /* "amx", ...; as long as the device is open */
    char device[128]; /* what to call it in the log */
    size_t n_threads;
};

enum { BACKEND_MAX_FUSED = 3 };

/* y_i[r, :] = x[r, :] * W_i^T (+ bias_i), for up to three matrices that read the same x: q-k-v,
 * gate-up. */
struct matmul {
    size_t n_out;
    const struct weight *w[BACKEND_MAX_FUSED]; /* [rows_i, cols] each, cols the same */
    float *y[BACKEND_MAX_FUSED];               /* [n, rows_i] */
    const float *bias[BACKEND_MAX_FUSED];      /* [rows_i] or NULL */
    const float *x;                            /* [n, cols] */
    size_t n;
    bool
        prompt; /* the rows are given tokens: the arithmetic may be the one that is best for many */
};

enum norm_kind {
    NORM_RMS,   /* y = x / sqrt(mean(x^2) + eps) * w          (Zhang & Sennrich 2019) */
    NORM_LAYER, /* y = (x - mean) / sqrt(var + eps) * w + b   (Ba et al. 2016) */
};

/* First x += add where add is not NULL (the residual stream is updated in place), then y = norm(x).
 */
struct norm {
    enum norm_kind kind;
    float *y;         /* [n, cols]; may be x where add is NULL; NULL: only the addition */
    float *x;         /* [n, cols] */
    const float *add; /* [n, cols] or NULL */
    const float *w;   /* [cols] or NULL for ones */
    const float *b;   /* [cols] or NULL */
    size_t n, cols;
    size_t
        n_w; /* 0: as above; else w is [n_w, cols], and row i takes row i % n_w of it; no b then */
    float eps;
};

enum rope_kind {
    ROPE_NONE,
    ROPE_NORM, /* pairs (2i, 2i+1): GGUF llama */
    ROPE_NEOX, /* pairs (i, i + n_rot/2): GGUF gemma3, qwen, ... */
};

/* A run of rows that belong to one sequence, at consecutive positions. */
struct seq_span {
    size_t row, n; /* rows row .. row+n-1 of the batch */
    size_t pos;    /* position of the first of them */
    const int32_t
        *pages; /* HOST memory: page of position p is pages[p / page_tokens]; valid until sync() */
    size_t reach; /* attend: 0, a row sees no position behind its own; else it sees those below
                   * reach, which is behind the last row: all are in the cache by then */
    bool far;     /* rope_kv rotates by far_inv_freq */
};

/* Heads of q and k are normalised (where a weight is given), rotated, and k and v are written to
 * the cache (k after its rotation); q is rewritten in place. */
struct rope_kv {
    float *q;       /* [n, n_head * head_dim] */
    const float *k; /* [n, n_kv * head_dim] */
    const float *v; /* [n, n_kv * head_dim] */
    size_t n, n_head;
    const float *q_norm, *k_norm; /* [head_dim] RMS norm weights, or both NULL */
    float eps;
    enum rope_kind kind;
    size_t n_rot; /* leading values of a head that are rotated, even, <= head_dim */
    const float
        *inv_freq; /* DEVICE [n_rot / 2]: angle of pair i at position p is p * inv_freq[i] */
    const float *far_inv_freq; /* the same of spans that are far; NULL where none is */
    float mscale;              /* factor on cos and sin (YaRN, longrope), else 1 */
    struct kv *kv;
    size_t layer;
    const struct seq_span *spans; /* HOST, valid until sync(); together they cover all n rows */
    size_t n_spans;
};

/* y = softmax(mask(cap(q k^T * scale))) v, for every row over the positions 0 .. its own (causal)
 * or as far as its span reaches, of these only those less than `window` away.  Head h reads kv head
 * h / (n_head / n_kv). */
struct attend {
    float *y;       /* [n, n_head * head_dim]; not q */
    const float *q; /* [n, n_head * head_dim] */
    size_t n, n_head;
    float scale;
    size_t window;      /* 0 = all; w = positions p-w+1 .. p, with a reach .. p+w-1 */
    float softcap;      /* 0 = none; cap * tanh(s / cap) */
    const float *sinks; /* [n_head] extra logits in the denominator, or NULL */
    /* [n_head] or NULL: ALiBi (Press et al. 2022) in the BF16 it was trained with: the score of
     * position p is (q k^T + bf16(slopes[h] bf16(p))) * scale.  Not with a softcap. */
    const float *slopes;
    struct kv *kv;
    size_t layer;
    const struct seq_span *spans;
    size_t n_spans;
    bool prompt; /* as in struct matmul */
};

enum act_kind {
    ACT_SILU,
    ACT_GELU_TANH,
    ACT_GELU_ERF,
    ACT_RELU,
    ACT_SWIGLU_OAI, /* gated only: g sigmoid(1.702 g) (u + 1), g = min(gate, 7), u = up within -7 ..
                       7 (gpt-oss) */
};

/* A feed-forward part in which each row goes to n_used of n_expert experts (Shazeer et al. 2017):
 *
 *   s = x Wrouter^T + b, in float32; the n_used largest count, the lower index first in a tie
 *   y = scale * sum over them of p_e * (act(x Wgate_e^T + b) * (x Wup_e^T + b)) Wdown_e^T + b
 *   p = softmax(s), over all experts or, with `renormalise`, over those that were chosen
 *
 * Only chosen experts are computed.  All buffers are the caller's. */
struct experts {
    float *y;       /* [n, cols]; not x */
    const float *x; /* [n, cols] */
    size_t n, cols, n_ff, n_expert, n_used;
    const float *router, *router_bias;            /* [n_expert, cols]; [n_expert] or NULL */
    const struct weight *const *gate, *const *up; /* HOST [n_expert] of [n_ff, cols] */
    const struct weight *const *down;             /* HOST [n_expert] of [cols, n_ff] */
    const float *bgate, *bup, *bdown; /* [n_expert, n_ff] x2, [n_expert, cols]; or NULL */
    bool renormalise;
    float scale;
    enum act_kind act;
    bool shared;              /* y holds what an expert of all rows says, and is added to, */
    const float *shared_gate; /* times sigmoid(x . shared_gate) where this is there, [cols] */
    bool prompt;              /* as in struct matmul; not for the router */
    /* intermediate results */
    float *rows;                /* [n * n_used, cols] */
    float *gate_rows, *up_rows; /* [n * n_used, n_ff] */
    float *scores;              /* [n, n_expert] */
    float *shares;              /* [n, n_used + 1] */
    int32_t *places;            /* [experts_places(n, n_used, n_expert)] */
};

static inline size_t experts_places(size_t n, size_t n_used, size_t n_expert)
{
    return 3 * n * n_used + 4 * n_expert + 3;
}

/* y = (act(x gate^T + gate_bias) * (x up^T + up_bias)) down^T + down_bias  (Shazeer 2020), or
 * without a gate y = act(x up^T + up_bias) down^T + down_bias.  One op, so that a backend may keep
 * what stands between the products as it likes. */
struct feed_forward {
    const struct weight *gate;        /* [n_ff, cols] or NULL */
    const struct weight *up, *down;   /* [n_ff, cols], [rows, n_ff] */
    const float *gate_bias, *up_bias; /* [n_ff] or NULL */
    const float *down_bias;           /* [rows] or NULL */
    enum act_kind act;
    float *y;         /* [n, rows] */
    const float *x;   /* [n, cols] */
    float *hidden[2]; /* [n, n_ff] to work in; the second one only with a gate */
    size_t n;
    bool prompt; /* as in struct matmul */
};

/* What is largest in rows of logits, so that only that much has to come to the host. */
struct top {
    int32_t *ids; /* DEVICE [rows, k] the largest in order, the lower index first in a tie; -1 where
                   * there are no more: NaN is never among them */
    float *values; /* DEVICE [rows, k + 1] they, and behind them ln sum e^x of a row, but for NaN */
    const float *x; /* DEVICE [rows, cols] */
    size_t rows, cols;
    size_t k; /* 1 .. TOP_MOST */
};

enum { TOP_MOST = 32 };

/* Columns of a result from the ranks that have them, put side by side on rank 0. */
struct collect {
    float *y;            /* DEVICE [n, first[ranks]]; on rank 0, elsewhere NULL */
    float *parts;        /* DEVICE, as large, to work in; likewise */
    const float *x;      /* DEVICE [n, first[rank + 1] - first[rank]]; not y */
    const size_t *first; /* HOST [ranks + 1] the first column of each rank, and behind the last */
    size_t n;
};

struct kv_shape {
    size_t n_layers, n_kv, head_dim;
    size_t n_pages, page_tokens; /* page_tokens: a power of two, 16 .. 256 */
    enum dtype dtype;            /* F32, F16, BF16, Q8_0 (head_dim is a multiple of KV_Q8 then), or
                                  * on a GPU F8_E4M3, without scales */
    size_t n_host_layers;        /* the first ones stay on the host: split.h, elsewhere 0 */
};

enum { KV_Q8 = 32 }; /* values of a head that share a scale, an F16, in Q8_0 */

/* Bytes that n keys or values of a position and head take, n as head_dim above. */
static inline size_t kv_bytes(enum dtype t, size_t n)
{
    return t == DTYPE_Q8_0 ? n + n / KV_Q8 * 2
                           : n * (t == DTYPE_F32       ? 4
                                  : t == DTYPE_F8_E4M3 ? 1
                                                       : 2);
}

/* The largest ops that are to come. */
struct backend_room {
    size_t max_rows, max_cols, head_dim;
};

struct backend {
    const char *name; /* "cpu", "cuda" */

    int (*open)(struct device **out, const struct backend_options *o, struct err *e);
    void (*close)(struct device *d); /* after everything made from it was freed; NULL is fine */
    void (*info)(const struct device *d, struct backend_info *out);

    /* Memory of the device that is free now, less what such ops need to work in; and what a matrix
     * takes there.  NULL where all memory is the host's. */
    size_t (*free_bytes)(struct device *d, const struct backend_room *r);
    size_t (*weight_bytes)(const struct tensor *t, unsigned use);

    /* Zeroed, aligned to 64, not resident before it is touched.  NULL-safe free. */
    int (*alloc)(struct device *d, size_t bytes, void **out, struct err *e);
    void (*free)(struct device *d, void *p);

    /* A matrix [rows, cols] of any dtype in the quant table, in the backend's own order.  `use`
     * says what for: an embedding table is only ever read row by row, and may stay in the file;
     * with WEIGHT_EXACT activations are multiplied as the floats they are, however few bits the
     * weights have.  t and its bytes stay borrowed until weight_free(); that they are resident is
     * of use only while this call reads them.  For WEIGHT_MATMUL alone they are read by this call
     * only, unless t is `made`. */
    int (*upload)(struct device *d, const struct tensor *t, unsigned use, struct weight **out,
                  struct err *e);
    void (*weight_free)(struct device *d, struct weight *w);

    int (*kv_open)(struct device *d, const struct kv_shape *s, struct kv **out, struct err *e);
    void (*kv_close)(struct device *d, struct kv *kv);

    /* After the last upload: scratch for ops of up to max_rows rows.  The first call that may wait
     * for other ranks: all make it in the same order.  A row that goes to several
     * experts counts once for each, and each expert for EXPERT_ROWS more. */
    int (*reserve)(struct device *d, size_t max_rows, struct err *e);

    /* --- enqueued, in order.  Structs are copied; arrays they point to stay valid until sync().
     * --- */
    void (*write)(struct device *d, void *dst, const void *src,
                  size_t bytes); /* src: HOST, kept until sync */
    void (*embed)(struct device *d, float *y, const struct weight *table,
                  const int32_t *ids,     /* HOST */
                  size_t n, float scale); /* y[i] = scale * table[ids[i]] */
    void (*gather)(struct device *d, float *y, const float *x, const int32_t *rows, /* HOST */
                   size_t n, size_t cols); /* y[i] = x[rows[i]]; y is not x */
    void (*norm)(struct device *d, const struct norm *op);
    void (*matmul)(struct device *d, const struct matmul *op);
    void (*feed_forward)(struct device *d, const struct feed_forward *op);
    void (*rope_kv)(struct device *d, const struct rope_kv *op);
    void (*attend)(struct device *d, const struct attend *op);
    void (*kv_copy)(struct device *d, struct kv *kv, int32_t from,
                    int32_t to, /* pages, not the same */
                    size_t n);  /* at least n positions, of all layers */
    void (*gated_act)(struct device *d, float *y, const float *gate, const float *up, size_t count,
                      enum act_kind kind); /* y = act(gate) * up; y may be gate; up NULL: ones */
    void (*experts)(struct device *d, const struct experts *op);
    void (*softcap)(struct device *d, float *x, size_t count,
                    float cap);                                    /* x = cap * tanh(x / cap) */
    void (*argmax)(struct device *d, int32_t *ids, const float *x, /* both DEVICE */
                   size_t rows, size_t cols); /* lowest index wins a tie; NaN never */
    /* NULL where looking at all of x costs no more. */
    void (*top)(struct device *d, const struct top *op);

    /* Of a device that is one of several ranks: all of them enqueue the same ones in the same
     * order.  NULL where no device can be. */
    void (*reduce)(struct device *d, float *x, size_t rows,
                   size_t cols); /* x = the sum of all ranks' x, as ranks_ops.sum has it */
    void (*collect)(struct device *d, const struct collect *op);
    /* As reduce, while ops behind it are computed, which leave x alone: it is done when a reduce or
     * collect enqueued after it begins, or another of its kind, and after sync().  NULL where a
     * device does one after the other. */
    void (*reduce_later)(struct device *d, float *x, size_t rows, size_t cols);

    /* Runs or awaits all that was enqueued. */
    void (*sync)(struct device *d);

    /* Not enqueued: calls fn(arg, i, thread) for all i below n at once, each i once, on the threads
     * that evaluate, thread < most; returns when all have returned.  After sync().  NULL: the
     * device has no threads to lend. */
    void (*each)(struct device *d, void (*fn)(void *arg, size_t i, size_t thread), void *arg,
                 size_t n, size_t most);

    /* Host's view of device memory, after sync(); valid until the next enqueue.  The CPU's is the
     * memory itself. */
    const void *(*view)(struct device *d, const void *p, size_t bytes);

    /* After sync(): 0, or what broke the device for good, ERR_INTERNAL; results are void then. NULL
     * where that cannot happen. */
    int (*check)(struct device *d, struct err *e);
};

/* WEIGHT_HOST: of a layer that stays on the host, only for split.h. */
enum { WEIGHT_MATMUL = 1, WEIGHT_EMBED = 2, WEIGHT_EXACT = 4, WEIGHT_HOST = 8 };

enum { EXPERT_ROWS = 32 };

/* The backend called `name`: "cpu", "cuda", or "auto" (cuda where it opens, else cpu, the reason
 * logged). Static; NULL with ERR_UNSUPPORTED and what is missing where this build or machine has it
 * not. */
const struct backend *backend_find(const char *name, struct err *e);

/* From here on there is no backend but the CPU's, for the reason given (static), which
 * backend_find() tells.  Devices that are open stay so. */
void backend_confine(const char *why);

#endif
