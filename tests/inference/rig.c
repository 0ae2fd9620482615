/* rig.c - see rig.h. */
#include "tests/inference/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/json.h"

const char *rig_path(const char *file)
{
    static char path[512];
    const char *srcdir = getenv("srcdir");

    snprintf(path, sizeof path, "%s/tests/data/gguf/%s", srcdir ? srcdir : ".", file);
    return path;
}

int rig_open(struct rig *r, const struct backend *b, const char *isa, const char *file,
             enum dtype kv_dtype, struct err *e)
{
    struct kv_shape shape;
    int rc;

    memset(r, 0, sizeof *r);
    r->backend = b;
    if ((rc = b->open(&r->device, &(struct backend_options){ .n_threads = 2, .isa = isa }, e)) ||
        (rc = weights_open(&r->w, rig_path(file), e)) ||
        (rc = model_open(&r->model, r->w, b, r->device, NULL, NULL, e)))
        return rc;
    shape = (struct kv_shape){ .n_layers = r->model.n_layers,
                               .n_kv = r->model.n_kv,
                               .head_dim = r->model.head_dim,
                               .n_pages = RIG_PAGES,
                               .page_tokens = RIG_PAGE_TOKENS,
                               .dtype = kv_dtype };
    if ((rc = kvcache_open(&r->cache, b, r->device, &shape, e)))
        return rc;
    return forward_open(&r->forward, &r->model, &r->cache, RIG_MAX_ROWS, RIG_MAX_OUTPUTS, e);
}

void rig_close(struct rig *r)
{
    forward_close(r->forward);
    kvcache_close(&r->cache);
    model_close(&r->model);
    if (r->device)
        r->backend->close(r->device);
    weights_close(r->w);
    memset(r, 0, sizeof *r);
}

void rig_step(struct rig *r, const struct kv_table *t, const int32_t *ids, size_t pos, size_t n,
              bool all_rows)
{
    struct seq_span span = { .row = 0, .n = n, .pos = pos, .pages = t->pages };
    int32_t rows[RIG_MAX_OUTPUTS];
    size_t n_outputs = all_rows ? n : 1;

    for (size_t i = 0; i < n_outputs && i < RIG_MAX_OUTPUTS; i++)
        rows[i] = (int32_t)(all_rows ? i : n - 1);
    forward_run(r->forward, &(struct step){ .prompt = r->prompt,
                                            .ids = ids + pos,
                                            .n_rows = n,
                                            .spans = &span,
                                            .n_spans = 1,
                                            .out_rows = rows,
                                            .n_outputs = n_outputs });
}

const struct value *rig_expected(struct arena *a, const char *file)
{
    struct buf text = { 0 };
    struct value *v = NULL;
    FILE *f = fopen(rig_path("expected.json"), "rb");
    char *room;
    size_t n = 1;

    while (f && n > 0 && (room = buf_room(&text, 65536)) != NULL) {
        n = fread(room, 1, 65536, f);
        text.len += n;
    }
    if (f)
        fclose(f);
    if (!f || json_parse(buf_str(&text), text.len, 16, a, &v, NULL))
        v = NULL;
    buf_done(&text);
    return value_get(v, file);
}

size_t rig_ids(const struct value *list, int32_t *out, size_t max)
{
    size_t n = list && list->kind == VALUE_LIST ? list->list.len : 0;

    if (n > max)
        n = max;
    for (size_t i = 0; i < n; i++)
        out[i] = (int32_t)list->list.items[i]->integer;
    return n;
}
