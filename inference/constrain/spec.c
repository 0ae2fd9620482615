#include "inference/constrain/spec.h"

#include "inference/constrain/chars.h"
#include "inference/constrain/gbnf.h"
#include "inference/constrain/grammar.h"
#include "inference/constrain/regex.h"
#include "inference/constrain/schema.h"
#include "kernels/base/json.h"

static int choice_node(struct grammar *g, const struct value *list, int32_t *out, struct err *e)
{
    *out = grammar_never(g);
    for (size_t i = list->list.len; i-- > 0;) {
        const struct value *v = list->list.items[i];

        if (v->kind != VALUE_STRING)
            return err_set(e, ERR_INVALID, "choice %zu is not a string", i);
        *out = grammar_alt(g, chars_text(g, v->string.data, v->string.len, CHARS_PLAIN), *out);
    }
    return 0;
}

int spec_grammar(struct grammar *g, const struct spec *s, int32_t *root, struct err *e)
{
    int32_t node = GRAMMAR_NONE;
    int rc = 0;

    *root = grammar_rule(g);
    switch (s->kind) {
    case SPEC_NONE:
        return err_set(e, ERR_INTERNAL, "no grammar was asked for");
    case SPEC_OBJECT:
        node = schema_any_object(g);
        break;
    case SPEC_SCHEMA:
        rc = schema_node(g, s->value, &node, e);
        break;
    case SPEC_REGEX:
        rc = regex_node(g, s->text, s->len, REGEX_WHOLE, CHARS_PLAIN, &node, e);
        break;
    case SPEC_CHOICE:
        rc = choice_node(g, s->value, &node, e);
        break;
    case SPEC_GBNF:
        rc = gbnf_node(g, s->text, s->len, &node, e);
        break;
    }
    if (rc == 0)
        grammar_define(g, *root, node);
    /* Who reads the text goes on without what is missing, and may complain of that. */
    return g->no_memory ? grammar_check(g, e) : rc;
}

void spec_key(struct buf *b, const struct spec *s)
{
    buf_putc(b, (char)('0' + s->kind));
    if (s->value)
        json_write(b, s->value);
    else if (s->text)
        buf_put(b, s->text, s->len);
}
