/* forward_head.c - from hidden states to logits, and to what is largest in them.
 *
 * Of ranks each has some rows of the vocabulary; rank 0 gets all of the logits, and all that comes
 * after them is its own business. */
#include <string.h>

#include "inference/forward_state.h"

/* The rank's own logits, [n, its rows] of the vocabulary, become rank 0's [n, n_vocab]. */
static void collect(struct forward *f, size_t n)
{
    const struct model *m = f->m;

    m->backend->collect(m->device, &(struct collect){ .y = f->logits,
                                                      .parts = f->parts_of_logits,
                                                      .x = f->own_logits,
                                                      .first = m->slice.vocab,
                                                      .n = n });
}

void forward_head(struct forward *f, const float *h, size_t n)
{
    const struct model *m = f->m;
    const struct backend *b = m->backend;
    bool alone = m->slice.n_ranks == 0;

    if (m->head)
        b->matmul(m->device, &(struct matmul){ .n_out = 1,
                                               .w = { m->head },
                                               .y = { alone ? f->logits : f->own_logits },
                                               .bias = { m->head_bias },
                                               .x = h,
                                               .n = n });
    if (!alone)
        collect(f, n);
    if (m->slice.rank > 0)
        return;
    if (m->final_softcap > 0)
        b->softcap(m->device, f->logits, n * m->n_vocab, m->final_softcap);
    b->argmax(m->device, f->argmax, f->logits, n, m->n_vocab);
    if (f->step.n_top && f->top_ids)
        b->top(m->device, &(struct top){ .ids = f->top_ids,
                                         .values = f->top_values,
                                         .x = f->logits,
                                         .rows = n,
                                         .cols = m->n_vocab,
                                         .k = f->step.n_top });
}
