/* recipe.c - which type each tensor gets.
 *
 * What is not a matrix stays in floats, as do a router's scores and learned positions.  The last
 * matrix meets the final hidden state directly and the logits are read off it, so it gets 6 bits or
 * more; so do, in the K recipes, the values' and the down projections of the first and last eighth
 * of the layers and of every third between: where llama.cpp's quantiser spends them. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "kernels/quant/quant.h"
#include "quantize/plan.h"

static const struct recipe recipes[] = {
    { "F32", DTYPE_F32, DTYPE_F32, DTYPE_F32, DTYPE_F32, 0 },
    { "F16", DTYPE_F16, DTYPE_F16, DTYPE_F16, DTYPE_F16, 1 },
    { "BF16", DTYPE_BF16, DTYPE_BF16, DTYPE_BF16, DTYPE_BF16, 32 },
    { "Q8_0", DTYPE_Q8_0, DTYPE_Q8_0, DTYPE_Q8_0, DTYPE_F16, 7 },
    { "Q4_0", DTYPE_Q4_0, DTYPE_Q4_0, DTYPE_Q6_K, DTYPE_F16, 2 },
    { "Q4_1", DTYPE_Q4_1, DTYPE_Q4_1, DTYPE_Q6_K, DTYPE_F16, 3 },
    { "Q4_K", DTYPE_Q4_K, DTYPE_Q6_K, DTYPE_Q6_K, DTYPE_Q4_1, 15 },
    { "Q5_K", DTYPE_Q5_K, DTYPE_Q6_K, DTYPE_Q6_K, DTYPE_Q8_0, 17 },
    { "Q6_K", DTYPE_Q6_K, DTYPE_Q6_K, DTYPE_Q6_K, DTYPE_Q8_0, 18 },
};

const struct recipe *recipe_find(const char *name, const char **known)
{
    *known = "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K, Q5_K, Q6_K";
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++)
        if (strcasecmp(name, recipes[i].name) == 0)
            return &recipes[i];
    return NULL;
}

static bool ends_in(const char *name, const char *end)
{
    size_t n = strlen(name), k = strlen(end);

    return n >= k && strcmp(name + n - k, end) == 0;
}

/* Multiplied with, or looked up, row by row. */
static bool is_matrix(const struct tensor *t)
{
    static const char *const others[] = {
        "norm", "ffn_gate_inp", "position_embd", "token_types", "rope_f", "sinks", "conv", "ssm_",
    };

    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strstr(t->name, others[i]))
            return false;
    return t->n_dims >= 2 && ends_in(t->name, ".weight");
}

static bool is_one_of_more(const struct tensor *t, size_t n_layers)
{
    unsigned layer;
    int used = 0;
    const char *own;

    if (sscanf(t->name, "blk.%4u.%n", &layer, &used) != 1 || !used || n_layers == 0)
        return false;
    own = t->name + used;
    if (strcmp(own, "attn_v.weight") != 0 && strcmp(own, "ffn_down.weight") != 0 &&
        strcmp(own, "ffn_down_exps.weight") != 0)
        return false;
    return layer < n_layers / 8 || layer >= n_layers - n_layers / 8 ||
           (layer - n_layers / 8) % 3 == 2;
}

/* Bits of a value times 1000. */
static size_t density(enum dtype dtype)
{
    const struct quant_format *f = quant_format(dtype);

    return 8000 * f->block_bytes / f->block_values;
}

/* The first type in this order whose blocks fit into rows. */
static enum dtype fitting(enum dtype wanted, enum dtype fallback, size_t cols)
{
    const enum dtype order[] = { wanted, fallback, DTYPE_F16 };
    size_t i = 0;

    while (cols % quant_format(order[i])->block_values)
        i++;
    return order[i];
}

static void set_type(struct planned *it, const struct recipe *r, enum dtype wanted)
{
    enum dtype has = it->parts[0]->dtype;
    /* 6 bits have no smaller block: 8 bits are the next better */
    enum dtype fallback = wanted == DTYPE_Q6_K ? DTYPE_Q8_0 : r->fallback;
    bool one = !it->head; /* quantised blocks cannot be taken apart */

    for (size_t i = 0; i < it->n_parts; i++)
        one &= it->parts[i]->dtype == has;
    it->t.dtype = fitting(wanted, fallback, tensor_cols(&it->t));
    it->fell_back = it->t.dtype != wanted;
    if (one && quant_format(has)->code_bits && quant_format(r->base)->code_bits &&
        density(has) <= density(it->t.dtype)) {
        it->t.dtype = has;
        it->copied = true;
        it->fell_back = false;
    }
}

void plan_types(struct plan *p, const struct recipe *r, bool pure, size_t n_layers)
{
    bool tied = true;

    for (size_t i = 0; i < p->n; i++)
        tied &= strcmp(p->items[i].t.name, "output.weight") != 0;
    for (size_t i = 0; i < p->n; i++) {
        struct planned *it = &p->items[i];
        const struct tensor *t = &it->t;
        bool head = strcmp(t->name, tied ? "token_embd.weight" : "output.weight") == 0;
        bool more = is_one_of_more(t, n_layers);

        if (is_matrix(t)) {
            set_type(it, r, pure ? r->base : head ? r->head : more ? r->more : r->base);
        } else if (quant_format(t->dtype)->code_bits) {
            it->copied = true;
        } else {
            it->t.dtype = DTYPE_F32;
        }
    }
}
