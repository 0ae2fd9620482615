/* model.c - uploads a checked model to a device.
 *
 * Matrices go one by one, and their bytes of the file are let go where the device has its own copy.
 * All norm weights, biases and rope frequencies together are one small block of float32 on the
 * device. */
#include "inference/model.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "inference/model_experts.h"
#include "inference/model_rope.h"
#include "inference/model_slots.h"
#include "kernels/quant/quant.h"

struct upload {
    struct model *m;
    const struct weights *w;
    size_t n_host; /* layers that stay on the host */
    size_t done_bytes;
    void (*progress)(void *arg, int percent);
    void *arg;
    int last_percent;
};

/* One matrix, or the rank's part of t, in the backend's own order.  Where that is a copy, the
 * file's pages behind the tensor were read: they are released at once, or a model would be resident
 * twice while it loads.  What is still read from the file, such as rows of an embedding, comes back
 * from it as it is needed. */
static int upload_part(struct upload *u, const struct tensor *t, const struct tensor *part,
                       unsigned use, struct weight **out, struct err *e)
{
    const struct backend *b = u->m->backend;
    size_t total = weights_file_bytes(u->w);
    unsigned exact = u->m->exact ? WEIGHT_EXACT : 0;
    int percent;
    int rc = b->upload(u->m->device, part, use | exact, out, e);

    if (rc)
        return rc;
    weights_release(u->w, t);
    u->m->matrix_bytes += use & WEIGHT_MATMUL ? part->bytes : 0;
    u->done_bytes += t->bytes;
    percent = total ? (int)(100.0 * (double)u->done_bytes / (double)total) : 100;
    if (u->progress && percent > u->last_percent)
        u->progress(u->arg, u->last_percent = percent);
    return 0;
}

static int upload_matrix(struct upload *u, const struct tensor *t, unsigned use,
                         struct weight **out, struct err *e)
{
    return upload_part(u, t, t, use, out, e);
}

/* Of a layer: what of it the rank has. */
static int upload_slot(struct upload *u, enum arch_slot slot, const struct tensor *t, unsigned use,
                       struct weight **out, struct err *e)
{
    struct tensor part;
    void *copy;
    int rc = slice_cut(&u->m->slice, slot_dims(slot), t, &part, &copy, e);

    if (u->m->slice.n_ranks)
        part.made = false; /* the backend's copy of a part is smaller than what was made */
    if (rc == 0)
        rc = upload_part(u, t, &part, use, out, e);
    if (rc == 0 && u->m->slice.n_ranks)
        weights_discard(t);
    free(copy);
    return rc;
}

/* A rank's rows of the head; NULL where it has none. */
static int upload_head(struct upload *u, const struct tensor *t, struct err *e)
{
    struct tensor part;

    slice_head(&u->m->slice, t, &part);
    return tensor_rows(&part) ? upload_part(u, t, &part, WEIGHT_MATMUL, &u->m->head, e) : 0;
}

/* Matrices of all experts of a layer.  Lists are as long as the model has experts. */
static int upload_experts(struct upload *u, size_t layer, struct err *e)
{
    unsigned use = WEIGHT_MATMUL | (layer < u->n_host ? WEIGHT_HOST : 0);
    struct model *m = u->m;
    int rc = 0;

    for (int s = 0; rc == 0 && s < N_EXPERT_SLOTS; s++) {
        struct weight **all = calloc(m->n_expert, sizeof(struct weight *));

        m->layers[layer].experts[s] = all;
        if (!all)
            return err_set(e, ERR_NOMEM, "no memory for %zu experts", m->n_expert);
        for (size_t x = 0; rc == 0 && x < m->n_expert; x++) {
            struct tensor t;

            enum arch_slot slot = (enum arch_slot)(SLOT_FIRST_EXPERTS + s);

            if (experts_tensor(m, u->w, layer, slot, x, &t))
                rc = upload_slot(u, slot, &t, use, &all[x], e);
        }
    }
    return rc;
}

