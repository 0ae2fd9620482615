/* props.c - GET /props and /slots: what a model was set up for, and what runs in its places, in
 * llama-server's shape, for the tools that read it there.
 *
 * ?model=ID for another model than the first.  What requests are made of (prompts, stop strings,
 * grammars, biases) is nobody else's business and not told; nor where on the machine a file lies.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/api/chat_adapt.h"
#include "fcgi/api/generation.h"
#include "fcgi/api/handlers.h"
#include "kernels/base/json.h"

static void put_text(struct buf *b, const char *key, const char *text)
{
    buf_printf(b, ",\"%s\":", key);
    json_write_string(b, text, strlen(text));
}

static void put_bool(struct buf *b, const char *key, bool yes)
{
    buf_printf(b, ",\"%s\":%s", key, yes ? "true" : "false");
}

/* As few digits as bring it back. */
static void put_real(struct buf *b, const char *key, float x)
{
    for (int digits = 6; digits <= 9; digits++) {
        char text[32];

        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if (digits == 9 || strtof(text, NULL) == x) {
            buf_printf(b, ",\"%s\":%s", key, text);
            return;
        }
    }
}

/* A number of tokens; SIZE_MAX, which is as many as there are, is -1. */
static void put_count(struct buf *b, const char *key, size_t n)
{
    if (n == SIZE_MAX)
        buf_printf(b, ",\"%s\":-1", key);
    else
        buf_printf(b, ",\"%s\":%zu", key, n);
}

/* How tokens are chosen, as members behind others; dynatemp: there is no such thing here. */
static void put_sampling(struct buf *b, const struct sampling *s)
{
    /* UINT32_MAX is what llama-server calls a random one. */
    buf_printf(b, ",\"seed\":%llu", s->has_seed ? (unsigned long long)s->seed : UINT32_MAX);
    put_real(b, "temperature", s->temperature);
    put_real(b, "dynatemp_range", 0);
    put_real(b, "dynatemp_exponent", 1);
    put_count(b, "top_k", s->top_k);
    put_real(b, "top_p", s->top_p);
    put_real(b, "min_p", s->min_p);
    put_real(b, "top_n_sigma", s->top_n_sigma > 0 ? s->top_n_sigma : -1);
    put_real(b, "xtc_probability", s->xtc_probability);
    put_real(b, "xtc_threshold", s->xtc_threshold);
    put_real(b, "typical_p", s->typical_p);
    put_count(b, "repeat_last_n", s->repetition_last_n);
    put_real(b, "repeat_penalty", s->repetition_penalty);
    put_real(b, "presence_penalty", s->presence_penalty);
    put_real(b, "frequency_penalty", s->frequency_penalty);
    put_real(b, "dry_multiplier", s->dry_multiplier);
    put_real(b, "dry_base", s->dry_base);
    put_count(b, "dry_allowed_length", s->dry_allowed_length);
    put_count(b, "dry_penalty_last_n", s->dry_last_n);
    put_count(b, "mirostat", s->mirostat);
    put_real(b, "mirostat_tau", s->mirostat_tau);
    put_real(b, "mirostat_eta", s->mirostat_eta);
    /* inference/sampler.h and narrow.h have this order. */
    buf_puts(b,
             ",\"samplers\":[\"penalties\",\"dry\",\"top_n_sigma\",\"top_k\",\"typ_p\",\"min_p\","
             "\"top_p\",\"xtc\",\"temperature\"]");
}

/* Under both the names that llama-server has for it. */
static void put_params(struct buf *b, const struct engine_slot *s)
{
    buf_puts(b, ",\"params\":{\"n_keep\":0,\"n_discard\":0,\"min_keep\":0,\"lora\":[]");
    put_count(b, "n_predict", s->max_tokens);
    put_count(b, "max_tokens", s->max_tokens);
    put_count(b, "min_tokens", s->min_tokens);
    put_sampling(b, &s->sampling);
    put_bool(b, "ignore_eos", s->ignore_end);
    buf_printf(b, ",\"n_probs\":%d}", s->top_logprobs > 0 ? s->top_logprobs : 0);
}

/* The model that the query names, once it is there; NULL with *e set. */
static const struct app_model *target(struct app *app, struct request *r, struct engine_status *s,
                                      struct err *e)
{
    const struct app_model *m;
    const char *name;

    if (request_query(r, "model", &name, e) || !(m = app_find_model(app, r, name, e)))
        return NULL;
    engine_status(m->engine, s);
    if (s->state == ENGINE_LOADING) {
        err_set(e, ERR_LOADING, "model \"%s\" is loading: %d %%", m->name, s->load_percent);
        return NULL;
    }
    if (s->state == ENGINE_FAILED) {
        err_set(e, ERR_LOADING, "model \"%s\" cannot be used: %s", m->name, s->failure.text);
        return NULL;
    }
    return m;
}

