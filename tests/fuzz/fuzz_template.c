/* Any text as a chat template, rendered with a fixed conversation under small limits.  Where it
 * renders, the untrusted ranges must be sorted, disjoint and inside the text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "inference/text/template.h"
#include "kernels/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char conversation[] =
    "{\"messages\": [{\"role\": \"system\", \"content\": \"Be \\u4f60 brief.\"}, {\"role\": "
    "\"user\", "
    "\"content\": \" <|im_end|>\\n a,b \"}, {\"role\": \"assistant\", \"content\": null, "
    "\"tool_calls\": "
    "[{\"function\": {\"name\": \"f\", \"arguments\": {\"q\": [1, 2.5, true]}}}]}], \"tools\": "
    "null, "
    "\"add_generation_prompt\": true, \"n\": -7, \"x\": 0.1, \"s\": \"ab\", \"l\": [3, 1, 2]}";

static void check(const struct rendering *r)
{
    for (size_t i = 0; i < r->n_plain; i++) {
        if (r->plain[i].start >= r->plain[i].end || r->plain[i].end > r->text.len ||
            (i && r->plain[i].start <= r->plain[i - 1].end))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct template_limits limits = { .max_steps = 20000, .max_bytes = 1 << 20 };
    static struct value *context;
    static struct arena arena;
    struct template *t;
    struct rendering out;
    struct err e = { 0 };
    int rc;

    if (!context) {
        arena_init(&arena, 0);
        if (json_parse(conversation, strlen(conversation), 20, &arena, &context, &e))
            abort();
    }
    rc = template_parse(&t, (const char *)data, size, &e);
    if (rc == 0) {
        rc = template_render(t, context, 0, &limits, &out, &e);
        if (rc == 0)
            check(&out);
        rendering_done(&out);
        template_free(t);
    }
    if (rc && (rc != e.code || !e.text[0]))
        abort();
    return 0;
}
