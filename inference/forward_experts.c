/* forward_experts.c - layers whose feed-forward part is a mixture of experts. */
#include <string.h>

#include "inference/forward_state.h"

/* All of it, or nothing where the model has no experts; forward_experts_close() also after an
 * error.  Memory is not resident before it is touched. */
int forward_experts_open(struct forward *f, struct err *e)
{
    const struct model *m = f->m;
    size_t n, places, count;
    int rc;

    if (m->n_expert == 0)
        return 0;
    /* model_check() bounds the others: no product of them with less than 2^31 wraps */
    if (f->max_rows > INT32_MAX / 4 / m->n_expert)
        return err_set(e, ERR_LIMIT, "a step of %zu rows for %zu experts is too large", f->max_rows,
                       m->n_expert);
    n = f->max_rows * m->n_expert_used;
    places = experts_places(f->max_rows, m->n_expert_used, m->n_expert);
    const struct {
        void *out; /* address of the pointer */
        size_t rows, cols;
    } want[] = {
        { &f->expert_rows, n, m->n_embd },
        { &f->expert_gate, n, m->n_ff_expert },
        { &f->expert_up, n, m->n_ff_expert },
        { &f->expert_scores, f->max_rows, m->n_expert },
        { &f->expert_shares, f->max_rows, m->n_expert_used + 1 },
        { &f->expert_places, places, 1 },
    };

    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        void *p = NULL;

        if (__builtin_mul_overflow(want[i].rows, want[i].cols * sizeof(float), &count))
            return err_set(e, ERR_LIMIT, "a step of %zu rows is too large", f->max_rows);
        rc = m->backend->alloc(m->device, count, &p, e);
        if (rc)
            return rc;
        memcpy(want[i].out, &p, sizeof p);
    }
    return m->backend->reserve(m->device, n + EXPERT_ROWS * m->n_expert, e);
}

void forward_experts_close(struct forward *f)
{
    void *all[] = { f->expert_rows,   f->expert_gate,   f->expert_up,
                    f->expert_scores, f->expert_shares, f->expert_places };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i])
            f->m->backend->free(f->m->device, all[i]);
}

/* The expert that all rows go to: y = (act(h Wgate^T) * h Wup^T) Wdown^T. */
static void shared(struct forward *f, const struct model_layer *l, const float *h, float *y,
                   size_t n, bool prompt)
{
    const struct model *m = f->m;
    const struct backend *b = m->backend;

    b->matmul(m->device, &(struct matmul){ .n_out = 2,
                                           .w = { l->shared_gate, l->shared_up },
                                           .y = { f->gate, f->up },
                                           .x = h,
                                           .n = n,
                                           .prompt = prompt });
    b->gated_act(m->device, f->gate, f->gate, f->up, n * m->n_ff_shared, m->act);
    b->matmul(m->device, &(struct matmul){ .n_out = 1,
                                           .w = { l->shared_down },
                                           .y = { y },
                                           .x = f->gate,
                                           .n = n,
                                           .prompt = prompt });
}

void forward_experts(struct forward *f, const struct model_layer *l, const float *h, float *y,
                     size_t n, bool prompt)
{
    const struct model *m = f->m;
    const struct experts op = {
        .y = y,
        .x = h,
        .n = n,
        .cols = m->n_embd,
        .n_ff = m->n_ff_expert,
        .n_expert = m->n_expert,
        .n_used = m->n_expert_used,
        .router = l->router,
        .router_bias = l->router_bias,
        .gate = (const struct weight *const *)l->experts[0],
        .up = (const struct weight *const *)l->experts[1],
        .down = (const struct weight *const *)l->experts[2],
        .bgate = l->bgate_exps,
        .bup = l->bup_exps,
        .bdown = l->bdown_exps,
        .renormalise = m->expert_norm,
        .scale = m->expert_scale,
        .act = m->act,
        .shared = l->shared_gate != NULL,
        .shared_gate = l->shared_router,
        .prompt = prompt,
        .rows = f->expert_rows,
        .gate_rows = f->expert_gate,
        .up_rows = f->expert_up,
        .scores = f->expert_scores,
        .shares = f->expert_shares,
        .places = f->expert_places,
    };

    if (op.shared)
        shared(f, l, h, y, n, prompt);
    m->backend->experts(m->device, &op);
}
