/* probe_logits.c - `airstrip-probe logits MODEL`: what a model makes of given ids, for comparison
 * with others.
 *
 * One JSON request a line on stdin, one answer a line on stdout:
 *   {"ids": [...]}                          -> {"logits": [n_vocab numbers of the last position]}
 *     "all": true                           -> {"logits_all": [[...], ...]} of every position
 * instead "score": [[id, ...] or null, ...]     -> {"logprobs": [[...] or null, ...], "argmax":
 * [...]} instead: log- probabilities of those ids after each position "greedy": n -> "greedy_ids":
 * [...] too: n most likely ids that follow "chunk": n                            rows per step, to
 * show that they do not matter anything wrong                          -> {"error": "..."}
 * AIRSTRIP_ISA picks the instruction set, AIRSTRIP_DEVICE the backend, AIRSTRIP_KV the type of keys
 * and values, AIRSTRIP_RANKS how many ranks compute the model together, each with one thread. */
#include "tools/probe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inference/forward.h"
#include "inference/hf.h"
#include "inference/ranks_lead.h"
#include "inference/ranks_team.h"
#include "kernels/base/json.h"

enum { MAX_ROWS = 512, MAX_OUTPUTS = 32, MAX_TOKENS = 8192, PAGE_TOKENS = 64 };

struct run {
    struct weights *w;
    struct team *team; /* NULL: one rank */
    struct lead lead;
    const struct backend *backend;
    struct device *device;
    struct model model;
    struct kvcache cache;
    struct forward *forward;
    size_t max_tokens;
};

struct ask {
    int32_t *ids; /* with room for the greedy ones */
    size_t n, n_greedy, chunk;
    bool all;
    const struct value *score; /* NULL, or a list as long as ids */
};

static void run_close(struct run *r)
{
    lead_close(&r->lead);
    forward_close(r->forward);
    kvcache_close(&r->cache);
    model_close(&r->model);
    if (r->device)
        r->backend->close(r->device);
    team_free(r->team);
    weights_close(r->w);
}

/* The other ranks of AIRSTRIP_RANKS; nothing where that is not set. */
static int start_ranks(struct run *r, const char *path, struct backend_options *o, struct err *e)
{
    const char *n = getenv("AIRSTRIP_RANKS");
    const struct engine_config c = {
        .model_path = path, .device = r->backend->name, .isa = o->isa, .n_threads = 1
    };
    int rc;

    if (!n || atoi(n) < 2)
        return 0;
    rc = team_create(&r->team, &c, (size_t)atoi(n), e);
    if (rc)
        return rc;
    o->n_threads = 1;
    o->ranks = team_lead(r->team);
    return team_start(r->team, e);
}

/* The model, or its part of this rank, and a cache that is not open yet. */
static int open_model(struct run *r, struct backend_options *o, struct err *e)
{
    struct ranks *ranks = o->ranks;
    struct backend_info info;
    int rc = r->backend->open(&r->device, o, e);

    if (rc || (rc = model_check(&r->model, r->w, e)))
        return rc;
    if (ranks) {
        r->backend->info(r->device, &info);
        lead_open(&r->lead, ranks, &r->model, r->w, info.isa);
        rc = model_slice(&r->model, r->w, ranks->rank, ranks->n, e);
        r->model.lead = &r->lead;
    }
    return rc ? rc : model_upload(&r->model, r->w, r->backend, r->device, 0, NULL, NULL, e);
}

/* The cache is as long as the model's context, at most MAX_TOKENS; run_close() also after an error.
 */
static int run_open(struct run *r, const char *path, struct err *e)
{
    const char *name = getenv("AIRSTRIP_DEVICE");
    struct backend_options o = { .isa = getenv("AIRSTRIP_ISA") };
    struct kv_shape shape;
    int rc;

    memset(r, 0, sizeof *r);
    if ((rc = hf_open(&r->w, path, e)))
        return rc;
    r->backend = backend_find(name ? name : "cpu", e);
    if (!r->backend)
        return ERR_UNSUPPORTED;
    if ((rc = start_ranks(r, path, &o, e)) || (rc = open_model(r, &o, e)))
        return rc;
    if (r->model.headless)
        return err_set(e, ERR_UNSUPPORTED, "%s: a model without a head has no logits", path);
    if ((rc = kvcache_type(getenv("AIRSTRIP_KV"), &r->model.kv_dtype, e)))
        return rc;
    r->max_tokens = r->model.n_ctx_train < MAX_TOKENS ? r->model.n_ctx_train : MAX_TOKENS;
    shape = (struct kv_shape){ .n_layers = r->model.n_layers,
                               .n_kv = r->model.n_kv,
                               .head_dim = r->model.head_dim,
                               .n_pages = (r->max_tokens + PAGE_TOKENS - 1) / PAGE_TOKENS,
                               .page_tokens = PAGE_TOKENS,
                               .dtype = r->model.kv_dtype };
    if ((rc = kvcache_open(&r->cache, r->backend, r->device, &shape, e)))
        return rc;
    if (r->team) {
        lead_cache(&r->lead, &shape);
        r->cache.lead = &r->lead;
    }
    return forward_open(&r->forward, &r->model, &r->cache, MAX_ROWS, MAX_OUTPUTS, e);
}

