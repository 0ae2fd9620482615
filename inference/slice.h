/* slice.h - which part of a model a rank has.
 *
 * Attention is cut by heads, feed-forward parts by columns (of each expert alike), the head by rows
 * of the vocabulary; what a token's values go through as a whole (norms, routers, the embedding)
 * all ranks have.  So each rank's o and down give a part of a sum.  Cuts lie where blocks of
 * quantised columns end, hence parts may be uneven, and a rank to which nothing falls has zeros of
 * the smallest size: it needs no other way through a layer than the rest.
 *
 * A kv head goes to all ranks that have one of its queries.  Where the queries of a rank do not
 * come in groups of one size, it has some kv head more than once.
 * Plain data once found; any thread. */
#ifndef AIRSTRIP_SLICE_H
#define AIRSTRIP_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inference/weights/weights.h"
#include "kernels/base/err.h"
#include "kernels/ranks.h"

struct model;

struct slice_part {
    size_t from, n; /* from .. from+n-1 of the whole, n > 0 */
    bool zeros;     /* n zeros instead: nothing fell to this rank */
};

enum { SLICE_MAX_HEADS = 1024 };

struct rank_slice {
    size_t rank, n_ranks; /* n_ranks 0: the model is whole */
    bool whole_attention; /* each rank has all of it, and nothing is to be added up */
    struct slice_part heads;
    size_t n_kv, head_dim;
    uint16_t kv[SLICE_MAX_HEADS];               /* [n_kv] which kv heads */
    size_t most_kv;                             /* that any rank has */
    struct slice_part ff, ff_expert, ff_shared; /* columns of down */
    size_t vocab[RANKS_MAX + 1]; /* the first row of each rank, and behind the last one */
    size_t whole_heads;          /* of all ranks */
};

/* What of a model that was checked falls to rank `rank` of n, 2 .. RANKS_MAX. */
int slice_find(struct rank_slice *s, const struct model *m, const struct weights *w, size_t rank,
               size_t n, struct err *e) MUST_CHECK;

/* Counts of which a rank has a part.  The others it has whole. */
enum slot_dim {
    DIM_ONE,
    DIM_EMBD,
    DIM_HEAD,
    DIM_Q,
    DIM_KV,
    DIM_FF,
    DIM_HEADS,
    DIM_KV_HEADS,
    DIM_EXPERTS,
    DIM_FF_EXPERT,
    DIM_FF_SHARED
};

/* What a tensor's dimensions count, seen as a matrix. */
struct slot_dims {
    enum slot_dim rows, cols;
};

/* The rank's part of a tensor, as slice_cut() would give it but without data; of a whole slice the
 * tensor itself. */
void slice_shape(const struct rank_slice *s, struct slot_dims dims, const struct tensor *t,
                 struct tensor *out);

/* The rank's part of a tensor: where it is, or in *copy, which the caller frees when *out is not
 * needed any more (else *copy is NULL).  ERR_NOMEM. */
int slice_cut(const struct rank_slice *s, struct slot_dims dims, const struct tensor *t,
              struct tensor *out, void **copy, struct err *e) MUST_CHECK;

/* The same of plain floats, decoded to to[tensor_count() of slice_shape()]. */
void slice_floats(const struct rank_slice *s, struct slot_dims dims, const struct tensor *t,
                  float *to);

/* The rank's rows of the head, which may be none; or of its bias. */
void slice_head(const struct rank_slice *s, const struct tensor *t, struct tensor *out);
void slice_head_bias(const struct rank_slice *s, const struct tensor *t, struct tensor *out);

#endif
