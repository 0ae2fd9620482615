/* loaded.c - opens the parts of a model in the order in which they need each other.
 *
 * Everything that can be refused is refused in loaded_check(), before gigabytes are read: the
 * file's form, the family, the tokenizer, the template, the configuration, the device and its
 * instruction set. */
#include "inference/loaded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inference/drafts.h"
#include "inference/hf.h"
#include "inference/loaded_ranks.h"
#include "inference/place.h"
#include "kernels/base/log.h"
#include "kernels/split.h"

enum {
    DEFAULT_BATCH = 16,
    ENCODER_BATCH = 64,    /* texts are short, and leave nothing behind */
    ENCODER_TOKENS = 8192, /* a text is one pass: its length is paid for in buffers */
    MAX_BATCH = 4096,
    DEFAULT_ROWS = 512,
    MAX_ROWS = 65536,
    /* Of float matrices, the multiplication of more rows may differ in the last bits
       (kernels/cpu/mm.h): with them guesses stay below, so that they change no answer. */
    FLOAT_ROWS = 7,
    PAGE_TOKENS = 64, /* half a page is lost per sequence, and a table entry spent per page */
};

/* The memory this process may use: the machine's, or less where its control group says so. */
static uint64_t memory_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGE_SIZE);
    uint64_t bytes = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : (uint64_t)1 << 32;
    unsigned long long limit;
    FILE *f = fopen("/sys/fs/cgroup/memory.max", "re");

    if (!f)
        return bytes;
    if (fscanf(f, "%llu", &limit) == 1 && limit < bytes) /* "max" where there is no limit */
        bytes = limit;
    fclose(f);
    return bytes;
}

static int open_template(struct loaded *l, const struct engine_config *c, struct err *e)
{
    struct str s;
    int rc;

    if (c->chat_template) {
        rc = template_parse(&l->template, c->chat_template, strlen(c->chat_template), e);
        if (rc)
            err_prefix(e, "%s: ", c->chat_template_name ? c->chat_template_name : "chat template");
        return rc;
    }
    rc = weights_str(l->weights, "tokenizer.chat_template", &s, e);
    if (rc == ERR_NOTFOUND)
        return 0;
    if (rc == 0)
        rc = template_parse(&l->template, s.data, s.len, e);
    if (rc)
        err_prefix(e, "%s: chat template: ", c->model_path);
    return rc;
}

/* An encoder's keys and values are those of the layer at hand. */
static size_t cached_layers(const struct model *m)
{
    return m->encoder ? 1 : m->n_layers;
}

/* Keys and values of one page: two of [n_layers, page_tokens, n_kv, head_dim], of the rank that has
 * most heads: all have as many pages. */
static int page_bytes(const struct model *m, enum dtype type, size_t *out, struct err *e)
{
    size_t n = 2 * PAGE_TOKENS, n_kv = m->slice.n_ranks ? m->slice.most_kv : m->n_kv;

    if (__builtin_mul_overflow(n, cached_layers(m), &n) || __builtin_mul_overflow(n, n_kv, &n) ||
        __builtin_mul_overflow(n, kv_bytes(type, m->head_dim), &n) || n == 0)
        return err_set(e, ERR_FORMAT,
                       "keys and values of %zu layers, %zu heads of %zu are out of range",
                       m->n_layers, n_kv, m->head_dim);
    *out = n;
    return 0;
}

/* As many pages as the batch can use, within the memory allowed; a smaller cache shortens the
 * context. */
