/* Sources of the names: vLLM's vllm/v1/metrics/loggers.py, llama.cpp's tools/server (GET /metrics),
 * and Prometheus' client libraries for process_*.  Every metric stands under one HELP and TYPE with
 * a sample for each model. */
#include "fcgi/api/metrics_page.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fcgi/api/handlers.h"

enum { LABEL_BYTES = 320 };

struct row {
    const char *name, *type, *help;
    double (*of)(const struct engine_status *s);
};

static double running(const struct engine_status *s)
{
    return (double)s->running;
}
static double waiting(const struct engine_status *s)
{
    return (double)s->waiting;
}
static double evaluated(const struct engine_status *s)
{
    return (double)s->prompt_tokens;
}
static double generated(const struct engine_status *s)
{
    return (double)s->generated_tokens;
}
static double cached(const struct engine_status *s)
{
    return (double)s->cached_tokens;
}
static double preempted(const struct engine_status *s)
{
    return (double)s->preempted;
}
static double drafted(const struct engine_status *s)
{
    return (double)s->drafted_tokens;
}
static double accepted(const struct engine_status *s)
{
    return (double)s->accepted_tokens;
}
static double cancelled(const struct engine_status *s)
{
    return (double)s->cancelled;
}
static double evicted(const struct engine_status *s)
{
    return (double)s->prefix_evicted;
}
static double pages(const struct engine_status *s)
{
    return (double)s->kv_pages;
}
static double pages_used(const struct engine_status *s)
{
    return (double)s->kv_pages_used;
}
static double pages_cached(const struct engine_status *s)
{
    return (double)s->kv_pages_cached;
}
static double slots(const struct engine_status *s)
{
    return (double)s->max_batch;
}
static double context(const struct engine_status *s)
{
    return (double)s->n_ctx;
}
static double ready(const struct engine_status *s)
{
    return s->state == ENGINE_READY;
}
static double load_seconds(const struct engine_status *s)
{
    return s->load_ms / 1e3;
}

/* vLLM counts what came, llama-server what had to be evaluated. */
static double given(const struct engine_status *s)
{
    return (double)(s->prompt_tokens + s->cached_tokens);
}

static double kv_share(const struct engine_status *s)
{
    return s->kv_pages ? (double)s->kv_pages_used / (double)s->kv_pages : 0;
}

static double last_step(const struct engine_status *s)
{
    return s->running || s->waiting ? s->last_step_ms_ago / 1e3 : 0;
}

/* clang-format off */
static const struct row rows[] = {
    { "vllm:num_requests_running", "gauge", "Sequences that are generated now.", running },
    { "vllm:num_requests_waiting", "gauge", "Sequences that wait for a place in the batch.", waiting },
    { "vllm:kv_cache_usage_perc", "gauge", "Share of the pages of keys and values in use; 1 is all of them.", kv_share },
    { "vllm:num_preemptions_total", "counter", "Times that a sequence gave its pages up and waited again.", preempted },
    { "vllm:prompt_tokens_total", "counter", "Tokens of prompts, those found in the cache among them.", given },
    { "vllm:generation_tokens_total", "counter", "Tokens generated.", generated },
    { "vllm:prefix_cache_queries_total", "counter", "Tokens of prompts that were looked up in the prefix cache.", given },
    { "vllm:prefix_cache_hits_total", "counter", "Tokens of prompts that were found there and not evaluated.", cached },
    { "vllm:spec_decode_num_draft_tokens_total", "counter", "Tokens guessed and verified.", drafted },
    { "vllm:spec_decode_num_accepted_tokens_total", "counter", "Guessed tokens that were right.", accepted },
    { "llamacpp:requests_processing", "gauge", "Sequences that are generated now.", running },
    { "llamacpp:requests_deferred", "gauge", "Sequences that wait for a place in the batch.", waiting },
    { "llamacpp:prompt_tokens_total", "counter", "Tokens of prompts that were evaluated.", evaluated },
    { "llamacpp:tokens_predicted_total", "counter", "Tokens generated.", generated },
    { "airstrip:model_ready", "gauge", "1 where the model can answer.", ready },
    { "airstrip:model_load_seconds", "gauge", "Time that loading took.", load_seconds },
    { "airstrip:batch_slots", "gauge", "Sequences that may be generated together.", slots },
    { "airstrip:context_tokens", "gauge", "Longest sequence.", context },
    { "airstrip:kv_pages", "gauge", "Pages of keys and values.", pages },
    { "airstrip:kv_pages_used", "gauge", "Of those, in use by running sequences.", pages_used },
    { "airstrip:kv_pages_cached", "gauge", "Free pages that hold what a later prompt may begin with.", pages_cached },
    { "airstrip:prefix_pages_evicted_total", "counter", "Pages whose prefix made room for another.", evicted },
    { "airstrip:sequences_cancelled_total", "counter", "Sequences whose client left before their end.", cancelled },
    { "airstrip:last_step_seconds", "gauge", "Time since the engine's last step while it has work; large: it hangs.", last_step },
};

