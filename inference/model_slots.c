/* model_slots.c - one table from a layer's slots to shapes and to the members of struct
 * model_layer. */
#include "inference/model_slots.h"

#include <stddef.h>
#include <stdio.h>

struct place {
    size_t offset; /* in struct model_layer, of a pointer */
    struct slot_dims dims;
};

#define AT(member) offsetof(struct model_layer, member)

static const struct place places[N_SLOTS] = {
    [SLOT_ATTN_NORM] = { AT(attn_norm), { DIM_ONE, DIM_EMBD } },
    [SLOT_ATTN_POST_NORM] = { AT(attn_post_norm), { DIM_ONE, DIM_EMBD } },
    [SLOT_FFN_NORM] = { AT(ffn_norm), { DIM_ONE, DIM_EMBD } },
    [SLOT_FFN_POST_NORM] = { AT(ffn_post_norm), { DIM_ONE, DIM_EMBD } },
    [SLOT_Q_NORM] = { AT(q_norm), { DIM_ONE, DIM_HEAD } },
    [SLOT_K_NORM] = { AT(k_norm), { DIM_ONE, DIM_HEAD } },
    [SLOT_Q_NORM_BIAS] = { AT(q_norm_bias), { DIM_ONE, DIM_HEAD } },
    [SLOT_K_NORM_BIAS] = { AT(k_norm_bias), { DIM_ONE, DIM_HEAD } },
    [SLOT_Q_ROW_NORM] = { AT(q_row_norm), { DIM_ONE, DIM_Q } },
    [SLOT_K_ROW_NORM] = { AT(k_row_norm), { DIM_ONE, DIM_KV } },
    [SLOT_Q_HEAD_NORM] = { AT(q_head_norm), { DIM_HEADS, DIM_HEAD } },
    [SLOT_K_HEAD_NORM] = { AT(k_head_norm), { DIM_KV_HEADS, DIM_HEAD } },
    [SLOT_BQ] = { AT(bq), { DIM_ONE, DIM_Q } },
    [SLOT_BK] = { AT(bk), { DIM_ONE, DIM_KV } },
    [SLOT_BV] = { AT(bv), { DIM_ONE, DIM_KV } },
    [SLOT_BO] = { AT(bo), { DIM_ONE, DIM_EMBD } },
    [SLOT_ATTN_NORM_BIAS] = { AT(attn_norm_bias), { DIM_ONE, DIM_EMBD } },
    [SLOT_FFN_NORM_BIAS] = { AT(ffn_norm_bias), { DIM_ONE, DIM_EMBD } },
    [SLOT_BGATE] = { AT(bgate), { DIM_ONE, DIM_FF } },
    [SLOT_ATTN_OUT_NORM] = { AT(attn_out_norm), { DIM_ONE, DIM_EMBD } },
    [SLOT_ATTN_OUT_NORM_BIAS] = { AT(attn_out_norm_bias), { DIM_ONE, DIM_EMBD } },
    [SLOT_FFN_OUT_NORM] = { AT(ffn_out_norm), { DIM_ONE, DIM_EMBD } },
    [SLOT_FFN_OUT_NORM_BIAS] = { AT(ffn_out_norm_bias), { DIM_ONE, DIM_EMBD } },
    [SLOT_BUP] = { AT(bup), { DIM_ONE, DIM_FF } },
    [SLOT_BDOWN] = { AT(bdown), { DIM_ONE, DIM_EMBD } },
    [SLOT_SINKS] = { AT(sinks), { DIM_ONE, DIM_HEADS } },
    [SLOT_ROUTER] = { AT(router), { DIM_EXPERTS, DIM_EMBD } },
    [SLOT_ROUTER_BIAS] = { AT(router_bias), { DIM_ONE, DIM_EXPERTS } },
    [SLOT_BGATE_EXPS] = { AT(bgate_exps), { DIM_EXPERTS, DIM_FF_EXPERT } },
    [SLOT_BUP_EXPS] = { AT(bup_exps), { DIM_EXPERTS, DIM_FF_EXPERT } },
    [SLOT_BDOWN_EXPS] = { AT(bdown_exps), { DIM_EXPERTS, DIM_EMBD } },
    [SLOT_SHARED_ROUTER] = { AT(shared_router), { DIM_ONE, DIM_EMBD } },
    [SLOT_WQ] = { AT(wq), { DIM_Q, DIM_EMBD } },
    [SLOT_WK] = { AT(wk), { DIM_KV, DIM_EMBD } },
    [SLOT_WV] = { AT(wv), { DIM_KV, DIM_EMBD } },
    [SLOT_WO] = { AT(wo), { DIM_EMBD, DIM_Q } },
    [SLOT_GATE] = { AT(gate), { DIM_FF, DIM_EMBD } },
    [SLOT_UP] = { AT(up), { DIM_FF, DIM_EMBD } },
    [SLOT_DOWN] = { AT(down), { DIM_EMBD, DIM_FF } },
    [SLOT_SHARED_GATE] = { AT(shared_gate), { DIM_FF_SHARED, DIM_EMBD } },
    [SLOT_SHARED_UP] = { AT(shared_up), { DIM_FF_SHARED, DIM_EMBD } },
    [SLOT_SHARED_DOWN] = { AT(shared_down), { DIM_EMBD, DIM_FF_SHARED } },
    [SLOT_GATE_EXPS] = { AT(experts[0]), { DIM_FF_EXPERT, DIM_EMBD } }, /* of one expert */
    [SLOT_UP_EXPS] = { AT(experts[1]), { DIM_FF_EXPERT, DIM_EMBD } },
    [SLOT_DOWN_EXPS] = { AT(experts[2]), { DIM_EMBD, DIM_FF_EXPERT } },
};

