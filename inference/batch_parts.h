/* batch_parts.h - what the files of batch share among themselves. */
#ifndef AIRSTRIP_BATCH_PARTS_H
#define AIRSTRIP_BATCH_PARTS_H

#include "inference/batch.h"

/* Its prompt is in the cache: what waits for evaluation was generated. */
static inline bool batch_is_generating(const struct job *j)
{
    return j->n_done >= j->n_prompt;
}

static inline bool batch_embeds(const struct job *j)
{
    return j->pooled.sum != NULL;
}

/* Whether keys and values of others will do: not where its own rows are all wanted. */
static inline bool batch_shares(const struct batch *b, const struct job *j)
{
    return b->prefix_cache != PREFIX_CACHE_OFF && !j->far &&
           (!batch_embeds(j) || b->pooling == POOLING_LAST);
}

/* Nothing of it is evaluated any more. */
static inline void batch_forget(struct job *j)
{
    j->n_done = 0;
    j->pooled.n = 0;
}

/* --- batch.c: endings --- */

/* The job is over; its client is told when the step has been counted. */
void batch_finish(struct job *j, enum finish why);
void batch_fail(struct job *j, const struct err *e);

/* Makes what was evaluated of it known to those to come. */
void batch_keep(struct batch *b, struct job *j);

/* --- batch_compose.c --- */

/* Where a sequence becomes far (struct model, near_tokens), all of it is evaluated anew. */
void batch_go_far(struct batch *b);

/* The next pass of prompts, begun if there are any; the pass of tokens, of no rows if nobody
 * generates. */
void batch_compose_prompts(struct batch *b, bool others_generate);
void batch_compose_tokens(struct batch *b, bool after_slice);

/* Those whose pages were given up leave the batch for the queue. */
void batch_requeue_preempted(struct batch *b);

/* --- batch_choose.c --- */

/* Does the text end before this token? */
bool batch_is_end(const struct batch *b, const struct job *j, int32_t id);

static inline bool batch_is_too_early(const struct job *j)
{
    return j->n_ids - j->n_prompt < j->min_tokens;
}

/* The token that output gives, with what is told of it. */
void batch_choose(struct batch *b, const struct pass *p, size_t output, struct batch_choice *c);

/* The first output of each span of the pass of tokens, by several threads: b->choices[span].
 * False: there is but one sequence, or one thread. */
bool batch_choose_ahead(struct batch *b);

/* --- batch_harvest.c: after a pass --- */

void batch_harvest_prompts(struct batch *b);
void batch_harvest_tokens(struct batch *b);

#endif