static int read_ids(const struct run *r, const struct value *list, int32_t *out, struct err *e)
{
    for (size_t i = 0; i < list->list.len; i++) {
        const struct value *v = list->list.items[i];

        if (v->kind != VALUE_INT || v->integer < 0 || (uint64_t)v->integer >= r->model.n_vocab)
            return err_set(e, ERR_INVALID, "id %zu is no integer from 0 to %zu", i,
                           r->model.n_vocab - 1);
        out[i] = (int32_t)v->integer;
    }
    return 0;
}

/* An optional whole number from 1 to max. */
static int read_count(const struct value *v, const char *key, size_t max, size_t *out,
                      struct err *e)
{
    const struct value *n = value_get(v, key);

    if (!n)
        return 0;
    if (n->kind != VALUE_INT || n->integer < 1 || (uint64_t)n->integer > max)
        return err_set(e, ERR_INVALID, "%s is no integer from 1 to %zu", key, max);
    *out = (size_t)n->integer;
    return 0;
}

static int read_ask(const struct run *r, const struct value *v, struct arena *a, struct ask *q,
                    struct err *e)
{
    const struct value *ids = value_get(v, "ids"), *all = value_get(v, "all");
    int rc;

    *q = (struct ask){ .score = value_get(v, "score"),
                       .all = all && all->kind == VALUE_BOOL && all->boolean };
    if (!ids || ids->kind != VALUE_LIST || ids->list.len == 0 || ids->list.len > r->max_tokens)
        return err_set(e, ERR_INVALID, "ids is no list of 1 to %zu ids", r->max_tokens);
    if (q->score && (q->score->kind != VALUE_LIST || q->score->list.len != ids->list.len))
        return err_set(e, ERR_INVALID, "score is no list of %zu lists", ids->list.len);
    q->n = ids->list.len;
    q->chunk = q->all || q->score ? MAX_OUTPUTS : MAX_ROWS;
    if ((rc = read_count(v, "greedy", r->max_tokens - q->n, &q->n_greedy, e)) ||
        (rc = read_count(v, "chunk", q->chunk, &q->chunk, e)))
        return rc;
    q->ids = arena_array(a, q->n + q->n_greedy, sizeof *q->ids);
    if (!q->ids)
        return err_set(e, ERR_NOMEM, "no memory for %zu ids", q->n + q->n_greedy);
    return read_ids(r, ids, q->ids, e);
}

/* Nine digits bring a float32 back exactly; JSON knows no infinity. */
static void print_floats(const float *x, size_t n)
{
    putchar('[');
    for (size_t i = 0; i < n; i++)
        if (isfinite(x[i]))
            printf(i ? ",%.9g" : "%.9g", (double)x[i]);
        else
            printf(i ? ",null" : "null");
    putchar(']');
}

/* Log-probabilities of the wanted ids; wrong ones are null. */
static void print_scores(const float *logits, size_t n_vocab, const struct value *wanted)
{
    double max = -INFINITY, sum = 0;

    if (wanted->kind != VALUE_LIST) {
        printf("null");
        return;
    }
    for (size_t i = 0; i < n_vocab; i++)
        max = (double)logits[i] > max ? (double)logits[i] : max;
    for (size_t i = 0; i < n_vocab; i++)
        sum += exp((double)logits[i] - max);
    putchar('[');
    for (size_t i = 0; i < wanted->list.len; i++) {
        const struct value *v = wanted->list.items[i];

        if (i)
            putchar(',');
        if (v->kind == VALUE_INT && v->integer >= 0 && (uint64_t)v->integer < n_vocab)
            printf("%.9g", (double)logits[v->integer] - max - log(sum));
        else
            printf("null");
    }
    putchar(']');
}

