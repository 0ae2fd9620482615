#include "fcgi/api/logprobs.h"

#include <math.h>

#include "kernels/base/json.h"

void logprobs_number(struct buf *b, float logprob)
{
    if (isfinite(logprob) && logprob > -9999)
        buf_printf(b, "%.9g", (double)logprob);
    else
        buf_puts(b, "-9999.0");
}

void logprobs_token(struct buf *b, const struct token_logprob *t)
{
    buf_puts(b, "\"token\":");
    json_write_string(b, t->bytes ? t->bytes : "", t->n_bytes);
    buf_puts(b, ",\"logprob\":");
    logprobs_number(b, t->logprob);
    buf_puts(b, ",\"bytes\":[");
    for (size_t i = 0; i < t->n_bytes; i++)
        buf_printf(b, i ? ",%u" : "%u", (unsigned char)t->bytes[i]);
    buf_putc(b, ']');
}

void logprobs_tokens(struct buf *b, const struct event *ev, int top)
{
    size_t stride = 1 + (size_t)top;

    for (size_t i = 0; i < ev->n_logprobs; i++) {
        const struct token_logprob *t = ev->logprobs + i * stride;

        if (i)
            buf_putc(b, ',');
        buf_putc(b, '{');
        logprobs_token(b, t);
        buf_puts(b, ",\"top_logprobs\":[");
        for (size_t k = 1; k < stride && t[k].id >= 0; k++) {
            buf_puts(b, k > 1 ? ",{" : "{");
            logprobs_token(b, &t[k]);
            buf_putc(b, '}');
        }
        buf_puts(b, "]}");
    }
}
