/* pass.h - the rows that a forward pass evaluates together, and whose they are.
 *
 * A batch has two: one of given tokens (prompts), one of generated ones, since the arithmetic may
 * differ between the two and a pass of prompts may be evaluated in slices.
 * Owned by the engine thread. */
#ifndef AIRSTRIP_PASS_H
#define AIRSTRIP_PASS_H

#include "inference/forward.h"
#include "inference/job.h"
#include "inference/pace.h"

struct pass {
    struct forward *forward; /* borrowed */
    bool prompt;             /* as in struct step */
    bool encoder;            /* spans are whole prompts, and reach to their ends */
    size_t max_rows, max_spans, max_outputs;

    int32_t *ids, *out_rows;
    struct seq_span *spans;
    struct job **span_jobs; /* [n_spans], no job twice */
    struct job **out_jobs;  /* [n_outputs] */
    int32_t *hidden_rows;   /* [n_hidden] in the order of the spans */
    size_t *span_hidden;    /* [n_spans] how many of them are each one's */
    size_t n_rows, n_spans, n_outputs, n_hidden;
    size_t stage, n_left; /* stages done, and to do; n_left > 0: the pass is under way */
};

/* For a forward opened with as many rows and outputs. */
int pass_open(struct pass *p, struct forward *f, bool prompt, size_t max_rows, size_t max_spans,
              size_t max_outputs, struct err *e) MUST_CHECK;
void pass_close(struct pass *p); /* a zeroed one is fine */

/* No rows.  A pass under way is given up: none of its positions may be thought to be evaluated. */
void pass_clear(struct pass *p);

/* The next n rows are of j, from position j->n_done on, for which its table has pages; the last
 * n_outputs of them want logits.  ids: [n], copied.  Between pass_clear() and pass_begin(). */
void pass_add(struct pass *p, struct job *j, const int32_t *ids, size_t n, size_t n_outputs);

/* Of the rows added last, n from number first on give their hidden states. */
void pass_add_hidden(struct pass *p, size_t first, size_t n);

/* Then evaluate: as many stages at a time as are thought to be a slice, until none is left. */
void pass_begin(struct pass *p, size_t attend_rows);
struct pace_work pass_slice(const struct pass *p, const struct pace *pace, bool others_generate);
void pass_advance(struct pass *p, size_t n);

/* Positions that the last of them sees. */
size_t pass_positions(const struct pass *p);

static inline bool pass_under_way(const struct pass *p)
{
    return p->n_left > 0;
}

#endif
