/* ops.c - ops of the forward pass as launches of kernels. */
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/device.h"

void cuda_write(struct device *d, void *dst, const void *src, size_t bytes)
{
    if (bytes > 0)
        device_ok(d, cudaMemcpyAsync(dst, src, bytes, cudaMemcpyHostToDevice, d->stream));
}

/* Rows of a table are decoded here: a step has few, and they are exact that way. */
void cuda_embed(struct device *d, float *y, const struct weight *table, const int32_t *ids,
                size_t n, float scale)
{
    for (size_t i = 0; i < n; i++) {
        void *on_device;
        float *row = stage_take(d, table->cols * sizeof *row, &on_device);

        if (!row)
            return;
        weight_row(table, (size_t)ids[i], row);
        if (scale != 1.0f)
            for (size_t c = 0; c < table->cols; c++)
                row[c] *= scale;
        stage_send(d, row, y + i * table->cols, table->cols * sizeof *row);
    }
}

void cuda_gather(struct device *d, float *y, const float *x, const int32_t *rows, size_t n,
                 size_t cols)
{
    void *on_device;
    int32_t *staged;

    if (n == 0 || cols == 0)
        return;
    staged = stage_take(d, n * sizeof *staged, &on_device);
    if (!staged)
        return;
    memcpy(staged, rows, n * sizeof *staged);
    stage_send(d, staged, on_device, n * sizeof *staged);
    if (d->replaying)
        return;
    launch_gather(y, x, on_device, (unsigned)n, (unsigned)cols, d->stream);
}

void cuda_norm(struct device *d, const struct norm *op)
{
    const struct cuda_norm norm = { (int)op->kind,
                                    op->y,
                                    op->x,
                                    op->add,
                                    op->w,
                                    op->b,
                                    (unsigned)op->n,
                                    (unsigned)op->cols,
                                    (unsigned)op->n_w,
                                    op->eps };

    if (op->n > 0 && op->cols > 0)
        launch_norm(&norm, d->stream);
}

void cuda_matmul(struct device *d, const struct matmul *op)
{
    bool quantised = false;

    if (op->n == 0)
        return;
    for (size_t i = 0; i < op->n_out; i++) {
        const struct weight *w = op->w[i];

        if (!w->codes) {
            (op->prompt && d->major >= 8 ? launch_matmul_many
                                         : launch_matmul_floats)(&w->floats, op->x, op->y[i],
                                                                 op->bias[i], (unsigned)op->n,
                                                                 d->stream);
            continue;
        }
        if (!quantised) {
            if (!device_room(d, op->n, w->cols, 0))
                return;
            launch_quantise(&d->acts, op->x, (unsigned)op->n, (unsigned)w->cols, d->stream);
        }
        quantised = true;
        launch_matmul_codes(&w->code, &d->acts, op->y[i], op->bias[i], (unsigned)op->n, d->stream);
    }
}

void cuda_gated_act(struct device *d, float *y, const float *gate, const float *up, size_t count,
                    enum act_kind kind)
{
    if (count > 0)
        launch_gated_act(y, gate, up, count, (int)kind, d->stream);
}

void cuda_feed_forward(struct device *d, const struct feed_forward *op)
{
    struct matmul in = { .n_out = op->gate ? 2 : 1,
                         .w = { op->gate ? op->gate : op->up, op->up },
                         .y = { op->hidden[0], op->hidden[1] },
                         .bias = { op->gate ? op->gate_bias : op->up_bias, op->up_bias },
                         .x = op->x,
                         .n = op->n,
                         .prompt = op->prompt };
    const struct matmul out = { .n_out = 1,
                                .w = { op->down },
                                .y = { op->y },
                                .bias = { op->down_bias },
                                .x = op->hidden[0],
                                .n = op->n,
                                .prompt = op->prompt };

    if (op->n == 0)
        return;
    cuda_matmul(d, &in);
    cuda_gated_act(d, op->hidden[0], op->hidden[0], op->gate ? op->hidden[1] : NULL,
                   op->n * op->up->rows, op->act);
    cuda_matmul(d, &out);
}

/* Rows and pages of the op's spans on the device.  False where there is nothing to launch: a graph
 * does it, or the device is broken. */
static bool find_rows(struct device *d, const struct kv *kv, const struct seq_span *spans,
                      size_t n_spans, size_t n, const struct batch_rows **b)
{
    *b = n > 0 ? stage_rows(d, spans, n_spans, n, kv->shape.page_tokens) : NULL;
    return *b && !d->replaying;
}

