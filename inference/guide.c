#include "inference/guide.h"

#include <stdlib.h>
#include <string.h>

enum { FORCED_BYTES = 96, GROWS_EVERY = 64 };

void guide_init(struct guide *g, struct shape *s)
{
    *g = (struct guide){ .shape = s, .at = s ? constraint_start(s->constraint) : 0 };
}

void guide_done(struct guide *g)
{
    shape_unref(g->shape);
    *g = (struct guide){ 0 };
}

int end_tokens_find(struct end_tokens *ends, const struct tokenizer *t, size_t n_vocab,
                    struct err *err)
{
    size_t n = 0;

    *ends = (struct end_tokens){ 0 };
    for (size_t i = 0; i < n_vocab; i++)
        n += tokenizer_is_end(t, (int32_t)i);
    ends->ids = malloc((n + 1) * sizeof *ends->ids);
    if (!ends->ids)
        return err_set(err, ERR_NOMEM, "no memory for %zu tokens", n);
    for (size_t i = 0; i < n_vocab; i++)
        if (tokenizer_is_end(t, (int32_t)i))
            ends->ids[ends->n++] = (int32_t)i;
    return 0;
}

void end_tokens_done(struct end_tokens *ends)
{
    free(ends->ids);
    *ends = (struct end_tokens){ 0 };
}

static int failed(struct err *e)
{
    return err_set(e, ERR_LIMIT, "the grammar is too ambiguous, or memory ran out reading it");
}

int guide_allow(struct guide *g, const struct end_tokens *ends, uint64_t *mask, struct err *e)
{
    struct constraint *c = g->shape->constraint;
    int n = constraint_mask(c, g->at, mask);

    if (n < 0)
        return failed(e);
    /* where nothing follows only the end is left, wanted or not */
    for (size_t i = 0; ends && constraint_may_end(c, g->at) && i < ends->n; i++, n = 1)
        mask[ends->ids[i] / 64] |= 1ull << ends->ids[i] % 64;
    return n ? 0
             : err_set(e, ERR_LIMIT,
                       "the model's vocabulary has no token that goes on as the "
                       "grammar demands");
}

int guide_take(struct guide *g, struct str piece, struct err *e)
{
    if (!g->shape)
        return 0;
    g->at = constraint_accept(g->shape->constraint, g->at, piece.data, piece.len);
    if (++g->n_taken % GROWS_EVERY == 0)
        shape_grew(g->shape);
    return g->at >= 0 ? 0 : failed(e);
}

bool guide_is_complete(const struct guide *g)
{
    return g->shape && constraint_must_end(g->shape->constraint, g->at);
}

size_t guide_fits(struct guide *g, const struct tokenizer *t, const int32_t *ids, size_t n)
{
    int32_t at = g->at;

    for (size_t i = 0; g->shape && i < n; i++) {
        struct str piece = tokenizer_piece(t, ids[i], false);

        if (!piece.len || tokenizer_is_end(t, ids[i]))
            return i;
        at = constraint_accept(g->shape->constraint, at, piece.data, piece.len);
        if (at < 0)
            return i;
    }
    return n;
}

size_t guide_forced(struct guide *g, const struct tokenizer *t, int32_t *ids)
{
    struct encode_options o = { .max_ids = FORCED_BYTES + 1 };
    struct ids found = { 0 };
    char text[FORCED_BYTES];
    size_t len, n = 0;
    struct err e;

    if (!g->shape)
        return 0;
    len = constraint_forced(g->shape->constraint, g->at, text, sizeof text);
    if (len > 1 && tokenizer_encode(t, text, len, &o, &found, &e) == 0)
        n = guide_fits(g, t, found.data,
                       found.len < GUIDE_MAX_FORCED ? found.len : GUIDE_MAX_FORCED);
    if (n)
        memcpy(ids, found.data, n * sizeof *ids);
    ids_done(&found);
    return n;
}
