#include "inference/pooling.h"

#include <stdlib.h>
#include <string.h>

#include "inference/model_keys.h"

static const char *const names[] = { "mean", "cls", "last" };

/* llama.cpp's enum llama_pooling_type; 0 is none, which is as good as no key. */
enum { TYPE_NONE, TYPE_MEAN, TYPE_CLS, TYPE_LAST, TYPE_RANK };

const char *pooling_name(enum pooling p)
{
    return names[p];
}

static int read_type(enum pooling *out, const struct model *m, const struct weights *w,
                     struct err *e)
{
    const struct keys k = { w, m->arch->name };
    size_t type = TYPE_NONE;
    int rc = key_size(&k, "pooling_type", false, 0, UINT32_MAX, &type, e);

    if (rc)
        return rc;
    if (type == TYPE_RANK)
        return err_set(e, ERR_UNSUPPORTED,
                       "the model ranks texts (%s.pooling_type is 4), it gives no embeddings",
                       m->arch->name);
    if (type > TYPE_RANK)
        return err_set(e, ERR_UNSUPPORTED, "%s.pooling_type is %zu, which is not supported",
                       m->arch->name, type);
    if (type != TYPE_NONE)
        *out = type == TYPE_MEAN ? POOLING_MEAN : type == TYPE_CLS ? POOLING_CLS : POOLING_LAST;
    return 0;
}

int pooling_read(enum pooling *out, const struct model *m, const struct weights *w,
                 const char *name, struct err *e)
{
    struct str why = { "", 0 };

    *out = m->encoder ? POOLING_MEAN : POOLING_LAST;
    if (weights_has(w, POOLING_REFUSED) && weights_str(w, POOLING_REFUSED, &why, e) == 0)
        return err_set(e, ERR_UNSUPPORTED, "%.*s", (int)(why.len < 300 ? why.len : 300), why.data);
    if (!name || !*name)
        return read_type(out, m, w, e);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (enum pooling)i;
            return 0;
        }
    return err_param(e, "pooling", ERR_INVALID,
                     "pooling: expected mean, cls or last, found \"%.40s\"", name);
}

size_t pooling_rows(enum pooling p, size_t pos, size_t n, size_t n_text, size_t *first)
{
    *first = 0;
    switch (p) {
    case POOLING_MEAN:
        return n;
    case POOLING_CLS:
        return pos == 0 && n > 0 ? 1 : 0;
    case POOLING_LAST:
        *first = n ? n - 1 : 0;
        return n > 0 && pos + n == n_text ? 1 : 0;
    }
    return 0;
}

int pooled_init(struct pooled *p, size_t n_embd, struct err *e)
{
    *p = (struct pooled){ .sum = calloc(n_embd, sizeof *p->sum), .n_embd = n_embd };
    return p->sum ? 0 : err_set(e, ERR_NOMEM, "no memory for a vector of %zu values", n_embd);
}

void pooled_done(struct pooled *p)
{
    free(p->sum);
    *p = (struct pooled){ 0 };
}

void pooled_add(struct pooled *p, const float *hidden)
{
    for (size_t i = 0; i < p->n_embd; i++)
        p->sum[i] = (p->n ? p->sum[i] : 0) + (double)hidden[i];
    p->n++;
}

void pooled_mean(const struct pooled *p, float *out)
{
    for (size_t i = 0; i < p->n_embd; i++)
        out[i] = (float)(p->sum[i] / (double)p->n);
}