/* In the order of the forward pass, but the head, the largest, first: while a matrix is packed it
 * is there twice, and at the end that should be a small one.  A tied table is uploaded once, for
 * both uses; but of ranks each has rows of the head of its own. */
static int upload_matrices(struct upload *u, struct err *e)
{
    struct model *m = u->m;
    const struct tensor *head = weights_tensor(u->w, "output.weight");
    const struct tensor *types = weights_tensor(u->w, "token_types.weight");
    const struct tensor *embed = weights_tensor(u->w, "token_embd.weight");
    bool tied = !head && !m->headless && m->slice.n_ranks == 0;
    int rc =
        upload_matrix(u, embed, tied ? WEIGHT_EMBED | WEIGHT_MATMUL : WEIGHT_EMBED, &m->embed, e);

    if (rc == 0 && m->arch->positions)
        rc = upload_matrix(u, weights_tensor(u->w, "position_embd.weight"), WEIGHT_EMBED,
                           &m->positions, e);
    if (rc == 0 && types)
        rc = upload_matrix(u, types, WEIGHT_EMBED, &m->types, e);
    if (tied)
        m->head = m->embed;
    else if (rc == 0 && !m->headless)
        rc = upload_head(u, head ? head : embed, e);
    for (size_t l = 0; rc == 0 && l < m->n_layers; l++) {
        unsigned use = WEIGHT_MATMUL | (l < u->n_host ? WEIGHT_HOST : 0);

        for (int s = SLOT_FIRST_MATRIX; rc == 0 && s < SLOT_FIRST_EXPERTS; s++) {
            const struct tensor *t = slot_tensor(m, u->w, l, (enum arch_slot)s);

            if (t)
                rc = upload_slot(u, (enum arch_slot)s, t, use,
                                 slot_matrix(&m->layers[l], (enum arch_slot)s), e);
        }
        if (rc == 0 && m->layers[l].router)
            rc = upload_experts(u, l, e);
    }
    return rc;
}

/* The float vectors of a model, packed: each begins at a multiple of 16 floats (64 bytes).
 * A first pass with host NULL only counts. */
struct packer {
    float *host;   /* staging, the size of the device's block */
    float *device; /* its addresses are only computed with, never read through */
    size_t used;   /* floats */
};

/* Room for count floats: their place on the device, and in the staging block; both NULL while
 * counting. */
static float *pack(struct packer *p, size_t count, float **host)
{
    size_t at = p->used;

    p->used += (count + 15) & ~(size_t)15;
    *host = p->host ? p->host + at : NULL;
    return p->host ? p->device + at : NULL;
}

/* A norm weight or bias of any float type in the file, times scale; NULL where there is none. */
static float *pack_scaled(struct packer *p, const struct tensor *t, float scale)
{
    float *host;
    float *device;

    if (!t)
        return NULL;
    device = pack(p, tensor_count(t), &host);
    if (host)
        quant_format(t->dtype)->decode(host, t->data, tensor_count(t));
    for (size_t i = 0; host && scale != 1 && i < tensor_count(t); i++)
        host[i] *= scale;
    return device;
}

static float *pack_tensor(struct packer *p, const struct tensor *t)
{
    return pack_scaled(p, t, 1);
}

/* Of a layer: what of it the rank has, NULL also where that is nothing. */
static float *pack_slot(struct packer *p, const struct model *m, enum arch_slot slot,
                        const struct tensor *t)
{
    struct tensor part;
    float *host, *device;

    if (!t || (m->slice.rank > 0 && slot_is_rank_0s(m, slot)))
        return NULL;
    slice_shape(&m->slice, slot_dims(slot), t, &part);
    device = pack(p, tensor_count(&part), &host);
    if (host)
        slice_floats(&m->slice, slot_dims(slot), t, host);
    return device;
}

static float *pack_head_bias(struct packer *p, const struct model *m, const struct tensor *t)
{
    struct tensor part;

    if (!t)
        return NULL;
    slice_head_bias(&m->slice, t, &part);
    return pack_scaled(p, &part, m->logit_scale);
}

