/* Any bytes as a folder's config.json, and behind a NUL as its model.safetensors: refused with a
 * sentence, or a model that loads and runs two steps.  Where the former has a byte 1, what follows
 * is modules.json, and after another the config.json of 1_Pooling. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inference/forward.h"
#include "inference/hf.h"
#include "inference/pooling.h"
#include "kernels/backend.h"
#include "kernels/base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PATH = 128 };

static char folder[64];

static void write_file(const char *name, const void *data, size_t n)
{
    char path[PATH];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    f = fopen(path, "wb");
    if (!f || fwrite(data, 1, n, f) != n || fclose(f))
        abort();
}

static void remove_folder(void)
{
    static const char *const names[] = { "config.json", "model.safetensors", "tokenizer.json",
                                         "modules.json", "1_Pooling/config.json" };
    char path[PATH];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    snprintf(path, sizeof path, "%s/1_Pooling", folder);
    (void)rmdir(path);
    (void)rmdir(folder);
}

/* config.json, and what follows it behind bytes 1. */
static void write_settings(const char *text, size_t n)
{
    static const char *const names[] = { "config.json", "modules.json", "1_Pooling/config.json" };
    char path[PATH];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *end = i < 2 ? memchr(text, 1, n) : NULL;
        size_t len = end ? (size_t)(end - text) : n;

        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
        if (i == 0 || len)
            write_file(names[i], text, len);
        text += end ? len + 1 : n;
        n -= end ? len + 1 : n;
    }
}

static void make_folder(void)
{
    static const char tokenizer[] =
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}";
    char path[PATH];

    if (folder[0])
        return;
    strcpy(folder, "/tmp/fuzz-folder-XXXXXX");
    if (!mkdtemp(folder) || atexit(remove_folder))
        abort();
    snprintf(path, sizeof path, "%s/1_Pooling", folder);
    if (mkdir(path, 0700))
        abort();
    write_file("tokenizer.json", tokenizer, sizeof tokenizer - 1);
}

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
        int32_t last = (int32_t)n - 1;

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
        if (forward_argmax(f, 0) < 0 || (size_t)forward_argmax(f, 0) >= m->n_vocab)
            abort();
    }
    kvcache_drop(cache, &t);
    forward_close(f);
}

static void load(const struct weights *w)
{
    enum pooling pooling;
    const struct backend_options o = { .n_threads = 1, .isa = "scalar" };
    const struct backend *b = backend_find("cpu", NULL);
    struct model m = { 0 };
    struct kvcache cache = { 0 };
    struct device *d = NULL;
    struct err e = { .code = 0 };

    if (model_check(&m, w, &e)) {
        if (!e.code || !e.text[0])
            abort();
        return;
    }
    if (pooling_read(&pooling, &m, w, NULL, &e) && (!e.code || !e.text[0]))
        abort();
    if (m.n_ctx_train < 3)
        return;
    if (!b || b->open(&d, &o, &e) || model_open(&m, w, b, d, NULL, NULL, &e) ||
        kvcache_open(&cache, b, d,
                     &(struct kv_shape){ .n_layers = m.n_layers,
                                         .n_kv = m.n_kv,
                                         .head_dim = m.head_dim,
                                         .n_pages = 1,
                                         .page_tokens = 16,
                                         .dtype = DTYPE_F32 },
                     &e))
        abort();
    run(&m, &cache);
    kvcache_close(&cache);
    model_close(&m);
    b->close(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = memchr(data, 0, size);
    size_t n = nul ? (size_t)(nul - data) : size;
    struct weights *w = NULL;
    struct err e = { .code = 0 };

    log_set_level(LOG_ERROR);
    make_folder();
    write_settings((const char *)data, n);
    write_file("model.safetensors", data + (nul ? n + 1 : n), size - (nul ? n + 1 : n));
    if (hf_open(&w, folder, &e) == 0)
        load(w);
    else if (!e.code || !e.text[0])
        abort();
    weights_close(w);
    return 0;
}
