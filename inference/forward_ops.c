/* forward_ops.c - the ops of each stage of a step, in terms of struct backend. */
#include "inference/forward_state.h"

/* Each of n_heads heads of x with weights of its own, in place. */
static void norm_heads(const struct forward *f, float *x, const float *w, size_t n, size_t n_heads)
{
    const struct model *m = f->m;

    if (w)
        m->backend->norm(m->device, &(struct norm){ .kind = m->arch->norm,
                                                    .y = x,
                                                    .x = x,
                                                    .w = w,
                                                    .n = n * n_heads,
                                                    .cols = m->head_dim,
                                                    .n_w = n_heads,
                                                    .eps = m->norm_eps });
}

/* Of layer `layer` in the cache.  An encoder forgets each layer for the next one. */
static size_t cache_layer(const struct model *m, size_t layer)
{
    return m->encoder ? 0 : layer;
}

/* Queries, keys and values of the step's rows, h W^T each; the latter two go to the cache, k
 * rotated to its position there (Su et al. 2021), so that it is rotated once and read ever after.
 */
static void project_qkv(struct forward *f, const struct step *s, size_t layer, const float *h)
{
    const struct model *m = f->m;
    const struct model_layer *l = &m->layers[layer];
    bool layer_norms = m->arch->norm == NORM_LAYER; /* of heads; else rope_kv has them */
    const struct matmul qkv = {
        .n_out = 3,
        .w = { l->wq, l->wk, l->wv },
        .y = { f->q, f->k, f->v },
        .bias = { l->bq, l->bk, l->bv },
        .x = h,
        .n = s->n_rows,
        .prompt = s->prompt,
    };
    const struct rope_kv rope = {
        .q = f->q,
        .k = f->k,
        .v = f->v,
        .n = s->n_rows,
        .n_head = m->n_head,
        .q_norm = layer_norms ? NULL : l->q_norm,
        .k_norm = layer_norms ? NULL : l->k_norm,
        .eps = m->norm_eps,
        .kind = l->rope,
        .n_rot = m->n_rot,
        .inv_freq = l->inv_freq,
        .far_inv_freq = m->far_inv_freq,
        .mscale = l->mscale,
        .kv = f->cache->kv,
        .layer = cache_layer(m, layer),
        .spans = s->spans,
        .n_spans = s->n_spans,
    };

    m->backend->matmul(m->device, &qkv);
    if (layer_norms) {
        forward_norm_in_place(f, f->q, l->q_norm, l->q_norm_bias, s->n_rows * m->n_head,
                              m->head_dim);
        forward_norm_in_place(f, f->k, l->k_norm, l->k_norm_bias, s->n_rows * m->n_kv, m->head_dim);
    }
    forward_norm_in_place(f, f->q, l->q_row_norm, NULL, s->n_rows, m->n_head * m->head_dim);
    forward_norm_in_place(f, f->k, l->k_row_norm, NULL, s->n_rows, m->n_kv * m->head_dim);
    norm_heads(f, f->q, l->q_head_norm, s->n_rows, m->n_head);
    norm_heads(f, f->k, l->k_head_norm, s->n_rows, m->n_kv);
    m->backend->rope_kv(m->device, &rope);
}

/* n rows of q over what the cache holds of each row's own sequence, the step's own rows included:
 * project_qkv() has put them there. */
static void attend(struct forward *f, size_t layer, float *y, const float *q, size_t n,
                   const struct seq_span *spans, size_t n_spans, bool prompt)
{
    const struct model *m = f->m;

    m->backend->attend(m->device, &(struct attend){ .y = y,
                                                    .q = q,
                                                    .n = n,
                                                    .n_head = m->n_head,
                                                    .scale = m->layers[layer].attn_scale,
                                                    .window = m->layers[layer].window,
                                                    .softcap = m->attn_softcap,
                                                    .sinks = m->layers[layer].sinks,
                                                    .slopes = m->slopes,
                                                    .kv = f->cache->kv,
                                                    .layer = cache_layer(m, layer),
                                                    .spans = spans,
                                                    .n_spans = n_spans,
                                                    .prompt = prompt });
}

void forward_attend(struct forward *f, size_t layer, const struct part *p)
{
    size_t at = p->row * f->m->n_head * f->m->head_dim;

    attend(f, layer, f->att + at, f->q + at, p->n, f->part_spans + p->span, p->n_spans,
           f->step.prompt);
}

static bool are_all(const int32_t *rows, size_t n, const struct step *s)
{
    if (n != s->n_rows)
        return false;
    for (size_t i = 0; i < n; i++)
        if (rows[i] != (int32_t)i)
            return false;
    return true;
}

/* Spans of n wanted rows, in their order: rows side by side are one.  Returns how many. */
static size_t make_spans(const struct step *s, const int32_t *rows, size_t n, struct seq_span *out)
{
    size_t n_spans = 0, end = 0; /* rows of the step before `end` are in the last one's sequence */

    for (size_t i = 0; i < n; i++) {
        size_t row = (size_t)rows[i];
        const struct seq_span *from = s->spans;

        if (i > 0 && rows[i] == rows[i - 1] + 1 && row < end) {
            out[n_spans - 1].n++;
            continue;
        }
        while (row < from->row || row >= from->row + from->n)
            from++;
        end = from->row + from->n;
        out[n_spans++] = (struct seq_span){ .row = i,
                                            .n = 1,
                                            .pos = from->pos + row - from->row,
                                            .pages = from->pages,
                                            .reach = from->reach };
    }
    return n_spans;
}

