/* forward_norm.c - norms of a step's rows, in terms of struct backend. */
#include "inference/forward_state.h"

void forward_norm(const struct forward *f, float *y, float *x, const float *add, const float *w,
                  const float *bias, size_t n)
{
    const struct model *m = f->m;

    m->backend->norm(m->device, &(struct norm){ .kind = m->arch->norm,
                                                .y = y,
                                                .x = x,
                                                .add = add,
                                                .w = w,
                                                .b = bias,
                                                .n = n,
                                                .cols = m->n_embd,
                                                .eps = m->stream_eps });
}

void forward_norm_in_place(const struct forward *f, float *x, const float *w, const float *bias,
                           size_t n, size_t cols)
{
    const struct model *m = f->m;

    if (w)
        m->backend->norm(m->device, &(struct norm){ .kind = m->arch->norm,
                                                    .y = x,
                                                    .x = x,
                                                    .w = w,
                                                    .b = bias,
                                                    .n = n,
                                                    .cols = cols,
                                                    .eps = m->norm_eps });
}

void forward_norm_stream(const struct forward *f, float *x, const float *add, const float *w,
                         const float *bias, size_t n)
{
    if (add)
        forward_norm(f, NULL, x, add, NULL, NULL, n);
    forward_norm(f, x, x, NULL, w, bias, n);
}

const float *forward_part_input(const struct forward *f, float *h, float *x, const float *add,
                                const float *w, const float *bias, size_t n)
{
    if (w || add)
        forward_norm(f, w ? h : NULL, x, add, w, bias, n);
    return w ? h : x;
}
