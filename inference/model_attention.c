/* model_attention.c - numbers of attention: which layers see what, and how scores are scaled.
 *
 * Keys are those of ggml's docs/gguf.md, but for attention.scale_by_layer and rope.unrotated_every,
 * which only folders turn into. */
#include "inference/model_attention.h"

#include <math.h>

enum { MAX_CONTEXT = 1 << 30 };

/* A key that is a number, into *n, or a list with a mark for each layer: then *listed and marks[].
 */
static int read_marks(const struct model *m, const struct keys *k, const char *suffix, size_t *n,
                      bool *listed, bool marks[static MODEL_MAX_LAYERS], struct err *e)
{
    int64_t values[MODEL_MAX_LAYERS];
    char name[MAX_KEY_BYTES];
    struct weights_array a;

    if (weights_array(k->w, key_name(k, suffix, name), &a, NULL) != 0)
        return key_size(k, suffix, false, 0, MODEL_MAX_LAYERS, n, e);
    if ((a.kind != WEIGHTS_INT && a.kind != WEIGHTS_BOOL) || a.len != m->n_layers)
        return err_set(e, ERR_FORMAT,
                       "metadata key %s is a list of %zu, expected a mark for each of %zu layers",
                       name, a.len, m->n_layers);
    weights_array_ints(&a, values);
    *listed = true;
    for (size_t l = 0; l < m->n_layers; l++)
        marks[l] = values[l] != 0;
    return 0;
}

/* Which layers are rotated, and which have the window: every one but each n-th, or those that a
 * list marks. */
static int read_patterns(struct model *m, const struct keys *k, struct err *e)
{
    int rc;

    m->window_pattern = m->arch->window_pattern;
    m->unrotated_every = m->arch->unrotated_every;
    rc = read_marks(m, k, "attention.sliding_window_pattern", &m->window_pattern, &m->window_listed,
                    m->slides, e);
    return rc ? rc
              : read_marks(m, k, "rope.unrotated_every", &m->unrotated_every, &m->rotation_listed,
                           m->unrotated, e);
}

/* Epsilon, scale of scores, caps and windows.  attention.scale, where a file has it, wins. */
int model_read_attention(struct model *m, const struct keys *k, struct err *e)
{
    double scale = 0, attn_cap = 0, final_cap = 0, eps = 0;
    const char *eps_key = m->arch->norm == NORM_RMS ? "attention.layer_norm_rms_epsilon"
                                                    : "attention.layer_norm_epsilon";
    size_t width = m->head_dim;
    char name[MAX_KEY_BYTES];
    int rc;

    if ((rc = key_real(k, eps_key, true, 1e-13, 1.0, &eps, e)) ||
        (rc = key_real(k, "attention.scale", false, 0.0, 1e3, &scale, e)) ||
        (rc = key_real(k, "attn_logit_softcapping", false, 0.0, 1e6, &attn_cap, e)) ||
        (rc = key_real(k, "final_logit_softcapping", false, 0.0, 1e6, &final_cap, e)))
        return rc;
    if (!m->arch->softcaps && (attn_cap > 0 || final_cap > 0))
        return err_set(e, ERR_UNSUPPORTED, "capped logits in a model of family %s", m->arch->name);
    if (m->arch->width_scaled_layers == m->n_layers)
        width = m->n_embd / m->n_head;
    rc = weights_bool(k->w, key_name(k, "attention.scale_by_layer", name), &m->attn_scale_by_layer,
                      e);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    m->norm_eps = (float)eps;
    m->attn_scale = (float)(scale > 0 ? scale : 1.0 / sqrt((double)width));
    m->attn_softcap = (float)attn_cap;
    m->final_softcap = (float)final_cap;
    m->embed_scale = m->arch->scale_embedding ? sqrtf((float)m->n_embd) : 1.0f;

    m->window = 0;
    if ((rc = key_size(k, "attention.sliding_window", m->arch->window_required, 0, MAX_CONTEXT,
                       &m->window, e)))
        return rc;
    return read_patterns(m, k, e);
}
