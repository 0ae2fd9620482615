/* plan.h - which tensors the new file will have: each's name, shape and type, and what it is made
 * of.
 *
 * A GGUF file's tensors keep names and shapes.  A folder's become those that llama.cpp's converter
 * writes: fused projections joined, experts side by side, rows of q and k in the order in which
 * rotated pairs lie together.  One thread. */
#ifndef AIRSTRIP_QUANTIZE_PLAN_H
#define AIRSTRIP_QUANTIZE_PLAN_H

#include "inference/model.h"
#include "kernels/base/arena.h"

struct planned {
    struct tensor t; /* as it will be; data is NULL */
    const struct tensor **parts;
    size_t n_parts; /* their rows follow each other */
    /* Rows of each head of so many: row 2i + s comes from row s*head/2 + i; 0: as they are. */
    size_t head;
    size_t rows, cols; /* a vector whose values change places: cols is 1 */
    size_t bytes;      /* by gguf_put_tensor() */
    bool copied;       /* its parts' bytes, as they stand */
    bool fell_back;    /* its rows are not whole blocks of the type that it would have had */
};

struct plan {
    struct planned *items;
    size_t n;
    struct arena arena;
};

/* folder: what model_check() read, of weights that hf_open() made; NULL: w is a GGUF file.
 * Errors: ERR_NOMEM, ERR_UNSUPPORTED naming the tensor.  plan_done() also after an error. */
int plan_tensors(struct plan *p, const struct weights *w, const struct model *folder,
                 struct err *e) MUST_CHECK;
void plan_done(struct plan *p);

/* The types that TYPE stands for, and llama.h's number for it (enum llama_ftype). */
struct recipe {
    const char *name;
    enum dtype base;     /* of matrices */
    enum dtype more;     /* of those in which errors cost most; base: there are none */
    enum dtype head;     /* of the output matrix, or the embedding table where it is that too */
    enum dtype fallback; /* where rows are not whole blocks: of 32 values, then F16 */
    uint32_t file_type;
};

/* NULL: there is no such type; *known are the names of those there are. */
const struct recipe *recipe_find(const char *name, const char **known);

/* Gives each tensor its type.  pure: all matrices the same.  n_layers 0: unknown.  Matrices that
 * are quantised already, in no more bits than they would get, stay as they are. */
void plan_types(struct plan *p, const struct recipe *r, bool pure, size_t n_layers);

#endif
