/* refbackend.c - struct backend by the book; "enqueued" work runs at once. */
#include "tests/inference/refbackend.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/quant/quant.h"

size_t refbackend_allocs_left = SIZE_MAX;
size_t refbackend_live;

struct device {
    int unused;
};

struct weight {
    size_t rows, cols;
    float *values;
};

struct kv {
    struct kv_shape shape;
    float *k, *v; /* [n_layers][n_pages][page_tokens][n_kv][head_dim] */
};

static void *take(size_t bytes, struct err *e)
{
    void *p = NULL;

    if (refbackend_allocs_left == 0 || !(p = calloc(1, bytes ? bytes : 1))) {
        (void)err_set(e, ERR_NOMEM, "no memory for %zu bytes", bytes);
        return NULL;
    }
    if (refbackend_allocs_left != SIZE_MAX)
        refbackend_allocs_left--;
    refbackend_live++;
    return p;
}

static void give(void *p)
{
    if (p)
        refbackend_live--;
    free(p);
}

static int ref_open(struct device **out, const struct backend_options *o, struct err *e)
{
    (void)o;
    *out = take(sizeof **out, e);
    return *out ? 0 : ERR_NOMEM;
}

static void ref_close(struct device *d)
{
    give(d);
}

static void ref_info(const struct device *d, struct backend_info *out)
{
    (void)d;
    *out = (struct backend_info){ .isa = "reference", .device = "reference", .n_threads = 1 };
}

static int ref_alloc(struct device *d, size_t bytes, void **out, struct err *e)
{
    (void)d;
    *out = take(bytes, e);
    return *out ? 0 : ERR_NOMEM;
}

static void ref_free(struct device *d, void *p)
{
    (void)d;
    give(p);
}

static int ref_upload(struct device *d, const struct tensor *t, unsigned use, struct weight **out,
                      struct err *e)
{
    const struct quant_format *f = quant_format(t->dtype);
    size_t rows = tensor_rows(t), cols = tensor_cols(t);
    struct weight *w = take(sizeof *w + rows * cols * sizeof(float), e);

    (void)d;
    (void)use;
    if (!w)
        return ERR_NOMEM;
    *w = (struct weight){ rows, cols, (float *)(void *)(w + 1) };
    f->decode(w->values, t->data, rows * cols / f->block_values);
    *out = w;
    return 0;
}

static void ref_weight_free(struct device *d, struct weight *w)
{
    (void)d;
    give(w);
}

static int ref_kv_open(struct device *d, const struct kv_shape *s, struct kv **out, struct err *e)
{
    size_t count = s->n_layers * s->n_pages * s->page_tokens * s->n_kv * s->head_dim;
    struct kv *kv = take(sizeof *kv + 2 * count * sizeof(float), e);

    (void)d;
    if (!kv)
        return ERR_NOMEM;
    kv->shape = *s;
    kv->k = (float *)(void *)(kv + 1);
    kv->v = kv->k + count;
    *out = kv;
    return 0;
}

static void ref_kv_close(struct device *d, struct kv *kv)
{
    (void)d;
    give(kv);
}

static int ref_reserve(struct device *d, size_t max_rows, struct err *e)
{
    (void)d;
    (void)max_rows;
    (void)e;
    return 0;
}

static void ref_write(struct device *d, void *dst, const void *src, size_t bytes)
{
    (void)d;
    memcpy(dst, src, bytes);
}

static void ref_embed(struct device *d, float *y, const struct weight *table, const int32_t *ids,
                      size_t n, float scale)
{
    (void)d;
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < table->cols; c++)
            y[i * table->cols + c] = scale * table->values[(size_t)ids[i] * table->cols + c];
}

static void ref_gather(struct device *d, float *y, const float *x, const int32_t *rows, size_t n,
                       size_t cols)
{
    (void)d;
    for (size_t i = 0; i < n; i++)
        memcpy(y + i * cols, x + (size_t)rows[i] * cols, cols * sizeof *y);
}

/* One row in place: x / sqrt(mean(x^2) + eps) * w. */
static void rms(float *y, const float *x, const float *w, size_t n, float eps)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    for (size_t i = 0; i < n; i++)
        y[i] =
            (float)((double)x[i] / sqrt(sum / (double)n + (double)eps) * (w ? (double)w[i] : 1.0));
}

static void ref_norm(struct device *d, const struct norm *op)
{
    (void)d;
    for (size_t r = 0; r < op->n; r++) {
        float *x = op->x + r * op->cols;

        for (size_t c = 0; op->add && c < op->cols; c++)
            x[c] += op->add[r * op->cols + c];
        if (op->y)
            rms(op->y + r * op->cols, x, op->w, op->cols, op->eps);
    }
}