/* Angles per position; factors: tensor of divisors, or NULL. */
static float *pack_inv_freq(struct packer *p, const struct model *m, bool local,
                            const struct tensor *factors)
{
    float *host;
    float *device = pack(p, m->n_rot / 2, &host);

    if (host)
        model_inv_freq(m, local, factors, host);
    return device;
}

/* Factors of 2^(-max / c) apart for the largest power of two c of heads; the others stand halfway
 * between (Press et al. 2022, and their code).  Rounded to BF16, see struct attend. */
static float *pack_slopes(struct packer *p, const struct model *m)
{
    size_t c = 1, whole = m->slice.n_ranks ? m->slice.whole_heads : m->n_head;
    float *host;
    float *device = pack(p, m->n_head, &host);

    while (2 * c <= whole)
        c *= 2;
    for (size_t i = 0; host && i < m->n_head; i++) {
        size_t h = m->slice.heads.from + i;
        double step = h < c ? (double)(h + 1) : (double)(h - c) + 0.5;

        host[i] = quant_round_bf16((float)exp2(-m->max_alibi / (double)c * step));
    }
    return device;
}

/* Gemma 3: layers 5, 11, 17, ... with a pattern of 6, as in its config.json's layer_types. */
static bool is_global(const struct model *m, size_t layer)
{
    if (m->window == 0 || m->window_listed)
        return m->window == 0 || !m->slides[layer];
    return m->window_pattern != 0 && (layer + 1) % m->window_pattern == 0;
}

static bool is_rotated(const struct model *m, size_t layer)
{
    if (m->max_alibi > 0)
        return false;
    if (m->rotation_listed)
        return !m->unrotated[layer];
    return m->unrotated_every == 0 || (layer + 1) % m->unrotated_every != 0;
}

/* The same walk counts and fills, so that the two cannot disagree.  Windows are set on the way. */
static void pack_all(struct packer *p, struct model *m, const struct weights *w)
{
    const struct tensor *factors;
    bool local = m->arch->local_rope_base > 0 || m->rope_base[1] != m->rope_base[0];

    factors = weights_tensor(w, m->near_tokens ? ROPE_SHORT : "rope_freqs.weight");
    p->used = 0;
    m->inv_freq[0] = pack_inv_freq(p, m, false, factors);
    m->inv_freq[1] = local ? pack_inv_freq(p, m, true, NULL) : NULL;
    m->far_inv_freq =
        m->near_tokens ? pack_inv_freq(p, m, false, weights_tensor(w, ROPE_LONG)) : NULL;
    if (m->arch->embed_norm) {
        m->embed_norm = pack_tensor(p, weights_tensor(w, "token_embd_norm.weight"));
        m->embed_norm_bias = pack_tensor(p, weights_tensor(w, "token_embd_norm.bias"));
    }
    m->final_norm = pack_scaled(p, weights_tensor(w, "output_norm.weight"), m->logit_scale);
    m->final_norm_bias = pack_scaled(p, weights_tensor(w, "output_norm.bias"), m->logit_scale);
    m->head_bias = pack_head_bias(p, m, weights_tensor(w, "output.bias"));
    m->slopes = m->max_alibi > 0 ? pack_slopes(p, m) : NULL;
    for (size_t l = 0; l < m->n_layers; l++) {
        struct model_layer *layer = &m->layers[l];

        for (int s = 0; s < SLOT_FIRST_MATRIX; s++)
            *slot_vector(layer, (enum arch_slot)s) =
                pack_slot(p, m, (enum arch_slot)s, slot_tensor(m, w, l, (enum arch_slot)s));
        if (m->parallel && !layer->ffn_norm) {
            layer->ffn_norm = layer->attn_norm;
            layer->ffn_norm_bias = layer->attn_norm_bias;
        }
        layer->rope = is_rotated(m, l) ? m->rope : ROPE_NONE;
        layer->window = is_global(m, l) ? 0 : m->window;
        layer->inv_freq = layer->window && local ? m->inv_freq[1] : m->inv_freq[0];
        layer->mscale = layer->window && local ? 1 : m->rope_mscale;
        layer->attn_scale = m->attn_scale / (m->attn_scale_by_layer ? (float)(l + 1) : 1);
    }
}

