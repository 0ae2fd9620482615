#include "inference/place.h"

#include "inference/forward.h"
#include "inference/model_experts.h"
#include "inference/model_slots.h"

/* A device on which nothing is computed: it adds up what a forward pass asks for. */
struct device {
    size_t bytes, max_rows;
};

static int count_alloc(struct device *d, size_t bytes, void **out, struct err *e)
{
    (void)e;
    d->bytes += bytes;
    *out = d; /* not NULL, never looked at */
    return 0;
}

static void count_free(struct device *d, void *p)
{
    (void)d;
    (void)p;
}

static int count_reserve(struct device *d, size_t max_rows, struct err *e)
{
    (void)e;
    if (max_rows > d->max_rows)
        d->max_rows = max_rows;
    return 0;
}

static const struct backend counting = {
    .alloc = count_alloc,
    .free = count_free,
    .reserve = count_reserve,
};

static int count_forward(struct device *d, const struct place_ask *ask, size_t rows, size_t outputs,
                         struct err *e)
{
    struct backend b = counting;
    struct model m = *ask->model;
    struct forward *f;
    int rc;

    b.top = ask->backend->top; /* which asks for buffers */
    m.backend = &b;
    m.device = d;
    m.lead = NULL; /* nothing of this happens */
    rc = forward_open(&f, &m, NULL, rows, outputs, e);
    if (rc == 0)
        forward_close(f);
    return rc;
}

static size_t matrix_bytes(const struct place_ask *ask, const struct tensor *t)
{
    unsigned exact = ask->model->exact ? WEIGHT_EXACT : 0;

    return t ? ask->backend->weight_bytes(t, WEIGHT_MATMUL | exact) : 0;
}

/* Matrices of a layer, and its part of the cache. */
static size_t layer_bytes(const struct place_ask *ask, size_t layer)
{
    const struct model *m = ask->model;
    size_t bytes = ask->kv_bytes / ask->kv->n_layers;
    struct tensor t;

    for (int s = SLOT_FIRST_MATRIX; s < SLOT_FIRST_EXPERTS; s++)
        bytes += matrix_bytes(ask, slot_tensor(m, ask->weights, layer, (enum arch_slot)s));
    if (!experts_in_layer(m, ask->weights, layer))
        return bytes;
    for (int s = SLOT_FIRST_EXPERTS; s < N_SLOTS; s++) /* experts are all of one shape */
        if (experts_tensor(m, ask->weights, layer, (enum arch_slot)s, 0, &t))
            bytes += m->n_expert * matrix_bytes(ask, &t);
    return bytes;
}

/* Vectors of all layers, which are float32. */
static size_t vector_bytes(const struct place_ask *ask)
{
    const struct model *m = ask->model;
    size_t bytes = 0;

    for (size_t l = 0; l < m->n_layers; l++)
        for (int s = 0; s < SLOT_FIRST_MATRIX; s++) {
            const struct tensor *t = slot_tensor(m, ask->weights, l, (enum arch_slot)s);

            bytes += t ? (tensor_count(t) + 16) * sizeof(float) : 0;
        }
    return bytes;
}

static size_t head_bytes(const struct place_ask *ask)
{
    const struct tensor *head = weights_tensor(ask->weights, "output.weight");

    if (ask->model->headless)
        return 0;
    return matrix_bytes(ask, head ? head : weights_tensor(ask->weights, "token_embd.weight"));
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t widest(const struct model *m)
{
    size_t attention = m->n_head * m->head_dim;

    return larger(larger(m->n_embd, attention),
                  larger(m->n_ff, larger(m->n_ff_expert, m->n_ff_shared)));
}

int place_find(struct place *p, const struct place_ask *ask, struct err *e)
{
    const struct model *m = ask->model;
    struct device count = { 0, 0 };
    struct backend_room room = { .max_cols = widest(m), .head_dim = m->head_dim };
    size_t used, layer = m->n_layers;
    int rc;

    *p = (struct place){ 0 };
    if (!ask->backend->free_bytes)
        return 0;
    rc = count_forward(&count, ask, ask->max_rows, ask->max_outputs, e);
    if (rc == 0)
        rc = count_forward(&count, ask, ask->max_tokens, ask->max_tokens, e);
    if (rc)
        return rc;
    room.max_rows = count.max_rows;
    p->free_bytes = ask->backend->free_bytes(ask->device, &room);
    used = count.bytes + vector_bytes(ask) + head_bytes(ask);
    p->need_bytes = used;
    p->least_bytes = used + layer_bytes(ask, m->n_layers - 1);
    for (size_t l = 0; l < m->n_layers; l++)
        p->need_bytes += layer_bytes(ask, l);
    if (p->need_bytes <= p->free_bytes)
        return 0;
    for (; layer > 0 && used + layer_bytes(ask, layer - 1) <= p->free_bytes; layer--)
        used += layer_bytes(ask, layer - 1);
    p->n_host = layer;
    if (layer == m->n_layers)
        return err_set(e, ERR_NOMEM,
                       "the model needs %zu bytes of device memory, its head and one layer %zu; "
                       "%zu are free",
                       p->need_bytes, p->least_bytes, p->free_bytes);
    return 0;
}
