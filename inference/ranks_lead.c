#include "inference/ranks_lead.h"

#include <stdio.h>

static void tell(struct lead *l)
{
    struct err e = { 0 };
    int rc = l->message.failed ? err_set(&e, ERR_NOMEM, "no memory for a message") : 0;

    if (rc == 0)
        rc = l->ranks->ops->tell(l->ranks, l->message.data, l->message.len, &e);
    if (rc)
        l->ranks->ops->quit(l->ranks, &e);
    buf_reset(&l->message);
}

void lead_open(struct lead *l, struct ranks *ranks, const struct model *m, const struct weights *w,
               const char *isa)
{
    struct ranks_model model = { .n_params = m->n_params, .file_bytes = weights_file_bytes(w) };

    snprintf(model.isa, sizeof model.isa, "%s", isa);
    *l = (struct lead){ .ranks = ranks };
    message_hello(&l->message, &model);
    tell(l);
}

void lead_close(struct lead *l)
{
    if (l->ranks) {
        message_end(&l->message);
        tell(l);
    }
    buf_done(&l->message);
    *l = (struct lead){ 0 };
}

void lead_cache(struct lead *l, const struct kv_shape *s)
{
    l->page_tokens = s->page_tokens;
    message_cache(&l->message, s);
    tell(l);
}

size_t lead_forward(struct lead *l, size_t max_rows, size_t max_outputs)
{
    message_forward(&l->message, &(struct ranks_forward){ max_rows, max_outputs });
    tell(l);
    return l->n_forwards++;
}

void lead_step(struct lead *l, size_t forward, const struct step *s, size_t n)
{
    struct ranks_step step = { .forward = forward, .n = n, .begins = s != NULL };

    if (s)
        step.step = *s;
    message_step(&l->message, &step, l->page_tokens);
    tell(l);
}

void lead_copy(struct lead *l, int32_t from, int32_t to, size_t n)
{
    message_copy(&l->message, &(struct ranks_copy){ from, to, n });
    tell(l);
}