static int plan_cache(struct loaded *l, const struct engine_config *c, struct err *e)
{
    const struct model *m = &l->model;
    size_t per_sequence = (l->n_ctx + PAGE_TOKENS - 1) / PAGE_TOKENS, bytes = 0, pages, fit;
    uint64_t allowed = c->kv_bytes ? c->kv_bytes : memory_bytes() / 2 / (l->team ? c->n_ranks : 1);
    enum dtype type = m->kv_dtype;
    int rc = kvcache_type(c->kv_type, &type, e);

    if (rc == 0)
        rc = page_bytes(m, type, &bytes, e);

    if (rc)
        return rc;
    fit = (size_t)(allowed / bytes);
    if (!fit)
        return err_param(e, "kv_bytes", ERR_INVALID,
                         "%llu bytes hold not even one page of keys and values, which takes %zu",
                         (unsigned long long)allowed, bytes);
    if (__builtin_mul_overflow(per_sequence, l->max_batch, &pages) || pages > fit)
        pages = fit;
    if (pages > INT32_MAX)
        pages = INT32_MAX;
    if (l->n_ctx > pages * PAGE_TOKENS) {
        log_msg(LOG_WARN, "context",
                "memory for keys and values holds %zu tokens: the context is cut from %zu to that",
                pages * PAGE_TOKENS, l->n_ctx);
        l->n_ctx = pages * PAGE_TOKENS;
    }
    l->kv_shape = (struct kv_shape){ .n_layers = cached_layers(m),
                                     .n_kv = m->n_kv,
                                     .head_dim = m->head_dim,
                                     .n_pages = pages,
                                     .page_tokens = PAGE_TOKENS,
                                     .dtype = type };
    l->kv_bytes = pages * bytes;
    return 0;
}

/* What is out of range suggests nothing. */
static void read_sampling(struct loaded *l)
{
    struct sampling *s = &l->sampling;
    double top_k = 0;
    const struct {
        const char *key;
        double max;
        float *to;
    } rows[] = {
        { "general.sampling.temp", 2, &s->temperature },
        { "general.sampling.top_p", 1, &s->top_p },
        { "general.sampling.min_p", 1, &s->min_p },
        { "general.sampling.penalty_repeat", 100, &s->repetition_penalty },
    };

    sampling_default(s);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double v;

        if (weights_f64(l->weights, rows[i].key, &v, NULL) != 0)
            continue;
        if (v >= 0 && v <= rows[i].max && (v > 0 || rows[i].to != &s->repetition_penalty))
            *rows[i].to = (float)v;
        else
            log_msg(LOG_WARN, "sampling", "the model suggests %s %g, which is disregarded",
                    rows[i].key, v);
    }
    if (weights_f64(l->weights, "general.sampling.top_k", &top_k, NULL) == 0 && top_k >= 1 &&
        top_k <= INT32_MAX)
        s->top_k = (size_t)top_k;
}

/* Turns the configuration's zeros into numbers, and refuses what cannot work. */
static int plan(struct loaded *l, const struct engine_config *c, struct err *e)
{
    const struct model *m = &l->model;

    l->n_vocab = m->n_vocab;
    /* Fewer is usual: embeddings are padded to a round number of rows. */
    if (tokenizer_n_vocab(l->tokenizer) > m->n_vocab)
        return err_set(e, ERR_FORMAT,
                       "%s: the tokenizer has %zu tokens, the embedding only %zu rows",
                       c->model_path, tokenizer_n_vocab(l->tokenizer), m->n_vocab);
    l->max_batch = c->max_batch ? c->max_batch : m->encoder ? ENCODER_BATCH : DEFAULT_BATCH;
    if (l->max_batch > MAX_BATCH)
        return err_param(e, "max_batch", ERR_INVALID, "max_batch is %zu, the most is %d",
                         l->max_batch, MAX_BATCH);
    l->max_rows = c->max_step_rows ? c->max_step_rows : DEFAULT_ROWS;
    if (l->max_rows > MAX_ROWS)
        return err_param(e, "max_step_rows", ERR_INVALID, "max_step_rows is %zu, the most is %d",
                         l->max_rows, MAX_ROWS);
    if (c->speculation != SPECULATION_OFF)
        l->max_drafted_rows = m->multiplies_floats ? FLOAT_ROWS : DRAFTS_MAX_ROWS;
    l->n_ctx = c->n_ctx ? c->n_ctx : m->n_ctx_train;
    if (m->encoder && !c->n_ctx && l->n_ctx > ENCODER_TOKENS)
        l->n_ctx = ENCODER_TOKENS;
    if (l->n_ctx > m->n_ctx_train) /* would run, and answer nonsense beyond it */
        return err_param(e, "n_ctx", ERR_INVALID,
                         "a context of %zu tokens was asked for, the model was trained for %zu",
                         l->n_ctx, m->n_ctx_train);
    if (l->n_ctx < 2)
        return err_param(e, "n_ctx", ERR_INVALID, "a context of %zu tokens is too short", l->n_ctx);
    if (m->encoder && l->n_ctx > MAX_ROWS)
        return err_param(e, "n_ctx", ERR_INVALID,
                         "a context of %zu tokens was asked for, the most of an encoder is %d",
                         l->n_ctx, MAX_ROWS);
    if (m->encoder && l->max_rows < l->n_ctx)
        l->max_rows = l->n_ctx;
    return plan_cache(l, c, e);
}

