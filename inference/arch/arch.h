/* arch.h - a model family as data: which tensors a layer has, and how the forward pass treats them.
 *
 * The one idea: there is one forward pass; a family is a const table, one a file.  Adding one is
 * such a file, a line here and in arch.c, and a golden vector.  Numbers of a single model (widths,
 * bases, windows) come from the file's metadata, keys "<arch>.<key>" (ggml docs/gguf.md).
 * Read-only, any thread. */
#ifndef AIRSTRIP_ARCH_H
#define AIRSTRIP_ARCH_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/backend.h"

/* The tensors that a layer may have.  n = n_embd, a = n_head * head_dim, b = n_kv * head_dim. */
enum arch_slot {
    SLOT_ATTN_NORM,      /* [n] before attention; none: it reads the residual stream itself */
    SLOT_ATTN_POST_NORM, /* [n] on attention's output, before it joins the residual stream */
    SLOT_FFN_NORM,       /* [n], as above; layers whose parts are parallel may do without */
    SLOT_FFN_POST_NORM,  /* [n] */
    SLOT_Q_NORM,         /* [head_dim] on every head of q */
    SLOT_K_NORM,         /* [head_dim] */
    SLOT_Q_NORM_BIAS,    /* [head_dim], of layer norms, as the next one */
    SLOT_K_NORM_BIAS,    /* [head_dim] */
    SLOT_Q_ROW_NORM,     /* [a] on q as a whole */
    SLOT_K_ROW_NORM,     /* [b] */
    SLOT_Q_HEAD_NORM,    /* [n_head, head_dim] on every head of q, each with a row of its own */
    SLOT_K_HEAD_NORM,    /* [n_kv, head_dim] */
    SLOT_BQ,             /* [a] */
    SLOT_BK,             /* [b] */
    SLOT_BV,             /* [b] */
    SLOT_BO,             /* [n] */
    SLOT_ATTN_NORM_BIAS, /* [n], of a layer norm, as the next one */
    SLOT_FFN_NORM_BIAS,  /* [n] */
    SLOT_ATTN_OUT_NORM,  /* [n] of the residual stream itself, once attention's output has joined
                          * it: what goes on is the norm.  As the next three, of encoders */
    SLOT_ATTN_OUT_NORM_BIAS, /* [n] */
    SLOT_FFN_OUT_NORM,       /* [n] the same after the feed-forward part */
    SLOT_FFN_OUT_NORM_BIAS,  /* [n] */
    SLOT_BGATE,              /* [n_ff], of a dense part, as the next one */
    SLOT_BUP,                /* [n_ff] */
    SLOT_BDOWN,              /* [n] */
    SLOT_SINKS,              /* [n_head] logits that only take part in the softmax's sum */
    SLOT_ROUTER,             /* [n_expert, n]; a layer that has it has experts, x = their width */
    SLOT_ROUTER_BIAS,        /* [n_expert] */
    SLOT_BGATE_EXPS,         /* [n_expert, x] */
    SLOT_BUP_EXPS,           /* [n_expert, x] */
    SLOT_BDOWN_EXPS,         /* [n_expert, n] */
    SLOT_SHARED_ROUTER,      /* [n] what the shared expert's output counts */
    SLOT_WQ,                 /* [a, n]; from here on matrices */
    SLOT_WK,                 /* [b, n] */
    SLOT_WV,                 /* [b, n] */
    SLOT_WO,                 /* [n, a] */
    SLOT_GATE,               /* [n_ff, n]; where a family has none, act(up) goes down */
    SLOT_UP,                 /* [n_ff, n] */
    SLOT_DOWN,               /* [n, n_ff] */
    SLOT_SHARED_GATE,        /* [n_ff_shared, n] an expert that all rows go to */
    SLOT_SHARED_UP,          /* [n_ff_shared, n] */
    SLOT_SHARED_DOWN,        /* [n, n_ff_shared] */
    SLOT_GATE_EXPS,          /* [n_expert, x, n]; from here on of each expert one */
    SLOT_UP_EXPS,            /* [n_expert, x, n] */
    SLOT_DOWN_EXPS,          /* [n_expert, n, x] */
    N_SLOTS,
    SLOT_FIRST_MATRIX = SLOT_WQ,
    SLOT_FIRST_EXPERTS = SLOT_GATE_EXPS,
    N_EXPERT_SLOTS = N_SLOTS - SLOT_FIRST_EXPERTS,
};

enum arch_presence { ARCH_ABSENT, ARCH_OPTIONAL, ARCH_REQUIRED };

struct arch_tensor {
    const char *name; /* what follows "blk.N." */
    enum arch_presence presence;
};

/* How a Hugging Face folder spells the family.  One row is one tensor of it. */
enum arch_hf_how {
    HF_AS_IS = 0,
    HF_TRANSPOSED = 1, /* stored [cols, rows] */
    HF_PLUS_ONE = 2,   /* stored as what is to be added to 1 */
    HF_GROUPED = 4,    /* rows of q, k and v stand together by head of k: its queries, it, its v */
    HF_STACKED = 8,    /* a row of a matrix: the second number says which */
    HF_SECOND_NORM = 16, /* GGUF: counts where layers have an attn_norm_2.weight, too */
    HF_EXPERTS = 32,     /* [n_expert, ...]; what else is said holds for each of them */
    HF_ALTERNATING = 64, /* rows of the two parts take turns; with HF_EXPERTS only */
    HF_MXFP4 = 128,      /* codes of blocks, their exponents in a tensor beside; the same */
    HF_SKIP_PAD = 256,   /* rows begin with those up to the padding token's, which are not used */
};

