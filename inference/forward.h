/* forward.h - one step of a model: a batch of rows in, logits out.
 *
 *   ids -> embed -> [ norm -> q,k,v -> rope_kv -> attend -> o -> (+) norm -> gate,up -> act -> down -> (+) ] x n_layers
 *       -> gather the rows that need logits -> norm -> head -> logits, argmax
 *
 * What differs between families is data in struct arch (inference/arch/) and struct model.
 * Owned by the engine thread; one step at a time. */
#ifndef AIRSTRIP_FORWARD_H
#define AIRSTRIP_FORWARD_H

#include "inference/kvcache.h"
#include "inference/model.h"
#include "kernels/base/err.h"

struct forward;

/* Buffers for steps of up to max_rows rows, of which up to max_outputs want logits.
 * model and cache stay borrowed until forward_close(). */
int forward_open(struct forward **out, const struct model *m, struct kvcache *cache, size_t max_rows,
                 size_t max_outputs, struct err *e) MUST_CHECK;
void forward_close(struct forward *f); /* NULL is fine */

struct step {
    const int32_t *ids; /* [n_rows], each within the vocabulary */
    size_t n_rows;
    const struct seq_span *spans; /* cover the rows in order; their pages are allocated */
    size_t n_spans;
    const int32_t *out_rows; /* [n_outputs] rows whose logits are wanted */
    size_t n_outputs;        /* 0: only the cache is filled */
};

/* Evaluates; returns when done.  Keys and values of all rows are then in the cache. */
void forward_run(struct forward *f, const struct step *s);

/* After forward_run(): the most likely id of output i, and its logits [n_vocab] (borrowed until the next run). */
int32_t forward_argmax(const struct forward *f, size_t i);
const float *forward_logits(const struct forward *f, size_t i);

#endif