/* The cosines and sines of a batch, made once in a step for all layers that share them. */
static const float2 *rope_table(struct device *d, const struct rope_kv *op,
                                const struct batch_rows *b)
{
    struct rope_table *t;
    float2 *at;

    if (!device_room(d, op->n, 0, op->n_rot))
        return NULL;
    for (size_t i = 0; i < ROPE_TABLES; i++) {
        t = &d->ropes[i];
        if (t->inv_freq == op->inv_freq && t->spans == op->spans && t->n == op->n &&
            t->n_rot == op->n_rot && t->mscale == op->mscale)
            return d->tables + i * d->max_rows * (d->max_head_dim / 2);
    }
    t = &d->ropes[d->next_rope % ROPE_TABLES];
    at = d->tables + d->next_rope++ % ROPE_TABLES * d->max_rows * (d->max_head_dim / 2);
    *t = (struct rope_table){ op->inv_freq, op->spans, op->n, op->n_rot, op->mscale };
    launch_rope_table(at, b->rows, op->inv_freq, op->far_inv_freq, (unsigned)op->n,
                      (unsigned)op->n_rot / 2, op->mscale, d->stream);
    return at;
}

void cuda_rope_kv(struct device *d, const struct rope_kv *op)
{
    const struct batch_rows *b;
    struct cuda_rope_kv r = { .q = op->q,
                              .k = op->k,
                              .v = op->v,
                              .q_norm = op->q_norm,
                              .k_norm = op->k_norm,
                              .n = (unsigned)op->n,
                              .n_head = (unsigned)op->n_head,
                              .n_rot = (unsigned)op->n_rot,
                              .layer = (unsigned)op->layer,
                              .kind = (int)op->kind,
                              .eps = op->eps,
                              .kv = op->kv->on_device };

    if (!find_rows(d, op->kv, op->spans, op->n_spans, op->n, &b))
        return;
    r.rows = b->rows;
    r.pages = b->pages;
    if (op->kind != ROPE_NONE && op->n_rot > 0)
        r.table = rope_table(d, op, b);
    launch_rope_kv(&r, d->stream);
}

/* With few rows, splits of long sequences are spread over the device, as far as there is memory for
 * their results. */
static unsigned splits(const struct attend *op, size_t longest)
{
    enum { BUSY = 512 }; /* blocks of threads that keep a device busy */
    size_t n = (longest + CUDA_SPLIT - 1) / CUDA_SPLIT;

    if (op->n * op->n_head >= BUSY ||
        op->n * op->n_head * n > PARTS_BYTES / sizeof(float) / (op->kv->shape.head_dim + 2))
        return 1;
    return (unsigned)n;
}

/* Float32 keys are looked at as what they are. */
static bool by_tensor_cores(const struct device *d, const struct attend *op)
{
    return op->prompt && d->major >= 8 && op->kv->shape.head_dim <= 256 &&
           op->kv->shape.dtype != DTYPE_F32;
}

void cuda_attend(struct device *d, const struct attend *op)
{
    const struct batch_rows *b;
    struct cuda_attend a = { .y = op->y,
                             .q = op->q,
                             .sinks = op->sinks,
                             .slopes = op->slopes,
                             .parts = d->parts,
                             .n = (unsigned)op->n,
                             .n_head = (unsigned)op->n_head,
                             .layer = (unsigned)op->layer,
                             .window = (unsigned)op->window,
                             .scale = op->scale,
                             .softcap = op->softcap,
                             .kv = op->kv->on_device };

    if (!find_rows(d, op->kv, op->spans, op->n_spans, op->n, &b))
        return;
    a.rows = b->rows;
    a.pages = b->pages;
    if (by_tensor_cores(d, op)) {
        a.tiles = b->tiles;
        a.n_tiles = b->n_tiles;
        launch_attend_many(&a, d->stream);
        return;
    }
    a.n_splits = splits(op, b->longest);
    launch_attend(&a, d->stream);
}

void cuda_kv_copy(struct device *d, struct kv *kv, int32_t from, int32_t to, size_t n)
{
    if (n > 0)
        launch_kv_copy(&kv->on_device, from, to, d->stream);
}

void cuda_softcap(struct device *d, float *x, size_t count, float cap)
{
    if (count > 0)
        launch_softcap(x, count, cap, d->stream);
}

/* As many rows at a time as there is room for what their segments say. */
static void find_top(struct device *d, struct cuda_top t, size_t rows)
{
    size_t segments = (t.cols + CUDA_TOP_SEGMENT - 1) / CUDA_TOP_SEGMENT;
    size_t each = segments * (t.k * sizeof *t.part + sizeof *t.sums);
    size_t at_once = PARTS_BYTES / each < UINT16_MAX ? PARTS_BYTES / each : UINT16_MAX;

    if (!device_parts(d))
        return;
    t.part = d->parts;
    t.segments = (unsigned)segments;
    for (size_t row = 0; row < rows; row += at_once) {
        t.rows = (unsigned)(at_once < rows - row ? at_once : rows - row);
        t.sums = (float *)(t.part + t.rows * segments * t.k);
        launch_top(&t, d->stream);
        t.ids += t.rows * (size_t)t.k;
        t.values = t.values ? t.values + t.rows * (size_t)(t.k + 1) : NULL;
        t.x += t.rows * (size_t)t.cols;
    }
}

