/* forward.c - one step of a model: enqueues the stages asked for, then awaits them all.
 *
 * x [n, n_embd] is the residual stream, h its norm.  A block's last projection (o or down) lands in
 * y, and joins x inside the next norm, so that the sum costs no pass of its own.  In the last layer
 * only the rows whose logits are wanted go on after attention; a step without any ends there. */
#include "inference/forward.h"

#include <stdlib.h>
#include <string.h>

struct forward {
    const struct model *m;
    struct kvcache *cache;
    size_t max_rows, max_outputs;
    struct step step; /* under way, or the last one */
    size_t stage;     /* the next one to do; an even one begins a layer */
    /* Device memory; rows are max_rows, or max_outputs where it says outputs. */
    float *x, *h, *y; /* [rows, n_embd] */
    float *q, *att;   /* [rows, n_head * head_dim] */
    float *k, *v;     /* [rows, n_kv * head_dim] */
    float *gate, *up; /* [rows, n_ff] */
    float *logits;    /* [outputs, n_vocab] */
    int32_t *argmax;  /* [outputs] */
};

/* rows * cols values of 4 bytes each. */
static int buffer(struct forward *f, size_t rows, size_t cols, void **out, struct err *e)
{
    size_t bytes;

    if (__builtin_mul_overflow(rows, cols, &bytes) ||
        __builtin_mul_overflow(bytes, sizeof(float), &bytes))
        return err_set(e, ERR_LIMIT, "a step of %zu rows of %zu values is too large", rows, cols);
    return f->m->backend->alloc(f->m->device, bytes, out, e);
}

/* Everything a step touches, once: forward_run() allocates nothing, so that nothing can fail there.
 * alloc() gives memory that is not resident before it is touched; unused rows cost addresses only.
 */
static int buffers(struct forward *f, struct err *e)
{
    const struct model *m = f->m;
    size_t n = f->max_rows, n_q = m->n_head * m->head_dim, n_k = m->n_kv * m->head_dim;
    const struct {
        void *out; /* address of the pointer */
        size_t rows, cols;
    } want[] = {
        { &f->x, n, m->n_embd },
        { &f->h, n, m->n_embd },
        { &f->y, n, m->n_embd },
        { &f->q, n, n_q },
        { &f->att, n, n_q },
        { &f->k, n, n_k },
        { &f->v, n, n_k },
        { &f->gate, n, m->n_ff },
        { &f->up, n, m->n_ff },
        { &f->logits, f->max_outputs, m->n_vocab },
        { &f->argmax, f->max_outputs, 1 },
    };

    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        void *p = NULL;
        int rc = buffer(f, want[i].rows, want[i].cols, &p, e);

        if (rc)
            return rc;
        memcpy(want[i].out, &p, sizeof p);
    }
    return 0;
}

int forward_open(struct forward **out, const struct model *m, struct kvcache *cache,
                 size_t max_rows, size_t max_outputs, struct err *e)
{
    struct forward *f;
    int rc;

    *out = NULL;
    if (max_rows == 0 || max_rows > INT32_MAX || max_outputs == 0 || max_outputs > max_rows)
        return err_set(e, ERR_INVALID, "steps of up to %zu rows with %zu outputs are out of range",
                       max_rows, max_outputs);
    f = calloc(1, sizeof *f);
    if (!f)
        return err_set(e, ERR_NOMEM, "no memory for a forward pass");
    f->m = m;
    f->cache = cache;
    f->max_rows = max_rows;
    f->max_outputs = max_outputs;
    rc = buffers(f, e);
    if (rc == 0)
        rc = m->backend->reserve(m->device, max_rows, e);
    if (rc) {
        forward_close(f);
        return rc;
    }
    *out = f;
    return 0;
}

void forward_close(struct forward *f)
{
    if (!f)
        return;
    void *all[] = {
        f->x, f->h, f->y, f->q, f->att, f->k, f->v, f->gate, f->up, f->logits, f->argmax
    };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i])
            f->m->backend->free(f->m->device, all[i]);
    free(f);
}

