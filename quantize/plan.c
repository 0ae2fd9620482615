#include "quantize/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inference/hf.h"
#include "kernels/quant/quant.h"

enum { MAX_EXPERTS = 9999, NAME_BYTES = 128 };

/* A tensor, and which part it is of which. */
struct piece {
    char name[NAME_BYTES]; /* of the whole */
    size_t part;
    bool expert; /* the parts are experts: a dimension of their own */
    const struct tensor *t;
};

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, "out of memory for the list of tensors");
}

/* "blk.7.attn_q.weight" to 7 and "attn_q.weight"; NULL where it is not a layer's. */
static const char *after_layer(const char *name, unsigned *layer)
{
    int used = 0;

    return sscanf(name, "blk.%4u.%n", layer, &used) == 1 && used ? name + used : NULL;
}

/* "ffn_up.3.weight" of an expert: the whole is called ffn_up_exps.weight. */
static bool expert_piece(struct piece *p, unsigned layer, const char *own)
{
    static const char *const stems[] = { "ffn_gate", "ffn_up", "ffn_down" };
    char kind[16];
    unsigned expert;
    int used = 0;

    for (size_t i = 0; i < sizeof stems / sizeof *stems; i++) {
        size_t len = strlen(stems[i]);

        if (strncmp(own, stems[i], len) != 0 || own[len] != '.' ||
            sscanf(own + len + 1, "%4u.%6[a-z]%n", &expert, kind, &used) != 2 ||
            own[len + 1 + (size_t)used] || expert > MAX_EXPERTS)
            continue;
        snprintf(p->name, NAME_BYTES, "blk.%u.%s_exps.%s", layer, stems[i], kind);
        p->part = expert;
        p->expert = true;
        return true;
    }
    return false;
}

/* Has a layer of side by side parts a norm for each?  Only then some families name them otherwise.
 */
static bool two_norms(const struct weights *w, const struct model *m, unsigned layer)
{
    char name[NAME_BYTES];

    snprintf(name, sizeof name, "blk.%u.ffn_norm.weight", layer);
    return m->parallel && weights_tensor(w, name);
}

/* What a tensor of a folder is a part of: by the family's table of fused ones, or by itself. */
static void set_whole(struct piece *p, const struct weights *w, const struct model *m)
{
    unsigned layer;
    const char *own = after_layer(p->t->name, &layer);

    snprintf(p->name, NAME_BYTES, "%s", p->t->name);
    if (!own || expert_piece(p, layer, own))
        return;
    for (const struct arch_hf_tensor *row = m->arch->fused; row && row->from; row++)
        for (size_t i = 0; i < 3 && row->to[i]; i++)
            if (strcmp(row->to[i] + strlen("blk.%."), own) == 0 &&
                (!(row->how & HF_SECOND_NORM) || two_norms(w, m, layer))) {
                snprintf(p->name, NAME_BYTES, "blk.%u.%s", layer, row->from + strlen("blk.%."));
                p->part = i;
                return;
            }
}

/* qsort: parts of one tensor in order, layers too. */
static int compare_pieces(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    int order = strverscmp(x->name, y->name);

    return order ? order : (x->part > y->part) - (x->part < y->part);
}

