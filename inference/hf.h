/* hf.h - a Hugging Face folder as the GGUF file that it could be: one path for both from there on.
 *
 * The tensors' names and settings of each family are tables in inference/arch; nothing is copied
 * but what is stored in another form (transposed, or less 1).  One thread. */
#ifndef AIRSTRIP_HF_H
#define AIRSTRIP_HF_H

#include "inference/arch/arch.h"
#include "inference/weights/build.h"
#include "inference/weights/folder.h"

/* Opens a model: a GGUF file (the first, where it is split), or a folder.  Errors as
 * weights_open(); for a folder also ERR_NOTFOUND and ERR_UNSUPPORTED naming what is missing.  Close
 * with weights_close(). */
int hf_open(struct weights **out, const char *path, struct err *e) MUST_CHECK;

/* The key that only a folder has: its tensors are as arch->hf says. */
#define HF_KEY "general.huggingface"

/* A key of folders that were saved without a head. */
#define HF_NO_HEAD "general.huggingface.no_head"

/* What a folder of the family calls the tensor that a GGUF file calls `name`, into buf; returns
 * buf. For sentences: of a fused tensor the whole. */
enum { HF_NAME_BYTES = 128 };
const char *hf_name(const struct arch *arch, const char *name, char buf[static HF_NAME_BYTES]);

/* What the parts of hf share. */
struct hf {
    struct weights *w;
    const struct folder *folder;
    const struct arch *arch;
    const struct arch_hf *hf;              /* how the folder spells it */
    const struct value *config, *defaults; /* config.json's, or the family's */
    size_t n_head, n_kv, head_dim;         /* for fused projections; 0 where unknown */
    size_t n_stacked, n_stack_rows;        /* rows of HF_STACKED matrices put, and that there are */
    size_t n_skip;                         /* rows of positions that are not used: HF_SKIP_PAD */
    bool second_norm;                      /* see HF_SECOND_NORM */
    bool fp8;                              /* matrices may be of 8-bit floats */
    const struct st_tensor **by_name;      /* where they may: the folder's tensors in order */
    bool tied;                             /* the head is the embedding table */
};

/* The setting of config.json, or the family's default; NULL where there is neither, or it is null.
 */
const struct value *hf_setting(const struct hf *h, const char *name);

/* The same, of a setting that the family's defaults name; NULL also where they do not: its
 * configuration class passes it over. */
const struct value *hf_own_setting(const struct hf *h, const char *name);

/* "<family>.<suffix>", and what helps to put it. */
struct hf_key {
    char text[96];
};
struct hf_key hf_key(const struct hf *h, const char *suffix);
bool hf_is_number(const struct value *v); /* NULL is none */
double hf_number(const struct value *v);  /* of one that is */
bool hf_is_true(const struct value *v);
/* A count between 1 and 2^20, by either name (other: or NULL); 0 where there is none such. */
size_t hf_count(const struct hf *h, const char *name, const char *other);
int hf_put_number(struct hf *h, const char *suffix, const struct value *v,
                  struct err *e) MUST_CHECK;

/* The parts of hf_put_config() that are about rotation and about sliding windows.  Which layers are
 * not rotated: 1 in marks, of h's layers. */
int hf_put_rope(struct hf *h, struct err *e) MUST_CHECK;
int hf_put_window(struct hf *h, struct err *e) MUST_CHECK;
int hf_unrotated(const struct hf *h, int64_t *marks, size_t n, struct err *e) MUST_CHECK;

/* Settings to keys; errors: ERR_UNSUPPORTED naming a setting that would change the results. */
int hf_put_config(struct hf *h, struct err *e) MUST_CHECK;

/* Tensors under their GGUF names; after hf_put_config(). */
int hf_put_tensors(struct hf *h, struct err *e) MUST_CHECK;

/* Of a tensor of all experts (HF_EXPERTS): copies in a GGUF file's order, nameless: the whole, or
 * two where their rows take turns. */
int hf_expert_parts(struct hf *h, const struct arch_hf_tensor *row, const struct st_tensor *s,
                    struct tensor parts[static 2], struct err *e) MUST_CHECK;

/* Of a folder with fp8: first the list by name; then of a tensor, is it the scales of another one?
 * And a matrix with its scales, in memory of its own. */
int hf_fp8_begin(struct hf *h, struct err *e) MUST_CHECK;
bool hf_fp8_scale(const struct hf *h, const struct st_tensor *s);
bool hf_is_fp8(const struct st_tensor *s);
int hf_fp8_weight(struct hf *h, const struct st_tensor *s, struct tensor *t,
                  struct err *e) MUST_CHECK;

/* Of a sealed folder: ERR_FORMAT naming a tensor that its settings do not go with. */
int hf_check_flags(const struct hf *h, struct err *e) MUST_CHECK;

/* Of a GGUF file whose family keeps several projections in one tensor: each under its own name. */
int hf_split_fused(struct weights *w, struct err *e) MUST_CHECK;

/* How a text's vector is made of its tokens, as the key pooling_type; why it cannot be, as
 * POOLING_REFUSED. */
int hf_put_pooling(struct hf *h, struct err *e) MUST_CHECK;

/* The tokenizer's files, chat template, and ids that end a text. */
int hf_put_text(struct hf *h, struct err *e) MUST_CHECK;

#endif
