/* model.h - a loaded model: what its file says of its shape, and its matrices on the device.
 *
 * Read-only once open: any thread may look at the numbers, the engine thread runs it. */
#ifndef AIRSTRIP_MODEL_H
#define AIRSTRIP_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inference/arch/arch.h"
#include "inference/slice.h"
#include "inference/weights/weights.h"
#include "kernels/backend.h"
#include "kernels/base/err.h"

/* Norm weights and biases are device memory (float32), NULL where the family or file has none. */
struct model_layer {
    float *attn_norm, *attn_post_norm, *ffn_norm, *ffn_post_norm;
    float *q_norm, *k_norm;           /* [head_dim] */
    float *q_norm_bias, *k_norm_bias; /* [head_dim] */
    float *q_row_norm, *k_row_norm;   /* [n_head*head_dim], [n_kv*head_dim] */
    float *q_head_norm, *k_head_norm; /* [n_head, head_dim], [n_kv, head_dim] */
    struct weight *wq, *wk, *wv,
        *wo; /* [n_head*head_dim, n_embd], [n_kv*head_dim, n_embd] x2, [n_embd, n_head*head_dim] */
    float *bq, *bk, *bv, *bo, *bgate, *bup, *bdown;
    float *attn_norm_bias, *ffn_norm_bias;
    float *attn_out_norm, *attn_out_norm_bias, *ffn_out_norm, *ffn_out_norm_bias;
    float *sinks;                                /* [n_head] */
    float *router, *router_bias, *shared_router; /* NULL: a dense layer; see enum arch_slot */
    float *bgate_exps, *bup_exps, *bdown_exps;   /* [n_expert, ...] */
    struct weight *shared_gate, *shared_up, *shared_down;
    struct weight **experts[N_EXPERT_SLOTS]; /* gate, up and down: [n_expert] each */
    struct weight *gate, *up, *down;         /* [n_ff, n_embd] x2, [n_embd, n_ff] */
    size_t window;                           /* 0 = attends to everything */
    enum rope_kind rope;
    const float *inv_freq; /* device [n_rot/2]: one of model.inv_freq */
    float mscale;          /* on what is rotated: model.rope_mscale, where positions are scaled */
    float attn_scale;
};

enum { MODEL_MAX_LAYERS = 1024 };

struct model {
    const struct arch *arch;
    bool huggingface;    /* read from a folder */
    enum rope_kind rope; /* the family's, as the file at hand stores q and k */
    enum act_kind act;   /* of the feed-forward part */
    bool encoder;        /* every position sees all others */
    bool headless;       /* it cannot write: an encoder, or a folder without a head */
    bool parallel;       /* see enum arch_parallel */
    double max_alibi;    /* the exponent of ALiBi's slopes; 0: there are none */
    const struct backend *backend;
    struct device *device;
    struct rank_slice slice; /* where it is one rank's: heads and columns are counted as this rank
                              * has them, not as the file does */
    struct lead *lead;       /* where this is rank 0: tells the others; borrowed.  Else NULL */

    size_t n_layers, n_embd, n_head, n_kv, head_dim, n_ff, n_vocab;
    size_t n_ctx_train, n_rot;
    size_t n_expert, n_expert_used, n_ff_expert, n_ff_shared; /* 0: there are no experts */
    bool expert_norm;                                         /* shares of those used add up to 1 */
    float expert_scale;
    size_t unrotated_every; /* layer l is not rotated where (l + 1) % this == 0; 0: all are */
    bool rotation_listed;   /* instead, a layer is not rotated where it says: */
    bool unrotated[MODEL_MAX_LAYERS];
    bool attn_scale_by_layer; /* scores of layer l are divided by l + 1, too */
    float norm_eps, attn_scale, attn_softcap, final_softcap, rope_mscale;
    /* Where what layers add is to be multiplied by r, the residual stream is kept divided by r: the
     * embeddings' scale and the eps of its norms allow for that, and nothing else notices. */
    float embed_scale, stream_eps;
    float logit_scale;     /* of the final norm */
    size_t window;         /* positions a sliding-window layer sees; 0: there is no such layer */
    size_t window_pattern; /* layer l is global where (l + 1) % pattern == 0; 0: none is */
    bool window_listed;    /* instead, a layer has the window where it says: */
    bool slides[MODEL_MAX_LAYERS];
    double rope_base[2]; /* of global layers, and of sliding-window layers */
    double rope_scale;   /* positions of global layers are divided by it (linear scaling) */
    bool yarn;           /* but those that turn fast are not: */
    double yarn_low,
        yarn_high; /* pairs up to low turn as ever, from high on by rope_scale slower */
    /* Longrope: a sequence of more tokens than this is far, all of it: its spans say so, and what
     * was evaluated while it was shorter does not count.  0: none ever is. */
    size_t near_tokens;

    struct weight *embed, *head; /* [n_vocab, n_embd]; the same one where they are tied; head is
                                  * NULL where the model is headless */
    struct weight *positions;    /* [n_ctx_train, n_embd], added to the embeddings; or NULL */
    struct weight *types;        /* [.., n_embd] whose first row is added, too; or NULL */
    float *embed_norm, *embed_norm_bias; /* [n_embd] of that sum; or NULL */
    float *final_norm, *final_norm_bias; /* [n_embd]; both may be NULL */
    float *head_bias;                    /* [n_vocab] or NULL */
    float *slopes;                       /* [n_head] of ALiBi, or NULL */
    float *inv_freq[2];         /* global, and local (sliding-window layers) where it differs */
    float *far_inv_freq;        /* of far sequences; NULL where none ever is */
    struct model_layer *layers; /* [n_layers] */
    float *vectors;             /* device memory that all of the above float vectors lie in */

    bool multiplies_floats; /* some matrices are multiplied as floats, not as codes */
    bool exact; /* all are, and keys and values are floats: folders, whose reference does so */
    enum dtype kv_dtype; /* F32 where all matrices are float, else F16 */
    uint64_t n_params;
    uint64_t bytes_per_token; /* of matrices read for one token */
    uint64_t matrix_bytes; /* of those that are multiplied, as the file has them; a rank's part */
    char name[128], quantisation[32];
};

/* Reads and checks the header only: family known, every tensor there, of the right shape and of a
 * known type, numbers sane.  Fills the numbers of *m; no device needed. */
int model_check(struct model *m, const struct weights *w, struct err *e) MUST_CHECK;

/* Makes a model that was checked that of one rank of n; n 1 leaves it as it is.  ERR_INVALID. */
int model_slice(struct model *m, const struct weights *w, size_t rank, size_t n,
                struct err *e) MUST_CHECK;

/* model_check(), then uploads everything.  progress(arg, percent) is called now and then, may be
 * NULL. w stays borrowed until model_close(). */
int model_open(struct model *m, const struct weights *w, const struct backend *b, struct device *d,
               void (*progress)(void *arg, int percent), void *arg, struct err *e) MUST_CHECK;
/* The same of a model that was checked, and perhaps sliced; on a device of two sides
 * (kernels/split.h) the host keeps the first n_host layers.  An error leaves an empty model. */
int model_upload(struct model *m, const struct weights *w, const struct backend *b,
                 struct device *d, size_t n_host, void (*progress)(void *arg, int percent),
                 void *arg, struct err *e) MUST_CHECK;
void model_close(struct model *m); /* a zeroed one is fine */

#endif