static void ref_matmul(struct device *d, const struct matmul *op)
{
    (void)d;
    for (size_t o = 0; o < op->n_out; o++) {
        const struct weight *w = op->w[o];

        for (size_t r = 0; r < op->n; r++)
            for (size_t i = 0; i < w->rows; i++) {
                double sum = op->bias[o] ? (double)op->bias[o][i] : 0.0;

                for (size_t c = 0; c < w->cols; c++)
                    sum += (double)op->x[r * w->cols + c] * (double)w->values[i * w->cols + c];
                op->y[o][r * w->rows + i] = (float)sum;
            }
    }
}

static void rotate(float *x, const struct rope_kv *op, bool far, size_t pos)
{
    size_t half = op->n_rot / 2;
    const float *inv_freq = far ? op->far_inv_freq : op->inv_freq;

    if (op->kind == ROPE_NONE)
        return;
    for (size_t i = 0; i < half; i++) {
        size_t a = op->kind == ROPE_NEOX ? i : 2 * i,
               b = op->kind == ROPE_NEOX ? i + half : 2 * i + 1;
        double angle = (double)pos * (double)inv_freq[i];
        double c = cos(angle) * (double)op->mscale, s = sin(angle) * (double)op->mscale;
        double xa = (double)x[a], xb = (double)x[b];

        x[a] = (float)(xa * c - xb * s);
        x[b] = (float)(xa * s + xb * c);
    }
}

static float *kv_at(const struct kv *kv, float *base, size_t layer, const struct seq_span *s,
                    size_t pos)
{
    const struct kv_shape *h = &kv->shape;
    size_t page = (size_t)s->pages[pos / h->page_tokens];

    return base +
           (((layer * h->n_pages + page) * h->page_tokens + pos % h->page_tokens) * h->n_kv) *
               h->head_dim;
}

static void store(const struct kv_shape *h, float *to, const float *from)
{
    for (size_t i = 0; i < h->n_kv * h->head_dim; i++)
        to[i] = h->dtype == DTYPE_F16 ? quant_f16(quant_to_f16(from[i])) : from[i];
}

static void ref_kv_copy(struct device *d, struct kv *kv, int32_t from, int32_t to, size_t n)
{
    const struct kv_shape *h = &kv->shape;
    size_t position = h->n_kv * h->head_dim;

    (void)d;
    for (size_t layer = 0; layer < h->n_layers; layer++) {
        size_t a = (layer * h->n_pages + (size_t)from) * h->page_tokens * position;
        size_t b = (layer * h->n_pages + (size_t)to) * h->page_tokens * position;

        memcpy(kv->k + b, kv->k + a, n * position * sizeof *kv->k);
        memcpy(kv->v + b, kv->v + a, n * position * sizeof *kv->v);
    }
}

static void ref_rope_kv(struct device *d, const struct rope_kv *op)
{
    const struct kv_shape *h = &op->kv->shape;
    size_t hd = h->head_dim;
    float *k = malloc(h->n_kv * hd * sizeof *k);

    (void)d;
    if (!k)
        abort();
    for (const struct seq_span *s = op->spans; s < op->spans + op->n_spans; s++)
        for (size_t i = 0; i < s->n; i++) {
            size_t row = s->row + i, pos = s->pos + i;
            float *q = op->q + row * op->n_head * hd;

            memcpy(k, op->k + row * h->n_kv * hd, h->n_kv * hd * sizeof *k);
            for (size_t a = 0; a < op->n_head; a++, q += hd) {
                if (op->q_norm)
                    rms(q, q, op->q_norm, hd, op->eps);
                rotate(q, op, s->far, pos);
            }
            for (size_t a = 0; a < h->n_kv; a++) {
                if (op->k_norm)
                    rms(k + a * hd, k + a * hd, op->k_norm, hd, op->eps);
                rotate(k + a * hd, op, s->far, pos);
            }
            store(h, kv_at(op->kv, op->kv->k, op->layer, s, pos), k);
            store(h, kv_at(op->kv, op->kv->v, op->layer, s, pos), op->v + row * h->n_kv * hd);
        }
    free(k);
}

/* One head of one row: positions first .. last. */
static void attend_head(const struct attend *op, const struct seq_span *s, size_t row, size_t head,
                        size_t first, size_t last)
{
    size_t hd = op->kv->shape.head_dim, kvh = head / (op->n_head / op->kv->shape.n_kv);
    const float *q = op->q + (row * op->n_head + head) * hd;
    float *y = op->y + (row * op->n_head + head) * hd;
    double *p = calloc(last - first + 1 + hd, sizeof *p), *acc = p + (last - first + 1);
    double max = op->sinks ? (double)op->sinks[head] : -INFINITY, sum = 0;

    if (!p)
        abort();
    for (size_t t = first; t <= last; t++) {
        const float *k = kv_at(op->kv, op->kv->k, op->layer, s, t) + kvh * hd;
        double dot = 0;

        for (size_t i = 0; i < hd; i++)
            dot += (double)q[i] * (double)k[i];
        dot *= (double)op->scale;
        if (op->softcap > 0)
            dot = (double)op->softcap * tanh(dot / (double)op->softcap);
        if (op->slopes)
            dot += (double)op->scale *
                   (double)quant_round_bf16(op->slopes[head] * quant_round_bf16((float)t));
        p[t - first] = dot;
        max = dot > max ? dot : max;
    }
    for (size_t t = first; t <= last; t++)
        sum += p[t - first] = exp(p[t - first] - max);
    if (op->sinks)
        sum += exp((double)op->sinks[head] - max);
    for (size_t t = first; t <= last; t++)
        for (size_t i = 0; i < hd; i++)
            acc[i] +=
                p[t - first] * (double)(kv_at(op->kv, op->kv->v, op->layer, s, t) + kvh * hd)[i];
    for (size_t i = 0; i < hd; i++)
        y[i] = (float)(acc[i] / sum);
    free(p);
}

