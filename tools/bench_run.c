/* bench_run.c - rates of the forward pass.
 *
 * A run is repeated on the same cache from position 0: what it writes there does not depend on what
 * was there. Sampling is left out of the rates (the backend's argmax is in), as llama-bench does.
 */
#include "tools/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "inference/loaded.h"
#include "kernels/base/clock.h"

/* n_batch sequences that start at position 0 and move together. */
struct run {
    struct loaded *l;
    struct kv_table *tables; /* [n_batch] */
    struct seq_span *spans;  /* [n_batch] */
    int32_t *ids;            /* [most rows of a step] */
    int32_t *out_rows;       /* [n_batch] */
    size_t n_batch;
};

static void run_done(struct run *r)
{
    for (size_t i = 0; r->tables && i < r->n_batch; i++)
        kvcache_drop(&r->l->cache, &r->tables[i]);
    free(r->tables);
    free(r->spans);
    free(r->ids);
    free(r->out_rows);
}

static int run_init(struct run *r, struct loaded *l, size_t n_batch, size_t n_tokens, struct err *e)
{
    *r = (struct run){ .l = l, .n_batch = n_batch };
    r->tables = calloc(n_batch, sizeof *r->tables);
    r->spans = calloc(n_batch, sizeof *r->spans);
    r->ids = calloc(n_tokens + n_batch, sizeof *r->ids);
    r->out_rows = calloc(n_batch, sizeof *r->out_rows);
    if (!r->tables || !r->spans || !r->ids || !r->out_rows)
        return err_set(e, ERR_NOMEM, "no memory for a batch of %zu", n_batch);
    for (size_t i = 0; i < n_batch; i++) {
        int rc = kvcache_grow(&l->cache, &r->tables[i], n_tokens, e);

        if (rc)
            return rc;
    }
    bench_random_ids(r->ids, n_tokens + n_batch, l->n_vocab, 42);
    return 0;
}

static double time_prompt(struct run *r, size_t n)
{
    double start = clock_ms();
    int32_t last;

    for (size_t done = 0; done < n;) {
        size_t rows = n - done < r->l->max_rows ? n - done : r->l->max_rows;
        struct seq_span span = { .n = rows, .pos = done, .pages = r->tables[0].pages };
        struct step s = { .prompt = true,
                          .ids = r->ids + done,
                          .n_rows = rows,
                          .spans = &span,
                          .n_spans = 1,
                          .out_rows = &last };

        last = (int32_t)(rows - 1);
        done += rows;
        s.n_outputs = done == n;
        forward_run(r->l->prompts, &s);
    }
    return clock_ms() - start;
}

/* n tokens each behind `depth` others, whose keys and values are whatever stands there. */
static double time_generation(struct run *r, size_t depth, size_t n)
{
    double start = clock_ms();

    for (size_t pos = depth; pos < depth + n; pos++) {
        struct step s = { .ids = r->ids + pos,
                          .n_rows = r->n_batch,
                          .spans = r->spans,
                          .n_spans = r->n_batch,
                          .out_rows = r->out_rows,
                          .n_outputs = r->n_batch };

        for (size_t i = 0; i < r->n_batch; i++) {
            r->spans[i] =
                (struct seq_span){ .row = i, .n = 1, .pos = pos, .pages = r->tables[i].pages };
            r->out_rows[i] = (int32_t)i;
        }
        forward_run(r->l->tokens, &s);
    }
    return clock_ms() - start;
}

/* Tokens per second: the prompt's where n_batch is 0. */
static int measure(struct loaded *l, const struct bench_options *o, size_t n_batch, double *tps,
                   struct err *e)
{
    double ms[BENCH_MAX_REPEATS];
    size_t n = n_batch ? o->n_gen : o->n_prompt;
    struct run r;
    int rc = run_init(&r, l, n_batch ? n_batch : 1, n_batch ? o->depth + n : n, e);

    for (size_t i = 0; rc == 0 && i <= o->n_repeats; i++) {
        double t = n_batch ? time_generation(&r, o->depth, n) : time_prompt(&r, n);

        if (i) /* the first one warms caches and clocks */
            ms[i - 1] = t;
    }
    if (rc == 0 && l->backend->check)
        rc = l->backend->check(l->device, e); /* a rate of what was not computed is none */
    if (rc == 0)
        *tps = (double)n * (double)(n_batch ? n_batch : 1) / bench_median(ms, o->n_repeats) * 1e3;
    run_done(&r);
    return rc;
}

/* Limits are those of all threads of all ranks. */
static void describe(const struct loaded *l, const struct bench_options *o, struct bench_result *r)
{
    struct rusage u;

    snprintf(r->isa, sizeof r->isa, "%s", l->info.isa);
    snprintf(r->device, sizeof r->device, "%s", l->info.device);
    snprintf(r->model, sizeof r->model, "%s", l->model.name);
    snprintf(r->architecture, sizeof r->architecture, "%s", l->model.arch->name);
    snprintf(r->quantisation, sizeof r->quantisation, "%s", l->model.quantisation);
    r->n_threads = l->info.n_threads * (o->n_ranks ? o->n_ranks : 1);
    r->file_mb = (double)weights_file_bytes(l->weights) / (1 << 20);
    r->kv_mb = (double)l->kv_bytes / (1 << 20);
    getrusage(RUSAGE_SELF, &u);
    r->peak_mb = (double)u.ru_maxrss / 1024; /* KiB on Linux */
}

int bench_forward(const struct bench_options *o, struct bench_result *r, struct err *e)
{
    size_t generated = o->depth + o->n_gen;
    struct engine_config c =
        bench_config(o, (o->n_prompt > generated ? o->n_prompt : generated) + 1);
    double start = clock_ms();
    struct loaded l;
    int rc = loaded_check(&l, &c, e);

    if (rc)
        return rc;
    rc = loaded_upload(&l, NULL, NULL, e);
    r->load_ms = clock_ms() - start;
    if (rc == 0)
        rc = measure(&l, o, 0, &r->prompt_tps, e);
    for (size_t i = 0; rc == 0 && i < o->n_batches; i++)
        rc = measure(&l, o, o->batches[i], &r->gen_tps[i], e);
    if (rc == 0) {
        describe(&l, o, r);
        rc = bench_limits(&l.model, r, e);
    }
    loaded_done(&l);
    return rc;
}