/* Of a sequence of n tokens: see struct model's near_tokens. */
static bool is_far(const struct run *r, size_t n)
{
    return r->model.near_tokens && n > r->model.near_tokens;
}

/* Rows pos .. pos+n-1 of the sequence; logits of the last row, or of all of them. */
static void step(struct run *r, const int32_t *ids, size_t pos, size_t n, bool prompt,
                 bool all_rows, bool far, const struct kv_table *table)
{
    struct seq_span span = { .row = 0, .n = n, .pos = pos, .pages = table->pages, .far = far };
    int32_t rows[MAX_ROWS];

    for (size_t i = 0; i < n; i++)
        rows[i] = (int32_t)(all_rows ? i : n - 1);
    forward_run(r->forward, &(struct step){ .prompt = prompt,
                                            .ids = ids + pos,
                                            .n_rows = n,
                                            .spans = &span,
                                            .n_spans = 1,
                                            .out_rows = rows,
                                            .n_outputs = all_rows ? n : 1 });
}

/* Prints while it goes: all logits of a long text would not fit in memory. */
static void answer(struct run *r, struct ask *q, const struct kv_table *table)
{
    bool every = q->all || q->score;
    size_t n_vocab = r->model.n_vocab, last = 0;
    int32_t *best = q->ids + q->n;
    struct buf argmax = { 0 };

    printf(q->score ? "{\"logprobs\":[" : q->all ? "{\"logits_all\":[" : "{\"logits\":");
    for (size_t pos = 0; pos < q->n; pos += q->chunk) {
        size_t n = q->n - pos < q->chunk ? q->n - pos : q->chunk;

        step(r, q->ids, pos, n, true, every, is_far(r, q->n), table);
        for (size_t i = 0; every && i < n; i++) {
            if (pos + i)
                putchar(',');
            if (q->score)
                print_scores(forward_logits(r->forward, i), n_vocab, q->score->list.items[pos + i]);
            else
                print_floats(forward_logits(r->forward, i), n_vocab);
            buf_printf(&argmax, pos + i ? ",%d" : "%d", forward_argmax(r->forward, i));
        }
        last = every ? n - 1 : 0;
    }
    if (every)
        printf("],\"argmax\":[%s]", buf_str(&argmax));
    else
        print_floats(forward_logits(r->forward, 0), n_vocab);
    buf_done(&argmax);
    for (size_t i = 0; i < q->n_greedy; i++, last = 0) {
        best[i] = forward_argmax(r->forward, last);
        printf("%s%d", i ? "," : ",\"greedy_ids\":[", best[i]);
        if (is_far(r, q->n + i + 1) && !is_far(r, q->n + i)) /* all of it anew */
            for (size_t pos = 0; pos < q->n + i; pos++)
                step(r, q->ids, pos, 1, pos < q->n, false, true, table);
        step(r, q->ids, q->n + i, 1, false, false, is_far(r, q->n + i + 1), table);
    }
    puts(q->n_greedy ? "]}" : "}");
}

/* One request; whatever is wrong with it, the next one finds the cache empty. */
static void answer_line(struct run *r, const char *line, size_t len)
{
    struct arena a;
    struct value *v = NULL;
    struct ask q;
    struct kv_table table = { 0 };
    struct err e = { 0 };
    struct buf out = { 0 };
    int rc;

    arena_init(&a, 0);
    if ((rc = json_parse(line, len, 16, &a, &v, &e)) == 0 &&
        (rc = read_ask(r, v, &a, &q, &e)) == 0 &&
        (rc = kvcache_grow(&r->cache, &table, q.n + q.n_greedy, &e)) == 0)
        answer(r, &q, &table);
    if (rc) {
        json_write_string(&out, e.text, strlen(e.text));
        printf("{\"error\":%s}\n", buf_str(&out));
        buf_done(&out);
    }
    fflush(stdout);
    kvcache_drop(&r->cache, &table);
    arena_done(&a);
}

int probe_logits(int argc, char **argv, struct err *e)
{
    struct run r;
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    int rc;

    if (argc != 2)
        return err_set(e, ERR_INVALID, "one argument is needed: a model file");
    rc = run_open(&r, argv[1], e);
    while (rc == 0 && (len = getline(&line, &cap, stdin)) > 0)
        answer_line(&r, line, (size_t)len);
    free(line);
    run_close(&r);
    return rc;
}
