/* engine.c - the thread that owns the device, and the calls that reach it through the scheduler.
 *
 *   engine_submit (caller)  check -> prompt_encode -> job_create -> scheduler_submit
 *   run (engine thread)     upload -> { scheduler_turn -> batch_step } -> clear
 *
 * What can be seen of one: engine_look.c. */
#include "inference/engine_parts.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inference/batch.h"
#include "inference/job_check.h"
#include "inference/prompt.h"
#include "inference/ranks_follow.h"
#include "inference/weights/guard.h"
#include "kernels/base/clock.h"
#include "kernels/base/log.h"

enum { DEFAULT_QUEUE = 1024 };

static pthread_once_t guarded = PTHREAD_ONCE_INIT;

/* --- the engine's thread --- */

static void progress(void *arg, int percent)
{
    struct engine *g = arg;

    atomic_store(&g->load_percent, percent);
}

static void log_ready(const struct engine *g)
{
    const struct loaded *l = &g->loaded;
    struct log_line line;

    log_begin(&line, LOG_INFO, "ready");
    log_str(&line, "group", g->name);
    log_str(&line, "model", l->model.name);
    log_str(&line, "file", g->path);
    log_str(&line, "architecture", l->model.arch->name);
    log_str(&line, "quantisation", l->model.quantisation);
    log_int(&line, "params", (long long)l->model.n_params);
    log_int(&line, "weight_mb", (long long)(weights_file_bytes(l->weights) >> 20));
    log_int(&line, "kv_mb", (long long)(l->kv_bytes >> 20));
    log_str(&line, "backend", l->backend->name);
    log_str(&line, "device", l->info.device);
    log_str(&line, "isa", l->info.isa);
    log_int(&line, "threads", (long long)l->info.n_threads);
    log_int(&line, "n_ctx", (long long)l->n_ctx);
    log_int(&line, "max_batch", (long long)l->max_batch);
    log_ms(&line, "load_ms", g->load_ms);
    log_end(&line);
}

static void log_failed(const struct engine *g, const struct err *e)
{
    struct log_line line;

    log_begin(&line, LOG_ERROR, "failed");
    log_str(&line, "group", g->name);
    log_str(&line, "file", g->path);
    log_str(&line, "msg", e->text);
    log_end(&line);
}

/* Are the weights still there, and does the device still work? */
static int check_damage(const struct engine *g, struct err *e)
{
    const struct loaded *l = &g->loaded;

    if (!weights_lost(l->weights))
        return l->backend->check ? l->backend->check(l->device, e) : 0;
    return err_set(e, ERR_INTERNAL,
                   "%s was cut short while it was in use; put the file back and load it anew",
                   g->path);
}

static int start_up(struct engine *g, struct batch *b, struct err *e)
{
    struct loaded *l = &g->loaded;
    struct batch_forwards f;
    int rc = loaded_upload(l, progress, g, e);

    if (rc)
        return rc;
    f = (struct batch_forwards){ l->prompts, l->tokens, l->max_rows, l->max_drafted_rows };
    rc = batch_open(b, g->scheduler, &l->cache, &f, l->tokenizer, l->n_vocab, l->max_batch, e);
    b->prefix_cache = l->model.encoder ? PREFIX_CACHE_OFF : g->prefix_cache;
    b->drafts.regardless = g->speculation == SPECULATION_ALWAYS;
    b->near_tokens = l->model.near_tokens;
    b->encoder = b->prompts.encoder = l->model.encoder;
    b->pooling = l->pooling;
    b->weights = l->weights;
    return rc ? rc : check_damage(g, e);
}

static void *run(void *arg)
{
    struct engine *g = arg;
    struct batch b = { 0 };
    struct err e;

    pthread_setname_np(pthread_self(), "engine"); /* for top -H and gdb */
    if (start_up(g, &b, &e)) {
        log_failed(g, &e);
        err_prefix(&e, "the model could not be loaded: ");
        scheduler_loaded(g->scheduler, &e);
        batch_close(&b);
        return NULL;
    }
    g->load_ms = clock_ms() - g->opened_ms;
    atomic_store(&g->load_percent, 100);
    atomic_store(&g->serving, true);
    log_ready(g);
    scheduler_loaded(g->scheduler, NULL); /* from here on jobs come in */
    err_set(&e, ERR_CLOSING, "the server is shutting down");
    while (scheduler_turn(g->scheduler, b.jobs, &b.n_jobs)) {
        struct err damage;

        batch_step(&b);
        if (check_damage(g, &damage)) {
            e = damage;
            log_failed(g, &e);
            scheduler_loaded(g->scheduler, &e);
            break;
        }
    }
    batch_clear(&b, &e);
    scheduler_clear(g->scheduler, &e);
    batch_close(&b);
    return NULL;
}