struct arch_hf_tensor {
    const char *from;  /* name in the folder without arch_hf.prefix; '%' are numbers, the same as in
                        * `to`: of the layer, of the expert */
    const char *to[3]; /* name as in a GGUF file.  NULL: not needed.  Two: rows in equal halves;
                        * three: rows of q, k and v in this order */
    unsigned how;      /* HF_* */
};

/* Which layers of a folder's model have the sliding window, where config.json has one. */
enum arch_hf_window {
    HF_WINDOW_NONE,  /* none: the family's configuration class knows no sliding_window */
    HF_WINDOW_ALL,   /* all */
    HF_WINDOW_TYPES, /* those that layer_types says, as below too; without it by arch.window_pattern
                      * or the setting sliding_window_pattern */
    HF_WINDOW_FROM,  /* ... from number max_window_layers on */
    HF_WINDOW_EVERY_OTHER, /* ... the first, third, ... of the first max_window_layers */
    HF_WINDOW_UNROTATED,   /* ... those that are not rotated */
};

struct arch_hf {
    const char *model_types[6];              /* config.json's model_type */
    const char *prefix;                      /* that names of tensors may begin with */
    const struct arch_hf_tensor *tensors[3]; /* lists, each ended by a row of NULL; the first row
                                              * that fits counts */
    /* JSON: what the family's configuration class fills in.  Of settings that not all families have
     * (hf_own_setting() reads them) those that are not in here are passed over, as they are there:
     * null, where there is no default. */
    const char *defaults;
    enum arch_hf_window window;
    enum rope_kind rope; /* of q and k as they are stored in a folder */
    bool gelu_is_tanh;   /* where config.json says "gelu", its approximation is meant */
};

extern const struct arch_hf_tensor arch_hf_decoder[]; /* the names most families use */

/* Do attention and feed-forward part read the same residual stream, rather than one after the
 * other?  The latter reads attention's norm of it where it has none of its own. */
enum arch_parallel {
    ARCH_SEQUENTIAL,
    ARCH_PARALLEL,
    ARCH_PARALLEL_BY_KEY,  /* use_parallel_residual, true where it is absent */
    ARCH_PARALLEL_BY_NORM, /* where layers have no norm of their own for the feed-forward part */
};

struct arch {
    const char *name;            /* general.architecture, and the prefix of its keys */
    const struct arch_hf *hf[4]; /* each another spelling, ended by NULL; none: read from GGUF
                                  * files only */
    const struct arch_hf_tensor
        *fused; /* rows of a GGUF file's tensors that are several; or NULL */
    struct arch_tensor layer[N_SLOTS];

    enum norm_kind norm;
    enum rope_kind rope;
    enum act_kind act;
    bool encoder;     /* each token sees the whole text, and there is no head: not for writing */
    bool embed_norm;  /* token_embd_norm.weight and .bias, of the sum of all embeddings */
    bool token_types; /* token_types.weight [types, n]: its first row is added to all of them */
    bool positions;   /* position_embd.weight [n_ctx, n] is added to the embeddings */
    bool final_norm_bias; /* output_norm.bias */
    bool head_bias;       /* output.bias */
    bool alibi;           /* attention.max_alibi_bias is obeyed: nothing is rotated then */
    bool scale_embedding; /* embeddings times sqrt(n_embd) */
    bool expert_norm;     /* shares of the experts that were chosen add up to 1, if no key says */
    bool softcaps;        /* attn_logit_softcapping and final_logit_softcapping are obeyed */
    bool multipliers; /* embedding_scale, residual_scale and logit_scale (a divisor) are obeyed */
    enum arch_parallel parallel;
    size_t unrotated_every; /* layers whose number + 1 is a multiple of it are not rotated; 0: all
                             * are.  rope.unrotated_every, where a file has it, wins */

    /* Sliding window: layers whose number + 1 is a multiple of the pattern attend to everything,
     * the others to attention.sliding_window positions.  A file may give its own pattern; 0: the
     * window, where the file has one, is for all layers. */
    size_t window_pattern;
    bool window_required;
    double local_rope_base; /* of sliding-window layers, without rope scaling; 0: as the others */

    /* Models of this many layers scale scores by 1/sqrt(n_embd / n_head), not 1/sqrt(head_dim); 0:
     * none. */
    size_t width_scaled_layers;
};

extern const struct arch arch_llama, arch_gemma3, arch_gpt2, arch_qwen2, arch_qwen3, arch_gemma2,
    arch_starcoder2, arch_olmo2, arch_smollm3, arch_granite, arch_phi3, arch_gptneox,
    arch_qwen3_moe, arch_gemma, arch_phi2, arch_stablelm, arch_falcon, arch_gpt_oss, arch_qwen2_moe,
    arch_bert, arch_nomic_bert;

/* The family called `name` (len bytes, not terminated), or NULL. */
const struct arch *arch_find(const char *name, size_t len);

/* The family that a folder's config.json calls model_type, and how that spells it; or NULL. */
const struct arch *arch_find_hf(const char *model_type, const struct arch_hf **hf);

/* The function of a feed-forward part by its name in Hugging Face's library (len bytes). */
bool arch_find_act(const char *name, size_t len, enum act_kind *out);

/* All families; *n is set to their number. */
const struct arch *const *arch_all(size_t *n);

#endif
