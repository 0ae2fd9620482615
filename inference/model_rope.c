/* model_rope.c - rotary position embedding: bases and scaling (Su et al. 2021; linear: Chen et al.
 * 2023; YaRN: Peng et al. 2023, section 3; longrope: Ding et al. 2024).
 *
 * Scaling holds for global layers only.  Keys are those of ggml's docs/gguf.md. */
#include "inference/model_rope.h"

#include <math.h>
#include <string.h>

#include "kernels/quant/quant.h"

static bool is(struct str s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

/* The pair that turns `turns` times within n positions, as a real number. */
static double pair_of(const struct model *m, double turns, double n)
{
    return (double)m->n_rot * log(n / (turns * 2 * M_PI)) / (2 * log(m->rope_base[0]));
}

/* Which pairs keep their speed, which are slowed down, and the factor on q and k. */
static int read_yarn(struct model *m, const struct keys *k, struct err *e)
{
    char name[MAX_KEY_BYTES];
    double fast = 32, slow = 1, attention = 1, last = (double)m->n_rot - 1;
    size_t old = m->n_ctx_train;
    bool whole = true;
    int rc;

    if ((rc = key_size(k, "rope.scaling.original_context_length", false, 1, 1 << 30, &old, e)) ||
        (rc = key_real(k, "rope.scaling.yarn_beta_fast", false, 1e-3, 1e6, &fast, e)) ||
        (rc = key_real(k, "rope.scaling.yarn_beta_slow", false, 1e-3, 1e6, &slow, e)) ||
        (rc = key_real(k, "rope.scaling.attn_factor", false, 1e-3, 1e3, &attention, e)) ||
        (rc = key_real(k, "rope.scaling.yarn_attn_factor", false, 1e-3, 1e3, &attention, e)))
        return rc;
    rc = weights_bool(k->w, key_name(k, "rope.scaling.yarn_truncate", name), &whole, e);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    if (m->rope_base[0] <= 1)
        return err_set(e, ERR_FORMAT, "YaRN scaling needs a rope.freq_base above 1");
    m->yarn = true;
    m->yarn_low = pair_of(m, fast, (double)old);
    m->yarn_high = pair_of(m, slow, (double)old);
    if (whole) {
        m->yarn_low = floor(m->yarn_low);
        m->yarn_high = ceil(m->yarn_high);
    }
    m->yarn_low = fmax(m->yarn_low, 0);
    m->yarn_high = fmin(m->yarn_high, last);
    m->rope_mscale = (float)attention;
    if (m->rope_scale > 1)
        m->rope_mscale = (float)(attention * (0.1 * log(m->rope_scale) + 1));
    return 0;
}

/* Two lists of divisors, and from how many tokens on the second one counts. */
static int read_longrope(struct model *m, const struct keys *k, struct err *e)
{
    double old, attention = 1, by;
    int rc;

    rc = key_size(k, "rope.scaling.original_context_length", true, 2, 1 << 30, &m->near_tokens, e);
    if (rc)
        return rc;
    old = (double)m->near_tokens;
    by = (double)m->n_ctx_train / old;
    if (by > 1)
        attention = sqrt(1 + log(by) / log(old));
    rc = key_real(k, "rope.scaling.attn_factor", false, 1e-3, 1e3, &attention, e);
    m->rope_mscale = (float)attention;
    return rc;
}

int model_read_rope(struct model *m, const struct keys *k, struct err *e)
{
    char name[MAX_KEY_BYTES];
    struct str type = { "linear", strlen("linear") };
    bool two_lists = m->arch->rope != ROPE_NONE && weights_tensor(k->w, ROPE_LONG);
    double factor = 1.0;
    int rc;

    m->rope_mscale = 1.0f;
    m->rope_scale = 1.0;
    m->rope_base[0] = 10000.0;
    if ((rc = key_real(k, "rope.freq_base", false, 1.0, 1e12, &m->rope_base[0], e)))
        return rc;
    m->rope_base[1] = m->arch->local_rope_base > 0 ? m->arch->local_rope_base : m->rope_base[0];
    if ((rc = key_real(k, "rope.freq_base_swa", false, 1.0, 1e12, &m->rope_base[1], e)))
        return rc;

    rc = weights_str(k->w, key_name(k, "rope.scaling.type", name), &type, e);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    if (two_lists && (rc == ERR_NOTFOUND || is(type, "longrope") || is(type, "su")))
        return read_longrope(m, k, e);
    if (is(type, "none"))
        return 0;
    if (!is(type, "linear") && !is(type, "yarn"))
        return err_set(
            e, ERR_UNSUPPORTED,
            "rope scaling \"%.*s\" is not supported; supported are: none, linear, yarn%s",
            (int)(type.len < 64 ? type.len : 64), type.data, two_lists ? ", longrope" : "");
    if ((rc = key_real(k, "rope.scale_linear", false, 0.0, 1e6, &factor, e)) ||
        (rc = key_real(k, "rope.scaling.factor", false, 0.0, 1e6, &factor, e)))
        return rc;
    m->rope_scale = factor > 0 ? factor : 1.0; /* llama.cpp: 0 means none */
    return is(type, "yarn") ? read_yarn(m, k, e) : 0;
}

void model_inv_freq(const struct model *m, bool local, const struct tensor *factors, float *out)
{
    size_t n = m->n_rot / 2;

    for (size_t i = 0; i < n; i++)
        out[i] = 1.0f;
    if (factors)
        quant_format(factors->dtype)->decode(out, factors->data, n);
    for (size_t i = 0; i < n; i++) {
        double turn = pow(m->rope_base[local], -2.0 * (double)i / (double)m->n_rot);
        double by = local ? 1.0 : m->rope_scale, slowed = 1.0;

        if (m->yarn && !local)
            slowed = ((double)i - m->yarn_low) / fmax(m->yarn_high - m->yarn_low, 0.001);
        slowed = fmin(fmax(slowed, 0), 1);
        out[i] = (float)(turn * (slowed / by + 1 - slowed) / (double)out[i]);
    }
}
