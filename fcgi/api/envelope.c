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

void envelope_head(struct buf *b, const struct generation *g, const char *object)
{
    buf_printf(b, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%lld,\"model\":", g->id, object,
               g->created);
    json_write_string(b, g->model, strlen(g->model));
    buf_printf(b, ",\"system_fingerprint\":\"%s\",\"choices\":[", g->fingerprint);
}

void envelope_usage(struct buf *b, const struct generation *g)
{
    size_t prompt = 0, cached = 0, completion = 0, reasoning = 0, accepted = 0, rejected = 0,
           n = g->n_choices / g->n_prompts;

    for (size_t i = 0; i < g->n_choices; i++) {
        completion += g->choices[i].usage.generated_tokens;
        reasoning += g->choices[i].reasoning_tokens;
        accepted += g->choices[i].usage.predicted_tokens;
        rejected += g->choices[i].usage.mispredicted_tokens;
        if (i % n == 0) {
            prompt += g->choices[i].usage.prompt_tokens;
            cached += g->choices[i].usage.cached_tokens;
        }
    }
    buf_printf(b,
               "\"usage\":{\"prompt_tokens\":%zu,\"completion_tokens\":%zu,\"total_tokens\":%zu,"
               "\"prompt_tokens_details\":{\"cached_tokens\":%zu},"
               "\"completion_tokens_details\":{\"reasoning_tokens\":%zu,"
               "\"accepted_prediction_tokens\":%zu,\"rejected_prediction_tokens\":%zu}}",
               prompt, completion, prompt + completion, cached, reasoning, accepted, rejected);
}
