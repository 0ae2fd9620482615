/* template.h - a model's own chat template (Jinja), from messages to prompt text.
 *
 * Parsed once when a model loads, rendered per request.  The environment is that of Hugging Face's
 * chat templates (trim_blocks, lstrip_blocks, loop controls, raise_exception, strftime_now, tojson
 * as Python prints it). The renderer remembers which bytes came from untrusted strings of the
 * context, so that a client's
 * "<|im_end|>" can be kept from becoming a control token.
 * Trusted are the template's own literals and strings of the context marked so; keys of its maps
 * are not. Rendering is bounded in steps, depth and size.  A parsed template is read-only: any
 * thread. */
#ifndef AIRSTRIP_TEMPLATE_H
#define AIRSTRIP_TEMPLATE_H

#include <time.h>

#include "inference/text/tokenizer.h"
#include "kernels/base/buf.h"
#include "kernels/base/err.h"
#include "kernels/base/value.h"

struct template;

/* Copies src.  ERR_FORMAT names line and column.  Free with template_free(). */
int template_parse(struct template **out, const char *src, size_t len, struct err *e) MUST_CHECK;
void template_free(struct template *t); /* NULL is fine */

/* What it was parsed from, newlines normalised; NUL-terminated, as long as t. */
const char *template_source(const struct template *t);

struct rendering {
    struct buf text;
    struct text_span *plain; /* ranges of text that came from untrusted strings: sorted, disjoint */
    size_t n_plain;
};

struct template_limits {
    size_t max_steps; /* 0: 10 million nodes evaluated */
    size_t max_bytes; /* 0: 64 MiB of memory for values and output together */
};

/* context: a map, the template's variables.  now: what strftime_now tells (local time).
 * Errors: ERR_INVALID with the template's own sentence for raise_exception(); ERR_FORMAT for others
 * (undefined, wrong type) with line and column; ERR_LIMIT.  Free with rendering_done(), also on
 * error. */
int template_render(const struct template *t, const struct value *context, time_t now,
                    const struct template_limits *limits, struct rendering *out,
                    struct err *e) MUST_CHECK;
void rendering_done(struct rendering *r);

#endif
