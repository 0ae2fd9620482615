/* prompt.c - render, encode, see to BOS, compare with the context.
 *
 * What is trusted: the template's own text, and bos_token and eos_token as set here.  Every other
 * string of the context is a client's, and rendering.plain carries that knowledge through to the
 * tokenizer. */
#include "inference/prompt.h"

#include <string.h>
#include <time.h>

/* A longer prompt is refused anyway: no need to know by how much to the token. */
static size_t max_ids(const struct loaded *l)
{
    return l->n_ctx > SIZE_MAX / 8 ? SIZE_MAX : 4 * l->n_ctx + 4096;
}

/* Both numbers, so that a client knows by how much to shorten. */
static int too_long(const struct loaded *l, size_t n, const char *more, struct err *e)
{
    return err_set(e, ERR_CONTEXT,
                   "this model's maximum context length is %zu tokens, the prompt has %s%zu tokens",
                   l->n_ctx, more, n);
}

static int encode(const struct loaded *l, const char *text, size_t len,
                  const struct encode_options *o, struct ids *out, struct err *e)
{
    int rc = tokenizer_encode(l->tokenizer, text, len, o, out, e);

    return rc == ERR_LIMIT ? too_long(l, o->max_ids, "more than ", e) : rc;
}

static bool set(struct arena *a, struct value *map, const char *key, struct value *v)
{
    return value_set(a, map, key, strlen(key), v);
}

static bool set_token(struct arena *a, struct value *map, const char *key,
                      const struct tokenizer *t, int32_t id)
{
    struct str s = tokenizer_piece(t, id, true);
    struct value *v;

    if (id < 0)
        return true; /* stays undefined, as in Hugging Face's renderer */
    v = value_string(a, s.data, s.len);
    if (v)
        v->trusted = true;
    return set(a, map, key, v);
}

/* The caller's variables, and those that Hugging Face's apply_chat_template() always passes.  A
 * client's bos_token must not pass for ours, so these come last. */
static struct value *template_context(const struct loaded *l, const struct value *given,
                                      struct arena *a)
{
    static const char *const NULLS[] = { "tools", "documents" };
    struct value *c = value_map(a);
    bool ok = c != NULL;

    for (size_t i = 0; ok && given && given->kind == VALUE_MAP && i < given->map.len; i++) {
        const struct value_pair *p = &given->map.pairs[i];

        ok = value_set(a, c, p->key, p->key_len, p->value);
    }
    for (size_t i = 0; ok && i < sizeof NULLS / sizeof *NULLS; i++)
        if (!value_get(c, NULLS[i]))
            ok = set(a, c, NULLS[i], value_null(a));
    if (ok && !value_get(c, "add_generation_prompt"))
        ok = set(a, c, "add_generation_prompt", value_bool(a, true));
    ok = ok && set_token(a, c, "bos_token", l->tokenizer, tokenizer_bos(l->tokenizer)) &&
         set_token(a, c, "eos_token", l->tokenizer, tokenizer_eos(l->tokenizer));
    return ok ? c : NULL;
}

/* BOS once, where the model wants it and the template did not write it. */
static int add_bos(const struct loaded *l, struct ids *ids, struct err *e)
{
    int32_t bos = tokenizer_bos(l->tokenizer);
    int rc;

    if (bos < 0 || !tokenizer_adds_bos(l->tokenizer) || (ids->len && ids->data[0] == bos))
        return 0;
    rc = ids_push(ids, bos, e);
    if (rc)
        return rc;
    memmove(ids->data + 1, ids->data, (ids->len - 1) * sizeof *ids->data);
    ids->data[0] = bos;
    return 0;
}

/* What a template cannot do with these messages is the request's fault as much as what it raises
 * itself. */
static int render(const struct loaded *l, const struct value *context, struct rendering *r,
                  struct err *e)
{
    int rc = template_render(l->template, context, time(NULL), NULL, r, e);

    if (rc != ERR_FORMAT)
        return rc;
    err_prefix(e, "chat template: ");
    e->code = ERR_INVALID;
    return ERR_INVALID;
}

/* Where the last message's text ends in the rendering; 0: it is not there.  As Hugging Face's
 * continue_final_message: blanks at its end do not count, templates strip them. */
static size_t final_text_end(const struct value *context, const struct buf *text)
{
    const struct value *list = value_get(context, "messages");
    const struct value *last = list && list->kind == VALUE_LIST && list->list.len
                                   ? list->list.items[list->list.len - 1]
                                   : NULL;
    const struct value *content = value_get(last, "content");
    const char *s;
    size_t n;

    if (!content || content->kind != VALUE_STRING)
        return 0;
    s = content->string.data;
    n = content->string.len;
    for (; n && strchr(" \n\r\t", *s); n--)
        s++;
    while (n && strchr(" \n\r\t", s[n - 1]))
        n--;
    for (size_t i = n ? text->len + 1 : 0; i-- > n;)
        if (!memcmp(text->data + i - n, s, n))
            return i;
    return 0;
}