/* y = norm(x + add), over n rows of n_embd; the sum stays in x. */
static void norm(const struct forward *f, float *y, float *x, const float *add, const float *w,
                 size_t n)
{
    const struct model *m = f->m;

    m->backend->norm(m->device, &(struct norm){ .kind = m->arch->norm,
                                                .y = y,
                                                .x = x,
                                                .add = add,
                                                .w = w,
                                                .n = n,
                                                .cols = m->n_embd,
                                                .eps = m->norm_eps });
}

/* Queries, keys and values of the step's rows, h W^T each; the latter two go to the cache, k
 * rotated to its position there (Su et al. 2021), so that it is rotated once and read ever after.
 */
static void project_qkv(struct forward *f, const struct step *s, size_t layer)
{
    const struct model *m = f->m;
    const struct model_layer *l = &m->layers[layer];
    const struct matmul qkv = {
        .n_out = 3,
        .w = { l->wq, l->wk, l->wv },
        .y = { f->q, f->k, f->v },
        .bias = { l->bq, l->bk, l->bv },
        .x = f->h,
        .n = s->n_rows,
        .prompt = s->prompt,
    };
    const struct rope_kv rope = {
        .q = f->q,
        .k = f->k,
        .v = f->v,
        .n = s->n_rows,
        .n_head = m->n_head,
        .q_norm = l->q_norm,
        .k_norm = l->k_norm,
        .eps = m->norm_eps,
        .kind = m->arch->rope,
        .n_rot = m->n_rot,
        .inv_freq = l->inv_freq,
        .mscale = m->rope_mscale,
        .kv = f->cache->kv,
        .layer = layer,
        .spans = s->spans,
        .n_spans = s->n_spans,
    };

    m->backend->matmul(m->device, &qkv);
    m->backend->rope_kv(m->device, &rope);
}

/* Causal over what the cache holds of each row's own sequence, this step's rows included:
 * project_qkv() has put them there. */
static void attend(struct forward *f, const struct step *s, size_t layer)
{
    const struct model *m = f->m;

    m->backend->attend(m->device, &(struct attend){ .y = f->att,
                                                    .q = f->q,
                                                    .n = s->n_rows,
                                                    .n_head = m->n_head,
                                                    .scale = m->attn_scale,
                                                    .window = m->layers[layer].window,
                                                    .softcap = m->attn_softcap,
                                                    .kv = f->cache->kv,
                                                    .layer = layer,
                                                    .spans = s->spans,
                                                    .n_spans = s->n_spans,
                                                    .prompt = s->prompt });
}

/* From attention's output to the layer's end: n rows of att, x and h.  Leaves the feed-forward
 * part's output in y, not yet added to x. */
static void output_and_ffn(struct forward *f, const struct model_layer *l, const float *att,
                           float *x, float *h, size_t n, bool prompt)
{
    const struct model *m = f->m;
    const struct backend *b = m->backend;

    /* y = att Wo^T, [n, n_embd] */
    b->matmul(m->device, &(struct matmul){ .n_out = 1,
                                           .w = { l->wo },
                                           .y = { f->y },
                                           .bias = { l->bo },
                                           .x = att,
                                           .n = n,
                                           .prompt = prompt });
    if (l->attn_post_norm)
        norm(f, f->y, f->y, NULL, l->attn_post_norm, n);
    /* h = norm(x += y); y = (act(h Wgate^T) * h Wup^T) Wdown^T  (Shazeer 2020) */
    norm(f, h, x, f->y, l->ffn_norm, n);
    b->matmul(m->device, &(struct matmul){ .n_out = 2,
                                           .w = { l->gate, l->up },
                                           .y = { f->gate, f->up },
                                           .x = h,
                                           .n = n,
                                           .prompt = prompt });
    b->gated_act(m->device, f->gate, f->gate, f->up, n * m->n_ff, m->arch->act);
    b->matmul(
        m->device,
        &(struct matmul){
            .n_out = 1, .w = { l->down }, .y = { f->y }, .x = f->gate, .n = n, .prompt = prompt });
    if (l->ffn_post_norm)
        norm(f, f->y, f->y, NULL, l->ffn_post_norm, n);
}

