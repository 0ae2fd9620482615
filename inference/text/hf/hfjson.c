/* hfjson - members of tokenizer.json's components. */
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "inference/text/hf/hftok.h"

/* White_Space of Unicode, to stand in a class: PCRE2's \s has U+180E too. */
#define WHITE                                                                                   \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}" \
    "\\x{205f}\\x{3000}"

enum { MAX_NESTING = 8 };

const char *hf_string(const struct value *v, const char *key, size_t *len)
{
    const struct value *s = value_get(v, key);

    *len = s && s->kind == VALUE_STRING ? s->string.len : 0;
    return s && s->kind == VALUE_STRING ? s->string.data : NULL;
}

bool hf_flag(const struct value *v, const char *key, bool otherwise)
{
    const struct value *b = value_get(v, key);

    return b && b->kind == VALUE_BOOL ? b->boolean : otherwise;
}

const char *hf_type(const struct value *v)
{
    size_t len;
    const char *type = hf_string(v, "type", &len);

    return type ? type : "";
}

int hf_merge(const struct value *v, struct str *left, struct str *right)
{
    const char *blank;

    if (v->kind == VALUE_LIST && v->list.len == 2 && v->list.items[0]->kind == VALUE_STRING &&
        v->list.items[1]->kind == VALUE_STRING) {
        *left = (struct str){ v->list.items[0]->string.data, v->list.items[0]->string.len };
        *right = (struct str){ v->list.items[1]->string.data, v->list.items[1]->string.len };
        return 0;
    }
    if (v->kind != VALUE_STRING || !(blank = memchr(v->string.data, ' ', v->string.len)))
        return ERR_FORMAT;
    *left = (struct str){ v->string.data, (size_t)(blank - v->string.data) };
    *right = (struct str){ blank + 1, v->string.len - left->len - 1 };
    return 0;
}

static int each_at(const struct value *v, const char *list,
                   int (*each)(void *arg, const struct value *component, struct err *e), void *arg,
                   int depth, struct err *e)
{
    const struct value *items;
    int rc = 0;

    if (!v || v->kind == VALUE_NULL)
        return 0;
    if (strcmp(hf_type(v), "Sequence") != 0)
        return each(arg, v, e);
    items = value_get(v, list);
    if (!items || items->kind != VALUE_LIST || depth == MAX_NESTING)
        return err_set(e, ERR_FORMAT, "tokenizer.json: a Sequence without a list %s", list);
    for (size_t i = 0; i < items->list.len && !rc; i++)
        rc = each_at(items->list.items[i], list, each, arg, depth + 1, e);
    return rc;
}

int hf_each(const struct value *v, const char *list,
            int (*each)(void *arg, const struct value *component, struct err *e), void *arg,
            struct err *e)
{
    return each_at(v, list, each, arg, 0, e);
}

/* The expression with \s and \S spelled out; the rest means the same in Oniguruma and PCRE2.  In a
 * class, \S cannot be, and its one difference from Oniguruma's (U+180E) stays. */
static void put_expression(struct buf *b, const char *s, size_t len)
{
    bool in_class = false;

    for (size_t i = 0; i < len; i++) {
        if (s[i] == '\\' && i + 1 < len) {
            if (s[i + 1] == 's')
                buf_puts(b, in_class ? WHITE : "[" WHITE "]");
            else if (s[i + 1] == 'S' && !in_class)
                buf_puts(b, "[^" WHITE "]");
            else
                buf_put(b, s + i, 2);
            i++;
            continue;
        }
        if (s[i] == '[')
            in_class = true;
        else if (s[i] == ']')
            in_class = false;
        buf_putc(b, s[i]);
    }
}

int hf_compile(void **code, const char *expression, size_t len, struct err *e)
{
    struct buf b = { 0 };
    pcre2_code *made = NULL;
    PCRE2_SIZE at = 0;
    int problem = 0, rc = 0;
    unsigned char text[160] = "";

    put_expression(&b, expression, len);
    if (b.failed) {
        rc = err_set(e, ERR_NOMEM, "no memory for an expression");
        goto out;
    }
    made =
        pcre2_compile((PCRE2_SPTR)buf_str(&b), b.len, PCRE2_UTF | PCRE2_UCP, &problem, &at, NULL);
    if (!made) {
        pcre2_get_error_message(problem, text, sizeof text);
        rc = err_set(e, ERR_UNSUPPORTED, "tokenizer.json: the expression %.120s: %s", expression,
                     (const char *)text);
        goto out;
    }
    /* Without a compiler for this machine the interpreter does the same, slower. */
    (void)pcre2_jit_compile(made, PCRE2_JIT_COMPLETE);
    *code = made;
out:
    buf_done(&b);
    return rc;
}

int hf_pattern(void **code, const struct value *component, struct err *e)
{
    const struct value *pattern = value_get(component, "pattern");
    size_t len;
    const char *s = hf_string(pattern, "Regex", &len);
    struct buf b = { 0 };
    int rc;

    if (s)
        return hf_compile(code, s, len, e);
    s = hf_string(pattern, "String", &len);
    if (!s || len == 0)
        return err_set(e, ERR_FORMAT, "tokenizer.json: %.40s needs a pattern, a String or a Regex",
                       hf_type(component));
    for (size_t i = 0; i < len; i++) { /* as it is: every ASCII sign that is no letter or digit */
        if ((unsigned char)s[i] < 0x80 && !((s[i] | 32) >= 'a' && (s[i] | 32) <= 'z') &&
            !(s[i] >= '0' && s[i] <= '9'))
            buf_printf(&b, "\\x{%x}", (unsigned)(unsigned char)s[i]);
        else
            buf_putc(&b, s[i]);
    }
    rc = b.failed ? err_set(e, ERR_NOMEM, "no memory for an expression")
                  : hf_compile(code, buf_str(&b), b.len, e);
    buf_done(&b);
    return rc;
}
