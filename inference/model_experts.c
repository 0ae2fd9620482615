/* model_experts.c - see model_experts.h. */
#include "inference/model_experts.h"

#include <stdio.h>
#include <string.h>

#include "inference/hf.h"
#include "inference/model_slots.h"
#include "kernels/quant/quant.h"

enum { MAX_EXPERTS = 4096, MAX_EXPERT_FF = 1 << 20, TAIL_BYTES = 11 /* of "exps.weight" */ };

/* llama.cpp's expert_gating_func: softmax over all scores and over those chosen are both softmax
 * here; sigmoids are not known.  Groups of experts neither. */
static int refuse_others(const struct keys *k, struct err *e)
{
    size_t gating = 1, groups = 1;
    int rc;

    if ((rc = key_size(k, "expert_gating_func", false, 0, SIZE_MAX, &gating, e)) ||
        (rc = key_size(k, "expert_group_count", false, 0, SIZE_MAX, &groups, e)))
        return rc;
    if (gating == 2 || gating > 3)
        return err_set(e, ERR_UNSUPPORTED, "experts weighed by function %zu; expected softmax",
                       gating);
    if (groups > 1)
        return err_set(e, ERR_UNSUPPORTED, "experts in %zu groups are not supported", groups);
    return 0;
}

int experts_read(struct model *m, const struct keys *k, struct err *e)
{
    char name[MAX_KEY_BYTES];
    double scale = 0;
    int rc = key_size(k, "expert_count", false, 0, MAX_EXPERTS, &m->n_expert, e);

    if (rc || m->n_expert == 0)
        return rc;
    if (m->arch->layer[SLOT_ROUTER].presence == ARCH_ABSENT)
        return err_set(e, ERR_UNSUPPORTED, "%s is %zu: family %s has no experts",
                       key_name(k, "expert_count", name), m->n_expert, m->arch->name);
    m->n_ff_expert = m->n_ff_shared = m->n_ff;
    m->expert_norm = m->arch->expert_norm;
    if ((rc = key_size(k, "expert_used_count", true, 1, m->n_expert, &m->n_expert_used, e)) ||
        (rc = key_size(k, "expert_feed_forward_length", false, 1, MAX_EXPERT_FF, &m->n_ff_expert,
                       e)) ||
        (rc = key_size(k, "expert_shared_feed_forward_length", false, 1, MAX_EXPERT_FF,
                       &m->n_ff_shared, e)) ||
        (rc = key_real(k, "expert_weights_scale", false, 0, 1e6, &scale, e)) ||
        (rc = refuse_others(k, e)))
        return rc;
    m->expert_scale = scale > 0 ? (float)scale : 1.0f;
    rc = weights_bool(k->w, key_name(k, "expert_weights_norm", name), &m->expert_norm, e);
    return rc == ERR_NOTFOUND ? 0 : rc;
}

bool experts_in_layer(const struct model *m, const struct weights *w, size_t layer)
{
    return m->n_expert > 0 && slot_tensor(m, w, layer, SLOT_ROUTER);
}

bool experts_slot_fits(enum arch_slot slot, bool experts)
{
    switch (slot) {
    case SLOT_ROUTER:
    case SLOT_ROUTER_BIAS:
    case SLOT_BGATE_EXPS:
    case SLOT_BUP_EXPS:
    case SLOT_BDOWN_EXPS:
    case SLOT_SHARED_ROUTER:
    case SLOT_SHARED_GATE:
    case SLOT_SHARED_UP:
    case SLOT_SHARED_DOWN:
        return experts;
    case SLOT_GATE:
    case SLOT_UP:
    case SLOT_DOWN:
    case SLOT_BGATE:
    case SLOT_BUP:
    case SLOT_BDOWN:
        return !experts;
    default:
        return true;
    }
}

/* "ffn_gate_exps.weight" -> "ffn_gate.3.weight", behind "blk.N." */
static void own_name(const struct model *m, size_t layer, enum arch_slot slot, size_t expert,
                     char buf[static SLOT_NAME_BYTES])
{
    const char *all = m->arch->layer[slot].name;

    snprintf(buf, SLOT_NAME_BYTES, "blk.%zu.%.*s.%zu.weight", layer,
             (int)(strlen(all) - TAIL_BYTES - 1), all, expert);
}

bool experts_tensor(const struct model *m, const struct weights *w, size_t layer,
                    enum arch_slot slot, size_t expert, struct tensor *out)
{
    const struct tensor *all = slot_tensor(m, w, layer, slot), *own;
    char name[SLOT_NAME_BYTES];