void cuda_argmax(struct device *d, int32_t *ids, const float *x, size_t rows, size_t cols)
{
    const struct cuda_top t = { .ids = ids, .x = x, .cols = (unsigned)cols, .k = 1 };

    if (rows > 0 && cols > 0)
        find_top(d, t, rows);
}

void cuda_top(struct device *d, const struct top *op)
{
    const struct cuda_top t = { .ids = op->ids,
                                .values = op->values,
                                .x = op->x,
                                .cols = (unsigned)op->cols,
                                .k = (unsigned)op->k,
                                .none = -1 };

    if (op->rows > 0 && op->cols > 0)
        find_top(d, t, op->rows);
}

/* --- experts --- */

/* The matrices of all experts as an array on the device, made when it is first asked for. */
static const void *expert_array(struct device *d, const struct weight *const *w, size_t n)
{
    size_t each = w[0]->codes ? sizeof w[0]->code : sizeof w[0]->floats;
    struct expert_array *a;
    char *host;

    for (a = d->experts; a; a = a->next)
        if (a->of == w)
            return a->device;
    a = calloc(1, sizeof *a);
    host = malloc(n * each);
    if (a && host && device_ok(d, cudaMalloc(&a->device, n * each))) {
        for (size_t i = 0; i < n; i++)
            memcpy(host + i * each,
                   w[i]->codes ? (const void *)&w[i]->code : (const void *)&w[i]->floats, each);
        device_ok(d, cudaMemcpy(a->device, host, n * each, cudaMemcpyHostToDevice));
        a->of = w;
        a->next = d->experts;
        d->experts = a;
        free(host);
        return a->device;
    }
    d->broken = cudaErrorMemoryAllocation;
    free(a);
    free(host);
    return NULL;
}

/* Rows `in`, side by side by expert, times each expert's matrix. */
static void product(struct device *d, const struct cuda_experts *x, const struct weight *const *w,
                    const float *in, float *y, const float *bias, bool quantised)
{
    const void *array = expert_array(d, w, x->n_expert);
    const struct weight *like = w[0];

    if (!array)
        return;
    if (!like->codes) {
        launch_experts_floats(x, array, in, y, bias, like->floats.rows, like->floats.cols,
                              like->floats.dtype, d->stream);
        return;
    }
    if (!quantised) {
        if (!device_room(d, x->n * x->n_used, like->cols, 0))
            return;
        launch_quantise(&d->acts, in, x->n * x->n_used, (unsigned)like->cols, d->stream);
    }
    launch_experts_codes(x, array, &like->code, &d->acts, y, bias, d->stream);
}

void cuda_experts(struct device *d, const struct experts *op)
{
    size_t n = op->n * op->n_used;
    const struct cuda_experts x = { .y = op->y,
                                    .x = op->x,
                                    .router = op->router,
                                    .router_bias = op->router_bias,
                                    .shared_gate = op->shared_gate,
                                    .rows = op->rows,
                                    .gate_rows = op->gate_rows,
                                    .scores = op->scores,
                                    .shares = op->shares,
                                    .expert = op->places,
                                    .place = op->places + n,
                                    .row = op->places + 2 * n,
                                    .start = op->places + 3 * n,
                                    .n = (unsigned)op->n,
                                    .cols = (unsigned)op->cols,
                                    .n_ff = (unsigned)op->n_ff,
                                    .n_expert = (unsigned)op->n_expert,
                                    .n_used = (unsigned)op->n_used,
                                    .renormalise = op->renormalise,
                                    .shared = op->shared,
                                    .scale = op->scale };

    if (op->n == 0)
        return;
    launch_experts_route(&x, d->stream);
    launch_experts_rows(&x, d->stream);
    product(d, &x, op->gate, op->rows, op->gate_rows, op->bgate, false);
    product(d, &x, op->up, op->rows, op->up_rows, op->bup, op->gate[0]->codes && op->up[0]->codes);
    cuda_gated_act(d, op->gate_rows, op->gate_rows, op->up_rows, n * op->n_ff, op->act);
    product(d, &x, op->down, op->gate_rows, op->rows, op->bdown, false);
    launch_experts_sum(&x, d->stream);
}