/* True of every step that only decodes: then nothing needs to be moved. */
static bool wants_all_rows(const struct step *s)
{
    if (s->n_outputs != s->n_rows)
        return false;
    for (size_t i = 0; i < s->n_rows; i++)
        if (s->out_rows[i] != (int32_t)i)
            return false;
    return true;
}

/* The last layer's second half, the head, and the most likely ids, for the rows that want them:
 * seldom more than one of a prompt, so that the arithmetic for many would not pay. */
static void finish(struct forward *f, const struct step *s)
{
    const struct model *m = f->m;
    const struct backend *b = m->backend;
    float *att = f->att, *x = f->x, *h = f->h;
    size_t n = s->n_outputs;

    if (!wants_all_rows(s)) { /* q and h are free now: take the wanted rows over there */
        size_t n_q = m->n_head * m->head_dim;

        b->gather(m->device, f->q, f->att, s->out_rows, n, n_q);
        b->gather(m->device, f->h, f->x, s->out_rows, n, m->n_embd);
        att = f->q;
        x = f->h;
        h = f->x;
    }
    output_and_ffn(f, &m->layers[m->n_layers - 1], att, x, h, n, false);
    norm(f, h, x, f->y, m->final_norm, n);
    b->matmul(m->device,
              &(struct matmul){ .n_out = 1, .w = { m->head }, .y = { f->logits }, .x = h, .n = n });
    if (m->final_softcap > 0)
        b->softcap(m->device, f->logits, n * m->n_vocab, m->final_softcap);
    b->argmax(m->device, f->argmax, f->logits, n, m->n_vocab);
}

/* A layer's first stage.  Of the last one only keys and values are wanted where no row wants
 * logits. */
static void begin_layer(struct forward *f, size_t layer)
{
    const struct step *s = &f->step;
    const struct model *m = f->m;

    if (layer == 0)
        m->backend->embed(m->device, f->x, m->embed, s->ids, s->n_rows, m->embed_scale);
    /* y still holds what the layer before has to add */
    norm(f, f->h, f->x, layer ? f->y : NULL, m->layers[layer].attn_norm, s->n_rows);
    project_qkv(f, s, layer);
    if (layer + 1 < m->n_layers || s->n_outputs)
        attend(f, s, layer);
}

static void end_layer(struct forward *f, size_t layer)
{
    const struct step *s = &f->step;

    if (layer + 1 < f->m->n_layers)
        output_and_ffn(f, &f->m->layers[layer], f->att, f->x, f->h, s->n_rows, s->prompt);
    else if (s->n_outputs)
        finish(f, s);
}

void forward_begin(struct forward *f, const struct step *s)
{
    f->step = *s;
    f->stage = 0;
}

size_t forward_stages(const struct forward *f)
{
    return 2 * f->m->n_layers;
}

size_t forward_advance(struct forward *f, size_t n)
{
    size_t end = forward_stages(f);

    if (f->step.n_rows == 0)
        f->stage = end;
    for (; f->stage < end && n > 0; f->stage++, n--)
        (f->stage % 2 ? end_layer : begin_layer)(f, f->stage / 2);
    f->m->backend->sync(f->m->device);
    return end - f->stage;
}

void forward_run(struct forward *f, const struct step *s)
{
    forward_begin(f, s);
    (void)forward_advance(f, SIZE_MAX);
}

int32_t forward_argmax(const struct forward *f, size_t i)
{
    const struct model *m = f->m;
    int32_t id;

    memcpy(&id, m->backend->view(m->device, f->argmax + i, sizeof id), sizeof id);
    return id;
}

const float *forward_logits(const struct forward *f, size_t i)
{
    const struct model *m = f->m;

    return m->backend->view(m->device, f->logits + i * m->n_vocab, m->n_vocab * sizeof *f->logits);
}