static int upload_vectors(struct model *m, const struct weights *w, struct err *e)
{
    struct packer p = { 0 };
    void *block = NULL;
    size_t bytes;
    int rc;

    pack_all(&p, m, w); /* counts; the tensors' sizes were checked against the file's */
    bytes = p.used * sizeof *p.host;
    p.host = calloc(p.used, sizeof *p.host);
    if (!p.host)
        return err_set(e, ERR_NOMEM, "no memory for %zu bytes of norm weights", bytes);
    rc = m->backend->alloc(m->device, bytes, &block, e);
    if (rc == 0) {
        m->vectors = p.device = block;
        pack_all(&p, m, w);
        m->backend->write(m->device, block, p.host, bytes);
        m->backend->sync(m->device);
    }
    free(p.host);
    return rc;
}

int model_open(struct model *m, const struct weights *w, const struct backend *b, struct device *d,
               void (*progress)(void *arg, int percent), void *arg, struct err *e)
{
    int rc = model_check(m, w, e);

    return rc ? rc : model_upload(m, w, b, d, 0, progress, arg, e);
}

int model_slice(struct model *m, const struct weights *w, size_t rank, size_t n, struct err *e)
{
    int rc = n == 1 ? 0 : slice_find(&m->slice, m, w, rank, n, e);

    if (rc || n == 1)
        return rc;
    m->n_head = m->slice.heads.n;
    m->n_kv = m->slice.n_kv;
    m->n_ff = m->slice.ff.n;
    if (m->n_expert) {
        m->n_ff_expert = m->slice.ff_expert.n;
        m->n_ff_shared = m->slice.ff_shared.n;
    }
    return 0;
}

int model_upload(struct model *m, const struct weights *w, const struct backend *b,
                 struct device *d, size_t n_host, void (*progress)(void *arg, int percent),
                 void *arg, struct err *e)
{
    struct upload u = { .m = m, .w = w, .n_host = n_host, .progress = progress, .arg = arg };
    int rc = 0;

    m->backend = b;
    m->device = d;
    m->layers = calloc(m->n_layers, sizeof *m->layers);
    if (!m->layers)
        rc = err_set(e, ERR_NOMEM, "no memory for %zu layers", m->n_layers);
    if (rc == 0)
        rc = upload_vectors(m, w, e);
    if (rc == 0)
        rc = upload_matrices(&u, e);
    if (rc)
        model_close(m);
    else if (progress && u.last_percent < 100)
        progress(arg, 100);
    return rc;
}

void model_close(struct model *m)
{
    const struct backend *b = m->backend;

    for (size_t l = 0; m->layers && l < m->n_layers; l++) {
        for (int s = SLOT_FIRST_MATRIX; s < SLOT_FIRST_EXPERTS; s++)
            if (*slot_matrix(&m->layers[l], (enum arch_slot)s))
                b->weight_free(m->device, *slot_matrix(&m->layers[l], (enum arch_slot)s));
        for (int s = 0; s < N_EXPERT_SLOTS; s++) {
            for (size_t x = 0; m->layers[l].experts[s] && x < m->n_expert; x++)
                if (m->layers[l].experts[s][x])
                    b->weight_free(m->device, m->layers[l].experts[s][x]);
            free(m->layers[l].experts[s]);
        }
    }
    if (m->head && m->head != m->embed)
        b->weight_free(m->device, m->head);
    if (m->positions)
        b->weight_free(m->device, m->positions);
    if (m->types)
        b->weight_free(m->device, m->types);
    if (m->embed)
        b->weight_free(m->device, m->embed);
    if (m->vectors)
        b->free(m->device, m->vectors);
    free(m->layers);
    memset(m, 0, sizeof *m);
}