/* Signals are main's to wait for: a thread of ours never takes one, but for that of a file cut
 * short under its eyes (guard.h) and that of a system call refused, which would end the process if
 * they were blocked. */
static int start_thread(struct engine *g, struct err *e)
{
    sigset_t all, old;
    int rc;

    sigfillset(&all);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGSYS);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&g->thread, NULL, run, g);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc ? err_set(e, ERR_IO, "starting the engine's thread: %s", strerror(rc)) : 0;
}

/* --- open and close --- */

static void destroy(struct engine *g)
{
    constraints_close(g->constraints);
    loaded_done(&g->loaded);
    scheduler_unref(g->scheduler);
    free(g->name);
    free(g->path);
    free(g);
}

int engine_open(struct engine **out, const struct engine_config *c, struct err *e)
{
    struct engine *g = calloc(1, sizeof *g);
    int rc;

    if (!g)
        return err_set(e, ERR_NOMEM, "no memory for an engine");
    pthread_once(&guarded, guard_install);
    g->opened_ms = clock_ms();
    g->prefix_cache = c->prefix_cache;
    g->speculation = c->speculation;
    atomic_init(&g->load_percent, 0);
    atomic_init(&g->serving, false);
    rc = loaded_check(&g->loaded, c, e);
    if (rc)
        goto fail;
    g->name = strdup(c->name ? c->name : "");
    g->path = strdup(c->model_path);
    if (!g->name || !g->path) {
        rc = err_set(e, ERR_NOMEM, "no memory for an engine");
        goto fail;
    }
    rc = scheduler_create(&g->scheduler, g->loaded.max_batch,
                          c->max_queue ? c->max_queue : DEFAULT_QUEUE, g->loaded.kv_shape.n_pages,
                          g->loaded.kv_shape.page_tokens, e);
    if (rc == 0)
        rc = constraints_open(&g->constraints, g->loaded.tokenizer, g->loaded.n_vocab, e);
    if (rc == 0)
        rc = start_thread(g, e);
    if (rc)
        goto fail;
    *out = g;
    return 0;
fail:
    destroy(g);
    return rc;
}

int engine_check(const struct engine_config *c, struct err *e)
{
    struct loaded l;
    int rc = loaded_check(&l, c, e);

    if (rc == 0)
        loaded_done(&l);
    return rc;
}

void engine_fail(struct engine *g, const struct err *why)
{
    scheduler_loaded(g->scheduler, why);
}

int engine_follow(const struct engine_config *c, struct err *e)
{
    pthread_once(&guarded, guard_install);
    return ranks_follow(c, c->ranks, e);
}

void engine_drain(struct engine *g)
{
    scheduler_drain(g->scheduler);
}

void engine_close(struct engine *g)
{
    if (!g)
        return;
    scheduler_stop(g->scheduler);
    pthread_join(g->thread, NULL);
    destroy(g);
}

/* --- submitting --- */

/* Is it what this model answers with, text or a vector? */
static int check_kind(const struct engine *g, const struct job_request *r, struct err *e)
{
    const struct loaded *l = &g->loaded;

    if (!r->embed && l->model.headless)
        return err_param(e, "model", ERR_UNSUPPORTED,
                         "this model gives embeddings and cannot write text: it answers "
                         "/v1/embeddings only");
    if (r->embed && l->no_embeddings.code)
        return err_param(e, "model", ERR_UNSUPPORTED, "this model gives no embeddings: %s",
                         l->no_embeddings.text);
    return 0;
}

/* The grammar that is asked for; none: *out is NULL. */
static int find_shape(struct engine *g, const struct spec *s, struct shape **out, struct err *e)
{
    int rc;

    *out = NULL;
    if (s->kind == SPEC_NONE)
        return 0;
    rc = constraints_get(g->constraints, s, out, e);
    if (rc && e && s->param) {
        (void)err_prefix(e, "%s: ", s->param);
        snprintf(e->param, sizeof e->param, "%s", s->param);
    }
    if (rc == ERR_LIMIT && e)
        rc = e->code = ERR_UNSUPPORTED;
    return rc;
}

