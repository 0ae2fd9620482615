#include "config.h"
#include "fcgi/api/envelope.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "kernels/base/clock.h"
#include "kernels/base/json.h"

void envelope_id(char *out, size_t size, const char *prefix)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    unsigned char random[24];
    size_t at = (size_t)snprintf(out, size, "%s", prefix);

    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        double now = clock_ms();

        memset(random, 0, sizeof random);
        memcpy(random, &now, sizeof now);
        memcpy(random + sizeof now, &out, sizeof out);
    }
    for (size_t i = 0; i < sizeof random && at + 1 < size; i++)
        out[at++] = digits[random[i] % 62];
    out[at] = '\0';
}

void envelope_fingerprint(char *out, size_t size, struct engine *engine)
{
    struct engine_status s;
    const char *parts[5];
    uint64_t h = 0xcbf29ce484222325u;

    engine_status(engine, &s);
    parts[0] = VERSION;
    parts[1] = s.architecture;
    parts[2] = s.model_name;
    parts[3] = s.quantisation;
    parts[4] = s.isa ? s.isa : "";
    for (size_t i = 0; i < 5; i++)
        for (const char *c = parts[i]; *c; c++)
            h = (h ^ (unsigned char)*c) * 0x100000001b3u;
    snprintf(out, size, "fp_%010llx", (unsigned long long)(h & 0xffffffffffu));
}

/* {"id":..,"object":..,"created":..,"model":..,"system_fingerprint":..,"choices":[ */
static void put_head(struct buf *b, const struct generation *g, const char *object)
{
    buf_printf(b, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%lld,\"model\":", g->id, object,
               g->created);
    json_write_string(b, g->model, strlen(g->model));
    buf_printf(b, ",\"system_fingerprint\":\"%s\",\"choices\":[", g->fingerprint);
}

struct envelope_usage envelope_usage(const struct generation *g)
{
    struct envelope_usage u = { .completion = g->spare_tokens };
    size_t n = g->n_choices / g->n_prompts;

    for (size_t i = 0; i < g->n_choices; i++) {
        const struct choice *c = &g->choices[i];

        u.completion += c->usage.generated_tokens;
        u.reasoning += c->reasoning_tokens;
        u.accepted += c->usage.predicted_tokens;
        u.rejected += c->usage.mispredicted_tokens;
        if (i % n == 0) {
            u.prompt += c->usage.prompt_tokens;
            u.cached += c->usage.cached_tokens;
        }
    }
    return u;
}

static void put_usage(struct buf *b, const struct generation *g)
{
    struct envelope_usage u = envelope_usage(g);

    buf_printf(b,
               "\"usage\":{\"prompt_tokens\":%zu,\"completion_tokens\":%zu,\"total_tokens\":%zu,"
               "\"prompt_tokens_details\":{\"cached_tokens\":%zu},"
               "\"completion_tokens_details\":{\"reasoning_tokens\":%zu,"
               "\"accepted_prediction_tokens\":%zu,\"rejected_prediction_tokens\":%zu}}",
               u.prompt, u.completion, u.prompt + u.completion, u.cached, u.reasoning, u.accepted,
               u.rejected);
}

void envelope_chunk(struct buf *b, const struct generation *g, const char *object)
{
    buf_puts(b, "data: ");
    put_head(b, g, object);
}

void envelope_chunk_end(struct buf *b, const struct generation *g)
{
    buf_puts(b, g->params->include_usage ? "],\"usage\":null}\n\n" : "]}\n\n");
}

void envelope_end(struct buf *b, const struct generation *g, const char *object)
{
    if (g->params->include_usage) {
        envelope_chunk(b, g, object);
        buf_puts(b, "],");
        put_usage(b, g);
        buf_puts(b, "}\n\n");
    }
    buf_puts(b, "data: [DONE]\n\n");
}

void envelope_whole(struct buf *b, const struct generation *g, const char *object,
                    void (*put)(struct buf *b, const struct generation *g, size_t index))
{
    put_head(b, g, object);
    for (size_t i = 0; i < g->n_choices; i++) {
        if (i)
            buf_putc(b, ',');
        put(b, g, i);
    }
    buf_puts(b, "],");
    put_usage(b, g);
    buf_putc(b, '}');
}