/* n pieces of one tensor as one. */
static int join(struct plan *p, const struct piece *pieces, size_t n, struct err *e)
{
    struct planned *to = &p->items[p->n++];
    const struct tensor *first = pieces->t;

    to->t = *first;
    to->t.data = NULL;
    to->t.name = arena_strndup(&p->arena, pieces->name, strlen(pieces->name));
    to->parts = arena_array(&p->arena, n, sizeof *to->parts);
    if (!to->t.name || !to->parts)
        return no_memory(e);
    to->n_parts = n;
    to->cols = n > 1 && first->n_dims == 1 ? 1 : tensor_cols(first);
    for (size_t i = 0; i < n; i++) {
        const struct tensor *t = pieces[i].t;

        if (pieces[i].part != i || t->n_dims != first->n_dims ||
            (t->n_dims > 1 && tensor_cols(t) != to->cols) ||
            (pieces->expert && tensor_count(t) != tensor_count(first)))
            return err_param(e, t->name, ERR_UNSUPPORTED,
                             "tensor %.100s cannot be a part of %.100s", t->name, to->t.name);
        to->parts[i] = t;
        to->rows += tensor_count(t) / to->cols;
    }
    if (n == 1 && !pieces->expert)
        return 0;
    to->t.shape[0] = to->rows;
    if (first->n_dims == 1)
        to->t.shape[0] = to->rows * to->cols;
    if (pieces->expert) { /* [n_expert, ...] */
        if (first->n_dims == TENSOR_MAX_DIMS)
            return err_set(e, ERR_UNSUPPORTED, "tensor %.100s has too many dimensions",
                           first->name);
        to->t.n_dims = first->n_dims + 1;
        memcpy(to->t.shape + 1, first->shape, sizeof to->t.shape - sizeof *to->t.shape);
        to->t.shape[0] = n;
    }
    return 0;
}

/* Folders of some families store q and k for another way of rotating than their GGUF files. */
static int reorder(struct plan *p, const struct model *m, struct err *e)
{
    static const char *const names[] = { "attn_q.weight", "attn_k.weight", "attn_q.bias",
                                         "attn_k.bias" };

    if (m->rope != ROPE_NEOX || m->arch->rope != ROPE_NORM)
        return 0;
    if (m->n_rot != m->head_dim)
        return err_set(e, ERR_UNSUPPORTED,
                       "heads of %zu values of which %zu are rotated cannot be written for family "
                       "%s",
                       m->head_dim, m->n_rot, m->arch->name);
    for (size_t i = 0; i < p->n; i++) {
        unsigned layer;
        const char *own = after_layer(p->items[i].t.name, &layer);

        for (size_t k = 0; own && k < sizeof names / sizeof *names; k++)
            if (strcmp(own, names[k]) == 0) {
                p->items[i].head = m->head_dim;
                p->items[i].cols = p->items[i].t.n_dims > 1 ? p->items[i].cols : 1;
                p->items[i].rows = tensor_count(&p->items[i].t) / p->items[i].cols;
            }
    }
    return 0;
}

int plan_tensors(struct plan *p, const struct weights *w, const struct model *folder, struct err *e)
{
    size_t n = weights_n_tensors(w), end;
    struct piece *pieces = calloc(n + 1, sizeof *pieces);
    int rc = 0;

    *p = (struct plan){ 0 };
    arena_init(&p->arena, 0);
    p->items = arena_array(&p->arena, n + 1, sizeof *p->items);
    if (!pieces || !p->items)
        rc = no_memory(e);
    for (size_t i = 0; i < n && !rc; i++) {
        pieces[i].t = weights_tensor_at(w, i);
        if (strlen(pieces[i].t->name) >= NAME_BYTES - 16)
            rc = err_set(e, ERR_UNSUPPORTED, "tensor %.100s...: its name is too long",
                         pieces[i].t->name);
        else if (folder)
            set_whole(&pieces[i], w, folder);
        else
            snprintf(pieces[i].name, NAME_BYTES, "%s", pieces[i].t->name);
    }
    if (!rc && folder && n)
        qsort(pieces, n, sizeof *pieces, compare_pieces);
    for (size_t i = 0; i < n && !rc; i = end) {
        for (end = i + 1; end < n && strcmp(pieces[end].name, pieces[i].name) == 0;)
            end++;
        rc = join(p, &pieces[i], end - i, e);
    }
    if (!rc && folder)
        rc = reorder(p, folder, e);
    free(pieces);
    return rc;
}

void plan_done(struct plan *p)
{
    arena_done(&p->arena);
}
