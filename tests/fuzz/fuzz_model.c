/* Any bytes as a model file: refused with a sentence, or a model that loads and runs two steps. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "inference/forward.h"
#include "inference/weights/gguf.h"
#include "tests/inference/refbackend.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Two tokens at once, then one more. */
static void run(const struct model *m, struct kvcache *cache)
{
    struct forward *f = NULL;
    struct kv_table t = { 0 };
    struct err e;
    const int32_t ids[] = { 0, (int32_t)m->n_vocab - 1, 0 };

    if (forward_open(&f, m, cache, 2, 1, &e) || kvcache_grow(cache, &t, 3, &e))
        abort();
    for (size_t pos = 0; pos < 3; pos += 2) {
        size_t n = pos ? 1 : 2;
        struct seq_span span = {
            .n = n, .pos = pos, .pages = t.pages, .reach = m->encoder ? pos + n : 0
        };
        int32_t last = (int32_t)n - 1, best;

        forward_run(f, &(struct step){ .ids = ids + pos,
                                       .n_rows = n,
                                       .spans = &span,
                                       .n_spans = 1,
                                       .out_rows = &last,
                                       .n_outputs = !m->headless,
                                       .hidden_rows = &last,
                                       .n_hidden = m->headless });
        if (m->headless)
            continue;
        best = forward_argmax(f, 0);
        if (best < 0 || (size_t)best >= m->n_vocab)
            abort();
    }
    kvcache_drop(cache, &t);
    forward_close(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weights *w = NULL;
    struct model m = { 0 };
    struct kvcache cache = { 0 };
    struct device *d = NULL;
    struct err e = { .code = 0 };

    if (weights_open_memory(&w, "fuzz", data, size, &e))
        return 0;
    if (model_check(&m, w, &e)) {
        if (!e.code || !e.text[0])
            abort();
    } else if (m.n_expert == 0) { /* which the reference has not */
        if (refbackend.open(&d, NULL, &e) || model_open(&m, w, &refbackend, d, NULL, NULL, &e) ||
            kvcache_open(&cache, &refbackend, d,
                         &(struct kv_shape){ .n_layers = m.n_layers,
                                             .n_kv = m.n_kv,
                                             .head_dim = m.head_dim,
                                             .n_pages = 1,
                                             .page_tokens = 16,
                                             .dtype = m.kv_dtype },
                         &e))
            abort();
        run(&m, &cache);
        kvcache_close(&cache);
        model_close(&m);
        refbackend.close(d);
    }
    weights_close(w);
    return 0;
}