int engine_submit(struct engine *g, const struct job_request *r, struct inbox *in, size_t tag,
                  struct job **out, struct err *e)
{
    struct ids ids = { 0 }, prediction = { 0 };
    struct shape *shape = NULL;
    struct job *j = NULL;
    size_t room, n_vector = r->embed ? g->loaded.model.n_embd : 0;
    int rc;

    /* Turned away before the work, not after it; queueing looks again. */
    rc = scheduler_accepts(g->scheduler, e);
    if (rc == 0)
        rc = check_kind(g, r, e);
    if (rc == 0 && !r->embed)
        rc = job_request_check(r, g->loaded.n_vocab, e);
    if (rc == 0)
        rc = prompt_encode(&g->loaded, r, &ids, e);
    if (rc == 0 && !r->embed)
        rc = prompt_encode_prediction(&g->loaded, r, &prediction, e);
    if (rc == 0 && !r->embed)
        rc = find_shape(g, &r->spec, &shape, e);
    if (rc) {
        ids_done(&ids);
        ids_done(&prediction);
        return rc;
    }
    room = r->embed ? 0 : g->loaded.n_ctx - ids.len; /* else above 0: see prompt_encode() */
    rc = job_create(&j, g->scheduler, g->loaded.tokenizer, r, &ids, &prediction,
                    r->max_tokens < room ? r->max_tokens : room, n_vector, in, tag, e);
    if (rc) {
        shape_unref(shape);
        return rc;
    }
    guide_init(&j->guide, shape);
    rc = scheduler_submit(g->scheduler, j, e);
    if (rc) {
        job_free(j);
        return rc;
    }
    *out = j;
    return 0;
}

int engine_tokenize(struct engine *g, const char *text, size_t len, bool add_special,
                    bool parse_special, int32_t **ids, size_t *n, struct err *e)
{
    struct encode_options o = { .add_special = add_special, .parse_special = parse_special };
    struct ids found = { 0 };
    int rc;

    if (!atomic_load(&g->serving))
        return err_set(e, ERR_LOADING, "the model is still being loaded");
    rc = tokenizer_encode(g->loaded.tokenizer, text, len, &o, &found, e);
    if (rc) {
        ids_done(&found);
        return rc;
    }
    *ids = found.data;
    *n = found.len;
    return 0;
}

/* --- chats as text and ids --- */

int engine_render(struct engine *g, const struct value *context, struct buf *out, struct err *e)
{
    struct rendering r = { 0 };
    int rc = prompt_render(&g->loaded, context, &r, e);

    if (rc == 0)
        buf_put(out, r.text.data, r.text.len);
    rendering_done(&r);
    return rc == 0 && out->failed ? err_set(e, ERR_NOMEM, "no memory for a prompt's text") : rc;
}

int engine_prompt_ids(struct engine *g, const struct job_request *r, int32_t **ids, size_t *n,
                      struct err *e)
{
    struct ids found = { 0 };
    int rc = check_kind(g, r, e);

    if (rc == 0)
        rc = prompt_encode(&g->loaded, r, &found, e);
    if (rc) {
        ids_done(&found);
        return rc;
    }
    *ids = found.data;
    *n = found.len;
    return 0;
}

int engine_chat_ids(struct engine *g, const struct value *context, int32_t **ids, size_t *n,
                    struct err *e)
{
    const struct job_request r = { .kind = PROMPT_CHAT, .context = context };

    return engine_prompt_ids(g, &r, ids, n, e);
}

int engine_detokenize(struct engine *g, const int32_t *ids, size_t n, struct buf *out,
                      struct err *e)
{
    const struct tokenizer *t = g->loaded.tokenizer;

    for (size_t i = 0; i < n; i++) {
        struct str piece = tokenizer_piece(t, ids[i], true);

        if (ids[i] < 0 || (size_t)ids[i] >= g->loaded.n_vocab)
            return err_param(e, "tokens", ERR_INVALID,
                             "token %zu is %d, outside the vocabulary of %zu", i, (int)ids[i],
                             g->loaded.n_vocab);
        buf_put(out, piece.data, piece.len);
    }
    return out->failed ? err_set(e, ERR_NOMEM, "no memory for the text of %zu tokens", n) : 0;
}

void engine_confine(const char *why)
{
    backend_confine(why);
}