/* Only a model without a head is of no use without. */
static int read_pooling(struct loaded *l, const struct engine_config *c, struct err *e)
{
    int rc = pooling_read(&l->pooling, &l->model, l->weights, c->pooling, &l->no_embeddings);

    if (rc == ERR_UNSUPPORTED && !l->model.headless)
        return 0;
    if (rc && e)
        *e = l->no_embeddings;
    return rc;
}

int loaded_check(struct loaded *l, const struct engine_config *c, struct err *e)
{
    struct backend_options o = { .n_threads = loaded_threads(c), .isa = c->isa };
    int rc;

    *l = (struct loaded){ .n_threads = o.n_threads };
    rc = hf_open(&l->weights, c->model_path, e);
    if (rc)
        return rc;
    rc = model_check(&l->model, l->weights, e);
    if (rc == 0)
        rc = loaded_join(l, c, e);
    if (rc)
        goto out;
    rc = tokenizer_open(&l->tokenizer, l->weights, e);
    if (rc)
        goto out;
    rc = open_template(l, c, e);
    if (rc)
        goto out;
    read_sampling(l);
    rc = read_pooling(l, c, e);
    if (rc)
        goto out;
    rc = plan(l, c, e);
    if (rc)
        goto out;
    l->backend = backend_find(c->device ? c->device : "auto", e);
    if (!l->backend) {
        rc = ERR_UNSUPPORTED;
        goto out;
    }
    l->any_device = !c->device || strcmp(c->device, "auto") == 0;
    o.ranks = l->ranks;
    snprintf(l->isa, sizeof l->isa, "%s", c->isa ? c->isa : "");
    rc = l->backend->open(&l->device, &o, e);
    if (rc == 0)
        l->backend->info(l->device, &l->info);
out:
    if (rc)
        loaded_done(l);
    return rc;
}

/* One token through all layers: touches every weight, and shows that a step works. */
static int warm_up(struct loaded *l, struct err *e)
{
    int32_t bos = tokenizer_bos(l->tokenizer), id = bos >= 0 ? bos : 0, row = 0;
    struct kv_table table = { 0 };
    struct seq_span span = { .n = 1, .reach = l->model.encoder };
    struct step step = { .ids = &id,
                         .n_rows = 1,
                         .spans = &span,
                         .n_spans = 1,
                         .out_rows = &row,
                         .n_outputs = !l->model.headless,
                         .hidden_rows = &row,
                         .n_hidden = l->model.headless };
    int rc = kvcache_grow(&l->cache, &table, 1, e);

    if (rc)
        return rc;
    span.pages = table.pages;
    forward_run(l->tokens, &step);
    rc = forward_check(l->tokens, e);
    kvcache_drop(&l->cache, &table);
    if (rc || l->model.headless)
        return rc;
    id = forward_argmax(l->tokens, 0);
    if (id < 0 || (size_t)id >= l->n_vocab)
        return err_set(e, ERR_INTERNAL, "the warm-up step gave token %d of %zu", (int)id,
                       l->n_vocab);
    return 0;
}

/* --- the device --- */

static size_t most_tokens(const struct loaded *l)
{
    return l->max_drafted_rows > l->max_batch ? l->max_drafted_rows : l->max_batch;
}

static size_t most_outputs(const struct loaded *l)
{
    return l->max_batch < l->max_rows ? l->max_batch : l->max_rows;
}