    if (all) { /* experts_check() has seen that the bytes come out even */
        *out = *all;
        out->n_dims = 2;
        out->shape[0] = all->shape[1];
        out->shape[1] = all->shape[2];
        out->shape[2] = 1;
        out->bytes = all->bytes / m->n_expert;
        out->data = (const unsigned char *)all->data + expert * out->bytes;
        return true;
    }
    own_name(m, layer, slot, expert, name);
    own = weights_tensor(w, name);
    if (own)
        *out = *own;
    return own != NULL;
}

static int check_all(const struct model *m, const struct tensor *t, const char *name, size_t rows,
                     size_t cols, struct err *e)
{
    if (t->n_dims != 3 || t->shape[0] != m->n_expert || t->shape[1] != rows || t->shape[2] != cols)
        return err_param(
            e, name, ERR_FORMAT,
            "tensor %s has %d dimensions, [%zu, %zu, %zu]; expected 3, [%zu, %zu, %zu]", name,
            t->n_dims, t->shape[0], t->shape[1], t->shape[2], m->n_expert, rows, cols);
    return 0;
}

static int check_one(const struct tensor *t, const char *name, size_t rows, size_t cols,
                     struct err *e)
{
    if (t->n_dims != 2 || t->shape[0] != rows || t->shape[1] != cols)
        return err_param(e, name, ERR_FORMAT,
                         "tensor %s has %d dimensions, [%zu, %zu]; expected 2, [%zu, %zu]", name,
                         t->n_dims, tensor_rows(t), tensor_cols(t), rows, cols);
    return 0;
}

/* The matrices of one slot.  Sentences name what the file or folder should have. */
static int check_slot(const struct model *m, const struct weights *w, size_t layer,
                      enum arch_slot slot, struct err *e)
{
    const struct tensor *all = slot_tensor(m, w, layer, slot);
    char name[SLOT_NAME_BYTES], own[SLOT_NAME_BYTES], shown[HF_NAME_BYTES];
    size_t rows, cols;
    struct tensor t;
    int rc = 0;

    slot_shape(m, slot, &rows, &cols);
    slot_name(m, layer, slot, name);
    if (all)
        return check_all(m, all, m->huggingface ? hf_name(m->arch, name, shown) : name, rows, cols,
                         e);
    for (size_t x = 0; rc == 0 && x < m->n_expert; x++) {
        bool there = experts_tensor(m, w, layer, slot, x, &t);

        own_name(m, layer, slot, x, own);
        snprintf(shown, sizeof shown, "%s", there || x ? own : name);
        if (m->huggingface) { /* a family's folders have them in one way only */
            hf_name(m->arch, own, shown);
            if (strcmp(shown, own) == 0)
                hf_name(m->arch, name, shown);
        }
        rc = there ? check_one(&t, shown, rows, cols, e)
                   : err_param(e, shown, ERR_FORMAT, "tensor %s is missing", shown);
    }
    return rc;
}

int experts_check(const struct model *m, const struct weights *w, size_t layer, struct err *e)
{
    int rc = 0;

    for (int s = SLOT_FIRST_EXPERTS; rc == 0 && s < N_SLOTS; s++)
        rc = check_slot(m, w, layer, (enum arch_slot)s, e);
    return rc;
}

bool experts_name(const struct model *m, const char *name)
{
    char expected[SLOT_NAME_BYTES];
    size_t expert;

    for (int s = SLOT_FIRST_EXPERTS; s < N_SLOTS && m->n_expert > 0; s++) {
        const char *dot = strchr(name, '.');

        if (!dot || sscanf(dot, ".%4zu.", &expert) != 1 || expert >= m->n_expert)
            return false;
        own_name(m, 0, (enum arch_slot)s, expert, expected);
        if (strcmp(name, expected + strlen("blk.0.")) == 0)
            return true;
    }
    return false;
}

double experts_share(const struct model *m, const char *name)
{
    size_t layer;
    int used = 0;

    if (m->n_expert == 0 || sscanf(name, "blk.%4zu.%n", &layer, &used) != 1 || used == 0)
        return 1;
    name += used;
    for (int s = SLOT_FIRST_EXPERTS; s < N_SLOTS; s++)
        if (strcmp(name, m->arch->layer[s].name) == 0)
            return (double)m->n_expert_used / (double)m->n_expert;
    return experts_name(m, name) ? (double)m->n_expert_used / (double)m->n_expert : 1;
}
