/* forward.h - one step of a model: a batch of rows in, logits out.
 *
 *   ids -> embed -> [ norm -> q,k,v -> rope_kv -> attend -> o -> (+) norm -> gate,up -> act -> down
 * -> (+) ] x n_layers
 *       -> gather the rows that are wanted -> norm -> head -> logits, argmax
 *
 * (an encoder's norms come after each (+), and its last one is the layer's).  What the head would
 * read, a row's hidden state, can be had in place of logits.
 *
 * A layer is a stage up to rope_kv, attend in one or more, and one from o on.  A step may be
 * evaluated a few stages at a time (forward_begin, forward_advance); between them another forward
 * on the same device, with buffers of its own, may run a step of other sequences. What differs
 * between families is data in struct arch (inference/arch/) and struct model. Owned by the engine
 * thread; one step of a forward at a time. */
#ifndef AIRSTRIP_FORWARD_H
#define AIRSTRIP_FORWARD_H

#include "inference/kvcache.h"
#include "inference/model.h"
#include "kernels/base/err.h"

struct forward;

/* Buffers for steps of up to max_rows rows, of which up to max_outputs want logits.
 * model and cache stay borrowed until forward_close(). */
int forward_open(struct forward **out, const struct model *m, struct kvcache *cache,
                 size_t max_rows, size_t max_outputs, struct err *e) MUST_CHECK;
void forward_close(struct forward *f); /* NULL is fine */

/* Any number of rows of any number of sequences, any of which may want logits or a hidden state. */
struct step {
    bool prompt; /* the rows are given tokens, see struct matmul; not those that want logits, from
                  * the last layer's attention on: they are few */
    size_t attend_rows; /* rows of an attend stage, whose time grows with the position; 0 = all */
    const int32_t *ids; /* [n_rows], each within the vocabulary */
    size_t n_rows;
    const struct seq_span *spans; /* cover the rows in order; their pages are allocated; an
                                   * encoder's are whole sequences, and reach to their ends */
    size_t n_spans;
    const int32_t *out_rows; /* [n_outputs] rows whose logits are wanted */
    size_t n_outputs;        /* 0: only the cache is filled; always, if there is no head */
    size_t n_top; /* so many of the largest logits of each output are wanted, see forward_top() */
    const int32_t *hidden_rows; /* [n_hidden] rows whose hidden state is wanted */
    size_t n_hidden;
};

/* Starts a step, in place of one that is under way.  What *s points to stays valid and unchanged
 * until the step is done or given up; no page of it may get another owner. */
void forward_begin(struct forward *f, const struct step *s);

enum stage_kind {
    STAGE_QKV,
    STAGE_ATTEND,
    STAGE_OUTPUT,
    STAGE_FINISH, /* the last layer from attend on, and the head */
    STAGE_KINDS,
};

/* Stage i of the step that was begun, and in *work how much it has to do, in a unit of its kind:
 * rows, or rows times the positions they see. */
enum stage_kind forward_stage(const struct forward *f, size_t i, double *work);
size_t forward_stages(const struct forward *f); /* of the step that was begun */

/* Evaluates up to n stages of it; returns when they are done.  Returns how many are left: at 0 the
 * keys and values of all rows are in the cache. */
size_t forward_advance(struct forward *f, size_t n);

/* Both in one go. */
void forward_run(struct forward *f, const struct step *s);

/* After a part of a step: does the device still work?  ERR_INTERNAL, and results are void. */
int forward_check(const struct forward *f, struct err *e) MUST_CHECK;

/* After the end: the most likely id of output i, and its logits [n_vocab] (borrowed until the next
 * step). */
int32_t forward_argmax(struct forward *f, size_t i);
const float *forward_logits(const struct forward *f, size_t i);

/* Threads that forward_each() may call from; with one it calls in order. */
size_t forward_threads(const struct forward *f);

/* After the end: fn(arg, i, thread) for all i < n, thread < most, as backend.h's each(). */
void forward_each(const struct forward *f, void (*fn)(void *arg, size_t i, size_t thread),
                  void *arg, size_t n, size_t most);

/* After the end: of output i the step's n_top largest logits, without all of them coming to the
 * host. */
struct top_logits {
    const int32_t *ids;  /* [n] in order, as struct top has them; borrowed until the next step */
    const float *logits; /* [n] likewise */
    size_t n;
    float log_sum; /* ln sum e^logit over the vocabulary */
};
/* False where they were not asked for, or forward_logits() costs nothing. */
bool forward_top(struct forward *f, size_t i, struct top_logits *out);

/* After the end: hidden state i [n_embd] (borrowed likewise). */
const float *forward_hidden(const struct forward *f, size_t i);

#endif
