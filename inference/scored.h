/* scored.h - how likely a prompt's own tokens were, each after those before it.
 *
 * Wants the logits of every position of the prompt, so it is evaluated from its beginning, whatever
 * is cached, as many positions at a time as a pass may have outputs.  The engine thread's, once its
 * job is queued. */
#ifndef AIRSTRIP_SCORED_H
#define AIRSTRIP_SCORED_H

#include "inference/inbox.h"
#include "inference/sampler.h"
#include "inference/text/tokenizer.h"

struct scored {
    struct token_logprob *lp; /* [n * width]; NULL: not wanted, or told */
    size_t n, width;          /* tokens of the prompt; 1 + alternatives */
    bool show_control;        /* the text of control tokens is theirs, too */
};

/* For n ids with so many alternatives; the first token's logprob is NAN, nothing is before it. */
int scored_init(struct scored *s, const int32_t *ids, size_t n, size_t n_top,
                struct err *e) MUST_CHECK;
void scored_done(struct scored *s); /* a zeroed one is fine */

static inline bool scored_wanted(const struct scored *s)
{
    return s->lp != NULL;
}

/* logits: those behind ids[at - 1], 0 < at < n. */
void scored_put(struct scored *s, struct sampler *sampler, const float *logits, const int32_t *ids,
                size_t at);

/* All of them as an EVENT_PROMPT, with their text; none are wanted from now on.  NULL without
 * memory. */
struct event_node *scored_take(struct scored *s, const struct tokenizer *t, size_t tag);

#endif
