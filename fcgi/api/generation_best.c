/* generation_best.c - best_of: more answers are generated than are told. */
#include <math.h>
#include <string.h>

#include "fcgi/api/generation.h"

void generation_weigh(struct generation *g, const struct event *ev)
{
    struct choice *c = &g->choices[ev->tag];
    size_t width = 1 + (g->top_logprobs > 0 ? (size_t)g->top_logprobs : 0);

    for (size_t i = 0; i < ev->n_logprobs; i++)
        c->sum_logprob += (double)ev->logprobs[i * width].logprob;
    c->n_weighed += ev->n_logprobs;
}

/* Per token, as OpenAI ranks them; an answer without tokens comes last. */
static double mean(const struct choice *c)
{
    return c->n_weighed ? c->sum_logprob / (double)c->n_weighed : -INFINITY;
}

/* Puts the best one of c[0 .. n) first; of equals the one that was asked for first. */
static void bring_best(struct choice *c, size_t n)
{
    struct choice best;
    size_t at = 0;

    for (size_t i = 1; i < n; i++)
        if (mean(&c[i]) > mean(&c[at]))
            at = i;
    best = c[at];
    memmove(c + 1, c, at * sizeof *c);
    c[0] = best;
}

void generation_keep_best(struct generation *g, size_t n)
{
    size_t each = g->n_choices / g->n_prompts;

    for (size_t p = 0; p < g->n_prompts; p++) {
        struct choice *c = g->choices + p * each;
        size_t cached = c->usage.cached_tokens; /* of the one that evaluated the prompt */

        for (size_t i = 0; i < n; i++)
            bring_best(c + i, each - i);
        c->usage.cached_tokens = cached;
        for (size_t i = n; i < each; i++)
            g->spare_tokens += c[i].usage.generated_tokens;
    }
    for (size_t p = 1; p < g->n_prompts; p++) /* the others stand behind those that are told */
        for (size_t i = 0; i < n; i++) {
            struct choice *from = &g->choices[p * each + i], *to = &g->choices[p * n + i];
            struct choice t = *to;

            *to = *from;
            *from = t;
        }
    g->n_choices = g->n_prompts * n;
}
