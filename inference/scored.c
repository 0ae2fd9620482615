#include "inference/scored.h"

#include <math.h>
#include <stdlib.h>

int scored_init(struct scored *s, const int32_t *ids, size_t n, size_t n_top, struct err *e)
{
    *s = (struct scored){ .n = n, .width = 1 + n_top };
    s->lp = calloc(n * s->width, sizeof *s->lp);
    if (!s->lp)
        return err_set(e, ERR_NOMEM, "no memory for the log-probabilities of %zu tokens", n);
    for (size_t i = 0; i < s->width; i++)
        s->lp[i] = (struct token_logprob){ .id = i ? -1 : ids[0], .logprob = NAN };
    return 0;
}

void scored_done(struct scored *s)
{
    free(s->lp);
    s->lp = NULL;
}

void scored_put(struct scored *s, struct sampler *sampler, const float *logits, const int32_t *ids,
                size_t at)
{
    sampler_logprobs(sampler, logits, ids[at], s->width - 1, s->lp + at * s->width);
}

struct event_node *scored_take(struct scored *s, const struct tokenizer *t, size_t tag)
{
    struct event_node *n = event_node_new(EVENT_PROMPT, tag);
    bool begins = !s->show_control && tokenizer_strips_first_blank(t);

    if (!n)
        return NULL;
    for (size_t i = 0; i < s->n * s->width; i++) {
        bool own = i % s->width == 0;
        struct str piece = tokenizer_piece(t, s->lp[i].id, own && s->show_control);

        if (own && begins && piece.len) { /* the blank that the tokenizer put before the text */
            begins = false;
            if (*piece.data == ' ') {
                piece.data++;
                piece.len--;
            }
        }
        s->lp[i].bytes = piece.data;
        s->lp[i].n_bytes = piece.len;
    }
    n->width = s->width;
    n->event.logprobs = s->lp;
    n->event.n_logprobs = s->n;
    s->lp = NULL;
    return n;
}
