/* engine_print.c - what tells two model files apart without reading them: their size, what tensors
 * they have, and a few bytes from the middle of each. */
#include <string.h>

#include "inference/engine.h"
#include "inference/hf.h"

enum { SAMPLE_BYTES = 64 };

/* FNV-1a, 64 bits (Fowler, Noll, Vo). */
static uint64_t mix(uint64_t h, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;

    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 1099511628211u;
    return h;
}

static uint64_t mix_tensor(uint64_t h, const struct tensor *t)
{
    size_t n = t->bytes < SAMPLE_BYTES ? t->bytes : SAMPLE_BYTES;
    uint64_t dims[TENSOR_MAX_DIMS + 1] = { (uint64_t)t->dtype };

    for (size_t i = 0; i < TENSOR_MAX_DIMS; i++)
        dims[i + 1] = t->shape[i];
    h = mix(h, t->name, strlen(t->name));
    h = mix(h, dims, sizeof dims);
    return mix(h, (const char *)t->data + (t->bytes - n) / 2, n);
}

int engine_print(const struct engine_config *c, struct engine_print *out, struct err *e)
{
    struct weights *w;
    int rc = hf_open(&w, c->model_path, e);

    if (rc)
        return rc;
    *out = (struct engine_print){ weights_file_bytes(w), 14695981039346656037u };
    for (size_t i = 0; i < weights_n_tensors(w); i++)
        out->hash = mix_tensor(out->hash, weights_tensor_at(w, i));
    weights_close(w);
    return 0;
}