static void put_token(struct buf *b, const char *key, struct engine *g, int32_t id)
{
    struct buf text = { 0 };
    struct err e;

    if (id >= 0 && engine_detokenize(g, &id, 1, &text, &e))
        buf_reset(&text);
    put_text(b, key, buf_str(&text));
    buf_done(&text);
}

static void put_template(struct buf *b, struct engine *g)
{
    const char *text = engine_chat_template(g);
    struct chat_caps caps = chat_caps(g);

    put_text(b, "chat_template", text ? text : "");
    buf_printf(b, ",\"chat_template_caps\":{\"supports_string_content\":%s",
               text ? "true" : "false");
    put_bool(b, "supports_system_role", caps.system);
    put_bool(b, "supports_tools", caps.tools);
    put_bool(b, "supports_tool_calls", caps.calls);
    put_bool(b, "supports_object_arguments", caps.object_arguments);
    buf_putc(b, '}');
}

void props_get(struct app *app, struct request *r, struct reply *p)
{
    struct engine_status s;
    struct params_rules rules;
    struct engine_slot defaults = { .top_logprobs = -1 };
    struct err e = { 0 };
    struct buf *b = &p->body;
    const struct app_model *m = target(app, r, &s, &e);
    const char *file;

    if (!m || generation_rules(app, m, &r->arena, &rules, &e)) {
        reply_err(p, &e);
        return;
    }
    defaults.sampling = rules.sampling;
    defaults.max_tokens = rules.max_tokens ? rules.max_tokens : SIZE_MAX;
    file = strrchr(m->config->path, '/');
    buf_printf(b, "{\"default_generation_settings\":{\"n_ctx\":%zu", s.n_ctx);
    put_bool(b, "speculative", s.speculates);
    put_params(b, &defaults);
    buf_printf(b, "},\"total_slots\":%zu", s.max_batch);
    put_text(b, "model_alias", m->name);
    put_text(b, "model_path", file && file[1] ? file + 1 : m->config->path);
    put_text(b, "model_ftype", s.quantisation);
    buf_puts(b, ",\"modalities\":{\"vision\":false,\"video\":false,\"audio\":false}"
                ",\"endpoint_slots\":true,\"endpoint_props\":false,\"endpoint_metrics\":true");
    put_template(b, m->engine);
    put_token(b, "bos_token", m->engine, s.bos);
    put_token(b, "eos_token", m->engine, s.eos);
    put_text(b, "build_info", PACKAGE_STRING);
    put_bool(b, "is_sleeping", false);
    buf_putc(b, '}');
}

static void put_slot(struct buf *b, size_t i, const struct engine_slot *s, size_t n_ctx,
                     bool speculates)
{
    buf_printf(b, "{\"id\":%zu,\"n_ctx\":%zu", i, n_ctx);
    put_bool(b, "speculative", s->running ? s->speculates : speculates);
    put_bool(b, "is_processing", s->running);
    if (s->running) {
        buf_printf(b, ",\"id_task\":%llu", (unsigned long long)s->number);
        put_count(b, "n_prompt_tokens", s->prompt_tokens);
        put_count(b, "n_prompt_tokens_processed", s->evaluated_tokens);
        put_count(b, "n_prompt_tokens_cache", s->cached_tokens);
        put_params(b, s);
        buf_printf(b,
                   ",\"next_token\":[{\"has_next_token\":%s,\"n_remain\":%zu,\"n_decoded\":%zu}]",
                   s->generated_tokens < s->max_tokens ? "true" : "false",
                   s->max_tokens - s->generated_tokens, s->generated_tokens);
    }
    buf_putc(b, '}');
}

void props_slots(struct app *app, struct request *r, struct reply *p)
{
    struct engine_status s;
    struct engine_slot *slots = NULL;
    struct err e = { 0 };
    const struct app_model *m = target(app, r, &s, &e);
    const char *fail = NULL;
    size_t idle = 0;

    if (m && !request_query(r, "fail_on_no_slot", &fail, &e)) {
        slots = arena_array(&r->arena, s.max_batch, sizeof *slots);
        if (!slots)
            err_set(&e, ERR_NOMEM, "no memory for %zu slots", s.max_batch);
    }
    if (!slots) {
        reply_err(p, &e);
        return;
    }
    engine_slots(m->engine, slots, s.max_batch);
    for (size_t i = 0; i < s.max_batch; i++) {
        buf_putc(&p->body, i ? ',' : '[');
        put_slot(&p->body, i, &slots[i], s.n_ctx, s.speculates);
        idle += !slots[i].running;
    }
    buf_putc(&p->body, ']');
    if (fail && *fail && !idle) {
        buf_reset(&p->body);
        err_set(&e, ERR_BUSY, "all %zu slots are taken", s.max_batch);
        reply_err(p, &e);
    }
}
