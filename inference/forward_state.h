/* forward_state.h - a forward pass from inside: its buffers, and the step under way.
 *
 * x [n, n_embd] is the residual stream, h its norm.  A block's last projection (o or down) lands in
 * y, and joins x inside the next norm, so that the sum costs no pass of its own.  In the last layer
 * only the rows whose logits are wanted go on from attention; a step without any ends there.
 * Only for forward*.c. */
#ifndef AIRSTRIP_FORWARD_STATE_H
#define AIRSTRIP_FORWARD_STATE_H

#include "inference/forward.h"

/* Rows that one attend stage evaluates. */
struct part {
    size_t row, n;        /* rows row .. row+n-1 of the step */
    size_t span, n_spans; /* of part_spans, with rows counted from `row` on */
};

struct forward {
    const struct model *m;
    struct kvcache *cache;
    size_t max_rows, max_outputs;
    struct step step; /* under way, or the last one */
    size_t number;    /* by which other ranks know this forward pass */
    bool told;        /* they know the step, too */
    size_t stage;     /* the next one to do */
    size_t n_parts;   /* attend stages of a layer */
    struct part *parts;
    struct seq_span *part_spans; /* the step's, cut where parts end */
    struct seq_span *out_spans;  /* [max_rows] of the rows that are wanted */
    int32_t *positions; /* [max_rows] of the step's rows; NULL where nothing asks for them */
    int32_t *types;     /* [max_rows] zeros; likewise */
    /* Device memory; rows are max_rows, or max_outputs where it says outputs. */
    float *x, *h, *y; /* [rows, n_embd] */
    float *q, *att;   /* [rows, n_head * head_dim] */
    float *k, *v;     /* [rows, n_kv * head_dim] */
    float *gate, *up; /* [rows, n_ff] */
    /* Of experts, used = n_expert_used; NULL where there are none. */
    float *expert_rows;                   /* [rows * used, n_embd] */
    float *expert_gate, *expert_up;       /* [rows * used, n_ff_expert] */
    float *expert_scores, *expert_shares; /* [rows, n_expert], [rows, used + 1] */
    int32_t *expert_places;
    const float *hidden;    /* [n_hidden, n_embd] of the step, in one of the above */
    float *logits;          /* [outputs, n_vocab]; of ranks, rank 0's only, as the next three */
    float *parts_of_logits; /* as large, to put them together in; NULL where the model is whole */
    int32_t *argmax;        /* [outputs] */
    int32_t *top_ids; /* [outputs, TOP_MOST], used as [n_outputs, n_top]; NULL where the backend has
                         none */
    float *top_values; /* [outputs, TOP_MOST + 1], likewise */
    float *own_logits; /* [outputs, the rank's rows of the head]; NULL where the model is whole */
    /* What came to the host of the step's argmax, top_ids and top_values, by the first who asked.
     */
    struct {
        bool has_argmax, has_top;
        int32_t *argmax, *top_ids;
        float *top_values;
    } host;
};

/* --- forward_ops.c, forward_output.c: each enqueues one stage --- */

void forward_qkv(struct forward *f, size_t layer);
void forward_attend(struct forward *f, size_t layer, const struct part *p);
void forward_output(struct forward *f, size_t layer);
void forward_finish(struct forward *f);

/* --- forward_norm.c --- */

/* y = norm(x + add), over n rows of the residual stream; the sum stays in x. */
void forward_norm(const struct forward *f, float *y, float *x, const float *add, const float *w,
                  const float *bias, size_t n);
/* x = norm(x), over n rows of cols; nothing where there is no such norm.  bias: or NULL. */
void forward_norm_in_place(const struct forward *f, float *x, const float *w, const float *bias,
                           size_t n, size_t cols);
/* x = norm(x + add), over n rows of the residual stream; add may be NULL. */
void forward_norm_stream(const struct forward *f, float *x, const float *add, const float *w,
                         const float *bias, size_t n);
/* x += add, and what the next part of a layer reads: its norm in h, or x itself where the family
 * has no norm there. */
const float *forward_part_input(const struct forward *f, float *h, float *x, const float *add,
                                const float *w, const float *bias, size_t n);

/* --- forward_output.c --- */

/* From attention's output to the layer's end: n rows of att, x and h.  Leaves the feed-forward
 * part's output in y, not yet added to x unless its norm is of the sum. */
void forward_output_rows(struct forward *f, const struct model_layer *l, const float *att, float *x,
                         float *h, size_t n, bool prompt);

/* --- forward_head.c --- */

/* Logits of n rows of h, and what is largest in them. */
void forward_head(struct forward *f, const float *h, size_t n);

/* --- forward_experts.c --- */

int forward_experts_open(struct forward *f, struct err *e) MUST_CHECK;
void forward_experts_close(struct forward *f);

/* y, [n, n_embd], of the layer's feed-forward part, from n rows of h. */
void forward_experts(struct forward *f, const struct model_layer *l, const float *h, float *y,
                     size_t n, bool prompt);

#endif
