#include "fcgi/takeoff/tokens_request.h"

#include <stdio.h>

#include "fcgi/api/chat_messages.h"
#include "fcgi/api/fields.h"

int tokenize_ask_read(struct tokenize_ask *t, const struct value *body, struct err *e)
{
    int rc;

    *t = (struct tokenize_ask){ .text = field_get(body, "text"), .bare = true };
    if (!t->text || t->text->kind != VALUE_STRING)
        return field_wrong(e, "text", "a string", t->text);
    rc = field_bool(body, "use_chat_template", &t->chat, e);
    return rc ? rc : field_bool(body, "skip_special_tokens", &t->bare, e);
}

int detokenize_ask_read(struct detokenize_ask *t, const struct value *body, struct err *e)
{
    static const char expected[] = "an array of token ids, or of tokens as strings";
    const struct value *list = field_get(body, "tokens");
    int32_t id;

    *t = (struct detokenize_ask){ .bare = true };
    if (!list || list->kind != VALUE_LIST)
        return field_wrong(e, "tokens", expected, list);
    for (size_t i = 0; i < list->list.len; i++) {
        const struct value *v = list->list.items[i];

        if (v->kind != VALUE_STRING && !field_token_id(v, &id))
            return field_wrong(e, "tokens", expected, v);
    }
    t->tokens = (const struct value *const *)list->list.items;
    t->n = list->list.len;
    return field_bool(body, "skip_special_tokens", &t->bare, e);
}

/* One conversation: its messages in the shape that templates expect. */
static int read_conversation(const struct value *v, const char *where, bool add_prompt,
                             struct arena *a, struct value **out, struct err *e)
{
    struct value *context = value_map(a), *list = value_list(a), *m = NULL;

    if (v->kind != VALUE_LIST || !v->list.len)
        return field_wrong(e, where, "an array of at least one message", v);
    for (size_t i = 0; i < v->list.len; i++) {
        char at[64];
        int rc;

        snprintf(at, sizeof at, "%s[%zu]", where, i);
        rc = chat_message_read(v->list.items[i], at, a, &m, e);
        if (rc)
            return rc;
        if (!list || !value_append(a, list, m))
            return field_no_memory(e);
    }
    if (!context || !value_set(a, context, "messages", 8, list) ||
        !value_set(a, context, "add_generation_prompt", 21, value_bool(a, add_prompt)))
        return field_no_memory(e);
    *out = context;
    return 0;
}

int template_ask_read(struct template_ask *t, const struct value *body, size_t most,
                      struct arena *a, struct err *e)
{
    const struct value *v = field_get(body, "inputs");
    bool add_prompt = false;
    char expected[64];
    int rc = field_bool(body, "add_generation_prompt", &add_prompt, e);

    *t = (struct template_ask){ 0 };
    if (rc)
        return rc;
    if (!v || v->kind != VALUE_LIST || !v->list.len || v->list.len > most) {
        snprintf(expected, sizeof expected, "an array of 1 to %zu conversations", most);
        return field_wrong(e, "inputs", expected, v);
    }
    t->contexts = arena_array(a, v->list.len, sizeof *t->contexts);
    if (!t->contexts)
        return field_no_memory(e);
    for (; !rc && t->n < v->list.len; t->n++) {
        char where[32];

        snprintf(where, sizeof where, "inputs[%zu]", t->n);
        rc = read_conversation(v->list.items[t->n], where, add_prompt, a, &t->contexts[t->n], e);
    }
    return rc;
}
