/* engine_look.c - what can be seen of an engine from outside: any thread, at any time. */
#include "inference/engine_parts.h"

#include <string.h>

#include "kernels/base/clock.h"

/* Cut where it is too long: names are the file's, of any length. */
static void copy_text(char *to, size_t size, const char *from)
{
    size_t n = strnlen(from, size - 1);

    memcpy(to, from, n);
    to[n] = '\0';
}

static void describe(const struct engine *g, struct engine_status *out)
{
    const struct loaded *l = &g->loaded;

    out->was_ready = true;
    out->load_ms = g->load_ms;
    out->isa = l->info.isa;
    out->n_threads = l->info.n_threads;
    copy_text(out->architecture, sizeof out->architecture, l->model.arch->name);
    copy_text(out->model_name, sizeof out->model_name, l->model.name);
    copy_text(out->quantisation, sizeof out->quantisation, l->model.quantisation);
    out->n_params = l->model.n_params;
    out->weight_bytes = l->model.bytes_per_token;
}

/* An idle engine learns only with the next job that a rank was lost; whoever looks, at once. */
static void look_at_ranks(const struct engine *g, struct engine_status *out)
{
    struct ranks *r = g->loaded.ranks;
    struct err e;

    if (!r || out->state != ENGINE_READY || r->ops->failed(r, &e) == 0)
        return;
    out->state = ENGINE_FAILED;
    out->failure = e;
}

void engine_sampling(const struct engine *g, struct sampling *out)
{
    *out = g->loaded.sampling;
}

void engine_status(const struct engine *g, struct engine_status *out)
{
    struct scheduler *s = g->scheduler;

    *out = (struct engine_status){ .device = g->loaded.backend->name,
                                   .n_ctx = g->loaded.n_ctx,
                                   .n_vocab = g->loaded.n_vocab,
                                   .max_batch = g->loaded.max_batch,
                                   .kv_pages = g->loaded.kv_shape.n_pages,
                                   .has_chat_template = g->loaded.template != NULL,
                                   .writes = !g->loaded.model.headless,
                                   .pooling = g->loaded.no_embeddings.code
                                                  ? NULL
                                                  : pooling_name(g->loaded.pooling),
                                   .n_embd = g->loaded.model.n_embd,
                                   .speculates = g->loaded.max_drafted_rows != 0,
                                   .bos = tokenizer_bos(g->loaded.tokenizer),
                                   .eos = tokenizer_eos(g->loaded.tokenizer),
                                   .load_percent = atomic_load(&g->load_percent) };
    if (atomic_load(&g->serving))
        describe(g, out);
    pthread_mutex_lock(&s->lock);
    out->state = s->state;
    out->failure = s->failure;
    out->running = s->n_running;
    out->waiting = s->n_waiting;
    out->done = s->n_ended;
    out->cancelled = s->n_cancelled;
    out->preempted = s->n_preempted;
    out->prompt_tokens = s->tokens.prompt;
    out->generated_tokens = s->tokens.generated;
    out->cached_tokens = s->tokens.cached;
    out->drafted_tokens = s->tokens.drafted;
    out->accepted_tokens = s->tokens.accepted;
    out->kv_pages_used = s->kv_use.pages_used;
    out->kv_pages_cached = s->kv_use.pages_cached;
    out->prefix_pages = s->kv_use.pages_entered;
    out->prefix_lookups = s->kv_use.n_lookups;
    out->prefix_hits = s->kv_use.n_hits;
    out->prefix_evicted = s->kv_use.n_evicted;
    out->last_step_ms_ago = clock_ms() - s->last_step_ms;
    pthread_mutex_unlock(&s->lock);
    look_at_ranks(g, out);
}

/* Under the scheduler's lock: of a job's fields those that are fixed, and those it guards. */
static void describe_slot(struct engine_slot *out, const struct job *j, bool speculates)
{
    size_t done = j->seen.n_done < j->n_prompt ? j->seen.n_done : j->n_prompt;

    *out = (struct engine_slot){
        .running = true,
        .number = j->number,
        .prompt_tokens = j->n_prompt,
        .cached_tokens = j->seen.n_cached,
        .evaluated_tokens = done > j->seen.n_cached ? done - j->seen.n_cached : 0,
        .generated_tokens = j->seen.n_ids - j->n_prompt,
        .max_tokens = j->max_new,
        .min_tokens = j->min_tokens,
        .top_logprobs = j->top_logprobs,
        .ignore_end = j->ignore_end,
        .speculates = speculates && !j->no_speculation,
        .sampling = j->sampling,
    };
    out->sampling.bias = NULL;
    out->sampling.dry_breakers = NULL;
    out->sampling.n_bias = out->sampling.n_dry_breakers = 0;
}

void engine_slots(const struct engine *g, struct engine_slot *out, size_t n)
{
    struct scheduler *s = g->scheduler;

    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < n; i++) {
        out[i] = (struct engine_slot){ 0 };
        if (i < s->max_batch && s->slots.jobs[i])
            describe_slot(&out[i], s->slots.jobs[i], g->loaded.max_drafted_rows != 0);
    }
    pthread_mutex_unlock(&s->lock);
}

const char *engine_chat_template(const struct engine *g)
{
    return g->loaded.template ? template_source(g->loaded.template) : NULL;
}

const char *engine_token_text(const struct engine *g, int32_t id, size_t *len)
{
    struct str text = tokenizer_text(g->loaded.tokenizer, id);

    *len = text.len;
    return text.data;
}

int32_t engine_token_find(const struct engine *g, const char *text, size_t len)
{
    return tokenizer_find(g->loaded.tokenizer, text, len);
}

int engine_plain_text(struct engine *g, const int32_t *ids, size_t n, struct buf *out,
                      struct err *e)
{
    const struct tokenizer *t = g->loaded.tokenizer;
    bool first = tokenizer_strips_first_blank(t);

    for (size_t i = 0; i < n; i++) {
        struct str piece = tokenizer_piece(t, ids[i], false);
        size_t skip;

        if (ids[i] < 0 || (size_t)ids[i] >= g->loaded.n_vocab)
            return err_param(e, "tokens", ERR_INVALID,
                             "token %zu is %d, outside the vocabulary of %zu", i, (int)ids[i],
                             g->loaded.n_vocab);
        skip = first && piece.len && *piece.data == ' ';
        first = first && !piece.len;
        buf_put(out, piece.data + skip, piece.len - skip);
    }
    return out->failed ? err_set(e, ERR_NOMEM, "no memory for the text of %zu tokens", n) : 0;
}
