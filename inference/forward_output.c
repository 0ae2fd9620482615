/* forward_output.c - a layer from attention's output on: o, the feed-forward part, and of ranks the
 * sums behind both.
 *
 * Of a prompt on ranks the rows go in two halves where the device can add up while it computes:
 *
 *   o A | o B       | ffn A     | ffn B
 *       | sum of A  | sum of B  | sum of A | sum of B
 *
 * so that three sums of four cost what they take beyond the computation beside them. */
#include "inference/forward_state.h"

enum {
    OVERLAP_ROWS = 64, /* with fewer a half would not fill the tiles of a product */
    TILE_ROWS = 32,
};

/* Some of the rows that go on from attention. */
struct rows {
    const float *att;
    float *x, *h, *y; /* y: what a part gives before it joins x */
    size_t n;
    bool prompt;
};

static struct rows rows_from(const struct model *m, const struct rows *r, size_t row, size_t n)
{
    return (struct rows){ .att = r->att + row * m->n_head * m->head_dim,
                          .x = r->x + row * m->n_embd,
                          .h = r->h + row * m->n_embd,
                          .y = r->y + row * m->n_embd,
                          .n = n,
                          .prompt = r->prompt };
}

/* y = att Wo^T, [n, n_embd] */
static void project(const struct forward *f, const struct model_layer *l, const struct rows *r)
{
    const struct model *m = f->m;

    m->backend->matmul(m->device, &(struct matmul){ .n_out = 1,
                                                    .w = { l->wo },
                                                    .y = { r->y },
                                                    .bias = { l->bo },
                                                    .x = r->att,
                                                    .n = r->n,
                                                    .prompt = r->prompt });
}

static void dense(struct forward *f, const struct model_layer *l, const float *in,
                  const struct rows *r)
{
    const struct model *m = f->m;

    m->backend->feed_forward(m->device, &(struct feed_forward){ .gate = l->gate,
                                                                .up = l->up,
                                                                .down = l->down,
                                                                .gate_bias = l->bgate,
                                                                .up_bias = l->bup,
                                                                .down_bias = l->bdown,
                                                                .act = m->act,
                                                                .y = r->y,
                                                                .x = in,
                                                                .hidden = { f->gate, f->up },
                                                                .n = r->n,
                                                                .prompt = r->prompt });
}

/* y, attention's, joins x; then y is the feed-forward part's. */
static void feed(struct forward *f, const struct model_layer *l, const struct rows *r)
{
    const struct model *m = f->m;
    const float *in;

    forward_norm_in_place(f, r->y, l->attn_post_norm, NULL, r->n, m->n_embd);
    if (l->attn_out_norm) {
        forward_norm_stream(f, r->x, r->y, l->attn_out_norm, l->attn_out_norm_bias, r->n);
        in = r->x;
    } else if (m->parallel) {
        in = forward_part_input(f, r->h, r->x, NULL, l->ffn_norm, l->ffn_norm_bias, r->n);
        forward_norm(f, NULL, r->x, r->y, NULL, NULL, r->n); /* only adds */
    } else {
        in = forward_part_input(f, r->h, r->x, r->y, l->ffn_norm, l->ffn_norm_bias, r->n);
    }
    if (l->router)
        forward_experts(f, l, in, r->y, r->n, r->prompt);
    else
        dense(f, l, in, r);
}

/* --- ranks --- */

/* y, of which each rank has a part, becomes the sum of all. */
static void add_up(const struct forward *f, const struct rows *r)
{
    const struct model *m = f->m;

    if (m->slice.n_ranks)
        m->backend->reduce(m->device, r->y, r->n, m->n_embd);
}

/* The same while the next ops are computed; it is there when the next sum begins. */
static void add_up_later(const struct forward *f, const struct rows *r)
{
    const struct model *m = f->m;

    m->backend->reduce_later(m->device, r->y, r->n, m->n_embd);
}

static void in_halves(struct forward *f, const struct model_layer *l, const struct rows *all)
{
    const struct model *m = f->m;
    size_t n = (all->n / 2 + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
    const struct rows a = rows_from(m, all, 0, n), b = rows_from(m, all, n, all->n - n);

    project(f, l, &a);
    if (!m->slice.whole_attention)
        add_up_later(f, &a);
    project(f, l, &b);
    if (!m->slice.whole_attention)
        add_up_later(f, &b);
    feed(f, l, &a);
    add_up_later(f, &a);
    feed(f, l, &b);
    add_up(f, &b);
}

static void at_once(struct forward *f, const struct model_layer *l, const struct rows *all)
{
    project(f, l, all);
    if (!f->m->slice.whole_attention)
        add_up(f, all);
    feed(f, l, all);
    add_up(f, all);
}

void forward_output_rows(struct forward *f, const struct model_layer *l, const float *att, float *x,
                         float *h, size_t n, bool prompt)
{
    const struct model *m = f->m;
    const struct rows all = { att, x, h, f->y, n, prompt };

    if (m->slice.n_ranks && m->backend->reduce_later && prompt && n >= OVERLAP_ROWS)
        in_halves(f, l, &all);
    else
        at_once(f, l, &all);
    forward_norm_in_place(f, f->y, l->ffn_post_norm, NULL, n, m->n_embd);
    if (l->ffn_out_norm)
        forward_norm_stream(f, x, f->y, l->ffn_out_norm, l->ffn_out_norm_bias, n);
}

void forward_output(struct forward *f, size_t layer)
{
    const struct step *s = &f->step;

    forward_output_rows(f, &f->m->layers[layer], f->att, f->x, f->h, s->n_rows, s->prompt);
}