static const struct { const char *name, *help; } histograms[N_METRICS] = {
    [METRIC_TTFT] = { "vllm:time_to_first_token_seconds", "From a request's arrival to its first token." },
    [METRIC_GAP] = { "vllm:inter_token_latency_seconds", "Between the tokens of an answer." },
    [METRIC_TOTAL] = { "vllm:e2e_request_latency_seconds", "From a request's arrival to the end of its answer." },
    [METRIC_QUEUE] = { "vllm:request_queue_time_seconds", "Waiting for a place in the batch." },
    [METRIC_PROMPT] = { "vllm:request_prefill_time_seconds", "From the place in the batch to the first token." },
    [METRIC_DECODE] = { "vllm:request_decode_time_seconds", "From the first token to the last." },
    [METRIC_GIVEN] = { "vllm:request_prompt_tokens", "Tokens of a request's prompt." },
    [METRIC_WRITTEN] = { "vllm:request_generation_tokens", "Tokens of a request's answer." },
};

static const struct { const char *name, *type, *help; size_t offset; } counters[] = {
    { "airstrip:connections_total", "counter", "Connections accepted.", offsetof(struct server_counters, accepted) },
    { "airstrip:connections_not_allowed_total", "counter", "Connections closed at once since no list (listen_allow, status_allow) has their address.", offsetof(struct server_counters, not_allowed) },
    { "airstrip:requests_cancelled_total", "counter", "Requests whose client left first.", offsetof(struct server_counters, cancelled) },
    { "airstrip:requests_active", "gauge", "Requests being served, whatever they ask for.", offsetof(struct server_counters, active) },
    { "airstrip:connections_waiting", "gauge", "Connections that no thread serves yet.", offsetof(struct server_counters, waiting) },
};
/* clang-format on */

static void head(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Where several models may share a name there is a second label, so that no two series are the
 * same. Names of models have letters, digits and . _ : / @ - only, so nothing has to be escaped. */
static void label(char out[LABEL_BYTES], const struct app_model *m)
{
    size_t n = (size_t)snprintf(out, LABEL_BYTES, "model_name=\"%s\"", m->name);

    if (strcmp(m->name, m->reader) != 0 && n < LABEL_BYTES)
        snprintf(out + n, LABEL_BYTES - n, ",reader=\"%s\"", m->reader);
}

static void put_models(struct buf *b, const struct app *app)
{
    struct engine_status *s = calloc(app->n_models + 1, sizeof *s);
    char labels[LABEL_BYTES];

    if (!s) {
        b->failed = true;
        return;
    }
    for (size_t i = 0; i < app->n_models; i++) {
        s[i].state = ENGINE_FAILED;
        if (app->models[i].engine)
            engine_status(app->models[i].engine, &s[i]);
    }
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        head(b, rows[k].name, rows[k].type, rows[k].help);
        for (size_t i = 0; i < app->n_models; i++) {
            label(labels, &app->models[i]);
            buf_printf(b, "%s{%s} %.17g\n", rows[k].name, labels, rows[k].of(&s[i]));
        }
    }
    free(s);
}