static int cut_after_final_text(const struct value *context, struct rendering *r, struct err *e)
{
    const struct value *wanted = value_get(context, "continue_final_message");
    size_t end;

    if (!wanted || wanted->kind != VALUE_BOOL || !wanted->boolean)
        return 0;
    end = final_text_end(context, &r->text);
    if (!end)
        return err_param(e, "continue_final_message", ERR_INVALID,
                         "continue_final_message: the prompt does not have the last message's text "
                         "as it stands, so it cannot be continued");
    r->text.len = end;
    r->text.data[end] = '\0';
    while (r->n_plain && r->plain[r->n_plain - 1].start >= end)
        r->n_plain--;
    if (r->n_plain && r->plain[r->n_plain - 1].end > end)
        r->plain[r->n_plain - 1].end = end;
    return 0;
}

int prompt_render(const struct loaded *l, const struct value *given, struct rendering *out,
                  struct err *e)
{
    struct arena a;
    struct value *context;
    int rc;

    if (!l->template)
        return err_param(
            e, "messages", ERR_UNSUPPORTED,
            "the model file has no chat template: give one with the option chat_template");
    arena_init(&a, 0);
    context = template_context(l, given, &a);
    if (context)
        rc = render(l, context, out, e);
    else
        rc = err_set(e, ERR_NOMEM, "no memory to render the chat template");
    if (rc == 0)
        rc = cut_after_final_text(context, out, e);
    arena_done(&a);
    return rc;
}

/* most: how many ids there may be; 0: any number. */
static int encode_chat(const struct loaded *l, const struct value *given, size_t most,
                       struct ids *out, struct err *e)
{
    struct rendering r = { 0 };
    struct encode_options o = { .parse_special = true, .max_ids = most };
    int rc = prompt_render(l, given, &r, e);

    if (rc == 0) {
        o.plain = r.plain;
        o.n_plain = r.n_plain;
        rc = encode(l, buf_str(&r.text), r.text.len, &o, out, e);
    }
    if (rc == 0)
        rc = add_bos(l, out, e);
    rendering_done(&r);
    return rc;
}

static int copy_ids(const struct loaded *l, const struct job_request *r, struct ids *out,
                    struct err *e)
{
    size_t n = r->prompt_most && r->prompt_most < r->n_ids ? r->prompt_most : r->n_ids;

    if (n > max_ids(l))
        return too_long(l, n, "", e);
    for (size_t i = 0; i < n; i++) {
        int rc;

        if (r->ids[i] < 0 || (size_t)r->ids[i] >= l->n_vocab)
            return err_param(e, "prompt", ERR_INVALID,
                             "token %zu of the prompt is %d, outside the vocabulary of %zu", i,
                             (int)r->ids[i], l->n_vocab);
        rc = ids_push(out, r->ids[i], e);
        if (rc)
            return rc;
    }
    return 0;
}

int prompt_encode(const struct loaded *l, const struct job_request *r, struct ids *out,
                  struct err *e)
{
    size_t most = r->prompt_most ? 0 : max_ids(l); /* what is cut may be of any length before */
    struct encode_options o = { .add_special = true, .max_ids = most };
    int rc = 0;

    switch (r->kind) {
    case PROMPT_CHAT:
        rc = encode_chat(l, r->context, most, out, e);
        break;
    case PROMPT_TEXT:
        rc = encode(l, r->text, r->text_len, &o, out, e);
        break;
    case PROMPT_IDS:
        rc = copy_ids(l, r, out, e);
        break;
    }
    if (rc)
        return rc;
    if (r->prompt_most && out->len > r->prompt_most)
        out->len = r->prompt_most;
    if (!out->len)
        return err_param(e, "prompt", ERR_INVALID, "the prompt is empty");
    if (r->embed ? out->len > l->n_ctx : out->len >= l->n_ctx)
        return too_long(l, out->len, "", e);
    return 0;
}

/* Where the tokenizer begins a text with a blank of its own, the first id is not what an answer
 * begins with: one guess of many that fails. */
int prompt_encode_prediction(const struct loaded *l, const struct job_request *r, struct ids *out,
                             struct err *e)
{
    struct encode_options o = { .max_ids = l->n_ctx };
    int rc;

    if (!r->prediction || !l->max_drafted_rows || r->no_speculation)
        return 0;
    rc = tokenizer_encode(l->tokenizer, r->prediction, r->prediction_len, &o, out, e);
    if (rc == ERR_LIMIT)
        rc = err_param(e, "prediction", ERR_CONTEXT,
                       "prediction: this model's maximum context length is %zu tokens, the "
                       "prediction has more",
                       l->n_ctx);
    return rc;
}