static void ref_attend(struct device *d, const struct attend *op)
{
    (void)d;
    for (const struct seq_span *s = op->spans; s < op->spans + op->n_spans; s++)
        for (size_t i = 0; i < s->n; i++) {
            size_t pos = s->pos + i;
            size_t first = op->window && pos + 1 > op->window ? pos + 1 - op->window : 0;
            size_t last = s->reach ? s->reach - 1 : pos;

            if (op->window && last > pos + op->window - 1)
                last = pos + op->window - 1;
            for (size_t h = 0; h < op->n_head; h++)
                attend_head(op, s, s->row + i, h, first, last);
        }
}

static double act(double x, enum act_kind kind)
{
    switch (kind) {
    case ACT_SILU:
        return x / (1 + exp(-x));
    case ACT_GELU_TANH:
        return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case ACT_GELU_ERF:
        return 0.5 * x * (1 + erf(x / sqrt(2)));
    case ACT_RELU:
    case ACT_SWIGLU_OAI: /* comes with experts only, which are not here */
        break;
    }
    return x > 0 ? x : 0;
}

static void ref_gated_act(struct device *d, float *y, const float *gate, const float *up,
                          size_t count, enum act_kind kind)
{
    (void)d;
    for (size_t i = 0; i < count; i++)
        y[i] = (float)(act((double)gate[i], kind) * (up ? (double)up[i] : 1.0));
}

static void ref_feed_forward(struct device *d, const struct feed_forward *op)
{
    size_t last = op->gate ? 1 : 0; /* where x up^T goes */
    struct matmul in = { .n_out = 1 + last, .x = op->x, .n = op->n };

    in.w[0] = op->gate;
    in.w[last] = op->up;
    in.bias[0] = op->gate_bias;
    in.bias[last] = op->up_bias;
    in.y[0] = op->hidden[0];
    in.y[last] = op->hidden[last];
    ref_matmul(d, &in);
    ref_gated_act(d, op->hidden[0], op->hidden[0], op->gate ? op->hidden[1] : NULL,
                  op->n * op->up->rows, op->act);
    ref_matmul(d, &(struct matmul){ .n_out = 1,
                                    .w = { op->down },
                                    .y = { op->y },
                                    .bias = { op->down_bias },
                                    .x = op->hidden[0],
                                    .n = op->n });
}

static void ref_softcap(struct device *d, float *x, size_t count, float cap)
{
    (void)d;
    for (size_t i = 0; i < count; i++)
        x[i] = cap * tanhf(x[i] / cap);
}

static void ref_argmax(struct device *d, int32_t *ids, const float *x, size_t rows, size_t cols)
{
    (void)d;
    for (size_t r = 0; r < rows; r++) {
        ids[r] = 0;
        for (size_t c = 1; c < cols; c++)
            if (x[r * cols + c] > x[r * cols + (size_t)ids[r]])
                ids[r] = (int32_t)c;
    }
}

static void ref_sync(struct device *d)
{
    (void)d;
}

static const void *ref_view(struct device *d, const void *p, size_t bytes)
{
    (void)d;
    (void)bytes;
    return p;
}

const struct backend refbackend = {
    .name = "reference",
    .open = ref_open,
    .close = ref_close,
    .info = ref_info,
    .alloc = ref_alloc,
    .free = ref_free,
    .upload = ref_upload,
    .weight_free = ref_weight_free,
    .kv_open = ref_kv_open,
    .kv_close = ref_kv_close,
    .reserve = ref_reserve,
    .write = ref_write,
    .embed = ref_embed,
    .gather = ref_gather,
    .norm = ref_norm,
    .matmul = ref_matmul,
    .feed_forward = ref_feed_forward,
    .rope_kv = ref_rope_kv,
    .kv_copy = ref_kv_copy,
    .attend = ref_attend,
    .gated_act = ref_gated_act,
    .softcap = ref_softcap,
    .argmax = ref_argmax,
    .sync = ref_sync,
    .view = ref_view,
};