static void put_histograms(struct buf *b, const struct app *app)
{
    char labels[LABEL_BYTES];

    for (size_t k = 0; k < N_METRICS; k++) {
        head(b, histograms[k].name, "histogram", histograms[k].help);
        for (size_t i = 0; i < app->n_models; i++) {
            label(labels, &app->models[i]);
            metrics_write_histogram(b, &app->models[i].metrics->histograms[k], histograms[k].name,
                                    labels);
        }
    }
}

static void put_ends(struct buf *b, const struct app *app)
{
    static const char *const reasons[N_ENDS] = { "stop", "length", "abort", "error" };
    char labels[LABEL_BYTES];

    head(b, "vllm:request_success_total", "counter", "Answers that ended, by how.");
    for (size_t i = 0; i < app->n_models; i++)
        for (size_t k = 0; k < N_ENDS; k++) {
            label(labels, &app->models[i]);
            buf_printf(b, "vllm:request_success_total{%s,finished_reason=\"%s\"} %llu\n", labels,
                       reasons[k],
                       (unsigned long long)atomic_load(&app->models[i].metrics->ends[k]));
        }
}

static void put_rejected(struct buf *b, const struct server_counters *c)
{
    static const char name[] = "airstrip:requests_rejected_total";

    head(b, name, "counter", "Requests told to come again later, by why.");
    buf_printf(b, "%s{reason=\"overloaded\"} %llu\n", name, (unsigned long long)c->overloaded);
    buf_printf(b, "%s{reason=\"rate_limit\"} %llu\n", name, (unsigned long long)c->rate_limited);
    buf_printf(b, "%s{reason=\"unavailable\"} %llu\n", name, (unsigned long long)c->unavailable);
}

static void put_server(struct buf *b, const struct server_counters *c)
{
    for (size_t k = 0; k < sizeof counters / sizeof *counters; k++) {
        const atomic_ullong *n = (const void *)((const char *)c + counters[k].offset);

        head(b, counters[k].name, counters[k].type, counters[k].help);
        buf_printf(b, "%s %llu\n", counters[k].name, (unsigned long long)*n);
    }
    put_rejected(b, c);
    head(b, "airstrip:responses_total", "counter",
         "Answers by status; 499: the client left first.");
    for (int i = 0; i < SERVER_MAX_STATUS; i++)
        if (c->statuses[i])
            buf_printf(b, "airstrip:responses_total{code=\"%d\"} %llu\n", i,
                       (unsigned long long)c->statuses[i]);
}

/* Resident pages are the second number of /proc/self/statm (proc(5)). */
static unsigned long long resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long long size, resident = 0;

    if (f && fscanf(f, "%llu %llu", &size, &resident) != 2)
        resident = 0;
    if (f)
        fclose(f);
    return resident * (unsigned long long)sysconf(_SC_PAGESIZE);
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void put_process(struct buf *b, const struct server *s)
{
    struct rusage use;

    head(b, "process_start_time_seconds", "gauge", "When the process started, since 1970.");
    buf_printf(b, "process_start_time_seconds %lld\n", (long long)s->started);
    head(b, "process_resident_memory_bytes", "gauge", "Memory that is resident.");
    buf_printf(b, "process_resident_memory_bytes %llu\n", resident_bytes());
    if (!getrusage(RUSAGE_SELF, &use)) {
        head(b, "process_cpu_seconds_total", "counter", "Processor time, user and system.");
        buf_printf(b, "process_cpu_seconds_total %.6f\n",
                   seconds(use.ru_utime) + seconds(use.ru_stime));
    }
}

void metrics_page(struct buf *b, struct app *app)
{
    put_models(b, app);
    put_histograms(b, app);
    put_ends(b, app);
    put_server(b, &app->server->counters);
    put_process(b, app->server);
}

void metrics_get(struct app *app, struct request *r, struct reply *p)
{
    (void)r;
    p->content_type = METRICS_CONTENT_TYPE;
    metrics_page(&p->body, app);
}