static size_t dim_size(const struct model *m, enum slot_dim d)
{
    switch (d) {
    case DIM_EMBD:
        return m->n_embd;
    case DIM_HEAD:
        return m->head_dim;
    case DIM_Q:
        return m->n_head * m->head_dim; /* model_check() has bounded the factors */
    case DIM_KV:
        return m->n_kv * m->head_dim;
    case DIM_FF:
        return m->n_ff;
    case DIM_HEADS:
        return m->n_head;
    case DIM_KV_HEADS:
        return m->n_kv;
    case DIM_EXPERTS:
        return m->n_expert;
    case DIM_FF_EXPERT:
        return m->n_ff_expert;
    case DIM_FF_SHARED:
        return m->n_ff_shared;
    case DIM_ONE:
        break;
    }
    return 0;
}

const char *slot_name(const struct model *m, size_t layer, enum arch_slot slot,
                      char buf[static SLOT_NAME_BYTES])
{
    snprintf(buf, SLOT_NAME_BYTES, "blk.%zu.%s", layer, m->arch->layer[slot].name);
    return buf;
}

const struct tensor *slot_tensor(const struct model *m, const struct weights *w, size_t layer,
                                 enum arch_slot slot)
{
    char name[SLOT_NAME_BYTES];

    if (m->arch->layer[slot].presence == ARCH_ABSENT)
        return NULL;
    return weights_tensor(w, slot_name(m, layer, slot, name));
}

void slot_shape(const struct model *m, enum arch_slot slot, size_t *rows, size_t *cols)
{
    *rows = dim_size(m, places[slot].dims.rows);
    *cols = dim_size(m, places[slot].dims.cols);
}

struct slot_dims slot_dims(enum arch_slot slot)
{
    return places[slot].dims;
}

bool slot_is_rank_0s(const struct model *m, enum arch_slot slot)
{
    return slot == SLOT_BDOWN || slot == SLOT_BDOWN_EXPS ||
           (slot == SLOT_BO && !m->slice.whole_attention);
}

float **slot_vector(struct model_layer *l, enum arch_slot slot)
{
    return (float **)(void *)((char *)l + places[slot].offset);
}

struct weight **slot_matrix(struct model_layer *l, enum arch_slot slot)
{
    return (struct weight **)(void *)((char *)l + places[slot].offset);
}