/* Another one in place of the device: the host alone, or both. */
static int exchange_device(struct loaded *l, bool both, struct err *e)
{
    const struct backend_options o = { .n_threads = l->n_threads, .isa = l->isa, .shared = both };
    const struct backend *b = l->backend;
    struct device *d;
    int rc;

    b->close(l->device);
    l->device = NULL;
    if (!both)
        b = backend_find("cpu", e);
    rc = b->open(&d, &o, e);
    if (rc == 0 && both)
        rc = split_create(&d, b, d, &o, e);
    l->backend = both && rc == 0 ? &backend_split : b;
    if (rc)
        return rc;
    l->device = d;
    l->backend->info(d, &l->info);
    return 0;
}

static void log_place(const struct loaded *l, const struct place *p)
{
    struct log_line line;

    log_begin(&line, LOG_INFO, "split");
    log_int(&line, "layers_on_device", (long long)(l->model.n_layers - p->n_host));
    log_int(&line, "layers_on_host", (long long)p->n_host);
    log_int(&line, "needed_bytes", (long long)p->need_bytes);
    log_int(&line, "free_bytes", (long long)p->free_bytes);
    log_end(&line);
}

/* Where the device's memory is too small, the host takes layers, or all of them.  An encoder's
 * layers share what would be the cache of one, so it goes as a whole. */
static int place(struct loaded *l, struct err *e)
{
    const struct place_ask ask = { .model = &l->model,
                                   .weights = l->weights,
                                   .backend = l->backend,
                                   .device = l->device,
                                   .kv = &l->kv_shape,
                                   .kv_bytes = l->kv_bytes,
                                   .max_rows = l->max_rows,
                                   .max_outputs = most_outputs(l),
                                   .max_tokens = most_tokens(l) };
    struct place p;
    int rc = place_find(&p, &ask, e);

    if (rc == 0 && p.n_host && l->model.encoder)
        rc = err_set(e, ERR_NOMEM, "the model needs %zu bytes of device memory, %zu are free",
                     p.need_bytes, p.free_bytes);
    if (l->ranks && (rc || p.n_host)) /* each has a device of its own, or none has */
        return rc ? rc
                  : err_set(e, ERR_NOMEM,
                            "a rank's part of the model needs %zu bytes of device memory, %zu are "
                            "free",
                            p.need_bytes, p.free_bytes);
    if (rc == ERR_NOMEM && l->any_device)
        p.n_host = l->model.n_layers;
    else if (rc)
        return rc;
    if (p.n_host == 0)
        return 0;
    log_place(l, &p);
    if (p.n_host < l->model.n_layers)
        l->kv_shape.n_host_layers = l->host_layers = p.n_host;
    return exchange_device(l, l->host_layers > 0, e);
}

int loaded_upload(struct loaded *l, void (*progress)(void *arg, int percent), void *arg,
                  struct err *e)
{
    size_t n_tokens = most_tokens(l);
    int rc = place(l, e);

    if (rc == 0)
        rc = loaded_lead(l, e);
    if (rc == 0)
        rc = model_upload(&l->model, l->weights, l->backend, l->device, l->host_layers, progress,
                          arg, e);
    if (rc == 0)
        rc = kvcache_open(&l->cache, l->backend, l->device, &l->kv_shape, e);
    if (rc == 0)
        loaded_lead_cache(l);
    if (rc == 0)
        rc = forward_open(&l->prompts, &l->model, &l->cache, l->max_rows, most_outputs(l), e);
    if (rc == 0)
        rc = forward_open(&l->tokens, &l->model, &l->cache, n_tokens, n_tokens, e);
    return rc ? rc : warm_up(l, e);
}

void loaded_done(struct loaded *l)
{
    lead_close(&l->lead);
    forward_close(l->prompts);
    forward_close(l->tokens);
    if (l->cache.kv)
        kvcache_close(&l->cache);
    model_close(&l->model);
    if (l->device)
        l->backend->close(l->device);
    team_free(l->team);
    template_free(l->template);
    tokenizer_close(l->tokenizer);
    weights_close(l->weights);
    *l = (struct loaded){ 0 };
}
