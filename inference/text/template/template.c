#include "inference/text/template.h"

#include <stdlib.h>
#include <string.h>

#include "inference/text/template/parse.h"
#include "inference/text/template/run.h"
#include "inference/text/template/scopes.h"

enum { PARSE_MAX_BYTES = 256 << 20 };
enum { DEFAULT_MAX_STEPS = 10 * 1000 * 1000, DEFAULT_MAX_BYTES = 64 << 20 };

int template_parse(struct template **out, const char *src, size_t len, struct err *e)
{
    struct template *t = calloc(1, sizeof *t);
    struct parser p = { .t = t, .e = e };
    struct arena scratch;
    struct token *tokens;
    int rc;

    *out = NULL;
    if (!t)
        return err_set(e, ERR_NOMEM, "no memory for a template");
    arena_init(&t->arena, PARSE_MAX_BYTES);
    arena_init(&scratch, PARSE_MAX_BYTES);
    rc = template_lex(t, src, len, &scratch, &tokens, e);
    if (rc == 0) {
        p.tok = tokens;
        rc = template_parse_body(&p, &t->body);
        if (rc == 0)
            rc = template_find_late(&p, t->body, &t->late);
    }
    arena_done(&scratch);
    if (rc)
        template_free(t);
    else
        *out = t;
    return rc;
}

const char *template_source(const struct template *t)
{
    return t->source;
}

void template_free(struct template *t)
{
    if (!t)
        return;
    arena_done(&t->arena);
    free(t);
}

/* The printed text and its untrusted ranges, out of the arena. */
static int take_output(struct render *r, const struct tbuf *text, struct rendering *out)
{
    if (text->failed)
        return run_full(r);
    buf_put(&out->text, text->data, text->len);
    if (text->n_spans)
        out->plain = malloc(text->n_spans * sizeof *out->plain);
    if (out->text.failed || (text->n_spans && !out->plain))
        return err_set(r->err, ERR_NOMEM, "no memory for a prompt of %zu bytes", text->len);
    if (text->n_spans)
        memcpy(out->plain, text->spans, text->n_spans * sizeof *out->plain);
    out->n_plain = text->n_spans;
    return 0;
}

int template_render(const struct template *t, const struct value *context, time_t now,
                    const struct template_limits *limits, struct rendering *out, struct err *e)
{
    struct tbuf text = { 0 };
    struct scope root = { 0 };
    struct render r = { .tpl = t, .err = e, .now = now, .scope = &root, .root = &root };
    struct tval variables;
    enum flow flow;
    int rc;

    *out = (struct rendering){ 0 };
    r.max_steps = limits && limits->max_steps ? limits->max_steps : DEFAULT_MAX_STEPS;
    arena_init(&r.arena, limits && limits->max_bytes ? limits->max_bytes : DEFAULT_MAX_BYTES);
    rc = tval_import(&r, context, &variables);
    if (rc == 0 && variables.kind != T_DICT)
        rc = err_set(e, ERR_INVALID, "a template's variables must be a map");
    if (rc)
        goto out;
    r.context = variables.dict;
    r.out = &text;
    rc = scope_hide(&r, &t->late);
    if (rc == 0)
        rc = exec(&r, t->body, &flow);
    if (rc == 0)
        rc = take_output(&r, &text, out);
out:
    arena_done(&r.arena);
    return rc;
}

void rendering_done(struct rendering *r)
{
    buf_done(&r->text);
    free(r->plain);
    *r = (struct rendering){ 0 };
}