/* Rows that go through the last layer together. */
struct wanted {
    const int32_t *rows;
    size_t n;
    bool prompt;
    float *q, *att, *x, *h; /* what becomes of them; q and x hold them */
    const struct seq_span *spans;
    size_t n_spans;
};

/* The last layer from attention on, and the norm behind it: returns what the head reads. */
static float *finish(struct forward *f, const struct wanted *w)
{
    const struct model *m = f->m;
    size_t last = m->n_layers - 1;
    const float *add = m->layers[last].ffn_out_norm ? NULL : f->y;

    attend(f, last, w->att, w->q, w->n, w->spans, w->n_spans, w->prompt);
    forward_output_rows(f, &m->layers[last], w->att, w->x, w->h, w->n, w->prompt);
    if (!m->final_norm && add)
        forward_norm(f, NULL, w->x, add, NULL, NULL, w->n);
    if (!m->final_norm)
        return w->x;
    forward_norm(f, w->h, w->x, add, m->final_norm, m->final_norm_bias, w->n);
    return w->h;
}

/* Takes wanted rows over to where nothing is needed any more, from row `at` there on. */
static void take_over(struct forward *f, struct wanted *w, size_t at)
{
    const struct model *m = f->m;
    size_t n_q = m->n_head * m->head_dim;

    if (w->n == 0)
        return;
    m->backend->gather(m->device, f->att + at * n_q, f->q, w->rows, w->n, n_q);
    m->backend->gather(m->device, f->h + at * m->n_embd, f->x, w->rows, w->n, m->n_embd);
    w->n_spans = make_spans(&f->step, w->rows, w->n, f->out_spans + at);
    w->spans = f->out_spans + at;
    w->q = f->att + at * n_q;
    w->att = f->q + at * n_q;
    w->x = f->h + at * m->n_embd;
    w->h = f->x + at * m->n_embd;
}

/* The last layer from attention on for the rows that are wanted; the head, and the most likely ids,
 * for those that want logits: seldom more than one of a prompt, so that the arithmetic for many
 * would not pay.  Hidden states are as many as there are given tokens. */
void forward_finish(struct forward *f)
{
    const struct step *s = &f->step;
    struct wanted all = {
        .q = f->q, .att = f->att, .x = f->x, .h = f->h, .spans = s->spans, .n_spans = s->n_spans
    };
    struct wanted out = all, hidden = all;

    out.rows = s->out_rows;
    out.n = s->n_outputs;
    hidden.rows = s->hidden_rows;
    hidden.n = s->n_hidden;
    hidden.prompt = s->prompt;
    /* of a step that only decodes nothing needs to be moved, nor of one that wants all hidden */
    if (!(hidden.n == 0 && are_all(out.rows, out.n, s)) &&
        !(out.n == 0 && are_all(hidden.rows, hidden.n, s))) {
        take_over(f, &out, 0);
        take_over(f, &hidden, out.n);
    }
    if (out.n)
        forward_head(f, finish(f, &out), out.n);
    if (hidden.n)
        f->hidden = finish(f, &hidden);
}

/* Rows of the table of positions, to be added to the embeddings; false where the model has none. */
static bool embed_positions(struct forward *f)
{
    const struct model *m = f->m;
    const struct step *s = &f->step;

    if (!m->positions)
        return false;
    for (size_t i = 0; i < s->n_spans; i++)
        for (size_t k = 0; k < s->spans[i].n; k++)
            f->positions[s->spans[i].row + k] = (int32_t)(s->spans[i].pos + k);
    m->backend->embed(m->device, f->y, m->positions, f->positions, s->n_rows, 1.0f);
    return true;
}

/* All embeddings of the rows, in x; true: of what is added to them, y has the last part still to
 * be added. */
static bool embed(struct forward *f)
{
    const struct model *m = f->m;
    const struct step *s = &f->step;
    bool adds;

    m->backend->embed(m->device, f->x, m->embed, s->ids, s->n_rows, m->embed_scale);
    adds = embed_positions(f);
    if (m->types) {
        if (adds)
            forward_norm(f, NULL, f->x, f->y, NULL, NULL, s->n_rows);
        m->backend->embed(m->device, f->y, m->types, f->types, s->n_rows, 1.0f);
        adds = true;
    }
    if (!m->embed_norm)
        return adds;
    forward_norm_stream(f, f->x, adds ? f->y : NULL, m->embed_norm, m->embed_norm_bias, s->n_rows);
    return false;
}

void forward_qkv(struct forward *f, size_t layer)
{
    const struct step *s = &f->step;
    const struct model *m = f->m;
    const struct model_layer *l = &m->layers[layer];
    bool adds = layer > 0 && !m->layers[layer - 1].ffn_out_norm;
    const float *h;

    if (layer == 0)
        adds = embed(f);
    /* y still holds what the layer before, or the position, has to add */
    h = forward_part_input(f, f->h, f->x, adds ? f->y : NULL, l->attn_norm, l->attn_norm_bias,
                           s->n_rows);
    project_qkv(f, s, layer, h);
}
