#include "fcgi/api/tokens_request.h"

#include "fcgi/api/fields.h"

int tokenize_request_read(struct tokenize_request *t, const struct value *body, struct err *e)
{
    int rc;

    *t = (struct tokenize_request){ .parse_special = true, .content = field_get(body, "content") };
    rc = field_bool(body, "add_special", &t->add_special, e);
    if (!rc)
        rc = field_bool(body, "parse_special", &t->parse_special, e);
    if (!rc)
        rc = field_bool(body, "with_pieces", &t->pieces, e);
    if (!rc && (!t->content || t->content->kind != VALUE_STRING))
        rc = field_wrong(e, "content", "a string", t->content);
    return rc;
}

int detokenize_request_read(struct detokenize_request *t, const struct value *body, struct arena *a,
                            struct err *e)
{
    const struct value *list = field_get(body, "tokens");

    *t = (struct detokenize_request){ 0 };
    if (!list || list->kind != VALUE_LIST)
        return field_wrong(e, "tokens", "an array of token ids", list);
    t->ids = arena_array(a, list->list.len + 1, sizeof *t->ids);
    if (!t->ids)
        return field_no_memory(e);
    for (; t->n_ids < list->list.len; t->n_ids++) {
        const struct value *v = list->list.items[t->n_ids];

        if (!field_token_id(v, &t->ids[t->n_ids]))
            return field_wrong(e, "tokens", "an array of token ids", v);
    }
    return 0;
}
